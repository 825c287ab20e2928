"""What every core does in every step, counted from mapping and values on the edges: no image, no simulated core.

The elements that live on every core, and those that it needs of other populations as the mapper accounts for them
(:mod:`..mapping.reads`), are met with the non-zero values of a recorded run, each in the turn of its token where tokens
take turns. What the simulated cores count from their images must agree, core by core and step by step: this is the
second book of :class:`..ir.trace.Events`, and the only one where a network is too large to simulate whole.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import replace
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
from ..mapping.reads import channel_axes, elsewhere, fed, reads
from ..mapping.regions import region
from ..mapping.topology import Topology
from ..mapping.traffic import packet_bits
from ..mapping.types import Core, Mapping
from ..mapping.windows import under
from ..passes.balance import constants, crosses, depths, host, turns
from ..target import Target
from .flows import Packets, Pairs, multicast
from .messages import origins
from .work import MET, PROGRAMS, Part, nothing

READERS = (Synapse, Product, Reduce, Delay)
KIND = {kind: i for i, kind in enumerate(EVENT_KINDS)}
#: counts of cores in steps that are in memory at once
MOST_COUNTED = 400_000_000
#: what nodes of a core read of a value, by its channel axis: an axon has one, so along two it arrives twice
_Taken = dict[tuple[str, int], list[tuple[str, Array]]]


def names(graph: Graph) -> tuple[str, ...]:
    """The values that a trace must record for :func:`booked`."""
    read = [name for node in graph if crosses(node) or isinstance(node, Output) for name in node.inputs]
    wanted, still = dict.fromkeys([*read, *(node.name for node in graph.of(Neuron))]), constants(graph)
    return tuple(name for name in wanted if name not in still)


def samples_at_once(graph: Graph, mapping: Mapping) -> int:
    """Samples whose counts of all cores in all steps fit memory."""
    return MOST_COUNTED // (
        max(len(mapping.cores), 1) * (graph.header.timesteps + mapping.depth) * len(EVENT_KINDS)
    )


def booked(graph: Graph, mapping: Mapping, trace: Trace, target: Target) -> Events:
    """Events from recorded values (T, B, *shape); :func:`names` says which are needed.

    Where nodes of one core read the same value, its packets count for one of them: the last synapse, or else the first
    of all others.
    """
    book = Book(graph, mapping, trace, target, range(len(mapping.cores)))
    for position, core in enumerate(mapping.cores):
        book.core(position, core)
    book.read_out()
    book.spoken()
    return book.events()


def alone(
    graph: Graph, mapping: Mapping, trace: Trace, target: Target, positions: Collection[int]
) -> dict[int, Array]:
    """Counts (samples, steps, kinds) of the cores at some positions, without what depends on where their packets go."""
    book = Book(graph, mapping, trace, target, positions)
    for position in positions:
        book.core(position, mapping.cores[position])
    book.spoken()
    return {position: book.counts[:, row] for position, row in book.row.items()}


class Book:
    """Counts under way, of the cores at some positions. Counted values are (elements, samples, ticks)."""

    def __init__(
        self, graph: Graph, mapping: Mapping, trace: Trace, target: Target, positions: Collection[int]
    ) -> None:
        self.graph, self.mapping, self.trace, self.target = graph, mapping, trace, target
        self.ticks, self.samples = trace.outputs.shape[:2]
        self.level, self.still, self.outside = depths(graph), constants(graph), host(graph)
        self.turns = turns(graph)
        self.channels, self.order = channel_axes(graph), {name: i for i, name in enumerate(graph.nodes)}
        self.host = len(mapping.cores)
        self.steps = self.ticks + mapping.depth
        self.row = {position: row for row, position in enumerate(positions)}
        shape = self.samples, len(self.row), self.steps, len(EVENT_KINDS)
        self.counts = np.zeros(shape, dtype=np.int32)  # no core does as much in a step as would not fit
        self.by_node = defaultdict[tuple[str, int], Array](lambda: np.zeros(len(EVENT_KINDS)))
        self.known: dict[str, Array] = {}
        self.meetings: dict[str, Array] = {}
        self.arrivals: dict[tuple[Any, ...], Packets] = {}
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

    def met(self, part: Part) -> Array:
        """What the elements of a part meet together, (samples, turns, ticks)."""
        node = part.node
        if node.name not in self.meetings:
            self.meetings[node.name] = self._flat(MET[type(node)](self, node))
        return part.summed(self.meetings[node.name])

    def indicator(self, name: str) -> Array:
        """Ones where a value is not zero, (T, B, *shape)."""
        values = np.moveaxis(self.active(name), (2, 1), (0, 1)).astype(np.float32)
        return values.reshape(self.ticks, self.samples, *self.graph.shape(name))

    def timeline(self, name: str) -> int:
        """Turns until the last element of a value is computed."""
        return self.turns.last(name) + 1

    # --- cores

    def add(self, name: str, position: int, kind: str, amounts: Any, level: int) -> None:
        """Amounts (samples, turns, ticks) of what runs, or is sent, from that level on."""
        column = KIND[kind]
        whole = amounts.reshape(self.samples, -1)
        self.counts[:, self.row[position], level : level + whole.shape[1], column] += whole
        self.by_node[name, position][column] += int(whole.sum())

    def core(self, position: int, core: Core) -> None:
        """All that a core does but for what it sends."""
        taken: _Taken = {}
        for piece in core.pieces:
            for name in sorted(piece.elements, key=self.order.__getitem__):
                node, flat = self.graph.nodes[name], np.asarray(piece.elements[name], dtype=np.int64)
                if len(flat) and name not in self.still and name not in self.outside:
                    part = Part.of(node, flat, self.turns.turn(name))
                    arrived = self._reads(position, part, taken)
                    program = PROGRAMS.get(type(node), nothing)(self, part, arrived)
                    for kind, amounts in program.items():
                        spread = part.spread(amounts, self.samples, self.ticks)
                        self.add(name, position, kind, spread, self.level[name])
                    if isinstance(node, Neuron):
                        spikes = part.summed(self.active(name), self.owner[name] == position)
                        self.add(name, position, "spikes", spikes, self.level[name])
        for (value, axis), parts in taken.items():
            self._take(position, value, axis, parts)

    def _reads(self, position: int, part: Part, taken: _Taken) -> list[Array]:
        """Messages for a part by operand, (samples, turns, ticks); notes what they set off on the core.

        What keeps a value takes in all that copies send of it, in their turns.
        """
        node, found = part.node, list[Array]()
        if not isinstance(node, READERS):
            return found
        keeps = isinstance(node, Delay) and node.keeps
        out = region(part.flat if keeps else part.model, self.graph.shape(node.name))
        for operand, read in enumerate(reads(self.graph, node, out, self.channels)):
            source, indices = read.source, read.region.indices
            indices = indices[fed(self.graph, node, operand, indices)]
            if source in self.still or self.turns.kept(node, operand):
                found.append(self._seen(part, operand, indices))
            if source in self.still:
                continue
            level, words = (
                self.level[source],
                words_read(self.graph, node, out, read, self._stored(node), self.target),
            )
            self.add(node.name, position, "memory_reads", self._words(source, indices, words), level)
            if not self.turns.kept(node, operand):
                arrived = self.grouped(source, self.turns.arriving(source, indices)).packets.sum(axis=0)
                found.append(part.during(arrived))
            if isinstance(node, Synapse):
                self.add(node.name, position, "synaptic_ops", self.met(part), level)
            last = len(self.graph.shape(source)) - 1
            dense = isinstance(node, Synapse) and node.op == "dense"
            axis = last if dense else self.channels.get(source, last)
            seen = indices if isinstance(node, Product) else under(self.graph, node, out, read)
            arriving = self.turns.arriving(source, seen)
            taken.setdefault((source, axis), []).append((node.name, arriving))
        return found

    def _seen(self, part: Part, operand: int, indices: Array) -> Array:
        """What is not zero among elements of a value that a part has at hand in all turns, and uses in each."""
        active, sight = self.active(part.node.inputs[operand])[indices], self.turns.sight(part.node, operand)
        if sight is None:
            whole: Array = active.sum(axis=0, dtype=np.int64)[:, None]
            return whole
        index = sight.index(indices)
        each = np.zeros((sight.table.shape[1], *active.shape[1:]), dtype=np.int64)
        np.add.at(each, index, active)
        token = self.turns.token[part.node.name][part.shown[:, 0]]
        turned = np.tensordot(
            sight.of(token).astype(np.int64), each, 1
        )  # (turns of the part, samples, ticks)
        found = np.zeros((int(part.turns[-1]) + 1, *turned.shape[1:]), dtype=np.int64)
        found[part.turns] = turned
        return np.moveaxis(found, 0, 1)

    def _words(self, source: str, indices: Array, words: Array) -> Array:
        """Words read for what arrives of a value, (samples, turns, ticks), given those of what is needed of it."""
        flat, model = self.turns.arriving(source, indices), self.turns.model(source)
        if len(words) and words.min() == words.max():
            alike: Array = words[0] * self.grouped(source, flat).packets.sum(axis=0)
            return alike
        each = np.zeros(len(self.active(source)), dtype=np.int64)
        if model is None:
            each[indices] = words
        else:
            stand, first = np.unique(model[indices], return_index=True)
            each[stand] = words[first]
            each = each[model]
        return self._by_turn(source, flat, each[flat, None, None] * self.active(source)[flat])

    def _by_turn(self, source: str, flat: Array, amounts: Array) -> Array:
        """Amounts of some elements of a value (elements, samples, ticks) as (samples, turns, ticks)."""
        turn = self.turns.turn(source)
        if turn is None:
            whole: Array = amounts.sum(axis=0, dtype=np.int64)[:, None]
            return whole
        found = np.zeros((self.timeline(source), self.samples, self.ticks), dtype=np.int64)
        np.add.at(found, turn[flat], amounts)
        return np.moveaxis(found, 0, 1)

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

    def _take(self, position: int, value: str, axis: int, parts: list[tuple[str, Array]]) -> None:
        """Packets of a value that a core takes in."""
        elements = np.unique(np.concatenate([indices for _, indices in parts]))
        flow = self._flow(position, value, axis, elements)
        if len(parts) == 1:
            packets = flow.packets.sum(axis=0)
            return self.add(parts[0][0], position, "packets_in", packets, self.level[value])
        synapses = [p for p in parts if isinstance(self.graph.nodes[p[0]], Synapse)]
        others = [p for p in parts if not isinstance(self.graph.nodes[p[0]], Synapse)]
        reader = np.zeros(len(elements), dtype=np.int64)
        ranked = [*synapses, *reversed(others)]
        for number, (_, indices) in enumerate(ranked):
            reader[np.searchsorted(elements, indices)] = number
        for number, (name, _) in enumerate(ranked):
            mine = elements[reader == number]
            packets = self._by_turn(value, mine, self.active(value)[mine])
            self.add(name, position, "packets_in", packets, self.level[value])

    def _flow(self, target: int, value: str, axis: int, elements: Array) -> Packets:
        self.flows.append(replace(self.grouped(value, elements), targets=(target,), axis=axis))
        return self.flows[-1]

    def grouped(self, value: str, elements: Array) -> Packets:
        """Non-zero values among some elements by (core that hosts them, node that they come from)."""
        key = value, elements.tobytes()  # cores that have other channels of a layer read the same
        if key not in self.arrivals:
            self.arrivals[key] = Packets(value, 0, (), *self._groups(value, elements), elements)
        return self.arrivals[key]

    def _groups(self, value: str, elements: Array) -> tuple[Array, Array, Array]:
        owner, origin, turn = (
            self.owner[value][elements],
            self.origin(value, elements),
            self.turns.turn(value),
        )
        turns, here = (
            self.timeline(value),
            np.zeros(len(elements), np.int64) if turn is None else turn[elements],
        )
        order = np.lexsort((here, origin, owner))
        pair = owner[order] * len(self.order) + origin[order]
        first = np.flatnonzero(np.diff(pair, prepend=-1))
        group = np.repeat(np.arange(len(first)), np.diff(first, append=len(order)))
        cell = group * turns + here[order]
        cuts = np.flatnonzero(np.diff(cell, prepend=-1))
        packets = np.zeros((len(first) * turns, self.samples, self.ticks), dtype=np.int32)
        if len(cuts):
            active = self.active(value)[elements[order]].astype(np.int32)
            packets[cell[cuts]] = np.add.reduceat(active, cuts, axis=0)
        packets = packets.reshape(len(first), turns, self.samples, self.ticks)
        return owner[order][first], origin[order][first], np.swapaxes(packets, 1, 2)

    def spoken(self) -> None:
        """Non-zero values that populations without neurons give off, each once."""
        found, nodes = self.sources
        silent = [isinstance(node, Neuron) or node.name in self.outside for node in self.graph]
        said, named = np.array(silent)[nodes], list(self.order)
        for value, read in elsewhere(self.graph).items():
            if value in self.still:
                continue
            new = self.turns.arriving(value, np.flatnonzero(read))
            new = new[~said[found[value][new]]]
            new = new[np.unique(found[value][new], return_index=True)[1]]  # a View may show an element twice
            said[found[value][new]] = True
            for position, origin, spikes in zip(*self._groups(value, new), strict=True):
                if position in self.row:
                    self.add(named[origin], int(position), "spikes", spikes, self.level[value])

    def read_out(self) -> None:
        """What the host takes in."""
        output = self.graph.output
        if output.name not in self.outside and output.inputs[0] not in self.outside:
            self._flow(self.host, output.name, 0, np.arange(len(self.owner[output.name])))

    # --- the network

    def events(self) -> Events:
        """Everything counted, packets on their way included."""
        if Topology.of(self.target).multicast:
            self.flows = multicast(self)
        pairs = Pairs.of(self)
        for flow, numbers in zip(self.flows, pairs.numbers, strict=True):
            self._send(flow, numbers, pairs)
        loads, bits, peak = pairs.links(self)
        by_core = {key: value / self.samples for key, value in self.by_node.items() if value.any()}
        by_node: dict[str, Array] = {}
        for (name, _), value in by_core.items():
            by_node[name] = by_node.get(name, 0) + value
        flows = pairs.flows(self)
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
    yield from _exchanged(found.flows, counted.flows)
    for name in ("links", "link_bits"):
        ours, theirs = getattr(found, name), getattr(counted, name)
        for link in {**ours, **theirs}:
            here, there = ours.get(link, none), theirs.get(link, none)
            if not np.allclose(here, there):
                yield name, link, float(here.sum()), float(there.sum())


def _exchanged(found: Flows, counted: Flows) -> Iterator[tuple[str, object, float, float]]:
    """Pairs of cores that exchange other packets, or at other places of what the sender sends."""
    for name, length in (("packets", found.packets.shape[1]), ("spans", 2)):
        none = np.full(length, 0 if name == "packets" else -1)
        ours, theirs = (
            {
                (source, tuple(sorted(targets))): row
                for (source, targets), row in zip(flows.reached, getattr(flows, name), strict=True)
            }
            for flows in (found, counted)
        )
        for pair in {**ours, **theirs}:
            here, there = ours.get(pair, none), theirs.get(pair, none)
            if not np.allclose(here, there):
                at = int(np.argmax(here != there))
                yield name, (pair, at), float(here[at]), float(there[at])
