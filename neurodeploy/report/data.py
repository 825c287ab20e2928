"""ReportInputs -> one JSON-able dict, the only thing that the console, the files and the page are made from.

A value that is missing is null, and ``reasons`` says why under its dotted key (rows of a table share one key:
``layers.sqnr_db``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from math import isfinite
from typing import Any

import numpy as np

from ..cost.types import Definition
from ..target import Target
from . import figures, views, words
from .columns import TABLES
from .inputs import ReportInputs
from .words import Json

#: raised when a key goes, or changes its meaning; a new one needs no new version
SCHEMA_VERSION = 3

ROWS: dict[str, Callable[[ReportInputs], Iterator[Any]]]
ROWS = {"layers": views.layers, "cores": views.cores, "links": views.links}


def build(inputs: ReportInputs) -> Json:
    """The report of one build; every key is always there."""
    report: Json = {"schema_version": SCHEMA_VERSION}
    for figure in figures.figures():
        _put(report, figure.key, figure.get(inputs))
    report |= dict.fromkeys(TABLES)
    report["definitions"] = {d.key: _definition(d, inputs.target) for d in inputs.assessment.definitions}
    report["figures"] = [figure.described() for figure in figures.figures()]
    report["columns"] = {table: [c.described() for c in columns] for table, columns in TABLES.items()}
    report = plain(report)
    for table, columns in TABLES.items():  # as they are made, for there may be a hundred thousand rows
        rows = ROWS[table](inputs)
        report[table] = [{column.name: plain(column.get(row)) for column in columns} for row in rows]
    report["reasons"] = {key: _reason(inputs, key) for key in dict.fromkeys(nulls(report))}
    return report


def _put(report: Json, key: str, value: Any) -> None:
    """Store a value at its dotted key."""
    *above, name = key.split(".")
    for part in above:
        report = report.setdefault(part, {})
    report[name] = value


def _definition(definition: Definition, target: Target) -> Json:
    said = {name: getattr(definition, name) for name in ("title", "formula", "notes", "sources")}
    priced = [_coefficient(key, target) for key in dict.fromkeys(definition.coefficients)]
    return {**said, "coefficients": priced}


def _coefficient(key: str, target: Target) -> Json:
    table, name = key.split(".")
    shown = {"low", "nominal", "high", "unit", "source", "note", "assumed", "priced"}
    return {"key": key, **getattr(getattr(target.costs, table), name).model_dump(include=shown)}


# --- plain JSON, and a reason for every null ------------------------------------------------------------------------


#: types of which every value is plain
PLAIN = frozenset({str, int, bool, type(None)})


def plain(value: Any) -> Any:
    """Only dicts, lists, strings, finite numbers, booleans and None; what is not a number becomes None."""
    if type(value) in PLAIN:
        return value
    if type(value) is float:
        return value if isfinite(value) else None
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    return value if isinstance(value, (str, int)) or value is None else str(value)


def nulls(value: Json | list[Any], key: str = "") -> Iterator[str]:
    """Dotted keys of everything that is None; the rows of a list share their list's key."""
    items = value.items() if isinstance(value, dict) else ((None, item) for item in value)
    for name, item in items:
        if item is None or isinstance(item, (dict, list)):
            inner = key if name is None else f"{key}.{name}" if key else str(name)
            if item is None:
                yield inner
            else:
                yield from nulls(item, inner)


def _reason(inputs: ReportInputs, key: str) -> str:
    """What the build said of the key or of what it is a part of, else what its column or figure needs."""
    for name in words.above(key):
        if name in inputs.reasons:
            return inputs.reasons[name]
    table, _, rest = key.partition(".")
    for column in TABLES.get(table, ()):
        if column.name == rest.split(".")[0]:
            return column.missing or "nothing to say in this row"
    figure = figures.figure_of(key)
    if figure and figure.fields and figure.key != key:
        return "nothing to say in this row"
    return figure.needs.reason(inputs) if figure and figure.needs else "not known in this build"
