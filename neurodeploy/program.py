"""A built network: the integer graph, its mapping and where it came from. Backends run programs."""

from __future__ import annotations

from collections.abc import Mapping as MappingABC
from dataclasses import dataclass, field
from typing import Any

from .ir.graph import Graph
from .mapping.types import Mapping


@dataclass(frozen=True, eq=False)
class Program:
    """What an artifact holds: integer graph, mapping (None before ``map``) and JSON-able provenance."""

    graph: Graph
    mapping: Mapping | None = None
    provenance: MappingABC[str, Any] = field(default_factory=dict)

    @property
    def unimaged(self) -> bool:
        """Whether it fits its target, without memory images: it is too large to be simulated whole."""
        return self.mapping is not None and self.mapping.fits and not self.mapping.images
