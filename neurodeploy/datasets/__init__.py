"""Labelled images, or texts, from a name or a path: one file per format, found by itself.

A format is a module of this folder whose name has no leading underscore. It has ``FORMAT`` (one line for
people), ``NAMES`` (data sets it knows by name), ``accepts(spec) -> bool`` and ``load(spec) -> DataSet``;
``facts(spec) -> Facts`` (shape and levels, from headers) is optional.
Nothing is unpickled, whatever the file says it is.
"""

from __future__ import annotations

from ._formats import Format, facts, formats, load, names
from ._types import DataSet, Facts, Split

__all__ = ["DataSet", "Facts", "Format", "Split", "facts", "formats", "load", "names"]
