"""Fewest cores: every group as coarse as it fits, nothing spread, what is small put together."""

from __future__ import annotations

from ..plan import Cost, Plan
from ._base import Objective


class Cores(Objective):
    """The number of used cores."""

    name = "cores"
    title = "the fewest cores"
    weighs_activity = False
    compact = True

    def cost(self, plan: Plan | Cost) -> float:
        """Cores."""
        return plan.cores

    least = cost


MEMBER = Cores()
