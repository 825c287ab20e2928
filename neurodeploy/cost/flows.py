"""Packets between cores as the second book counts them: pairs of sender and receiver, their ways, links, spans."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from itertools import compress
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_array

from ..array import Array
from ..image import mixed
from ..ir.trace import Flows, Link
from ..mapping.routes import tree
from ..mapping.topology import Topology
from ..mapping.traffic import packet_bits
from .work import Part

if TYPE_CHECKING:
    from .booked import Book


@dataclass(frozen=True, eq=False)
class Packets:
    """What one core takes in of one value, or of all along one channel axis: by sender and node of origin.

    Where packets are multicast, what the same cores take in. ``packets`` (groups, samples, turns, ticks).
    """

    value: str
    axis: int
    targets: tuple[int, ...]
    senders: Array
    origins: Array
    packets: Array
    elements: Array


@dataclass(frozen=True, eq=False)
class Pairs:
    """A sender and its receivers, of all flows; ``numbers``: by flow the pair of each of its groups."""

    ends: list[tuple[int, tuple[int, ...]]]
    numbers: list[Array]
    paths: list[list[Link]]
    hops: Array

    @classmethod
    def of(cls, book: Book) -> Pairs:
        """Those of a book, with the ways that their packets take."""
        receivers = sorted({flow.targets for flow in book.flows})
        place = {targets: number for number, targets in enumerate(receivers)}
        keys = [flow.senders * len(place) + place[flow.targets] for flow in book.flows]
        distinct, which = np.unique(np.concatenate([np.zeros(0, np.int64), *keys]), return_inverse=True)
        ends = [(number // len(place), receivers[number % len(place)]) for number in distinct.tolist()]
        cores, topology = [*book.mapping.cores, None], Topology.of(book.target)
        paths = [
            tree(cores[source], [cores[target] for target in targets], topology) for source, targets in ends
        ]
        hops = np.array([_hops(path) for path in paths], dtype=np.int64).reshape(-1, 2)
        cuts = np.cumsum([len(key) for key in keys])[:-1]
        return cls(ends, np.split(which.ravel(), cuts) if keys else [], paths, hops)

    def packets(self, book: Book, sample: int, bits: bool = False) -> Array:
        """Packets, or their bits, of one sample, (pairs, steps)."""
        table = np.zeros((len(self.ends), book.steps), dtype=np.float32)
        for flow, numbers in zip(book.flows, self.numbers, strict=True):
            level = book.level[flow.value]
            each = packet_bits(book.graph, flow.value, book.target) if bits else 1
            turns, ticks = flow.packets.shape[2:]
            sent = flow.packets[:, sample].reshape(len(numbers), turns * ticks)
            np.add.at(table[:, level : level + turns * ticks], numbers, each * sent)
        return table

    def links(self, book: Book) -> tuple[dict[Link, Array], dict[Link, Array], dict[Link, int]]:
        """Packets and bits by link and step, mean over samples, and the most packets of any sample and step."""
        numbers: dict[Link, int] = {}
        rows = [[numbers.setdefault(link, len(numbers)) for link in path] for path in self.paths]
        columns = np.repeat(np.arange(len(rows)), [len(row) for row in rows])
        flat = np.concatenate([np.zeros(0, np.int64), *map(np.array, filter(None, rows))]).astype(np.int64)
        passes = csr_array((np.ones(len(flat)), (flat, columns)), shape=(len(numbers), len(rows)))
        loads, bits = np.zeros((2, len(numbers), book.steps))
        peak = np.zeros(len(numbers), dtype=np.int64)
        for sample in range(book.samples):
            here = passes @ self.packets(book, sample).astype(np.float64)
            loads += here / book.samples
            bits += passes @ self.packets(book, sample, bits=True).astype(np.float64) / book.samples
            peak = np.maximum(peak, here.max(axis=1, initial=0).astype(np.int64))
        used = [(link, i) for link, i in numbers.items() if peak[i]]
        return (
            {k: loads[i] for k, i in used},
            {k: bits[i] for k, i in used},
            {k: int(peak[i]) for k, i in used},
        )

    def flows(self, book: Book) -> Flows:
        """Those of the pairs that exchange anything."""
        packets = sum(self.packets(book, sample) for sample in range(book.samples))
        packets = np.asarray(packets, dtype=np.float32) / np.float32(max(book.samples, 1))
        used, position = packets.any(axis=1), [*range(book.host), -1]
        reached = [
            (position[source], [position[target] for target in targets])
            for source, targets in compress(self.ends, used.tolist())
        ]
        spans = self._spans(book)[used].astype(np.float32)
        return Flows.of(reached, packets[used], spans, Topology.of(book.target).multicast)

    def _spans(self, book: Book) -> Array:
        """First and last place, in the order of what a sender can send, of what goes to the receiver."""
        places, spans = _places(book), np.zeros((len(self.ends), 2), dtype=np.int64)
        spans[:, 0] = np.iinfo(np.int64).max
        for flow, numbers in zip(book.flows, self.numbers, strict=True):
            owner = book.owner[flow.value][flow.elements]
            number = np.zeros(book.host + 1, dtype=np.int64)
            number[flow.senders] = numbers
            place = places[flow.value, flow.axis][flow.elements]
            np.minimum.at(spans[:, 0], number[owner], place)
            np.maximum.at(spans[:, 1], number[owner], place)
        return spans


def multicast(book: Book) -> list[Packets]:
    """The flows of a book by what the same cores take in, so that each message is one packet."""
    together = defaultdict[tuple[str, int], list[Packets]](list)
    for flow in book.flows:
        together[flow.value, flow.axis].append(flow)
    found = []
    for (value, axis), flows in together.items():
        label, sets = np.zeros(len(book.owner[value]), dtype=np.int64), list[tuple[int, ...]]([()])
        for flow in flows:
            before, new = np.unique(label[flow.elements], return_inverse=True)
            label[flow.elements] = len(sets) + new.reshape(-1)
            sets += [(*sets[number], *flow.targets) for number in before.tolist()]
        for number in np.unique(label[label > 0]).tolist():
            elements, targets = np.flatnonzero(label == number), tuple(sorted(sets[number]))
            found.append(replace(book.grouped(value, elements), targets=targets, axis=axis))
    return found


def _places(book: Book) -> dict[tuple[str, int], Array]:
    """Where each element that a core sends along a channel axis stands among all that its programs can send."""
    needed: dict[tuple[str, int], Array] = {}
    for flow in book.flows:
        size = len(book.owner[flow.value])
        needed.setdefault((flow.value, flow.axis), np.zeros(size, dtype=bool))[flow.elements] = True
    places = {key: np.zeros(len(mask), dtype=np.int64) for key, mask in needed.items()}
    off = [{name: np.arange(len(book.owner[name])) for name, _ in needed if name in book.outside}]
    everywhere = [[piece.elements for piece in core.pieces] for core in book.mapping.cores] + [off]
    for position, pieces in enumerate(everywhere):
        free = 0
        for elements in pieces:
            for value, axis in (key for key in needed if key[0] in elements):
                flat = np.asarray(elements[value], dtype=np.int64)
                mine = flat[book.owner[value][flat] == position]
                for sent in _in_order(book, value, mine):
                    if needed[value, axis][sent].any():
                        places[value, axis][sent[:, mixed(sent.shape[1])]] = free + np.arange(sent.shape[1])
                        free += sent.shape[1]
    return places


def _in_order(book: Book, value: str, mine: Array) -> list[Array]:
    """What a core sends at once, (turns, elements): turn after turn has the same places, but for the host's."""
    turn = book.turns.turn(value)
    if turn is None or not len(mine):
        return [mine[None]]
    if value in book.outside:
        return [mine[turn[mine] == number][None] for number in np.unique(turn[mine]).tolist()]
    return [Part.of(book.graph.nodes[value], mine, turn).shown]


def _hops(path: list[Link]) -> tuple[int, int]:
    """Router-to-router hops along x and y inside chips."""
    mesh = [link for link in path if link.kind == "mesh"]
    along_x = sum(link.start.x != link.end.x for link in mesh)
    return along_x, len(mesh) - along_x
