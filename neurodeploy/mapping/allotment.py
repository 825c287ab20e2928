"""How many cores each group gets: the cuts with which a run lasts least on so many cores.

A step lasts as long as its slowest group. Every group has a ladder of ever finer and faster cuts. All stand on their
finest, then they give cores back, always where the steps get longer by least for each core: what nothing waits for
comes first. Last, single steps are made shorter and the cores for it taken back elsewhere, as long as that helps.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass, field
from math import inf

import numpy as np

from ..array import Array
from .repeats import Cutter
from .tiling import Tiling

ROOM = 2  # times the cores that are given out, down to which ladders are built
FINER = 1.2  # from one length that all steps could have to the next
SHORTER = (0.99, 0.9, 0.75, 0.5)  # times the length of a step that is tried for it


@dataclass(frozen=True, eq=False)
class Ladders:
    """Ever finer cuts of all groups by name, built as far as they are asked for; those ``given`` are not cut finer.

    ``least_ns``: work in a tick that is not worth more cores.
    """

    cutter: Cutter
    rungs: dict[str, list[Tiling]]
    given: Container[str]
    least_ns: float
    ended: set[str] = field(default_factory=set)

    def build(self, cores: int) -> None:
        """As far down as all would go together, on so many cores, if steps were of one length."""
        while self.cores < ROOM * cores:
            left = [name for name in self.rungs if not self._ends(name)]
            bound = max((self.rungs[name][-1].cut.work for name in left), default=0.0) / FINER
            for name in left:
                while self.rungs[name][-1].cut.work > bound and not self._ends(name):
                    self._extend(name)
            if not left:
                return

    @property
    def cores(self) -> int:
        """Those of the finest cuts so far."""
        return sum(ladder[-1].cut.cores for ladder in self.rungs.values())

    def _ends(self, name: str) -> bool:
        last = self.rungs[name][-1].cut
        return name in self.ended or name in self.given or not last.fits or last.work <= self.least_ns

    def _extend(self, name: str) -> None:
        last = self.rungs[name][-1]
        finer = self.cutter.finer(last)
        if finer.cut.cores > last.cut.cores and finer.cut.work < last.cut.work:
            self.rungs[name].append(finer)
        else:
            self.ended.add(name)


def allot(
    ladders: Ladders, steps: Array, cores: int, length: Array | None = None, part: Array | None = None
) -> dict[str, Tiling]:
    """The cuts of all groups that together take at most so many cores, or the coarsest of them.

    ``steps`` (groups, n): the steps in which each group works, in the order of the ladders; ``length``: how many steps
    each of them stands for; ``part`` (groups, n): the number of the :class:`.expected.Part` that a group does in it.
    """
    length = np.ones(int(steps.max(initial=-1)) + 1) if length is None else length
    part = np.zeros_like(steps) if part is None else part
    board = _Board.of(list(ladders.rungs.values()), steps, length, part)
    chosen = board.improved(board.within(board.finest, cores), cores)
    return {name: rungs[at] for (name, rungs), at in zip(ladders.rungs.items(), chosen.tolist(), strict=True)}


@dataclass(frozen=True, eq=False)
class _Board:
    """Work in ns and cores of all rungs of all ladders, (groups, rungs, steps) and (groups, rungs).

    There is infinite work where there is no rung.
    """

    work: Array
    size: Array
    steps: Array
    length: Array
    finest: Array

    @classmethod
    def of(cls, ladders: Sequence[Sequence[Tiling]], steps: Array, length: Array, part: Array) -> _Board:
        shape = len(ladders), max(map(len, ladders), default=1)
        work, size = np.full((*shape, steps.shape[1]), inf), np.zeros(shape, dtype=np.int64)
        for row, ladder in enumerate(ladders):
            work[row, : len(ladder)] = np.array([tiling.cut.tick_ns for tiling in ladder])[:, part[row]]
            size[row, : len(ladder)] = [tiling.cut.cores for tiling in ladder]
        finest = np.array([len(ladder) - 1 for ladder in ladders], dtype=np.int64)
        return cls(work, size, steps, length, finest)

    def at(self, table: Array, rungs: Array) -> Array:
        """Entries of a table on the rungs on which the groups stand."""
        found: Array = table[np.arange(len(rungs)), rungs]
        return found

    def lasts(self, rungs: Array) -> Array:
        """Nanoseconds of every step."""
        longest = np.zeros(len(self.length))
        np.maximum.at(longest, self.steps, self.at(self.work, rungs))
        return longest

    def within(self, rungs: Array, cores: int) -> Array:
        """Coarser rungs that take at most so many cores, as far as there are any."""
        rungs, lasts = rungs.copy(), self.lasts(rungs)
        used = int(self.at(self.size, rungs).sum())
        coarser, freed = self._back(rungs)
        length = self.length[self.steps]
        while used > cores and (rungs > 0).any():
            more = np.where(length > 0, np.maximum(coarser - lasts[self.steps], 0), 0)
            longer = (more * length).sum(axis=1)
            longer[rungs == 0] = inf
            group = int(np.lexsort((-freed, longer / freed))[0])
            used -= int(freed[group])
            rungs[group] -= 1
            np.maximum.at(lasts, self.steps[group], coarser[group])
            coarser[[group]], freed[[group]] = self._back(rungs, [group])
        return rungs

    def _back(self, rungs: Array, groups: Sequence[int] | slice = slice(None)) -> tuple[Array, Array]:
        """Work of some groups one rung up, and the cores that it frees; those on the first have none."""
        now, before = rungs[groups], np.maximum(rungs[groups] - 1, 0)
        row = np.arange(len(rungs))[groups]
        return self.work[row, before], np.where(now > 0, self.size[row, now] - self.size[row, before], 1)

    def improved(self, rungs: Array, cores: int) -> Array:
        """Rungs on which a run lasts less, on as many cores: the best way to shorten a step, again and again."""
        lasts = self.lasts(rungs)
        while True:
            tried = [
                self.within(self._shorter(rungs, s, f * lasts[s]), cores)
                for s in range(len(lasts))
                for f in SHORTER
            ]
            best = min(tried, key=self._total, default=rungs)
            if self._total(best) >= self._total(rungs) * (1 - 1e-9) or self.at(self.size, best).sum() > cores:
                return rungs
            rungs, lasts = best, self.lasts(best)

    def _total(self, rungs: Array) -> float:
        """Nanoseconds of a run."""
        return float(self.lasts(rungs) @ self.length)

    def _shorter(self, rungs: Array, step: int, bound: float) -> Array:
        """Rungs on which no group lasts longer than the bound in a step, as far as its ladder goes."""
        over = (np.where(self.steps[:, None] == step, self.work, 0) > bound).any(axis=2)
        enough = np.where(over.all(axis=1), self.finest, over.argmin(axis=1))
        return np.maximum(rungs, np.minimum(enough, self.finest))
