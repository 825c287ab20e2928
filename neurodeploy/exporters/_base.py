"""What an exporter is: it writes a program in a format of other people's tools, exactly or not at all."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path

from ..errors import GraphError, Problem
from ..program import Program


class Exporter(ABC):
    """One registered exporter; stateless object, discovered by its file (``MEMBER``)."""

    name: str
    #: how its main file ends, dot included
    suffix: str
    #: one line for people: whose format it is
    title: str
    #: True if ``write`` takes raw inputs (samples, ...) as a third argument
    takes_samples: bool = False

    @abstractmethod
    def available(self) -> str:
        """Empty if usable here, else the reason why not and what would help."""

    @abstractmethod
    def write(self, program: Program, path: Path) -> tuple[Path, ...]:
        """Write the program to ``path`` and return all files written, the main one first.

        Raises GraphError ND230 with every node that the format cannot express, EnvironmentProblem ND90x where the
        disk is full or the folder cannot be written.
        """


class Refusals:
    """Collects the nodes that a format cannot express, so that all are reported at once."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.problems: list[Problem] = []

    def add(self, node: str, found: str, limit: str = "", *fixes: str) -> None:
        """One node, what it is or has, and what the format can express instead."""
        self.problems.append(
            Problem("ND230", f"a node that {self.title} cannot express", node, found, limit, fixes)
        )

    def check(self) -> None:
        """Raise GraphError if anything was refused."""
        if self.problems:
            raise GraphError(self.problems)
