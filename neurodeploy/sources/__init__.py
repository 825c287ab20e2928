"""MODEL -> source graph: what the string names, its graph, kept between runs, and what it defaults to."""

from .cache import Source, load
from .defaults import completed, raw_levels, remarks
from .resolve import Model

__all__ = ["Model", "Source", "completed", "load", "raw_levels", "remarks"]
