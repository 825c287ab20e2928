"""Layers with more inputs than a core takes: summed in parts they fit, and mean the same to the last bit."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurodeploy.backends._base import BACKENDS
from neurodeploy.image import encode
from neurodeploy.ir import interp, intervals, levels
from neurodeploy.ir.graph import Graph
from neurodeploy.ir.nodes import Const, Delay, Reduce, Synapse, View
from neurodeploy.ir.types import BINARY, Activity, Interval
from neurodeploy.mapping.activity import activity
from neurodeploy.mapping.layouts.fan_in import MEMBER as FAN_IN
from neurodeploy.mapping.mapper import map_graph, prepared
from neurodeploy.mapping.types import Mapping
from neurodeploy.passes.balance import balance, depths
from neurodeploy.program import Program
from neurodeploy.target import Target, load
from tests.mappings import random_mapping
from tests.strategies import inputs, integer_graphs
from tests.unit.mapping.networks import Net
from tests.unit.mapping.test_map_graph import assert_sound, limited

SIM = load("loihi-sim")
SMALL = limited(SIM, axon_in=20, synapse_words=20, total_words=200)


def finished(net: Net, x: str) -> Graph:
    """The network that reads out ``x``, with proven bounds on every value."""
    return intervals.propagate(net.output(x))


def parts(graph: Graph, layer: str) -> list[Synapse]:
    return [n for n in graph.of(Synapse) if n.name.startswith(f"{layer}_part")]


def assert_same(graph: Graph, made: Graph, mapping: Mapping, x: np.ndarray, names: Iterable[str]) -> None:
    """Every named value and the read-out are the same in all ways to compute them."""
    names = list(names)
    truth = interp.run(graph, x, names)
    program = Program(made, encode(made, mapping, SIM))
    runs = [
        interp.run(made, x, names),
        *(BACKENDS[b].run(program, x, names)[0] for b in ("cpu", "loihi-sim")),
    ]
    for run in runs:
        assert np.array_equal(truth.outputs, run.outputs)
        assert [n for n in names if not np.array_equal(truth.values[n], run.values[n])] == []
        assert {k: v for k, v in truth.saturations.items() if v} == {
            k: v for k, v in run.saturations.items() if v
        }


def assert_fits_only_in_parts(graph: Graph, target: Target, x: np.ndarray) -> Graph:
    """The network is refused as it is, fits as it is prepared, and is the same; returns what was prepared."""
    assert "ND501" in {p.code for p in map_graph(balance(graph), target).problems}
    made = prepared(graph, target)
    mapping = map_graph(made, target)
    assert mapping.fits, [str(p) for p in mapping.problems]
    assert_sound(made, mapping, target)
    assert not levels.verify(made, "integer")
    assert_same(graph, made, mapping, x, (n.name for n in graph))
    return made


def spikes(graph: Graph, samples: int = 4) -> np.ndarray:
    span = graph.values["x"].interval
    rng = np.random.default_rng(1)
    return rng.integers(span.lo, span.hi, (samples, *interp.input_shape(graph)), endpoint=True)


def ids(graph: Graph, samples: int = 2) -> np.ndarray:
    """One spike for each token, and the last line of the table among them."""
    *places, words = graph.shape("x")
    chosen = np.random.default_rng(2).integers(0, words, (samples, *places, 1))
    chosen.flat[-1] = words - 1
    x = np.zeros((samples, *places, words), dtype=np.int64)
    np.put_along_axis(x, chosen, 1, axis=-1)
    return x


# --- what fits in parts ------------------------------------------------------------------------------------------


def test_a_layer_with_too_many_inputs_is_summed_in_the_fewest_parts() -> None:
    net = Net()
    graph = finished(net, net.lif(net.dense(net.input("C", 50), 6, top=7)))
    made = assert_fits_only_in_parts(graph, SMALL, spikes(graph))
    (total,) = made.of(Reduce)
    assert total.name == "fc" and made.values["fc"] is graph.values["fc"]
    assert [p.weight.shape for p in parts(made, "fc")] == [
        (6, 12),
        (6, 13),
        (6, 12),
        (6, 13),
    ]  # 15 of 20 axons
    assert np.array_equal(
        np.concatenate([p.weight for p in parts(made, "fc")], axis=1), graph.nodes["fc"].weight
    )
    assert not made.of(Delay)
    assert depths(made)["lif"] == depths(graph)["lif"] + 1


def test_a_neuron_with_too_many_connections_is_summed_in_parts() -> None:
    net = Net()
    graph = finished(net, net.lif(net.dense(net.input("C", 50), 6, top=7)))
    made = assert_fits_only_in_parts(graph, limited(SIM, fan_in=20), spikes(graph))
    assert [p.weight.shape[1] for p in parts(made, "fc")] == [16, 17, 17]


def test_a_hidden_layer_is_sliced_where_it_is_sent() -> None:
    net = Net()
    hidden = net.lif(net.dense(net.input("C", 8), 50, "first", top=9), "hidden")
    graph = finished(net, net.lif(net.dense(hidden, 6, top=7)))
    made = assert_fits_only_in_parts(graph, SMALL, spikes(graph))
    assert {n.inputs for n in made.of(View) if n.op == "slice"} == {("hidden",)}


def test_the_bias_is_added_where_the_neuron_lives() -> None:
    net = Net()
    fc = net.dense(net.input("NC", 3, 50), 6, top=7)
    net.nodes[fc] = replace(cast(Synapse, net.nodes[fc]), bias=np.arange(-300, 300, 100))
    graph = finished(net, net.multi(fc))
    made = assert_fits_only_in_parts(graph, SMALL, spikes(graph))
    (bias,) = made.of(Const)
    assert made.nodes["fc"].inputs[-1] == bias.name and bias.value.shape == (1, 6)
    assert all(p.bias is None for p in parts(made, "fc"))


def test_a_table_of_ids_is_silent_but_for_one_part() -> None:
    net = Net()
    graph = finished(net, net.multi(net.dense(net.input("NC", 2, 50), 6)))
    made = assert_fits_only_in_parts(graph, SMALL, ids(graph))
    names = [p.name for p in parts(made, "fc")]
    sent = interp.run(made, ids(graph), names).values
    assert (sum((sent[name] != 0).any(axis=-1).astype(int) for name in names) <= 1).all()


def table(weight: np.ndarray, seen: bool) -> Graph:
    """Two positions that look words up; of the input is ``seen`` that one word of a position speaks at a time."""
    net = Net()
    x = net.input("NC", 2, weight.shape[1])
    often = 1 / weight.shape[1]
    net.values[x] = replace(net.values[x], activity=Activity(often, often, (), 1, 0) if seen else None)
    fc = net.dense(x, len(weight))
    net.nodes[fc] = replace(cast(Synapse, net.nodes[fc]), weight=weight)
    return finished(net, net.multi(fc))


def test_a_table_is_split_by_words_where_it_takes_fewer_cores() -> None:
    weight = np.random.default_rng(0).integers(-127, 128, (12, 60))
    weight[:, (0, -1)] = 1
    target = limited(SIM, synapse_words=33)
    found = {}
    for seen in (False, True):
        graph = table(weight, seen)
        made = assert_fits_only_in_parts(graph, target, ids(graph))
        found[seen] = len(parts(made, "fc")), map_graph(made, target).notes["pieces"]
    assert sum(activity(made, part.name).first for part in parts(made, "fc")) == pytest.approx(1)
    # 64 bits hold a header and 3 channels: 4 cores for each of 3 parts. Three words hold all 12, for 10 words a core.
    assert found == {False: (3, 13), True: (6, 7)}


def test_words_without_weights_at_either_end_are_cut_off() -> None:
    weight = np.zeros((1, 60), dtype=np.int64)
    weight[0, 7:9] = -128, 5
    graph = table(weight, False)
    made = assert_fits_only_in_parts(graph, SMALL, ids(graph))
    (layer,) = made.of(Synapse)
    assert layer.weight.tolist() == [[-128, 5]] and depths(made)["fc"] == depths(graph)["fc"]


def test_branches_beside_it_wait_a_step_longer() -> None:
    net = Net()
    x = net.lif(net.dense(net.input("C", 6), 50, "first", top=9), "hidden")
    wide = net.dense(x, 50, "wide", top=3)
    graph = finished(net, net.multi(net.total(x, wide)))
    made = assert_fits_only_in_parts(graph, SMALL, spikes(graph))
    waiting = [d.steps for d in made.of(Delay) if d.inputs == ("hidden",)]
    assert waiting == [2] and depths(made)["add"] == depths(graph)["add"] + 1


def test_a_convolution_is_summed_along_its_input_channels() -> None:
    net = Net()
    conv = net.conv(net.input("CYX", 6, 5, 5), 3, 3, padding=1, top=7)
    net.nodes[conv] = replace(cast(Synapse, net.nodes[conv]), bias=np.array([50, -50, 0]))
    graph = finished(net, net.lif(conv))
    target = limited(SIM, synapse_words=40)
    made = assert_fits_only_in_parts(graph, target, spikes(graph))
    assert {p.weight.shape for p in parts(made, "conv")} == {(3, 3, 3, 3)}


def test_units_of_channels_are_sliced_with_them() -> None:
    net = Net()
    net.input("C", 50)
    scale = 2.0 ** -np.arange(50)
    net.values["x"] = replace(net.values["x"], fixed=replace(net.values["x"].fixed, scale=scale))
    graph = finished(net, net.multi(net.dense("x", 6)))
    made = prepared(graph, SMALL)
    found = [made.values[v.name].fixed.scale for v in made.of(View) if v.op == "slice"]
    assert [len(part) for part in found] == [12, 13, 12, 13] and np.array_equal(np.concatenate(found), scale)


# --- sums that fit a message -------------------------------------------------------------------------------------


def graded(reach: int, bits: int) -> tuple[Graph, Target]:
    """A layer of weights 1 on 40 inputs from 0 to ``reach``, and a target whose messages have so many bits."""
    net = Net()
    x = net.input("C", 40)
    net.values[x] = replace(net.values[x], interval=Interval(0, reach, True))
    fc = net.dense(x, 3)
    net.nodes[fc] = replace(cast(Synapse, net.nodes[fc]), weight=np.ones((3, 40), dtype=np.int64))
    return finished(net, net.multi(fc)), limited(SIM, axon_in=30, message_bits=bits)


@pytest.mark.parametrize(("reach", "bits", "count"), [(1, 8, 2), (15, 8, 5), (63, 8, 20), (127, 8, 40)])
def test_parts_are_as_small_as_their_sums_have_to_be(reach: int, bits: int, count: int) -> None:
    graph, target = graded(reach, bits)
    made = FAN_IN.rewrite(graph, target)
    found = parts(made, "fc")
    assert len(found) == count
    assert all(made.values[p.name].interval == Interval(0, reach * p.weight.shape[1], True) for p in found)
    assert_same(
        graph, (ready := prepared(graph, target)), map_graph(ready, target), spikes(graph), ["fc", "mt"]
    )


def test_what_fits_no_message_is_refused_as_before() -> None:
    graph, target = graded(128, 8)
    assert FAN_IN.rewrite(graph, target) is graph
    assert {p.code for p in map_graph(prepared(graph, target), target).problems} == {"ND501", "ND504"}


def test_bounds_that_were_only_measured_count_with_their_width() -> None:
    graph, target = graded(1, 8)
    value = graph.values["x"]
    loose = replace(value, interval=Interval(0, 1, False), fixed=replace(value.fixed, bits=5))
    made = FAN_IN.rewrite(graph.with_values({"x": loose}), target)
    assert len(parts(made, "fc")) == 5  # of 8 inputs up to 15


# --- what is left alone ------------------------------------------------------------------------------------------


def test_what_fits_or_would_not_be_the_same_stays() -> None:
    net = Net()
    graph = finished(net, net.lif(net.dense(net.input("C", 50), 6, top=7)))
    assert FAN_IN.rewrite(graph, SIM) is graph and FAN_IN.rewrite(graph, load("cpu-sim")) is graph
    assert FAN_IN.rewrite(graph, limited(load("loihi1"), axon_in=20)) is graph
    late = replace(graph, nodes={**graph.nodes, "fc": replace(cast(Synapse, graph.nodes["fc"]), delay=1)})
    assert FAN_IN.rewrite(late, SMALL) is late
    made = prepared(graph, SMALL)
    assert FAN_IN.rewrite(made, SMALL) is made


def test_a_loop_is_left_alone() -> None:
    net = Net()
    x = net.dense(net.input("C", 4), 50, "first", top=3)
    back = net.put(
        Synapse(name="back", inputs=("lif",), weight=np.eye(50, dtype=np.int64), delay=1), "C", (50,), bits=2
    )
    wide = net.dense(net.total(x, back), 50, "wide", top=1)
    graph = finished(net, net.lif(wide))
    assert {"wide", "back"} <= set(graph.loops)
    assert FAN_IN.rewrite(graph, SMALL) is graph


def test_names_of_the_network_are_not_taken() -> None:
    net = Net()
    x = net.dense(net.input("C", 50), 6, top=7)
    graph = finished(net, net.lif(net.dense(net.lif(x), 6, "fc_part0"), "fc_sum1"))
    made = assert_fits_only_in_parts(graph, SMALL, spikes(graph))
    assert made.nodes["fc_part0"].weight is graph.nodes["fc_part0"].weight


# --- random networks ---------------------------------------------------------------------------------------------


MOVES = ("dense", "conv", "neuron", "recurrent", "residual", "view", "micro")


@settings(max_examples=40)
@given(integer_graphs(MOVES), st.integers(2, 3), st.integers(0, 2**31), st.data())
def test_random_networks_in_parts_mean_the_same(
    graph: Graph, room: int, seed: int, data: st.DataObject
) -> None:
    target = limited(SIM, axon_in=room, synapse_words=room)
    made = FAN_IN.rewrite(graph, target)
    assert not levels.verify(made, "integer")
    changed = [n.name for n in graph.of(Synapse) if made.nodes[n.name].inputs != n.inputs]
    assert (made is graph) == (not changed)
    assert not {n.name for n in graph.delayed} & set(changed)
    ready = balance(made)
    x = data.draw(inputs(graph))
    assert_same(graph, ready, random_mapping(ready, SIM, seed), x, [n.name for n in graph])


# --- at full limits ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("places", [(), (3,)], ids=["one word", "three words"])
def test_a_vocabulary_of_25000_words_fits_a_chip(places: tuple[int, ...]) -> None:
    net = Net(timesteps=2)
    x = net.input("NC"[-len(places) - 1 :], *places, 25_000, code=BINARY)
    graph = finished(net, net.multi(net.dense(x, 64)))
    assert_fits_only_in_parts(graph, SIM, ids(graph))
