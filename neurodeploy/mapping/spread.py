"""Over how many cores the groups are spread: plans for more and more cores, of which the cheapest is taken."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil

import numpy as np

from ..array import Array
from ..counted import counted
from ..price import barrier_ns
from ..target import Target
from .allotment import Ladders, allot
from .crowding import LEVEL
from .expected import Part, spans, whole
from .groups import Population
from .limits import RESOURCES, fullest
from .objectives._base import Objective
from .plan import Plan
from .repeats import Cutter
from .tiling import Tiling
from .topology import Topology
from .traffic import Flows, Traffic
from .types import Demand, Piece

Tilings = Mapping[str, Tiling]  # of every group on cores, by its name
#: what a word of the output axon table adds to each resource
SENDING = np.array([float(getattr(Demand(axon_out=1), name)) for name in RESOURCES])
PARTS = list(Part)
WORTH = 0.25  # of a barrier: groups with less work in a step are not cut finer
PATIENCE = 4  # numbers of cores that are tried without a better plan
GROWTH = 1.25  # from one number of cores to the next that is tried
ROUNDS = 8  # of cutting finer where output axons, known only once everything is cut, do not fit


@dataclass(frozen=True)
class Budget:
    """What a user allows: so many cores, and so long an inference as expected; None: whatever it takes."""

    cores: int | None = None
    latency_ns: float | None = None

    def holds(self, plan: Plan) -> bool:
        """Whether a plan keeps within it."""
        slow = self.latency_ns is not None and plan.cost.latency_ns > self.latency_ns
        return not slow and (self.cores is None or plan.cores <= self.cores)


FREE = Budget()


def cheapest(
    cutter: Cutter,
    groups: Sequence[Population],
    tilings: Tilings,
    objective: Objective,
    given: Container[str] = (),
    most: Budget = FREE,
) -> Plan:
    """The plan of least cost among those for more and more cores, as long as it gets cheaper.

    Cores are given out in two ways: as a frame waits for groups, step by step, and as a pipeline does, in which all
    are at work in every step. Each finds plans that the other misses, whatever is to be small. Groups ``given`` stay
    as they are cut. Where no plan keeps within the budget, it is the fastest with so many cores, or the one of fewest.
    """
    target, ticks = cutter.target, cutter.graph.header.timesteps
    cores = min(target.cores, most.cores or target.cores)
    flows = Flows(cutter.graph, groups, Topology.of(target).multicast)
    counts = {name: whole(tiling.accounting) for name, tiling in tilings.items()}

    def rank(plan: Plan) -> tuple[float, ...]:
        if most.holds(plan):
            return 0, objective.cost(plan), plan.cores
        return (1, plan.cost.latency_ns) if plan.cores <= cores else (2, plan.cores)

    plan = best = settled(cutter, flows, dict(tilings), counts, given)
    weighed = {plan.cost: rank(plan)}
    if objective.compact and most.latency_ns is None:
        return plan
    least_ns = WORTH * barrier_ns(target.with_chips(1), LEVEL)
    ladders = Ladders(cutter, {name: [tiling] for name, tiling in tilings.items()}, given, least_ns)
    frame = _spans([group for group in groups if group.name in tilings], ticks)
    always = np.zeros((len(tilings), 1), dtype=np.int64), np.ones(1), np.zeros((len(tilings), 1), np.int64)
    idle = 0
    for budget in counted(_budgets(plan.cores, cores, target), "sizes of plan"):
        ladders.build(budget)
        before = rank(best)
        for steps, length, part in (frame, always):
            plan = settled(cutter, flows, allot(ladders, steps, budget, length, part), counts, given)
            weighed[plan.cost], best = rank(plan), min(best, plan, key=rank)
        idle = 0 if rank(best) < before else idle + 1
        if idle == PATIENCE or ladders.cores <= budget:
            break
    others = (cost for cost in sorted(weighed, key=weighed.__getitem__) if cost != best.cost)
    return replace(best, others=tuple(others))


def _spans(groups: Sequence[Population], ticks: int) -> tuple[Array, Array, Array]:
    """Steps in which the same groups work, taken together: those of each group (groups, n), and how many each is.

    The last one has no length: it fills the rows of groups that work in fewer. Third, the number of the
    :class:`.expected.Part` that each group does then.
    """
    own = [spans(group.depth, ticks * group.turns) for group in groups]
    bounds = np.unique([edge for row in own for _, *ends in row for edge in ends])
    rows, parts = [], []
    for row in own:
        places = [np.arange(*np.searchsorted(bounds, ends)) for _, *ends in row]
        rows.append(np.concatenate(places))
        parts.append(np.repeat([PARTS.index(part) for part, *_ in row], list(map(len, places))))
    shape = len(groups), max(map(len, rows), default=1)
    steps, part = np.full(shape, len(bounds) - 1), np.zeros(shape, dtype=np.int64)
    for at, (places, numbers) in enumerate(zip(rows, parts, strict=True)):
        steps[at, : len(places)], part[at, : len(places)] = places, numbers
    return steps, np.diff(bounds, append=bounds[-1:]).astype(float), part


def _budgets(fewest: int, cores: int, target: Target) -> list[int]:
    """Numbers of cores to try, ascending: ever more, and those of 1, 2, 4, .. chips, beyond which prices jump."""
    chips = (2**k * target.chip.cores_per_chip for k in range(target.chips.bit_length()))
    found = {size for size in chips if fewest < size < cores}
    while fewest < cores:
        fewest = min(ceil(GROWTH * fewest), cores)
        found.add(fewest)
    return sorted(found)


def settled(
    cutter: Cutter,
    flows: Flows,
    tilings: dict[str, Tiling],
    counts: Mapping[str, Array],
    given: Container[str] = (),
) -> Plan:
    """The plan whose output axons fit too, as far as cutting finer helps; ``counts``: of whole groups."""
    traffic = flows.traffic(tilings)
    for _ in range(ROUNDS):
        changed, axons, first = dict(tilings), traffic.axon_out, 0
        for name, tiling in tilings.items():
            sent, first = axons[first : first + tiling.cut.cores], first + tiling.cut.cores
            over = fullest(tiling.amounts + np.outer(sent, SENDING), cutter.target)
            if tiling.cut.fits and over > 1 and name not in given:
                least = max(tiling.cut.cores + 1, ceil(tiling.cut.cores * min(over, 16)))
                finer = cutter.cut(tiling.accounting.group, least)
                changed[name] = finer if finer.cut.cores > tiling.cut.cores else tiling
        if all(changed[name] is tilings[name] for name in tilings):
            break
        tilings = changed
        traffic = flows.traffic(tilings)
    return Plan(cutter.graph, cutter.target, flows.groups, tilings, traffic, counts)


def demands(tilings: Tilings, traffic: Traffic) -> list[Demand]:
    """What the tiles of all groups need, in order, with their output axons."""
    known = (demand for tiling in tilings.values() for demand in tiling.demands)
    return [
        replace(demand, axon_out=sent) for demand, sent in zip(known, traffic.axon_out.tolist(), strict=True)
    ]


def pieces(tilings: Tilings, traffic: Traffic) -> list[Piece]:
    """The tiles of all groups in order, with their elements."""
    tiles = ((name, part) for name, tiling in tilings.items() for part in tiling.tiles)
    needed = demands(tilings, traffic)
    return [Piece(name, part.elements, demand) for (name, part), demand in zip(tiles, needed, strict=True)]
