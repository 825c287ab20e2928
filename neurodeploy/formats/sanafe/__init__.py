"""Files for SANA-FE 2, and the cross-check of energy and time against it."""

from __future__ import annotations

from pathlib import Path

from ...array import Array
from ...program import Program
from .._base import Format, Writer


class SanaFeWriter(Writer):
    """Writer of the files of a mapped network with recorded activity."""

    takes_samples = True

    def write(self, program: Program, path: Path, x: Array | None = None) -> tuple[Path, ...]:
        """Network, architecture and description, as :func:`.write.export` says."""
        from .write import export

        return export(program, path, x)[0]


WRITER = SanaFeWriter()
TITLE = "SANA-FE: architecture and mapped network with recorded spikes"
MEMBER = Format("sanafe", ".yaml", TITLE, writer=WRITER)
