"""Counts what cores do, per sample, core, step and node, and what crosses each link.

Besides the definitions of :data:`neurodeploy.ir.trace.EVENT_KINDS`: a neuron population's non-zero outputs are spikes
even where they only feed an adder of their own core; of other populations, the values that leave the core. A packet's
hops count for its sender, packets to the host included. ``state_accesses`` reads and writes one 64-bit word each: words
of a neuron beyond its first (which its update contains), P and Y of a product element, a held operand that a message
changes, running sums of a compensated operator, one word per element and tick of a delay line. ``reset_words`` are
written at tick 1 of a sample, and where neurons forget inside it: all words of a neuron and of what a product or an
operator keeps, one word per operand element on each core that holds it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from ...array import Array
from ...image import CoreImage, Export, origins
from ...ir.trace import EVENT_KINDS, Events, Flows, Link, Router
from ...mapping.routes import route
from ...mapping.topology import Topology

KIND = {name: i for i, name in enumerate(EVENT_KINDS)}


@dataclass(frozen=True, eq=False)
class Sender:
    """Messages of one export that come from one node: which elements go to which of ``pairs`` (core, core).

    ``goes`` (pairs, elements) is 1 where an element is sent; ``hops`` (2, pairs) along x and y; ``bits`` of a message.
    """

    node: str
    instruction: int
    bits: int
    when: int
    elements: Array
    goes: Array
    pairs: Array
    hops: Array


@dataclass(frozen=True, eq=False)
class Spoken:
    """Elements of a population that is no neuron and leaves the core."""

    node: str
    instruction: int
    elements: Array


@dataclass
class Network:
    """Links between routers and which (sender, receiver) pairs of images use them.

    ``spans``: first and last place in the order of what the sender can send, by pair; ``places``: how many of them an
    image has so far.
    """

    images: Sequence[CoreImage]
    topology: Topology
    pairs: dict[tuple[int, int], int] = field(default_factory=dict)
    spans: dict[int, tuple[int, int]] = field(default_factory=dict)
    places: Counter[int] = field(default_factory=Counter)

    def pair(self, source: int, target: int) -> int:
        """Number of a pair."""
        return self.pairs.setdefault((source, target), len(self.pairs))

    def order(self, export: Export, source: int) -> None:
        """Gives the elements of one export the next places of their sender, and widens the spans of its pairs."""
        start = self.places[source]
        self.places[source] += len(export.elements)
        for bundle in (b for b in export.bundles if len(b.elements)):
            place = start + export.turn(bundle.elements)
            found = self.spans.setdefault(self.pair(source, bundle.target), (int(place[0]), int(place[0])))
            span = min(found[0], int(place.min())), max(found[1], int(place.max()))
            self.spans[self.pair(source, bundle.target)] = span

    def path(self, source: int, target: int) -> list[Link]:
        """Links from one image to another; the host is the end of its own link."""
        a, b = (
            Router(image.chip, image.x, image.y) if image.chip >= 0 else None
            for image in (self.images[source], self.images[target])
        )
        return route(a, b, self.topology)

    def links(self) -> tuple[list[Link], csr_array]:
        """All links, and the matrix (links, pairs) that is 1 where a pair's packets pass."""
        numbers: dict[Link, int] = {}
        rows, columns = [], []
        for (source, target), number in self.pairs.items():
            for link in self.path(source, target):
                rows.append(numbers.setdefault(link, len(numbers)))
                columns.append(number)
        ones = np.ones(len(rows), dtype=np.int64)
        return list(numbers), csr_array((ones, (rows, columns)), shape=(len(numbers), len(self.pairs)))

    def hops(self, source: int, target: int) -> tuple[int, int]:
        """Router-to-router hops along x and y inside chips; none for packets that the host sends."""
        mesh = [link for link in self.path(source, target) if link.kind == "mesh"]
        along_x = sum(link.start.x != link.end.x for link in mesh)
        return along_x, len(mesh) - along_x


def senders(network: Network, source: int, export: Export) -> list[Sender]:
    """What one export sends, by the node its elements come from."""
    image = network.images[source]
    program = image.units[export.unit].program
    elements = np.unique(np.concatenate([np.zeros(0, np.int64), *(b.elements for b in export.bundles)]))
    network.order(export, source)
    goes = np.zeros((len(export.bundles), len(elements)))
    for row, bundle in enumerate(export.bundles):
        np.add.at(goes[row], np.searchsorted(elements, bundle.elements), 1)
    pairs = np.array([network.pair(source, b.target) for b in export.bundles], dtype=np.int64)
    hops = np.array([network.hops(source, b.target) for b in export.bundles]).reshape(-1, 2).T
    origin = origins(image, export.unit)[export.instruction][0][elements]
    found = []
    for number in np.unique(origin).tolist():
        mine = origin == number
        node = program[number].node or program[export.instruction].node
        found.append(
            Sender(
                node, export.instruction, export.bits, export.when, elements[mine], goes[:, mine], pairs, hops
            )
        )
    return found


