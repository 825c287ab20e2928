"""Functions of straight pieces, each a rectifier with sums around it, min(x, c) = c - relu(c - x); and smooth bends."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...ir.nodes import Micro
from ..bounds import bounds
from ..lowering import Lowering
from ..values import MaskedScores, Refusal, Scores, Stream, depends
from ._base import operator
from .arithmetic import add, mul, neg, sub
from .pool import amax

#: of Klambauer et al. (2017), as torch has them
SELU_ALPHA, SELU_SCALE = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946
#: torch's softplus is x itself above its threshold; from here on the step is smaller than the table can show
SMOOTH = 10.0


def relu(lowering: Lowering, x: Stream) -> Stream:
    """max(x, 0)."""
    return lowering.like(x, Micro, op="relu")


@operator("maximum", reads=(MaskedScores,))
def maximum(lowering: Lowering, x: Any, other: Any = None) -> Scores:
    """max(x, c) = c + relu(x - c), of streams and constants.

    The stream itself beside the least number of its type, by which libraries keep scores from minus infinity.
    """
    stream, bound = (x, other) if depends(x) else (other, x)
    if not depends(bound):
        least = lowering.array(bound)
        repeats = np.broadcast_shapes(least.shape, stream.sizes) != stream.sizes
        if not repeats and (least <= np.finfo(np.float32).min).all():
            return stream  # type: ignore[no-any-return]
    if isinstance(stream, MaskedScores) or isinstance(bound, MaskedScores):
        cause, limit = "a maximum that may change scores hidden by a mask", "the least number of their type"
        raise Refusal("ND101", cause, stream.sizes, limit)
    return _above(lowering, stream, bound)


def _above(lowering: Lowering, x: Stream, bound: Any) -> Stream:
    """max(x, bound)."""
    if not depends(bound) and not lowering.array(bound).any():
        return relu(
            lowering, lowering.broadcast(x, np.broadcast_shapes(x.sizes, lowering.array(bound).shape))
        )
    made: Any = add(lowering, relu(lowering, sub(lowering, x, bound)), bound)  # type: ignore[arg-type]
    return _noted(lowering, made, "above", bound, x)


def _noted(lowering: Lowering, made: Stream, side: str, bound: Any, x: Stream) -> Stream:
    """A clipped stream, of which is known where, for operators that clip by themselves."""
    if not depends(bound) and lowering.array(bound).size == 1 and made.sizes == x.sizes:
        lowering.held[made.name] = side, float(lowering.array(bound).reshape(())), x
    return made


@operator("exp", "exp_")
def exp(lowering: Lowering, x: Stream) -> Stream:
    """exp of what lies below a bound of its own, which says how large it may become."""
    side, _, source = lowering.held.get(x.name, ("", 0.0, x))
    _, top = bounds(lowering, x.name)
    source = source if side == "below" else x
    if top == np.inf:
        cause, limit = "an exponential of what has no upper bound", "torch.exp(x.clamp(max=c))"
        raise Refusal(
            "ND101", cause, "exp", limit, "clamp what it is taken of, at a number that it never exceeds"
        )
    return lowering.like(source, Micro, op="exp", params={"top": top})


@operator("minimum")
def minimum(lowering: Lowering, x: Any, other: Any = None) -> Stream:
    """min(x, c) = c - relu(c - x), of streams and constants."""
    stream, bound = (x, other) if depends(x) else (other, x)
    made: Any = sub(lowering, bound, relu(lowering, sub(lowering, bound, stream)))  # type: ignore[arg-type]
    return _noted(lowering, made, "below", bound, stream)


@operator("max", reads=(MaskedScores,))
def max_(lowering: Lowering, x: Any, other: Any = None, keepdim: bool = False, dim: Any = None) -> Any:
    """Torch's three in one: over all, along an axis (with positions, which nothing may read), of two tensors."""
    other = dim if other is None else other
    if isinstance(other, int) and isinstance(x, Stream):
        return amax(lowering, x, other, keepdim), None
    if other is None or isinstance(other, int):
        raise Refusal("ND101", "a maximum over all elements, samples included, or of masked scores", x.sizes)
    return maximum(lowering, x, other)


@operator("min")
def min_(lowering: Lowering, x: Any, other: Any = None, keepdim: bool = False, dim: Any = None) -> Any:
    """The same of the minimum."""
    other = dim if other is None else other
    if isinstance(other, int):
        return amin(lowering, x, other, keepdim), None
    if other is None:
        raise Refusal("ND101", "a minimum over all elements, samples included", x.sizes)
    return minimum(lowering, x, other)


@operator("amin")
def amin(lowering: Lowering, x: Stream, dim: Any = None, keepdim: bool = False) -> Stream:
    """Minimum over axes: the negated maximum of what is negated."""
    return neg(lowering, amax(lowering, neg(lowering, x), dim, keepdim))


@operator("clamp", "clip", "clamp_", "clip_", "hardtanh", "hardtanh_", elementwise=True)
def clamp(lowering: Lowering, x: Stream, *bounds: Any, **named: Any) -> Stream:
    """min(max(x, lowest), highest); a hardtanh without bounds has -1 and 1."""
    default: tuple[Any, ...] = (-1.0, 1.0) if lowering.call.op.startswith("hardtanh") else (None, None)
    lowest, highest = (*bounds, *default[len(bounds) :])
    lowest, highest = named.get("min", lowest), named.get("max", highest)
    lowest, highest = named.get("min_val", lowest), named.get("max_val", highest)
    x = x if lowest is None else _above(lowering, x, lowest)
    return x if highest is None else minimum(lowering, x, highest)


