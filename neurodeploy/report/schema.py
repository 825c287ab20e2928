"""The shape of ``report.json``, as the tables of figures and columns state it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from . import figures
from .columns import TABLES
from .words import Json

#: what describes the values of a report
DESCRIPTIONS: dict[str, type] = {"definitions": dict, "columns": dict, "figures": list, "reasons": dict}


def wrong(report: Json) -> list[str]:
    """Every key that is missing or of another shape; empty for a whole report.

    A figure or column that was added after the report was written is no fault: it reads as missing.
    """
    keys = [key for key, kind in DESCRIPTIONS.items() if not isinstance(report.get(key), kind)]
    keys += [figure.key for figure in figures.figures() if not figure.fits(report)]
    described = report["columns"] if "columns" not in keys else {}
    return keys + [key for table in TABLES for key in _table(table, report.get(table), described.get(table))]


def _table(table: str, rows: Any, described: Any) -> Iterator[str]:
    if not isinstance(rows, list) or not isinstance(described, list):
        yield table
        return
    names = [column.get("name") for column in described if isinstance(column, dict)]
    for name in names:
        if not all(isinstance(row, dict) and name in row for row in rows):
            yield f"{table}.{name}"
