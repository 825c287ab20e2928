"""Where tiles go: which share a core, which chip a core is on, and its place in the chip's mesh."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..array import Array
from ..target import Chip, Target
from .limits import RESOURCES, usage
from .traffic import HOST_TILE, Traffic
from .types import Demand

SWAPS = 2  # per core of a chip, at most


@dataclass(frozen=True)
class Spot:
    """A core's chip and router."""

    chip: int
    x: int
    y: int


def pack(demands: Sequence[Demand], target: Target) -> list[list[int]]:
    """Tiles per core, first fit in order of falling demand; cores in order of their first tile.

    What does not fit a core of its own stays alone on one.
    """
    limits = [usage(Demand(), target)[r][1] for r in RESOURCES]
    need = np.array([[getattr(d, r) for r in RESOURCES] for d in demands], dtype=np.float64)
    share = (need / np.maximum(limits, 1)).max(axis=1, initial=0.0)
    fan_in = list(RESOURCES).index("fan_in")
    need[:, fan_in] = 0.0  # a maximum over neurons, not a sum
    used = np.zeros((len(demands), len(RESOURCES)))
    cores: list[list[int]] = []
    for tile in np.argsort(-share, kind="stable"):
        fits = (used[: len(cores)] + need[tile] <= limits).all(axis=1)
        core = int(np.argmax(fits)) if fits.any() else len(cores)
        if core == len(cores):
            cores.append([])
        used[core] += need[tile]
        cores[core].append(int(tile))
    return sorted(sorted(tiles) for tiles in cores)


def place(cores: Sequence[Sequence[int]], flows: Traffic, target: Target) -> list[Spot]:
    """A spot for each core: chips filled in data order, then swaps inside each chip to shorten the packets' ways."""
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
    spots: list[Spot] = []
    for chip in range(chips):
        here = local[ends[chip] : ends[chip + 1]]
        count = min(each, len(cores) - chip * each)
        pairs = (source[here] % each) * count + destination[here] % each
        matrix = np.bincount(pairs, messages[here], count * count).reshape(count, count)
        spots += [Spot(chip, int(x), int(y)) for x, y in _arranged(matrix, target.chip)]
    return spots


def snake(chip: Chip) -> Array:
    """(cores, 2) routers in an order whose neighbours are neighbours: rows of the mesh, every other one backwards."""
    places = [
        (x if y % 2 == 0 else chip.routers_x - 1 - x, y)
        for y in range(chip.routers_y)
        for x in range(chip.routers_x)
    ]
    return np.repeat(np.array(places), chip.cores_per_router, axis=0)[: chip.cores_per_chip]


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
    order = np.arange(len(slots))
    at = flow @ distance
    for _ in range(SWAPS * count if flow.any() else 0):
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
    return slots[order[:count]]
