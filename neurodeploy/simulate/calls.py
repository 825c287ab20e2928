"""Compiled work as data: a function's address and a block of what it reads, so that one call does many of them.

A kernel is a C function of (block, counts, lo, hi): the addresses of its block and of two numbers that it leaves, and
the rows it works on. The block holds a word for every number, and for the place and every length of an array. What a
run does one after the other is a table of such functions: Python is called once for all of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from types import FunctionType
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types

from ..array import Array
from ..jit import kept
from . import kernels, pools, vector
from .run import Run
from .vector import emitted

TEXT = '''\
"""Generated: {name}."""

import numpy as np
from numba import cfunc, njit

from neurodeploy.simulate.vector import array_at, row_at
{before}
long = np.empty(0, np.int64)
{likes}


@cfunc("void(int64, int64, int64, int64)", cache={cached}, error_model="numpy")
def kernel(block, counts, lo, hi):
    words, counted = row_at(block, long, {words}), row_at(counts, long, 2)
{arguments}
{body}'''


def kernel(name: str, before: str, body: str, given: Mapping[str, Any], *uses: FunctionType) -> Any:
    """The compiled kernel of a text: what stands before its function, and the lines of it.

    ``given``: its arguments by name, contiguous arrays, whole numbers and tuples of them; there is machine code for
    each combination of their types.
    """
    likes, lines, at = list[str](), list[str](), 0
    for argument, value in given.items():
        size = len(_words(value))
        if isinstance(value, np.ndarray):
            likes.append(f"like_{argument} = np.empty({(0,) * value.ndim}, '{value.dtype}')")
            lines.append(f"    {argument} = array_at(words, {at}, like_{argument})")
        elif isinstance(value, tuple):
            lines.append(f"    {argument} = ({', '.join(f'words[{at + i}]' for i in range(size))},)")
        else:
            lines.append(f"    {argument} = words[{at}]")
        at += size
    return _compiled(name, before, body, "\n".join(likes), at, "\n".join(lines), uses)


@cache
def _compiled(
    name: str, before: str, body: str, likes: str, words: int, arguments: str, uses: tuple[FunctionType, ...]
) -> Any:
    text = lambda cached: TEXT.format(
        name=name, before=before, body=body, likes=likes, words=words, arguments=arguments, cached=cached
    )
    return kernels.compiled(name, text, [*uses, vector.text()])


def _words(value: Any) -> Sequence[int]:
    if isinstance(value, np.ndarray):
        return value.__array_interface__["data"][0], *value.shape
    return value if isinstance(value, tuple) else (int(value),)


@dataclass(frozen=True, eq=False)
class Call:
    """A kernel, what it is given, and the rows 0 .. ``extent`` that it works on."""

    kernel: Any
    given: Mapping[str, Any]
    extent: int
    #: parts of the rows start at multiples of it
    unit: int
    #: whether its rows need the same rows alone of what is computed before
    by_row: bool
    #: whose clipped elements its two numbers are, "" for nobody's, and how often each counts
    counted: tuple[tuple[str, int], ...] = ()
    #: arrays that it is given the addresses of
    reads: tuple[Array, ...] = ()


class Together:
    """Calls one after the other, by all threads where they are shared out: each takes some rows through all of it."""

    def __init__(self, calls: list[Call], split: bool) -> None:
        self.calls = calls  # which keep alive what their blocks refer to
        self.blocks = [
            np.array([w for v in one.given.values() for w in _words(v)], np.int64) for one in calls
        ]
        first = calls[0]
        parts = pools.parts(first.extent, first.unit) if split else [None]
        self.tables = [np.array([self._line(i, part) for i in range(len(calls))], np.int64) for part in parts]
        self.counts = np.zeros((len(parts), 2 * len(calls)), np.int64)
        counted = [
            (name, 2 * i + j, every)
            for i, one in enumerate(calls)
            for j, (name, every) in enumerate(one.counted)
            if name
        ]
        self.names = [name for name, _, _ in counted]
        self.none = dict.fromkeys(self.names, 0)
        self.places = np.array([place for _, place, _ in counted], np.int64)
        self.every = np.array([every for _, _, every in counted], np.int64)

    def _line(self, i: int, part: tuple[int, int] | None) -> tuple[int, ...]:
        one = self.calls[i]
        return one.kernel.address, *_words(self.blocks[i])[:1], *(part or (0, one.extent))

    def __call__(self, x: Array, run: Run) -> None:
        """Do all of it, and count."""
        if len(self.tables) == 1:
            clipped = replay(self.tables[0], self.counts[0])
        else:
            one = lambda i: replay(self.tables[i], self.counts[i])
            clipped = sum(pools.side_by_side(one, range(len(self.tables))))
        run.saturations.update(self.none)
        if clipped:
            found = self.counts.sum(axis=0)[self.places] * self.every
            run.saturations.update(zip(self.names, found.tolist(), strict=True))


@emitted
def _called(context: Any, function: Any, block: Any, counts: Any, lo: Any, hi: Any) -> Any:
    def generate(context: Any, build: Any, signature: Any, args: Any) -> Any:
        word = ir.IntType(64)
        kind = ir.FunctionType(ir.VoidType(), [word] * 4)
        build.call(build.inttoptr(args[0], kind.as_pointer()), args[1:])
        return context.get_dummy_value()

    return types.void(*(types.int64,) * 5), generate


@kept
def replay(table: Array, counts: Array) -> int:
    """Call every line (function, block, lo, hi) of a table; each leaves two of ``counts``, whose sum is returned."""
    total: Any = np.int64(0)
    for i in range(len(table)):
        _called(table[i, 0], table[i, 1], counts.ctypes.data + 16 * i, table[i, 2], table[i, 3])
    for count in counts:
        total += count
    return total  # type: ignore[no-any-return]
