"""Files for SANA-FE 2, and the cross-check of energy and time against it."""

from __future__ import annotations

from .._base import Format
from .write import WRITER

MEMBER = Format(
    "sanafe", ".yaml", "SANA-FE: architecture and mapped network with recorded spikes", writer=WRITER
)
