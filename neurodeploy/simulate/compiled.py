"""Segments that are one compiled function: layers with their populations, products of spikes, sums.

A layer is a chain of synapse, rescale, sum and neuron whose sums are proven to fit 32 bits (:mod:`layers`,
:mod:`chains`); of a product one operand is binary (:mod:`pairs`).

Rows are what a token has of every channel. Values of a convolution have their channels first, and in memory last: what
is left behind is another view of it, which most readers want as it lies.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from ..array import Array
from ..ir.graph import Graph
from ..ir.neuron_model import NEURONS
from ..ir.nodes import Node, Output, Product, Reduce, Synapse
from . import arithmetic, kernels, layers, pairs, reductions, vector
from .calls import Call
from .chains import Chain, chains, crossover, dense_group, one_filter_each, sends_binary
from .run import Step
from .segments import Alone, Segment
from .values import Lists, Values, by_rows, turned

#: widest tile of weights, in columns
TILE = 128
#: populations of at least this many updates per sample are worth a compilation of their own
SPECIALISE_UPDATES = 1 << 12


class Summed(Alone):
    """A sum over axes, or a read-out: compiled where its input is narrow."""

    def __init__(self, node: Reduce | Output, graph: Graph, step: Callable[[], Step]) -> None:
        super().__init__(node, step)
        self.choice = "sums", "compiled for narrow integers, else its own step"
        self._node, self._graph = node, graph

    def run(self, values: Values) -> None:
        """Its sums, or its step."""
        node, graph = self._node, self._graph
        if isinstance(node, Reduce):
            found = (reductions.over_windows if node.window else reductions.over_axes)(node, graph, values)
        else:
            found = reductions.over_ticks(node, graph, values)
        if found is None:
            super().run(values)
        else:
            values.arrays[node.name] = found


class Pairs(Segment):
    """A product of spikes and another stream."""

    def __init__(self, node: Product, graph: Graph, left: bool) -> None:
        self.nodes = (node,)
        self._product = pairs.Pairs(node, graph, left)
        bits = 8 * np.dtype(self._product.kind).itemsize
        self.choice = (
            "rows of spikes",
            f"the {'left' if left else 'right'} operand is binary, sums fit {bits} bits",
        )

    def run(self, values: Values) -> None:
        """Pairs of samples and shared indices, in parts where all threads work on them."""
        (node,) = self.nodes
        values.arrays[node.name] = self._product([values.arrays[name] for name in node.inputs], values)


class Layer(Segment):
    """A chain as one compiled function."""

    by_rows = True

    def __init__(self, chain: Chain, graph: Graph) -> None:
        self.chain, self.graph = chain, graph
        carriers, neuron = chain.carriers, chain.neuron
        self.nodes = (*carriers, *([neuron] if neuron else []))
        self.carrier = carriers[-1].name if carriers else None
        others = (
            [n for n in graph.consumers[self.carrier] if n != (neuron and neuron.name)]
            if self.carrier
            else []
        )
        #: whether the carrier's value is read by others than the neuron
        self.kept = bool(others) or neuron is None
        self.carried = arithmetic.integer_for(graph, self.carrier) if self.carrier else np.int32
        self.hidden = frozenset(n.name for n in (carriers[:-1] if self.kept else carriers))
        listed = (
            chain.synapse is not None and not chain.first and sends_binary(graph, chain.synapse.inputs[0])
        )
        self.reads_lists = chain.synapse.inputs if chain.synapse and listed else ()
        self.shape = graph.shape(self.nodes[-1].name)
        rows = _rows(self.shape, chain.first)
        self.size, self.tokens = rows[-1], prod(rows[:-1])
        self._plan_sums()
        self._plan_neuron()
        self.choice = self._choice()

    def _plan_sums(self) -> None:
        synapse, rescale, total = self.chain.synapse, self.chain.rescale, self.chain.total
        self.tile = 64 if self.size <= 64 else TILE
        self.bias = np.zeros(-(-self.size // self.tile) * self.tile, np.int32)
        self.group, self.geometry = 2, tuple[int, ...]()
        self.start, self.weights, self.crossover = "sums", _NO_WEIGHTS, 0
        self.matrix: Array = _NO_WEIGHTS.ravel()
        if synapse is not None:
            self.bias[: self.size] = 0 if synapse.bias is None else synapse.bias
            self._plan_weights(synapse)
        self.scale, self.top, self.rescale = np.empty((3, 0), np.int32), 0, "scaled"
        if rescale is not None:
            multiplier, shift = (
                self._of_channels(rescale.params[p]).astype(np.int64) for p in ("multiplier", "shift")
            )
            half = np.where(shift < 32, (np.int64(1) << shift) >> 1, 0)
            self.scale = np.ascontiguousarray([multiplier, shift, half], np.int32)
            self.top = arithmetic.limit(int(rescale.params["bits"]))
            reach = arithmetic.magnitude(self.graph, rescale.inputs[0])
            widest = reach * np.abs(multiplier) + half
            if (shift < 32).all() and reach < 1 << 31 and (widest < 1 << 31).all():
                self.rescale = "scaled_open" if (widest >> shift < self.top).all() else "scaled_narrow"
        self.own_sign = self.other_sign = 1
        self.other = ""
        if total is not None:
            at = total.inputs.index(self.nodes[self.nodes.index(total) - 1].name)
            self.own_sign, self.other_sign = total.every_sign[at], total.every_sign[1 - at]
            self.other = total.inputs[1 - at]

    def _plan_weights(self, synapse: Synapse) -> None:
        self.group = dense_group(self.graph, synapse)
        self.start = "lists" if self.reads_lists else "rows"
        weight = synapse.weight
        if self.chain.first:
            channels, *image = self.graph.shape(synapse.inputs[0])
            weight = weight.transpose(0, 2, 3, 1)  # as the channels of the pixels of a patch lie in memory
            filters = *weight.shape[1:3], *synapse.stride, *synapse.padding
            self.geometry = *image, channels, self.shape[2], *filters
            self.start = "taps" if one_filter_each(synapse, self.graph) else "patches"
        inputs = prod(weight.shape[1:])
        matrix = np.zeros((inputs, self.bias.size), np.int16)
        matrix[:, : self.size] = weight.reshape(self.size, inputs).T
        packed = matrix if self.start == "taps" else vector.packed_dense(matrix, self.group)
        self.matrix = packed.ravel()
        if self.reads_lists:
            self.weights = vector.packed(matrix.astype(np.int8), self.tile)
            self.share = crossover(inputs, len(self.weights))
            self.crossover = int(inputs * self.share)

    def _of_channels(self, param: Any) -> Array:
        """A parameter of each channel."""
        found: Array = np.broadcast_to(param, self.shape)
        return found[:, 0, 0] if self.chain.first else found[(0,) * (len(self.shape) - 1)]

    def _choice(self) -> tuple[str, str]:
        forms = vector.chosen()
        dense = f"{forms[f'dot_of_{self.group}']}, {32 // self.group}-bit inputs"
        if self.start == "taps":
            return "taps", "a filter for each channel"
        if self.reads_lists:
            if self.share >= 1:
                return forms["gather"], "binary input"
            return f"{forms['gather']}, else {dense}", f"binary input; dense above {self.share:.0%} spikes"
        if self.start == "sums":
            return "population", "its input is a sum"
        return dense, "patches of pixels" if self.chain.first else "no binary input"

    def _plan_neuron(self) -> None:
        neuron, graph = self.chain.neuron, self.graph
        constants: tuple[int, ...] = ()
        self.model, self.params, form = "", list[Array](), ""
        self.kind, self.resets = np.int8, np.zeros(graph.header.timesteps, np.bool_)
        #: whether a layer reads its population as lists
        self.listed = False
        if neuron is not None:
            model = NEURONS[neuron.model]
            form = model.form(neuron.params, arithmetic.magnitude(graph, neuron.inputs[0]))
            given = [neuron.params[p] for p in model.int_params]
            fixed = [given[i] for i in kernels.constant_positions(neuron.model, form)]
            large = graph.header.timesteps * prod(self.shape) >= SPECIALISE_UPDATES
            constants = tuple(int(v) for v in fixed) if large and all(np.ndim(v) == 0 for v in fixed) else ()
            self.model = neuron.model
            self.params = [np.ascontiguousarray(self._of_channels(p), np.int32) for p in given]
            self.kind = arithmetic.integer_for(graph, neuron.name)
            self.resets[:] = [t > 0 and neuron.resets(t + 1) for t in range(len(self.resets))]
        self.form = self.model, form, constants, self.start, self.tile, self.group, self.rescale

    def run(self, values: Values) -> None:
        """All rows, each through all ticks."""
        source, length = self._source(values)
        other = self._aligned(values, self.other) if self.other else _NONE
        stateful = bool(self.model and NEURONS[self.model].state)
        ticks = values.run.ticks if stateful else max(len(source), len(other))
        batch = self._batch(source, other)
        rows = batch * self.tokens
        neuron, first = self.chain.neuron, self.chain.first
        sums = values.take((ticks, rows, self.size), self.carried) if self.kept and self.carrier else _NONE[0]
        sends_lists = self.listed and not first
        sends = neuron is not None and (neuron.name in values.sent or self.listed != sends_lists)
        out = values.take((ticks, rows, self.size), self.kind) if sends else np.empty((0, rows, 0), self.kind)
        index, count = _room_for(values, ticks, rows, self.size) if sends_lists else (_NO_INDEX, _NO_COUNT)
        given = {
            "source": source, "length": length, "weights": self.weights, "matrix": self.matrix,
            "crossover": self.crossover, "bias": self.bias, "scale": self.scale, "top": self.top, "other": other,
            "own_sign": self.own_sign, "other_sign": self.other_sign, "sums": sums, "resets": self.resets[:ticks],
            "out": out, "sends": sends, "index": index, "count": count, "size": self.size, "tokens": self.tokens,
        }  # fmt: skip
        if self.geometry:
            given["geometry"] = self.geometry
        given |= {f"p{i}": param for i, param in enumerate(self.params)}
        every = values.run.ticks if ticks == 1 else 1
        counted = [(node.name, every) if node else ("", 0) for node in (self.chain.rescale, neuron)]
        values.call(
            Call(layers.layer_kernel(*self.form, given), given, rows, layers.BLOCK, not first, tuple(counted))
        )
        shown = (ticks, batch, *_rows(self.shape, first))
        if self.carrier is not None and sums.size:
            values.arrays[self.carrier] = turned(sums.reshape(shown), first)
        if neuron is not None:
            if sends:
                values.arrays[neuron.name] = turned(out.reshape(shown), first)
            if sends_lists:
                values.lists[neuron.name] = Lists(index, count)

    def _source(self, values: Values) -> tuple[Array, Array]:
        """What the kernel starts from: lists, rows (T, rows, inputs) or sums (T, B, tokens, size)."""
        if self.chain.synapse is None:
            return self._aligned(values, self.nodes[0].inputs[0]), _NO_COUNT
        (name,) = self.chain.synapse.inputs
        if self.reads_lists:
            lists = _spikes(values, name)
            return lists.index, lists.count
        x = by_rows(values.arrays[name], self.chain.first)
        rows, inputs = prod(x.shape[1:-1]), x.shape[-1]
        padded = inputs if self.geometry else self.matrix.size // self.bias.size
        kind = np.int8 if self.group == 4 else np.int16
        if x.dtype == kind and x.flags.c_contiguous and inputs == padded:
            return x.reshape(len(x), rows, inputs), _NO_COUNT
        return values.padded(x, kind, padded).reshape(len(x), rows, padded), _NO_COUNT

    def _aligned(self, values: Values, name: str) -> Array:
        """A value as integers of at most 32 bits (T or 1, B or 1, tokens, size)."""
        x = values.arrays[name]
        full = x.reshape(*x.shape[:2], *(1,) * (len(self.shape) + 2 - x.ndim), *x.shape[2:])
        rows, shape = by_rows(full, self.chain.first), _rows(self.shape, self.chain.first)
        if (
            x.dtype not in (np.int8, np.int16, np.int32)
            or rows.shape[2:] != shape
            or not rows.flags.c_contiguous
        ):
            lead = (*x.shape[:2], *shape)
            rows = values.filled(lead, np.int32, np.broadcast_to(rows, lead))
        return rows.reshape(*x.shape[:2], self.tokens, self.size)

    def _batch(self, source: Array, other: Array) -> int:
        rows = prod(self.geometry[:2]) if self.geometry else self.tokens
        own = source.shape[1] // rows if self.chain.synapse is not None else source.shape[1]
        return max(own, other.shape[1])


def _rows(shape: tuple[int, ...], first: bool) -> tuple[int, ...]:
    """A shape with its channels last, which are first where that is said."""
    return (*shape[1:], shape[0]) if first else shape


_NONE = np.empty((1, 0, 0, 0), np.int32)
_NO_WEIGHTS = np.zeros((0, 0, 0), np.uint8)
_NO_INDEX, _NO_COUNT = np.empty((0, 0, 0), np.uint16), np.empty((0, 0), np.int32)


def _spikes(values: Values, name: str) -> Lists:
    """The lists of a value; made from its array where its population did not send any."""
    if name not in values.lists:
        array = values.arrays[name]
        rows = prod(array.shape[1:-1])
        whole = values.filled(array.shape, np.int8, array).reshape(len(array), rows, -1)
        index, count = _room_for(values, len(array), rows, array.shape[-1])
        given = {"x": whole, "index": index, "count": count}
        values.call(Call(layers.list_rows(given), given, rows, layers.BLOCK, True))
        values.lists[name] = Lists(index, count)
    return values.lists[name]


def _room_for(values: Values, ticks: int, rows: int, size: int) -> tuple[Array, Array]:
    """Memory for the lists of rows of ``size`` elements."""
    wide = -(-(size + vector.SPILL + vector.PAD) // 32) * 32
    return values.take((ticks, rows, wide), np.uint16), values.take((ticks, rows), np.int32)


def fused(graph: Graph, constant: frozenset[str]) -> dict[str, Layer]:
    """Layers by the node after which everything that they read is there."""
    found = {place: Layer(chain, graph) for place, chain in chains(graph, constant)}
    listed = {name for layer in found.values() for name in layer.reads_lists}
    for layer in found.values():
        layer.listed = layer.chain.neuron is not None and layer.chain.neuron.name in listed
    return found


def single(node: Node, graph: Graph, constant: frozenset[str], step: Callable[[], Step]) -> Segment | None:
    """A node that is compiled by itself."""
    if isinstance(node, (Reduce, Output)):
        return Summed(node, graph, step)
    left = pairs.suits(node, graph, constant) if isinstance(node, Product) else None
    return Pairs(node, graph, left) if isinstance(node, Product) and left is not None else None
