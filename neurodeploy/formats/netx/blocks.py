"""The blocks with weights, file, value, nodes and back.

Dense layers are real, complex (two sums into RF neurons) or recurrent; pools are depthwise convolutions.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from ...array import Array, wide
from ...ir.nodes import Sum, Synapse
from ...ir.shapes import MAX_ELEMENTS
from .._base import Refusals
from .fields import Fields
from .layers import Block, Layer, Nodes, Sizes, Walk
from .neurons import AFFINE, NeuronGroup
from .weights import HIGH, LOW, LossyWeights, for_file, in_lava

REAL, COMPLEX, BACK = ("weight",), ("weight/real", "weight/imag"), "weight_rec"
#: names of the synapses of a real and of a complex layer
LABELS = {1: ("synapse",), 2: ("real", "imag")}
Pair = tuple[int, int]
#: stride, padding, dilation and groups; 0 groups: one for each channel
Geometry = tuple[Pair, Pair, Pair, int]
MAX_DELAY = 62
MAX_SIDE = 1 << 16
INT8 = 127  # netx keeps kernel, stride, padding and groups of a convolution in int8
POOL = "pool"


def _synapses(name: str, before: str, weights: Sequence[Array], kind: str, **how: Any) -> Nodes:
    """One for each stream."""
    labels = LABELS[len(weights)]
    return [
        (Synapse(name=f"{name}.{label}", inputs=(before,), weight=weight, **how), kind)
        for label, weight in zip(labels, weights, strict=True)
    ]


def _keys(layer: Fields) -> tuple[str, ...]:
    """Where the weights of a layer stand."""
    return COMPLEX if layer.has("weight/imag") else REAL


def _whole(parts: Iterable[Array | None]) -> tuple[Array, ...] | None:
    """All of them, or None where one is missing."""
    found = tuple(parts)
    there = tuple(part for part in found if part is not None)
    return there if len(there) == len(found) else None


def _refuse_wide(part: Synapse, refusals: Refusals) -> None:
    """Refuse weights that no file holds."""
    low, high = int(part.weight.min()), int(part.weight.max())
    if not LOW <= low <= high <= HIGH:
        refusals.add(part.name, f"weights {low} .. {high}", f"{LOW} .. {HIGH}")


@dataclass(frozen=True, eq=False)
class Dense(Block):
    """``weights`` (out, in) of each stream, ``back`` (out, out) from the neurons to themselves.

    ``delay``, None, or one for each connection, counts what comes on top of Lava's one step, for all matrices alike.
    """

    weights: tuple[Array, ...]
    back: Array | None = None
    delay: Array | None = None

    @property
    def kind(self) -> str:
        """``dense_rec`` where the neurons feed back."""
        return "dense" if self.back is None else "dense_rec"

    @property
    def together(self) -> list[list[Array]]:
        """The matrices that netx scales alike: those of a recurrent layer, but not the parts of a complex one."""
        if self.back is not None:
            return [[*self.weights, self.back]]
        return [[w] for w in self.weights]

    @property
    def shifted_down(self) -> bool:
        """netx forgets the shift back of a recurrent layer that has delays."""
        return self.back is None or self.delay is None

    def nodes(self, name: str, before: str) -> tuple[Nodes, tuple[str, ...]]:
        """A synapse for each stream; a recurrent layer adds its two sums up."""
        delay = np.asarray(1 if self.delay is None else 1 + self.delay)
        # one number where all connections wait equally long
        wait = int(delay.flat[0]) if (delay == delay.flat[0]).all() else delay.astype(np.int64)
        made = _synapses(name, before, self.weights, "dense", delay=wait)
        if self.back is None:
            return made, tuple(node.name for node, _ in made)
        back = Synapse(name=f"{name}.recurrent", inputs=(name,), weight=self.back, delay=wait)
        both = Sum(name=f"{name}.sum", inputs=(made[0][0].name, back.name))
        return [*made, (back, self.kind), (both, self.kind)], (both.name,)

    def fields(self) -> dict[str, Any]:
        """Sizes, delays where there are any, and the weights."""
        out, into = self.weights[0].shape
        sizes = {"inFeatures": into, "outFeatures": out}
        delay = {} if self.delay is None else {"delay": self.delay.astype(np.int64)}
        names = COMPLEX if self.streams == 2 else (*REAL, BACK)
        stored = [m for same in self.together for m in for_file(same, self.shifted_down) or same]
        weights = {key: m.astype(np.float32) for key, m in zip(names, stored, strict=False)}
        return {**sizes, **delay, **weights}

    @classmethod
    def of(cls, parts: Sequence[Synapse], back: Synapse | None, rank: int, refusals: Refusals) -> Dense:
        """From the synapses of a population, their input having ``rank`` axes; what netx cannot do is refused."""
        first, every = parts[0], [*parts, *([back] if back else [])]
        extra = np.broadcast_to(first.later(-1), first.weight.shape)
        weights = [wide(part.weight) for part in every]
        delay = extra if extra.any() else None
        found = cls(tuple(weights[: len(parts)]), weights[-1] if back else None, delay)
        refused = {
            ("weights shared over positions", "one vector of inputs"): rank != 1,
            (f"a delay of {extra.max() + 1} ticks", f"up to {MAX_DELAY + 1}"): extra.max() > MAX_DELAY,
            ("delays of its own", "those of its partner"):
                any(not np.array_equal(part.delay, first.delay) for part in every),
            ("delayed complex weights", "netx ignores delays of complex layers"):
                found.streams == 2 and delay is not None,
        }  # fmt: skip
        for (cause, limit), wrong in refused.items():
            if wrong:
                refusals.add(first.name, cause, limit)
        for part in every:
            _refuse_wide(part, refusals)
        for part, matrices in zip(parts, found.together, strict=True):
            if for_file(matrices, found.shifted_down) is None:
                together = np.concatenate([w.ravel() for w in matrices])
                cause = f"weights {together.min()} .. {together.max()} that netx would change"
                refusals.add(part.name, cause, "8 bits, a positive weight")
        return found


def dense(walk: Walk, layer: Fields, index: int) -> Layer | None:
    """From the file; without a neuron group, neurons that integrate and never fire."""
    declared, before = walk.declared(layer), walk.shape
    walk.shape = shape = (prod(declared),) if declared else None
    neuron = walk.neuron(layer, "dense", shape) if layer.has("neuron") else AFFINE
    file = _file(walk, layer, shape)
    if shape is None or neuron is None or file is None or not _joins(layer, file, neuron):
        return None
    block = _in_lava(walk, layer, index, file)
    if block is None:
        return None
    columns = block.weights[0].shape[1]
    flatten = _flattens(walk, layer, index, before, columns)
    if block.back is not None and neuron.graded and not walk.message_bits:
        cause = "graded spikes into a recurrent synapse that takes spikes as 0 and 1"
        layer.problem("ND125", cause, "neuron/type", neuron.model, "input_message_bits above 0")
    walk.check_messages(layer)
    entering = before if flatten and before else (columns,)
    bias = walk.bias(layer, index, neuron, shape)
    return Layer(index, block, shape, entering, neuron, bias, flatten=flatten)


def _in_lava(walk: Walk, layer: Fields, index: int, file: Dense) -> Dense | None:
    """The block with the weights that netx makes of those of the file."""
    try:
        lava = [in_lava(same, file.shifted_down) for same in file.together]
    except LossyWeights as error:
        cause, limit = "weights whose sums Lava rounds", "weights with a positive value"
        layer.problem("ND124", cause, _keys(layer)[0], error, limit)
        return None
    pairs = [pair for parts in zip(file.together, lava, strict=True) for pair in zip(*parts, strict=True)]
    changed = sum(int((a != b).sum()) for a, b in pairs)
    if changed:
        walk.remark(index, f"{changed} weights differ from the file: netx fits them into Lava's 8 bits")
    weights = [b for _, b in pairs]
    return Dense(tuple(weights[: file.streams]), weights[-1] if file.back is not None else None, file.delay)


def _file(walk: Walk, layer: Fields, shape: Sizes | None) -> Dense | None:
    """The matrices and delays that the file holds; netx does not read those of complex layers."""
    matrices = [_matrix(walk, layer, key, shape) for key in _keys(layer)]
    recurrent = layer.text("type") == "dense_rec"
    back = _matrix(walk, layer, BACK, shape) if recurrent else None
    delayed = len(matrices) == 1 and layer.has("delay")
    delay = _delay(layer, matrices[0]) if delayed else None
    weights = _whole(matrices)
    if weights is None or (recurrent and back is None) or (delayed and delay is None):
        return None
    return Dense(weights, back, delay)


def _matrix(walk: Walk, layer: Fields, key: str, shape: Sizes | None) -> Array | None:
    """Weights as (out, in)."""
    value = walk.weights(layer, key)
    if value is None or shape is None:
        return None
    if value.ndim == 1 and value.size % shape[0] == 0:
        return value.reshape(shape[0], -1)
    if value.ndim < 2 or value.shape[0] != shape[0] or prod(value.shape[2:]) != 1:
        cause, limit = "weights of another shape than the layer", f"({shape[0]}, inputs)"
        layer.problem("ND126", cause, key, value.shape, limit)
        return None
    return value.reshape(value.shape[:2])


def _delay(layer: Fields, weight: Array | None) -> Array | None:
    """Delays beyond Lava's one step, (out, in): floored, at most 62; one axis means rows if it can."""
    value = layer.array("delay")
    if value is None or weight is None:
        return None
    if value.min() < 0:
        layer.problem("ND124", "a negative delay", "delay", value.min(), f"0 .. {MAX_DELAY}")
        return None
    steps = np.minimum(np.floor(value), MAX_DELAY).astype(np.int64)
    rows, columns = weight.shape
    if steps.size == 1:
        return np.full(weight.shape, int(steps.ravel()[0]), np.int64)
    if steps.ndim == 1 and steps.size in (rows, columns):
        return np.broadcast_to(steps[:, None] if steps.size == rows else steps[None, :], weight.shape).copy()
    if steps.shape == weight.shape:
        return steps
    cause = "delays that fit neither rows, columns nor weights"
    layer.problem("ND126", cause, "delay", steps.shape, weight.shape)
    return None


