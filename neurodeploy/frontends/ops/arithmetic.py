"""Sums, differences, and products with constants or between streams."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import reduce
from math import prod
from typing import Any

import numpy as np

from ...array import Array
from ...ir.nodes import Micro, Sum
from ...ir.types import Shape
from ..bounds import bounds
from ..lookups import hides
from ..lowering import Lowering
from ..values import HIDING, MaskedScores, OfIds, Pair, Refusal, Scores, Stream, depends, plain
from ._base import operator
from ._letters import hadamard
from .linear import affine, matmul


@operator(
    "add", "iadd", "__add__", "__iadd__", "add_", "__radd__",
    reads=(MaskedScores, OfIds), elementwise=True, by_tick=True,
)  # fmt: skip
def add(lowering: Lowering, a: Any, b: Any, alpha: float = 1.0) -> Scores:
    """a + alpha b with broadcasting; constants become Const nodes, but for the part of them that is a mask."""
    b = _scaled(lowering, b, alpha)
    scores, constant = (a, b) if depends(a) else (b, a)
    if not depends(constant):
        values = lowering.array(constant)
        hidden = values <= HIDING
        if hidden.any() and not hidden.all():  # one number for all is no mask
            masked, rest = lowering.hide(plain(scores), hidden), np.where(hidden, 0.0, values)
            return _sum(lowering, masked, rest) if rest.any() else masked
    return _sum(lowering, a, b)


@operator("sub", "isub", "__sub__", "sub_", "subtract", reads=(OfIds,), elementwise=True, by_tick=True)
def sub(lowering: Lowering, a: Any, b: Any, alpha: float = 1.0) -> Scores:
    """a - alpha b."""
    return _sum(lowering, a, _scaled(lowering, b, alpha), -1)


@operator("rsub", "__rsub__", reads=(OfIds,), elementwise=True, by_tick=True)
def rsub(lowering: Lowering, a: Any, b: Any, alpha: float = 1.0) -> Scores:
    """b - alpha a."""
    return sub(lowering, b, a, alpha)


def _scaled(lowering: Lowering, item: Any, factor: float) -> Any:
    if factor == 1:
        return item
    _require_shown(item)
    return mul(lowering, plain(item), factor) if depends(item) else lowering.array(item) * factor


def _require_shown(item: Any) -> None:
    """Refusal ND101 for an operand that only a softmax may read."""
    if _hidden(item) is not None:
        raise Refusal("ND101", "scores hidden by a mask are subtracted or scaled", plain(item).sizes)


def _hidden(item: Any) -> Array | None:
    """What of an operand a constant mask hides, nothing where a mask of tokens does; None for any other."""
    if isinstance(item, MaskedScores):
        return item.hidden
    return np.zeros(item.stream.shape.sizes, bool) if isinstance(item, OfIds) and hides(item) else None


def _sum(lowering: Lowering, a: Any, b: Any, sign: int = 1) -> Scores:
    """a + sign b."""
    if sign < 0:
        _require_shown(b)
    terms = [item.scores if isinstance(item, MaskedScores) else plain(item) for item in (a, b)]
    if lowering.ticks and sign > 0 and (total := _accumulated(lowering, *terms)) is not None:
        return total
    terms = _aligned(lowering, terms)
    like = next(term for term in terms if isinstance(term, Stream))
    constant = next((place for place, term in enumerate(terms) if not isinstance(term, Stream)), None)
    if constant is not None and isinstance(a if constant else b, Stream):
        ticks = lowering.by_tick(terms[constant], like)
        if ticks is not None:
            signs = (1.0, float(sign))
            return _by_tick(lowering, like, signs[1 - constant], signs[constant] * ticks)
    parts = [_operand(lowering, term, like) for term in terms]
    sizes = tuple(np.broadcast_shapes(*(shape.sizes for _, shape in parts)))
    shape = Shape(like.shape.roles, sizes)
    out = like.at(lowering.add(Sum, [name for name, _ in parts], shape, signs=(1, sign)), shape)
    hidden = [np.broadcast_to(part, sizes) for part in map(_hidden, (a, b)) if part is not None]
    of_ids = any(isinstance(item, OfIds) or getattr(item, "of_ids", False) for item in (a, b))
    return MaskedScores(out, np.logical_or.reduce(hidden), of_ids) if hidden else out


def _by_tick(lowering: Lowering, stream: Stream, gain: Array | float, offset: Array | float) -> Stream:
    """gain(t) x + offset(t), each of one more axis than the stream, or one number."""
    one = (1,) * len(stream.shape.sizes)
    rows = [np.broadcast_to(x, (stream.ticks, *(np.shape(x)[1:] or one))) for x in (gain, offset)]
    sizes = np.broadcast_shapes(stream.shape.sizes, *(row.shape[1:] for row in rows))
    shape = Shape(stream.shape.roles, sizes)
    stream = stream.at(lowering.view(stream.name, stream.shape, "broadcast", sizes, shape), shape)
    return lowering.like(stream, Micro, op="affine_by_tick", params={"gain": rows[0], "offset": rows[1]})


def _accumulated(lowering: Lowering, a: Any, b: Any) -> Stream | None:
    """A sum over ticks of a loop with one more, or with the nothing that it begins with; None for any other sum."""
    for total, one in ((a, b), (b, a)):
        if not isinstance(one, Stream) or not one.tick or one.partial:
            continue
        if not isinstance(total, Stream) and not np.any(lowering.array(total)):
            sizes = np.broadcast_shapes(lowering.array(total).shape, one.sizes)
            return one if sizes == one.sizes else None
        begun = isinstance(total, Stream) and total == replace(one, tick=one.tick - 1, partial=total.partial)
        if begun and (total.partial or total.tick == 1):
            last = one.tick == lowering.ticks
            return replace(one, tick=0, readout="sum") if last else replace(one, partial=True)
    return None


def _rank(lowering: Lowering, item: Any) -> int:
    return item.rank if isinstance(item, Stream) else lowering.array(item).ndim


def _aligned(lowering: Lowering, terms: Sequence[Any]) -> list[Any]:
    """The operands of an elementwise operator, streams with as many axes as the longest has."""
    rank = max(_rank(lowering, term) for term in terms)
    terms = [lowering.lifted(term, rank) if isinstance(term, Stream) else term for term in terms]
    if all(isinstance(term, Stream) for term in terms):
        first, second = terms
        return list(lowering.met(first, second, "a sum"))
    return [_beside(lowering, t, terms) if isinstance(t, Stream) else t for t in terms]


def _beside(lowering: Lowering, stream: Stream, terms: Sequence[Any]) -> Stream:
    """A stream with ticks where a constant repeats it once for each."""
    sizes = np.broadcast_shapes(
        stream.sizes, *(lowering.array(t).shape for t in terms if not isinstance(t, Stream))
    )
    return lowering.over_time(stream, sizes)


def _operand(lowering: Lowering, item: Any, like: Stream) -> tuple[str, Shape]:
    """One operand of a sum, with as many graph axes as ``like``."""
    if isinstance(item, Stream):
        return item.name, item.shape
    return lowering.const(lowering.aligned(item, like), like.shape.roles)


@operator(
    "mul", "imul", "__mul__", "__imul__", "__rmul__", "mul_", "multiply",
    reads=(MaskedScores, OfIds), elementwise=True, by_tick=True,
)  # fmt: skip
def times(lowering: Lowering, a: Any, b: Any) -> Scores:
    """a b; of scores that a mask hides, what is minus infinity stays so. Masks of two tokens are one of the pair."""
    if isinstance(a, OfIds) and isinstance(b, OfIds):
        made = hadamard(lowering, a.stream, b.stream)
        if lowering.binary(made.name):
            lowering.pairs[made.name] = Pair(a, b)
        return made
    a, b = plain(a), plain(b)
    if isinstance(a, MaskedScores) or isinstance(b, MaskedScores):
        return _hidden_scaled(lowering, *((a, b) if isinstance(a, MaskedScores) else (b, a)))
    return mul(lowering, a, b)


def mul(lowering: Lowering, a: Any, b: Any) -> Stream:
    """A dynamic product of two streams, or a diagonal synapse for a constant factor."""
    if isinstance(a, Stream) and isinstance(b, Stream):
        return hadamard(lowering, a, b)
    stream, constant = (a, b) if isinstance(a, Stream) else (b, a)
    stream = next(t for t in _aligned(lowering, (stream, constant)) if isinstance(t, Stream))
    ticks = lowering.by_tick(constant, stream)
    array = lowering.aligned(constant, stream) if ticks is None else ticks[0]
    if (array <= HIDING).any():
        cause = "a mask that depends on several tokens at once, as a stream times a hugely negative number"
        limit = f"factors above {HIDING:g}, or a mask of each token by itself"
        raise Refusal("ND101", cause, f"{array.min():g}", limit)
    if ticks is not None:
        return _by_tick(lowering, stream, ticks, 0.0)
    sizes = np.broadcast_shapes(array.shape, stream.shape.sizes)
    wide = Shape(stream.shape.roles, sizes)
    stream = stream.at(lowering.view(stream.name, stream.shape, "broadcast", sizes, wide), wide)
    axes = [a for a in range(array.ndim) if (array != array.take([0], a)).any()]
    factors = array[tuple(slice(None) if a in axes else 0 for a in range(array.ndim))].reshape(-1)
    if len(axes) < 2:
        return affine(lowering, stream, factors, None, axes[0] if axes else None)
    return _gate(lowering, stream, factors, axes)


def _hidden_scaled(lowering: Lowering, scores: MaskedScores, factor: Any) -> MaskedScores:
    """Masked scores times a number above 0: what is minus infinity stays so."""
    if depends(factor) or scores.of_ids or not (lowering.array(factor) > 0).all():
        cause, limit = "scores hidden by a mask are scaled", "a constant mask, and a constant factor above 0"
        raise Refusal("ND101", cause, scores.sizes, limit, "scale the scores before the mask")
    return replace(scores, scores=mul(lowering, scores.scores, factor))


def _gate(lowering: Lowering, stream: Stream, factors: Array, axes: list[int]) -> Stream:
    """A factor per element of several axes, as cosines and sines of rotary positions are: a diagonal along all of them.

    Joined in front they are the channels of a kernel of one pixel, so that a factor is stored once for all heads.
    """
    sizes = stream.shape.sizes
    order = [*axes, *(a for a in range(len(sizes)) if a not in axes)]
    name, turned = lowering.graph_permute(stream.name, stream.shape, order)
    name, flat = lowering.graph_reshape(name, turned, (len(factors), prod(sizes) // len(factors), 1))
    joined = stream.at(name, flat, [(n,) for n in flat.sizes])
    gated = affine(lowering, joined, factors, None, 0)
    name, turned = lowering.graph_reshape(gated.name, flat, turned.sizes)
    name, shape = lowering.graph_permute(name, turned, [order.index(a) for a in range(len(sizes))])
    return stream.at(name, shape)


@operator("addcmul", reads=(OfIds,))
def addcmul(lowering: Lowering, c: Any, a: Any, b: Any, value: float = 1.0) -> Scores:
    """c + value a b, elementwise."""
    a, b = plain(a), plain(b)
    product = mul(lowering, a, b) if depends([a, b]) else lowering.array(a) * lowering.array(b)
    return add(lowering, c, product, value)


@operator("baddbmm", reads=(OfIds,))
def baddbmm(lowering: Lowering, c: Any, a: Any, b: Any, beta: float = 1.0, alpha: float = 1.0) -> Scores:
    """beta c + alpha a b over batches of matrices."""
    a, b = plain(a), plain(b)
    if not depends([a, b]):
        raise Refusal("ND101", "baddbmm of two constant matrices and a stream", "", "", "use matmul and add")
    product = matmul(lowering, a, b)
    product = product if alpha == 1 else mul(lowering, product, alpha)
    if not beta or (not depends(c) and not lowering.array(c).any()):
        return product
    return add(lowering, product, c, beta)


@operator(
    "div",
    "truediv",
    "itruediv",
    "__truediv__",
    "div_",
    "true_divide",
    "divide",
    reads=(MaskedScores,),
    elementwise=True,
    by_tick=True,
)
def div(lowering: Lowering, a: Any, b: Any, rounding_mode: Any = None) -> Scores:
    """Division by a constant, or by a stream that is held above 0."""
    if rounding_mode is None and isinstance(b, Stream) and bounds(lowering, b.name)[0] > 0:
        return times(lowering, a, reciprocal(lowering, b))
    if depends(b) or rounding_mode is not None:
        cause, found = "a division by a stream, or a rounding one", rounding_mode or "stream"
        fix = "of a mean over the tokens that a mask shows: multiply them by the softmax of the mask"
        raise Refusal("ND101", cause, found, "a constant divisor", fix)
    return times(lowering, a, 1.0 / lowering.array(b))


@operator("reciprocal", "reciprocal_")
def reciprocal(lowering: Lowering, x: Stream) -> Stream:
    """1 / x of what lies above a positive bound."""
    side, _, source = lowering.held.get(x.name, ("", 0.0, x))
    floor, _ = bounds(lowering, x.name)
    if floor <= 0:
        cause, limit = "a division by what may come near 0", "a / b.clamp(min=c) with c > 0"
        raise Refusal("ND101", cause, "reciprocal", limit, "clamp the divisor, or divide by a constant")
    source = source if side == "above" else x
    return lowering.like(source, Micro, op="reciprocal", params={"floor": floor})


@operator("neg", "negative", elementwise=True)
def neg(lowering: Lowering, x: Stream) -> Stream:
    """-x."""
    return mul(lowering, x, -1.0)


@operator("square")
def square(lowering: Lowering, x: Stream) -> Stream:
    """x x."""
    return hadamard(lowering, x, x)


@operator("pow", "__pow__")
def power(lowering: Lowering, x: Any, exponent: Any) -> Stream:
    """x ** n for whole n from 1 to 4, as a product of the stream with itself."""
    power = None if depends(exponent) else lowering.array(exponent)
    if (
        not isinstance(x, Stream)
        or power is None
        or power.size != 1
        or float(power.reshape(())) not in (1, 2, 3, 4)
    ):
        found = "a stream" if power is None else f"{power.reshape(-1)[0]:g}"
        raise Refusal("ND101", "a power that is no product", found, "an exponent of 1, 2, 3 or 4")
    factors = [x] * int(power.reshape(()))
    return reduce(lambda a, b: hadamard(lowering, a, b), factors)


@operator("lerp")
def lerp(lowering: Lowering, a: Any, b: Any, weight: Any) -> Scores:
    """a + weight (b - a) for a constant weight."""
    if depends(weight):
        raise Refusal(
            "ND101", "an interpolation whose weight depends on the input", "lerp", "a constant weight"
        )
    return add(lowering, a, mul(lowering, sub(lowering, b, a), weight))
