"""Grids over the axes of a group's anchor: tokens, heads, channels, rows, columns, each into parts."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise, product
from math import prod
from weakref import WeakKeyDictionary

import numpy as np

from ...array import Array
from ...errors import Problem, UsageError, unknown_name
from ...ir.nodes import Delay
from ..cells import Cells, Tile, boxes, split
from ..demand import Accounting
from ..expected import work
from ._base import Layout, Partition, Wanted, places

AXES = {
    "N": "tokens", "H": "heads", "C": "channels", "Y": "rows", "X": "columns", "K": "classes", "G": "parts"
}  # fmt: skip
#: an axis in a label: its word, and how many parts or of what sizes
LABEL = re.compile(r"(\w+)/([1-9]\d{0,8}(?:\+[1-9]\d{0,8})*)", re.ASCII)


WORTH = 0.98  # of the largest amount of equal parts, from which on others are worth it
NEAR = 1e-3  # of an amount, down to which parts of equal work are told apart
#: how an axis is cut: the size of all parts, of which the last may be smaller, or the size of each
Sizes = int | tuple[int, ...]


@dataclass(frozen=True)
class Parts(Partition):
    """The grid with parts of such ``sizes`` along each axis of the anchor; ``roles`` of these name it.

    ``turned``: the axis of tokens that take turns, and on how many copies, each of which has every so many-th.
    """

    cells: Cells
    roles: tuple[str, ...]
    sizes: tuple[Sizes, ...]
    turned: tuple[int, int] | None = field(default=None, kw_only=True)

    @property
    def label(self) -> str:
        """Into how many parts each axis is cut, or their sizes where these are not equal."""
        axes = zip(self.roles, self.parts, self.sizes, strict=True)
        shown = (
            f"{AXES[role]}/{parts if isinstance(size, int) else '+'.join(map(str, size))}"
            for role, parts, size in axes
        )
        return " x ".join(shown) or "whole"

    @cached_property
    def count(self) -> int:
        """Number of tiles that are not empty."""
        cells = self.cells
        if cells.neuron is None or len(cells.homes[0]) == cells.sizes[cells.anchor]:
            return prod(self.parts)
        return len(self._full)

    @property
    def parts(self) -> tuple[int, ...]:
        """The number of parts along each axis."""
        cuts = zip(self.cells.shape, self.sizes, strict=True)
        found = [-(-size // step) if isinstance(step, int) else len(step) for size, step in cuts]
        if self.turned:
            found[self.turned[0]] = self.turned[1]
        return tuple(found)

    @property
    def edges(self) -> tuple[Array, ...] | None:
        """Where the parts begin along each axis, and its end; None where they are not of neighbours."""
        return None if self.turned and self.turned[1] > 1 else self._edges

    @property
    def _edges(self) -> tuple[Array, ...]:
        return tuple(
            np.append(np.arange(0, size, step), size) if isinstance(step, int) else np.cumsum((0, *step))
            for size, step in zip(self.cells.shape, self.sizes, strict=True)
        )

    @property
    def axis(self) -> int | None:
        """The only axis that is cut."""
        cut = [a for a, parts in enumerate(self.parts) if parts > 1]
        return cut[0] if len(cut) == 1 else None

    @cached_property
    def _full(self) -> Array:
        """Row-major numbers of the boxes that are not empty."""
        return np.flatnonzero(self._boxes(self.cells.neurons_before))

    def _boxes(self, before: Array) -> Array:
        """The amount in each box, row-major."""
        if self.edges is not None:
            return boxes(before, self._edges).ravel()
        each = boxes(before, [np.arange(size + 1) for size in self.cells.shape]).ravel()[self.cells.homes[0]]
        return np.bincount(self._numbers, each, prod(self.parts))

    def tiles(self) -> list[Tile]:
        """The tiles that are not empty, in row-major order."""
        if self.cells.neuron is None:
            return [Tile(self.cells, axes) for axes in product(*map(self._along, range(len(self.sizes))))]
        return [self.cells.hosted(homes) for homes in split(self._numbers) if len(homes)]

    def tile(self, number: int) -> Tile:
        """One of the tiles."""
        box = int(number if self.cells.neuron is None else self._full[number])
        at = np.unravel_index(box, self.parts)
        axes = tuple(self._along(axis)[part] for axis, part in enumerate(at))
        return (
            Tile(self.cells, axes)
            if self.cells.neuron is None
            else self.cells.hosted(self.cells.within(axes))
        )

    def _along(self, axis: int) -> list[Array]:
        """The indices of an axis in each of its parts."""
        if self.turned and self.turned[0] == axis:
            return [np.arange(copy, self.cells.shape[axis], self.turned[1]) for copy in range(self.turned[1])]
        return [np.arange(*ends) for ends in pairwise(self._edges[axis].tolist())]

    def shares(self, before: Array) -> Array:
        """The amount in each tile."""
        every = self._boxes(before)
        return every if self.cells.neuron is None else every[self._full]

    def sample(self) -> Tile:
        """The tile of most neurons; of a plain grid one between others, whose windows reach over both of its ends."""
        if self.cells.neuron is not None:
            return self.tile(int(self.shares(self.cells.neurons_before).argmax()))
        at = [_middle(np.diff(edges)) for edges in self._edges]
        if self.turned:
            at[self.turned[0]] = 0
        return self.tile(int(np.ravel_multi_index(at, self.parts)) if at else 0)

    @property
    def _numbers(self) -> Array:
        """Row-major tile number of each home, tiles without any counted too."""
        number = np.zeros(len(self.cells.homes[0]), dtype=np.int64)
        for axis, (at, parts) in enumerate(zip(self.cells.coordinates, self.parts, strict=True)):
            turned = self.turned is not None and self.turned[0] == axis
            number = number * parts + (at % parts if turned else places(self._edges[axis], at))
        return number


class Grid(Layout):
    """Every grid is a candidate, with the sizes that equal parts make and, where these differ, parts of equal work."""

    name = "grid"
    title = "parts of equal size, or of equal work, along tokens, heads, channels, rows and columns"

    def partitions(self, accounting: Accounting, least: int, fine: bool = False) -> Sequence[Partition]:
        """Grids by their number of tiles."""
        cells = accounting.cells
        roles = tuple(accounting.graph.values[cells.anchor].shape.roles)
        sizes = [np.array(_sizes(cells, axis, fine)) for axis in range(len(cells.shape))]
        turned = _turned(accounting)
        for axis, size in _uncut(accounting, turned).items():
            sizes[axis] = np.array([size])
        axes = np.meshgrid(*sizes, indexing="ij")
        grids = np.stack(axes, axis=-1).reshape(-1, len(sizes)) if sizes else np.ones((1, 0), dtype=np.int64)
        counts = np.prod(-(-np.array(cells.shape, dtype=np.int64) // grids), axis=1)
        counts = counts * (turned[1] if turned else 1)
        order = np.lexsort((*-grids.T, counts))
        wanted = order[counts[order] >= least]
        found = wanted if len(wanted) else order[-1:]
        even = [Parts(cells, roles, tuple(grids[i].tolist()), turned=turned) for i in found]
        return list(_with_balanced(accounting, even, _uncut(accounting, turned)))

    def named(self, accounting: Accounting, wanted: Wanted) -> Partition | None:
        """The grid of such parts per axis, one where none is said; UsageError ND522, ND523 where there is none."""
        parts = parts_of(wanted) if isinstance(wanted, str) else dict(wanted)
        if parts is None:
            return super().named(accounting, wanted)
        cells = accounting.cells
        roles = tuple(accounting.graph.values[cells.anchor].shape.roles)
        axes = tuple(numbered(AXES[role] for role in roles))
        problems = [unknown_name("ND522", "axis", word, axes) for word in parts if word not in axes]
        turned = _turned(accounting)
        uncut = _uncut(accounting, turned)
        for axis, word in enumerate(axes):
            each, copies = parts.get(word, 1), turned[1] if turned and turned[0] == axis else 1
            if axis in uncut and each not in (1, copies):
                problems.append(_out_of_turn(word, each, copies))
            elif axis not in uncut:
                problems += _impossible(cells, axis, word, each)
        if problems:
            raise UsageError(problems)
        cuts = enumerate(zip(cells.shape, axes, strict=True))
        sizes = [_parts(size, 1 if axis in uncut else parts.get(word, 1)) for axis, (size, word) in cuts]
        return Parts(cells, roles, tuple(map(_shortest, sizes)), turned=turned)


#: sizes of parts of equal work by axis and step, of groups that are cut again and again
_KNOWN: WeakKeyDictionary[Accounting, dict[tuple[int, Sizes], Sizes]] = WeakKeyDictionary()


def _with_balanced(accounting: Accounting, even: Iterable[Parts], fixed: Container[int]) -> Iterator[Parts]:
    """Grids of equal parts, each followed by the one of as many parts along each axis that share out the work.

    Axes that are ``fixed`` are left as they are.
    """
    known = _KNOWN.setdefault(accounting, {})
    shape = accounting.cells.shape
    amounts = work(accounting).ns.reshape(shape)
    along = [amounts.sum(axis=tuple(a for a in range(len(shape)) if a != axis)) for axis in range(len(shape))]
    for partition in even:
        yield partition
        for axis, step in enumerate(partition.sizes):
            if (axis, step) not in known:
                known[axis, step] = _better(along[axis], step) if axis not in fixed else step
        sizes = tuple(known[axis, step] for axis, step in enumerate(partition.sizes))
        if sizes != partition.sizes:
            yield replace(partition, sizes=sizes)


def _better(amounts: Array, step: Sizes) -> Sizes:
    """The sizes of as many parts as such steps make whose largest amount is clearly smaller, if there are any."""
    if not isinstance(step, int):
        return step
    ends = range(0, len(amounts), step)
    most = float(np.add.reduceat(amounts, ends).max())
    if least_of(amounts, len(ends)) > WORTH * most:
        return step
    sizes = balanced(amounts, len(ends))
    found = float(np.add.reduceat(amounts, np.cumsum((0, *sizes[:-1]))).max())
    return _shortest(sizes) if found < WORTH * most else step


def least_of(amounts: Array, parts: int) -> float:
    """What the largest of so many parts has at least."""
    return max(float(amounts.max()), float(amounts.sum()) / parts)


def balanced(amounts: Array, parts: int) -> tuple[int, ...]:
    """Sizes of so many parts of an axis, of which the one of the largest amount has as little as there can be."""
    before = [0.0, *np.cumsum(amounts).tolist()]
    low, high = least_of(amounts, parts), before[-1]
    found = _within(before, parts, high)
    while high - low > NEAR * high:
        middle = (low + high) / 2
        edges = _within(before, parts, middle)
        if edges[-1] == len(amounts):
            found, high = edges, middle
        else:
            low = middle
    return tuple(b - a for a, b in pairwise(found))


def _within(before: list[float], parts: int, most: float) -> list[int]:
    """Where parts begin that have at most so much each, as long as one index has; they may end too early."""
    size, edges = len(before) - 1, [0]
    for left in reversed(range(parts)):
        end = bisect_right(before, before[edges[-1]] + most * (1 + NEAR)) - 1
        edges.append(min(max(end, edges[-1] + 1), size - left))  # every part has something
    return edges


def _shortest(sizes: Sequence[int]) -> Sizes:
    """Sizes of parts as one number where all but the last are of one size, and the last is not larger."""
    return sizes[0] if tuple(sizes) == _parts(sum(sizes), len(sizes)) else tuple(sizes)


def _middle(sizes: Array) -> int:
    """The largest part, one between others if it can be."""
    inner = np.zeros(len(sizes), dtype=np.int64)
    inner[1:-1] = 1
    return int((2 * sizes + inner).argmax())


def _turned(accounting: Accounting) -> tuple[int, int] | None:
    """The axis of tokens that take turns, and on how many copies."""
    axis = accounting.token_axis
    if accounting.group.turns == 1 or axis is None:
        return None
    return axis, min(accounting.taken.of(accounting.cells.anchor), accounting.cells.shape[axis])


def _uncut(accounting: Accounting, turned: tuple[int, int] | None) -> dict[int, int]:
    """Sizes of axes that are not cut into neighbours: of tokens that take turns, or all where a Delay waits for all."""
    shape = accounting.cells.shape
    if turned:
        return {turned[0]: shape[turned[0]]}
    if any(isinstance(n, Delay) and n.keeps == "all" for n in accounting.group.entries):
        return dict(enumerate(shape))
    return {}


def numbered(words: Iterable[str]) -> Iterator[str]:
    """The words of axes; one that comes again gets a number."""
    seen: Counter[str] = Counter()
    for word in words:
        seen[word] += 1
        yield word if seen[word] == 1 else f"{word}_{seen[word]}"


def parts_of(label: str) -> dict[str, int | tuple[int, ...]] | None:
    """Parts per axis as a grid's label says them; None of other labels."""
    found = [LABEL.fullmatch(part) for part in label.split(" x ")]
    pairs = [(match[1], tuple(map(int, match[2].split("+")))) for match in found if match]
    if len(pairs) < len(found) or any(word not in AXES.values() for word, _ in pairs):
        return None
    names = numbered(word for word, _ in pairs)
    return {
        name: sizes if len(sizes) > 1 else sizes[0] for name, (_, sizes) in zip(names, pairs, strict=True)
    }


