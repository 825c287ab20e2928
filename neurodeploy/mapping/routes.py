"""The way of a packet: x first, then y, from router to router.

Between chips the public facts end: a packet is taken to leave and enter through the router at (0, 0) of each chip, in
one crossing whatever the distance. The host sits behind that router of the packet's chip.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ..array import Array
from ..ir.trace import HOST, Link, Router
from ..target_schema import Chip
from .types import Core

PORT = (0, 0)


def route(source: Core | Router | None, target: Core | Router | None) -> list[Link]:
    """Links from one core to another in order; None is the host. Cores of one router need no link."""
    if source is not None and target is not None and source.chip == target.chip:
        return _mesh(source.chip, (source.x, source.y), (target.x, target.y))
    out = [] if source is None else _mesh(source.chip, (source.x, source.y), PORT)
    into = [] if target is None else _mesh(target.chip, PORT, (target.x, target.y))
    start, end = (HOST if core is None else Router(core.chip, *PORT) for core in (source, target))
    return [*out, Link(start, end), *into]


def _mesh(chip: int, start: tuple[int, int], end: tuple[int, int]) -> list[Link]:
    along_x = [(x, start[1]) for x in _walk(start[0], end[0])]
    along_y = [(end[0], y) for y in _walk(start[1], end[1])]
    places = [*along_x, *along_y[1:]]
    return [Link(*ends) for ends in pairwise(Router(chip, *place) for place in places)]


def _walk(start: int, end: int) -> range:
    step = 1 if end >= start else -1
    return range(start, end + step, step)


@dataclass(frozen=True, eq=False)
class Loads:
    """Messages per tick on every link: of the mesh (east, west, north, south; chips, y, x), named by where it starts.

    ``between`` holds those from chip to chip, by their pair.
    """

    mesh: Array
    between: Array

    @property
    def hops(self) -> float:
        """Ways of all messages from router to router, inside chips."""
        return float(self.mesh.sum())

    @property
    def peak(self) -> float:
        """The fullest link of a mesh."""
        return float(self.mesh.max(initial=0.0))

    @property
    def crossings(self) -> float:
        """Messages that go from one chip to another."""
        return float(self.between.sum())


def loads(places: Sequence[Router], ends: Array, messages: Array, chip: Chip) -> Loads:
    """What :func:`route` makes of many flows at once: ``ends`` (2, flows) are indices of ``places``, -1 is the host."""
    number, x, y = np.array([*places, HOST], dtype=np.int64).T  # the host is the last, which -1 finds
    spot, port, source, target = y * chip.routers_x + x, PORT[1] * chip.routers_x + PORT[0], *ends
    chips, routers = int(number.max()) + 1, chip.routers_y * chip.routers_x
    apart = number[source] != number[target]
    out, into = number[source] >= 0, apart & (number[target] >= 0)
    # Messages from router to router of each chip: to the receiver or the port, and from the port.
    leaving = (number[source] * routers + spot[source]) * routers + np.where(apart, port, spot[target])
    coming = (number[target] * routers + port) * routers + spot[target]
    met = sum(
        np.bincount(legs[i], messages[i], chips * routers**2) for legs, i in ((leaving, out), (coming, into))
    )
    met = np.reshape(met, (chips, *(chip.routers_y, chip.routers_x) * 2))
    rows, columns = (
        met.sum(axis=3),
        met.sum(axis=2),
    )  # (chips, y, x, end's x) and (chips, y, end's y, end's x)
    (east, west), (north, south) = _passed(chip.routers_x), _passed(chip.routers_y)
    along_x = [np.einsum("cyab,kab->cyk", rows, passed) for passed in (east, west)]
    along_y = [np.einsum("cabx,kab->ckx", columns, passed) for passed in (north, south)]
    pairs = np.bincount((number[source] * chips + number[target])[out & into], messages[out & into])
    return Loads(np.stack([*along_x, *along_y]), pairs[pairs > 0])


def _passed(size: int) -> tuple[Array, Array]:
    """(links, starts, ends) 1 where the way up from start to end passes the link from there on, and the way down."""
    link, start, end = np.ogrid[:size, :size, :size]
    return ((start <= link) & (link < end)) * 1.0, ((end < link) & (link <= start)) * 1.0
