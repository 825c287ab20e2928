"""What a file format of whole networks is: options, and a function from a file to a graph.

A member file binds ``MEMBER`` to an instance of :class:`Format`. Files come from strangers: a reader checks what a
file declares against what it stores before it reads, runs nothing that a file brings, and lists every problem.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from ...errors import Problem, UsageError, unknown_name
from ...ir.graph import Graph


class FormatOptions(BaseModel):
    """Base of all reader options: frozen, unknown keys refused. They come from the table ``reader``."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Format(ABC):
    """One registered file format of whole networks; stateless object, discovered by its file."""

    name: str
    #: how its files end, dot included; no two formats share one
    suffix: str
    #: one line for people: whose format it is
    title: str
    Options: type[FormatOptions] = FormatOptions

    @abstractmethod
    def load(self, path: Path, options: Any, timesteps: int | None) -> Graph:
        """The graph that a file holds, at the level its numbers allow (``spiking`` or ``integer``).

        ``options`` is an instance of ``Options``; ``timesteps`` None leaves their number to the file. Raises
        ImportModelError with every problem of the file (ND12x), EnvironmentProblem if it cannot be opened.
        """

    def configure(self, options: Mapping[str, Any]) -> FormatOptions:
        """Checked options; UsageError ND120 for unknown keys, with the nearest names, and for wrong values."""
        try:
            return self.Options(**options)
        except ValidationError as error:
            raise UsageError([self._problem(e) for e in error.errors()]) from error

    def _problem(self, detail: Any) -> Problem:
        key = ".".join(str(part) for part in detail["loc"]) or "reader"
        if detail["type"] == "extra_forbidden":
            return unknown_name(
                "ND120", f"key of the {self.name} reader", key, self.Options.model_fields, f"reader.{key}"
            )
        return Problem(
            "ND120",
            f"a key of the {self.name} reader is wrong: {detail['msg']}",
            f"reader.{key}",
            found=repr(detail["input"])[:120],
        )
