"""Labelled images from a name or a path: one file per format, found by itself.

A format is a module of this folder whose name has no leading underscore. It has ``FORMAT`` (one line for
people), ``NAMES`` (data sets it knows by name), ``accepts(spec) -> bool`` and ``load(spec) -> DataSet``.
Nothing is unpickled, whatever the file says it is.
"""

from __future__ import annotations

from neurodeploy.datasets._formats import Format, formats, load, names
from neurodeploy.datasets._types import DataSet, Split

__all__ = ["DataSet", "Format", "Split", "formats", "load", "names"]
