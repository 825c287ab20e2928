"""lava-dl's .net files (HDF5), as slayer exports and netx runs them under Lava."""

from __future__ import annotations

from pathlib import Path

from ...array import Array
from ...ir.graph import Graph
from ...program import Program
from .._base import Format, Reader, Writer
from .options import NetxOptions


class NetxReader(Reader):
    """Reader of .net files."""

    Options = NetxOptions

    def load(self, path: Path, options: NetxOptions, timesteps: int | None = None) -> Graph:
        """The integer graph of a file, as :func:`.read.load` says."""
        from .read import load

        return load(path, options, timesteps)


class NetxWriter(Writer):
    """Writer of .net files."""

    def write(self, program: Program, path: Path, x: Array | None = None) -> tuple[Path, ...]:
        """The one file, as :func:`.write.write` says."""
        from .write import write

        return write(program, path)


READER, WRITER = NetxReader(), NetxWriter()
TITLE = "lava-dl networks (HDF5, as slayer exports and netx runs them)"
MEMBER = Format("netx", ".net", TITLE, READER, WRITER)
