"""Growing flat tables while a core image is written."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ..array import Array
from .types import IDENTITY, TABLES, Operand, TableArray, empty_tables
from .words import Layout, pack


@dataclass
class Tables:
    """One core's tables under construction; every ``add`` returns where its entries begin."""

    parts: dict[str, list[Array]] = field(default_factory=lambda: {name: [] for name in TABLES})
    sizes: dict[str, int] = field(default_factory=lambda: dict.fromkeys(TABLES, 0))
    ports_of: list[str] = field(default_factory=list)
    seen: dict[tuple[str, bytes], int] = field(default_factory=dict)

    def add(self, table: str, entries: Array) -> int:
        """Append entries (or rows) to a table."""
        dtype, width = TABLES[table]
        block: Array = np.asarray(entries).astype(dtype, copy=False).reshape((-1, width) if width else -1)
        self.parts[table].append(block)
        self.sizes[table] += len(block)
        return self.sizes[table] - len(block)

    def share(self, table: str, entries: Array) -> int:
        """Append entries unless the same were appended through ``share`` before."""
        key = table, np.ascontiguousarray(entries, dtype=TABLES[table][0]).tobytes()
        if key not in self.seen:
            self.seen[key] = self.add(table, entries)
        return self.seen[key]

    def finish(self) -> dict[str, Array]:
        """All tables as contiguous arrays."""
        return {name: np.concatenate([empty, *self.parts[name]]) for name, empty in empty_tables().items()}

    def values(self, array: Array) -> TableArray:
        """A parameter array; equal ones share their words."""
        array = np.asarray(array, dtype=np.int64)
        return TableArray(self.share("values", array.ravel()), array.shape)

    def zeros(self, count: int) -> TableArray:
        """Initial state of ``count`` words."""
        return TableArray(self.add("state", np.zeros(count, dtype=np.int64)), (count,))

    def gather(self, index: Array, size: int) -> int:
        """Element indices into a vector of ``size``; :data:`IDENTITY` where they are all of it in order."""
        if len(index) == size and np.array_equal(index, np.arange(size)):
            return IDENTITY
        return self.share("gather", index)

    def operand(self, source: int, index: Array, size: int) -> Operand:
        """An instruction's input."""
        return Operand(source, self.gather(index, size))

    def port(self, node: str, init: Array) -> int:
        """A new port that starts every step at ``init``."""
        self.ports_of.append(node)
        start = self.add("port_init", init)
        return self.add("ports", np.array([[start, len(init)]]))

    def connection(self, port: int, columns: int, exponent: int, layout: Layout, rows: list[Rows]) -> int:
        """Weight rows in order; every item of ``rows`` is a block of rows with the same columns."""
        first = self.sizes["rows"]
        for block in rows:
            words = pack(block.weights, block.columns, layout, block.delays)
            word = self.add("synapses", words) + words.shape[1] * np.arange(len(words))
            entries = np.full_like(word, block.weights.shape[1])
            column = block.columns[0] if len(block.columns) else 0
            self.add("rows", np.stack([word, entries, np.full_like(word, column)], axis=1))
        count = self.sizes["rows"] - first
        record = (
            port,
            layout.bits,
            exponent,
            layout.header_bits,
            layout.index_bits,
            layout.block,
            first,
            count,
            columns,
            layout.delay_bits,
        )
        return self.add("connections", np.array([record]))


@dataclass(frozen=True, eq=False)
class Rows:
    """Weight rows (n, entries), shifted right by the common power of two, onto ``columns``; ``delays`` in steps."""

    weights: Array
    columns: Array
    delays: Array | int = 0


def distinct_rows(rows: Array) -> tuple[Array, Array]:
    """The distinct rows of a matrix and which of them each row is; compares bytes, so order means nothing."""
    rows = np.ascontiguousarray(rows)
    keys = rows.view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1]))).ravel()
    _, first, which = np.unique(keys, return_index=True, return_inverse=True)
    return rows[first], which
