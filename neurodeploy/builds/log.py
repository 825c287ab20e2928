"""What a build tells while it runs: events for a listener, and a line of each in ``build.log``."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from .. import files
from ..errors import NeurodeployError
from ..visible import visible

STAGE_NAMES = ("import", "convert", "calibrate", "quantize", "map", "evaluate", "verify", "estimate",
               "report")  # fmt: skip


@dataclass(frozen=True)
class Event:
    """Something a user may want to see while a build runs.

    ``begin`` carries the facts to print first; a stage comes as ``start``, any number of ``progress`` (so much is
    ``done``, ``of`` so much, in a ``unit`` such as samples) and ``finish`` with its time and headline fact.
    """

    kind: Literal["begin", "start", "progress", "finish"]
    stage: str = ""
    index: int = 0
    total: int = len(STAGE_NAMES)
    done: int = 0
    of: int = 0
    unit: str = ""
    seconds: float = 0.0
    fact: str = ""
    facts: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        if self.kind == "begin":
            return "\n".join(f"{label:<9} {text}" for label, text in self.facts)
        stage = f"[{self.index}/{self.total}] {self.stage:<10}"
        if self.kind == "finish":
            return f"{stage} {self.fact}  {self.seconds:.1f} s"
        return f"{stage} {self.done} of {self.of} {self.unit}" if self.kind == "progress" else f"{stage} ..."


Listener = Callable[[Event], None]


@dataclass
class Log:
    """Passes events on and keeps a line of each in ``build.log``."""

    path: Path
    listener: Listener | None = None
    lines: list[str] = field(default_factory=list)

    def begin(self, facts: Iterable[tuple[str, str]]) -> None:
        """The facts that come first: (label, text)."""
        self._emit(Event("begin", facts=tuple(facts)))

    def start(self, name: str) -> None:
        """A stage begins."""
        self._pass_on(Event("start", name, STAGE_NAMES.index(name) + 1))

    def advance(self, name: str, done: int, of: int, unit: str = "samples") -> None:
        """A stage has come this far."""
        self._pass_on(Event("progress", name, STAGE_NAMES.index(name) + 1, done=done, of=of, unit=unit))

    def finish(self, name: str, seconds: float, fact: str) -> None:
        """A stage is done."""
        place = STAGE_NAMES.index(name) + 1
        self._emit(Event("finish", name, place, seconds=seconds, fact=fact))

    def write(self, text: str) -> None:
        """More text for the log alone."""
        self.lines.append(text.rstrip())

    def rescue(self, path: Path, error: Exception) -> None:
        """Keep the log of a build that failed by a bug, if the disk allows, and note the place on the error."""
        try:
            files.write_text(path, self._text())
            error.__notes__ = [str(path)]  # type: ignore[attr-defined]
        except NeurodeployError:
            return

    def close(self) -> None:
        """Put the log beside the other files."""
        files.write_text(self.path, self._text())

    def _text(self) -> str:
        return "".join(f"{visible(line)}\n" for line in self.lines)

    def _emit(self, event: Event) -> None:
        self.lines.append(str(event))
        self._pass_on(event)

    def _pass_on(self, event: Event) -> None:
        if self.listener is not None:
            self.listener(event)