def spoken(image: CoreImage, unit: int, exports: Sequence[Export]) -> list[Spoken]:
    """Elements that leave the core, at their origin, each once; neuron populations are counted where they fire."""
    program, table = image.units[unit].program, origins(image, unit)
    sent: dict[int, list[Array]] = {}
    for export in exports:
        number, element = table[export.instruction]
        for bundle in export.bundles:
            for origin in np.unique(number[bundle.elements]).tolist():
                mine = bundle.elements[number[bundle.elements] == origin]
                sent.setdefault(origin, []).append(element[mine])
    quiet = {n: np.unique(np.concatenate(parts)) for n, parts in sent.items() if program[n].op != "neuron"}
    return [Spoken(program[n].node, n, elements) for n, elements in quiet.items()]


class Recorder:
    """Collects the events of a run and how often a node's values were clipped, batch after batch of samples."""

    def __init__(self, cores: Sequence[int], steps: int, samples: int, network: Network) -> None:
        self.cores, self.steps, self.samples, self.network = cores, steps, samples, network
        self.row = {site: i for i, site in enumerate(cores)}
        self.counts = np.zeros((samples, len(cores), steps, len(EVENT_KINDS)), dtype=np.int64)
        self.by_node = defaultdict[tuple[str, int], Array](lambda: np.zeros(len(EVENT_KINDS), dtype=np.int64))
        self.saturations: Counter[str] = Counter()
        self.links, self.matrix = network.links()
        self.loads = np.zeros((len(self.links), steps), dtype=np.int64)
        self.peak = np.zeros(len(self.links), dtype=np.int64)
        # Packets of all samples; they are integers, and 32 bits keep each of them up to 16 million.
        self.exchanged = np.zeros((len(network.pairs), steps), dtype=np.float32)
        self.start, self.size = 0, 0
        self.load_bits = np.zeros((len(self.links), steps), dtype=np.int64)
        self.flows = np.zeros((len(network.pairs), 0), dtype=np.int64)
        self.bits = self.flows

    def begin(self, start: int, size: int) -> None:
        """Samples ``start`` .. ``start + size - 1`` follow."""
        self.start, self.size = start, size

    def begin_step(self) -> None:
        """No packet has been sent in this step."""
        self.flows, self.bits = np.zeros((2, len(self.network.pairs), self.size), dtype=np.int64)

    def add(self, site: int, step: int, node: str, kind: str, amount: Any) -> None:
        """``amount``: one number, or one per sample."""
        if site not in self.row or step > self.steps:
            return
        amount = np.broadcast_to(amount, self.size)
        row, column = self.row[site], KIND[kind]
        self.counts[self.start : self.start + self.size, row, step - 1, column] += amount
        self.by_node[node, row][column] += int(amount.sum())

    def sent(self, site: int, step: int, sender: Sender, values: Array) -> None:
        """Packets of one sender: ``values`` (its elements, samples) before silent ones are dropped."""
        flows = (sender.goes @ (values != 0).astype(np.float64)).astype(np.int64)
        np.add.at(self.flows, sender.pairs, flows)
        np.add.at(self.bits, sender.pairs, sender.bits * flows)
        self.add(site, step, sender.node, "packets_out", flows.sum(axis=0))
        self.add(site, step, sender.node, "message_bits", sender.bits * flows.sum(axis=0))
        self.add(site, step, sender.node, "hops_x", sender.hops[0] @ flows)
        self.add(site, step, sender.node, "hops_y", sender.hops[1] @ flows)

    def end_step(self, step: int) -> None:
        """Adds the step's packets to their pairs and to the links they pass."""
        if step <= self.steps:
            self.exchanged[:, step - 1] += self.flows.sum(axis=1)
        if step <= self.steps and len(self.links):
            loads = self.matrix @ self.flows
            self.loads[:, step - 1] += loads.sum(axis=1)
            self.load_bits[:, step - 1] += (self.matrix @ self.bits).sum(axis=1)
            self.peak = np.maximum(self.peak, loads.max(axis=1, initial=0))

    def events(self) -> Events:
        """Everything counted; per-node and per-link counts are means over samples."""
        n = max(self.samples, 1)
        by_core = {key: value / n for key, value in self.by_node.items()}
        by_node: dict[str, Array] = {}
        for (node, _), value in by_core.items():
            by_node[node] = by_node.get(node, 0) + value
        used = np.flatnonzero(self.peak).tolist()
        loads, bits = ({self.links[i]: table[i] / n for i in used} for table in (self.loads, self.load_bits))
        peaks = {self.links[i]: int(self.peak[i]) for i in used}
        flows = self._flows(n)
        return Events(
            self.samples, self.steps, self.counts, by_node, by_core, loads, bits, peaks, flows=flows
        )

    def _flows(self, samples: int) -> Flows:
        """Pairs that exchanged anything, as positions of cores, mean over ``samples``."""
        sites = np.array([*self.network.pairs], dtype=np.int64).reshape(-1, 2)
        position = np.full(len(self.network.images), -1)  # an image without a row is the host's
        position[list(self.row)] = list(self.row.values())
        used = self.exchanged.any(axis=1)
        spans = np.array([self.network.spans.get(n, (0, 0)) for n in np.flatnonzero(used).tolist()])
        packets = self.exchanged[used] / np.float32(samples)
        return Flows(position[sites[used]], packets, spans.reshape(-1, 2).astype(np.float32))
