"""What a placement method is: cores with their tiles and the traffic between tiles in, a chip and router each out."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

from ...ir.trace import Router
from ...registry import Member, Room
from ...target import Target
from ..traffic import Traffic


class Placement(Member):
    """One method; stateless object, discovered by its file."""

    title: str

    @abstractmethod
    def place(self, cores: Sequence[Sequence[int]], flows: Traffic, target: Target) -> list[Router]:
        """A router for each core, given the tiles on each; no more cores on a router or chip than it has.

        There may be more cores than the target has: further chips are numbered on.
        """


PLACEMENTS = Room("mapping.placements", Placement)
