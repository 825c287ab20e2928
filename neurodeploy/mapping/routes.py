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
from ..target_schema import Chip
from .bundles import Bundles
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


def loads(places: Sequence[Router], sent: Bundles, target: Target) -> Loads:
    """What :func:`route`, or :func:`tree`, makes of many flows at once: ends of ``sent`` are indices of ``places``."""
    chip, topology = target.chip, Topology.of(target)
    number, x, y = np.array([*places, HOST], dtype=np.int64).T  # the host is the last, which -1 finds
    if sent.shared:
        return _copied(number, x, y, legs(number[:-1], sent, topology), chip)
    ends, messages = sent.ends, sent.messages
    abroad, spot = outside(number[:-1], ends, messages, topology), y * chip.routers_x + x
    port, routers = abroad.ports @ (1, chip.routers_x), chip.routers_y * chip.routers_x
    inside = (number[ends[0]] == number[ends[1]]) & (number[ends[0]] >= 0)
    source, receiver = ends[:, inside]
    ways = [(number[source], spot[source], spot[receiver], messages[inside])]  # chip, its routers, messages
    core, at = np.nonzero(abroad.away)
    ways.append((number[core], spot[core], port[at], abroad.away[core, at]))
    core, at = np.nonzero(abroad.home)
    ways.append((number[core], port[at], spot[core], abroad.home[core, at]))
    on, came, gone = np.nonzero(abroad.through)
    ways.append((on, port[came], port[gone], abroad.through[on, came, gone]))
    on, start, end, amount = (np.concatenate(part) for part in zip(*ways, strict=True))
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


# --- packets that are copied -------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Legs:
    """What :func:`tree` makes of many bundles: in every chip ways from one place to some, each once.

    Places are cores by their index, or ports, -1 less their number among ``ports``. ``row``: the bundle; legs of one on
    one chip have one ``start`` and come one after the other. ``between`` (3, crossings): chip, chip that is reached,
    bundle.
    """

    ports: Array
    row: Array
    chip: Array
    start: Array
    end: Array
    messages: Array
    between: Array


def legs(on: Array, sent: Bundles, topology: Topology) -> Legs:
    """Given the chip of each core."""
    (source, target), pairs, chip = (
        sent.ends,
        sent.row,
        np.append(on, -1),
    )  # the host is the last, which -1 finds
    first, last = chip[source], chip[target]
    far, same = np.flatnonzero((first != last) & (first >= 0) & (last >= 0)), (first == last) & (first >= 0)
    over = ways(first[far], last[far], topology)
    out, into = np.full((2, len(pairs)), over.host)
    out[far], into[far] = over.gone, over.came
    leave, enter = ~same & (first >= 0), ~same & (last >= 0)
    at, came, gone, pair = over.passed
    found = [
        np.stack([pairs[same], first[same], source[same], target[same]]),
        np.stack([pairs[leave], first[leave], source[leave], -1 - out[leave]]),
        np.stack([pairs[enter], last[enter], -1 - into[enter], target[enter]]),
        np.stack([pairs[far[pair]], at, -1 - came, -1 - gone]),
    ]
    row, on_chip, start, end = np.unique(np.concatenate(found, axis=1), axis=1)
    at, reached, pair = over.links
    between = np.unique(np.stack([at, reached, pairs[far[pair]]]), axis=1)
    return Legs(over.ports, row, on_chip, start, end, sent.messages, between)


def _copied(number: Array, x: Array, y: Array, found: Legs, chip: Chip) -> Loads:
    """Loads of legs, given where cores are: straight runs from each start along x, then along y in each column."""
    at_x, at_y = (np.r_[own[:-1], found.ports[::-1, axis]] for axis, own in enumerate((x, y)))
    here, there = (np.stack([at_x[end], at_y[end]]) for end in (found.start, found.end))
    chips = int(max(found.chip.max(initial=-1), number.max(initial=-1))) + 1
    sides = []
    for axis, line, lines, size in (
        (0, here[1], chip.routers_y, chip.routers_x),
        (1, there[0], chip.routers_x, chip.routers_y),
    ):
        start, stop = here[axis], there[axis]
        for up in (True, False):
            first, behind = (start, stop) if up else (stop + 1, start + 1)  # links, by where they start
            length = behind - first
            some = np.flatnonzero(length > 0)
            # Of ways of one bundle on one line the longest holds the others.
            order = some[np.lexsort((-length[some], line[some], found.chip[some], found.row[some]))]
            runs = np.stack([found.row[order], found.chip[order], line[order]])
            order = order[(np.diff(runs, axis=1, prepend=-1) != 0).any(axis=0)]
            steps, amount = np.zeros((chips, lines, size + 1)), found.messages[found.row[order]]
            np.add.at(steps, (found.chip[order], line[order], first[order]), amount)
            np.add.at(steps, (found.chip[order], line[order], behind[order]), -amount)
            passed = np.cumsum(steps, axis=2)[:, :, :-1]
            sides.append(passed if axis == 0 else np.swapaxes(passed, 1, 2))
    *crossed, row = found.between
    most = int(found.between[:2].max(initial=-1)) + 1
    between = csr_array((found.messages[row], tuple(crossed)), shape=(most, most))
    between.sum_duplicates()
    return Loads(np.stack(sides), between.data)
