"""The shape of ``report.json``, as the tables of figures and columns state it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from . import figures
from .columns import TABLES
from .figure import cell
from .words import Json

Fits = Callable[[Any], bool]


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _flag(value: Any) -> bool:
    return isinstance(value, bool)


def _each(fits: Fits) -> Fits:
    return lambda value: isinstance(value, list) and all(map(fits, value))


def _table(fits: Fits) -> Fits:
    """Texts to whatever fits."""
    return lambda value: isinstance(value, dict) and all(map(fits, value.values()))


def _record(**fields: Fits) -> Fits:
    """A record that has these fields, whatever else it has."""
    return lambda value: (
        isinstance(value, dict) and all(name in value and fits(value[name]) for name, fits in fields.items())
    )


_COLUMN = _record(name=_text, unit=_text, formula=_text, help=_text, measured=_flag, first=_flag)
_COEFFICIENT = _record(key=_text, low=cell, nominal=cell, high=cell, unit=_text, source=_text)
_DEFINITION = _record(
    title=_text, formula=_text, notes=_each(_text), sources=_each(_text), coefficients=_each(_COEFFICIENT)
)

#: what describes the values of a report
DESCRIPTIONS: dict[str, Fits] = {
    "definitions": _table(_DEFINITION),
    "columns": _table(_each(_COLUMN)),
    "figures": _each(_record(key=_text, label=_text)),
    "reasons": _table(_text),
}
#: fields that are read of figures which are records
RECORDS: dict[str, Fits] = {"input": _record(kind=_text, label=_text, text=_text)}


def wrong(report: Json) -> list[str]:
    """Every key that is missing or of another shape; empty for a whole report.

    A figure or column that was added after the report was written is no fault: it reads as missing.
    """
    shapes = DESCRIPTIONS | RECORDS
    keys = [key for key, fits in shapes.items() if not fits(report.get(key))]
    keys += [figure.key for figure in figures.figures() if figure.key not in keys and not figure.fits(report)]
    described = report["columns"] if "columns" not in keys else {}
    return keys + [key for table in TABLES for key in _rows(table, report.get(table), described.get(table))]


def _rows(table: str, rows: Any, described: Any) -> Iterator[str]:
    if not isinstance(rows, list) or not isinstance(described, list):
        yield table
        return
    for name in (column["name"] for column in described):
        if not all(isinstance(row, dict) and name in row and cell(row[name]) for row in rows):
            yield f"{table}.{name}"
