"""A bar on stderr while something runs: how much of all, how much a second, and the time that is left."""

from __future__ import annotations

import sys
import time
from typing import Any

from ..visible import visible
from .screen import screen

EVERY_S = 10.0  # seconds between lines where there is no terminal


class Bar:
    """One bar for what runs, if stderr is a terminal; a line now and then, if ``lines``, where it is not."""

    def __init__(self, lines: bool = False) -> None:
        self.bar: Any = None
        self.task: Any = None
        self.lines = lines
        self.began = self.told = time.monotonic()
        self.counts: tuple[int, str] = 0, ""

    def __enter__(self) -> Bar:
        if sys.stderr.isatty() and not screen.quiet and screen.rich:
            from rich import console, progress

            columns = (
                progress.BarColumn(),
                progress.TextColumn("{task.fields[said]}"),
                progress.TimeElapsedColumn(),
            )
            shown = console.Console(stderr=True)
            self.bar = progress.Progress("{task.description}", *columns, console=shown, transient=True)
            self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.stop()

    def begin(self, name: str) -> None:
        """Something starts; how much it is will be told."""
        self.began = self.told = time.monotonic()
        self.counts = 0, ""
        if self.bar is not None:
            self.task = self.bar.add_task(name.replace("[", "\\["), total=None, said="")

    def advance(self, done: int, of: int, unit: str = "samples") -> None:
        """So much of all is done; another unit, or less of it than before, is other work with a pace of its own."""
        now, (before, counted) = time.monotonic(), self.counts
        if counted and (unit != counted or done < before):
            self.began = now
        self.counts = done, unit
        said = told(done, of, now - self.began, unit)
        if self.bar is not None:
            if self.task is None:
                self.begin("")
            self.bar.update(self.task, total=of, completed=done, said=said)
        elif self.lines and now - self.told >= EVERY_S:
            self.told = now
            screen.note(said)

    def end(self) -> None:
        """It is done."""
        if self.bar is not None and self.task is not None:
            self.bar.remove_task(self.task)
            self.task = None

    def line(self, text: str) -> None:
        """A line that stays."""
        if self.bar is not None:
            self.bar.console.print(visible(text), markup=False, highlight=False)
        else:
            screen.note(text)


def told(done: int, of: int, seconds: float, unit: str = "samples") -> str:
    """How far, how fast, and how long yet."""
    rate = done / seconds if seconds > 0 else 0.0
    left = f", {(of - done) / rate:.0f} s left" if rate and done < of else ""
    return f"{done} of {of} {unit}, {rate:.{0 if rate >= 10 else 1}f}/s{left}"
