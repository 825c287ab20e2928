"""What an objective is: the cost of a whole plan."""

from __future__ import annotations

from abc import abstractmethod

from ...registry import Member, Room
from ..plan import Cost, Plan


class Objective(Member):
    """One thing that the mapper can make small; stateless object, discovered by its file.

    Every group is cut into the fewest cores. Then the groups are spread over more and more cores, always the one first
    that most of the time waits for; the plan of least ``cost`` is taken.
    """

    title: str
    #: whether measured activity takes part in the choice
    weighs_activity: bool = True
    #: the expected figures of a plan (:mod:`..outcome`) that are told beside its number of cores
    told: tuple[str, ...] = ("energy_uj", "latency_ms")
    #: whether cores themselves are what counts: nothing is spread, and tiles share cores where their limits allow
    compact: bool = False
    #: whether samples follow each other in a pipeline, so that its period counts and not how long one takes
    pipelined: bool = False

    @abstractmethod
    def cost(self, plan: Plan) -> float:
        """What is made small, of the whole network, in any unit."""

    def least(self, plan: Cost) -> float:
        """Less than the cost of every plan whose figures are these or more; an objective that does not say tries it."""
        return 0.0


OBJECTIVES = Room("mapping.objectives", Objective)
