"""Cuts a group into tiles that fit a core: the partitions that layouts offer are tried, and one is chosen.

Finer cuts need less of every core but store kernels again and repeat messages, so candidates are tried in order of
their number of cores, and ranked by one of

:func:`by_cores`  number of cores plus, in cores, the axon words that senders need for it; then synapse words
:func:`by_work`   time of a tick on the fullest core
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import inf
from typing import Any

import numpy as np

from ..array import Array
from .cells import Tile
from .demand import Accounting
from .expected import per_tick, tick_ns, work
from .layouts._base import LAYOUTS, Partition, Wanted
from .limits import Breach, amounts, breaches, fill, usage
from .types import Demand

SLACK = 1.2  # candidates with up to this many times the fewest cores compete, where the budget has room
MANY = 200  # cuts tried where none may fit
NEAR = 0.85  # of the fewest cores by coarse cuts: where finer ones are searched
COUNTED = 3  # tiles of a cut whose work is counted, those that seem to have most
SHOWN = 6  # alternatives kept


@dataclass(frozen=True, eq=False)
class Cut:
    """One way to cut a group, with the demand of its most demanding tile and the time of a tick on the busiest.

    ``tick_ns``: of each :class:`.expected.Part` of it.
    """

    partition: Partition
    worst: Demand
    tick_ns: tuple[float, ...]
    broken: tuple[Breach, ...]
    fill: float
    limiting: str

    @property
    def work(self) -> float:
        """Time of a whole tick in ns."""
        return self.tick_ns[0]

    @property
    def layout(self) -> str:
        """What people call it."""
        return self.partition.label

    @property
    def cores(self) -> int:
        """Tiles, each on a core of its own."""
        return self.partition.count

    @property
    def fits(self) -> bool:
        """True if no limit is exceeded."""
        return not self.broken

    def summary(self) -> dict[str, Any]:
        """What a report shows of an alternative; ``tick_ns``: its ``work``, of twins that of the first."""
        why = "; ".join(f"{b.resource} {b.used:.0f} > {b.limit:.0f}" for b in self.broken)
        cut = {
            "layout": self.layout,
            "cores": self.cores,
            "fill": round(self.fill, 4),
            "tick_ns": round(self.work, 3),
        }
        return cut | {"limiting": self.limiting, "fits": self.fits, "reason": why}


#: orders cuts that fit, smallest first, given all words of a core
Rank = Callable[[Cut, float], tuple[float, ...]]


def by_cores(cut: Cut, core_words: float) -> tuple[float, ...]:
    """Fewest cores first, the senders' axon words counted as parts of cores."""
    stored, axons = cut.cores * cut.worst.synapse_words, cut.cores * cut.worst.axon_in
    return cut.cores + axons / core_words, stored, axons


def by_work(cut: Cut, core_words: float) -> tuple[float, ...]:
    """Least time on the fullest core first."""
    return cut.work, cut.cores, cut.cores * cut.worst.synapse_words


@dataclass(frozen=True, eq=False)
class Tiling:
    """A group with its chosen cut and what else was considered; ``cut.fits`` False if nothing fits.

    ``shapes`` are its tiles, or those of a group that is equal but for the names; ``amounts`` their demands as numbers
    (tiles, :data:`RESOURCES`).
    """

    accounting: Accounting
    cut: Cut
    shapes: tuple[Tile, ...]
    demands: tuple[Demand, ...]
    amounts: Array
    alternatives: tuple[dict[str, Any], ...]

    @property
    def tiles(self) -> tuple[Tile, ...]:
        """The tiles."""
        return tuple(shape.like(self.accounting.cells) for shape in self.shapes)

    @cached_property
    def busiest(self) -> tuple[tuple[int, Array], ...]:
        """The tiles that may work longest in a tick, by number, with their expected counts in the turn of most work."""
        return tuple(busiest(self.accounting, self.cut.partition))


