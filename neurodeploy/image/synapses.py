"""Synapse memory: connections, their weight rows, and the words that hold them.

A connection adds to one port. Its rows share a layout (:mod:`.words`) and a power of two, the ``exponent``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from functools import partial

import numpy as np

from ..array import Array, wide
from ..errors import MappingError, Problem
from .tables import LARGEST, Column, Found, Table, Tables, beyond
from .types import CoreImage
from .words import Layout, pack, unpack

SYNAPSES = Table("synapses", np.uint64)
#: where a weight row starts, how long it is, and its first target (without target indices)
ROWS = Table("rows", np.int32, (Column("word"), Column("entries"), Column("column")))
CONNECTIONS = Table("connections", np.int32, (
    Column("port", of="ports"), Column("bits", 1, 33), Column("exponent", high=32),
    Column("header_bits", high=63), Column("index_bits", high=32), Column("block"),
    Column("first", of="rows", count="rows"), Column("rows"), Column("columns", 1, LARGEST),
    Column("delay_bits", high=17),  # no message waits longer than a run lasts
))  # fmt: skip
TABLES = (SYNAPSES, ROWS, CONNECTIONS)


@dataclass(frozen=True, eq=False)
class Weights:
    """Weight rows (n, entries) onto ``columns``; ``delays`` in steps."""

    weights: Array
    columns: Array
    delays: Array | int = 0


def add_connection(
    tables: Tables, port: int, columns: int, exponent: int, layout: Layout, blocks: Sequence[Weights]
) -> int:
    """A connection onto ``columns`` slots of a port, from its weight rows in order; returns its number.

    Weights are multiples of 2 to the ``exponent``, and are packed when the tables are finished.
    """
    first = tables.sizes["rows"]
    for block in blocks:
        count, entries = block.weights.shape
        words = layout.row_words(entries)
        start = tables.later(SYNAPSES, count * words, partial(_packed, block, exponent, layout))
        column = block.columns[0] if len(block.columns) else 0
        tables.add(ROWS, ROWS.rows(word=start + words * np.arange(count), entries=entries, column=column))
    count = tables.sizes["rows"] - first
    record = {"port": port, "exponent": exponent, "first": first, "rows": count, "columns": columns}
    return tables.add(CONNECTIONS, CONNECTIONS.rows(**record, **asdict(layout)))


def _packed(block: Weights, exponent: int, layout: Layout) -> Array:
    return pack(wide(block.weights) >> exponent, block.columns, layout, block.delays).ravel()


def layout_of(connection: Array) -> Layout:
    """How one connection stores its rows."""
    return Layout(**{f.name: int(connection[f.name]) for f in fields(Layout)})


def connection_of(image: CoreImage, number: int) -> tuple[Array, Array]:
    """Weights and delays in steps, (rows, columns) each, of a connection.

    Raises MappingError ND582 where they cannot be decoded.
    """
    link = image.rows(CONNECTIONS)[number]
    count, columns, layout = link["rows"], link["columns"], layout_of(link)
    rows = ROWS.read(image.tables["rows"][link["first"] : link["first"] + count])
    weights, delays = (np.zeros((count, columns), dtype=np.int64) for _ in range(2))
    for entries in np.unique(rows["entries"]).tolist():
        which = np.flatnonzero(rows["entries"] == entries)
        words = rows["word"][which][:, None] + np.arange(layout.row_words(entries))
        values, index, waits, right = unpack(image.tables["synapses"][words], entries, layout)
        column = index if layout.index_bits else rows["column"][which][:, None] + np.arange(entries)
        right &= (column < columns).all(axis=1)
        if not right.all():
            cause = "a row of synapse memory cannot be decoded"
            found = f"connection {number} row {which[~right][0]}"
            limit = f"header {layout.header(entries)}, targets below {columns}"
            raise MappingError(Problem("ND582", cause, f"{image.name}: synapses", found, limit))
        np.add.at(weights, (which[:, None], column), values << link["exponent"])
        delays[which[:, None], column] = waits
    return weights, delays


def row_words(image: CoreImage, number: int) -> Array:
    """Words of synapse memory that each row of a connection takes, (rows,)."""
    link = image.rows(CONNECTIONS)[number]
    entries = image.rows(ROWS)["entries"][link["first"] : link["first"] + link["rows"]]
    lengths, which = np.unique(entries, return_inverse=True)
    words = np.array([layout_of(link).row_words(n) for n in lengths.tolist()], dtype=np.int64)
    found: Array = words[which.ravel()]
    return found


def weights_of(image: CoreImage, number: int) -> Array:
    """The weight matrix (rows, columns) of a connection, as :func:`connection_of`."""
    return connection_of(image, number)[0]


def wrong(image: CoreImage) -> Iterator[Found]:
    """Connections that reach beyond their port or beyond synapse memory; columns are as declared."""
    rows = image.rows(ROWS)
    for number, link in enumerate(image.rows(CONNECTIONS)):
        if link["columns"] > max(image.port_size(link["port"]), 1):
            yield Found("connections", f"entry {number}", "a connection has more columns than its port")
        else:
            mine = rows[link["first"] : link["first"] + link["rows"]]
            yield from _wrong_rows(mine, layout_of(link), int(link["columns"]), len(image.tables["synapses"]))


def _wrong_rows(rows: Array, layout: Layout, columns: int, memory: int) -> Iterator[Found]:
    lengths = np.unique(rows["entries"])
    if lengths.size and lengths[-1] > columns:
        yield Found("rows", int(lengths[-1]), "a row is longer than its target")
        return
    words = np.array([layout.row_words(n) for n in lengths.tolist()], dtype=np.int64)
    size = words[np.searchsorted(lengths, rows["entries"])]
    yield from beyond("rows", rows["word"], size, memory, "a row leaves synapse memory")
    if not layout.index_bits:
        yield from beyond("rows", rows["column"], rows["entries"], columns, "a row leaves its target")
