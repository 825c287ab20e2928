"""Chips filled in data order; in each chip the snake, annealed: shorter ways, and a less full fullest link."""

from __future__ import annotations

from collections.abc import Sequence

from ...ir.trace import Router
from ...target import Target
from ..traffic import Traffic
from ._base import Placement, in_order, routers


class Annealing(Placement):
    """Neither hops nor the fullest link of any chip are more than those of the snake."""

    name = "annealing"
    title = "data order, annealed in each chip"
    distributions = ("numba",)

    def place(self, cores: Sequence[Sequence[int]], flows: Traffic, target: Target) -> list[Router]:
        """Chips one after the other, each on its own."""
        from ._annealing import annealed  # numba takes its time

        on = in_order(len(cores), target.chip)
        return routers(on, annealed(on, flows.between(cores), target), target.chip)


MEMBER = Annealing()
