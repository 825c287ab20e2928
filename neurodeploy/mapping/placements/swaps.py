"""Chips filled in data order; inside each chip a snake through the mesh, improved by swaps of two places.

A swap is taken while it shortens the ways of the packets: messages between two cores times the routers between them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...array import Array
from ...ir.trace import Router
from ...target import Target
from ...target_schema import Chip
from ..traffic import HOST_TILE, Traffic
from ._base import Placement

MOST = 2  # swaps per core of a chip, at most


class Swaps(Placement):
    """Neighbours in the data flow become neighbours on the mesh."""

    name = "swaps"
    title = "data order on a snake through the mesh, then swaps that shorten the packets' ways"

    def place(self, cores: Sequence[Sequence[int]], flows: Traffic, target: Target) -> list[Router]:
        """Chips one after the other, each on its own."""
        on_core = np.zeros(flows.tiles, dtype=np.int64)
        for core, tiles in enumerate(cores):
            on_core[list(tiles)] = core
        inside = (flows.source != HOST_TILE) & (flows.target != HOST_TILE)
        source, destination = on_core[flows.source[inside]], on_core[flows.target[inside]]
        messages, each = flows.messages[inside], target.chip.cores_per_chip
        local = np.flatnonzero(source // each == destination // each)
        local = local[np.argsort(source[local] // each, kind="stable")]
        chips = -(-len(cores) // each)
        ends = np.searchsorted(source[local] // each, np.arange(chips + 1))
        spots: list[Router] = []
        for chip in range(chips):
            here = local[ends[chip] : ends[chip + 1]]
            count = min(each, len(cores) - chip * each)
            pairs = (source[here] % each) * count + destination[here] % each
            matrix = np.bincount(pairs, messages[here], count * count).reshape(count, count)
            spots += [Router(chip, *place) for place in _arranged(matrix, target.chip).tolist()]
        return spots


def snake(chip: Chip) -> Array:
    """(cores, 2) routers in an order whose neighbours are neighbours: rows of the mesh, every other one backwards."""
    y, x = np.indices((chip.routers_y, chip.routers_x)).reshape(2, -1)
    places = np.stack([np.where(y % 2, chip.routers_x - 1 - x, x), y], axis=1)
    return np.repeat(places, chip.cores_per_router, axis=0)[: chip.cores_per_chip]


def _arranged(messages: Array, chip: Chip) -> Array:
    """Routers of the cores: the snake, improved by the best swap of two places as long as one helps.

    ``at[i, j]`` is what core i's packets would cost at core j's place; a swap changes it by a matrix of rank one.
    """
    slots = snake(chip)
    count = len(messages)
    flow = messages + messages.T
    np.fill_diagonal(flow, 0.0)
    flow = np.pad(flow, (0, len(slots) - count))  # free places take part as cores without traffic
    distance = np.abs(slots[:, None] - slots[None]).sum(axis=2).astype(np.float64)
    order: Array = np.arange(len(slots))
    at = flow @ distance
    for _ in range(MOST * count if flow.any() else 0):
        own = np.diagonal(at)
        gain = own[:, None] + own[None] - at - at.T - 2 * flow * distance
        i, j = divmod(int(np.argmax(gain)), len(slots))
        if gain[i, j] <= 1e-9 * max(1.0, float(own.sum())):
            break
        swap = np.arange(len(slots))
        swap[[i, j]] = j, i
        at = at[:, swap] + np.outer(flow[:, j] - flow[:, i], (distance[i] - distance[j])[swap])
        distance = distance[swap][:, swap]
        order = order[swap]
    return np.take(slots, order[:count], axis=0)


MEMBER = Swaps()
