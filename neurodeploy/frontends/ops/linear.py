"""Linear layers, batch norm and products with constants: what becomes a dense or a diagonal Synapse."""

from __future__ import annotations

from typing import Any

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
    return x.at(synapse(lowering, x.name, shape, weight, bias, "dense"), shape)


def synapse(
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
        return x.at(synapse(lowering, x.name, x.shape, kernel, offset, "conv", groups=len(factor)), x.shape)
    order = [a for a in range(axes) if a != axis] + [axis]
    name, shape = lowering.graph_permute(x.name, x.shape, order)
    name = synapse(lowering, name, shape, np.diag(factor), offset, "dense")
    name, shape = lowering.graph_permute(name, shape, [order.index(a) for a in range(axes)])
    return x.at(name, shape)


@operator("cumsum")
def cumsum(lowering: Lowering, x: Stream, dim: int, dtype: Any = None) -> Stream:
    """Running sums along an axis: a product with a triangle of ones."""
    return along(lowering, x, dim, np.tril(np.ones((x.sizes[x.dim(dim)],) * 2)))


def along(lowering: Lowering, x: Stream, dim: int, weight: Array) -> Stream:
    """A dense synapse (O, C) on any torch axis."""
    x.axis(dim, "a linear map")
    return transpose(lowering, dense(lowering, transpose(lowering, x, dim, -1), weight), dim, -1)


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
