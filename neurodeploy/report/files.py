"""Writes and reads the files of a build: each one whole or not at all."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from ..codes import CODES
from ..errors import Problem, ReportError, first_line
from ..files import typed, write_text
from ..publishing import settle
from ..visible import visible
from . import schema
from .columns import TABLES
from .data import SCHEMA_VERSION

REPORT = "report.json"
PAGE = "report.html"
#: keys that one message names
MOST = 8
REBUILD = "build again: finished stages are taken from the folder"


def table_csv(report: dict[str, Any], table: str) -> str:
    """One table as CSV: a header of column names, empty cells for what is missing, lists joined by blanks."""
    names = [column.name for column in TABLES[table]]
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(names)
    for row in report[table]:
        writer.writerow([_cell(row.get(name)) for name in names])
    return buffer.getvalue()


def _cell(value: Any) -> Any:
    if value is None or type(value) in (int, float):
        return value
    text = " ".join(map(str, value)) if isinstance(value, list) else value
    text = visible(text) if isinstance(text, str) else text
    # A spreadsheet must not take the name of a layer for a formula.
    return f"'{text}" if isinstance(text, str) and text.startswith(tuple("=+-@\t\r")) else text


def write(report: dict[str, Any], folder: Path) -> list[Path]:
    """Write report.json and the three tables; returns the paths."""
    texts: dict[str, Callable[[dict[str, Any]], str]] = {REPORT: _json}
    texts |= {f"{table}.csv": partial(table_csv, table=table) for table in TABLES}
    with typed(folder):
        folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():  # one text at a time: they may have a hundred million letters
        write_text(folder / name, text(report))
    return [folder / name for name in texts]


def _json(report: dict[str, Any]) -> str:
    """The report as JSON text, each row of a table on one line."""
    text = partial(json.dumps, allow_nan=False)

    def shown(key: str, value: Any) -> str:
        return "[\n" + ",\n".join(map(text, value)) + "\n ]" if key in TABLES else text(value, indent=1)

    return "{\n" + ",\n".join(f" {text(key)}: {shown(key, value)}" for key, value in report.items()) + "\n}\n"


def read(folder: Path) -> dict[str, Any]:
    """The report of a build folder; ReportError if it is missing, damaged or of another schema version."""
    path = folder / REPORT
    settle(folder)
    try:
        report = json.loads(path.read_text(encoding="utf-8"), parse_constant=_no_number)
    except OSError as error:
        fix = "neurodeploy build MODEL --target T --out DIR"
        raise _refused("ND810", path, error.strerror or "", "a folder written by build", fix) from error
    except (ValueError, RecursionError) as error:
        raise _refused("ND811", path, str(error), "JSON text", REBUILD) from error
    version = report.get("schema_version") if isinstance(report, dict) else None
    if version != SCHEMA_VERSION:
        fix = "build again with this version of neurodeploy"
        raise _refused("ND812", path, f"schema version {version}", f"schema version {SCHEMA_VERSION}", fix)
    if absent := schema.wrong(report):
        found = ", ".join(absent[:MOST]) + (f" and {len(absent) - MOST} more" if len(absent) > MOST else "")
        raise _refused("ND811", path, f"missing or unusable: {found}", "every figure of a report", REBUILD)
    whole: dict[str, Any] = report
    return whole


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


@contextmanager
def consistent(folder: Path) -> Iterator[None]:
    """A renderer that stumbles over a report of the right shape is a ReportError: its values contradict each other."""
    from jinja2 import TemplateError

    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, TemplateError) as error:
        found, limit = f"its parts contradict each other: {first_line(error)}", "the report of one build"
        raise _refused("ND811", folder / REPORT, found, limit, REBUILD) from error


def _refused(code: str, path: Path, found: str, limit: str, fix: str) -> ReportError:
    return ReportError([Problem(code, CODES[code][0], str(path), found, limit, (fix,))])
