"""The way of a packet: x first, then y, from router to router.

Between chips the public facts end: a packet is taken to leave and enter through the router at (0, 0) of each chip, in
one crossing whatever the distance. The host sits behind that router of the packet's chip.
"""

from __future__ import annotations

from itertools import pairwise

from ..ir.trace import HOST, Link, Router
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
