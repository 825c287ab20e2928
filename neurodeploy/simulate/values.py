"""What a run has computed so far, and how its work is done: at once, by all threads, or again for the next piece."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from ..array import Array
from .buffers import BUFFERS, SPARE, owner, room, start_of
from .run import Run

if TYPE_CHECKING:
    from .calls import Call


@dataclass(frozen=True)
class Lists:
    """Where rows have spikes: ``index`` (T or 1, rows, room) uint16, the first ``count`` (T or 1, rows) of each row."""

    index: Array
    count: Array


def by_rows(x: Array, first: bool = True) -> Array:
    """A value (T, B, *shape) with its channels last, which are first where that is said."""
    return np.moveaxis(x, 2, -1) if first else x


def turned(rows: Array, first: bool = True) -> Array:
    """A value in its own shape, of what has its channels last."""
    return np.moveaxis(rows, -1, 2) if first else rows


Action = Callable[[Array, Run], None]  # of a piece of the raw inputs, and of the run that counts


@dataclass
class Values:
    """What a run computes: arrays (T or 1, B or 1, *shape) by name, and lists of spikes.

    Segments do their work as actions on arrays that stay where they are: with a ``tape`` they are kept, and the next
    piece of the same size is computed by doing them again.
    """

    x: Array
    run: Run
    #: names of the populations that have to send an array, not lists alone
    sent: Collection[str] = ()
    #: whether all threads work on this run: rows are then computed in parts, side by side
    split: bool = False
    tape: list[Action] | None = None
    arrays: dict[str, Array] = field(default_factory=dict)
    lists: dict[str, Lists] = field(default_factory=dict)
    #: compiled work that waits for more, to be done in one call
    waiting: list[Call] = field(default_factory=list)

    #: memory of values that nothing reads any more, by its size: actions are done again in this order
    free: dict[int, list[Array]] = field(default_factory=dict)
    #: memory that is not a value's, in use until the segment has run
    passing: list[Array] = field(default_factory=list)

    def take(self, shape: tuple[int, ...], kind: Any) -> Array:
        """An array of undefined content for a value."""
        size = prod(shape) * np.dtype(kind).itemsize
        pool = self.free.get(room(size))
        if pool:
            memory = pool.pop()
            return np.ndarray(shape, kind, memory, start_of(memory))
        return BUFFERS.take(shape, kind)

    def do(self, action: Action) -> None:
        """An action that needs all that went before."""
        self.settle()
        self._do(action)

    def _do(self, action: Action) -> None:
        if self.tape is not None:
            self.tape.append(action)
        action(self.x, self.run)

    def call(self, call: Call) -> None:
        """Compiled work. Threads wait for each other where one needs other rows than it has worked on."""
        first = self.waiting[0] if self.waiting else call
        if self.split and not (first.by_row and call.by_row and first.extent == call.extent):
            self.settle()
        self.waiting.append(call)

    def settle(self) -> None:
        """Do what waits."""
        waiting, self.waiting = self.waiting, []
        if waiting:
            from .calls import Together  # compiled work is there only with numba

            self._do(Together(waiting, self.split))

    def filled(self, shape: tuple[int, ...], kind: Any, source: Array) -> Array:
        """A copy of ``source``, broadcast: what the next piece leaves in the same place, so no copy of a value."""
        out = self.take(shape, kind)
        self.passing.append(out)
        self.do(lambda x, run: np.copyto(out, source, casting="unsafe"))
        return out

    def padded(self, source: Array, kind: Any, size: int) -> Array:
        """As :meth:`filled`, with zeros up to a length of its last axis."""
        out = self.take((*source.shape[:-1], size), kind)
        self.passing.append(out)

        def action(x: Array, run: Run) -> None:
            out[..., source.shape[-1] :] = 0
            np.copyto(out[..., : source.shape[-1]], source, casting="unsafe")

        self.do(action)
        return out

    def drop(self, names: Collection[str]) -> None:
        """Forget values that nothing reads any more, and what only the last segment needed."""
        arrays = [self.arrays.pop(name) for name in names if name in self.arrays]
        lists = [self.lists.pop(name) for name in names if name in self.lists]
        arrays += [x for one in lists for x in (one.index, one.count)] + self.passing
        self.passing = []
        if self.split:  # rows that wait may need them
            return
        used = {id(owner(x)) for x in self.arrays.values()}
        for memory in {id(owner(x)): owner(x) for x in arrays}.values():
            if id(memory) not in used and BUFFERS.owns(memory):
                self.free.setdefault(memory.size - SPARE, []).append(memory)
