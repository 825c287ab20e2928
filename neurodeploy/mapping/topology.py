"""How chips reach each other: along the axes of a board, or, where nothing is known of one, each from every other.

Chips of a board are numbered along x, then y, then z. A message goes from chip to chip as inside a chip, x first, then
y, then z (Davies et al. 2018: interfaces between chips extend the mesh); it leaves and enters chips through the port of
the direction. Places of a row or layer that is begun are there, and pass messages on, even where no core of theirs is
used. Without a board one crossing leads from any chip to any other, and the router at (0, 0) is the only port. The host
sits behind that router of every chip.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate
from operator import mul
from typing import Any

import numpy as np

from ..array import Array
from ..target import PORTS, Target

HOST_PORT = (0, 0)


@dataclass(frozen=True)
class Topology:
    """``sides``: chips along all axes of the board but the last, none without a board.

    ``ports``: the router of each direction; the opposite of direction d is d ^ 1. ``multicast``: a message to several
    cores is one packet, copied where their ways part, and not one for each of them.
    """

    sides: tuple[int, ...] = ()
    ports: tuple[tuple[int, int], ...] = (HOST_PORT, HOST_PORT)
    multicast: bool = False

    @classmethod
    def of(cls, target: Target) -> Topology:
        """That of a target; a port of which it says nothing is in the middle of its edge, of its mesh for z."""
        board, chip = target.board, target.chip
        if not board.chips_x:
            return cls(multicast=chip.multicast)
        x, y = (chip.routers_x - 1) // 2, (chip.routers_y - 1) // 2
        middles = (chip.routers_x - 1, y), (0, y), (x, chip.routers_y - 1), (x, 0), (x, y), (x, y)
        sides = (board.chips_x, board.chips_y) if board.chips_y else (board.chips_x,)
        named = zip(PORTS, middles[: 2 * len(sides) + 2], strict=False)
        return cls(sides, tuple(getattr(board, name) or middle for name, middle in named), chip.multicast)

    @classmethod
    def read(cls, header: Mapping[str, Any]) -> Topology:
        """That of the header of a memory image."""
        multicast = bool(header.get("multicast"))
        if "board" not in header:
            return cls(multicast=multicast)
        flat = header["ports"]
        return cls(tuple(header["board"]), tuple(zip(flat[::2], flat[1::2], strict=True)), multicast)

    @property
    def header(self) -> dict[str, int | tuple[int, ...]]:
        """What a memory image says of it."""
        found: dict[str, int | tuple[int, ...]] = {}
        if self.sides:
            found |= {"board": self.sides, "ports": tuple(n for port in self.ports for n in port)}
        return found | {"multicast": 1} if self.multicast else found

    def spots(self, chips: Array) -> Array:
        """(axes, ...) where chips lie on the board."""
        rest, found = chips, []
        for side in self.sides:
            found.append(rest % side)
            rest = rest // side
        return np.stack([*found, rest])

    def step(self, at: Array, to: Array) -> tuple[Array, Array]:
        """The directions in which messages at some chips leave for other chips, and the chips that they reach."""
        if not self.sides:
            return np.zeros_like(at), to
        apart = self.spots(to) - self.spots(at)
        axis = (apart != 0).argmax(axis=0)
        sign = np.sign(np.take_along_axis(apart, axis[None], axis=0)[0])
        strides = np.array([*accumulate(self.sides, mul, initial=1)])
        return 2 * axis + (sign < 0), at + sign * strides[axis]

    def ways(self, source: Array, target: Array) -> Iterator[tuple[Array, Array, Array, Array]]:
        """Crossing by crossing: pairs of chips that are still apart, where each is, its direction, what it reaches."""
        pairs = np.flatnonzero(source != target)
        at = source[pairs]
        while len(pairs):
            direction, reached = self.step(at, target[pairs])
            yield pairs, at, direction, reached
            apart = reached != target[pairs]
            pairs, at = pairs[apart], reached[apart]


DIRECT = Topology()
