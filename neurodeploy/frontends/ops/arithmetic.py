"""Sums, differences, and products with constants or between streams."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import Any

import numpy as np

from ...array import Array
from ...ir.nodes import Sum
from ...ir.types import Shape
from ..lookups import HIDING, hidden_by
from ..lowering import Lowering, Refusal, Stream, operator
from ._letters import hadamard
from .linear import affine, matmul
from .masks import hide


@operator("add", "iadd", "__add__", "__iadd__", "add_", "__radd__")
def add(lowering: Lowering, a: Any, b: Any, alpha: float = 1.0) -> Stream:
    """a + alpha b with broadcasting; constants become Const nodes."""
    return _sum(lowering, a, b, 1, 1, alpha)


@operator("sub", "isub", "__sub__", "sub_", "subtract")
def sub(lowering: Lowering, a: Any, b: Any, alpha: float = 1.0) -> Stream:
    """a - alpha b."""
    return _sum(lowering, a, b, 1, -1, alpha)


@operator("rsub", "__rsub__")
def rsub(lowering: Lowering, a: Any, b: Any, alpha: float = 1.0) -> Stream:
    """b - alpha a."""
    return _sum(lowering, b, a, 1, -1, alpha)


def _sum(lowering: Lowering, a: Any, b: Any, sign_a: int, sign_b: int, alpha: float) -> Stream:
    if alpha != 1:
        b = mul(lowering, b, alpha) if isinstance(b, Stream) else lowering.array(b) * alpha
    scores, mask = (a, b) if isinstance(a, Stream) else (b, a)
    if not isinstance(mask, Stream) and sign_a == sign_b == 1:
        values = lowering.array(mask)
        if (values <= HIDING).any() and not (values <= HIDING).all():  # one number for all is no mask
            scores = hide(lowering, scores, values <= HIDING)
            values = np.where(values <= HIDING, 0.0, values)
            if not values.any():
                return scores
            a, b = scores, values
    hidden = [found for item in (a, b) if (found := hidden_by(lowering, item)) is not None]
    if hidden and (sign_a, sign_b, alpha) != (1, 1, 1):
        raise Refusal("ND101", "scores hidden by a mask are subtracted or scaled", scores.sizes)
    rank = max(_rank(lowering, a), _rank(lowering, b))
    like = next(_lifted(lowering, t, rank) for t in (a, b) if isinstance(t, Stream))
    parts = [_operand(lowering, t, like) for t in (a, b)]
    sizes = tuple(np.broadcast_shapes(*(shape.sizes for _, shape in parts)))
    shape = Shape(like.shape.roles, sizes)
    name = lowering.add(Sum, [name for name, _ in parts], shape, signs=(sign_a, sign_b))
    kept = np.logical_or.reduce([np.broadcast_to(part, sizes) for part in hidden]) if hidden else None
    return replace(lowering.moved(like, name, shape), hidden=kept)


def _rank(lowering: Lowering, item: Any) -> int:
    return item.rank if isinstance(item, Stream) else lowering.array(item).ndim


def _lifted(lowering: Lowering, stream: Stream, rank: int) -> Stream:
    """The stream with axes of size 1 in front."""
    return lowering.reshape(stream, (1,) * (rank - stream.rank) + stream.sizes)


def _operand(lowering: Lowering, item: Any, like: Stream) -> tuple[str, Shape]:
    """One operand of a sum, with as many graph axes as ``like``."""
    if isinstance(item, Stream):
        stream = _lifted(lowering, item, like.rank)
        if stream.place != like.place:
            raise Refusal(
                "ND105",
                "a sum of streams whose batch axes do not meet",
                f"{item.sizes} and {like.sizes}",
                "the batch in the same axis of both",
            )
        return stream.name, stream.shape
    array = lowering.aligned(lowering.array(item), like)
    return lowering.const(array, like.shape.roles), Shape(like.shape.roles, array.shape)


@operator("mul", "imul", "__mul__", "__imul__", "__rmul__", "mul_", "multiply")
def mul(lowering: Lowering, a: Any, b: Any) -> Stream:
    """A dynamic product of two streams, or a diagonal synapse for a constant factor."""
    if isinstance(a, Stream) and isinstance(b, Stream):
        return hadamard(lowering, a, b)
    stream, constant = (a, b) if isinstance(a, Stream) else (b, a)
    stream = _lifted(lowering, stream, max(stream.rank, _rank(lowering, constant)))
    array = lowering.aligned(lowering.array(constant), stream)
    if (array <= HIDING).any():
        raise Refusal(
            "ND101",
            "a mask that depends on several tokens at once, as a stream times a hugely negative number",
            f"{array.min():g}",
            f"factors above {HIDING:g}, or a mask of each token by itself",
        )
    if any(n not in (1, s) for n, s in zip(array.shape, stream.shape.sizes, strict=True)):
        raise Refusal(
            "ND101",
            "a constant gate that repeats the stream",
            array.shape,
            f"at most {stream.shape.sizes}",
            "expand the stream before the product",
        )
    axes = [a for a in range(array.ndim) if (array != array.take([0], a)).any()]
    factors = array[tuple(slice(None) if a in axes else 0 for a in range(array.ndim))].reshape(-1)
    if len(axes) < 2:
        return affine(lowering, stream, factors, None, axes[0] if axes else None)
    return _gate(lowering, stream, factors, axes)


def _gate(lowering: Lowering, stream: Stream, factors: Array, axes: list[int]) -> Stream:
    """A factor per element of several axes, as cosines and sines of rotary positions are: a diagonal along all of them.

    Joined in front they are the channels of a kernel of one pixel, so that a factor is stored once for all heads.
    """
    sizes = stream.shape.sizes
    order = [*axes, *(a for a in range(len(sizes)) if a not in axes)]
    name, turned = lowering.graph_permute(stream.name, stream.shape, order)
    name, flat = lowering.graph_reshape(name, turned, (len(factors), prod(sizes) // len(factors), 1))
    gated = affine(lowering, replace(stream, name=name, shape=flat), factors, None, 0)
    name, turned = lowering.graph_reshape(gated.name, flat, turned.sizes)
    name, shape = lowering.graph_permute(name, turned, [order.index(a) for a in range(len(sizes))])
    return lowering.moved(stream, name, shape)


@operator("addcmul")
def addcmul(lowering: Lowering, c: Any, a: Any, b: Any, value: float = 1.0) -> Stream:
    """c + value a b, elementwise."""
    constant = not isinstance(a, Stream) and not isinstance(b, Stream)
    product = lowering.array(a) * lowering.array(b) if constant else mul(lowering, a, b)
    return add(lowering, c, product, value)


@operator("baddbmm")
def baddbmm(lowering: Lowering, c: Any, a: Any, b: Any, beta: float = 1.0, alpha: float = 1.0) -> Stream:
    """beta c + alpha a b over batches of matrices."""
    if not isinstance(a, Stream) and not isinstance(b, Stream):
        raise Refusal("ND101", "baddbmm of two constant matrices and a stream", "", "", "use matmul and add")
    product = matmul(lowering, a, b)
    product = product if alpha == 1 else mul(lowering, product, alpha)
    if not beta or (not isinstance(c, Stream) and not lowering.array(c).any()):
        return product
    return add(lowering, product, c, beta)


@operator("div", "truediv", "itruediv", "__truediv__", "div_", "true_divide", "divide")
def div(lowering: Lowering, a: Any, b: Any, rounding_mode: Any = None) -> Stream:
    """Division by a constant."""
    if isinstance(b, Stream) or rounding_mode is not None:
        raise Refusal(
            "ND101",
            "a division by a stream, or a rounding one",
            rounding_mode or "stream",
            "a constant divisor",
            "of a mean over the tokens that a mask shows: multiply them by the softmax of the mask",
        )
    return mul(lowering, a, 1.0 / lowering.array(b))


@operator("neg", "negative")
def neg(lowering: Lowering, x: Stream) -> Stream:
    """-x."""
    return mul(lowering, x, -1.0)
