"""Least energy: spread as far as the expected energy falls, since static power flows for the whole latency."""

from __future__ import annotations

from ..plan import Cost, Plan
from ._base import Objective


class Energy(Objective):
    """Expected energy of one inference."""

    name = "energy"
    title = "the least expected energy of one inference"
    told = ("energy_uj",)

    def cost(self, plan: Plan | Cost) -> float:
        """Picojoules."""
        return plan.energy_pj

    least = cost


MEMBER = Energy()
