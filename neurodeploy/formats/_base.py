"""What a foreign format is: a file format of whole networks that other tools write or read.

A folder of this room binds ``MEMBER`` to a :class:`Format`: its name, its suffix, and a reader, a writer, or both. What
the two share lies beside them. Files come from strangers: a reader checks what a file declares against what it stores
before it reads, runs nothing that a file brings, and lists every problem. A writer writes
exactly or not at all; one of floats also tells how they answer beside the integers.
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
    #: True if the file holds floats that another tool computes with, of which ``replay`` tells how they differ
    floats: bool = False

    def available(self) -> str:
        """Empty if usable here, else the reason why not and what would help."""
        return ""

    @abstractmethod
    def write(self, program: Program, path: Path, x: Array | None = None) -> tuple[Path, ...]:
        """Write the program to ``path``, with raw inputs ``x`` where it takes them; all files, the main one first.

        Raises GraphError ND230 with every node that the format cannot express, EnvironmentProblem ND90x where the
        disk is full or the folder cannot be written.
        """

    def replay(self, program: Program, x: Array) -> Replay | None:
        """How the floats that ``write`` would write answer beside the integers, on raw inputs; None: it writes none.

        Raises GraphError ND230 as ``write`` does.
        """
        return None


@dataclass(frozen=True)
class Difference:
    """Of so many ``values`` that a node sends over all samples and ticks, how many ``differ``."""

    node: str
    differ: int
    values: int


@dataclass(frozen=True)
class Replay:
    """How a file of floats answers beside the integers it was written from, on the same inputs.

    ``nodes``: populations and the value that is read out, at every tick. ``farthest``: the largest difference of a
    read-out after the last tick, in units of the integers. ``first``: where they first differ; empty: nowhere.
    ``input``: what the samples are called where they are no data.
    """

    format: str
    samples: int
    ticks: int
    nodes: tuple[Difference, ...]
    farthest: float
    first: str = ""
    input: str = ""

    @property
    def differ(self) -> int:
        """Values that differ, of all nodes."""
        return sum(node.differ for node in self.nodes)

    @property
    def values(self) -> int:
        """Values that were compared."""
        return sum(node.values for node in self.nodes)

    @property
    def share(self) -> float:
        """Of the values that were compared, the part that differs, where it is largest."""
        return max((node.differ / node.values for node in self.nodes if node.values), default=0.0)

    def __str__(self) -> str:
        drawn = f" of {self.input}" if self.input else ""
        run = f"replayed in the floats of {self.format}, {self.samples} samples{drawn}, {self.ticks} ticks"
        if not self.differ:
            return f"{run}: all {self.values:,} values equal"
        part = f"{self.differ:,} of {self.values:,} values differ"
        far = f"read-outs by at most {self.farthest:.3g} units; first at {self.first}"
        return f"{run}: {part}, up to {self.share:.2%} of a layer's, {far}"

    def require(self, bound: float) -> None:
        """GraphError ND173 where the part of some layer's values that differs is larger."""
        if self.share > bound:
            worst = max(self.nodes, key=lambda node: node.differ / max(node.values, 1))
            cause = f"in floats, as {self.format} has them, the network answers otherwise"
            found = f"{worst.differ:,} of {worst.values:,} values ({self.share:.2%}); first at {self.first}"
            fixes = (f"--differ {min(1.0, 1.05 * self.share):.2g} to write it all the same",
                     "export to a format of integers: netx")  # fmt: skip
            raise GraphError(Problem("ND173", cause, worst.node, found, f"{bound:.2%}", fixes))


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
