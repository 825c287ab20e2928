"""Cuts a group into tiles that fit a core: every grid over the axes of its anchor is a candidate.

Finer cuts need less of every core but store kernels again and repeat messages, so candidates are tried in order of
their number of cores. What they cost:

``cores``    number of cores plus, in cores, the axon words that senders need for it; then synapse words
``energy``   as ``cores``; the mapper then spreads the groups as far as the expected energy falls
``latency``  connections and neurons of the fullest core, within a budget of cores that the caller sets
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import inf

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
SLACK = 1.2  # candidates with up to this many times the fewest cores compete
MANY = 200  # cuts tried where none may fit
NEAR = 0.85  # of the fewest cores by coarse cuts: where finer ones are searched
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

    def price(self, objective: str, budget: float = inf) -> tuple[float, ...]:
        """Smaller is better; see the module's table. ``budget``: words of a core."""
        stored, axons = self.cores * self.worst.synapse_words, self.cores * self.worst.axon_in
        return {
            "cores": (self.cores + axons / budget, stored, axons),
            "energy": (self.cores + axons / budget, stored, axons),
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
    budget = float(accounting.target.limits.total_words.value or inf)
    chunks = _chunks(accounting, least)
    if not evaluate(accounting, chunks[-1]).fits:
        # A single position costs more than two that share a kernel, so the finest cut does not decide for all.
        chunks = [*chunks[: -1 : -(-len(chunks) // MANY)], chunks[-1]]
    tried = list(_tried(accounting, chunks, objective, most))
    tried += _between(accounting, tried, least)
    while True:
        fitting = [cut for cut in tried if cut.fits]
        best = min(
            fitting or tried, key=lambda c: c.price(objective, budget) if fitting else (c.fill, c.cores)
        )
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


def _chunks(accounting: Accounting, least: int, fine: bool = False) -> list[tuple[int, ...]]:
    """Chunk sizes of every grid of at least ``least`` tiles, fewest tiles first; the finest comes last."""
    cells = accounting.cells
    sizes = [np.array(_sizes(cells, axis, fine)) for axis in range(len(cells.shape))]
    grids = (
        np.stack(np.meshgrid(*sizes, indexing="ij"), axis=-1).reshape(-1, len(sizes))
        if sizes
        else np.ones((1, 0))
    )
    counts = np.prod(-(-np.array(cells.shape, dtype=np.int64) // grids.astype(np.int64)), axis=1)
    order = np.lexsort((*-grids.T, counts))
    wanted = order[counts[order] >= max(least, _fewest(accounting))]
    return [tuple(int(n) for n in grids[i]) for i in (wanted if len(wanted) else order[-1:])]


def _fewest(accounting: Accounting) -> int:
    """No cut into fewer cores can hold the neurons and their state."""
    limits, cells = accounting.target.limits, accounting.cells
    words = (
        int(np.sum(accounting.words)) if cells.neuron is not None else int(accounting.words) * cells.neurons
    )
    needs = ((cells.neurons, limits.neurons_per_core.value), (words, limits.total_words.value))
    return max(-(-amount // limit) if limit else 1 for amount, limit in needs)


def _sizes(cells: Cells, axis: int, fine: bool) -> list[int]:
    """Chunk sizes along an axis: whole, into 2 .. 8 parts, and on by doubling and tripling; or all there are."""
    size = cells.shape[axis]
    if cells.home is not None and (cells.coordinates[axis] == cells.coordinates[axis][0]).all():
        return [size]
    parts = set(range(1, 9)) | {2**a * 3**b for a in range(14) for b in range(9)}
    wanted = range(1, size + 1) if fine else [k for k in parts if k <= size]
    return sorted({-(-size // k) for k in wanted} | {1}, reverse=True)


def _between(accounting: Accounting, tried: list[Cut], least: int) -> Iterator[Cut]:
    """Cuts into a few cores less than the first that fitted, along any sizes: up to one that fits."""
    fitted = next((cut.cores for cut in tried if cut.fits), 0)
    low = max(least, round(NEAR * fitted))
    close = (
        [c for c in _chunks(accounting, low, fine=True) if accounting.cells.count(c) < fitted]
        if low < fitted
        else []
    )
    for chunk in close[:MANY]:
        cut = evaluate(accounting, chunk)
        yield cut
        if cut.fits:
            return


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
                "energy": count,
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
