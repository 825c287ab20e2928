"""Writes and reads the files of a build: each one whole or not at all."""

from __future__ import annotations

import csv
import io
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from ..errors import EnvironmentProblem, Problem, ReportError
from .columns import TABLES
from .data import SCHEMA_VERSION

REPORT = "report.json"
PAGE = "report.html"


def write_atomic(path: Path, text: str) -> None:
    """Write a text file beside its place and move it there; EnvironmentProblem ND890 if the disk refuses."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise _refused(path, error) from error
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as stream:
            stream.write(text)
        # Files made by mkstemp are private; a report is as readable as any other file of the user.
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(name, 0o666 & ~umask)
        os.replace(name, path)
    except OSError as error:
        Path(name).unlink(missing_ok=True)
        raise _refused(path, error) from error
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _refused(path: Path, error: OSError) -> EnvironmentProblem:
    return EnvironmentProblem(
        [
            Problem(
                "ND890",
                "a report file cannot be written",
                str(path),
                error.strerror or "",
                "a folder with room that may be written to",
                ("free some space, or choose another folder with --out",),
            )
        ]
    )


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
    if value is None:
        return ""
    if isinstance(value, list):
        return " ".join(map(str, value))
    # A spreadsheet must not take the name of a layer for a formula.
    return f"'{value}" if isinstance(value, str) and value[:1] in "=+-@\t\r" and value else value


def write(report: dict[str, Any], folder: Path) -> list[Path]:
    """Write report.json and the three tables; returns the paths."""
    texts = {REPORT: json.dumps(report, indent=1, allow_nan=False) + "\n"}
    texts |= {f"{table}.csv": table_csv(report, table) for table in TABLES}
    for name, text in texts.items():
        write_atomic(folder / name, text)
    return [folder / name for name in texts]


def read(folder: Path) -> dict[str, Any]:
    """The report of a build folder; ReportError if it is missing, damaged or of another schema version."""
    path = folder / REPORT
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        cause = "a build folder without a report"
        raise ReportError(
            [
                Problem(
                    "ND810",
                    cause,
                    str(path),
                    error.strerror or "",
                    "a folder written by build",
                    ("neurodeploy build MODEL --target T --out DIR",),
                )
            ]
        ) from error
    except ValueError as error:
        raise ReportError(
            [
                Problem(
                    "ND811",
                    "a damaged report",
                    str(path),
                    str(error),
                    "JSON text",
                    ("run the report stage again",),
                )
            ]
        ) from error
    found = report.get("schema_version") if isinstance(report, dict) else None
    if found != SCHEMA_VERSION:
        raise ReportError(
            [
                Problem(
                    "ND812",
                    "a report of another schema version",
                    str(path),
                    str(found),
                    str(SCHEMA_VERSION),
                    ("build again with this version of neurodeploy",),
                )
            ]
        )
    return report
