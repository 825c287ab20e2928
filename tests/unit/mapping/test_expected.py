"""What the mapper expects of a tile, against what simulated cores then count, and plans against the estimate."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from neurodeploy import calibrate, cost
from neurodeploy.backends.loihi_sim import MEMBER
from neurodeploy.convert._base import METHODS
from neurodeploy.image import encode
from neurodeploy.ir.trace import EVENT_KINDS
from neurodeploy.mapping import mapper
from neurodeploy.mapping.expected import per_tick
from neurodeploy.mapping.objectives._base import OBJECTIVES
from neurodeploy.mapping.plan import Plan
from neurodeploy.passes.balance import balance
from neurodeploy.program import Program
from neurodeploy.quantize import quantize
from neurodeploy.target import load
from tests.fast import fast
from tests.networks import images, mini_snn, mini_vit
from tests.unit.mapping.networks import Net

TARGET = load("loihi-sim")
EXACT = ("neuron_updates", "stock_updates", "program_ops")
#: values are taken to be independent of each other, which products of running sums of a small network are least
NEAR = {
    "synaptic_ops": 0.2,
    "memory_reads": 0.2,
    "packets_in": 0.35,
    "microcode_ops": 0.1,
    "product_ops": 0.8,
}


@pytest.fixture(scope="module", params=[("ecmt", mini_vit), ("native", mini_snn)], ids=["ecmt", "native"])
def planned(request: pytest.FixtureRequest) -> tuple[Plan, Any, Any]:
    """A plan, the program made of it, and what its cores counted on the samples it was calibrated with."""
    method, make = request.param
    source = make(seed=0)
    x = images(source, 12, 0)
    spiking = METHODS[method].rewrite(source, METHODS[method].configure({})[1], x, 4)
    graph = balance(quantize(spiking, calibrate.measure(spiking, x, 0)), TARGET.limits.delay_steps.value)
    plans: list[Plan] = []
    with pytest.MonkeyPatch.context() as patch:
        choose = mapper.cheapest
        patch.setattr(mapper, "cheapest", lambda *args: plans.append(choose(*args)) or plans[0])
        program = Program(graph, encode(graph, mapper.map_graph(graph, TARGET, optimise="energy"), TARGET))
    return plans[0], program, MEMBER.run(program, x)[1]


def test_expected_events_are_those_that_cores_count(planned: tuple[Plan, Any, Any]) -> None:
    plan, program, events = planned
    ticks = program.graph.header.timesteps
    every = [per_tick(t.accounting, tile) for t in plan.tilings.values() for tile in t.tiles]
    expected = dict(zip(EVENT_KINDS, ticks * np.sum(every, axis=0), strict=True))
    for kind in EXACT:
        assert expected[kind] == pytest.approx(events.total(kind)), kind
    for kind, share in NEAR.items():
        assert expected[kind] == pytest.approx(events.total(kind), rel=share), kind


@pytest.mark.parametrize("optimise", fast(["energy", "latency", "throughput", "edp"], "energy"))
def test_more_chips_never_cost_more(planned: tuple[Plan, Any, Any], optimise: str) -> None:
    """Whoever gives more room gets what less room would give, within 2 %."""
    graph, found = planned[1].graph, []
    small = TARGET.model_copy(update={"chip": TARGET.chip.model_copy(update={"cores_per_chip": 16})})
    choose = mapper.cheapest
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mapper, "cheapest", lambda *args: found.append(choose(*args)) or found[-1])
        for chips in (1, 2, 4, 8):
            mapper.map_graph(graph, small, chips=chips, optimise=optimise)
    costs = [OBJECTIVES[optimise].cost(plan) for plan in found]
    assert all(more <= 1.02 * less for less, more in pairwise(costs)), costs


def test_a_group_that_cannot_be_cut_is_passed_over() -> None:
    """One row operator holds a whole core; the layers behind it are spread all the same."""
    net = Net()
    x = net.micro(net.dense(net.input("C", 40), 256, "wide"), "layer_norm", "norm")
    x = net.lif(net.dense(net.lif(x, "a"), 256, "fc"), "b")
    graph = balance(net.output(net.dense(x, 10, "head")))
    layers = Counter(
        core.pieces[0].group for core in mapper.map_graph(graph, TARGET, optimise="latency").cores
    )
    assert layers["wide"] == 1 and layers["fc"] >= 4


def test_a_plan_costs_what_the_estimate_says_as_far_as_it_can_know(planned: tuple[Plan, Any, Any]) -> None:
    """It takes every tile for as busy as the fullest, and knows no places: somewhat more, never a fraction."""
    plan, program, events = planned
    found = cost.estimate(program, events, TARGET)
    assert 0.8 < plan.latency_ns / found.timing.latency_ns.nominal < 1.4
    assert 0.8 < plan.energy_pj / found.energy_pj.nominal < 1.6
    assert plan.cores == len(program.mapping.cores) and plan.steps == events.steps
