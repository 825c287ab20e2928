"""The way of a packet: in a chip from router to router, x first, then y, and from chip to chip (:mod:`.topology`).

A packet has one destination (:func:`route`), or, where :attr:`.Topology.multicast` says so, all of a message
(:func:`tree`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
from scipy.sparse import csr_array

from ..array import Array
from ..ir.trace import HOST, Link, Router
from ..target import Target
from .topology import HOST_PORT, Topology
from .types import Core


def route(source: Core | Router | None, target: Core | Router | None, topology: Topology) -> list[Link]:
    """Links from one core to another in order; None is the host. Cores of one router need no link."""
    links: list[Link] = []
    at = None if source is None else Router(source.chip, source.x, source.y)
    end = None if target is None else Router(target.chip, target.x, target.y)
    for crossing in _crossings(at, end, topology):
        links += [*_mesh(at, crossing.start), crossing]
        at = crossing.end
    return [*links, *_mesh(at, end)]


def tree(
    source: Core | Router | None, targets: Iterable[Core | Router | None], topology: Topology
) -> list[Link]:
    """Links that one packet to some cores takes, each once and behind those that lead to it: the ways of all together.

    Dimension-ordered ways from one core that have parted never meet again.
    """
    return [*dict.fromkeys(link for target in targets for link in route(source, target, topology))]


def _crossings(source: Router | None, target: Router | None, topology: Topology) -> Sequence[Link]:
    """The links of a way that lead off a chip."""
    if source is not None and target is not None:
        return _between(source.chip, target.chip, topology)
    ends = (HOST if end is None else Router(end.chip, *HOST_PORT) for end in (source, target))
    return [] if source is target else [Link(*ends)]


@lru_cache(maxsize=1 << 16)
def _between(source: int, target: int, topology: Topology) -> Sequence[Link]:
    """The links from chip to chip."""
    way = topology.ways(np.array([source]), np.array([target]))
    steps = (tuple(int(part[0]) for part in step) for _, *step in way)
    ports = topology.ports
    return [Link(Router(at, *ports[side]), Router(reached, *ports[side ^ 1])) for at, side, reached in steps]


def _mesh(start: Router | None, end: Router | None) -> list[Link]:
    """Links inside a chip; none of the host."""
    if start is None or end is None or HOST in (start, end):
        return []
    along_x = [(x, start.y) for x in _walk(start.x, end.x)]
    along_y = [(end.x, y) for y in _walk(start.y, end.y)]
    places = [*along_x, *along_y[1:]]
    return [Link(*ends) for ends in pairwise(Router(start.chip, *place) for place in places)]


def _walk(start: int, end: int) -> range:
    step = 1 if end >= start else -1
    return range(start, end + step, step)


# --- many flows at once ------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Ways:
    """Ways between pairs of different chips; ports by their number among ``ports`` (ports, 2), routers.

    ``host``: the port of the host. ``gone`` and ``came``: the port by which each pair's messages leave the first chip,
    and enter the last. ``links`` (3, crossings): chip, chip that is reached, pair. ``passed`` (4, passings): chip, the
    ports by which it is entered and left, pair.
    """

    ports: Array
    host: int
    gone: Array
    came: Array
    links: Array
    passed: Array


def ways(source: Array, target: Array, topology: Topology) -> Ways:
    """Those of pairs of chips."""
    places, number = np.unique(np.array([HOST_PORT, *topology.ports]), axis=0, return_inverse=True)
    host, *port = number.reshape(-1).tolist()
    side = np.array(port)
    gone, came = np.zeros((2, len(source)), dtype=np.int64)
    links, passed = [np.zeros((3, 0), np.int64)], [np.zeros((4, 0), np.int64)]
    for step, (pairs, at, direction, reached) in enumerate(topology.ways(source, target)):
        if step:
            passed.append(np.stack([at, came[pairs], side[direction], pairs]))
        else:
            gone[pairs] = side[direction]
        came[pairs] = side[direction ^ 1]
        links.append(np.stack([at, reached, pairs]))
    return Ways(places, host, gone, came, np.concatenate(links, axis=1), np.concatenate(passed, axis=1))


@dataclass(frozen=True, eq=False)
class Outside:
    """What :func:`route` makes of many flows as far as they leave their chips.

    ``ports`` (ports, 2): the routers where messages leave or enter chips. ``away`` and ``home`` (cores, ports): what
    cores send to a port of their chip, and take from it. ``through`` (chips, ports, ports): what passes a chip, from
    port to port. ``between``: messages on every link from chip to chip.
    """

    ports: Array
    away: Array
    home: Array
    through: Array
    between: Array


def outside(on: Array, ends: Array, messages: Array, topology: Topology) -> Outside:
    """Given the chip of each core; ``ends`` (2, flows) are indices of cores, -1 is the host."""
    (source, target), chip = ends, np.append(on, -1)  # the host is the last, which -1 finds
    first, last = chip[source], chip[target]
    leave, enter = (first != last) & (first >= 0), (first != last) & (last >= 0)
    far, chips = leave & enter, int(chip.max(initial=-1)) + 1
    pairs = csr_array((messages[far], (first[far], last[far])), shape=(chips, chips))
    pairs.sum_duplicates()
    starts, stops = np.repeat(np.arange(chips), np.diff(pairs.indptr)), pairs.indices.astype(np.int64)
    over = ways(starts, stops, topology)
    which = np.searchsorted(starts * chips + stops, first[far] * chips + last[far])
    out, into = np.full((2, len(messages)), over.host)
    out[far], into[far] = over.gone[which], over.came[which]
    count = len(over.ports)
    away, home = (
        np.bincount(core[here] * count + at[here], messages[here], len(on) * count).reshape(-1, count) * 1.0
        for core, at, here in ((source, out, leave), (target, into, enter))
    )
    *crossed, pair = over.links
    chips = max([chips, *(int(end.max(initial=-1)) + 1 for end in crossed)])
    between = csr_array((pairs.data[pair], tuple(crossed)), shape=(chips, chips))
    between.sum_duplicates()
    *legs, pair = over.passed
    shape = chips, count, count
    through = np.bincount(np.ravel_multi_index(tuple(legs), shape), pairs.data[pair], chips * count**2)
    return Outside(over.ports, away, home, through.reshape(shape), between.data)


@dataclass(frozen=True, eq=False)
class Loads:
    """Messages per tick on every link: of the mesh (east, west, south, north; chips, y, x), named by where it starts.

    ``between`` holds those of the links from chip to chip that carry any.
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
        """Ways of all messages from chip to chip."""
        return float(self.between.sum())

    @property
    def crossing_peak(self) -> float:
        """The fullest link between chips."""
        return float(self.between.max(initial=0.0))


