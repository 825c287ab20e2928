"""Over how many cores the groups are spread: plans for the budgets of an objective, of which the cheapest is taken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import ceil

from .groups import Population
from .limits import fill, usage
from .objectives._base import Objective
from .plan import Plan
from .repeats import Cutter
from .tiling import Tiling, by_work, tile
from .traffic import Flows, Traffic
from .types import Piece

Tilings = Mapping[str, Tiling]  # of every group on cores, by its name
ROUNDS = 8  # of cutting finer where output axons, known only once everything is cut, do not fit


def cheapest(cutter: Cutter, groups: Sequence[Population], tilings: Tilings, objective: Objective) -> Plan:
    """The plan of least cost among those for the budgets that the objective names."""
    fewest = sum(len(t.tiles) for t in tilings.values())
    budgets = objective.budgets(fewest, cutter.target.cores)
    flows = Flows(cutter.graph, groups)
    return min((settled(cutter, flows, spread(tilings, budget)) for budget in budgets), key=objective.cost)


def spread(tilings: Tilings, budget: int) -> dict[str, Tiling]:
    """Cuts the group with the fullest core finer, again and again, while cores are left and it helps."""
    tilings = dict(tilings)
    while tilings:
        free = budget - sum(len(t.tiles) for t in tilings.values())
        slow = max(tilings, key=lambda name: tilings[name].cut.work)
        old = tilings[slow]
        if free < 1:
            break
        finer = tile(old.accounting, by_work, len(old.tiles) + 1, len(old.tiles) + free)
        useful = finer.cut.fits and finer.cut.work < old.cut.work
        if not useful or len(finer.tiles) - len(old.tiles) > free:
            break
        tilings[slow] = finer
    return tilings


def settled(cutter: Cutter, flows: Flows, tilings: dict[str, Tiling]) -> Plan:
    """The plan whose output axons fit too, as far as cutting finer helps."""
    traffic = flows.traffic(tilings)
    for _ in range(ROUNDS):
        changed = dict(tilings)
        parts = iter(pieces(tilings, traffic))
        for name, tiling in tilings.items():
            demands = [next(parts).demand for _ in tiling.tiles]
            over = max(fill(usage(d, cutter.target))[0] for d in demands)
            if tiling.cut.fits and over > 1:
                least = max(len(demands) + 1, ceil(len(demands) * min(over, 16)))
                finer = cutter.cut(tiling.accounting.group, least)
                changed[name] = finer if len(finer.tiles) > len(demands) else tiling
        if all(changed[name] is tilings[name] for name in tilings):
            break
        tilings = changed
        traffic = flows.traffic(tilings)
    return Plan(cutter.graph, cutter.target, flows.groups, tilings, traffic)


def pieces(tilings: Tilings, traffic: Traffic) -> list[Piece]:
    """The tiles of all groups in order, with their output axons."""
    sent, found = iter(traffic.axon_out.tolist()), []
    for name, cut in tilings.items():
        for part, demand in zip(cut.tiles, cut.demands, strict=True):
            found.append(Piece(name, part.elements, replace(demand, axon_out=next(sent))))
    return found
