"""The layers of a .net file as checked values, between the file and the graph.

A :class:`Layer` is a population and the block that feeds it. A block knows its datasets and its nodes, both ways; those
with weights have a file of their own. A :class:`Walk` carries from layer to layer what netx carries while it reads.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any

import numpy as np

from ...array import Array
from ...ir.nodes import Node
from ...ir.shapes import MAX_ELEMENTS
from .._hdf5.tree import Tree
from . import neurons
from .fields import Fields
from .neurons import INPUT, NeuronGroup, Place
from .options import NetxOptions
from .weights import HIGH, LOW

Sizes = tuple[int, ...]
#: nodes, each with what the file calls the operation that it comes from
Nodes = list[tuple[Node, str]]

#: where a file holds arguments of netx's ``Network`` that it needs: netx does not look there, the reader does
ARGUMENTS = "arguments"


class Block(ABC):
    """What feeds the neurons of a layer, its weights as Lava computes with them."""

    #: one for each stream, a sum that the neurons receive, feedback aside
    weights: tuple[Array, ...]

    @property
    @abstractmethod
    def kind(self) -> str:
        """The type of the layer in the file."""

    @property
    def streams(self) -> int:
        """How many sums there are: two of complex weights; an input is one without weights."""
        return max(1, len(self.weights))

    @abstractmethod
    def nodes(self, name: str, before: str) -> tuple[Nodes, tuple[str, ...]]:
        """Nodes between ``before`` and the neurons ``name``, and what those read; they have no origin yet."""

    @abstractmethod
    def fields(self) -> dict[str, Any]:
        """The datasets of the layer, but for type, shape, neuron and bias."""


@dataclass(frozen=True)
class Entry(Block):
    """An input layer with neurons: netx connects nothing to it."""

    kind = INPUT
    weights = ()

    def nodes(self, name: str, before: str) -> tuple[Nodes, tuple[str, ...]]:
        """None: the neurons read the input."""
        return [], (before,)

    def fields(self) -> dict[str, Any]:
        """None."""
        return {}


@dataclass(frozen=True, eq=False)
class Layer:
    """One layer that becomes nodes: (C, Y, X) or (N,) of its neurons, and of what the layer before sends.

    ``bias`` counts in steps of 2^bias_exp and broadcasts to the population. ``flatten``: what enters is one vector.
    """

    index: int
    block: Block
    shape: Sizes
    before: Sizes
    neuron: NeuronGroup
    bias: Array | None = None
    reset: tuple[int, int] | None = None
    flatten: bool = False

    def fields(self) -> dict[str, Any]:
        """Everything that the file says about it."""
        shape = self.shape if len(self.shape) == 3 or self.block.kind == INPUT else (self.shape[0], 1, 1)
        own = {"type": self.block.kind, "shape": np.array(shape), **self.block.fields()}
        return {**own, "neuron": self.neuron.fields()} | ({} if self.bias is None else {"bias": self._bias()})

    def _bias(self) -> Array:
        """One for each channel, or for each neuron in netx's order (x, y, channel)."""
        bias = np.asarray(self.bias, np.int64)
        if bias.ndim == 3 and bias.shape[1:] != (1, 1):
            return np.broadcast_to(bias, self.shape).transpose(2, 1, 0)
        return np.broadcast_to(bias.ravel(), self.shape[:1])


def phase(offset: int, process: int) -> int:
    """Process k, counted from 0, resets where t = reset_offset + 1 + k (mod reset_interval)."""
    return offset + 1 + process


def input_range(bits: int) -> tuple[int, int]:
    """What messages of a width hold; netx takes those of width 0 as 0 and 1."""
    limit = (1 << (bits - 1)) - 1 if bits else 0
    return (-limit, limit) if bits else (0, 1)


def input_bits(lo: int, hi: int) -> int:
    """The width of messages that holds a range."""
    return 0 if (lo, hi) == (0, 1) else max(2, max(abs(lo), abs(hi)).bit_length() + 1)


@dataclass(frozen=True)
class Concat:
    """Channels of several layers, by their numbers, one after the other; netx itself refuses these."""

    index: int
    shape: Sizes
    sources: tuple[int, ...]


