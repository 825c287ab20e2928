"""Constant masks, spelled as an addition, a fill or a choice: entries whose softmax is exactly 0."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ..lowering import Lowering, Refusal, Stream, operator

#: scores at or below it are hidden: exp(-1e4) is 0 in float64, and libraries hide by -1e4, -1e9 or the least float
HIDING = -1e4


def hide(lowering: Lowering, scores: Stream, hidden: np.ndarray) -> Stream:
    """Scores that a softmax will take for minus infinity where ``hidden``."""
    here = np.broadcast_to(lowering.aligned(hidden, scores) > 0, scores.shape.sizes)
    return replace(scores, hidden=here if scores.hidden is None else here | scores.hidden)


@operator("masked_fill", "masked_fill_")
def masked_fill(lowering: Lowering, x: Any, mask: Any, value: Any) -> Stream:
    """Hides by a hugely negative value; a fill by zero multiplies."""
    if not isinstance(x, Stream) or isinstance(mask, Stream) or isinstance(value, Stream):
        raise Refusal("ND101", "a mask that depends on the input", "masked_fill", "a constant mask")
    return _filled(lowering, x, lowering.array(mask).astype(bool), lowering.array(value))


@operator("where")
def where(lowering: Lowering, condition: Any, a: Any, b: Any) -> Stream:
    """A choice between a stream and a constant by a constant condition."""
    if isinstance(condition, Stream) or (isinstance(a, Stream) and isinstance(b, Stream)):
        raise Refusal("ND101", "a choice that depends on the input", "where", "a constant mask")
    mask = lowering.array(condition).astype(bool)
    stream, other, fill = (a, b, ~mask) if isinstance(a, Stream) else (b, a, mask)
    return _filled(lowering, stream, fill, lowering.array(other))


def _filled(lowering: Lowering, x: Stream, mask: np.ndarray, value: np.ndarray) -> Stream:
    from .arithmetic import mul

    if not mask.any():
        return x
    if (value <= HIDING).all():
        return hide(lowering, x, mask)
    if not value.any() and x.hidden is None:
        return mul(lowering, x, (~mask).astype(np.float64))
    raise Refusal(
        "ND101",
        "a constant put in the place of parts of a stream",
        f"values from {value.min():g} to {value.max():g}",
        f"0, or {HIDING:g} and less before a softmax",
    )
