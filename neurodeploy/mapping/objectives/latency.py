"""Least time: the least work on the fullest core of every group, spread over all cores that help."""

from __future__ import annotations

from collections.abc import Sequence

from ..plan import Plan
from ..tiling import Cut, by_work
from ._base import Objective


class Latency(Objective):
    """Expected duration of one inference."""

    name = "latency"
    title = "the least work on the fullest core, as many cores as there are"

    def cost(self, plan: Plan) -> float:
        """Nanoseconds."""
        return plan.latency_ns

    def rank(self, cut: Cut, core_words: float) -> tuple[float, ...]:
        """Least work on the fullest core."""
        return by_work(cut, core_words)

    def budgets(self, fewest: int, cores: int) -> Sequence[int]:
        """All there are."""
        return (cores,)


MEMBER = Latency()
