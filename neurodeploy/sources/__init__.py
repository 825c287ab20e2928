"""MODEL -> source graph: what the string names, its graph, kept between runs, and what it defaults to."""

from .cache import Source, assumed_levels, load
from .defaults import completed, preparation, raw_levels, remarks
from .resolve import Model

__all__ = ["Model", "Source", "assumed_levels", "completed", "load", "preparation", "raw_levels", "remarks"]
