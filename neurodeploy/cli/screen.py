"""What a command prints, and how: tables, JSON, problems. Only this prints."""

from __future__ import annotations

import json
import math
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from enum import Enum
from typing import Any, TextIO

from ..errors import NeurodeployError, Problem, grouped
from ..visible import visible

WIDTH = 100
NAME = 40  # letters of the first column of a table that stand on one line, whatever the width


class Format(str, Enum):
    """How results and problems are shown."""

    auto = "auto"
    rich = "rich"
    plain = "plain"
    json = "json"


class Closed(BaseException):
    """Nobody reads what is printed any more."""


class Pipe:
    """A stream of the process that tells a reader who left (:class:`Closed`) from every other broken pipe."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # an encoding that lacks a letter stops no command

    def write(self, text: str) -> int:
        """As every text stream."""
        with _reader():
            return self._stream.write(text)

    def flush(self) -> None:
        """As every text stream."""
        with _reader():
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def _reader() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError as error:
        raise Closed from error


class Screen:
    """Where everything that is printed goes through; options of the command that runs set it up.

    Under ``--format json`` a result or a problem is kept, and :meth:`close` prints the one object there is.
    """

    def __init__(self) -> None:
        self.configure(Format.auto)
        self.kept: Mapping[str, Any] | None = None

    def configure(self, form: Format, quiet: bool = False, verbose: bool = False) -> None:
        """Take over the flags of a command."""
        self.format, self.quiet, self.verbose = form, quiet, verbose

    @property
    def rich(self) -> bool:
        """Whether to draw: asked for, or a terminal."""
        return self.format is Format.rich or (self.format is Format.auto and sys.stdout.isatty())

    @property
    def width(self) -> int:
        """Letters of a line: those of the terminal, or where there is none :data:`WIDTH`."""
        return shutil.get_terminal_size((WIDTH, 24)).columns

    @property
    def json(self) -> bool:
        """Whether stdout carries JSON and nothing else."""
        return self.format is Format.json

    def out(self, text: str) -> None:
        """A result."""
        print(visible(text.rstrip("\n")))

    def note(self, text: str) -> None:
        """Something by the way."""
        if not self.quiet:
            self.said(text)

    def said(self, text: str) -> None:
        """What is no result: to stderr."""
        print(visible(text), file=sys.stderr)

    def data(self, value: Mapping[str, Any]) -> None:
        """A result as JSON."""
        self.kept = value

    def close(self, code: int) -> None:
        """Print the JSON object of a command: its result or its problems, else its exit code alone."""
        if self.json:
            found = {"exit_code": code, "problems": []} if self.kept is None else self.kept
            # an escape may stand in a string only
            print(json.dumps(_plain(found), indent=1, allow_nan=False).replace("\x7f", "\\u007f"))

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """A result as a table: JSON objects, drawn, or plain columns."""
        cells = [[_cell(v) for v in row] for row in rows]
        if self.json:
            self.data({"rows": [dict(zip(columns, row, strict=True)) for row in cells]})
            return
        shown = [[visible(cell, "") for cell in row] for row in cells]
        if self.rich:
            from rich import box, console, table, text

            drawn = table.Table(*columns, box=box.SIMPLE_HEAD)
            for column in drawn.columns:  # what somebody may have to type is never cut
                column.overflow = "fold"
            drawn.columns[0].no_wrap = max((len(row[0]) for row in shown), default=0) <= NAME
            for row in shown:
                drawn.add_row(*map(text.Text, row))
            console.Console().print(drawn)
        else:
            lines = [list(columns), *shown]
            widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
            for row in lines:
                print("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip())

    def problems(self, error: NeurodeployError) -> None:
        """Everything that is wrong, to stderr, or as JSON to stdout."""
        if self.json:
            self.data({"exit_code": error.exit_code, "problems": [asdict(p) for p in error.problems]})
        elif self.rich:
            self._panels(grouped(error.problems))
        else:
            self.complain(error.problems)

    def warnings(self, problems: Sequence[Problem]) -> None:
        """Those that stop nothing, to stderr; JSON results carry them anyway."""
        if not self.json:
            self.complain(p for p in problems if p.severity == "warning")

    def complain(self, problems: Iterable[Problem]) -> None:
        """Problems of one cause together, to stderr."""
        for problem in grouped(problems):
            self.said(f"{problem.severity}: {problem}\n  more: neurodeploy explain {problem.code}")

    def _panels(self, problems: Sequence[Problem]) -> None:
        from rich import console, panel, text

        shown = console.Console(stderr=True)
        for problem in problems:
            colour = "red" if problem.severity == "error" else "yellow"
            body = text.Text(visible("\n".join(str(problem).splitlines()[1:])) or "-")
            title = visible(f"{problem.severity} {problem.code}: {problem.cause}", "")
            head = text.Text(title, style=f"bold {colour}")
            drawn = panel.Panel(body, title=head, title_align="left", border_style=colour)
            drawn.subtitle, drawn.subtitle_align = f"neurodeploy explain {problem.code}", "right"
            shown.print(drawn)


screen = Screen()


def _plain(value: Any) -> Any:
    """Only what JSON has: a number that it cannot write is null."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [_plain(item) for item in value]
    if hasattr(value, "item"):
        return _plain(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, (str, int)) or value is None else str(value)


def _cell(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


class Silent(Exception):
    """An exit code whose reason has been printed."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code
