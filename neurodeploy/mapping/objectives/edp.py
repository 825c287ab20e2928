"""Least energy-delay product: neither a slow chip that saves nor a fast one that wastes."""

from __future__ import annotations

from ..plan import Cost, Plan
from ._base import Objective


class EnergyDelay(Objective):
    """Expected energy of one inference times its expected time."""

    name = "edp"
    title = "the least expected energy times time of one inference"

    def cost(self, plan: Plan | Cost) -> float:
        """Picojoules times nanoseconds."""
        return plan.energy_pj * plan.latency_ns

    least = cost


MEMBER = EnergyDelay()
