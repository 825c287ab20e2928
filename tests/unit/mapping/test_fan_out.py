"""Rows whose core has too few axons for all that read them fit once a Delay sends them on, and mean the same."""

from __future__ import annotations

import numpy as np
import pytest

from neurodeploy.backends._base import BACKENDS
from neurodeploy.image import encode
from neurodeploy.ir import interp
from neurodeploy.ir.graph import Graph
from neurodeploy.ir.nodes import Delay
from neurodeploy.mapping.layouts.fan_out import MEMBER as FAN_OUT
from neurodeploy.mapping.mapper import map_graph, prepared
from neurodeploy.passes.balance import balance
from neurodeploy.program import Program
from neurodeploy.target import load
from tests.unit.mapping.networks import Net
from tests.unit.mapping.test_map_graph import limited

CHIP = load("loihi-sim")


def head(width: int, outputs: int, positions: int = 1) -> Graph:
    """A norm over ``width`` channels, neurons, two layers that read them, and a residual branch beside them."""
    net = Net(seed=1)
    roles, sizes = ("C", (width,)) if positions == 1 else ("NC", (positions, width))
    x = net.dense(net.input(roles, *sizes), width, "in")
    row = net.multi(net.micro(x, "layer_norm", "norm"), "row")
    first, second = (
        net.multi(net.dense(row, outputs, "a"), "la"),
        net.multi(net.dense(row, outputs, "b"), "lb"),
    )
    return net.output(net.dense(net.total(first, second), 5, "head"))


@pytest.mark.parametrize("words", [200, 240])
def test_a_row_with_too_few_axons_fits_behind_a_delay_and_means_the_same(words: int) -> None:
    graph = head(24, 40)
    target = limited(CHIP, synapse_words=words, axon_out=90)
    alone = map_graph(balance(graph), target)
    assert any("axon out" in str(p) for p in alone.problems if p.severity == "error")
    ready = prepared(graph, target)
    mapping = map_graph(ready, target)
    assert mapping.fits, [str(p) for p in mapping.problems]
    assert [n.inputs for n in ready.of(Delay) if n.name == "row_fan"] == [("row",)]
    x = np.random.default_rng(2).integers(0, 2, (5, 24))
    names = ["row", "la", "lb"]
    truth, fast = interp.run(graph, x, names), BACKENDS["cpu"].run(Program(ready), x, names)[0]
    found = BACKENDS["loihi-sim"].run(Program(ready, encode(ready, mapping, target)), x, names)[0]
    assert truth.values["la"].any()
    for trace in (fast, found):
        assert np.array_equal(truth.outputs, trace.outputs)
        assert all(np.array_equal(truth.values[name], trace.values[name]) for name in names)


def test_what_has_room_is_left_alone() -> None:
    graph = head(24, 40)
    assert FAN_OUT.rewrite(graph, CHIP) is graph
    assert FAN_OUT.rewrite(graph, load("cpu-sim")) is graph
    # Positions that share an axon take one for each core that reads them, whatever the channels.
    tokens = head(24, 40, 3)
    assert FAN_OUT.rewrite(tokens, limited(CHIP, synapse_words=200, axon_out=90)) is tokens


def test_a_layer_without_a_row_needs_no_delay() -> None:
    net = Net()
    x = net.lif(net.dense(net.input("C", 24), 24, "in"), "plain")
    graph = net.output(net.dense(x, 40, "a"))
    assert FAN_OUT.rewrite(graph, limited(CHIP, synapse_words=200, axon_out=90)) is graph
