"""What a tile of a group asks of its core, in the 64-bit words that Intel's compiler prints per core.

Neurons: one word per 64 bits of state, at least one. Synapses: dense lists store zeros, target index and a header per
input element; kernels shared over positions store (input channel, offset) entries without an index. Numbers that
belong to a chip (weight codes, index and header bits) come from the target.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod

import numpy as np

from ..array import Array
from ..ir.fixed import bits_for
from ..ir.graph import Graph
from ..ir.micro_op import MICROCODE
from ..ir.neuron_model import NEURONS
from ..ir.nodes import Const, Delay, Micro, Neuron, Node, Output, Product, Synapse
from ..ir.widths import MESSAGE_BITS, REGISTER_BITS
from ..passes.balance import CROSSING, Turns, constants, depths, line, turns
from ..target import Target
from .cells import Cells, Tile, cells
from .groups import Population
from .reads import Read, channel_axes, connections, departures, reads
from .regions import Region, region
from .types import Demand

WORD = 64


@dataclass(frozen=True, eq=False)
class Accounting:
    """What the demands of a group's tiles are computed from; ``needed_bits``: of each Synapse's weights."""

    graph: Graph
    target: Target
    group: Population
    cells: Cells
    needed_bits: Mapping[str, int]

    @staticmethod
    def of(graph: Graph, target: Target, group: Population) -> Accounting:
        """The accounting of one group on its own."""
        return Accounting(graph, target, group, cells(graph, group), needed_bits(group))

    @cached_property
    def words(self) -> Array | int:
        """State words of each neuron, or of all alike."""
        bits = {n.name: state_bits(n) for n in self.group.nodes}
        bits |= {name: bits[name] + MESSAGE_BITS * steps for name, steps in self.waits.items()}
        if self.cells.neuron is None:
            return max(1, -(-sum(bits.values()) // WORD))
        return np.maximum(self.copies, -(-self._per_neuron(bits) // WORD))

    @cached_property
    def copies(self) -> Array:
        """Hardware neurons that each neuron takes: more than one where a View brings two of its elements together."""
        most = np.ones(self.cells.neurons, dtype=np.int64)
        for name, shown in self.cells.element.items():
            if shown is None and self.cells.neuron is not None:
                np.maximum(most, np.bincount(self.cells.neuron[name], minlength=len(most)), out=most)
        return most

    @cached_property
    def fan_in(self) -> Array | int:
        """Incoming connections of each neuron, or of all alike."""
        into = {n.name: connections(self.graph, n) for n in self.group.entries}
        return sum(into.values()) if self.cells.neuron is None else self._per_neuron(into)

    @cached_property
    def fan_out(self) -> Array | int:
        """Outgoing connections of each neuron, or of all alike; those that carry nothing to a core are left out."""
        total: Array = np.zeros(self.cells.neurons, dtype=np.int64)
        for name in self.group.names if not self.group.on_host else ():
            leaving: Array = np.zeros(self.cells.sizes[name], dtype=np.int64)
            for reader in (self.graph.nodes[n] for n in self.graph.consumers[name]):
                for operand in (i for i, source in enumerate(reader.inputs) if source == name):
                    if isinstance(reader, CROSSING):
                        leaving += np.ravel(departures(self.graph, reader, operand))
            neuron = np.arange(len(total)) if self.cells.neuron is None else self.cells.neuron[name]
            np.add.at(total, neuron, leaving)
        return total

    def _per_neuron(self, amounts: Mapping[str, int]) -> Array:
        total = np.zeros(self.cells.neurons, dtype=np.int64)
        for name, amount in amounts.items():
            if amount and self.cells.neuron is not None:
                total += amount * np.bincount(self.cells.neuron[name], minlength=len(total))
        return total

    @cached_property
    def weight_bits(self) -> dict[str, int]:
        """Stored bits per weight of each Synapse; the widest code where none is wide enough."""
        codes = self.target.limits.weight_bits
        return {name: codes.round_up(bits) or codes.value[-1] for name, bits in self.needed_bits.items()}

    @cached_property
    def waits(self) -> dict[str, int]:
        """Most steps for which each Synapse keeps its sums: so many accumulators has every neuron."""
        return {n.name: longest_wait(self.graph, n) for n in self.group.entries if isinstance(n, Synapse)}

    @cached_property
    def stored(self) -> dict[str, float]:
        """Share of the weights of each Synapse that is not zero."""
        layers = (n for n in self.group.entries if isinstance(n, Synapse))
        return {n.name: float(np.count_nonzero(n.weight)) / max(n.weight.size, 1) for n in layers}

    @cached_property
    def tables(self) -> int:
        """Words of lookup tables that a core with any part of the group holds."""
        micros = [n for n in self.group.nodes if isinstance(n, Micro)]
        return sum(-(-MICROCODE[n.op].table_bits(n.params) // WORD) for n in micros)

    @property
    def taken(self) -> Turns:
        """Which tokens take turns."""
        return turns(self.graph)

    @cached_property
    def token_axis(self) -> int | None:
        """Axis of the anchor whose index is the token; None where there is no such axis."""
        return self.taken.axis(self.cells.anchor, self.cells.shape)

    @cached_property
    def _token(self) -> Array:
        """The token of each neuron."""
        found = np.zeros(self.cells.neurons, dtype=np.int64)
        for name, neuron in (self.cells.neuron or {}).items():
            if name in self.taken.token:
                found[neuron] = self.taken.token[name]
        return found

    def of_turn(self, tile: Tile) -> Tile:
        """The part of a tile that is there in the turn which needs most: all of it where no tokens take turns."""
        if self.group.turns == 1 or self.token_axis is None:
            return tile
        if tile.axes is not None:
            one = (indices[:1] if a == self.token_axis else indices for a, indices in enumerate(tile.axes))
            return Tile(self.cells, tuple(one))
        token = self._token[tile.neurons]
        return Tile(self.cells, None, tile.neurons[token == np.bincount(token).argmax()])

    def regions(self, tile: Tile) -> dict[Node, Region]:
        """The tile's part of each entry's value."""
        present = (n for n in self.group.entries if tile.size(n.name))
        return {n: tile.region(n.name, self.graph.shape(n.name)) for n in present}

    @cached_property
    def constants(self) -> frozenset[str]:
        """Values that every core keeps for itself."""
        return constants(self.graph)

    @cached_property
    def channels(self) -> dict[str, int]:
        """Channel axes that differ from the last."""
        return channel_axes(self.graph)

    def reads(self, tile: Tile) -> list[Read]:
        """What the tile receives from others; constants are left out."""
        found = (r for n, out in self.regions(tile).items() for r in reads(self.graph, n, out, self.channels))
        return [r for r in found if r.source not in self.constants]

    def demand(self, tile: Tile) -> Demand:
        """The tile's demand; ``axon_out`` is zero until the whole network is cut.

        Of tokens that take turns it has neurons, synapses and axons for one, and room for all that it keeps.
        """
        every, tile = tile, self.of_turn(tile)
        parts = [(n, out, reads(self.graph, n, out, self.channels)) for n, out in self.regions(tile).items()]
        neurons, words, fan_in = self._neurons(tile)
        synapses = sum(self._synapses(n, out, found) for n, out, found in parts)
        axons = sum(self._axons(n, i, r, every) for n, _, found in parts for i, r in enumerate(found))
        operands = ((n, r) for n, _, found in parts if isinstance(n, Product) for r in found)
        held = sum(-(-r.region.size * held_bits(self.graph, n, r.source) // WORD) for n, r in operands)
        held += sum(self._kept(n, i, r, every) for n, _, found in parts for i, r in enumerate(found))
        thresholds = self._thresholds(tile)
        tables = self.tables + sum(self._rows(n, tile) for n in self.group.nodes if isinstance(n, Micro))
        if self.group.turns > 1:
            tables += sum(
                -(-self.group.turns * tile.size(n) * bits // WORD) for n, bits in self.turning.items()
            )
        return Demand(neurons, words, 1, synapses, axons, 0, held, tables, fan_in, thresholds)

    def _axons(self, node: Node, operand: int, read: Read, tile: Tile) -> int:
        """Axon words of a read; what is kept of a copy's tokens comes by the axons of one of them."""
        if read.source in self.constants:
            return 0
        if not self.taken.kept(node, operand) or (model := self.taken.model(read.source)) is None:
            return read.axons
        # A Delay keeps the tokens of all of its turns, which may come from several copies.
        needed = tile.of(node.name) if isinstance(node, Delay) else read.region.indices
        models = np.unique(model[needed])
        return replace(read, region=region(models, read.region.shape)).axons

    def _kept(self, node: Node, operand: int, read: Read, tile: Tile) -> int:
        """Words of what is kept of an input, for every token and tick, in every place that samples use in turn."""
        if read.source in self.constants or not self.taken.kept(node, operand):
            return 0
        size = tile.size(node.name) if isinstance(node, Delay) else read.region.size
        kept = self.taken.stores * self.taken.ticks * message_bits(self.graph, read.source)
        return -(-size * kept // WORD)

    @cached_property
    def turning(self) -> dict[str, int]:
        """Bits per element of constants and parameters that differ from token to token, by node."""
        found = {n.name: turning_bits(self.graph, n) for n in self.group.nodes}
        return {name: bits for name, bits in found.items() if bits}

    def _rows(self, node: Micro, tile: Tile) -> int:
        """Words of what an operator has for each tick, of the elements in the tile."""
        names = [name for name in MICROCODE[node.op].by_tick if name in node.params]
        if not names or not tile.size(node.name):
            return 0
        shape, bits = self.graph.shape(node.name), 0
        here = [len(indices) for indices in tile.region(node.name, shape).hull]
        for ticks in (np.asarray(node.params[name]) for name in names):
            sizes = (1,) * (len(shape) - ticks.ndim + 1) + ticks.shape[1:]
            entries = prod(n for n, size in zip(here, sizes, strict=True) if size > 1)
            bits += len(ticks) * entries * bits_for(int(np.abs(ticks).max()))
        return -(-bits // WORD)

    def _neurons(self, tile: Tile) -> tuple[int, int, int]:
        """Neurons, their state words, and the largest fan-in among them."""
        if self.cells.neuron is None:
            count = tile.size(self.cells.anchor)
            return count, count * int(self.words), int(self.fan_in)
        here = tile.neurons
        words, fan_in = np.asarray(self.words)[here], np.asarray(self.fan_in)[here]
        return int(self.copies[here].sum()), int(words.sum()), int(fan_in.max(initial=0))

    def _thresholds(self, tile: Tile) -> int:
        if self.target.limits.distinct_thresholds_per_core.value is None:
            return 0
        neurons = [n for n in self.group.nodes if isinstance(n, Neuron)]
        return sum(_distinct(n, self.graph.shape(n.name), tile.of(n.name)) for n in neurons)

    def _synapses(self, node: Node, out: Region, found: list[Read]) -> int:
        if isinstance(node, Synapse):
            bits = self.weight_bits[node.name] + delay_bits(self.waits[node.name], self.target)
            return synapse_words(node, out, found[0], bits, self.target)
        if isinstance(node, Product):
            return 0
        return 1 if isinstance(node, Delay) else connections(self.graph, node)


def turning_bits(graph: Graph, node: Node) -> int:
    """Bits per element of a node's constants and parameters that differ from token to token."""
    taken = turns(graph)
    if taken.turn(node.name) is None or isinstance(node, CROSSING):
        return 0
    shape, table, bits = graph.shape(node.name), taken.slots(node.name)[1], 0
    table = table[(table >= 0).all(axis=1)]
    fixed = [n.value for n in (graph.nodes[i] for i in node.inputs) if isinstance(n, Const)]
    params = node.params.values() if isinstance(node, (Neuron, Micro)) else ()
    for value in (*fixed, *(np.asarray(p) for p in params if not isinstance(p, str | None))):
        if 1 < value.ndim <= len(shape) and _broadcasts(value.shape, shape):
            spread = np.broadcast_to(value, shape).ravel()[table]
            bits += bits_for(int(np.abs(value).max(initial=1))) if (spread != spread[0]).any() else 0
    return bits


def _broadcasts(source: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    return all(a in (1, b) for a, b in zip(source[::-1], shape[::-1], strict=False))


def needed_bits(group: Population) -> dict[str, int]:
    """Bits that the weights of each Synapse need."""
    return {n.name: weight_bits(n.weight) for n in group.entries if isinstance(n, Synapse)}


def longest_wait(graph: Graph, node: Synapse) -> int:
    """Most steps for which the sums of a Synapse wait for their tick."""
    if node.delays == (0,):
        return 0
    return max(node.delays[-1] + line(graph, node, depths(graph)), 0)


def delay_bits(steps: int, target: Target) -> int:
    """Bits of delay stored with each connection of a Synapse that waits up to ``steps`` steps."""
    return max(steps, target.limits.delay_steps.value or 0).bit_length() if steps else 0


def synapse_words(node: Synapse, out: Region, read: Read, bits: int, target: Target) -> int:
    """Words of the synapse lists or kernels that compute the elements ``out``; ``bits`` of weight and delay each."""
    here = len(out.hull[-1] if node.op == "dense" else out.hull[0])
    if node.op == "dense" and read.position is None:
        return read.region.size * dense_row(here, bits, target)
    if not target.features.shared_kernels.allowed:
        # Every position has its own lists: all connections spread over the elements read.
        targets = -(-out.size * int(np.prod(node.weight.shape[1:])) // max(read.region.size, 1))
        return read.region.size * list_words(targets, bits, target)
    if node.op == "dense":
        return node.weight.shape[1] * kernel_entry(here, bits, target)
    per_block = np.bincount(out.hull[0] // (node.weight.shape[0] // node.groups))
    entries = int(np.prod(node.weight.shape[1:]))
    return sum(entries * kernel_entry(int(n), bits, target) for n in per_block if n)


def layer_bits(graph: Graph, node: Synapse, target: Target) -> int:
    """Stored bits of weight and delay of each connection of a layer."""
    needed = weight_bits(node.weight)
    bits = target.limits.weight_bits.round_up(needed) or needed
    return bits + delay_bits(longest_wait(graph, node), target)


def stored_words(accounting: Accounting, taken: Turns, node: Node) -> int:
    """Words of a layer's weights on one core, or of what a product keeps of an operand whose tokens take turns."""
    graph = accounting.graph
    if isinstance(node, Synapse):
        return layer_words(graph, node, accounting.target)[0]
    if not isinstance(node, Product):
        return 0
    mixed = (source for i, source in enumerate(node.inputs) if taken.mixed(node, i))
    bits = ((taken.ticks * message_bits(graph, s) + held_bits(graph, node, s)) for s in mixed)
    sizes = (graph.values[s].shape.size for i, s in enumerate(node.inputs) if taken.mixed(node, i))
    return sum(-(-size * each // WORD) for size, each in zip(sizes, bits, strict=True))


def layer_words(
    graph: Graph, node: Synapse, target: Target, out: Region | None = None, bits: int = 0
) -> tuple[int, Read]:
    """Synapse words of some elements of a layer (all of them) on a core of their own, and what they read there.

    ``bits``: :func:`layer_bits`, where they are known already.
    """
    shape = graph.shape(node.name)
    out = out or Region(shape, tuple(np.arange(size) for size in shape))
    (read,) = reads(graph, node, out, {})
    return synapse_words(node, out, read, bits or layer_bits(graph, node, target), target), read


def dense_row(targets: int, bits: int, target: Target) -> int:
    """Words of one input element's list onto ``targets`` neurons."""
    limits = target.limits
    return _blocks(targets, bits + limits.index_bits.value, limits.synapse_header_bits_dense.value, target)


def list_words(targets: int, bits: int, target: Target) -> int:
    """Words of a sparse list onto ``targets`` neurons."""
    limits = target.limits
    return _blocks(
        targets, bits + limits.sparse_index_bits.value, limits.synapse_header_bits_dense.value, target
    )


def kernel_entry(outputs: int, bits: int, target: Target) -> int:
    """Words of one (offset, input channel) entry of a shared kernel onto ``outputs`` channels."""
    return _blocks(outputs, bits, target.limits.synapse_header_bits_conv.value, target)


def _blocks(count: int, bits: int, header: int, target: Target) -> int:
    size = target.limits.synapses_per_block.value or count
    full, rest = divmod(count, size) if count else (0, 0)
    return full * -(-(size * bits + header) // WORD) + (-(-(rest * bits + header) // WORD) if rest else 0)


def weight_bits(weight: Array) -> int:
    """Signed bits of integer weights after dividing out the power of two they share: 1 where only signs are left."""
    common = int(np.bitwise_or.reduce(weight, axis=None)) if weight.size else 0
    if not common:
        return 2
    shift = (common & -common).bit_length() - 1
    low, high = int(weight.min()) >> shift, int(weight.max()) >> shift
    if max(high, -low) == 1 and weight.all():
        return 1
    return max(max(high, 0).bit_length(), (-low - 1).bit_length() if low < 0 else 0, 1) + 1


def state_bits(node: Node) -> int:
    """Bits of state that one element of the node keeps from tick to tick."""
    if isinstance(node, Neuron):
        return sum(s.bits for s in NEURONS[node.model].state)
    if isinstance(node, (Micro, Product)) and node.timing == "cumulative":
        return 2 * REGISTER_BITS
    if isinstance(node, Delay):
        return 0 if node.keeps else MESSAGE_BITS * node.steps
    return REGISTER_BITS if isinstance(node, Output) else 0


def held_bits(graph: Graph, node: Product, source: str) -> int:
    """Bits a core keeps per element of a product's operand: a running sum, or the message itself."""
    return REGISTER_BITS if node.timing == "cumulative" else message_bits(graph, source)


def message_bits(graph: Graph, source: str) -> int:
    """Bits of what a message says."""
    spec = graph.values[source].fixed
    return spec.bits if spec else MESSAGE_BITS


def _distinct(node: Neuron, shape: tuple[int, ...], flat: Array) -> int:
    """Different threshold settings among some elements of a population."""
    names = NEURONS[node.model].thresholds
    spread = [np.broadcast_to(np.asarray(node.params[n]), shape).reshape(-1)[flat] for n in names]
    return len(np.unique(np.stack(spread), axis=1).T) if spread and len(flat) else 0
