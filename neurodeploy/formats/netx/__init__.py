"""lava-dl's .net files (HDF5), as slayer exports and netx runs them under Lava."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from ...array import Array
from ...ir.graph import Graph
from ...program import Program
from .._base import Format, FormatOptions, Reader, Writer

SPIKE_EXP = 6  # netx's default


class NetxOptions(FormatOptions):
    """Options of netx's ``Network``, under its names, and three of this reader."""

    skip_layers: int = Field(0, ge=0)
    num_layers: int | None = Field(None, ge=1)
    input_message_bits: int = Field(0, ge=0, le=24)
    #: (x, y, channels) or (n,), netx's order, for files without input layer
    input_shape: tuple[int, ...] | None = Field(None, min_length=1, max_length=3)
    reset_interval: int | None = Field(None, ge=1)
    reset_offset: int = 0
    spike_exp: int = Field(SPIKE_EXP, ge=0, le=12)
    #: smallest and largest raw input; default: what the width of the input messages allows
    input_range: tuple[int, int] | None = None
    #: what a last layer that never fires sends: its voltage, or the spikes that netx would send (none)
    readout: Literal["voltage", "spikes"] = "voltage"
    #: round fractional weights toward zero, as netx does, instead of refusing them
    truncate: bool = False


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