@dataclass
class Walk:
    """Shape, width of messages, a pending flatten; ``made`` is what each layer of the file passes on.

    Problems are noted in the tree, and the walk goes on where it can, so that all are listed.
    """

    tree: Tree
    options: NetxOptions
    shape: Sizes | None = None
    message_bits: int = 0
    graded: bool = False
    flatten: bool = False
    process: int = 0
    entry_bits: int = 0
    layers: list[Layer | Concat] = field(default_factory=list)
    made: dict[int, Layer | Concat] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)

    def remark(self, index: int, text: str) -> None:
        """Something worth knowing that is not wrong."""
        self.remarks.append(f"layer/{index}: {text}")

    def take(self, layer: Layer) -> None:
        """Take a finished layer over, unless it is one of those to skip; either way its messages go on."""
        if not self.layers:
            self.entry_bits = self.message_bits
        self.shape, self.message_bits = layer.shape, layer.neuron.message_bits
        skipped = layer.index < self.options.skip_layers
        self.graded = layer.neuron.graded and not skipped  # what enters is then the network's input
        if skipped:
            return
        if self.options.reset_interval is not None and isinstance(layer.neuron, neurons.Cuba):
            reset = self.options.reset_interval, phase(self.options.reset_offset, self.process)
            layer = replace(layer, reset=reset)
        self.made[layer.index] = layer
        self.layers.append(layer)
        self.process += 1

    def declared(self, layer: Fields) -> Sizes | None:
        """(C, Y, X) or (N,) as the file holds it."""
        value = layer.whole("shape", 1, MAX_ELEMENTS)
        if value is None:
            return None
        sizes = tuple(int(v) for v in value.ravel())
        if value.ndim > 1 or len(sizes) not in (1, 3) or prod(sizes) > MAX_ELEMENTS:
            cause, limit = "not a shape of one or three sizes", f"up to {MAX_ELEMENTS} neurons"
            layer.problem("ND126", cause, "shape", str(sizes)[:80], limit)
            return None
        return sizes

    def neuron(self, layer: Fields, kind: str, shape: Sizes | None) -> NeuronGroup | None:
        """The neuron group of a layer."""
        group = Fields(layer.tree, layer.at("neuron"))
        return neurons.read(group, Place(kind, shape[0] if shape else 1, self.options.spike_exp))

    def weights(self, layer: Fields, key: str) -> Array | None:
        """Whole numbers that Lava can take as weights."""
        return layer.whole(key, LOW, HIGH, truncate=self.options.truncate)

    def bias(self, layer: Fields, index: int, neuron: NeuronGroup, shape: Sizes) -> Array | None:
        """Bias of each neuron, broadcastable to the population; None if the layer has none."""
        if not layer.has("bias"):
            return None
        if neuron.streams == 2:
            self.remark(index, "netx does not use the bias of a complex layer; neither does this reader")
            return None
        value = layer.whole("bias", -neuron.bias_max - 1, neuron.bias_max, truncate=True)
        if value is None:
            return None
        if (layer.tree.arrays[layer.at("bias")] != value).any():
            self.remark(index, "the bias holds fractions; they are cut off toward zero, as netx does")
        if neuron.biased:
            return _over(layer, value, shape)
        if value.any():
            cause = "a bias on a Sigma neuron, which Lava does not have"
            layer.problem("ND125", cause, "bias", value.ravel()[0], "0")
        return None

    def check_messages(self, layer: Fields) -> None:
        """Note graded messages of width 0: netx takes them as 0 and 1, so they would lose their value."""
        cause = "graded spikes into a synapse that takes spikes as 0 and 1"
        if self.graded and not self.message_bits:
            limit = "messageBits of at least 2"
            layer.problem("ND125", cause, "type", "messageBits 0 of the layer before", limit)


def _over(layer: Fields, bias: Array, shape: Sizes) -> Array | None:
    """A bias with the axes of a population."""
    if bias.size == 1 or bias.shape == shape[:1]:
        return bias.reshape(-1, *(1,) * (len(shape) - 1))
    if len(shape) == 3 and bias.shape == tuple(reversed(shape)):
        return bias.transpose(2, 1, 0)  # one for each neuron, in netx's order (x, y, channel)
    if bias.size == prod(shape) and len(shape) == 1:
        return bias.reshape(shape)
    layer.problem("ND126", "a bias of another length than the layer", "bias", bias.shape, f"({shape[0]},)")
    return None
