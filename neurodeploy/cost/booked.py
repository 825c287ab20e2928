"""What every core does in every step, counted from mapping and values on the edges: no image, no simulated core.

The elements that live on every core, and those that it needs of other populations as the mapper accounts for them
(:mod:`..mapping.reads`), are met with the non-zero values of a recorded run. What the simulated cores count from their
images must agree, core by core and step by step: this is the second book of :class:`..ir.trace.Events`, and the only
one where a network is too large to simulate whole.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator
from functools import cached_property
from typing import Any

import numpy as np

from ..array import Array
from ..ir import interp
from ..ir.graph import Graph
from ..ir.nodes import Delay, Neuron, Node, Output, Product, Reduce, Synapse
from ..ir.trace import EVENT_KINDS, Events, Flows, Trace
from ..mapping.demand import delay_bits, longest_wait, weight_bits
from ..mapping.lookups import words_read
from ..mapping.reads import channel_axes, elsewhere, reads
from ..mapping.regions import region
from ..mapping.traffic import packet_bits
from ..mapping.types import Core, Mapping
from ..passes.balance import constants, crosses, depths, host
from ..target import Target
from .flows import Packets, Pairs
from .messages import origins
from .work import MET, PROGRAMS, nothing, under

READERS = (Synapse, Product, Reduce, Delay)
KIND = {kind: i for i, kind in enumerate(EVENT_KINDS)}
#: what nodes of a core read of a value, by its channel axis: an axon has one, so along two it arrives twice
_Taken = dict[tuple[str, int], list[tuple[str, Array]]]


def names(graph: Graph) -> tuple[str, ...]:
    """The values that a trace must record for :func:`booked`."""
    read = [name for node in graph if crosses(node) or isinstance(node, Output) for name in node.inputs]
    wanted, still = dict.fromkeys([*read, *(node.name for node in graph.of(Neuron))]), constants(graph)
    return tuple(name for name in wanted if name not in still)


def booked(graph: Graph, mapping: Mapping, trace: Trace, target: Target) -> Events:
    """Events from recorded values (T, B, *shape); :func:`names` says which are needed.

    Where nodes of one core read the same value, its packets count for one of them: the last synapse, or else the first
    of all others.
    """
    book = Book(graph, mapping, trace, target)
    for position, core in enumerate(mapping.cores):
        book.core(position, core)
    book.read_out()
    book.spoken(range(len(mapping.cores)))
    return book.events()


def alone(
    graph: Graph, mapping: Mapping, trace: Trace, target: Target, positions: Collection[int]
) -> dict[int, Array]:
    """Counts (samples, steps, kinds) of the cores at some positions, without what depends on where their packets go."""
    book = Book(graph, mapping, trace, target)
    for position in positions:
        book.core(position, mapping.cores[position])
    book.spoken(frozenset(positions))
    return {position: book.counts[:, position] for position in positions}


class Book:
    """Counts under way. Counted values are (elements, samples, ticks)."""

    def __init__(self, graph: Graph, mapping: Mapping, trace: Trace, target: Target) -> None:
        self.graph, self.mapping, self.trace, self.target = graph, mapping, trace, target
        self.ticks, self.samples = trace.outputs.shape[:2]
        self.level, self.still, self.outside = depths(graph), constants(graph), host(graph)
        self.channels, self.order = channel_axes(graph), {name: i for i, name in enumerate(graph.nodes)}
        self.host = len(mapping.cores)
        self.steps = self.ticks + mapping.depth
        shape = self.samples, len(mapping.cores), self.steps, len(EVENT_KINDS)
        self.counts = np.zeros(shape, dtype=np.int64)
        self.by_node = defaultdict[tuple[str, int], Array](lambda: np.zeros(len(EVENT_KINDS)))
        self.known: dict[str, Array] = {}
        self.meetings: dict[str, Array] = {}
        self.arrivals: dict[tuple[Any, ...], tuple[Array, Array, Array]] = {}
        self.flows: list[Packets] = []

    # --- values

    def active(self, name: str) -> Array:
        """Where a value is not zero, (elements, samples, ticks), 8 bits each."""
        if name not in self.known:
            node = self.graph.nodes[name]
            if name in self.still:
                whole = np.broadcast_to(self._constant(name), self.graph.shape(name)).ravel() != 0
                shape = (*whole.shape, self.samples, self.ticks)
                self.known[name] = np.broadcast_to(whole[:, None, None], shape).astype(np.uint8)
            else:
                source = node.inputs[0] if isinstance(node, Output) else name
                self.known[name] = self._flat(self.trace.values[source] != 0).astype(np.uint8)
        return self.known[name]

    def values(self, name: str) -> Array:
        """A value itself, (T, B, *shape)."""
        if name in self.still:
            return np.broadcast_to(self._constant(name), (self.ticks, self.samples, *self.graph.shape(name)))
        return self.trace.values[name]

    def _constant(self, name: str) -> Array:
        node = self.graph.nodes[name]
        args = [self._constant(source) for source in node.inputs]
        found: Array = interp.MEANING[type(node)](node, [a[None] for a in args], None)[0]
        return found

    def _flat(self, values: Array) -> Array:
        """(T, B, *shape) as (elements, samples, ticks)."""
        flat = values.reshape(*values.shape[:2], -1)
        moved: Array = np.ascontiguousarray(np.moveaxis(flat, (0, 1), (2, 1)))
        return moved

    @cached_property
    def owner(self) -> dict[str, Array]:
        """For each element of each value the first core that hosts it; what lives off the chip is the host's."""
        size = {name: value.shape.size for name, value in self.graph.values.items() if name not in self.still}
        table = {
            name: np.full(count, self.host if name in self.outside else -1) for name, count in size.items()
        }
        for position in reversed(range(self.host)):
            for piece in self.mapping.cores[position].pieces:
                for name, flat in piece.elements.items():
                    if name in table and name not in self.outside:
                        table[name][flat] = position
        return table

    @cached_property
    def sources(self) -> tuple[dict[str, Array], Array]:
        """As :func:`.messages.origins`."""
        return origins(self.graph)

    def origin(self, value: str, elements: Array) -> Array:
        """The places, in the order of the graph, of the nodes that elements come from."""
        found, nodes = self.sources
        places: Array = nodes[found[value][elements]]
        return places

    def met(self, node: Node, flat: Array) -> Array:
        """What some elements of a node meet together in every tick, (samples, ticks)."""
        if node.name not in self.meetings:
            self.meetings[node.name] = self._flat(MET[type(node)](self, node))
        found: Array = self.meetings[node.name][flat].sum(axis=0, dtype=np.int64)
        return found

    def indicator(self, name: str) -> Array:
        """Ones where a value is not zero, (T, B, *shape)."""
        values = np.moveaxis(self.active(name), (2, 1), (0, 1)).astype(np.float32)
        return values.reshape(self.ticks, self.samples, *self.graph.shape(name))

    # --- cores

    def add(self, name: str, position: int, kind: str, amounts: Any, level: int) -> None:
        """Amounts of every tick of what runs, or is sent, at that level."""
        amounts, column = np.broadcast_to(amounts, (self.samples, self.ticks)), KIND[kind]
        self.counts[:, position, level : level + self.ticks, column] += amounts
        self.by_node[name, position][column] += int(amounts.sum())

    def core(self, position: int, core: Core) -> None:
        """All that a core does but for what it sends."""
        taken: _Taken = {}
        for piece in core.pieces:
            for name in sorted(piece.elements, key=self.order.__getitem__):
                node, flat = self.graph.nodes[name], np.asarray(piece.elements[name], dtype=np.int64)
                if len(flat) and name not in self.still and name not in self.outside:
                    arrived = self._reads(position, node, flat, taken)
                    program = PROGRAMS.get(type(node), nothing)(self, node, flat, arrived)
                    for kind, amounts in program.items():
                        self.add(name, position, kind, amounts, self.level[name])
                    if isinstance(node, Neuron):
                        own = flat[self.owner[name][flat] == position]
                        spikes = self.active(name)[own].sum(axis=0, dtype=np.int64)
                        self.add(name, position, "spikes", spikes, self.level[name])
        for (value, _), parts in taken.items():
            self._take(position, value, parts)

    def _reads(self, position: int, node: Node, flat: Array, taken: _Taken) -> list[Array]:
        """Messages that arrive for a node on a core by operand, (samples, ticks); notes what they set off there."""
        if not isinstance(node, READERS):
            return []
        out, found = region(flat, self.graph.shape(node.name)), []
        for read in reads(self.graph, node, out, self.channels):
            source, indices = read.source, read.region.indices
            if source in self.still:
                found.append(self.active(source)[indices].sum(axis=0, dtype=np.int64))
                continue
            level = self.level[source]
            found.append(self._grouped(source, indices)[2].sum(axis=0))
            words = words_read(self.graph, node, out, read, self._stored(node), self.target)
            alike = len(words) and words.min() == words.max()
            done = words[0] * found[-1] if alike else np.tensordot(words, self.active(source)[indices], 1)
            self.add(node.name, position, "memory_reads", done, level)
            if isinstance(node, Synapse):
                self.add(node.name, position, "synaptic_ops", self.met(node, flat), level)
            last = len(self.graph.shape(source)) - 1
            dense = isinstance(node, Synapse) and node.op == "dense"
            axis = last if dense else self.channels.get(source, last)
            taken.setdefault((source, axis), []).append((node.name, under(self.graph, node, out, read)))
        return found

    def _stored(self, node: Node) -> int:
        """Bits of a stored weight with its delay."""
        if not isinstance(node, Synapse):
            return 0
        if node.name not in self.bits:
            width = self.target.limits.weight_bits.round_up(weight_bits(node.weight)) or 0
            self.bits[node.name] = width + delay_bits(longest_wait(self.graph, node), self.target)
        return self.bits[node.name]

    @cached_property
    def bits(self) -> dict[str, int]:
        """What :meth:`_stored` has found."""
        return {}

    def _take(self, position: int, value: str, parts: list[tuple[str, Array]]) -> None:
        """Packets of a value that a core takes in."""
        if len(parts) == 1:
            ((name, elements),) = parts
            packets = self._flow(position, value, elements).packets.sum(axis=0)
            return self.add(name, position, "packets_in", packets, self.level[value])
        elements = np.unique(np.concatenate([indices for _, indices in parts]))
        self._flow(position, value, elements)
        synapses = [p for p in parts if isinstance(self.graph.nodes[p[0]], Synapse)]
        others = [p for p in parts if not isinstance(self.graph.nodes[p[0]], Synapse)]
        reader = np.zeros(len(elements), dtype=np.int64)
        ranked = [*synapses, *reversed(others)]
        for number, (_, indices) in enumerate(ranked):
            reader[np.searchsorted(elements, indices)] = number
        here = self.active(value)[elements]
        for number, (name, _) in enumerate(ranked):
            packets = here[reader == number].sum(axis=0, dtype=np.int64)
            self.add(name, position, "packets_in", packets, self.level[value])

    def _flow(self, target: int, value: str, elements: Array) -> Packets:
        self.flows.append(Packets(value, target, *self._grouped(value, elements), elements))
        return self.flows[-1]

    def _grouped(self, value: str, elements: Array) -> tuple[Array, Array, Array]:
        """Non-zero values among some elements by (core that hosts them, node that they come from)."""
        key = value, elements.tobytes()  # cores that have other channels of a layer read the same
        if key not in self.arrivals:
            self.arrivals[key] = self._groups(value, elements)
        return self.arrivals[key]

    def _groups(self, value: str, elements: Array) -> tuple[Array, Array, Array]:
        owner, origin = self.owner[value][elements], self.origin(value, elements)
        order = np.lexsort((origin, owner))
        cuts = np.flatnonzero(np.diff(owner[order] * len(self.order) + origin[order], prepend=-1))
        here = self.active(value)[elements[order]].astype(np.int32)
        packets = np.add.reduceat(here, cuts, axis=0) if len(cuts) else here
        return owner[order][cuts], origin[order][cuts], packets

    def spoken(self, positions: Collection[int]) -> None:
        """Non-zero values that populations without neurons give off on some cores, each once."""
        found, nodes = self.sources
        silent = [isinstance(node, Neuron) or node.name in self.outside for node in self.graph]
        said, named = np.array(silent)[nodes], list(self.order)
        for value, read in elsewhere(self.graph).items():
            new = np.flatnonzero(read & ~said[found[value]]) if value not in self.still else np.zeros(0, int)
            new = new[np.unique(found[value][new], return_index=True)[1]]  # a View may show an element twice
            said[found[value][new]] = True
            for position, origin, spikes in zip(*self._groups(value, new), strict=True) if len(new) else ():
                if position in positions:
                    self.add(named[origin], int(position), "spikes", spikes, self.level[value])

    def read_out(self) -> None:
        """What the host takes in."""
        output = self.graph.output
        if output.name not in self.outside and output.inputs[0] not in self.outside:
            self._flow(self.host, output.name, np.arange(len(self.owner[output.name])))

    # --- the network

    def events(self) -> Events:
        """Everything counted, packets on their way included."""
        pairs = Pairs.of(self)
        for flow, numbers in zip(self.flows, pairs.numbers, strict=True):
            self._send(flow, numbers, pairs)
        loads, bits, peak = pairs.links(self)
        by_core = {key: value / self.samples for key, value in self.by_node.items() if value.any()}
        by_node: dict[str, Array] = {}
        for (name, _), value in by_core.items():
            by_node[name] = by_node.get(name, 0) + value
        flows = Flows(*pairs.flows(self))
        return Events(self.samples, self.steps, self.counts, by_node, by_core, loads, bits, peak, flows=flows)

    def _send(self, flow: Packets, numbers: Array, pairs: Pairs) -> None:
        level, bits = self.level[flow.value], packet_bits(self.graph, flow.value, self.target)
        named = list(self.order)
        for sender, origin, packets, number in zip(
            flow.senders.tolist(), flow.origins.tolist(), flow.packets, numbers.tolist(), strict=True
        ):
            if sender != self.host and packets.any():
                along = pairs.hops[number]
                amounts = {"packets_out": 1, "message_bits": bits, "hops_x": along[0], "hops_y": along[1]}
                for kind, each in amounts.items():
                    self.add(named[origin], sender, kind, each * packets, level)


# --- the two books -------------------------------------------------------------------------------------------------


def disagreements(found: Events, counted: Events) -> Iterator[tuple[str, object, float, float]]:
    """(kind, place, counted here, counted by the cores) wherever two accounts of the same run differ.

    Places are (sample, position of the core, step), or links.
    """
    a, b = found.core_counts, counted.core_counts
    for place in map(tuple, np.argwhere(a != b).tolist()):
        yield EVENT_KINDS[place[-1]], place[:-1], int(a[place]), int(b[place])
    none = np.zeros(found.steps)
    for name in ("links", "link_bits"):
        ours, theirs = getattr(found, name), getattr(counted, name)
        for link in {**ours, **theirs}:
            here, there = ours.get(link, none), theirs.get(link, none)
            if not np.allclose(here, there):
                yield name, link, float(here.sum()), float(there.sum())
