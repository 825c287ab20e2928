"""Convolutions of one to three dimensions: zeros inside a kernel dilate it, zeros inside the image transpose it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any, TypeAlias

import numpy as np

from ...array import Array
from ...ir.types import Shape
from ..lowering import Lowering
from ..values import BATCH, Refusal, Stream, depends, foreign, inner, moved_batch
from ._base import operator
from ._windows import windowed
from .linear import dense, synapse
from .views import constant_pad

#: one number for each axis of space
Axes: TypeAlias = tuple[int, ...]
#: zeros before and after each axis of space; a negative number cuts
Sides: TypeAlias = tuple[tuple[int, int], ...]


@operator("convolution", "conv1d", "conv2d", "conv3d", "_convolution")
def convolution(
    lowering: Lowering,
    x: Stream,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    transposed: Any = False,
    output_padding: Any = 0,
    groups: int = 1,
    *_: Any,
) -> Stream:
    """A cross-correlation; torch.conv2d gives ``groups`` where aten gives ``transposed``."""
    if not isinstance(transposed, bool):
        transposed, groups = False, int(transposed)
    if transposed:
        return transposed_convolution(
            lowering, x, weight, bias, stride, padding, output_padding, groups, dilation
        )
    kernel = _kernel(lowering, weight)
    space = kernel.ndim - 2
    stride = _spread(stride, space)
    kernel = _dilated(kernel, _spread(dilation, space))
    sides = _sides(padding, kernel.shape[2:])
    x, kernel, offset, groups, shown = _side_by_side(lowering, x, kernel, _offset(lowering, bias), groups)
    return shown(_convolved(lowering, x, kernel, offset, stride, sides, groups))


@operator("conv_transpose1d", "conv_transpose2d")
def transposed_convolution(
    lowering: Lowering,
    x: Stream,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Stream:
    """A convolution of the image with ``stride`` - 1 zeros between its elements, by the kernel turned around."""
    kernel = _kernel(lowering, weight)
    space = kernel.ndim - 2
    x, kernel, offset, groups, shown = _side_by_side(lowering, x, kernel, _offset(lowering, bias), groups)
    inputs, outputs, *window = kernel.shape
    grouped = kernel.reshape(groups, inputs // groups, outputs, *window).swapaxes(1, 2)
    kernel = np.flip(grouped.reshape(groups * outputs, -1, *window), range(2, 2 + space))
    kernel = _dilated(kernel, _spread(dilation, space))
    for axis, step in enumerate(_spread(stride, space)):
        x = _stuffed(lowering, x, x.rank - space + axis, step)
    more = zip(kernel.shape[2:], _spread(padding, space), _spread(output_padding, space), strict=True)
    sides = tuple((k - 1 - p, k - 1 - p + extra) for k, p, extra in more)
    return shown(_convolved(lowering, x, kernel, offset, (1,) * space, sides, groups))


def _kernel(lowering: Lowering, weight: Any) -> Array:
    """The weights; Refusal ND101 where they depend on the input."""
    if depends(weight):
        raise Refusal("ND101", "a convolution whose weights depend on the input", "", "constant weights")
    return lowering.array(weight)


def _side_by_side(
    lowering: Lowering, x: Stream, kernel: Array, bias: Array | None, groups: int
) -> tuple[Stream, Array, Array | None, int, Callable[[Stream], Stream]]:
    """What is convolved with which kernel, and what makes torch's shape of the result.

    Images of one sample in the axis of the batch, such as heads or windows, become groups of channels, each with a copy
    of the kernel. Refusal ND105 where the batch is not in front.
    """
    if x.rank != kernel.ndim or any(map(foreign, x.axes[1:])) or x.axes[0][:1] != (BATCH,):
        if x.batched and x.rank == kernel.ndim:
            return x, kernel, bias, groups, lambda made: made
        raise moved_batch("a convolution", x)
    count = prod(inner(x.axes[0]))
    if count == 1:
        return x, kernel, bias, groups, lambda made: made
    samples, sizes = x.sizes[0] // count, x.sizes[1:]
    joined = lowering.reshape(x, (samples, count * sizes[0], *sizes[1:]))
    tiled = np.tile(kernel, (count, *(1,) * (kernel.ndim - 1)))
    offset = None if bias is None else np.tile(bias, count)

    def shown(made: Stream) -> Stream:
        return lowering.reshape(made, (x.sizes[0], -1, *made.sizes[2:]))

    return joined, tiled, offset, groups * count, shown


def _offset(lowering: Lowering, bias: Any) -> Array | None:
    return None if bias is None else lowering.array(bias)


def _convolved(
    lowering: Lowering, x: Stream, kernel: Array, bias: Array | None, stride: Axes, sides: Sides, groups: int
) -> Stream:
    """A synapse with the padding that both sides of an axis have, behind a view for what one of them has more."""
    if kernel.shape[2:] == (1,) and stride == (1,) and sides == ((0, 0),) and groups == 1:
        tokens = lowering.permute(x, (0, 2, 1))
        return lowering.permute(dense(lowering, tokens, kernel[:, :, 0], bias), (0, 2, 1))
    both = tuple(max(min(pair), 0) for pair in sides)
    rest = [(before - p, after - p) for (before, after), p in zip(sides, both, strict=True)]
    x = constant_pad(lowering, x, [n for pair in reversed(rest) for n in pair])
    if len(stride) == 3:
        return _conv3d(lowering, x, kernel, bias, stride, both, groups)
    if len(stride) == 2:
        return _conv2d(lowering, x, kernel, bias, stride, both, groups)
    row = lowering.reshape(x, (*x.sizes[:2], 1, x.sizes[2]))
    out = _conv2d(lowering, row, kernel[:, :, None], bias, (1, *stride), (0, *both), groups)
    return lowering.reshape(out, (*out.sizes[:2], out.sizes[3]))


def _conv3d(
    lowering: Lowering, x: Stream, weight: Array, bias: Array | None, stride: Axes, padding: Axes, groups: int
) -> Stream:
    """A convolution of (C, T, Y, X): the images that a kernel sees at once are channels, its places in T groups."""
    outputs, inputs, depth, *window = weight.shape
    x = constant_pad(lowering, x, (0, 0, 0, 0, padding[0], padding[0]))
    x = windowed(lowering, x, 2, depth, stride[0], 1)  # (C, places, depth, Y, X)
    batch, channels, places, _, *space = x.sizes
    x = lowering.permute(x, (0, 2, 1, 3, 4, 5))
    x = lowering.reshape(x, (batch, places * channels * depth, *space))
    kernel = np.tile(weight.reshape(outputs, inputs * depth, *window), (places, 1, 1, 1))
    offset = None if bias is None else np.tile(bias, places)
    out = _conv2d(lowering, x, kernel, offset, stride[1:], padding[1:], groups * places)
    out = lowering.reshape(out, (batch, places, outputs, *out.sizes[2:]))
    return lowering.permute(out, (0, 2, 1, 3, 4))


def _conv2d(
    lowering: Lowering, x: Stream, weight: Array, bias: Array | None, stride: Axes, padding: Axes, groups: int
) -> Stream:
    """A convolutional synapse on (C, Y, X)."""
    along = zip(x.shape.sizes[1:], padding, weight.shape[2:], stride, strict=True)
    sizes = (len(weight), *((n + 2 * p - k) // s + 1 for n, p, k, s in along))
    shape = Shape(("C", *x.shape.roles[1:]), sizes)
    geometry = {"stride": stride, "padding": padding, "groups": int(groups)}
    return x.at(synapse(lowering, x.name, shape, weight, bias, "conv", **geometry), shape)


def _dilated(kernel: Array, dilation: Axes) -> Array:
    """The kernel with zeros between its elements; a weight of zero costs memory, but no operation."""
    sizes = [d * (n - 1) + 1 for n, d in zip(kernel.shape[2:], dilation, strict=True)]
    wide = np.zeros((*kernel.shape[:2], *sizes))
    places = (slice(None), slice(None), *(slice(None, None, d) for d in dilation))
    wide[places] = kernel
    return wide


def _stuffed(lowering: Lowering, x: Stream, dim: int, step: int) -> Stream:
    """The stream with ``step`` - 1 zeros between the elements of an axis."""
    if step == 1:
        return x
    before, size, after = x.sizes[:dim], x.sizes[dim], x.sizes[dim + 1 :]
    columns = lowering.reshape(x, (*before, size, 1, prod(after)))
    columns = constant_pad(lowering, columns, (0, 0, 0, step - 1))
    return lowering.slice(
        lowering.reshape(columns, (*before, size * step, *after)), dim, 0, (size - 1) * step + 1
    )


def _spread(value: Any, count: int) -> Axes:
    """One number or a list of them, as torch takes it."""
    values = (value,) if isinstance(value, int) else tuple(int(v) for v in value)
    return values * count if len(values) == 1 else values


def _sides(padding: Any, kernel: Sequence[int]) -> Sides:
    """Zeros before and after each axis of space; 'same' has the odd one behind, as torch has."""
    if padding == "same":
        return tuple(((k - 1) // 2, k // 2) for k in kernel)
    zeros = (0,) * len(kernel) if padding == "valid" else _spread(padding, len(kernel))
    return tuple((n, n) for n in zeros)
