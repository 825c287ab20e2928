"""Links that many cores share: between chips, at the port of a chip, and of the host; what they take in a step.

Before cores have their places, chips are taken to be filled in the order of the data. METIS finds chips with fewer
messages between them, so that this is rather much.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ..array import Array
from ..ir.graph import Graph
from ..price import traffic_ns
from ..target import Target
from ..target_schema import Chip
from .groups import Population
from .tiling import Tiling
from .traffic import HOST_TILE, Traffic, packet_bits

LEVEL = "nominal"


def crowded_ns(
    graph: Graph,
    groups: Sequence[Population],
    tilings: Mapping[str, Tiling],
    flows: Traffic,
    target: Target,
    steps: int,
) -> Array:
    """Nanoseconds that the fullest of these links takes in each step of an inference, nominal."""
    depth, turns, bits = _senders(graph, groups, tilings, target)
    chip = np.append(
        np.arange(flows.tiles) // target.chip.cores_per_chip, HOST_TILE
    )  # the host's is the last
    ends = chip[flows.source], chip[flows.target]
    far = ends[0] != ends[1]
    source, reader, tile = ends[0][far], ends[1][far], flows.source[far]
    # What the host sends comes a step before its readers work, and the same tick goes to all of them.
    first = np.where(source < 0, depth[flows.target[far]] - 1, depth[tile])
    lasts = graph.header.timesteps * np.where(source < 0, 1, turns[tile])
    packets = flows.messages[far] / np.where(source < 0, 1, turns[tile])
    sizes = np.where(source < 0, 0, bits[tile])
    hosted, local = (source < 0) | (reader < 0), (source >= 0) & (reader >= 0)
    chips = int(chip.max(initial=0)) + 1
    fullest = _fullest(source * chips + reader, packets * sizes, first, lasts, local, steps)
    ports = [
        _fullest(end, packets * sizes * share, first, lasts, local, steps)
        for end, share in zip((source, reader), port_shares(target.chip), strict=True)
    ]
    host = _fullest(np.zeros_like(source), packets, first, lasts, hosted, steps)
    return traffic_ns(np.maximum(*ports), fullest, host, target, LEVEL)


def port_shares(chip: Chip) -> tuple[float, float]:
    """Shares of what leaves a chip, and of what enters it, on the fullest link at its port, from routers all alike.

    Messages go along x first (:func:`.routes.route`): those that leave come along y, but for the row of the port; those
    that enter go on along x, but for its column.
    """
    return 1 - 1 / chip.routers_y, 1 - 1 / chip.routers_x


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


def _fullest(link: Array, load: Array, first: Array, lasts: Array, here: Array, steps: int) -> Array:
    """The largest load of any link in each step, from loads that flow from a first step on for so many."""
    numbers, row = np.unique(link[here], return_inverse=True)
    begun = np.zeros((len(numbers), steps + 1))
    begin = np.clip(first[here], 0, steps)
    np.add.at(begun, (row, begin), load[here])
    np.add.at(begun, (row, np.clip(begin + lasts[here], 0, steps)), -load[here])
    found: Array = np.cumsum(begun, axis=1)[:, :steps].max(axis=0, initial=0.0)
    return found
