"""Linear layers, convolutions, batch norm and products with constants: everything that becomes a Synapse."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from scipy.linalg import block_diag

from ...array import Array
from ...ir.nodes import Synapse
from ...ir.types import Shape
from ..lowering import Lowering
from ..values import Refusal, Stream, foreign, inner
from ._base import operator
from ._letters import matmul_streams
from .views import transpose

#: one number for each axis of space
Axes: TypeAlias = tuple[int, ...]


@operator("linear")
def linear(lowering: Lowering, x: Stream, weight: Any, bias: Any = None) -> Stream:
    """x W^T + b over the last axis."""
    if isinstance(weight, Stream) or isinstance(bias, Stream) or not isinstance(x, Stream):
        raise Refusal("ND101", "a linear layer whose weights depend on the input", "", "", "use matmul")
    return dense(lowering, x, lowering.array(weight), None if bias is None else lowering.array(bias))


def dense(lowering: Lowering, x: Stream, weight: Array, bias: Array | None = None) -> Stream:
    """A dense synapse (O, C) on the last axis, which becomes a channel axis."""
    x.axis(-1, "a linear layer")
    shape = Shape((*x.shape.roles[:-1], "C"), (*x.shape.sizes[:-1], len(weight)))
    return x.at(_synapse(lowering, x.name, shape, weight, bias, "dense"), shape)


def _synapse(
    lowering: Lowering, x: str, shape: Shape, weight: Array, bias: Array | None, op: str, **geometry: Any
) -> str:
    """A Synapse node, whose arrays nobody can change any more."""
    given = {"weight": weight} if bias is None else {"weight": weight, "bias": bias}
    fields: dict[str, Any] = {name: np.ascontiguousarray(a, dtype=np.float64) for name, a in given.items()}
    for array in fields.values():
        array.setflags(write=False)
    return lowering.add(Synapse, [x], shape, op=op, **fields, **geometry)


@operator("addmm")
def addmm(
    lowering: Lowering, bias: Any, x: Any, weight: Any, beta: float = 1.0, alpha: float = 1.0
) -> Stream:
    """beta b + alpha x W with W (C, O)."""
    if not isinstance(x, Stream) or isinstance(weight, Stream) or isinstance(bias, Stream):
        cause = "addmm on anything but a stream with constant weights"
        raise Refusal("ND101", cause, "", "", "use matmul and add")
    out, offset = lowering.array(weight).T * alpha, lowering.array(bias) * beta
    if offset.ndim and offset.size != offset.shape[-1]:
        raise Refusal("ND101", "a bias that differs from row to row", offset.shape, "one row")
    return dense(lowering, x, out, np.broadcast_to(offset.reshape(-1), (len(out),)))


@operator("matmul", "mm", "bmm", "__matmul__", "dot", "mv")
def matmul(lowering: Lowering, a: Any, b: Any) -> Stream:
    """Dense synapse where one side is constant, dynamic product where both depend on the input."""
    if isinstance(a, Stream) and isinstance(b, Stream):
        return matmul_streams(lowering, a, b)
    if isinstance(a, Stream):
        return _times_constant(lowering, a, lowering.array(b))
    weight = lowering.array(a)
    if weight.ndim < 2 or b.rank < 2:
        raise Refusal("ND101", "a constant left factor that is no matrix", weight.shape, "(rows, columns)")
    turned = _times_constant(lowering, transpose(lowering, b, -1, -2), np.swapaxes(weight, -1, -2))
    return transpose(lowering, turned, -1, -2)


def _times_constant(lowering: Lowering, a: Stream, weight: Array) -> Stream:
    if weight.ndim == 1:
        out = dense(lowering, a, weight[None])
        return lowering.reshape(out, out.sizes[:-1])
    if weight.ndim == 2:
        return dense(lowering, a, weight.T)
    if weight.ndim > a.rank:
        limit = f"at most {a.rank} axes"
        raise Refusal("ND101", "constant matrices that repeat the stream", weight.shape, limit)
    a.axis(-1, "a product")
    if foreign(a.axes[-2]) and inner(
        a.axes[-2]
    ):  # rows of all samples, whose matrices differ along the axes before
        return _by_blocks(lowering, a, weight.reshape((1,) * (a.rank - weight.ndim) + weight.shape))
    a.axis(-2, "a product")
    return _by_blocks(lowering, a, lowering.aligned(weight, a))


def _by_blocks(lowering: Lowering, a: Stream, matrices: Array) -> Stream:
    """(..., N, C) times matrices (..., C, O) that differ along the leading axes, such as the queries that heads learn.

    The leading axes are joined to the channels: one dense synapse whose weights are 0 between what is apart.
    """
    *lead, tokens, width = a.shape.sizes
    matrices = np.broadcast_to(matrices, (*lead, *matrices.shape[-2:])).reshape(-1, *matrices.shape[-2:])
    if (matrices == matrices[0]).all():
        return dense(lowering, a, matrices[0].T)
    count = len(lead)
    name, turned = lowering.graph_permute(a.name, a.shape, [count, *range(count), count + 1])
    name, flat = lowering.graph_reshape(name, turned, (tokens, len(matrices) * width))
    joined = dense(lowering, a.at(name, flat, [(n,) for n in flat.sizes]), block_diag(*matrices).T)
    name, turned = lowering.graph_reshape(joined.name, joined.shape, (tokens, *lead, matrices.shape[-1]))
    name, shape = lowering.graph_permute(name, turned, [*range(1, count + 1), 0, count + 1])
    return a.at(name, shape)


@operator("convolution", "conv1d", "conv2d", "_convolution")
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
    """One- and two-dimensional convolutions; torch.conv2d gives ``groups`` where aten gives ``transposed``."""
    if not isinstance(transposed, bool):
        transposed, groups = False, int(transposed)
    kernel = lowering.array(weight)
    space = kernel.ndim - 2
    stride, dilation = _spread(stride, space), _spread(dilation, space)
    if transposed or space not in (1, 2) or any(d != 1 for d in dilation):
        found = f"{space}d, transposed {transposed}, dilation {dilation}"
        raise Refusal("ND101", "a convolution of this kind", found, "1d or 2d, not transposed, dilation 1")
    if not x.batched or x.rank != space + 2:
        raise Refusal("ND105", "a convolution whose batch is not the first of its axes", x.sizes)
    offset = None if bias is None else lowering.array(bias)
    pads = _paddings(padding, kernel.shape[2:], stride)
    if space == 1:
        return _conv1d(lowering, x, kernel, offset, stride[0], pads[0], groups)
    return conv2d(lowering, x, kernel, offset, stride, pads, groups)


def conv2d(
    lowering: Lowering, x: Stream, weight: Array, bias: Array | None, stride: Axes, padding: Axes, groups: int
) -> Stream:
    """A convolutional synapse on (C, Y, X)."""
    along = zip(x.shape.sizes[1:], padding, weight.shape[2:], stride, strict=True)
    sizes = (len(weight), *((n + 2 * p - k) // s + 1 for n, p, k, s in along))
    shape = Shape(("C", *x.shape.roles[1:]), sizes)
    geometry = {"stride": stride, "padding": padding, "groups": int(groups)}
    return x.at(_synapse(lowering, x.name, shape, weight, bias, "conv", **geometry), shape)


def _conv1d(
    lowering: Lowering, x: Stream, weight: Array, bias: Array | None, stride: int, padding: int, groups: int
) -> Stream:
    """Kernel 1: a dense synapse over tokens; else a convolution over one row of pixels."""
    if weight.shape[2] == 1 and stride == 1 and padding == 0 and groups == 1:
        tokens = lowering.permute(x, (0, 2, 1))
        return lowering.permute(dense(lowering, tokens, weight[:, :, 0], bias), (0, 2, 1))
    batch, channels, length = x.sizes
    row = lowering.reshape(x, (batch, channels, 1, length))
    out = conv2d(lowering, row, weight[:, :, None], bias, (1, stride), (0, padding), groups)
    return lowering.reshape(out, (batch, len(weight), out.sizes[-1]))


def _spread(value: Any, count: int) -> Axes:
    """One number or a list of them, as torch takes it."""
    values = (value,) if isinstance(value, int) else tuple(int(v) for v in value)
    return values * count if len(values) == 1 else values


def _paddings(padding: Any, kernel: Sequence[int], stride: Sequence[int]) -> Axes:
    """Zeros on both sides of each spatial axis; Refusal ND101 where the sides differ."""
    if padding == "valid":
        return (0,) * len(kernel)
    if padding == "same":
        if any(k % 2 == 0 for k in kernel) or any(s != 1 for s in stride):
            cause, limit = "padding 'same' that is not symmetric", "odd kernels, stride 1"
            raise Refusal("ND101", cause, tuple(kernel), limit)
        return tuple(k // 2 for k in kernel)
    return _spread(padding, len(kernel))


def affine(lowering: Lowering, x: Stream, factor: Array, offset: Array | None, axis: int | None) -> Stream:
    """x * factor + offset per element of one graph axis (None: one factor for all) as a diagonal synapse.

    The passes fold it into a neighbour; where that is impossible it stays, as honest as any other synapse.
    """
    axes = len(x.shape.sizes)
    axis = axes - 1 if axis is None else axis
    if axes == 0:
        raise Refusal("ND101", "a scale on a single number", x.sizes, "at least one axis beside the batch")
    factor = np.broadcast_to(factor, (x.shape.sizes[axis],))
    if axis == 0 and axes == 3:
        kernel = factor[:, None, None, None]
        return x.at(_synapse(lowering, x.name, x.shape, kernel, offset, "conv", groups=len(factor)), x.shape)
    order = [a for a in range(axes) if a != axis] + [axis]
    name, shape = lowering.graph_permute(x.name, x.shape, order)
    name = _synapse(lowering, name, shape, np.diag(factor), offset, "dense")
    name, shape = lowering.graph_permute(name, shape, [order.index(a) for a in range(axes)])
    return x.at(name, shape)


@operator("batch_norm", "cudnn_batch_norm")
def batch_norm(
    lowering: Lowering,
    x: Stream,
    weight: Any = None,
    bias: Any = None,
    running_mean: Any = None,
    running_var: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
    cudnn_enabled: bool = False,
) -> Stream:
    """(x - mean) / sqrt(var + eps) * weight + bias per channel (torch axis 1), with the stored statistics."""
    if training or running_mean is None or running_var is None:
        cause = "a batch norm that uses the statistics of the batch"
        fix = "call eval() and keep track_running_stats"
        raise Refusal("ND105", cause, "training", "stored statistics", fix)
    mean, variance = lowering.array(running_mean), lowering.array(running_var)
    gamma = np.ones_like(mean) if weight is None else lowering.array(weight)
    beta = np.zeros_like(mean) if bias is None else lowering.array(bias)
    factor = gamma / np.sqrt(variance + eps)
    return affine(lowering, x, factor, beta - mean * factor, x.axis(1, "batch norm"))


@operator("native_batch_norm")
def native_batch_norm(lowering: Lowering, *args: Any) -> tuple[Any, ...]:
    """The basic form, which says whether it trains; its two saved statistics are never read."""
    return batch_norm(lowering, *args), None, None


@operator("_native_batch_norm_legit_no_training")
def batch_norm_no_training(
    lowering: Lowering, x: Stream, weight: Any, bias: Any, mean: Any, var: Any, momentum: float, eps: float
) -> tuple[Any, ...]:
    """The decomposed form; its two saved statistics are never read."""
    return batch_norm(lowering, x, weight, bias, mean, var, eps=eps), None, None
