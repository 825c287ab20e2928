"""Chips filled in data order, and in each chip a snake through the mesh: neighbours in the data flow are neighbours."""

from __future__ import annotations

from collections.abc import Sequence

from ...ir.trace import Router
from ...target import Target
from ..traffic import Traffic
from ._base import Placement, data_order


class Snake(Placement):
    """Asks for no traffic, and takes no time."""

    name = "snake"
    title = "data order, on a snake through the mesh"

    def place(self, cores: Sequence[Sequence[int]], flows: Traffic, target: Target) -> list[Router]:
        """Chips one after the other."""
        return data_order(len(cores), target.chip)


MEMBER = Snake()
