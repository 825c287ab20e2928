"""A way of cutting the whole network, before its tiles have places: what an objective judges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..ir.graph import Graph
from ..target import Target
from .groups import Population
from .tiling import Tiling
from .traffic import Traffic


@dataclass(frozen=True, eq=False)
class Plan:
    """Tiles of every group that lives on cores, by its name, and the traffic between them."""

    graph: Graph
    target: Target
    groups: Sequence[Population]
    tilings: Mapping[str, Tiling]
    flows: Traffic

    @property
    def cores(self) -> int:
        """Cores if each tile has one of its own."""
        return sum(len(t.tiles) for t in self.tilings.values())
