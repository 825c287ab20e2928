"""What the search says of its plan: the costs of what it weighed, what bounds the layers, and their next cuts."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from neurodeploy.mapping import mapper
from neurodeploy.mapping.objectives._base import OBJECTIVES
from neurodeploy.mapping.plan import Plan
from neurodeploy.passes.balance import balance
from neurodeploy.price import barrier_ns
from neurodeploy.target import load
from tests.fast import fast
from tests.unit.mapping.networks import ecmt_transformer

TARGET = load("loihi-sim")


@cache
def found(optimise: str) -> tuple[Plan, dict[str, Any]]:
    """The plan that was taken, and what the mapping says of the search."""
    plans: list[Plan] = []
    choose = mapper.cheapest
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mapper, "cheapest", lambda *args: plans.append(choose(*args)) or plans[0])
        mapping = mapper.map_graph(balance(ecmt_transformer(1, 4, 32)), TARGET, optimise=optimise)
    return plans[0], mapping.notes["search"]


@pytest.mark.parametrize("optimise", fast(OBJECTIVES, "energy", "cores"))
def test_the_plan_taken_costs_least_and_the_next_best_least_of_the_others(optimise: str) -> None:
    plan, search = found(optimise)
    cost = OBJECTIVES[optimise].cost
    every: list[Any] = [plan, *plan.others]
    costs = {p.cores: cost(p) for p in reversed(every)}
    labels = {row["plan"]: row["tiles"] for row in search["plans"]}
    assert labels.pop("taken") == plan.cores and costs[plan.cores] == min(costs.values())
    del costs[plan.cores]
    if costs:
        assert costs[labels["next best"]] == min(costs.values())
        assert min(*labels.values(), plan.cores) == min(plan.cores, *costs)
    assert len(set(labels.values())) == len(labels)


def test_costs_are_those_of_the_plan() -> None:
    plan, search = found("energy")
    taken = search["plans"][0]
    assert taken["energy_uj"] * 1e6 == pytest.approx(plan.energy_pj)
    assert taken["latency_ms"] * 1e6 == pytest.approx(plan.latency_ns)
    assert taken["period_ms"] * 1e6 == pytest.approx(plan.period_ns)


def test_the_layers_and_the_empty_steps_hold_up_all_the_time() -> None:
    plan, search = found("energy")
    ticks = plan.graph.header.timesteps
    # A group takes in its first tick in the step before its programs work on it.
    busy = {s for g in plan.groups if g.name in plan.tilings for s in range(g.depth - 1, g.depth + ticks)}
    empty = (plan.steps - len(busy)) * barrier_ns(TARGET, "nominal")
    held = sum(row["share"] for row in search["layers"])
    assert held + empty / plan.latency_ns == pytest.approx(1)
    assert {row["layer"] for row in search["layers"]} == set(plan.tilings)
    assert {row["bound"] for row in search["layers"]} <= {"memory", "compute", "traffic", "barrier"}


def test_the_next_cut_is_another_one_that_fits() -> None:
    plan, search = found("cores")
    several = [row for row in search["layers"] if row["next_layout"]]
    assert several
    for row in several:
        offered = plan.tilings[row["layer"]].alternatives
        (cut,) = [c for c in offered if c["layout"] == row["next_layout"] and c["cores"] == row["next_cores"]]
        assert cut["fits"] and cut["layout"] != row["layout"]
        assert row["next_tick_ns"] == cut["tick_ns"] > 0


def test_a_target_without_prices_has_nothing_to_weigh() -> None:
    mapping = mapper.map_graph(balance(ecmt_transformer(1, 4, 32)), load("cpu-sim"))
    assert mapping.notes["search"] == {}
