"""What an objective is: budgets of cores to spread over, and the cost of a whole plan."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from math import ceil

from ...registry import Member, Room
from ..plan import Plan

GROWTH = 1.25  # from one number of cores to the next that is tried


class Objective(Member):
    """One thing that the mapper can make small; stateless object, discovered by its file.

    Every group is cut into the fewest cores. Then, for each of ``budgets``, the groups are spread over so many cores,
    always the one first that most of the time waits for; the plan of least ``cost`` is taken.
    """

    title: str
    #: whether measured activity takes part in the choice
    weighs_activity: bool = True
    #: the expected figures of a plan (:mod:`..outcome`) that are told beside its number of cores
    told: tuple[str, ...] = ("energy_uj", "latency_ms")
    #: whether a pipeline is what counts, in which all groups work at all times
    steady: bool = False
    #: whether tiles share cores where their limits allow; otherwise only where there are too few
    shares_cores: bool = False

    @abstractmethod
    def cost(self, plan: Plan) -> float:
        """What is made small, of the whole network, in any unit."""

    def budgets(self, fewest: int, cores: int) -> Sequence[int]:
        """Numbers of cores to try, in the order in which equal costs are decided; ``cores`` are what the target has.

        A budget below ``fewest``, the cores of the first cut, leaves that cut as it is.
        """
        tried = [fewest]
        while tried[-1] < cores:
            tried.append(min(ceil(GROWTH * tried[-1]), cores))
        return tried


OBJECTIVES = Room("mapping.objectives", Objective)
