"""Cuts a group into tiles that fit a core: every grid over the axes of its anchor is a candidate.

Finer cuts need less of every core but store kernels again and repeat messages, so candidates are tried in order of
their number of cores. What they cost:

``cores``    number of cores, then synapse words of all cores together, then axons
``energy``   axons of all cores together (each is a packet per spike), then number of cores
``latency``  connections and neurons of the fullest core, within a budget of cores that the caller sets
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from math import inf, prod

import numpy as np

from .cells import Cells, Tile
from .demand import Accounting
from .limits import Breach, breaches, fill, usage
from .reads import connections
from .types import Demand

AXES = {
    "N": "tokens",
    "H": "heads",
    "C": "channels",
    "Y": "rows",
    "X": "columns",
    "K": "classes",
    "G": "parts",
}
OBJECTIVES = ("cores", "latency", "energy")
SLACK = 1.3  # candidates with up to this many times the fewest cores compete for energy and latency
MANY = 200  # cuts tried where none may fit
SHOWN = 6  # alternatives kept


@dataclass(frozen=True, eq=False)
class Cut:
    """One way to cut a group, with the demand of its most demanding tile."""

    layout: str
    chunk: tuple[int, ...]
    cores: int
    worst: Demand
    work: int
    broken: tuple[Breach, ...]
    fill: float
    limiting: str

    @property
    def fits(self) -> bool:
        """True if no limit is exceeded."""
        return not self.broken

    def price(self, objective: str) -> tuple[float, ...]:
        """Smaller is better; see the module's table."""
        stored, axons = self.cores * self.worst.synapse_words, self.cores * self.worst.axon_in
        return {
            "cores": (self.cores, stored, axons),
            "energy": (axons, self.cores, stored),
            "latency": (self.work, self.cores, stored),
        }[objective]

    def summary(self) -> dict:
        """What a report shows of an alternative."""
        why = "; ".join(f"{b.resource} {b.used:.0f} > {b.limit:.0f}" for b in self.broken)
        return {
            "layout": self.layout,
            "cores": self.cores,
            "fill": round(self.fill, 4),
            "limiting": self.limiting,
            "fits": self.fits,
            "reason": why,
        }


@dataclass(frozen=True, eq=False)
class Tiling:
    """A group with its chosen cut, tiles and what else was considered; ``cut.fits`` False if nothing fits."""

    accounting: Accounting
    cut: Cut
    tiles: tuple[Tile, ...]
    demands: tuple[Demand, ...]
    alternatives: tuple[dict, ...]


