"""lava-dl's .net files (HDF5), as slayer exports and netx runs them under Lava."""

from __future__ import annotations

from .._base import Format
from .read import READER
from .write import WRITER

TITLE = "lava-dl networks (HDF5, as slayer exports and netx runs them)"
MEMBER = Format("netx", ".net", TITLE, READER, WRITER)
