"""What a data format is: one way to store labelled images, or texts.

A file of this room binds ``MEMBER`` to a :class:`DataFormat`. Nothing is unpickled, whatever a file says it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict

from ..errors import Problem, UsageError, configured
from ..registry import Member, Room
from ._types import DataSet, Facts


class DataOptions(BaseModel):
    """Base of the options of a data format: frozen, unknown keys refused. They come from the table ``loader``."""

    model_config = ConfigDict(frozen=True, extra="forbid")


@dataclass(frozen=True)
class DataFormat(Member):
    """Who reads a spec, which is a name or a path, and how.

    ``title`` is one line for people; ``accepts(spec)`` says whether a spec is of this format, ``load(spec)`` reads it
    or raises UsageError ND920 to ND928; ``facts(spec)``, where it is given, tells shape and levels from headers alone;
    ``names`` are the data sets that need no path. With ``Options`` both take an instance of it after the spec.
    """

    name: str
    title: str
    accepts: Callable[[str], bool]
    load: Callable[..., DataSet]
    facts: Callable[..., Facts] | None = None
    names: tuple[str, ...] = ()
    distributions: tuple[str, ...] = ()
    Options: type[DataOptions] | None = None

    def configured(self, given: Mapping[str, Any]) -> tuple[DataOptions, ...]:
        """What ``load`` and ``facts`` take besides the spec; UsageError ND904 for options that it does not have."""
        if self.Options is not None:
            return (configured(self.Options, given, "ND904", f"data of format {self.name}", "loader"),)
        if given:
            cause, fix = "data of this format take no options", "leave out the table loader"
            found = f"{self.name} with {', '.join(given)}"
            raise UsageError(Problem("ND904", cause, "loader", found, "", (fix,)))
        return ()


DATASETS = Room("datasets", DataFormat)
