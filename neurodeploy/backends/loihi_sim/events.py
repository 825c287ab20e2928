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

from collections import Counter
from itertools import compress
from typing import Any

import numpy as np

from ...array import Array
from ...ir.trace import EVENT_KINDS, Events, Flows
from .ledgers import KIND, Ledger
from .network import Network


class Recorder:
    """Collects the events of a run and how often a node's values were clipped, batch after batch of samples."""

    def __init__(self, steps: int, samples: int, network: Network) -> None:
        self.steps, self.samples, self.network = steps, samples, network
        # Samples last: what is counted at a time lies side by side.
        self.counts = np.zeros((steps, len(EVENT_KINDS), len(network.row), samples), dtype=np.int64)
        self.by_cell = np.zeros((len(network.cells), len(EVENT_KINDS)), dtype=np.int64)
        self.saturations: Counter[str] = Counter()
        self.links, self.matrix = network.links()
        self.loads = np.zeros((len(self.links), steps), dtype=np.int64)
        self.peak = np.zeros(len(self.links), dtype=np.int64)
        # Packets of all samples; they are integers, and 32 bits keep each of them up to 16 million.
        self.exchanged = np.zeros((len(network.pairs), steps), dtype=np.float32)
        self.batch = slice(0, 0)
        self.load_bits = np.zeros((len(self.links), steps), dtype=np.int64)
        self.flows = np.zeros((len(network.pairs), 0), dtype=np.int64)
        self.bits = self.flows

    def begin(self, start: int, size: int) -> None:
        """Samples ``start`` .. ``start + size - 1`` follow."""
        self.batch = slice(start, start + size)

    def begin_step(self) -> None:
        """No packet has been sent in this step."""
        self.flows, self.bits = np.zeros((2, len(self.network.pairs), self.size), dtype=np.int64)

    @property
    def size(self) -> int:
        """Samples that run."""
        return self.batch.stop - self.batch.start

    def add(self, rows: slice | Array, cells: Array, step: int, kind: str, amounts: Any) -> None:
        """Of one node on several cores: one number for each of them, or (cores, samples)."""
        if step > self.steps:
            return
        column = KIND[kind]
        self.counts[step - 1, column, rows, self.batch] += amounts
        self.by_cell[cells, column] += np.sum(amounts, axis=-1) if np.ndim(amounts) else amounts * self.size

    def heard(self, step: int, ledger: Ledger, vector: Array) -> None:
        """What a vector causes that leaves its cores, (elements, samples)."""
        if step > self.steps:
            return
        rows = ledger.rows(vector)
        self.counts[step - 1, ledger.spots[0], ledger.spots[1], self.batch] += ledger.by_spot @ rows
        self.by_cell[ledger.cells[0], ledger.cells[1]] += ledger.by_cell @ rows.sum(axis=1)
        self.flows[ledger.pairs] += ledger.flows @ rows
        self.bits[ledger.pairs] += ledger.bits @ rows

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
        cells = self.network.cells.items()
        counted = {cell: self.by_cell[number] for cell, number in cells if self.by_cell[number].any()}
        summed: dict[str, Array] = {}
        for (node, _), value in counted.items():
            summed[node] = summed.get(node, 0) + value
        by_core = {cell: value / n for cell, value in counted.items()}
        by_node = {node: value / n for node, value in summed.items()}
        used = np.flatnonzero(self.peak).tolist()
        loads, bits = ({self.links[i]: table[i] / n for i in used} for table in (self.loads, self.load_bits))
        peaks = {self.links[i]: int(self.peak[i]) for i in used}
        flows = self._flows(n)
        return Events(
            self.samples,
            self.steps,
            self.counts.transpose(3, 2, 0, 1),
            by_node,
            by_core,
            loads,
            bits,
            peaks,
            flows=flows,
        )

    def _flows(self, samples: int) -> Flows:
        """Pairs that exchanged anything, as positions of cores, mean over ``samples``."""
        position = np.full(len(self.network.images), -1)  # an image without a row is the host's
        position[list(self.network.row)] = list(self.network.row.values())
        used = self.exchanged.any(axis=1)
        reached = [
            (int(position[source]), position[[*targets]].tolist())
            for source, targets in compress(self.network.pairs, used.tolist())
        ]
        spans = np.array([self.network.spans.get(n, (0, 0)) for n in np.flatnonzero(used).tolist()])
        packets = self.exchanged[used] / np.float32(samples)
        places = spans.reshape(-1, 2).astype(np.float32)
        return Flows.of(reached, packets, places, self.network.topology.multicast)
