"""Most throughput: in a pipeline all groups work at all times, and the slowest decides."""

from __future__ import annotations

from ..plan import Cost, Plan
from ._base import Objective


class Throughput(Objective):
    """Expected time between two results of a pipeline."""

    name = "throughput"
    title = "the least expected time between two results of a pipeline"
    told = ("period_ms",)
    pipelined = True

    def cost(self, plan: Plan | Cost) -> float:
        """Nanoseconds."""
        return plan.period_ns

    least = cost


MEMBER = Throughput()
