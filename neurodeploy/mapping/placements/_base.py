"""What a placement method is: cores with their tiles and the traffic between tiles in, a chip and router each out."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from ...registry import Member
from ...target import Target
from ..traffic import Traffic


@dataclass(frozen=True)
class Spot:
    """A core's chip and router."""

    chip: int
    x: int
    y: int


class Placement(Member):
    """One method; stateless object, discovered by its file."""

    title: str

    @abstractmethod
    def place(self, cores: Sequence[Sequence[int]], flows: Traffic, target: Target) -> list[Spot]:
        """A spot for each core, given the tiles on each; no more cores on a router or chip than it has.

        There may be more cores than the target has: further chips are numbered on.
        """
