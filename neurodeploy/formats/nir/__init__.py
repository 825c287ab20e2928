"""NIR, the exchange format of spiking network tools (of the package nir)."""

from __future__ import annotations

from pathlib import Path

from ... import extras
from ...array import Array
from ...ir.graph import Graph
from ...program import Program
from .._base import Format, Reader, Replay, Writer
from .options import NirOptions


class NirReader(Reader):
    """Reader of NIR files."""

    Options = NirOptions

    def load(self, path: Path, options: NirOptions, timesteps: int | None = None) -> Graph:
        """The graph of a file, as :func:`.read.load` says."""
        from .read import load

        return load(path, options, timesteps)


class NirWriter(Writer):
    """Writer of ``.nir`` files."""

    floats = True

    def available(self) -> str:
        """nir is a dependency; an environment without it says so."""
        return "" if extras.there("nir") else "the package nir is not installed: pip install nir"

    def write(self, program: Program, path: Path, x: Array | None = None) -> tuple[Path, ...]:
        """The one file, as :func:`.write.write` says."""
        from .write import write

        return write(program, path)

    def replay(self, program: Program, x: Array) -> Replay:
        """As :func:`.replay.replayed` says."""
        from .replay import replayed
        from .write import composed

        return replayed(program, composed(program), x)


READER, WRITER = NirReader(), NirWriter()
TITLE = "NIR, the exchange format of spiking network tools (of the package nir)"
MEMBER = Format("nir", ".nir", TITLE, READER, WRITER)
