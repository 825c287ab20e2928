"""What a user allows: cores and time, under every objective."""

from __future__ import annotations

from functools import cache

import pytest

from neurodeploy.mapping.groups import populations
from neurodeploy.mapping.mapper import map_graph
from neurodeploy.mapping.objectives._base import OBJECTIVES
from neurodeploy.mapping.plan import Plan
from neurodeploy.mapping.repeats import Cutter
from neurodeploy.mapping.spread import FREE, Budget, cheapest
from neurodeploy.passes.balance import balance
from neurodeploy.target import load
from tests.fast import fast
from tests.unit.mapping.networks import spiking_transformer

LOIHI2 = load("loihi2")
GRAPH = balance(spiking_transformer(2, 16, 32))
#: cores of the coarsest cut, one for each of its tiles
FEWEST = 21


@cache
def plan(objective: str, most: Budget = FREE) -> Plan:
    cutter, groups = Cutter(GRAPH, LOIHI2), populations(GRAPH)
    coarse = {g.name: cutter.cut(g) for g in groups if not g.on_host}
    return cheapest(cutter, groups, coarse, OBJECTIVES[objective], most=most)


def test_the_coarsest_cut_is_as_said() -> None:
    assert plan("cores").cores == FEWEST


@pytest.mark.parametrize("objective", fast([name for name in OBJECTIVES if name != "cores"], "energy"))
@pytest.mark.parametrize("cores", fast([FEWEST, 30, 40], 30))
def test_no_more_cores_than_allowed_are_used(objective: str, cores: int) -> None:
    free, bound = plan(objective), plan(objective, Budget(cores))
    assert free.cores > 40 and FEWEST <= bound.cores <= cores
    assert OBJECTIVES[objective].cost(bound) >= OBJECTIVES[objective].cost(free)
    assert map_graph(GRAPH, LOIHI2, optimise=objective, most=Budget(cores)).fits


def test_layers_share_cores_where_fewer_are_allowed_than_tiles() -> None:
    shared = map_graph(GRAPH, LOIHI2, optimise="energy", most=Budget(FEWEST - 4))
    assert shared.fits and len(shared.cores) <= FEWEST - 4 < shared.notes["pieces"]
    (problem,) = map_graph(GRAPH, LOIHI2, optimise="energy", most=Budget(1)).problems
    least = len(map_graph(GRAPH, LOIHI2, optimise="cores").cores)
    assert problem.code == "ND525" and problem.fixes == (f"--max-cores {least}",)


@pytest.mark.parametrize("objective", fast(["cores", "energy", "throughput"], "cores"))
def test_the_cheapest_mapping_that_is_fast_enough_is_taken(objective: str) -> None:
    free, fastest = plan(objective), plan("latency")
    ns = (free.latency_ns + fastest.latency_ns) / 2
    bound = plan(objective, Budget(latency_ns=ns))
    assert fastest.latency_ns <= bound.latency_ns <= ns <= free.latency_ns
    assert objective != "cores" or ns < free.latency_ns
    assert OBJECTIVES[objective].cost(free) <= OBJECTIVES[objective].cost(bound)
    assert OBJECTIVES[objective].cost(bound) <= OBJECTIVES[objective].cost(fastest)
    assert map_graph(GRAPH, LOIHI2, optimise=objective, most=Budget(latency_ns=ns)).fits


@pytest.mark.slow  # 14 s
def test_a_bound_that_nothing_keeps_is_a_problem_that_names_the_fastest() -> None:
    fastest = plan("latency").latency_ns
    for objective in ("cores", "energy"):
        mapping = map_graph(GRAPH, LOIHI2, optimise=objective, most=Budget(latency_ns=fastest / 2))
        (problem,) = mapping.problems
        assert problem.code == "ND526" and problem.found == f"{fastest / 1e6:.4g} ms expected"
        assert problem.limit == f"{fastest / 2e6:.4g} ms (max_latency_ms)"
        option, enough = problem.fixes[0].split()
        most = Budget(latency_ns=float(enough) * 1e6)
        assert option == "--max-latency" and map_graph(GRAPH, LOIHI2, optimise=objective, most=most).fits
