"""Labelled images, recordings of events, or texts, from a name or a path: a file per format (see ``_base.py``)."""

from __future__ import annotations

from ._base import DataFormat, DataOptions
from ._formats import facts, load, names, takes_options
from ._types import DataSet, Facts, Split, following

__all__ = [
    "DataFormat",
    "DataOptions",
    "DataSet",
    "Facts",
    "Split",
    "facts",
    "following",
    "load",
    "names",
    "takes_options",
]
