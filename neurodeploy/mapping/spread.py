"""Over how many cores the groups are spread: plans for the budgets of an objective, of which the cheapest is taken."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Mapping, Sequence
from dataclasses import replace
from math import ceil

from ..array import Array
from ..target import Target
from .expected import whole
from .groups import Population
from .limits import fill, usage
from .objectives._base import Objective
from .plan import Plan
from .repeats import Cutter
from .tiling import Tiling
from .traffic import Flows, Traffic
from .types import Piece

Tilings = Mapping[str, Tiling]  # of every group on cores, by its name
ROUNDS = 8  # of cutting finer where output axons, known only once everything is cut, do not fit


def cheapest(
    cutter: Cutter,
    groups: Sequence[Population],
    tilings: Tilings,
    objective: Objective,
    given: Container[str] = (),
) -> Plan:
    """The plan of least cost among those for the budgets that the objective names, each going on from the one below.

    Groups ``given`` stay as they are cut.
    """
    budgets = objective.budgets(sum(len(t.tiles) for t in tilings.values()), cutter.target.cores)
    flows, plans = Flows(cutter.graph, groups), {}
    counts = {name: whole(tiling.accounting) for name, tiling in tilings.items()}
    ticks = cutter.graph.header.timesteps
    # Where a pipeline counts, all groups are at work in every step.
    busy = {g.name: slice(0, 1) if objective.steady else slice(g.depth, g.depth + ticks) for g in groups}
    for budget in sorted({*budgets, *_whole_chips(budgets, cutter.target)}):
        tilings = spread(cutter, busy, tilings, budget, given)
        plans[budget] = settled(cutter, flows, dict(tilings), counts, given)
    order = [*budgets, *_whole_chips(budgets, cutter.target)]
    best, *others = sorted(dict.fromkeys(plans[budget] for budget in order), key=objective.cost)
    return replace(best, others=others)


def _whole_chips(budgets: Sequence[int], target: Target) -> list[int]:
    """Numbers of cores between those of some budgets that fill 1, 2, 4, .. chips: beyond each the price jumps."""
    chips = (2**k for k in range(target.chips.bit_length()))
    sizes = (n * target.chip.cores_per_chip for n in chips)
    return [size for size in sizes if min(budgets) < size < max(budgets)]


def spread(
    cutter: Cutter, busy: Mapping[str, slice], tilings: Tilings, budget: int, given: Container[str] = ()
) -> Tilings:
    """Cuts the group that most of the time waits for finer, again and again, while cores are left and it helps.

    ``busy``: the steps in which each group works.
    """
    tilings, stuck = dict(tilings), {name for name in tilings if name in given}
    free = budget - sum(len(t.tiles) for t in tilings.values())
    while free > 0 and (slow := _slowest(busy, tilings, stuck)):
        finer = cutter.finer(tilings[slow])
        more = len(finer.tiles) - len(tilings[slow].tiles)
        if 0 < more <= free:
            tilings[slow], free = finer, free - more
        else:
            stuck.add(slow)
    return tilings


def _slowest(busy: Mapping[str, slice], tilings: Tilings, stuck: Container[str]) -> str:
    """The group that holds up the most time, step by step; steps that one which cannot be cut holds up are lost."""
    last: dict[int, tuple[float, str]] = {}
    for name, tiling in tilings.items():
        for step in range(busy[name].start, busy[name].stop):
            last[step] = max(last.get(step, (0.0, "")), (tiling.cut.work, name))
    held: Counter[str] = Counter()
    for work, name in last.values():
        if work > 0 and name not in stuck:
            held[name] += work  # type: ignore[assignment]
    return held.most_common(1)[0][0] if held else ""


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
        changed = dict(tilings)
        parts = iter(pieces(tilings, traffic))
        for name, tiling in tilings.items():
            demands = [next(parts).demand for _ in tiling.tiles]
            over = max(fill(usage(d, cutter.target))[0] for d in demands)
            if tiling.cut.fits and over > 1 and name not in given:
                least = max(len(demands) + 1, ceil(len(demands) * min(over, 16)))
                finer = cutter.cut(tiling.accounting.group, least)
                changed[name] = finer if len(finer.tiles) > len(demands) else tiling
        if all(changed[name] is tilings[name] for name in tilings):
            break
        tilings = changed
        traffic = flows.traffic(tilings)
    return Plan(cutter.graph, cutter.target, flows.groups, tilings, traffic, counts)


def pieces(tilings: Tilings, traffic: Traffic) -> list[Piece]:
    """The tiles of all groups in order, with their output axons."""
    sent, found = iter(traffic.axon_out.tolist()), []
    for name, cut in tilings.items():
        for part, demand in zip(cut.tiles, cut.demands, strict=True):
            found.append(Piece(name, part.elements, replace(demand, axon_out=next(sent))))
    return found
