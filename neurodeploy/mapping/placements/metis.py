"""Chips by METIS, so that few messages go from chip to chip; in each chip data order on a snake through the mesh."""

from __future__ import annotations

from collections.abc import Sequence

from ...ir.trace import Router
from ...target import Target
from ..traffic import Traffic
from ._base import Placement, in_line, routers
from ._partition import partitioned


class Metis(Placement):
    """Which cores share a chip decides what crosses."""

    name = "metis"
    title = "chips by METIS, data order on a snake in each"
    distributions = ("pymetis",)

    def place(self, cores: Sequence[Sequence[int]], flows: Traffic, target: Target) -> list[Router]:
        """A chip for every core, then the snakes."""
        on = partitioned(flows.between(cores), len(cores), target.chip)
        return routers(on, in_line(on), target.chip)


MEMBER = Metis()
