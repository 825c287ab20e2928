"""What a data format is: one way to store labelled images, or texts.

A file of this room binds ``MEMBER`` to a :class:`DataFormat`. Nothing is unpickled, whatever a file says it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..registry import Member, Room
from ._types import DataSet, Facts


@dataclass(frozen=True)
class DataFormat(Member):
    """Who reads a spec, which is a name or a path, and how.

    ``title`` is one line for people; ``accepts(spec)`` says whether a spec is of this format, ``load(spec)`` reads it
    or raises UsageError ND920 to ND928; ``facts(spec)``, where it is given, tells shape and levels from headers alone;
    ``names`` are the data sets that need no path.
    """

    name: str
    title: str
    accepts: Callable[[str], bool]
    load: Callable[[str], DataSet]
    facts: Callable[[str], Facts] | None = None
    names: tuple[str, ...] = ()
    distributions: tuple[str, ...] = ()


DATASETS = Room("datasets", DataFormat)