def tile(accounting: Accounting, objective: str = "cores", least: int = 1, most: int = 0) -> Tiling:
    """The best cut into at least ``least`` and, for latency, about ``most`` cores.

    Where nothing fits, the cut whose fullest core is least overfull.
    """
    chunks = _chunks(accounting, least)
    if not evaluate(accounting, chunks[-1]).fits:
        # A single position costs more than two that share a kernel, so the finest cut does not decide for all.
        chunks = [*chunks[: -1 : -(-len(chunks) // MANY)], chunks[-1]]
    tried = list(_tried(accounting, chunks, objective, most))
    while True:
        fitting = [cut for cut in tried if cut.fits]
        best = min(fitting or tried, key=lambda c: c.price(objective) if fitting else (c.fill, c.cores))
        tiles = accounting.cells.tiles(best.chunk)
        demands = tuple(accounting.demand(t) for t in tiles)
        exact = _cut(accounting, best.chunk, demands, best.work)
        if exact.fits or not fitting:
            break
        tried[tried.index(best)] = exact  # another tile than the sampled one was larger: this cut is out
        if len(fitting) == 1 and len(tried) < len(chunks):
            tried += _tried(accounting, chunks[len(tried) :], objective, most)
    return Tiling(accounting, exact, tuple(tiles), demands, _alternatives(accounting, chunks, tried, exact))


def evaluate(accounting: Accounting, chunk: tuple[int, ...]) -> Cut:
    """The cut with these chunk sizes, judged by its presumably most demanding tile."""
    sample = accounting.cells.sample(chunk)
    return _cut(accounting, chunk, [accounting.demand(sample)], _work(accounting, sample))


def _cut(accounting: Accounting, chunk: tuple[int, ...], demands: Sequence[Demand], work: int) -> Cut:
    target = accounting.target
    worst = max(demands, key=lambda d: fill(usage(d, target))[0])
    broken = {b.resource: b for d in demands for b in sorted(breaches(d, target), key=lambda b: b.used)}
    share, limiting = fill(usage(worst, target))
    return Cut(
        _layout(accounting, chunk),
        chunk,
        accounting.cells.count(chunk),
        worst,
        work,
        tuple(broken.values()),
        share,
        limiting,
    )


def _layout(accounting: Accounting, chunk: tuple[int, ...]) -> str:
    """Such as ``tokens/2 x channels/1``: into how many parts each axis is cut."""
    shape = accounting.graph.values[accounting.cells.anchor].shape
    axes = zip(shape.roles, shape.sizes, chunk, strict=True)
    return " x ".join(f"{AXES[role]}/{-(-size // step)}" for role, size, step in axes) or "whole"


def _work(accounting: Accounting, part: Tile) -> int:
    """Connections that can be active in a step, plus one per neuron."""
    adds = (part.size(n.name) * connections(accounting.graph, n) for n in accounting.group.entries)
    return sum(adds) + part.size(accounting.cells.anchor)


def _chunks(accounting: Accounting, least: int) -> list[tuple[int, ...]]:
    """Chunk sizes of every grid of at least ``least`` tiles, fewest tiles first; the finest comes last."""
    cells = accounting.cells
    grids = list(product(*(_sizes(cells, axis) for axis in range(len(cells.shape)))))
    counted = sorted((_bound(cells, chunk), chunk) for chunk in grids)
    floor = max(least, _fewest(accounting))
    return [chunk for count, chunk in counted if count >= floor] or [counted[-1][1]]


def _bound(cells: Cells, chunk: tuple[int, ...]) -> int:
    return prod(-(-size // step) for size, step in zip(cells.shape, chunk, strict=True))


def _fewest(accounting: Accounting) -> int:
    """No cut into fewer cores can hold the neurons and their state."""
    limits, cells = accounting.target.limits, accounting.cells
    words = (
        int(np.sum(accounting.words)) if cells.neuron is not None else int(accounting.words) * cells.neurons
    )
    needs = ((cells.neurons, limits.neurons_per_core.value), (words, limits.total_words.value))
    return max(-(-amount // limit) if limit else 1 for amount, limit in needs)


def _sizes(cells: Cells, axis: int) -> list[int]:
    """Chunk sizes worth trying along an axis: whole, into 2 .. 8 parts, and on by doubling and tripling."""
    size = cells.shape[axis]
    if cells.home is not None and (cells.coordinates[axis] == cells.coordinates[axis][0]).all():
        return [size]
    parts = set(range(1, 9)) | {2**a * 3**b for a in range(14) for b in range(9)}
    return sorted({-(-size // k) for k in parts if k <= size} | {1}, reverse=True)


def _tried(accounting: Accounting, chunks: list[tuple[int, ...]], objective: str, most: int) -> Iterator[Cut]:
    """Cuts in order of their cores, from the coarsest to as many cores as the objective may want."""
    limit = inf
    for chunk in chunks:
        count = accounting.cells.count(chunk)
        if count > limit:
            return
        cut = evaluate(accounting, chunk)
        yield cut
        if cut.fits and limit == inf:
            limit = {
                "cores": count,
                "energy": SLACK * count,
                "latency": max(count, min(most, SLACK * count)),
            }[objective]


def _alternatives(
    accounting: Accounting, chunks: list[tuple[int, ...]], tried: list[Cut], chosen: Cut
) -> tuple[dict, ...]:
    """The chosen cut, the fewest cores that each axis alone would take, then others nearest in cores."""
    found = {cut.chunk: cut for cut in [chosen, *(c for c in _single(accounting, chunks))]}
    others = [cut for cut in tried if cut.chunk not in found]
    others.sort(key=lambda c: (abs(c.cores - chosen.cores), not c.fits, c.fill))
    return tuple(cut.summary() for cut in [*found.values(), *others][:SHOWN])


def _single(accounting: Accounting, chunks: list[tuple[int, ...]]) -> Iterator[Cut]:
    """Per axis the coarsest cut along it alone that fits, or else the finest."""
    shape = accounting.cells.shape
    for axis, size in enumerate(shape):
        along = [
            c for c in chunks if c[axis] < size and all(c[a] == n for a, n in enumerate(shape) if a != axis)
        ]
        low, high = 0, len(along) - 1
        while low < high:  # finer cuts ask for less: bisect
            middle = (low + high) // 2
            low, high = (low, middle) if evaluate(accounting, along[middle]).fits else (middle + 1, high)
        if along:
            yield evaluate(accounting, along[low])
