"""Least energy: spread as far as the expected energy falls, since static power flows for the whole latency."""

from __future__ import annotations

from collections.abc import Sequence

from ..plan import Plan
from ._base import Objective

SPREADS = (1, 1.5, 2, 3, 4, 6, 8, 16, 32, 64, 128)  # times the fewest cores


class Energy(Objective):
    """Expected energy of one inference, as far as it depends on the cut."""

    name = "energy"
    title = "the least expected static power, barriers and messages"

    def cost(self, plan: Plan) -> float:
        """Picojoules."""
        return plan.energy_pj

    def budgets(self, fewest: int, cores: int) -> Sequence[int]:
        """From the fewest to all cores, in steps that grow."""
        wanted = {min(round(fewest * factor), cores) for factor in SPREADS if fewest * factor <= 2 * cores}
        return sorted(wanted) or (fewest,)


MEMBER = Energy()
