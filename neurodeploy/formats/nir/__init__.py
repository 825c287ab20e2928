"""NIR, the exchange format of spiking network tools (nir 1.0.8)."""

from __future__ import annotations

from .._base import Format
from .read import READER
from .write import WRITER

TITLE = "NIR, the exchange format of spiking network tools (nir 1.0.8)"
MEMBER = Format("nir", ".nir", TITLE, READER, WRITER)
