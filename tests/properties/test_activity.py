"""What is expected of every tile from the activity of elements: what cores count on the samples that were seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, event, given, settings
from hypothesis import strategies as st

from neurodeploy.array import Array
from neurodeploy.backends.loihi_sim import MEMBER
from neurodeploy.calibrate import measure_activity
from neurodeploy.cost import booked
from neurodeploy.cost.links import packets
from neurodeploy.ir import interp
from neurodeploy.ir.graph import Graph
from neurodeploy.ir.trace import EVENT_KINDS, Trace
from neurodeploy.ir.types import Activity
from neurodeploy.mapping import mapper
from neurodeploy.mapping.expected import per_tick
from neurodeploy.mapping.plan import Plan
from neurodeploy.mapping.types import Mapping
from neurodeploy.mapping.written import written
from neurodeploy.passes.balance import balance
from neurodeploy.target import Target, load
from neurodeploy.target_schema import Board
from tests.properties.test_mapped_backends import check
from tests.properties.test_tokens_in_turn import COPIES, networks, streamed
from tests.strategies import inputs, integer_graphs
from tests.unit.mapping.test_given import content, said

TARGET = load("loihi-sim")
#: sums of what single elements do, whatever others do at the same time: products are not, nor copies that Views make
EXACT = ("synaptic_ops", "memory_reads", "packets_in", "neuron_updates", "stock_updates", "program_ops")


def measured(graph: Graph, x: Array) -> Graph:
    """The graph with the activity of every value on some samples."""

    def run(x: Array, names: Sequence[str]) -> Trace:
        return interp.run(graph, x, names)

    seen = measure_activity(graph, x, run).activity
    return graph.with_values({n: replace(graph.values[n], activity=found) for n, found in seen.items()})


def planned(graph: Graph, target: Target) -> tuple[Plan, Mapping]:
    """The plan of least latency, and its mapping."""
    found = mapper.planned(graph, target, "latency")
    return found.plan, mapper.placed(found)


@settings(max_examples=20)
@given(integer_graphs(), st.data())
def test_every_tile_does_what_is_expected(graph: Graph, data: st.DataObject) -> None:
    x = np.asarray(data.draw(inputs(graph)))
    graph = measured(balance(graph), x)
    plan, mapping = planned(graph, TARGET)
    tiles = [(t.accounting, tile) for t in plan.tilings.values() for tile in t.tiles]
    assume(len(tiles) == len(mapping.cores))
    trace = interp.run(graph, x, booked.names(graph))
    counted = booked.booked(graph, mapping, trace, TARGET).core_counts.sum(axis=2).mean(axis=0)
    for (accounting, tile), found in zip(tiles, counted, strict=True):
        expected = graph.header.timesteps * per_tick(accounting, tile)
        for kind in EXACT:
            column = EVENT_KINDS.index(kind)
            assert expected[column] == pytest.approx(found[column], rel=1e-5, abs=1e-4), (
                kind,
                accounting.group.name,
            )


def lopsided(graph: Graph, seed: int) -> Graph:
    """The graph with activity that says that few elements are busy."""
    random = np.random.default_rng(seed)
    values = {}
    for name, value in graph.values.items():
        times = (100 * random.random(value.shape.sizes) ** 8).astype(np.int64)
        values[name] = replace(
            value, activity=Activity(float(times.mean()) / 100, 1.0, (1.0,), 100, 0, times)
        )
    return graph.with_values(values)


@settings(max_examples=8)
@given(integer_graphs(), st.integers(0, 2**31), st.data())
def test_cuts_by_work_replay_and_compute_the_same(
    tmp_path_factory: pytest.TempPathFactory, graph: Graph, seed: int, data: st.DataObject
) -> None:
    graph = balance(lopsided(graph, seed))
    first = mapper.map_graph(graph, TARGET, optimise="latency")
    text = written(first, TARGET)
    event(f"uneven: {any('+' in group.layout for group in first.groups)}")
    again = mapper.map_graph(graph, TARGET, given=said(tmp_path_factory.mktemp("again"), text))
    assert content(graph, again, TARGET) == content(graph, first, TARGET)
    assert written(again, TARGET) == text
    check(MEMBER, graph, again, np.asarray(data.draw(inputs(graph))))


def check_copied(graph: Graph, x: Array, board: Board) -> None:
    """On a few small chips: packets of every core, hops, crossings, what passes the host; at most one for each core."""
    chip = TARGET.chip.model_copy(update={"cores_per_chip": 6, "multicast": True})
    few = TARGET.limits.neurons_per_core.model_copy(update={"value": 12})
    limits = TARGET.limits.model_copy(update={"neurons_per_core": few})
    target = TARGET.model_copy(update={"chip": chip, "board": board, "limits": limits, "chips": 16})
    graph = measured(graph, x)
    plan, mapping = planned(graph, target)
    assume(len(mapping.cores) == plan.flows.tiles and mapping.fits)
    trace = interp.run(graph, x, booked.names(graph))
    counted, apart = (booked.booked(graph, mapping, trace, place) for place in (target, TARGET))
    ticks, sent = graph.header.timesteps, plan.flows.packets
    event(f"shared: {sent.shared}, chips: {min(len({core.chip for core in mapping.cores}), 2)}")
    chips, column = np.array([*(core.chip for core in mapping.cores), -1]), EVENT_KINDS.index("packets_out")
    ours, most = (found.core_counts[..., column].sum(axis=2).mean(axis=0) for found in (counted, apart))
    expected = ticks * sent.sent(plan.flows.tiles)
    assert expected == pytest.approx(ours, rel=1e-5, abs=1e-4) and (expected <= most + 1e-3).all()
    for kind, amount in (
        ("mesh", mapping.notes["hops"]["placed"]),
        ("chip", mapping.notes["crossings"]["placed"]),
        ("host", sent.gathered(chips).hosted),
    ):
        assert ticks * amount == pytest.approx(packets(counted, kind).sum(), rel=1e-5, abs=1e-4), kind


@settings(max_examples=8)
@given(integer_graphs(), st.integers(0, 2), st.data())
def test_packets_that_are_copied_are_expected_as_cores_send_them(
    graph: Graph, chips_x: int, data: st.DataObject
) -> None:
    board = Board(chips_x=chips_x, chips_y=1, source="x") if chips_x else TARGET.board
    check_copied(balance(graph), np.asarray(data.draw(inputs(graph))), board)


@pytest.mark.slow
@settings(max_examples=12, suppress_health_check=[HealthCheck.filter_too_much])
@given(networks(), COPIES, st.data())
def test_packets_of_tokens_that_take_turns_are_expected_as_cores_send_them(
    graph: Graph, copies: list[int], data: st.DataObject
) -> None:
    check_copied(streamed(graph, copies), np.asarray(data.draw(inputs(graph))), TARGET.board)
