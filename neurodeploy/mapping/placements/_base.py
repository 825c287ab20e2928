"""What a placement method is: cores with their tiles and the traffic between tiles in, a chip and router each out."""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import product

import numpy as np

from ...array import Array
from ...ir.trace import Router
from ...registry import Member, Room
from ...target import Target
from ...target_schema import Chip
from ..traffic import Traffic


class Placement(Member):
    """One method; stateless object, discovered by its file."""

    title: str

    @abstractmethod
    def place(self, cores: Sequence[Sequence[int]], flows: Traffic, target: Target) -> list[Router]:
        """A router for each core, given the tiles on each; no more cores on a router or chip than it has.

        There may be more cores than the target has: further chips are numbered on.
        """

    def around(
        self, cores: Sequence[Sequence[int]], flows: Traffic, target: Target, kept: Mapping[int, Router]
    ) -> list[Router]:
        """As :meth:`place`, with some cores at routers of their own: others that find theirs taken go near it."""
        if not kept:
            return self.place(cores, flows, target)
        if len(kept) == len(cores):
            return [kept[core] for core in range(len(cores))]
        spots = self.place(cores, flows, target)
        rooms = _Rooms(target, max(target.chips, -(-len(cores) // target.chip.cores_per_chip)))
        for router in kept.values():
            rooms.take(router)
        moved = [core for core, spot in enumerate(spots) if core not in kept and not rooms.take(spot)]
        for core in moved:
            spots[core] = rooms.nearest(spots[core])
            rooms.take(spots[core])
        return [kept.get(core, spot) for core, spot in enumerate(spots)]


class _Rooms:
    """How many cores each router, and each chip, still has."""

    def __init__(self, target: Target, chips: int) -> None:
        self.target, self.chips = target, chips
        self.at: Counter[Router] = Counter()
        self.on: Counter[int] = Counter()

    def take(self, router: Router) -> bool:
        """Take a core of a router, if one is left."""
        chip = self.target.chip
        free = self.at[router] < chip.cores_per_router and self.on[router.chip] < chip.cores_per_chip
        self.at[router] += free
        self.on[router.chip] += free
        return free

    def nearest(self, spot: Router) -> Router:
        """The router with room that is nearest on the same chip, or on the first chip with any, used ones first."""
        chip = self.target.chip
        chips = (spot.chip, *sorted(range(self.chips), key=lambda n: not self.on[n]))
        number = next(n for n in chips if self.on[n] < chip.cores_per_chip)
        mesh = (Router(number, x, y) for y, x in product(range(chip.routers_y), range(chip.routers_x)))
        room = (router for router in mesh if self.at[router] < chip.cores_per_router)
        return min(room, key=lambda r: abs(r.x - spot.x) + abs(r.y - spot.y))


# --- what members share ------------------------------------------------------------------------------------------


def snake(chip: Chip) -> Array:
    """(cores, 2) routers in an order whose neighbours are neighbours: rows of the mesh, every other one backwards."""
    y, x = np.indices((chip.routers_y, chip.routers_x)).reshape(2, -1)
    places = np.stack([np.where(y % 2, chip.routers_x - 1 - x, x), y], axis=1)
    return np.repeat(places, chip.cores_per_router, axis=0)[: chip.cores_per_chip]


def in_order(cores: int, chip: Chip) -> Array:
    """The chip of each core where chips are filled one after the other."""
    return np.arange(cores) // chip.cores_per_chip


def in_line(on: Array) -> Array:
    """The place of each core along the snake of its chip, given their chips: in the order of the cores."""
    order = np.argsort(on, kind="stable")
    first = np.searchsorted(on[order], on[order])
    place = np.empty(len(on), dtype=np.int64)
    place[order] = np.arange(len(on)) - first
    return place


def routers(on: Array, place: Array, chip: Chip) -> list[Router]:
    """The routers of cores on these chips, at these places along the snake."""
    return [Router(*spot) for spot in np.c_[on, snake(chip)[place]].tolist()]


def data_order(cores: int, chip: Chip) -> list[Router]:
    """Chips one after the other, in each the snake: what any other placement is compared with."""
    on = in_order(cores, chip)
    return routers(on, in_line(on), chip)


PLACEMENTS = Room("mapping.placements", Placement)
