"""Relays: layers too large for the core of their row operator fit once a Delay separates them, and mean the same."""

from __future__ import annotations

import numpy as np
import pytest

from neurodeploy import calibrate
from neurodeploy.backends._base import BACKENDS
from neurodeploy.convert import ecmt
from neurodeploy.image import encode
from neurodeploy.ir import interp
from neurodeploy.ir.graph import Graph
from neurodeploy.ir.nodes import Delay, Neuron
from neurodeploy.mapping.layouts.relay import MEMBER as RELAY
from neurodeploy.mapping.mapper import map_graph, prepared
from neurodeploy.passes.balance import balance
from neurodeploy.program import Program
from neurodeploy.quantize import quantize
from neurodeploy.target import Target, load
from tests.networks import images, mini_vit


def small_memory(words: int) -> Target:
    target = load("loihi-sim")
    limit = target.limits.synapse_words.model_copy(update={"value": words})
    return target.model_copy(update={"limits": target.limits.model_copy(update={"synapse_words": limit})})


@pytest.fixture(scope="module")
def graph() -> Graph:
    source = mini_vit(dim=16, hidden=64)
    samples = images(source, 32)
    spiking = ecmt.MEMBER.rewrite(source, ecmt.EcmtConfig(base_scale=0.5), samples, 3)
    return quantize(spiking, calibrate.measure(spiking, samples))


def test_a_layer_too_large_beside_its_norm_fits_behind_a_relay(graph: Graph) -> None:
    target = small_memory(100)  # fc2: 64 entries of 16 weights, 192 words
    alone = map_graph(balance(graph), target)
    assert [p.code for p in alone.problems if p.severity == "error"]
    ready = prepared(graph, target)
    mapping = map_graph(ready, target)
    assert mapping.fits, [str(p) for p in mapping.problems]
    x = images(graph, 6, seed=3)
    names = [n.name for n in graph.of(Neuron)]
    truth = interp.run(graph, x, names)
    run, _ = BACKENDS["loihi-sim"].run(Program(ready, encode(ready, mapping, target)), x, names)
    assert np.array_equal(truth.outputs, run.outputs)
    assert all(np.array_equal(truth.values[name], run.values[name]) for name in names)


def test_a_relay_stands_only_where_it_is_needed(graph: Graph) -> None:
    assert RELAY.rewrite(graph, small_memory(16000)) is graph
    made = RELAY.rewrite(graph, small_memory(100))
    relays = [n for n in made.of(Delay) if n.name.endswith("_relay")]
    assert [n.inputs[0] for n in relays] == ["b0.fc2.rescale"]
    assert RELAY.rewrite(graph, load("cpu-sim")) is graph
