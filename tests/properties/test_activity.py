"""What is expected of every tile from the activity of elements: what cores count on the samples that were seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, event, given, settings
from hypothesis import strategies as st

from neurodeploy.array import Array
from neurodeploy.backends.loihi_sim import MEMBER
from neurodeploy.calibrate import measure_activity
from neurodeploy.cost import booked
from neurodeploy.ir import interp
from neurodeploy.ir.graph import Graph
from neurodeploy.ir.trace import EVENT_KINDS, Trace
from neurodeploy.ir.types import Activity
from neurodeploy.mapping import mapper
from neurodeploy.mapping.expected import per_tick
from neurodeploy.mapping.plan import Plan
from neurodeploy.mapping.written import written
from neurodeploy.passes.balance import balance
from neurodeploy.target import load
from tests.properties.test_mapped_backends import check
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


@settings(max_examples=20)
@given(integer_graphs(), st.data())
def test_every_tile_does_what_is_expected(graph: Graph, data: st.DataObject) -> None:
    x = np.asarray(data.draw(inputs(graph)))
    graph = measured(balance(graph), x)
    plans: list[Plan] = []
    with pytest.MonkeyPatch.context() as patch:
        choose = mapper.cheapest
        patch.setattr(mapper, "cheapest", lambda *args: plans.append(choose(*args)) or plans[0])
        mapping = mapper.map_graph(graph, TARGET, optimise="latency")
    tiles = [(t.accounting, tile) for t in plans[0].tilings.values() for tile in t.tiles]
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