def tile(accounting: Accounting, rank: Rank = by_cores, least: int = 1, most: int = 0) -> Tiling:
    """The best cut into at least ``least`` cores: the fewest that fit or, up to ``most``, a few more.

    Where nothing fits, the cut whose fullest core is least overfull.
    """
    core_words = float(accounting.target.limits.total_words.value or inf)
    offered = _partitions(accounting, max(least, _fewest(accounting)))
    if not evaluate(accounting, offered[-1]).fits:
        # A single position costs more than two that share a kernel, so the finest cut does not decide for all.
        offered = [*offered[: -1 : -(-len(offered) // MANY)], offered[-1]]
    tried = list(_tried(accounting, offered, most))
    tried += _between(accounting, tried, least)
    while True:
        fitting = [cut for cut in tried if cut.fits]
        best = min(fitting or tried, key=lambda c: rank(c, core_words) if fitting else (c.fill, c.cores))
        tiles = tuple(best.partition.tiles())
        demands = _demands(accounting, tiles)
        exact = _cut(accounting, best.partition, demands, best.tick_ns)
        if exact.fits or not fitting:
            break
        tried[tried.index(best)] = exact  # another tile than the sampled one was larger: this cut is out
        if len(fitting) == 1 and len(tried) < len(offered):
            tried += _tried(accounting, offered[len(tried) :], most)
    alternatives = _alternatives(accounting, offered, tried, exact)
    return Tiling(accounting, exact, tiles, demands, amounts(demands), alternatives)


def fixed(accounting: Accounting, partition: Partition) -> Tiling:
    """The tiling by a partition that was given, whether it fits or not."""
    tiles = tuple(partition.tiles())
    demands = _demands(accounting, tiles)
    cut = _cut(accounting, partition, demands, slowest_ns(accounting, partition))
    return Tiling(accounting, cut, tiles, demands, amounts(demands), (cut.summary(),))


def named(accounting: Accounting, wanted: Wanted) -> Partition | None:
    """The partition that a user asks for, of whatever layout has it."""
    found = (layout.named(accounting, wanted) for layout in LAYOUTS.values())
    return next((partition for partition in found if partition is not None), None)


def _demands(accounting: Accounting, tiles: Sequence[Tile]) -> tuple[Demand, ...]:
    """What each tile needs; equal demands are one object."""
    known: dict[Demand, Demand] = {}
    found = []
    for tile in tiles:
        demand = accounting.demand(tile)
        found.append(known.setdefault(demand, demand))
        tile.forget()
    return tuple(found)


def _partitions(accounting: Accounting, least: int, fine: bool = False) -> list[Partition]:
    """What all layouts offer, fewest tiles first."""
    offers = [layout.partitions(accounting, least, fine) for layout in LAYOUTS.values()]
    return list(heapq.merge(*offers, key=lambda p: p.count))


def evaluate(accounting: Accounting, partition: Partition) -> Cut:
    """The cut judged by its presumably most demanding tile, and by the ones of most work."""
    demand = accounting.demand(partition.sample())
    return _cut(accounting, partition, [demand], slowest_ns(accounting, partition))


def busiest(accounting: Accounting, partition: Partition) -> Iterator[tuple[int, Array]]:
    """Some tiles by number, with their expected counts of a tick: those of most work, were nothing read by several."""
    shares = np.array(partition.shares(work(accounting).before))
    for _ in range(min(COUNTED, len(shares))):
        number = int(shares.argmax())
        shares[number] = -inf
        tile = partition.tile(number).like(accounting.cells)
        yield number, per_tick(accounting, accounting.of_turn(tile), turn=True)


def slowest_ns(accounting: Accounting, partition: Partition) -> tuple[float, ...]:
    """Times of each part of a tick on the busiest tiles."""
    times = (tick_ns(counts, accounting.target) for _, counts in busiest(accounting, partition))
    return tuple(map(max, zip(*times, strict=True)))


def _cut(
    accounting: Accounting, partition: Partition, demands: Sequence[Demand], times: tuple[float, ...]
) -> Cut:
    target = accounting.target
    distinct = dict.fromkeys(demands)
    worst = max(distinct, key=lambda d: fill(usage(d, target))[0])
    over = {d: found for d in distinct if (found := sorted(breaches(d, target), key=lambda b: b.used))}
    broken = {b.resource: b for d in demands if d in over for b in over[d]} if over else {}
    return Cut(partition, worst, times, tuple(broken.values()), *fill(usage(worst, target)))


def _fewest(accounting: Accounting) -> int:
    """No cut into fewer cores can hold the neurons and their state."""
    limits, cells = accounting.target.limits, accounting.cells
    words = int(np.broadcast_to(accounting.words, cells.neurons).sum())
    needs = ((cells.neurons, limits.neurons_per_core.value), (words, limits.total_words.value))
    return max(-(-(amount // accounting.group.turns) // limit) if limit else 1 for amount, limit in needs)


def _between(accounting: Accounting, tried: list[Cut], least: int) -> Iterator[Cut]:
    """Cuts into a few cores less than the first that fitted, along any sizes: up to one that fits."""
    fitted = next((cut.cores for cut in tried if cut.fits), 0)
    low = max(least, round(NEAR * fitted))
    if low >= fitted:
        return
    offered = _partitions(accounting, max(low, _fewest(accounting)), fine=True)
    for partition in [p for p in offered if p.count < fitted][:MANY]:
        cut = evaluate(accounting, partition)
        yield cut
        if cut.fits:
            return


def _tried(accounting: Accounting, offered: Sequence[Partition], most: int) -> Iterator[Cut]:
    """Cuts in order of their cores, from the coarsest to the fewest cores that fit, or somewhat more up to ``most``."""
    limit = inf
    for partition in offered:
        if partition.count > limit:
            return
        cut = evaluate(accounting, partition)
        yield cut
        if cut.fits and limit == inf:
            limit = max(cut.cores, min(most, SLACK * cut.cores))


def _alternatives(
    accounting: Accounting, offered: Sequence[Partition], tried: list[Cut], chosen: Cut
) -> tuple[dict[str, Any], ...]:
    """The chosen cut, the fewest cores that each axis alone would take, then others nearest in cores."""
    found = {cut.partition: cut for cut in [chosen, *_single(accounting, offered)]}
    others = [cut for cut in tried if cut.partition not in found]
    others.sort(key=lambda c: (abs(c.cores - chosen.cores), not c.fits, c.fill))
    return tuple(cut.summary() for cut in [*found.values(), *others][:SHOWN])


def _single(accounting: Accounting, offered: Sequence[Partition]) -> Iterator[Cut]:
    """Per axis the coarsest cut along it alone that fits, or else the finest."""
    by_axis: dict[int, list[Partition]] = {}
    for partition in offered:
        if partition.axis is not None:
            by_axis.setdefault(partition.axis, []).append(partition)
    for _, along in sorted(by_axis.items()):
        low, high = 0, len(along) - 1
        while low < high:  # finer cuts ask for less: bisect
            middle = (low + high) // 2
            low, high = (low, middle) if evaluate(accounting, along[middle]).fits else (middle + 1, high)
        yield evaluate(accounting, along[low])
