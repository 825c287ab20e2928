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

from ...errors import UsageError, wrong_option
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
            owner, known = f"the {self.name} reader", self.Options.model_fields
            details = error.errors()
            raise UsageError([wrong_option("ND120", owner, "reader", d, known) for d in details]) from error
