"""Convolutions and pools, which are depthwise convolutions; file, value, nodes and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from ...array import Array
from ...ir.nodes import Synapse
from ...ir.shapes import MAX_ELEMENTS
from .._base import Refusals
from .fields import Fields
from .layers import LABELS, Block, Layer, Nodes, Sizes, Walk, keys, refuse_wide, whole

MAX_SIDE = 1 << 16
INT8 = 127  # netx keeps kernel, stride, padding and groups of a convolution in int8
POOL = "pool"


@dataclass(frozen=True, eq=False)
class Conv(Block):
    """``kernels`` (out, in/groups, rows, columns) of each stream, without dilation."""

    kernels: tuple[Array, ...]
    stride: tuple[int, int]
    padding: tuple[int, int]
    groups: int
    kind: str = "conv"

    @property
    def streams(self) -> int:
        """Two of complex kernels."""
        return len(self.kernels)

    def yields(self, before: Sizes) -> Sizes | None:
        """The shape that comes out, None where the parts do not fit."""
        out, each, *window = self.kernels[0].shape
        if (
            len(before) != 3
            or before[0] % self.groups
            or out % self.groups
            or each * self.groups != before[0]
        ):
            return None
        sides = [s + 2 * p - k for s, p, k in zip(before[1:], self.padding, window, strict=True)]
        if min(sides) < 0:
            return None
        return (out, *(side // step + 1 for side, step in zip(sides, self.stride, strict=True)))

    def nodes(self, name: str, before: str) -> tuple[Nodes, tuple[str, ...]]:
        """A synapse for each stream."""
        geometry: dict[str, Any] = {"stride": self.stride, "padding": self.padding, "groups": self.groups}
        made: Nodes = [
            (
                Synapse(
                    name=f"{name}.{label}", inputs=(before,), weight=kernel, op="conv", delay=1, **geometry
                ),
                self.kind,
            )
            for label, kernel in zip(LABELS[self.streams], self.kernels, strict=True)
        ]
        return made, tuple(node.name for node, _ in made)

    def fields(self) -> dict[str, Any]:
        """Sizes, geometry and the kernel."""
        out, each, *window = self.kernels[0].shape
        sizes = {"inChannels": each * self.groups, "outChannels": out, "kernelSize": np.array(window)}
        geometry = {
            "stride": np.array(self.stride),
            "padding": np.array(self.padding),
            "dilation": np.array([1, 1]),
        }
        return {**sizes, **geometry, "groups": self.groups, "weight": self.kernels[0].astype(np.float32)}

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
            refuse_wide(part, refusals)
        if len(parts) == 2:
            refusals.add(first.name, "a complex convolution", "netx reads real ones")
        return cls(tuple(part.weight for part in parts), first.stride, first.padding, first.groups)


def read(walk: Walk, layer: Fields, index: int) -> Layer | None:
    """From the file; the delays of a convolution are not used, as netx does."""
    kind, before = layer.text("type") or "", walk.shape
    walk.shape = shape = walk.declared(layer)
    neuron = walk.neuron(layer, kind, shape)
    kernels = whole([_kernel(walk, layer, key) for key in keys(layer)])
    geometry = _Geometry.read(layer, pool=kind == POOL)
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
    block = geometry.block(kernels, before, kind)
    yields, kernel = block.yields(before), block.kernels[0].shape
    if yields != shape:
        limit = f"{yields} from {before}" if yields else f"kernel {kernel} on {before}, {block.groups} groups"
        layer.problem("ND126", "a convolution that does not yield the declared shape", "shape", shape, limit)
        return None
    walk.check_messages(layer)
    return Layer(index, block, shape, before, neuron, walk.bias(layer, index, neuron, shape))


@dataclass(frozen=True)
class _Geometry:
    """How a kernel moves, as the file says it; ``groups`` None: one for each channel."""

    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    groups: int | None

    @classmethod
    def read(cls, layer: Fields, pool: bool) -> _Geometry | None:
        """From the file."""
        stride, padding = layer.pair("stride", 1, MAX_SIDE), layer.pair("padding", 0, MAX_SIDE)
        dilation = layer.pair("dilation", 1, MAX_SIDE)
        groups = None if pool else layer.scalar("groups", 1, MAX_SIDE)
        if stride is None or padding is None or dilation is None or (groups is None and not pool):
            return None
        return cls(stride, padding, dilation, groups)

    def block(self, kernels: Sequence[Array], before: Sizes, kind: str) -> Conv:
        """The convolution on an input: a dilation becomes zeros; a pool has its one kernel for each channel."""
        if self.groups is None:
            kernels = tuple(np.repeat(k, before[0], axis=0) if len(k) == 1 else k for k in kernels)
        wide = tuple(_dilated(k, self.dilation) for k in kernels)
        return Conv(wide, self.stride, self.padding, before[0] if self.groups is None else self.groups, kind)


def _kernel(walk: Walk, layer: Fields, key: str) -> Array | None:
    """A kernel as (out, in, rows, columns)."""
    value = walk.weights(layer, key)
    if value is None:
        return None
    if value.ndim not in (4, 5) or prod(value.shape[4:]) != 1:
        layer.problem("ND126", "kernels with other axes", key, value.shape, "(out, in, rows, columns)")
        return None
    return value.reshape(value.shape[:4])


def _dilated(kernel: Array, dilation: tuple[int, int]) -> Array:
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
