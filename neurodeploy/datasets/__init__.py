"""Labelled images, or texts, from a name or a path: one file per format, found by itself (see ``_base.py``)."""

from __future__ import annotations

from ._base import DataFormat
from ._formats import facts, load, names
from ._types import DataSet, Facts, Split

__all__ = ["DataFormat", "DataSet", "Facts", "Split", "facts", "load", "names"]
