"""Tables of all units of a kind as one: who speaks into which inbox, their programs, and where these are recorded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ...array import Array
from ...image import CoreImage, Receiver
from .contract import exact
from .execute import Step, prepare
from .gather import distinct, span
from .kinds import Kind
from .outbox import Outbox

PIECE = (
    1 << 18
)  # messages gathered at once for matrix products, of each sample: bounds memory, changes nothing

# --- what arrives ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Delivered:
    """Inbox[address] += weights @ said[source], of targets that are reached through as many rows.

    ``source``: rows of the outbox, of ``shape`` (connections, targets, rows); ``weights`` (connections, 1, columns,
    rows); ``address`` of (connections, targets, columns). ``reach``: the largest sum of weight magnitudes; ``wait``:
    steps after the arrival; ``voices``: who is heard.
    """

    source: slice | Array
    shape: tuple[int, ...]
    weights: Array
    address: slice | Array
    once: bool
    reach: float
    wait: int
    voices: tuple[int, ...]

    def sums(self, said: Array, largest: float) -> Array:
        """What all targets get, (connections * targets * columns, samples), exact; messages reach +-``largest``."""
        kind = exact(self.reach * largest, said.dtype)
        taken = said[self.source].reshape(*self.shape, said.shape[1])
        sums = np.matmul(self.weights.astype(kind, copy=False), taken.astype(kind, copy=False))
        return np.asarray(sums.reshape(-1, said.shape[1]).astype(np.int64))


@dataclass(frozen=True, eq=False)
class Kept:
    """What a port takes in that keeps it: in each turn of its sender, who starts after ``since``, rows and slots."""

    port: int
    size: int
    since: int
    turns: tuple[tuple[Array, Array, bool], ...]


@dataclass(frozen=True, eq=False)
class Intake:
    """The receiving half of a stack: its inbox at first, port after port, and what enters it."""

    start: Array
    ports: tuple[slice, ...]
    deliveries: tuple[Delivered, ...]
    operands: tuple[slice | Array, slice | Array, bool]  # rows of the outbox, addresses, whether all differ
    keeps: tuple[Kept, ...]
    voices: tuple[int, ...]

    @property
    def waits(self) -> bool:
        """Whether something is delivered in a later step than it arrives."""
        return any(delivery.wait for delivery in self.deliveries)


def intake(kind: Kind, images: Sequence[CoreImage], receivers: Sequence[Receiver], outbox: Outbox) -> Intake:
    """Joins the tables of all cores of a kind, slots replaced by who speaks into them."""
    numbers = [list(dict.fromkeys(p for item in unit.program for p in item.ports)) for unit in kind.units]
    sizes = [images[kind.sites[0]].port_size(port) for port in numbers[0]]
    cores = len(kind.sites)
    first = cores * np.cumsum([0, *sizes])
    # Of each core: where its own addresses lie in the inbox of the stack, -1: nowhere.
    places: list[Array] = []
    for core, site in enumerate(kind.sites):
        place = np.full(len(images[site].tables["port_init"]), -1)
        for port, number in enumerate(numbers[core]):
            place[images[site].port(number)] = first[port] + core * sizes[port] + np.arange(sizes[port])
        places.append(place)
    start = np.zeros(first[-1], dtype=np.int64)
    operands = [np.zeros((2, 0), dtype=np.int64)]
    for place, site in zip(places, kind.sites, strict=True):
        plan, source = receivers[site], outbox.sources[site]
        start[place[place >= 0]] = plan.inbox[place >= 0]
        address = place[plan.operands.address]
        operands.append(np.stack([source[plan.operands.slots], address])[:, address >= 0])
    rows, address = (both := np.concatenate(operands, axis=1))[:, np.argsort(both[1], kind="stable")]
    deliveries = tuple(_deliveries(kind, receivers, places, outbox))
    keeps = tuple(_keeps(kind, receivers, numbers, sizes, outbox))
    heard = [rows, *(d.source for d in deliveries), *(turn[0] for keep in keeps for turn in keep.turns)]
    voices = tuple(sorted({v for part in heard for v in outbox.voices(part)}))
    ports = tuple(slice(a, b) for a, b in pairwise(first.tolist()))
    return Intake(start, ports, deliveries, (span(rows), span(address), distinct(address)), keeps, voices)


def _deliveries(
    kind: Kind, receivers: Sequence[Receiver], places: Sequence[Array], outbox: Outbox
) -> Iterator[Delivered]:
    alike: dict[tuple[tuple[int, ...], tuple[int, ...], int], list[tuple[Array, Array, Array, float]]] = {}
    for place, site in zip(places, kind.sites, strict=True):
        for part in receivers[site].deliveries:
            address, (targets, rows) = place[part.address], part.slots.shape
            size = max(1, PIECE // max(rows, 1))
            for at in range(0, targets if (address >= 0).all() else 0, size):
                source, into = outbox.sources[site][part.slots[at : at + size]], address[at : at + size]
                key = source.shape, part.weights.shape, part.wait
                alike.setdefault(key, []).append((source, part.weights.T, into, part.reach))
    for (shape, _, wait), found in alike.items():
        most = max(1, PIECE // max(shape[0] * shape[1], 1))
        found.sort(key=lambda part: int(part[2].min()))
        for at in range(0, len(found), most):
            sources, weights, addresses, reaches = zip(*found[at : at + most], strict=True)
            source, address, reach = np.stack(sources).ravel(), np.stack(addresses).ravel(), max(reaches)
            kept = np.stack(weights)[:, None].astype(exact(reach))
            yield Delivered(
                span(source), (len(sources), *shape), kept, span(address), distinct(address), reach, wait,
                outbox.voices(source),
            )  # fmt: skip


def _keeps(
    kind: Kind, receivers: Sequence[Receiver], numbers: list[list[int]], sizes: list[int], outbox: Outbox
) -> Iterator[Kept]:
    for port, size in enumerate(sizes):
        found = [
            (core, site, keep)
            for core, site in enumerate(kind.sites)
            for keep in receivers[site].keeps
            if keep.port == numbers[core][port]
        ]
        if found:
            rows = np.concatenate([outbox.sources[site][keep.slots] for _, site, keep in found])
            into = [np.where(keep.address < 0, -1, keep.address + core * size) for core, _, keep in found]
            turns = []
            for address in np.concatenate(into, axis=1):
                inside = address >= 0
                turns.append((rows[inside], address[inside], distinct(address[inside])))
            yield Kept(port, size * len(kind.sites), found[0][2].since, tuple(turns))


# --- programs ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Recorded:
    """Where the elements of a vector lie in the whole value of a node: ``index``, of the elements ``order``."""

    index: slice | Array
    order: slice | Array

    @classmethod
    def of(cls, flat: Array) -> Recorded:
        """From the flat index of each element, -1: none."""
        order = np.argsort(flat, kind="stable")[np.count_nonzero(flat < 0) :]
        return cls(span(flat[order]), span(order))

    def put(self, values: Array, vector: Array) -> None:
        """Writes a vector (elements, samples) into values (samples, elements of the node)."""
        values[:, self.index] = vector[self.order].T

    def take(self, values: Array, size: int) -> Array:
        """The vector (size, samples) of values (samples, elements of the node); elsewhere 0."""
        vector = np.zeros((size, len(values)), dtype=np.int64)
        vector[self.order] = values[:, self.index].T
        return vector


def programs(kind: Kind, images: Sequence[CoreImage], received: Intake) -> tuple[tuple[Step, ...], ...]:
    """The instructions of a kind in each of its turns."""
    here, unit = [images[site] for site in kind.sites], kind.units[0]
    order = list(dict.fromkeys(port for item in unit.program for port in item.ports))
    steps = []
    for number, item in enumerate(unit.program):
        ports = tuple(order.index(port) for port in item.ports)
        steps.append(prepare(here, kind.units, number, ports, tuple(received.ports[p] for p in ports)))
    return tuple(tuple(step.at(turn) for step in steps) for turn in range(unit.turns))


def records(kind: Kind) -> tuple[tuple[Recorded | None, ...], ...]:
    """By turn and instruction where its elements are recorded, None where it does not run."""
    every = (zip(*turns, strict=True) for turns in zip(*kind.shown, strict=True))
    return tuple(
        tuple(None if parts[0] is None else Recorded.of(np.concatenate(parts)) for parts in turn)
        for turn in every
    )
