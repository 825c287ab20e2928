"""Estimate, mapping and trace -> one dict of data -> console, JSON, CSV and one offline page. Nothing here prints."""

from .console import summary, text
from .data import build
from .files import PAGE, consistent, read, write
from .inputs import Accuracy, BitTrue, ModelInfo, RasterRow, ReportInputs, Seen, Stage, raster

__all__ = [
    "PAGE", "Accuracy", "BitTrue", "ModelInfo", "RasterRow", "ReportInputs", "Seen", "Stage", "build", "consistent",
    "raster", "read", "summary", "text", "write",
]  # fmt: skip
