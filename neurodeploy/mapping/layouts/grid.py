"""Grids over the axes of a group's anchor: tokens, heads, channels, rows, columns, each into equal parts."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from math import prod

import numpy as np

from ...array import Array
from ...errors import Problem, UsageError, unknown_name
from ...ir.nodes import Delay
from ..cells import Cells, Tile, split
from ..demand import Accounting
from ._base import Layout, Partition, Wanted

AXES = {
    "N": "tokens", "H": "heads", "C": "channels", "Y": "rows", "X": "columns", "K": "classes", "G": "parts"
}  # fmt: skip
#: an axis in a label: its word, and how many parts or of what sizes
LABEL = re.compile(r"(\w+)/([1-9]\d{0,8}(?:\+[1-9]\d{0,8})*)", re.ASCII)


@dataclass(frozen=True)
class Parts(Partition):
    """The grid with ``chunk`` indices per axis and tile; ``roles`` of the anchor's axes name it.

    ``turned``: the axis of tokens that take turns, and on how many copies, each of which has every so many-th.
    """

    cells: Cells
    roles: tuple[str, ...]
    chunk: tuple[int, ...]
    turned: tuple[int, int] | None = field(default=None, kw_only=True)

    @property
    def label(self) -> str:
        """Into how many parts each axis is cut."""
        parts = zip(self.roles, self._counts, strict=True)
        return " x ".join(f"{AXES[role]}/{count}" for role, count in parts) or "whole"

    @property
    def _counts(self) -> tuple[int, ...]:
        """Parts of each axis."""
        counts = [-(-size // step) for size, step in zip(self.cells.shape, self.chunk, strict=True)]
        if self.turned:
            counts[self.turned[0]] = self.turned[1]
        return tuple(counts)

    @cached_property
    def count(self) -> int:
        """Number of tiles that are not empty."""
        cells = self.cells
        if cells.neuron is None or len(cells.homes[0]) == cells.sizes[cells.anchor]:
            return prod(self._counts)
        if self.turned:
            return len(np.unique(self._numbers))
        return int((cells.boxes(self._edges) > 0).sum())

    @property
    def _edges(self) -> list[Array]:
        """Where the parts begin along each axis, and its end."""
        cuts = zip(self.cells.shape, self.chunk, strict=True)
        return [np.append(np.arange(0, size, step), size) for size, step in cuts]

    @property
    def axis(self) -> int | None:
        """The only axis that is cut."""
        cut = [a for a, size in enumerate(self.cells.shape) if self.chunk[a] < size]
        return cut[0] if len(cut) == 1 else None

    @property
    def grid(self) -> tuple[int, ...] | None:
        """The chunks, where each is of neighbours."""
        return None if self.turned and self.turned[1] > 1 else self.chunk

    def tiles(self) -> list[Tile]:
        """The tiles that are not empty, in row-major order."""
        if self.cells.neuron is None:
            sizes = zip(self.cells.shape, self.chunk, strict=True)
            cuts = [np.split(np.arange(size), range(step, size, step)) for size, step in sizes]
            if self.turned:
                axis, copies = self.turned
                cuts[axis] = [np.arange(copy, self.cells.shape[axis], copies) for copy in range(copies)]
            return [Tile(self.cells, axes) for axes in product(*cuts)]
        return [self.cells.hosted(homes) for homes in split(self._numbers) if len(homes)]

    def sample(self) -> Tile:
        """An inner tile of a plain grid, else the one of most neurons."""
        if self.cells.neuron is None:
            sizes = zip(self.cells.shape, self.chunk, strict=True)
            # Windows reach over both ends of an inner tile; with fewer than three, the first is not shorter.
            starts = [(step if size > 2 * step else 0, size, step) for size, step in sizes]
            axes = [np.arange(a, min(a + step, size)) for a, size, step in starts]
            if self.turned:
                axis, copies = self.turned
                axes[axis] = np.arange(0, self.cells.shape[axis], copies)
            return Tile(self.cells, tuple(axes))
        return self._largest()

    def _largest(self) -> Tile:
        """The tile of most neurons, the first of them."""
        if self.turned:
            numbers = self._numbers
            fullest = int(np.argmax(np.bincount(numbers, self.cells.homes[1])))
            return self.cells.hosted(np.flatnonzero(numbers == fullest))
        edges = self._edges
        boxes = self.cells.boxes(edges)
        at = np.unravel_index(int(np.argmax(boxes)), boxes.shape)
        axes = tuple(np.arange(ends[i], ends[i + 1]) for ends, i in zip(edges, at, strict=True))
        return self.cells.hosted(self.cells.within(axes))

    @property
    def _numbers(self) -> Array:
        """Row-major tile number of each home, tiles without any counted too."""
        number = np.zeros(len(self.cells.homes[0]), dtype=np.int64)
        for axis, count in enumerate(self._counts):
            number = number * count + self._part(axis, self.cells.coordinates[axis])
        return number

    def _part(self, axis: int, at: Array) -> Array:
        """The part of each index of an axis."""
        if self.turned and self.turned[0] == axis:
            return at % self.turned[1]
        return at // self.chunk[axis]


@dataclass(frozen=True)
class Uneven(Parts):
    """A grid whose ``sizes`` per axis a user has chosen; ``chunk`` is the largest of each axis."""

    sizes: tuple[tuple[int, ...], ...]

    @property
    def label(self) -> str:
        """As of parts, with sizes where they are not equal."""
        axes = zip(self.roles, self.cells.shape, self.sizes, strict=True)
        even = {axis: each == _parts(size, len(each)) for axis, (_, size, each) in enumerate(axes)}
        if self.turned:
            even[self.turned[0]] = True
        shown = (
            str(len(each)) if even[axis] else "+".join(map(str, each)) for axis, each in enumerate(self.sizes)
        )
        return " x ".join(f"{AXES[role]}/{each}" for role, each in zip(self.roles, shown, strict=True))

    @cached_property
    def count(self) -> int:
        """Number of tiles that are not empty."""
        if self.turned:
            return len(np.unique(self._numbers))
        return int((self.cells.boxes(self._edges) > 0).sum())

    @property
    def _counts(self) -> tuple[int, ...]:
        return tuple(map(len, self.sizes))

    @property
    def _edges(self) -> list[Array]:
        return [np.cumsum((0, *each)) for each in self.sizes]

    @property
    def grid(self) -> None:
        """No chunk describes it."""
        return None

    def tiles(self) -> list[Tile]:
        """The tiles that are not empty, in row-major order."""
        return [self.cells.hosted(homes) for homes in split(self._numbers) if len(homes)]

    def sample(self) -> Tile:
        """The tile of most neurons."""
        return self._largest()

    def _part(self, axis: int, at: Array) -> Array:
        if self.turned and self.turned[0] == axis:
            return at % self.turned[1]
        return np.searchsorted(np.cumsum(self.sizes[axis]), at, side="right")


class Grid(Layout):
    """Every grid is a candidate, with the chunk sizes that equal parts make."""

    name = "grid"
    title = "equal parts along tokens, heads, channels, rows and columns"

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
        return [Parts(cells, roles, tuple(grids[i].tolist()), turned=turned) for i in found]

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
        chunk = tuple(max(each) for each in sizes)
        equal = all(each == _parts(sum(each), len(each)) for each in sizes)
        if equal:
            return Parts(cells, roles, chunk, turned=turned)
        return Uneven(cells, roles, chunk, tuple(sizes), turned=turned)


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