def _joins(layer: Fields, file: Dense, neuron: NeuronGroup) -> bool:
    """Whether netx can join the parts of a layer; problems where it cannot."""
    if file.streams != neuron.streams or (file.streams == 2 and file.back is not None):
        found = f"{neuron.model}, {'complex' if file.streams == 2 else 'real'} weights, {layer.text('type')}"
        cause, limit = "weights and neuron that netx cannot join", "RF with complex weights"
        layer.problem("ND125", cause, "weight", found, limit)
        return False
    if file.back is None:
        return True
    rows, held = len(file.weights[0]), file.back.shape
    if held != (rows, rows):
        layer.problem("ND126", "recurrent weights of another shape", BACK, held, (rows, rows))
        return False
    # netx gives both matrices the delays of the first
    if file.delay is not None and file.delay.shape != held:
        layer.problem("ND126", "delays do not fit the recurrent weights", "delay", file.delay.shape, held)
        return False
    return True


def _flattens(walk: Walk, layer: Fields, index: int, before: Sizes | None, columns: int) -> bool:
    """Whether a view must flatten what comes before the layer; problems if it cannot be joined."""
    pending, walk.flatten = walk.flatten, False
    if not walk.layers or index < walk.options.skip_layers or before is None:
        return False
    if prod(before) != columns:
        found, limit = f"{columns} inputs", f"{prod(before)} neurons"
        layer.problem("ND126", "the layer before has another size", "weight", found, limit)
        return False
    if prod(before[1:]) != 1 and not pending:
        fix = "put a flatten layer between them"
        layer.problem("ND126", "a dense layer behind rows and columns", "type", before, "(N,)", fix)
        return False
    return len(before) > 1


