"""Links that many cores share: between chips, at the ports of a chip, and of the host; what they take in a step.

Before cores have their places, chips are taken to be filled in the order of the data, and to lie on their board in
order. METIS finds chips with fewer messages between them, and the annealing nearer places, so that this is rather much.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..array import Array
from ..ir.graph import Graph
from ..passes.balance import host
from ..price import traffic_ns
from ..target import Target
from ..target_schema import Chip
from .groups import Population
from .routes import ways
from .tiling import Tiling
from .topology import Topology
from .traffic import HOST_TILE, Traffic, packet_bits

LEVEL = "nominal"


def crowded_ns(
    graph: Graph,
    groups: Sequence[Population],
    tilings: Mapping[str, Tiling],
    traffic: Traffic,
    target: Target,
    steps: int,
) -> Array:
    """Nanoseconds that the fullest of these links takes in each step of an inference, nominal."""
    flows = _together(graph, groups, tilings, traffic, target)
    source, reached = flows.source[flows.row], flows.reached
    inside = np.flatnonzero((source >= 0) & (reached >= 0))
    over = ways(source[inside], reached[inside], Topology.of(target))
    (at, next_to, pair), every = over.links, np.arange(len(reached))
    links = _once(_Shares((at << 32) + next_to, inside[pair], np.ones(len(pair))), flows)
    at, *ends, pair = over.passed
    passing = (ends[0] != ends[1]) * 1.0  # no link of the chip where both ports are at one router
    ports = []
    for side, chip, passed, own in ((0, reached, ends[0], over.came), (1, source, ends[1], over.gone)):
        port, ending = np.full(len(every), over.host), np.flatnonzero(chip >= 0)
        port[inside] = own
        shares = np.array([port_shares(target.chip, place)[1 - side] for place in over.ports.tolist()])
        through = _Shares(at * len(over.ports) + passed, inside[pair], passing)
        last = _Shares(chip[ending] * len(over.ports) + port[ending], ending, shares[port[ending]])
        both = _Shares(*(np.concatenate(parts) for parts in zip(through, last, strict=True)))
        ports.append(_once(both, flows))
    hosted = np.setdiff1d(every, inside)
    interface = _Shares(np.zeros_like(hosted), flows.row[hosted], np.ones(len(hosted)))
    mesh = np.maximum(*(_fullest(shares, flows.bits, flows, steps) for shares in ports))
    between = _fullest(links, flows.bits, flows, steps)
    return traffic_ns(mesh, between, _fullest(interface, flows.packets, flows, steps), target, LEVEL)


def chips_of(tiles: int, chip: Chip) -> Array:
    """The chip of each tile, in the order of the data; the last is the host's, -1."""
    return np.append(np.arange(tiles) // chip.cores_per_chip, HOST_TILE)


class _Shares(NamedTuple):
    """Shares of flows on links: the number of a link, the row of a flow, and what of it passes the link."""

    link: Array
    row: Array
    share: Array


def _once(shares: _Shares, flows: _Flows) -> _Shares:
    """Shares of flows, given those of their pairs: what is copied passes a link once."""
    row = flows.row[shares.row]
    if len(flows.row) == len(flows.source):
        return shares._replace(row=row)
    keys, place = np.unique(np.stack([shares.link, row]), axis=1, return_inverse=True)
    largest = np.zeros(keys.shape[1])
    np.maximum.at(largest, place.reshape(-1), shares.share)
    return _Shares(keys[0], keys[1], largest)


def port_shares(chip: Chip, port: Sequence[int]) -> tuple[float, float]:
    """Shares of what leaves a chip at a port, and of what enters it there, on the fullest link, from routers all alike.

    Messages go along x first (:func:`.routes.route`): those that leave come along y, but for the row of the port; those
    that enter go on along x, but for its column.
    """
    (x, y), wide, high = port, chip.routers_x, chip.routers_y
    along_x, along_y = max(x, wide - 1 - x) / wide, max(y, high - 1 - y) / high
    return max(along_y, along_x / high), max(along_x, along_y / wide)


@dataclass(frozen=True, eq=False)
class _Flows:
    """Flows between chips, -1 is the host: packets and their bits in each of ``lasts`` steps from ``first`` on.

    ``reached`` (pairs,): a chip that the flow of this ``row`` goes to.
    """

    source: Array
    first: Array
    lasts: Array
    packets: Array
    bits: Array
    row: Array
    reached: Array


def _together(
    graph: Graph,
    groups: Sequence[Population],
    tilings: Mapping[str, Tiling],
    flows: Traffic,
    target: Target,
) -> _Flows:
    """What flows between the same chips in the same steps is one."""
    depth, turns, bits = _senders(graph, groups, tilings, target)
    packets, chip = flows.packets, chips_of(flows.tiles, target.chip)
    ends, pairs = packets.apart_at(chip)
    rows, row = np.unique(pairs, return_inverse=True)
    tile = packets.senders[rows]
    hosted = tile == HOST_TILE
    # What the host sends comes a step before its readers work, and the same tick goes to all of them.
    reader = np.full(len(packets.messages), HOST_TILE)
    reader[packets.row] = packets.ends[1]
    first = np.clip(np.where(hosted, depth[reader[rows]] - 1, depth[tile]), 0, None)
    each = np.where(hosted, 1, turns[tile])
    amount = packets.messages[rows] / each
    size = np.where(hosted, _host_bits(graph, target), bits[tile])
    reached, sets = _sets(ends[1], row.reshape(-1), len(rows))
    columns = np.stack([chip[tile] + 1, reached, first, graph.header.timesteps * each])
    sizes = [int(column.max(initial=0)) + 1 for column in columns]
    keys, which = np.unique(np.ravel_multi_index(columns, sizes), return_inverse=True)
    source, reached, first, lasts = np.stack(np.unravel_index(keys, sizes))
    amounts, load = (np.bincount(which, part, len(keys)) for part in (amount, amount * size))
    members = [sets[number] for number in reached.tolist()]
    row = np.repeat(np.arange(len(keys)), [len(chips) for chips in members])
    flat = np.array([chip for chips in members for chip in chips], dtype=np.int64)
    return _Flows(source - 1, first, lasts, amounts, load, row, flat)


def _sets(reached: Array, row: Array, rows: int) -> tuple[Array, list[tuple[int, ...]]]:
    """The number of the set of chips that each row reaches, and the sets: those of one chip, in order, come first."""
    numbers = {(chip,): chip + 1 for chip in range(-1, int(reached.max(initial=-1)) + 1)}
    if len(row) == rows:
        return reached[np.argsort(row)] + 1, list(numbers)
    order = np.argsort(row, kind="stable")
    parts = np.split(reached[order], np.cumsum(np.bincount(row, minlength=rows))[:-1])
    found = [numbers.setdefault(tuple(sorted(part.tolist())), len(numbers)) for part in parts]
    return np.array(found, dtype=np.int64), list(numbers)


def _senders(
    graph: Graph, groups: Sequence[Population], tilings: Mapping[str, Tiling], target: Target
) -> tuple[Array, Array, Array]:
    """Of each tile: the step in which it begins, its turns, and the bits of a message."""
    known = {group.name: group for group in groups}
    sizes = [tilings[name].cut.cores for name in tilings]
    largest = (max(packet_bits(graph, node.name, target) for node in known[name].nodes) for name in tilings)
    rows = [(known[name].depth, known[name].turns, bits) for name, bits in zip(tilings, largest, strict=True)]
    columns = np.array(rows, dtype=np.int64).reshape(-1, 3)
    depth, turns, bits = np.repeat(columns, sizes, axis=0).T
    return depth, turns, bits


def _host_bits(graph: Graph, target: Target) -> int:
    """The most bits of any message that the host sends."""
    outside = host(graph)
    sent = (n for n in outside if any(r not in outside for r in graph.consumers[n]))
    return max((packet_bits(graph, name, target) for name in sent), default=0)


def _fullest(shares: _Shares, load: Array, flows: _Flows, steps: int) -> Array:
    """The largest load of any link in each step."""
    numbers, place = np.unique(shares.link, return_inverse=True)
    begun = np.zeros((len(numbers), steps + 1))
    begin, amount = np.clip(flows.first[shares.row], 0, steps), load[shares.row] * shares.share
    np.add.at(begun, (place, begin), amount)
    np.add.at(begun, (place, np.clip(begin + flows.lasts[shares.row], 0, steps)), -amount)
    found: Array = np.cumsum(begun, axis=1)[:, :steps].max(axis=0, initial=0.0)
    return found
