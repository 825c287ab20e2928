"""Encoders of still inputs: what they send, by hand; the same on every backend; and where they do not apply."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from neurodeploy import calibrate, compare, encoders, quantize, target
from neurodeploy.config import resolve
from neurodeploy.convert.native import MEMBER as NATIVE
from neurodeploy.encoders import ENCODERS, encoded
from neurodeploy.errors import ConvertError, UsageError
from neurodeploy.image import encode
from neurodeploy.inputs import fitting
from neurodeploy.ir import interp
from neurodeploy.ir.graph import Graph
from neurodeploy.ir.nodes import Neuron
from neurodeploy.mapping.mapper import map_graph, prepared
from neurodeploy.program import Program
from tests.networks import images, mini_snn, mini_vit

TICKS, LEVELS = 4, 16


def by_hand(name: str, levels: np.ndarray, ticks: int = TICKS, most: int = LEVELS) -> np.ndarray:
    """What is sent of whole levels (N,) over the ticks, in units of ``most`` or, of changes, of a level."""
    sent = np.zeros((ticks, len(levels)), np.int64)
    for place, level in enumerate(map(int, levels)):
        for t in range(1, ticks + 1):
            if name == "rate":  # half a spike rounds up
                due = (2 * t * level + most) // (2 * most)
                sent[t - 1, place] = min(1, due - sent[: t - 1, place].sum())
            elif name == "latency":
                sent[t - 1, place] = (
                    level * (ticks + 1) >= most * (ticks + 1 - t) and not sent[:, place].any()
                )
            else:
                sent[t - 1, place] = level if t == 1 else 0
    return sent


def integer(name: str) -> Graph:
    graph = encoded(mini_snn(), name, LEVELS, TICKS)
    spiking = NATIVE.rewrite(graph, None, np.zeros(0), TICKS)
    return quantize.quantize(spiking, calibrate.measure(spiking, images(graph, 8)))


@pytest.mark.parametrize("name", ENCODERS)
def test_levels_become_the_spikes_that_are_worked_out_by_hand(name: str) -> None:
    for graph in (encoded(mini_snn(), name, LEVELS, TICKS), integer(name)):
        x = np.arange(17).repeat(16).reshape(17, 1, 4, 4)
        node = next(n for n in graph.of(Neuron) if n.name == "encoder")
        graph = graph if graph.header.level == "integer" else NATIVE.rewrite(graph, None, np.zeros(0), TICKS)
        sent = interp.run(graph, x, record=["encoder"]).values["encoder"][..., 0, 0, 0]
        unit = 1 if graph.header.level == "integer" else 1 / LEVELS if name == "delta" else 1.0
        assert np.array_equal(sent, unit * by_hand(name, np.arange(17))), node.model


def program(name: str) -> Program:
    place = target.load("loihi-sim")
    graph = prepared(integer(name), place)
    return Program(graph, encode(graph, map_graph(graph, place), place))


@pytest.mark.parametrize("name", ENCODERS)
def test_encoders_are_the_same_on_every_backend(name: str) -> None:
    found = program(name)
    assert not found.graph.input.per_tick
    result = compare.verify(found, images(found.graph, 6, seed=1))
    assert result.equal and {"cpu", "loihi-sim"} <= set(result.backends), str(result)


@pytest.mark.slow
@pytest.mark.needs("lava.magma")
@pytest.mark.parametrize("name", ENCODERS)
def test_encoders_are_the_same_in_lava(name: str) -> None:
    found = program(name)
    result = compare.verify(found, images(found.graph, 2, seed=1), ("lava",))
    assert result.equal, str(result)


def test_the_mean_of_spikes_is_the_value_to_half_a_spike() -> None:
    for ticks in (1, 3, 4, 7):
        sent = by_hand("rate", np.arange(17), ticks).sum(0)
        assert np.abs(sent / ticks - np.arange(17) / 16).max() <= 0.5 / ticks


def test_a_network_of_frames_takes_spikes_of_its_largest_input() -> None:
    graph = mini_snn()
    source = graph.input
    values = {
        source.name: replace(
            graph.values[source.name], interval=replace(graph.values[source.name].interval, hi=1)
        )
    }
    nodes = {n.name: replace(n, per_tick=True, scale=1.0) if n is source else n for n in graph}
    frames = Graph(nodes, {**graph.values, **values}, graph.header)
    found = encoded(frames, "rate", 255, TICKS)
    assert not found.input.per_tick and found.input.scale == pytest.approx(1 / 255)
    assert found.nodes["encoder"].params["step"] == 1.0


def test_scales_of_channels_are_those_of_spikes() -> None:
    graph = mini_snn()
    nodes = {n.name: replace(n, scale=np.array([0.25])) if n is graph.input else n for n in graph}
    found = encoded(Graph(nodes, graph.values, graph.header), "latency", LEVELS, TICKS)
    assert found.nodes["encoder"].params["full"] == 4.0


def test_where_there_is_nothing_to_encode_for() -> None:
    graph = mini_snn()
    assert encoded(graph, "", LEVELS, TICKS) is encoded(graph, encoders.NONE, LEVELS, TICKS) is graph
    with pytest.raises(UsageError, match="ND309"):
        encoded(graph, "rat", LEVELS, TICKS)
    nodes = {n.name: replace(n, zero=3) if n is graph.input else n for n in graph}
    for other in (mini_vit(), integer("rate"), Graph(nodes, graph.values, graph.header)):
        with pytest.raises(ConvertError, match="ND310"):
            encoded(other, "rate", LEVELS, TICKS)


def test_levels_for_a_network_of_spikes_are_answered_with_the_flag() -> None:
    graph = fitting.with_range(mini_snn(), 1)
    from neurodeploy.datasets import Facts

    found = fitting.misfits(graph, Facts((1, 4, 4), 16, "here"))
    assert any("--encoder rate" in fix for problem in found for fix in problem.fixes)


def test_an_encoder_is_part_of_what_decides_a_build() -> None:
    plain, rate = (
        resolve({"model": "digits-spikformer"}),
        resolve({"model": "digits-spikformer", "encoder": "rate"}),
    )
    assert plain.network_digest() != rate.network_digest()
