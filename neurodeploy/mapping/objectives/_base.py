"""What an objective is: a rank for the cuts of one group, budgets of cores to spread over, the cost of a whole plan."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

from ...registry import Member, Room
from ..plan import Plan
from ..tiling import Cut, by_cores


class Objective(Member):
    """One thing that the mapper can make small; stateless object, discovered by its file.

    Every group is cut by ``rank``. Then, for each of ``budgets``, the groups are spread over so many cores, always the
    slowest first; the plan of least ``cost`` is taken.
    """

    title: str
    #: whether measured activity takes part in the choice
    weighs_activity: bool = True

    @abstractmethod
    def cost(self, plan: Plan) -> float:
        """What is made small, of the whole network, in any unit."""

    def rank(self, cut: Cut, core_words: float) -> tuple[float, ...]:
        """Orders the cuts of one group that fit, smallest first; ``core_words``: all words of a core."""
        return by_cores(cut, core_words)

    def budgets(self, fewest: int, cores: int) -> Sequence[int]:
        """Numbers of cores to try, in the order in which equal costs are decided; ``cores`` are what the target has.

        A budget below ``fewest``, the cores of the first cut, leaves that cut as it is.
        """
        return (fewest,)


OBJECTIVES = Room("mapping.objectives", Objective)
