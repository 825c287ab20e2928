"""What a foreign format is: a file format of whole networks that other tools write or read.

A folder of this room binds ``MEMBER`` to a :class:`Format`: its name, its suffix, and a reader, a writer, or both. What
the two share lies beside them. Files come from strangers: a reader checks what a file declares against what it stores
before it reads, runs nothing that a file brings, and lists every problem. A writer writes exactly or not at all.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from ..array import Array
from ..errors import GraphError, Problem, configured
from ..ir.graph import Graph
from ..program import Program
from ..registry import Member, Room


class FormatOptions(BaseModel):
    """Base of all reader options: frozen, unknown keys refused. They come from the table ``reader``."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Reader(ABC):
    """From a file of the format to a graph; a stateless object."""

    Options: type[FormatOptions] = FormatOptions

    @abstractmethod
    def load(self, path: Path, options: Any, timesteps: int | None) -> Graph:
        """The graph that a file holds, at the level its numbers allow (``spiking`` or ``integer``).

        ``options`` is an instance of ``Options``; ``timesteps`` None leaves their number to the file. Raises
        ImportModelError with every problem of the file (ND12x), EnvironmentProblem if it cannot be opened.
        """


class Writer(ABC):
    """From a program to files of the format; a stateless object."""

    #: True if ``write`` makes use of raw inputs (samples, ...)
    takes_samples: bool = False

    def available(self) -> str:
        """Empty if usable here, else the reason why not and what would help."""
        return ""

    @abstractmethod
    def write(self, program: Program, path: Path, x: Array | None = None) -> tuple[Path, ...]:
        """Write the program to ``path``, with raw inputs ``x`` where it takes them; all files, the main one first.

        Raises GraphError ND230 with every node that the format cannot express, EnvironmentProblem ND90x where the
        disk is full or the folder cannot be written.
        """


@dataclass(frozen=True)
class Format(Member):
    """One registered format. ``suffix`` is how its main file ends, dot included; no two readable ones share one.

    ``title`` is one line for people: whose format it is.
    """

    name: str
    suffix: str
    title: str
    reader: Reader | None = None
    writer: Writer | None = None

    def configure(self, options: Mapping[str, Any]) -> FormatOptions:
        """Checked options of the reader; UsageError ND120 for unknown keys and wrong values."""
        known = self.reader.Options if self.reader is not None else FormatOptions
        return configured(known, options, "ND120", f"the {self.name} reader", "reader")


class Refusals:
    """Collects the nodes that a format cannot express, so that all are reported at once."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.problems: list[Problem] = []

    def add(self, node: str, found: str, limit: str = "", *fixes: str) -> None:
        """One node, what it is or has, and what the format can express instead."""
        cause = f"a node that {self.title} cannot express"
        self.problems.append(Problem("ND230", cause, node, found, limit, fixes))

    def check(self) -> None:
        """Raise GraphError if anything was refused."""
        if self.problems:
            raise GraphError(self.problems)


FORMATS = Room("formats", Format)
