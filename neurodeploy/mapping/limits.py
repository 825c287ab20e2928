"""Demands held against a target's limits: how full, what limits, what is broken, which share a core."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf

import numpy as np

from ..array import Array
from ..target import Target
from .types import Demand


@dataclass(frozen=True)
class Resource:
    """A number of a Demand, its ``key`` under [limits] of a target file, and what helps where it is short.

    What is no ``memory`` counts only when there is too much. What does not add up is a maximum over neurons.
    """

    name: str
    key: str
    fixes: tuple[str, ...]
    memory: bool = True
    adds: bool = True

    @property
    def label(self) -> str:
        """For people."""
        return self.name.replace("_", " ")


_FEEDING, _READING = "shrink the layer that feeds this one", "shrink the layers that read this one"
_ALIKE = "use one threshold for all channels"

OPEN = 8192  # cores that a tile is tried on, where layers share them
#: every resource of a core by its name
RESOURCES: Mapping[str, Resource] = {
    r.name: r
    for r in (
        Resource("neurons", "neurons_per_core", ("use a smaller model",)),
        Resource("neuron_groups", "neuron_groups", ("use a smaller model",), memory=False),
        Resource("synapse_words", "synapse_words", ("shrink the layer",)),
        Resource("axon_in", "axon_in", (_FEEDING,)),
        Resource("axon_out", "axon_out", (_READING,)),
        Resource("table_words", "table_words", ("use another operator",)),
        Resource("total_words", "total_words", ("use fewer tokens or channels",)),
        Resource("fan_in", "fan_in", (_FEEDING,), memory=False, adds=False),
        Resource("thresholds", "distinct_thresholds_per_core", (_ALIKE,), memory=False),
    )
}


@dataclass(frozen=True)
class Breach:
    """One limit that a demand exceeds."""

    resource: str
    used: float
    limit: float

    @property
    def key(self) -> str:
        """The limit's place in the target file."""
        return f"limits.{RESOURCES[self.resource].key}"


def usage(demand: Demand, target: Target) -> dict[str, tuple[float, float]]:
    """Resource -> (used, limit); an unlimited one has limit infinity."""
    limits = {r.name: getattr(target.limits, r.key).value for r in RESOURCES.values()}
    most = {r: inf if limit is None else float(limit) for r, limit in limits.items()}
    return {r: (float(getattr(demand, r)), limit) for r, limit in most.items()}


def fill(used: Mapping[str, tuple[float, float]]) -> tuple[float, str]:
    """Share of the scarcest resource that is used, and its name; above 1 it does not fit."""
    shares = {r: _share(r, amount, limit) for r, (amount, limit) in used.items()}
    worst = max(shares, key=lambda r: shares[r])
    return shares[worst], worst


def _share(resource: str, amount: float, limit: float) -> float:
    share = amount / limit if limit else (inf if amount else 0.0)
    # One of eight groups does not make a core an eighth full: what is no memory counts only when there is too much.
    return share if RESOURCES[resource].memory or share > 1 else 0.0


def amounts(demands: Sequence[Demand]) -> Array:
    """Demands as numbers, (demands, :data:`RESOURCES`)."""
    rows = {demand: [getattr(demand, r) for r in RESOURCES] for demand in dict.fromkeys(demands)}
    return np.array([rows[demand] for demand in demands], dtype=np.float64).reshape(-1, len(RESOURCES))


def fullest(used: Array, target: Target) -> float:
    """The largest :func:`fill` of any of some demands, given their :func:`amounts`."""
    limits = np.array([limit for _, limit in usage(Demand(), target).values()])
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(limits > 0, used / limits, np.where(used > 0, inf, 0.0))
    memory = np.array([r.memory for r in RESOURCES.values()])
    return float(np.where(memory | (share > 1), share, 0.0).max(initial=0.0))


def breaches(demand: Demand, target: Target) -> list[Breach]:
    """Every limit the demand exceeds."""
    return [Breach(r, *pair) for r, pair in usage(demand, target).items() if pair[0] > pair[1]]


def largest(found: Iterable[Breach]) -> dict[str, Breach]:
    """By resource, in the order met, the first breach that uses most."""
    worst: dict[str, Breach] = {}
    for breach in found:
        worst[breach.resource] = max(worst.get(breach.resource, breach), breach, key=lambda b: b.used)
    return worst


def pack(demands: Sequence[Demand], target: Target, kept: Sequence[Sequence[int]] = ()) -> list[list[int]]:
    """Tiles per core, first fit in order of falling demand; cores in order of their first tile.

    Tiles ``kept`` are on a core already. What does not fit a core of its own stays alone on one. Of the cores with
    room the last :data:`OPEN` are tried, which bounds the time.
    """
    limits = [limit for _, limit in usage(Demand(), target).values()]
    need = amounts(demands)
    share = (need / np.maximum(limits, 1)).max(axis=1, initial=0.0)
    need[:, [not r.adds for r in RESOURCES.values()]] = 0.0
    cores = [list(tiles) for tiles in kept]
    placed = {tile for tiles in cores for tile in tiles}
    order = [tile for tile in np.argsort(-share, kind="stable").tolist() if tile not in placed]
    least = need[order].min(axis=0, initial=inf)
    room = np.array([limits - need[tiles].sum(axis=0) for tiles in cores]).reshape(-1, len(RESOURCES))
    still = np.flatnonzero((room >= least).all(axis=1))  # the cores that could take a tile yet, in order
    room = room[still]
    for tile in order:
        fits = np.flatnonzero((room >= need[tile]).all(axis=1))
        if len(fits):
            at = int(fits[0])
            cores[still[at]].append(tile)
            room[at] -= need[tile]
        else:
            at = len(still)
            cores.append([tile])
            still, room = np.append(still, len(cores) - 1), np.vstack([room, limits - need[tile]])
        if len(still) > OPEN or (room[at] < least).any():
            at = 0 if len(still) > OPEN else at
            still, room = np.delete(still, at), np.delete(room, at, axis=0)
    return sorted(sorted(tiles) for tiles in cores)
