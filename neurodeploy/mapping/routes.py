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
    spots = np.array([*places, HOST], dtype=np.int64)  # the host is the last, which -1 finds
    source, target = spots[ends[0]], spots[ends[1]]
    apart = source[:, 0] != target[:, 0]
    away, home = apart & (source[:, 0] >= 0), apart & (target[:, 0] >= 0)
    port = np.array(PORT)
    legs = [
        (source[~apart], target[~apart, 1:], messages[~apart]),
        (source[away], np.broadcast_to(port, (int(away.sum()), 2)), messages[away]),
        (
            np.c_[target[home, :1], np.broadcast_to(port, (int(home.sum()), 2))],
            target[home, 1:],
            messages[home],
        ),
    ]
    start, end, amount = (np.concatenate(part) for part in zip(*legs, strict=True))
    size = int(spots[:, 0].max()) + 1, chip.routers_y, chip.routers_x
    number, x, y = start.T
    to_x, to_y = end.T
    along_x = [_along((number, y, x), to_x, sign, amount, size) for sign in (1, -1)]
    turned = size[0], size[2], size[1]
    along_y = [_along((number, to_x, y), to_y, sign, amount, turned).swapaxes(1, 2) for sign in (1, -1)]
    both = away & home
    pairs = source[both, 0] * size[0] + target[both, 0]
    return Loads(np.stack([*along_x, *along_y]), _summed(pairs, messages[both]))


def _along(start: tuple[Array, ...], end: Array, sign: int, amount: Array, size: tuple[int, ...]) -> Array:
    """Loads of the links in one direction of the last axis, of legs along it: sums of what enters and leaves."""
    *line, first = start
    moving = (end - first) * sign > 0
    shape = (*size[:-1], size[-1] + 1)
    # Towards smaller places, the links of a leg are named by end + 1 .. first.
    low, high = (first, end) if sign > 0 else (end + 1, first + 1)
    changes = np.zeros(int(np.prod(shape)))
    for place, weight in ((low, amount), (high, -amount)):
        flat = np.ravel_multi_index((*(axis[moving] for axis in line), place[moving]), shape)
        changes += np.bincount(flat, weight[moving], len(changes))
    return np.cumsum(changes.reshape(shape), axis=-1)[..., :-1]


def _summed(keys: Array, amounts: Array) -> Array:
    _, place = np.unique(keys, return_inverse=True)
    return np.bincount(place, amounts)
