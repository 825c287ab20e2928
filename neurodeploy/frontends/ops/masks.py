"""Masks, spelled as an addition, a fill or a choice: entries whose softmax is exactly 0.

A constant mask is a parameter of the softmax; one that depends on the tokens of the input adds to the scores.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ...array import Array
from ..lookups import HIDING, hiding
from ..lowering import Lowering, Refusal, Stream, operator


def hide(lowering: Lowering, scores: Stream, hidden: Array) -> Stream:
    """Scores that a softmax will take for minus infinity where ``hidden``."""
    here = np.broadcast_to(lowering.aligned(hidden, scores) > 0, scores.shape.sizes)
    return replace(scores, hidden=here if scores.hidden is None else here | scores.hidden)


@operator("masked_fill", "masked_fill_")
def masked_fill(lowering: Lowering, x: Any, mask: Any, value: Any) -> Stream:
    """Hides by a hugely negative value; a fill by zero multiplies."""
    if isinstance(x, Stream) and isinstance(mask, Stream) and not isinstance(value, Stream):
        return _filled_by_tokens(lowering, x, mask, False, lowering.array(value))
    if not isinstance(x, Stream) or isinstance(mask, Stream) or isinstance(value, Stream):
        raise Refusal("ND101", "a mask that depends on the input", "masked_fill", "a constant mask")
    return _filled(lowering, x, lowering.array(mask).astype(bool), lowering.array(value))


@operator("where")
def where(lowering: Lowering, condition: Any, a: Any, b: Any) -> Stream:
    """A choice between a stream and a constant by a condition that is constant, or one of tokens."""
    if isinstance(condition, Stream) and isinstance(a, Stream) != isinstance(b, Stream):
        stream, other, shown = (a, b, True) if isinstance(a, Stream) else (b, a, False)
        return _filled_by_tokens(lowering, stream, condition, shown, lowering.array(other))
    if isinstance(condition, Stream) or (isinstance(a, Stream) and isinstance(b, Stream)):
        raise Refusal("ND101", "a choice that depends on the input", "where", "a constant mask")
    mask = lowering.array(condition).astype(bool)
    stream, other, fill = (a, b, ~mask) if isinstance(a, Stream) else (b, a, mask)
    return _filled(lowering, stream, fill, lowering.array(other))


def _filled_by_tokens(lowering: Lowering, x: Stream, mask: Stream, shown: bool, value: Array) -> Stream:
    """``value`` where a mask of tokens is not ``shown``, as a sum: only a value that hides can be added."""
    from .arithmetic import add

    added = hiding(lowering, mask, shown) if (value <= HIDING).all() else None
    if added is None:
        raise Refusal(
            "ND101",
            "a mask that depends on the input",
            f"values from {value.min():g} to {value.max():g}",
            f"a mask of each token by itself, that puts {HIDING:g} or less before a softmax",
        )
    return add(lowering, x, added)


def _filled(lowering: Lowering, x: Stream, mask: Array, value: Array) -> Stream:
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
