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
    inside = np.flatnonzero((flows.source >= 0) & (flows.target >= 0))
    over = ways(flows.source[inside], flows.target[inside], Topology.of(target))
    (at, reached, pair), every = over.links, np.arange(len(flows.source))
    links = _Shares((at << 32) + reached, inside[pair], np.ones(len(pair)))
    at, *ends, pair = over.passed
    passing = (ends[0] != ends[1]) * 1.0  # no link of the chip where both ports are at one router
    ports = []
    for side, chip, passed, own in (
        (0, flows.target, ends[0], over.came),
        (1, flows.source, ends[1], over.gone),
    ):
        port, row = np.full(len(every), over.host), np.flatnonzero(chip >= 0)
        port[inside] = own
        shares = np.array([port_shares(target.chip, place)[1 - side] for place in over.ports.tolist()])
        through = _Shares(at * len(over.ports) + passed, inside[pair], passing)
        ending = _Shares(chip[row] * len(over.ports) + port[row], row, shares[port[row]])
        ports.append(_Shares(*(np.concatenate(both) for both in zip(through, ending, strict=True))))
    hosted = np.setdiff1d(every, inside)
    interface = _Shares(np.zeros_like(hosted), hosted, np.ones(len(hosted)))
    mesh = np.maximum(*(_fullest(shares, flows.bits, flows, steps) for shares in ports))
    between = _fullest(links, flows.bits, flows, steps)
    return traffic_ns(mesh, between, _fullest(interface, flows.packets, flows, steps), target, LEVEL)


class _Shares(NamedTuple):
    """Shares of flows on links: the number of a link, the row of a flow, and what of it passes the link."""

    link: Array
    row: Array
    share: Array


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
    """Flows between chips, -1 is the host: packets and their bits in each of ``lasts`` steps from ``first`` on."""

    source: Array
    target: Array
    first: Array
    lasts: Array
    packets: Array
    bits: Array


def _together(
    graph: Graph,
    groups: Sequence[Population],
    tilings: Mapping[str, Tiling],
    flows: Traffic,
    target: Target,
) -> _Flows:
    """What flows between the same chips in the same steps is one."""
    depth, turns, bits = _senders(graph, groups, tilings, target)
    chip = np.append(
        np.arange(flows.tiles) // target.chip.cores_per_chip, HOST_TILE
    )  # the host's is the last
    far = chip[flows.source] != chip[flows.target]
    tile, reader = flows.source[far], flows.target[far]
    hosted = tile == HOST_TILE
    # What the host sends comes a step before its readers work, and the same tick goes to all of them.
    first = np.clip(np.where(hosted, depth[reader] - 1, depth[tile]), 0, None)
    each = np.where(hosted, 1, turns[tile])
    packets = flows.messages[far] / each
    size = np.where(hosted, _host_bits(graph, target), bits[tile])
    rows = np.stack([chip[tile] + 1, chip[reader] + 1, first, graph.header.timesteps * each])
    sizes = [int(row.max(initial=0)) + 1 for row in rows]
    keys, which = np.unique(np.ravel_multi_index(rows, sizes), return_inverse=True)
    source, end, first, lasts = np.stack(np.unravel_index(keys, sizes))
    packets, load = (np.bincount(which, amount, len(keys)) for amount in (packets, packets * size))
    return _Flows(source - 1, end - 1, first, lasts, packets, load)


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
