"""Cuts into parts of equal work: against all there are, and where images are busy in one place."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurodeploy import calibrate
from neurodeploy.backends.loihi_sim import MEMBER
from neurodeploy.image import encode
from neurodeploy.ir import interp
from neurodeploy.ir.graph import Graph
from neurodeploy.ir.types import Activity
from neurodeploy.mapping.activity import activity
from neurodeploy.mapping.demand import Accounting
from neurodeploy.mapping.expected import per_tick, spans, tick_ns
from neurodeploy.mapping.groups import populations
from neurodeploy.mapping.layouts.grid import NEAR, Parts, balanced
from neurodeploy.mapping.mapper import map_graph
from neurodeploy.mapping.repeats import Cutter
from neurodeploy.mapping.tiling import slowest_ns
from neurodeploy.mapping.written import written
from neurodeploy.passes.balance import balance
from neurodeploy.program import Program
from neurodeploy.target import load
from tests.networks import images, mini_vit
from tests.unit.mapping.networks import Net
from tests.unit.mapping.test_given import said

TARGET = load("loihi-sim")


@given(st.lists(st.floats(0, 100), min_size=1, max_size=9), st.data())
def test_no_other_parts_have_less_in_the_largest(amounts: list[float], data: st.DataObject) -> None:
    parts = data.draw(st.integers(1, len(amounts)))
    sizes = balanced(np.array(amounts), parts)
    assert sum(sizes) == len(amounts) and len(sizes) == parts and min(sizes) > 0

    def largest(edges: tuple[int, ...]) -> float:
        return max(sum(amounts[a:b]) for a, b in pairwise((0, *edges, len(amounts))))

    least = min(largest(cuts) for cuts in combinations(range(1, len(amounts)), parts - 1))
    assert largest(tuple(np.cumsum(sizes[:-1]).tolist())) <= least * (1 + 3 * NEAR) + 1e-9


def busy_in_one_corner() -> Graph:
    """A convolution of images that speak in the first of eight columns, and hardly elsewhere."""
    net = Net()
    x = net.input("CYX", 4, 8, 8)
    often = np.broadcast_to(np.where(np.arange(8) < 1, 100, 2), (4, 8, 8))
    net.values[x] = replace(
        net.values[x], activity=Activity(float(often.mean()) / 100, 1.0, (1.0,), 100, 0, often)
    )
    return balance(net.output(net.lif(net.conv(x, 16, 3, padding=1))))


def test_busy_places_are_cut_finer(tmp_path: Path) -> None:
    graph = busy_in_one_corner()
    group = next(g for g in populations(graph) if not g.on_host)
    accounting, cutter = Accounting.of(graph, TARGET, group), Cutter(graph, TARGET)
    finest = cutter.cut(group)
    for _ in range(4):
        finest = cutter.finer(finest)
    sizes = next(s for s in finest.cut.partition.sizes if not isinstance(s, int))
    assert min(sizes[:2]) < max(sizes)
    # The slowest of all tiles is among those that were counted, and equal parts would be slower.
    slowest = max(tick_ns(per_tick(accounting, tile), TARGET)[0] for tile in finest.tiles)
    assert finest.cut.work == pytest.approx(slowest)
    parts = finest.cut.partition
    equal = Parts(parts.cells, parts.roles, tuple(
        -(-size // (len(edges) - 1)) for size, edges in zip(parts.cells.shape, parts.edges, strict=True)
    ))  # fmt: skip
    assert slowest_ns(accounting, equal)[0] > finest.cut.work


def test_what_is_cut_by_work_replays_and_computes_the_same(tmp_path: Path) -> None:
    graph = busy_in_one_corner()
    mapping = map_graph(graph, TARGET, optimise="latency")
    text = written(mapping, TARGET)
    assert any("+" in group.layout for group in mapping.groups) and "[" in text.split("layout", 1)[1]
    again = map_graph(graph, TARGET, given=said(tmp_path, text))
    assert written(again, TARGET) == text
    x = np.random.default_rng(0).integers(0, 2, (3, 4, 8, 8))
    trace, _ = MEMBER.run(Program(graph, encode(graph, again, TARGET)), x)
    assert np.array_equal(trace.outputs, interp.run(graph, x).outputs)


def test_ladders_go_on_where_a_few_cores_more_bring_nothing() -> None:
    """Tokens of one kind: sixteen parts are faster than eight, nine to fifteen are not."""
    net = Net()
    graph = balance(net.output(net.lif(net.dense(net.input("NC", 16, 64), 1))))
    cutter = Cutter(graph, TARGET)
    cut = cutter.cut(next(g for g in populations(graph) if not g.on_host), least=8)
    assert cut.cut.cores == 8 and cutter.finer(cut).cut.cores == 16


def test_a_core_takes_in_a_tick_before_its_programs_work_on_it() -> None:
    assert [(part.name, start, stop) for part, start, stop in spans(3, 4)] == [
        ("TAKING_IN", 2, 3), ("WHOLE", 3, 6), ("PROGRAMS", 6, 7)
    ]  # fmt: skip
    assert [(part.name, stop - start) for part, start, stop in spans(3, 1) if stop > start] == [
        ("TAKING_IN", 1), ("PROGRAMS", 1)
    ]  # fmt: skip


def test_calibration_keeps_how_often_each_element_speaks() -> None:
    source = mini_vit(seed=0)
    x = images(source, 5, 0)
    ranges, names = calibrate.measure(source, x, 0), calibrate.senders(source)
    trace = interp.run(source, x, names)
    assert set(ranges.activity) == set(names)
    for name, found in ranges.activity.items():
        spoke = (trace.values[name] != 0).sum(axis=(0, 1))
        assert found.times is not None and np.array_equal(found.times, spoke)
        assert found.mean == pytest.approx(spoke.mean() / (found.samples * len(found.by_tick)))


def test_activity_goes_through_views_and_delays() -> None:
    net = Net()
    x = net.input("NC", 2, 3)
    times = np.arange(6).reshape(2, 3)
    net.values[x] = replace(net.values[x], activity=Activity(0.5, 1.0, (1.0,), 10, 0, times))
    turned = net.view(x, "permute", (1, 0), "CN")
    graph = net.output(net.lif(net.dense(turned, 4)))
    assert np.allclose(activity(graph, turned).each, times.T / 10)
