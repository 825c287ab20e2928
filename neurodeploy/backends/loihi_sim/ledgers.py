"""What messages cause, written down once for each vector that leaves its cores: counting is then a matrix product."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
from scipy.sparse import csr_array

from ...array import Array
from ...image import EVERY, Export, Instruction, Receiver, origins
from ...ir.trace import EVENT_KINDS
from .contract import exact
from .network import Network

KIND = {name: i for i, name in enumerate(EVENT_KINDS)}


@dataclass(frozen=True, eq=False)
class Ledger:
    """What the elements of one vector cause where they are not zero, as matrices.

    ``table`` (cores, rows, elements): how much an active element adds to each row of its core. Rows of all cores add up
    to ``cells`` (cell, kind) by ``by_cell``, to ``spots`` (kind, core) of the counts by ``by_spot``, to packets of
    ``pairs`` by ``flows`` and to their bits by ``bits``.
    """

    instruction: int
    table: Array
    cells: Array
    by_cell: csr_array
    spots: Array
    by_spot: csr_array
    pairs: Array
    flows: csr_array
    bits: csr_array

    def rows(self, vector: Array) -> Array:
        """(cores * elements, samples) -> the rows of all cores, (rows, samples), int64."""
        active = (vector != 0).astype(self.table.dtype).reshape(len(self.table), -1, vector.shape[1])
        counted: Array = np.matmul(self.table, active).astype(np.int64)
        return counted.reshape(-1, vector.shape[1])


@dataclass(frozen=True)
class Cause:
    """What a row counts: ``kind`` on the core of image ``site``, for a node; or packets that leave it in a ``pair``."""

    node: str
    site: int
    kind: str
    pair: int = -1
    bits: int = 0
    hops: tuple[int, int] = (0, 0)

    @property
    def counts(self) -> dict[str, int]:
        """Event kinds, and how much each unit of the row is worth."""
        if self.pair < 0:
            return {self.kind: 1}
        return {self.kind: 1, "message_bits": self.bits, "hops_x": self.hops[0], "hops_y": self.hops[1]}


Rows = dict[Cause, Array]  # what each element of a vector adds to each cause


@dataclass(frozen=True, eq=False)
class Bookkeeper:
    """Writes the ledgers of a stack: of each of its cores the image, the number of the unit, and what it exports."""

    network: Network
    receivers: Sequence[Receiver]
    sites: Sequence[int]
    units: Sequence[int]
    exports: Sequence[Sequence[Export]]

    @cached_property
    def origins(self) -> list[list[tuple[Array, Array]]]:
        """By core and instruction where its elements come from."""
        return [origins(self.network.images[s], u) for s, u in zip(self.sites, self.units, strict=True)]

    @cached_property
    def program(self) -> Sequence[Instruction]:
        """Instructions, for their names and sizes."""
        return self.network.images[self.sites[0]].units[self.units[0]].program

    def ledgers(self, runs: Sequence[Sequence[bool]]) -> tuple[tuple[Ledger, ...], ...]:
        """By turn what is counted of vectors; ``runs``: by turn which instructions do anything."""
        sent = {
            when: tuple(self._each(self._sent, partial(_due, (when,), None)))
            for when in (EVERY, *range(len(runs)))
        }
        spoken: dict[str, tuple[Ledger, ...]] = {}
        found = []
        for turn, here in enumerate(runs):
            leaves = partial(_due, (EVERY, turn), here)
            key = str([[(e.instruction, e.when) for e in every if leaves(e)] for every in self.exports])
            if key not in spoken:
                spoken[key] = tuple(self._each(self._spoken, leaves))
            found.append((*sent[EVERY], *sent[turn], *spoken[key]))
        return tuple(found)

    def _each(
        self,
        rows: Callable[[int, Sequence[Export]], Iterable[tuple[int, Cause, Array, Array]]],
        chosen: Callable[[Export], bool],
    ) -> Iterator[Ledger]:
        """A ledger for each instruction, of what ``rows`` says of the chosen exports of each core."""
        every = defaultdict[int, list[Rows]](lambda: [{} for _ in self.sites])
        for core, exports in enumerate(self.exports):
            for instruction, cause, elements, amounts in rows(core, [e for e in exports if chosen(e)]):
                zero = np.zeros(self.program[instruction].size)
                np.add.at(every[instruction][core].setdefault(cause, zero), elements, amounts)
        yield from (self._joined(instruction, found) for instruction, found in every.items())

    def _sent(self, core: int, exports: Sequence[Export]) -> Iterator[tuple[int, Cause, Array, Array]]:
        """What messages cause: for the node their elements come from, and for the nodes that read them."""
        site, network = self.sites[core], self.network
        for export in exports:
            number, _ = self.origins[core][export.instruction]
            for targets, elements in network.packets(export):
                pair, hops = network.pair(site, targets), network.hops(site, targets)
                for origin in np.unique(number[elements]).tolist():
                    node = self.program[origin].node or self.program[export.instruction].node
                    cause = Cause(node, site, "packets_out", pair, export.bits, hops)
                    yield export.instruction, cause, elements, number[elements] == origin
            for bundle in export.bundles:
                if bundle.target in network.row:
                    for cause, amounts in self._met(bundle.target, bundle.slots):
                        yield export.instruction, cause, bundle.elements, amounts

    def _met(self, target: int, slots: Array) -> Iterator[tuple[Cause, Array]]:
        """What messages into slots of a core cause there."""
        plan = self.receivers[target]
        for number, node in enumerate(plan.nodes):
            yield Cause(node, target, "packets_in"), plan.reader[slots] == number
            yield Cause(node, target, "synaptic_ops"), plan.fan_out[number, slots]
            yield Cause(node, target, "memory_reads"), plan.words[number, slots]

    def _spoken(self, core: int, exports: Sequence[Export]) -> Iterator[tuple[int, Cause, Array, Array]]:
        """Elements that leave the core, at their origin, each once; neuron populations are counted where they fire."""
        found: dict[int, list[Array]] = {}
        for export in exports if self.sites[core] in self.network.row else ():
            number, element = self.origins[core][export.instruction]
            for bundle in export.bundles:
                for origin in np.unique(number[bundle.elements]).tolist():
                    mine = bundle.elements[number[bundle.elements] == origin]
                    found.setdefault(origin, []).append(element[mine])
        for origin, parts in found.items():
            if self.program[origin].op != "neuron":
                elements = np.unique(np.concatenate(parts))
                yield (
                    origin,
                    Cause(self.program[origin].node, self.sites[core], "spikes"),
                    elements,
                    np.ones(len(elements)),
                )

    def _joined(self, instruction: int, every: Sequence[Rows]) -> Ledger:
        """The rows of all cores in one table, and what they add up to."""
        every = [{cause: row for cause, row in rows.items() if row.any()} for rows in every]
        most = max(map(len, every))
        table = np.zeros((len(every), most, self.program[instruction].size))
        counts, flows = list[tuple[int, ...]](), list[tuple[int, ...]]()
        for core, rows in enumerate(every):
            for place, (cause, row) in enumerate(rows.items()):
                table[core, place] = row
                line = core * most + place
                for kind, worth in cause.counts.items() if cause.site in self.network.row else ():
                    cell = self.network.cell(cause.node, cause.site)
                    counts.append((line, worth, KIND[kind], self.network.row[cause.site], cell))
                if cause.pair >= 0:
                    flows.append((line, cause.bits, cause.pair))
        kind, lines = exact(float(table.sum(axis=2).max(initial=0))), len(every) * most
        line, worth, column, row, cell = np.array(counts, dtype=np.int64).reshape(-1, 5).T
        cells, by_cell = _sums(np.stack([cell, column]), line, worth, lines)
        spots, by_spot = _sums(np.stack([column, row]), line, worth, lines)
        line, bits, pair = np.array(flows, dtype=np.int64).reshape(-1, 3).T
        (pairs,), by_pair = _sums(pair[None], line, np.ones_like(line), lines)
        _, in_bits = _sums(pair[None], line, bits, lines)
        return Ledger(
            instruction, table.astype(kind), cells, by_cell, spots, by_spot, pairs, by_pair, in_bits
        )


def _sums(into: Array, line: Array, worth: Array, lines: int) -> tuple[Array, csr_array]:
    """What different things (columns of ``into``) there are, and the matrix (things, lines) that adds them up."""
    things, which = np.unique(into, axis=1, return_inverse=True)
    return things, csr_array((worth, (which.ravel(), line)), shape=(things.shape[1], lines))


def _due(when: Sequence[int], runs: Sequence[bool] | None, export: Export) -> bool:
    """Whether a vector leaves in one of these turns, and its instruction runs."""
    return export.when in when and (runs is None or runs[export.instruction])