@operator("clamp_min", "clamp_min_", elementwise=True)
def clamp_min(lowering: Lowering, x: Stream, min: Any) -> Stream:
    """max(x, min)."""
    return _above(lowering, x, min)


@operator("clamp_max", "clamp_max_", elementwise=True)
def clamp_max(lowering: Lowering, x: Stream, max: Any) -> Stream:
    """min(x, max)."""
    return minimum(lowering, x, max)


@operator("relu6")
def relu6(lowering: Lowering, x: Stream, inplace: bool = False) -> Stream:
    """min(relu(x), 6)."""
    return minimum(lowering, relu(lowering, x), 6.0)


@operator("abs", "absolute", "__abs__")
def absolute(lowering: Lowering, x: Stream) -> Stream:
    """relu(x) + relu(-x)."""
    parts = relu(lowering, x), relu(lowering, neg(lowering, x))
    return add(lowering, *parts)  # type: ignore[return-value]


@operator("leaky_relu", "leaky_relu_")
def leaky_relu(lowering: Lowering, x: Stream, negative_slope: float = 0.01, inplace: bool = False) -> Stream:
    """relu(x) - slope relu(-x)."""
    return prelu(lowering, x, np.float64(negative_slope))


@operator("prelu", "_prelu_kernel")
def prelu(lowering: Lowering, x: Stream, weight: Any) -> Stream:
    """relu(x) - w relu(-x), w for each channel (torch axis 1) or for all."""
    slope = lowering.array(weight)
    slope = slope.reshape(-1, *(1,) * (x.rank - 2)) if slope.ndim == 1 and slope.size > 1 else slope
    below = mul(lowering, relu(lowering, neg(lowering, x)), slope.reshape(()) if slope.size == 1 else slope)
    return sub(lowering, relu(lowering, x), below)  # type: ignore[return-value]


@operator("hardsigmoid")
def hardsigmoid(lowering: Lowering, x: Stream, inplace: bool = False) -> Stream:
    """clamp(x + 3, 0, 6) / 6."""
    raised = relu(lowering, add(lowering, x, 3.0))  # type: ignore[arg-type]
    return mul(lowering, minimum(lowering, raised, 6.0), 1 / 6)


@operator("hardswish", "hardswish_")
def hardswish(lowering: Lowering, x: Stream, inplace: bool = False) -> Stream:
    """x times its hard sigmoid."""
    return mul(lowering, x, hardsigmoid(lowering, x))


@operator("elu", "elu_")
def elu(
    lowering: Lowering,
    x: Stream,
    alpha: float = 1.0,
    scale: float = 1.0,
    input_scale: float = 1.0,
    inplace: bool = False,
) -> Stream:
    """scale x on the right, scale alpha (exp(input_scale x) - 1) on the left."""
    params = {"alpha": float(alpha), "scale": float(scale), "input_scale": float(input_scale)}
    if not alpha or min(scale, input_scale) <= 0:
        raise Refusal(
            "ND101", "an ELU that does not bend, or not between these lines", str(params), "above 0"
        )
    return lowering.like(x, Micro, op="elu", params=params)


@operator("selu", "selu_")
def selu(lowering: Lowering, x: Stream, inplace: bool = False) -> Stream:
    """The ELU of self-normalising networks."""
    return elu(lowering, x, SELU_ALPHA, SELU_SCALE)


@operator("celu", "celu_")
def celu(lowering: Lowering, x: Stream, alpha: float = 1.0, inplace: bool = False) -> Stream:
    """An ELU whose slope is continuous."""
    return elu(lowering, x, alpha, 1.0, 1.0 / alpha)


@operator("softplus")
def softplus(lowering: Lowering, x: Stream, beta: float = 1.0, threshold: float = 20.0) -> Stream:
    """log(1 + exp(beta x)) / beta."""
    if threshold < SMOOTH or beta <= 0:
        found = f"threshold {threshold:g}, beta {beta:g}"
        raise Refusal("ND101", "a softplus that jumps", found, f"threshold {SMOOTH:g} or more, beta above 0")
    params = {"beta": float(beta), "threshold": float(threshold)}
    return lowering.like(x, Micro, op="softplus", params=params)


@operator("log_sigmoid", "logsigmoid")
def log_sigmoid(lowering: Lowering, x: Stream) -> Stream:
    """-softplus(-x)."""
    return neg(lowering, softplus(lowering, neg(lowering, x)))


@operator("log_sigmoid_forward")
def log_sigmoid_forward(lowering: Lowering, x: Stream) -> tuple[Stream, None]:
    """The form of exported programs; its buffer is for gradients."""
    return log_sigmoid(lowering, x), None


@operator("glu")
def glu(lowering: Lowering, x: Stream, dim: int = -1) -> Stream:
    """The first half of an axis times the sigmoid of the second."""
    half = x.sizes[x.dim(dim)] // 2
    first, second = lowering.slice(x, dim, 0, half), lowering.slice(x, dim, half, None)
    return mul(lowering, first, lowering.like(second, Micro, op="sigmoid"))