@dataclass(frozen=True, eq=False)
class Conv(Block):
    """``weights`` (out, in/groups, rows, columns) of each stream, without dilation."""

    weights: tuple[Array, ...]
    stride: Pair
    padding: Pair
    groups: int
    kind: str = "conv"

    def yields(self, before: Sizes) -> Sizes | None:
        """The shape that comes out, None where the parts do not fit."""
        out, each, *window = self.weights[0].shape
        if len(before) != 3 or before[0] != each * self.groups or out % self.groups:
            return None
        sides = [s + 2 * p - k for s, p, k in zip(before[1:], self.padding, window, strict=True)]
        made = (out, *(side // step + 1 for side, step in zip(sides, self.stride, strict=True)))
        return None if min(sides) < 0 else made

    def nodes(self, name: str, before: str) -> tuple[Nodes, tuple[str, ...]]:
        """A synapse for each stream."""
        geometry: dict[str, Any] = {"stride": self.stride, "padding": self.padding, "groups": self.groups}
        made = _synapses(name, before, self.weights, self.kind, op="conv", delay=1, **geometry)
        return made, tuple(node.name for node, _ in made)

    def fields(self) -> dict[str, Any]:
        """Sizes, geometry and the kernel."""
        out, each, *window = self.weights[0].shape
        sizes = {"inChannels": each * self.groups, "outChannels": out}
        pairs = {"kernelSize": window, "stride": self.stride, "padding": self.padding, "dilation": (1, 1)}
        geometry = {key: np.array(pair) for key, pair in pairs.items()}
        return {**sizes, **geometry, "groups": self.groups, "weight": self.weights[0].astype(np.float32)}

    @classmethod
    def of(cls, parts: Sequence[Synapse], refusals: Refusals) -> Conv:
        """From the synapses of a population; what netx cannot do is refused."""
        first = parts[0]
        for part in parts:
            if part.delays != (1,):
                refusals.add(part.name, f"delays {part.delays}", "netx ignores delays of convolutions")
            numbers = (*part.weight.shape[2:], *part.stride, *part.padding, part.groups)
            if max(numbers) > INT8:
                found = f"kernel, stride, padding or groups {max(numbers)}"
                refusals.add(part.name, found, f"netx: up to {INT8}")
            if (part.stride, part.padding, part.groups) != (first.stride, first.padding, first.groups):
                refusals.add(part.name, "another geometry than its partner", "one geometry")
            _refuse_wide(part, refusals)
        if len(parts) == 2:
            refusals.add(first.name, "a complex convolution", "netx reads real ones")
        return cls(tuple(wide(part.weight) for part in parts), first.stride, first.padding, first.groups)


def conv(walk: Walk, layer: Fields, index: int) -> Layer | None:
    """From the file; the delays of a convolution are not used, as netx does."""
    kind, before = layer.text("type") or "", walk.shape
    walk.shape = shape = walk.declared(layer)
    neuron = walk.neuron(layer, kind, shape)
    kernels = _whole([_kernel(walk, layer, key) for key in _keys(layer)])
    geometry = _geometry(layer, pool=kind == POOL)
    if layer.has("delay"):
        walk.remark(index, "netx does not use the delays of a convolution; neither does this reader")
    if before is None and not walk.tree.problems:
        cause, limit = "the shape of the input is not known", "(x, y, channels)"
        fix = "--set reader.input_shape='[X, Y, CHANNELS]'"
        layer.problem("ND126", cause, "shape", "no input layer", limit, fix)
    if shape is None or neuron is None or kernels is None or geometry is None or before is None:
        return None
    if len(kernels) != neuron.streams:
        cause, limit = "weights and neuron that netx cannot join", "complex with RF"
        layer.problem("ND125", cause, "weight", neuron.model, limit)
        return None
    block = _moving(kernels, before[0], kind, geometry)
    yields, kernel = block.yields(before), block.weights[0].shape
    if yields != shape:
        limit = f"{yields} from {before}" if yields else f"kernel {kernel} on {before}, {block.groups} groups"
        layer.problem("ND126", "a convolution that does not yield the declared shape", "shape", shape, limit)
        return None
    walk.check_messages(layer)
    return Layer(index, block, shape, before, neuron, walk.bias(layer, index, neuron, shape))


def _geometry(layer: Fields, pool: bool) -> Geometry | None:
    """As the file says it."""
    stride, padding = layer.pair("stride", 1, MAX_SIDE), layer.pair("padding", 0, MAX_SIDE)
    dilation = layer.pair("dilation", 1, MAX_SIDE)
    groups = 0 if pool else layer.scalar("groups", 1, MAX_SIDE)
    if stride is None or padding is None or dilation is None or groups is None:
        return None
    return stride, padding, dilation, groups


def _moving(kernels: Sequence[Array], channels: int, kind: str, geometry: Geometry) -> Conv:
    """The convolution on an input: a dilation becomes zeros; a pool has its one kernel for each channel."""
    stride, padding, dilation, groups = geometry
    if not groups:
        kernels = [np.repeat(k, channels, axis=0) if len(k) == 1 else k for k in kernels]
    return Conv(tuple(_dilated(k, dilation) for k in kernels), stride, padding, groups or channels, kind)


def _kernel(walk: Walk, layer: Fields, key: str) -> Array | None:
    """A kernel as (out, in, rows, columns)."""
    value = walk.weights(layer, key)
    if value is None:
        return None
    if value.ndim not in (4, 5) or prod(value.shape[4:]) != 1:
        layer.problem("ND126", "kernels with other axes", key, value.shape, "(out, in, rows, columns)")
        return None
    return value.reshape(value.shape[:4])


def _dilated(kernel: Array, dilation: Pair) -> Array:
    """The kernel with zeros between its entries: what a dilation means. Too large a one is cut: it fits no input."""
    (dy, dx), (ky, kx) = dilation, kernel.shape[2:]
    if dilation == (1, 1):
        return kernel
    sizes = (*kernel.shape[:2], (ky - 1) * dy + 1, (kx - 1) * dx + 1)
    if max(sizes[2:]) > MAX_SIDE or prod(sizes) > MAX_ELEMENTS:
        return np.broadcast_to(np.int64(0), (*kernel.shape[:2], MAX_SIDE, MAX_SIDE))  # a view of one number
    wide = np.zeros(sizes, np.int64)
    wide[:, :, ::dy, ::dx] = kernel
    return wide
