"""What cores take in, counted from the mapping and the values on the edges: no image, no simulated core.

The elements that every core needs of other populations, as the mapper accounts for them (:mod:`..mapping.reads`), are
met with the non-zero values of a recorded run. What the simulated cores count from their images must agree.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from ..array import Array
from ..ir.graph import Graph
from ..ir.nodes import Delay, Node, Output, Product, Reduce, Synapse
from ..ir.trace import Events, Trace
from ..mapping.demand import delay_bits, longest_wait, weight_bits
from ..mapping.lookups import words_read
from ..mapping.reads import Read, channel_axes, fed, reads
from ..mapping.regions import Region, region
from ..mapping.traffic import packet_bits
from ..mapping.types import Core, Mapping
from ..passes.balance import constants, host, turns
from ..target import Target

READERS = (Synapse, Product, Reduce, Delay)


@dataclass(frozen=True)
class Received:
    """Means per inference: words of synapse memory by (node, position of the core), and what every core takes in.

    ``bits`` are those of messages between cores and to the host, ``packets`` by position of the receiving core include
    those from the host.
    """

    memory_reads: dict[tuple[str, int], float]
    packets: dict[int, float]
    bits: float


def names(graph: Graph) -> tuple[str, ...]:
    """The values that a trace must record for :func:`received`."""
    found = [name for node in graph if isinstance(node, (*READERS, Output)) for name in node.inputs]
    return tuple(dict.fromkeys(found))


def received(graph: Graph, mapping: Mapping, trace: Trace, target: Target) -> Received:
    """Counts from recorded values (T, B, *shape); :func:`names` says which are needed."""
    book = _Book(graph, target, trace)
    words: dict[tuple[str, int], float] = {}
    packets: dict[int, float] = {}
    bits = 0.0
    for position, core in enumerate(mapping.cores):
        taken: dict[tuple[str, int], Array] = {}
        for out, read in book.read_by(core):
            key = read.node, position
            words[key] = words.get(key, 0.0) + book.words(out, read)
            needed = taken.setdefault(
                book.key(read.source), np.zeros(len(book.active(read.source)), dtype=bool)
            )
            needed[read.region.indices] = True
        sent = {value: float(book.active(value)[needed].sum()) for (value, _), needed in taken.items()}
        packets[position] = sum(sent.values())
        bits += sum(book.bits(value) * count for value, count in sent.items() if value not in book.outside)
    (shown,) = graph.output.inputs
    if shown not in book.outside:
        bits += book.bits(shown) * float(book.active(shown).sum())
    return Received(words, packets, bits)


class _Book:
    """What is looked up again and again while cores are gone through."""

    def __init__(self, graph: Graph, target: Target, trace: Trace) -> None:
        self.graph, self.target, self.trace = graph, target, trace
        self.channels, self.still, self.outside = channel_axes(graph), constants(graph), host(graph)
        self.counted: dict[str, Array] = {}
        self.turns = turns(graph)

    def key(self, value: str) -> tuple[str, int]:
        """Messages of a value differ by the axis that travels in them."""
        return value, self.channels.get(value, -1)

    def active(self, value: str) -> Array:
        """How often each element of a value is not zero, mean per inference."""
        if value not in self.counted:
            seen = self.trace.values[value]
            self.counted[value] = (seen != 0).sum(axis=0).mean(axis=0).reshape(-1)
        return self.counted[value]

    def bits(self, value: str) -> int:
        """Bits of one message."""
        return packet_bits(self.graph, value, self.target)

    def words(self, out: Region, read: Read) -> float:
        """Words read for the messages that a node takes in."""
        node, stored = self.graph.nodes[read.node], 0
        if isinstance(node, Synapse):
            width = self.target.limits.weight_bits.round_up(weight_bits(node.weight)) or 0
            stored = width + delay_bits(longest_wait(self.graph, node), self.target)
        each = words_read(self.graph, node, out, read, stored, self.target)
        return float(self.active(read.source)[read.region.indices] @ each)

    def read_by(self, core: Core) -> Iterator[tuple[Region, Read]]:
        """What each receiving node on a core computes in a turn and reads for it; constants are no messages."""
        for piece in core.pieces:
            for name, flat in piece.elements.items():
                node = self.graph.nodes[name]
                for mine in self._by_turn(node, flat) if isinstance(node, READERS) and len(flat) else ():
                    out = region(mine, self.graph.shape(name))
                    for operand, read in enumerate(reads(self.graph, node, out, self.channels)):
                        if read.source not in self.still:
                            yield out, self._arriving(node, operand, read)

    def _arriving(self, node: Node, operand: int, read: Read) -> Read:
        """With what comes too where something is kept: a copy sends what it computes in all of its turns."""
        if not self.turns.kept(node, operand):
            sent = fed(self.graph, node, operand, read.region.indices)
            return (
                read
                if sent.all()
                else replace(read, region=region(read.region.indices[sent], read.region.shape))
            )
        flat = self.turns.arriving(read.source, read.region.indices)
        return replace(read, region=region(flat, read.region.shape))

    def _by_turn(self, node: Node, flat: Array) -> list[Array]:
        turn, flat = self.turns.turn(node.name), np.asarray(flat, dtype=np.int64)
        keeps = isinstance(node, Delay) and node.keeps
        return [flat] if turn is None or keeps else [flat[turn[flat] == n] for n in np.unique(turn[flat])]


def disagreements(counted: Received, events: Events) -> list[tuple[str, float, float]]:
    """(what, counted here, counted by the cores) wherever the two accounts differ."""
    column = events.kinds.index
    pairs: list[tuple[str, float, float]] = [("message_bits", counted.bits, events.total("message_bits"))]
    by_core = events.core_counts.sum(axis=2, dtype=np.float64).mean(axis=0)[:, column("packets_in")]
    pairs += [(f"packets_in {n}", counted.packets.get(n, 0.0), float(seen)) for n, seen in enumerate(by_core)]
    for key in {*counted.memory_reads, *events.node_core_counts}:
        seen = events.node_core_counts.get(key, np.zeros(len(events.kinds)))[column("memory_reads")]
        pairs.append((f"memory_reads {key}", counted.memory_reads.get(key, 0.0), float(seen)))
    return [pair for pair in pairs if abs(pair[1] - pair[2]) > 1e-6 * max(1.0, abs(pair[1]))]
