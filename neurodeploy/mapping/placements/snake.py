"""Chips filled in data order, and in each chip a snake through the mesh: neighbours in the data flow are neighbours."""

from __future__ import annotations

from collections.abc import Sequence

from ...ir.trace import Router
from ...target import Target
from ..traffic import Traffic
from ._base import Placement, in_line, in_order, routers


class Snake(Placement):
    """Asks for no traffic, and takes no time."""

    name = "snake"
    title = "data order, on a snake through the mesh"

    def place(self, cores: Sequence[Sequence[int]], flows: Traffic, target: Target) -> list[Router]:
        """Chips one after the other."""
        on = in_order(len(cores), target.chip)
        return routers(on, in_line(on), target.chip)


MEMBER = Snake()
