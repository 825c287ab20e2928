"""The mapper: groups, whole rows, every element once, published core counts, limits, complete problem lists."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurodeploy.codes import CODES
from neurodeploy.errors import UsageError
from neurodeploy.ir.graph import Graph
from neurodeploy.ir.micro_op import MICROCODE
from neurodeploy.ir.nodes import Delay, Micro, Neuron
from neurodeploy.ir.types import BINARY
from neurodeploy.mapping import mapper
from neurodeploy.mapping.demand import Accounting
from neurodeploy.mapping.groups import HOST, populations
from neurodeploy.mapping.limits import RESOURCES, breaches
from neurodeploy.mapping.mapper import map_graph
from neurodeploy.mapping.repeats import Cutter
from neurodeploy.mapping.tiling import tile
from neurodeploy.mapping.types import Demand, Mapping
from neurodeploy.passes.balance import balance, constants, host
from neurodeploy.target import Target, load
from tests.fast import fast
from tests.strategies import integer_graphs
from tests.unit.mapping.networks import Net, ecmt_transformer, mlp, spiking_transformer

LOIHI2 = load("loihi2")
NO_POWER = LOIHI2.costs.power_w.static_per_chip.model_copy(update={"low": 0.0, "nominal": 0.0})
POWER = LOIHI2.costs.power_w.model_copy(update={"static_per_chip": NO_POWER})
#: a chip without static power
FREE = LOIHI2.model_copy(update={"costs": LOIHI2.costs.model_copy(update={"power_w": POWER})})
NETWORKS = {
    "mlp": lambda: mlp((40, 30, 20, 10)),
    "spiking": lambda: spiking_transformer(2, 16, 32),
    "ecmt": lambda: ecmt_transformer(2, 4, 32),
}


def limited(target: Target = LOIHI2, **limits: int | str) -> Target:
    """The target with other limits."""
    changed = {key: getattr(target.limits, key).model_copy(update={"value": n}) for key, n in limits.items()}
    return target.model_copy(update={"limits": target.limits.model_copy(update=changed)})


def cores_of(mapping: Mapping, group: str) -> int:
    return sum(group in core.layers for core in mapping.cores)


def assert_each_element_once(graph: Graph, mapping: Mapping) -> None:
    """Every node of every group but the host's: each element on exactly one core, sorted int64."""
    assert {n for g in mapping.groups for n in g.nodes} == set(graph.nodes) - constants(graph)
    for group in mapping.groups:
        pieces = [p for core in mapping.cores for p in core.pieces if p.group == group.name]
        assert bool(pieces) == (group.layout != HOST)
        for name in group.nodes if pieces else ():
            parts = [p.elements[name] for p in pieces]
            assert all(part.dtype == np.int64 and (np.diff(part) > 0).all() for part in parts)
            assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(graph.values[name].shape.size))


