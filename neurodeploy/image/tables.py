"""How a table of an image is declared: its columns say what they hold, and writing, reading and checking follow.

A stored table is flat, or one row of whole numbers per entry. Whoever works with rows gets them as a structured array
(int64), a field per column, and gives them back as one. The parts of an image declare their own tables beside what
writes, reads and checks them; :data:`neurodeploy.image.TABLES` lists all.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from ..array import Array

LARGEST = 1 << 31  # no index, size or depth of an image exceeds 31 bits


class Found(NamedTuple):
    """Something wrong in an image: the table or instruction, what is there, and why it cannot be."""

    place: str
    found: Any
    cause: str


@dataclass(frozen=True)
class Column:
    """Numbers from ``low`` to ``high`` - 1.

    ``of``: they are entries of that table, and as many from there on as column ``count`` says (no ``count``: one).
    """

    name: str
    low: int = 0
    high: int = LARGEST
    of: str = ""
    count: str = ""

    def wrong(self, table: str, rows: Array, sizes: Mapping[str, int]) -> Iterator[Found]:
        """What breaks the declaration; ``sizes``: entries of every table."""
        entries = rows[self.name]
        yield from outside(table, entries, self.low, self.high, f"{self.name} cannot be that")
        if self.of and self.count:
            yield from beyond(table, entries, rows[self.count], sizes[self.of], f"{self.of} do not exist")
        elif self.of:
            yield from outside(table, entries, 0, sizes[self.of], f"{self.name} is none of the {self.of}")


@dataclass(frozen=True)
class Table:
    """A table as it is stored: (entries, columns) of ``dtype``, or flat where it has no columns."""

    name: str
    dtype: type[np.generic]
    columns: tuple[Column, ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of an empty one."""
        return (0, len(self.columns)) if self.columns else (0,)

    def rows(self, **columns: Array | int) -> Array:
        """Rows from their columns, broadcast against each other."""
        parts = np.broadcast_arrays(*(np.atleast_1d(columns[c.name]) for c in self.columns))
        return self.read(np.stack(parts, axis=1))

    def read(self, stored: Array) -> Array:
        """(n, columns) -> n rows with a field per column."""
        record = np.dtype([(c.name, np.int64) for c in self.columns])
        return np.ascontiguousarray(stored, dtype=np.int64).view(record).ravel()

    def stored(self, entries: Array) -> Array:
        """Flat entries, or rows that may have further fields, as they are stored."""
        if self.columns:
            entries = np.stack([entries[c.name] for c in self.columns], axis=1)
        return np.asarray(entries).astype(self.dtype, copy=False).reshape((-1, *self.shape[1:]))

    def wrong(self, stored: Array, sizes: Mapping[str, int]) -> Iterator[Found]:
        """What breaks the declaration of a column."""
        if self.columns:
            rows = self.read(stored)
            for column in self.columns:
                yield from column.wrong(self.name, rows, sizes)


@dataclass
class Tables:
    """One core's tables under construction; whatever adds entries returns where they begin."""

    parts: defaultdict[str, list[Array | Callable[[], Array]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    sizes: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    ports_of: list[str] = field(default_factory=list)
    seen: dict[tuple[str, bytes], int] = field(default_factory=dict)

    def add(self, table: Table, entries: Array) -> int:
        """Append flat entries, or rows."""
        block = table.stored(entries)
        self.parts[table.name].append(block)
        self.sizes[table.name] += len(block)
        return self.sizes[table.name] - len(block)

    def later(self, table: Table, size: int, make: Callable[[], Array]) -> int:
        """Append so many flat entries that are made when the tables are finished."""
        self.parts[table.name].append(make)
        self.sizes[table.name] += size
        return self.sizes[table.name] - size

    def share(self, table: Table, entries: Array) -> int:
        """Append flat entries unless the same were appended through ``share`` before."""
        key = table.name, np.ascontiguousarray(entries, dtype=table.dtype).tobytes()
        if key not in self.seen:
            self.seen[key] = self.add(table, entries)
        return self.seen[key]

    def finish(self, tables: Iterable[Table]) -> dict[str, Array]:
        """All tables as contiguous arrays."""
        return {t.name: np.concatenate([np.zeros(t.shape, t.dtype), *self._made(t)]) for t in tables}

    def _made(self, table: Table) -> Iterator[Array]:
        for part in self.parts[table.name]:
            yield table.stored(part()) if callable(part) else part


def outside(place: str, entries: Array, low: Any, high: Any, cause: str) -> Iterator[Found]:
    """One finding if any entry is not in low .. high - 1."""
    bad = np.flatnonzero((entries < low) | (entries >= high))
    if len(bad):
        yield Found(place, f"entry {bad[0]}: {int(entries[bad[0]])}", cause)


def beyond(place: str, first: Array, count: Any, size: Any, cause: str) -> Iterator[Found]:
    """One finding unless all first .. first + count - 1 lie below size."""
    end = np.where((first < 0) | (count < 0), -1, first + count)
    yield from outside(place, end, 0, np.asarray(size) + 1, cause)


def runs(first: Array, count: Array) -> Array:
    """first[0] .. first[0] + count[0] - 1, first[1] .., one after the other."""
    found: Array = np.repeat(first - np.cumsum(count) + count, count) + np.arange(int(count.sum()))
    return found


def distinct_rows(rows: Array) -> tuple[Array, Array]:
    """The distinct rows of a matrix and which of them each row is; compares bytes, so order means nothing."""
    rows = np.ascontiguousarray(rows)
    keys = rows.view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1]))).ravel()
    _, first, which = np.unique(keys, return_index=True, return_inverse=True)
    return rows[first], which