def loads(places: Sequence[Router], ends: Array, messages: Array, target: Target) -> Loads:
    """What :func:`route` makes of many flows at once: ``ends`` (2, flows) are indices of ``places``, -1 is the host."""
    chip = target.chip
    number, x, y = np.array([*places, HOST], dtype=np.int64).T  # the host is the last, which -1 finds
    abroad, spot = outside(number[:-1], ends, messages, Topology.of(target)), y * chip.routers_x + x
    port, routers = abroad.ports @ (1, chip.routers_x), chip.routers_y * chip.routers_x
    inside = (number[ends[0]] == number[ends[1]]) & (number[ends[0]] >= 0)
    source, receiver = ends[:, inside]
    legs = [(number[source], spot[source], spot[receiver], messages[inside])]  # chip, its routers, messages
    core, at = np.nonzero(abroad.away)
    legs.append((number[core], spot[core], port[at], abroad.away[core, at]))
    core, at = np.nonzero(abroad.home)
    legs.append((number[core], port[at], spot[core], abroad.home[core, at]))
    on, came, gone = np.nonzero(abroad.through)
    legs.append((on, port[came], port[gone], abroad.through[on, came, gone]))
    on, start, end, amount = (np.concatenate(part) for part in zip(*legs, strict=True))
    chips = len(abroad.through)
    met = np.bincount((on * routers + start) * routers + end, amount, chips * routers**2)
    met = met.reshape(chips, *(chip.routers_y, chip.routers_x) * 2)
    rows, columns = (
        met.sum(axis=3),
        met.sum(axis=2),
    )  # (chips, y, x, end's x) and (chips, y, end's y, end's x)
    (east, west), (south, north) = _passed(chip.routers_x), _passed(chip.routers_y)
    along_x = [np.einsum("cyab,kab->cyk", rows, passed) for passed in (east, west)]
    along_y = [np.einsum("cabx,kab->ckx", columns, passed) for passed in (south, north)]
    return Loads(np.stack([*along_x, *along_y]), abroad.between)


def _passed(size: int) -> tuple[Array, Array]:
    """(links, starts, ends) 1 where the way up from start to end passes the link from there on, and the way down."""
    link, start, end = np.ogrid[:size, :size, :size]
    return ((start <= link) & (link < end)) * 1.0, ((end < link) & (link <= start)) * 1.0