def assert_rows_whole(graph: Graph, mapping: Mapping) -> None:
    """A row of a row operator lies on one core."""
    for node in graph.of(Micro):
        if MICROCODE[node.op].row:
            width = graph.shape(node.name)[-1]
            for core in mapping.cores:
                for piece in core.pieces:
                    rows = np.bincount(piece.elements.get(node.name, np.zeros(0, np.int64)) // width)
                    assert set(rows) <= {0, width}


def assert_same_neuron_together(graph: Graph, mapping: Mapping) -> None:
    """Elementwise nodes have element i where their input of the same size has it."""
    for core in mapping.cores:
        for piece in core.pieces:
            for node in graph:
                if node.name in piece.elements and node.kind in ("neuron", "sum", "micro", "output"):
                    for source in node.inputs:
                        if source in piece.elements and graph.shape(source) == graph.shape(node.name):
                            assert np.array_equal(piece.elements[source], piece.elements[node.name])


def assert_sound(graph: Graph, mapping: Mapping, target: Target) -> None:
    assert_each_element_once(graph, mapping)
    assert_rows_whole(graph, mapping)
    assert_same_neuron_together(graph, mapping)
    assert all(p.code in CODES for p in mapping.problems)
    over = [b for core in mapping.cores for b in breaches(core.demand, target)]
    assert bool(over) == any(p.code == "ND501" for p in mapping.problems)
    for core in mapping.cores:
        assert core.limiting in RESOURCES and set(core.used) == set(RESOURCES)


# --- groups ------------------------------------------------------------------------------------------------------


def test_groups_hold_what_lives_on_the_same_indices() -> None:
    graph = balance(ecmt_transformer(1, 4, 32))
    found = {g.name: set(g.names) for g in populations(graph)}
    delay = next(d.name for d in graph.of(Delay) if d.inputs == ("embed",))
    assert found["block0_proj"] == {"block0_proj", delay, "block0_add1", "block0_norm2", "block0_n2"}
    assert found["block0_qk"] == {"block0_qk", "block0_softmax", "block0_a"}
    assert "cls" not in set().union(*found.values())


def test_input_and_its_views_are_the_hosts() -> None:
    net = Net()
    x = net.view(net.input("CYX", 2, 4, 4), "reshape", (32,), "C")
    graph = balance(net.output(net.lif(net.dense(x, 8))))
    mapping = map_graph(graph, LOIHI2)
    assert mapping.groups[0].layout == HOST and set(mapping.groups[0].nodes) == {"x", "view"} == host(graph)
    assert all("x" not in p.elements for core in mapping.cores for p in core.pieces)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("optimise", fast(["cores", "latency", "energy"], "energy"))
def test_every_element_lives_once_and_rows_stay_whole(network: str, optimise: str) -> None:
    graph = balance(NETWORKS[network]())
    target = limited(neurons_per_core=300, synapse_words=600)
    mapping = map_graph(graph, target, optimise=optimise)
    assert mapping.fits, mapping.problems
    assert_sound(graph, mapping, target)


@pytest.mark.parametrize(("words", "bits"), [(1100, "6"), (800, "5"), (100, None)])
def test_narrower_weights_are_advised_only_where_they_would_fit(words: int, bits: str | None) -> None:
    graph = balance(ecmt_transformer(1, 4, 64))
    mapping = map_graph(graph, limited(synapse_words=words))
    problem = next(p for p in mapping.problems if "synapse words" in p.cause)
    advised = [fix.split()[-1] for fix in problem.fixes if fix.startswith("--weight-bits")]
    assert advised == ([bits] if bits else [])


@settings(max_examples=40, deadline=None)
@given(integer_graphs(), st.sampled_from([20, 60, 4095]), st.sampled_from(["cores", "latency", "energy"]))
def test_random_graphs_map_soundly(graph: Graph, neurons: int, optimise: str) -> None:
    graph = balance(graph)
    target = limited(neurons_per_core=neurons)
    assert_sound(graph, map_graph(graph, target, optimise=optimise), target)


def test_class_token_lives_beside_its_neighbours() -> None:
    graph = balance(ecmt_transformer(1, 4, 32))
    mapping = map_graph(graph, limited(neurons_per_core=150))
    first = next(p for core in mapping.cores for p in core.pieces if p.group == "patch")
    assert first.elements["with_cls"][0] == 0 and len(first.elements["with_cls"]) % 32 == 0
    assert len(first.elements["patch"]) == len(first.elements["with_cls"]) - 32


# --- published networks --------------------------------------------------------------------------------------------


def test_mnist_perceptron_takes_five_cores_and_three_where_layers_share_them() -> None:
    graph = balance(mlp((784, 128, 64, 10)))
    shared = map_graph(graph, LOIHI2, optimise="cores")
    assert shared.fits and [c.layers for c in shared.cores] == [("fc1", "fc2", "fc3"), ("fc1",), ("fc1",)]
    mapping = map_graph(graph, FREE, optimise="energy")
    assert mapping.fits and len(mapping.cores) == 5
    assert [cores_of(mapping, f"fc{i}") for i in (1, 2, 3)] == [3, 1, 1]
    first, *_, middle, last = (core.demand for core in mapping.cores)
    assert (first.axon_in, first.axon_out, first.neuron_groups) == (784, first.neurons, 1)
    assert (middle.neurons, middle.axon_in, middle.synapse_words, middle.axon_out) == (64, 128, 128 * 21, 64)
    assert middle.total_words / 20000 == pytest.approx(0.1472, abs=1e-4)
    assert (last.neurons, last.axon_in, last.synapse_words, last.axon_out) == (10, 64, 64 * 4, 10)


def test_oxford_network_takes_five_cores_of_an_eight_kiloword_compiler() -> None:
    """The print-out's 2 x 100 and 3 x 85 neurons follow from 8192 synapse words; 16,000 need one core less."""
    graph = balance(mlp((200, 256, 200)))
    mapping = map_graph(graph, limited(synapse_words=8192))
    assert [cores_of(mapping, f"fc{i}") for i in (1, 2)] == [3, 2]
    assert {c.demand.neurons for c in mapping.cores if "fc2" in c.layers} == {100}
    assert len(map_graph(graph, LOIHI2).cores) == 4


#: output channels, kernel, stride, largest weight (5, 4 or 6 bits); printed cores per layer
YOLO = [
    (16, 3, 2, 15),
    (32, 3, 2, 15),
    (64, 3, 2, 15),
    (128, 3, 2, 15),
    (256, 3, 1, 15),
    (256, 3, 2, 7),
    (512, 3, 1, 15),
    (256, 1, 1, 15),
    (512, 3, 1, 15),
    (48, 1, 1, 31),
]


def yolo() -> Graph:
    net = Net()
    x = net.input("CYX", 3, 448, 448)
    for i, (width, kernel, stride, top) in enumerate(YOLO, 1):
        x = net.lif(net.conv(x, width, kernel, stride, kernel // 2, f"L{i}", top), f"lif{i}")
    return net.output(x)


def test_yolo_kp_takes_no_more_cores_than_printed() -> None:
    graph = balance(yolo())
    mapping = map_graph(graph, LOIHI2, chips=13)
    assert mapping.fits and len(mapping.cores) <= 574
    assert_each_element_once(graph, mapping)
    assert len({(c.chip, c.x, c.y) for c in mapping.cores}) >= len(mapping.cores) / 4


# --- what does not fit -----------------------------------------------------------------------------------------------


TINY = {
    "neurons_per_core": 0,
    "synapse_words": 3,
    "total_words": 9,
    "axon_in": 1,
    "axon_out": 0,
    "fan_in": 2,
    "table_words": 1,
}


@pytest.mark.parametrize("key", fast(TINY, *TINY.keys() - {"total_words", "axon_out"}))
def test_each_exceeded_limit_is_reported_for_every_layer(key: str) -> None:
    graph = balance(ecmt_transformer(1, 2, 16))
    target = limited(**{key: TINY[key]})
    problems = [p for p in map_graph(graph, target, chips=1000).problems if p.code == "ND501"]
    assert problems and all(
        f"limits.{key}" in p.limit and p.fixes and p.where for p in problems if key in p.limit
    )
    layers = {p.where.split()[0] for p in problems if key in p.limit}
    with_weights = {
        g.name for g in populations(graph) if not g.on_host and any(n.kind == "synapse" for n in g.entries)
    }
    if key in ("neurons_per_core", "synapse_words", "fan_in"):
        assert with_weights <= layers
    assert_sound(graph, map_graph(graph, target, chips=1000), target)


def test_too_few_cores_name_the_chips_that_suffice() -> None:
    graph = balance(spiking_transformer(2, 16, 32))
    chip = LOIHI2.chip.model_copy(update={"cores_per_chip": 2})
    target = limited(neuron_groups=1).model_copy(update={"chip": chip})
    mapping = map_graph(graph, target)
    problem = next(p for p in mapping.problems if p.code == "ND502")
    assert not any("--weight-bits" in fix or "--optimise" in fix for fix in problem.fixes)
    fast = next(p for p in map_graph(graph, target, optimise="latency").problems if p.code == "ND502")
    assert fast.fixes == problem.fixes  # the fewest cores are too many already
    spread = next(iter(mapper._too_many(9, target.with_chips(4), fewest=8)))
    assert spread.fixes == ("--chips 5", "--optimise cores", "use a smaller model")
    chips = -(-len(mapping.cores) // 2)
    assert problem.fixes[0] == f"--chips {chips}" and not mapping.fits
    assert map_graph(graph, target, chips=chips).fits


def test_pieces_share_cores_where_cores_are_short() -> None:
    graph = balance(mlp((20, 12, 8, 6, 4)))
    target = LOIHI2.model_copy(update={"chip": LOIHI2.chip.model_copy(update={"cores_per_chip": 2})})
    mapping = map_graph(graph, target)
    assert mapping.fits and len(mapping.cores) <= 2 and len(mapping.cores[0].pieces) > 1
    assert_sound(graph, mapping, target)


CHECKS = [
    ("ND503", lambda: mlp((8, 4), top=1000), {}),
    ("ND504", lambda: spiking_transformer(1, 4, 16), {"payload_bits": 2}),
    ("ND508", lambda: spiking_transformer(1, 4, 16), {"delay_steps": 1}),
    ("ND509", lambda: ecmt_transformer(1, 2, 16), {"state_words_per_neuron": 1}),
    ("ND513", lambda: mlp((784, 4)), {"accumulator_bits": 23}),
]


@pytest.mark.parametrize("code, network, limits", CHECKS, ids=[c[0] for c in CHECKS])
def test_widths_are_checked(code: str, network: Callable[[], Graph], limits: dict[str, int]) -> None:
    mapping = map_graph(balance(network()), limited(**limits))
    advised = any("--weight-bits" in f for p in mapping.problems if p.code == code for f in p.fixes)
    assert advised == (code in ("ND503", "ND513")), "narrower weights are advised where weights are the limit"
    assert code in {p.code for p in mapping.problems}
    assert code not in {p.code for p in map_graph(balance(mlp((8, 4))), LOIHI2).problems}


def test_loihi1_refuses_what_it_cannot_do_and_runs_binary_lif() -> None:
    loihi1 = load("loihi1")
    assert map_graph(balance(mlp((64, 32, 10))), loihi1).fits
    codes = {p.code for p in map_graph(balance(ecmt_transformer(1, 2, 16)), loihi1).problems}
    assert {"ND505", "ND506", "ND507"} <= codes


def test_distinct_thresholds_are_limited_per_core() -> None:
    net = Net()
    x = net.dense(net.input("C", 16), 8)
    params = {"du": 4095, "dv": 2048, "vth": np.arange(1, 9)}
    x = net.put(Neuron(name="lif", inputs=(x,), model="lif", params=params), "C", (8,), BINARY, 2)
    graph = balance(net.output(x))
    mapping = map_graph(graph, limited(distinct_thresholds_per_core=3))
    assert mapping.fits and len(mapping.cores) == 3 and max(c.demand.thresholds for c in mapping.cores) == 3


def test_an_unbalanced_graph_is_a_problem() -> None:
    mapping = map_graph(spiking_transformer(1, 4, 16), LOIHI2)
    assert "ND510" in {p.code for p in mapping.problems} and not mapping.fits


def test_unknown_objective_and_too_many_chips_are_usage_errors() -> None:
    graph = balance(mlp((8, 4)))
    with pytest.raises(UsageError, match="ND514"):
        map_graph(graph, LOIHI2, optimise="speed")
    with pytest.raises(UsageError, match="ND919"):
        map_graph(graph, LOIHI2, chips=100000)


def test_a_software_target_has_no_limits() -> None:
    mapping = map_graph(balance(ecmt_transformer(1, 2, 16)), load("cpu-sim"))
    assert not [p for p in mapping.problems if p.code == "ND501"]


# --- choices ---------------------------------------------------------------------------------------------------------


def test_objectives_trade_cores_for_work() -> None:
    graph = balance(spiking_transformer(2, 16, 64))
    fewest, fastest = (map_graph(graph, LOIHI2, optimise=o) for o in ("cores", "latency"))
    assert len(fewest.cores) < len(fastest.cores) <= LOIHI2.cores
    assert max(c.demand.neurons for c in fastest.cores) < max(c.demand.neurons for c in fewest.cores)


@pytest.mark.parametrize("optimise", ["latency", "energy"])
def test_tiles_share_cores_where_cores_run_short_whatever_the_objective(optimise: str) -> None:
    graph = balance(mlp((64, 32, 32, 32, 10)))
    few = LOIHI2.model_copy(update={"chip": LOIHI2.chip.model_copy(update={"cores_per_chip": 2})})
    mapping = map_graph(graph, few, optimise=optimise)
    assert mapping.fits and len(mapping.cores) <= 2
    assert_sound(graph, mapping, few)


def test_energy_spreads_work_only_as_far_as_static_power_pays_for_it() -> None:
    graph = balance(spiking_transformer(2, 16, 64))
    fewest = map_graph(graph, LOIHI2, optimise="cores").notes["pieces"]
    assert len(map_graph(graph, FREE, optimise="energy").cores) == fewest
    assert len(map_graph(graph, LOIHI2, optimise="energy").cores) > fewest


def test_alternatives_say_what_was_chosen_and_why_others_were_not() -> None:
    mapping = map_graph(balance(mlp((784, 128, 64, 10))), LOIHI2)
    group = mapping.groups[1]
    chosen, *others = group.alternatives
    assert chosen["layout"] == group.layout == "channels/3" and chosen["fits"] and chosen["cores"] == 3
    refused = next(a for a in others if a["layout"] == "channels/2")
    assert refused["reason"] == "synapse_words 16464 > 16000" and not refused["fits"]
    assert group.limiting == refused["limiting"] == "synapse_words"


def _structure(cut: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in cut.items() if key != "tick_ns"}


@pytest.mark.parametrize("network", ["spiking", "ecmt"])
def test_repeated_layers_are_cut_as_if_alone(network: str) -> None:
    graph = balance(NETWORKS[network]())
    target = limited(neurons_per_core=200)
    cutter = Cutter(graph, target)
    groups = [g for g in populations(graph) if not g.on_host]
    for group in groups:
        alone, found = tile(Accounting.of(graph, target, group)), cutter.cut(group)
        assert (found.cut.layout, found.demands) == (alone.cut.layout, alone.demands)
        # Twins of other weights and activity share the expected time of the first.
        assert [_structure(cut) for cut in found.alternatives] == list(map(_structure, alone.alternatives))
        for a, b in zip(found.tiles, alone.tiles, strict=True):
            assert all(np.array_equal(a.elements[n], b.elements[n]) for n in group.names)
    assert len(cutter.known) < len(groups)


def test_mapping_is_deterministic() -> None:
    first, second = (
        map_graph(balance(ecmt_transformer(1, 4, 32)), limited(neurons_per_core=200)) for _ in range(2)
    )
    assert [(c.chip, c.x, c.y, c.demand) for c in first.cores] == [
        (c.chip, c.x, c.y, c.demand) for c in second.cores
    ]
    for a, b in zip(first.cores, second.cores, strict=True):
        for p, q in zip(a.pieces, b.pieces, strict=True):
            assert p.group == q.group and all(
                np.array_equal(p.elements[n], q.elements[n]) for n in p.elements
            )


def test_depth_is_that_of_the_slowest_branch() -> None:
    graph = balance(spiking_transformer(1, 4, 16))
    mapping = map_graph(graph, LOIHI2)
    assert mapping.depth == max(g.depth for g in mapping.groups) and graph.of(Delay)


def test_demands_add() -> None:
    one, two = Demand(neurons=3, fan_in=7, axon_in=1), Demand(neurons=4, fan_in=5, synapse_words=2)
    assert one + two == Demand(neurons=7, fan_in=7, axon_in=1, synapse_words=2)
    assert (one + two).total_words == 3 and len(fields(Demand)) == 10