def _out_of_turn(word: str, wanted: int | tuple[int, ...], copies: int) -> Problem:
    """A cut of tokens that take turns into other parts than their copies."""
    found = f"{wanted if isinstance(wanted, int) else len(wanted)} parts"
    cause, fix = f"{word} take turns on copies of the layer", f"{word} = {copies}"
    return Problem("ND523", cause, word, found, f"{copies} parts", (fix,))


def _parts(size: int, wanted: int | tuple[int, ...]) -> tuple[int, ...]:
    """Sizes of the parts of an axis."""
    if not isinstance(wanted, int):
        return wanted
    step = -(-size // wanted)
    return tuple(min(step, size - at) for at in range(0, size, step))


def _impossible(cells: Cells, axis: int, word: str, wanted: int | tuple[int, ...]) -> Iterator[Problem]:
    """Why an axis has no such parts: sizes that do not add up, or a number without parts of one size but the last."""
    size, parts = cells.shape[axis], wanted if isinstance(wanted, int) else len(wanted)
    if parts > 1 and _fixed(cells, axis):
        yield Problem(
            "ND523", f"nothing to cut along {word}", word, f"{parts} parts", "1: all lie at one index"
        )
    elif parts > size:
        yield Problem("ND523", f"more parts than {word}", word, f"{parts} parts", f"1 .. {size}")
    elif not isinstance(wanted, int):
        if sum(wanted) != size:
            yield Problem(
                "ND523", f"parts do not add up to all {word}", word, f"{sum(wanted)} in all", str(size)
            )
    elif (near := -(-size // (step := -(-size // parts)))) != parts:
        cause, more = f"{size} {word} have no such equal parts", -(-size // (step - 1))
        limit = f"{near} or {more} parts of one size, the last may be smaller; or a list of sizes"
        yield Problem("ND523", cause, word, f"{parts} parts", limit, (f"{word} = {near}", f"{word} = {more}"))


def _fixed(cells: Cells, axis: int) -> bool:
    """Whether everything lies at one index of an axis."""
    return cells.home is not None and bool((cells.coordinates[axis] == cells.coordinates[axis][0]).all())


def _sizes(cells: Cells, axis: int, fine: bool) -> list[int]:
    """Chunk sizes along an axis: whole, into 2 .. 8 parts, and on by doubling and tripling; or all there are."""
    size = cells.shape[axis]
    if _fixed(cells, axis):
        return [size]
    parts = set(range(1, 9)) | {2**a * 3**b for a in range(14) for b in range(9)}
    wanted = range(1, size + 1) if fine else [k for k in parts if k <= size]
    return sorted({-(-size // k) for k in wanted} | {1}, reverse=True)


MEMBER = Grid()
