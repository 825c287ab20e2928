"""Least time: spread over all cores that help."""

from __future__ import annotations

from ..plan import Cost, Plan
from ._base import Objective


class Latency(Objective):
    """Expected duration of one inference."""

    name = "latency"
    title = "the least expected time of one inference"
    told = ("latency_ms",)

    def cost(self, plan: Plan | Cost) -> float:
        """Nanoseconds."""
        return plan.latency_ns

    least = cost


MEMBER = Latency()
