"""Cores given to groups: against all choices there are, and as a frame and as a pipeline need them."""

from __future__ import annotations

from itertools import pairwise, product
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from neurodeploy.mapping.allotment import Ladders, allot
from neurodeploy.mapping.groups import populations
from neurodeploy.mapping.objectives._base import OBJECTIVES
from neurodeploy.mapping.repeats import Cutter
from neurodeploy.mapping.spread import cheapest
from neurodeploy.passes.balance import balance
from neurodeploy.target import load
from tests.unit.mapping.networks import mlp

TARGET = load("loihi-sim")


def rung(work: float, cores: int) -> Any:
    """As much of a tiling as counts here."""
    cut = SimpleNamespace(work=work, tick_ns=(work,), cores=cores, fits=True)
    return SimpleNamespace(cut=cut)


def drawn(seed: int) -> tuple[Ladders, np.ndarray]:
    """Four groups of five cuts each, and the steps in which they work."""
    rng = np.random.default_rng(seed)
    rungs = {}
    for name in "abcd":
        cores = np.cumsum(rng.integers(1, 4, 5))
        work = rng.integers(20, 200) / np.cumsum(rng.uniform(0.2, 1.0, 5))
        rungs[name] = [rung(float(w), int(n)) for w, n in zip(work, cores, strict=True)]
    depth, ticks = rng.integers(0, 4, (4, 1)), int(rng.integers(1, 4))
    return Ladders(None, rungs, "abcd", 0.0), depth + np.arange(ticks)


def lasts(chosen: Any, steps: np.ndarray) -> float:
    """Of a whole run, from the definition: every step waits for its slowest group."""
    every = range(steps.max() + 1)
    waits = [[t.cut.work for t, row in zip(chosen, steps, strict=True) if step in row] for step in every]
    return sum(max(groups, default=0.0) for groups in waits)


@pytest.mark.parametrize("cores", [8, 12, 16, 24])
def test_cores_go_where_a_run_gets_shortest(cores: int) -> None:
    ratios = []
    for seed in range(40):
        ladders, steps = drawn(seed)
        chosen = list(allot(ladders, steps, cores).values())
        combinations = product(*ladders.rungs.values())
        least = min(lasts(c, steps) for c in combinations if sum(t.cut.cores for t in c) <= max(cores, 12))
        coarsest = sum(ladder[0].cut.cores for ladder in ladders.rungs.values())
        assert sum(t.cut.cores for t in chosen) <= max(cores, coarsest)
        if cores >= 12:  # that many all can do with
            ratios.append(lasts(chosen, steps) / least)
    assert cores < 12 or (min(ratios) > 1 - 1e-9 and max(ratios) < 1.2 and np.mean(ratios) < 1.02)


def test_a_pipeline_needs_cores_at_other_places_than_a_frame() -> None:
    few = TARGET.model_copy(update={"chip": TARGET.chip.model_copy(update={"cores_per_chip": 16})})
    graph = balance(mlp((200, 300, 128, 64, 10)))
    cutter, groups = Cutter(graph, few), [g for g in populations(graph) if not g.on_host]
    coarse = {g.name: cutter.cut(g) for g in groups}
    ladders = Ladders(cutter, {name: [tiling] for name, tiling in coarse.items()}, (), 0.0)
    ladders.build(16)
    depth = np.array([[g.depth] for g in groups])
    steps = {"latency": depth + np.arange(graph.header.timesteps), "throughput": 0 * depth}
    chosen = {name: list(allot(ladders, found, 16).values()) for name, found in steps.items()}
    slowest = {name: max(t.cut.work for t in tilings) for name, tilings in chosen.items()}
    assert slowest["throughput"] < 0.9 * slowest["latency"]
    every = populations(graph)
    plans = {name: cheapest(cutter, every, coarse, OBJECTIVES[name]) for name in steps}
    assert plans["throughput"].period_ns <= plans["latency"].period_ns
    assert plans["latency"].latency_ns <= plans["throughput"].latency_ns


def test_ladders_end_where_a_group_is_given_or_not_worth_it() -> None:
    graph = balance(mlp((200, 300, 10)))
    cutter = Cutter(graph, TARGET)
    coarse = {g.name: cutter.cut(g) for g in populations(graph) if not g.on_host}
    work = {name: tiling.cut.work for name, tiling in coarse.items()}
    for given, least_ns in ((("fc1",), 0.0), ((), work["fc1"])):
        ladders = Ladders(cutter, {name: [tiling] for name, tiling in coarse.items()}, given, least_ns)
        ladders.build(1000)
        assert len(ladders.rungs["fc1"]) == 1
    assert len(ladders.rungs["fc2"]) == 1 or work["fc2"] > work["fc1"]
    ladders = Ladders(cutter, {name: [tiling] for name, tiling in coarse.items()}, (), 0.0)
    ladders.build(1000)
    for ladder in ladders.rungs.values():
        assert len(ladder) > 5
        assert [t.cut.cores for t in ladder] == sorted({t.cut.cores for t in ladder})
        assert all(a.cut.work > b.cut.work for a, b in pairwise(ladder))
