"""Tables too long to stand in a page: the first rows as they are, all of them as columns that the script unpacks.

The text is JSON, deflated, in base 64: a list of columns, each one of

``steps``    whole numbers: the first, then what each adds to the one before it
``numbers``  numbers to :data:`DIGITS` digits, two more than the page shows; null where there is nothing
``words``    the different values, and ``codes``, which of them each row has
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from .svg import Safe
from .words import Json

#: rows up to which a table stands in the page, and those shown of a longer one where no script runs
MOST_ROWS, FIRST_ROWS = 500, 50
#: cells up to which all columns are packed; of larger tables only those that the page shows without being asked
MOST_CELLS = 200_000
#: rows that are packed of a table whose first rows matter most; of the others all are
MOST_SORTED = 5_000
DIGITS = 5


@dataclass(frozen=True)
class Table:
    """A table of the page: described columns, the rows that stand in it, how many there are, and all of them packed.

    ``packed`` is empty where they all stand in the page; ``known`` counts the rows that it holds.
    """

    name: str
    title: str
    columns: Sequence[Json]
    rows: Sequence[Json]
    total: int
    packed: str = ""
    known: int = 0


def table(
    name: str,
    title: str,
    columns: Sequence[Json],
    rows: Sequence[Json],
    whole: bool = True,
    pack: bool = False,
) -> Table:
    """The table as the page has it; ``whole``: all rows are worth packing, ``pack``: also few of them."""
    if len(rows) <= MOST_ROWS and not pack:
        return Table(name, title, columns, rows, len(rows))
    kept = rows if whole else rows[:MOST_SORTED]
    if len(kept) * len(columns) > MOST_CELLS:
        columns = [column for column in columns if column["first"]]
    coded = [_column([row[column["name"]] for row in kept]) for column in columns]
    return Table(name, title, columns, rows[:FIRST_ROWS], len(rows), text(coded), len(kept))


def text(value: Any) -> Safe:
    """Any JSON value as text without a character that HTML knows."""
    plain = json.dumps(value, separators=(",", ":"), allow_nan=False).encode()
    return Safe(base64.b64encode(zlib.compress(plain)).decode())


def _column(values: Sequence[Any]) -> Json:
    kinds = set(map(type, values))
    if kinds == {int}:
        return {"steps": [*values[:1], *(after - before for before, after in pairwise(values))]}
    if kinds <= {int, float, type(None)}:
        return {"numbers": [None if value is None else float(f"{value:.{DIGITS}g}") for value in values]}
    keys = [tuple(value) if isinstance(value, list) else value for value in values]
    codes = {key: code for code, key in enumerate(dict.fromkeys(keys))}
    return {"words": list(codes), "codes": [codes[key] for key in keys]}
