"""Masks, spelled as an addition, a fill or a choice: entries whose softmax is exactly 0.

A constant mask is a parameter of the softmax; one that depends on the tokens of the input adds to the scores. A choice
by spikes is a product with them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ...array import Array
from ..lookups import hiding
from ..lowering import Lowering
from ..values import HIDING, MaskedScores, OfIds, Pair, Refusal, Scores, Stream, depends, plain
from ._base import operator
from .arithmetic import add, mul, sub


@operator("masked_fill", "masked_fill_", reads=(MaskedScores, OfIds), elementwise=True)
def masked_fill(lowering: Lowering, x: Any, mask: Any, value: Any) -> Scores:
    """Hides by a hugely negative value; a fill by zero multiplies."""
    if isinstance(mask, Stream):
        pair = lowering.pairs.get(mask.name)
        if pair is not None and not depends(value) and (lowering.array(value) <= HIDING).all():
            return _filled_by_pairs(lowering, x, pair)
        return chosen(lowering, mask, value, plain(x), "masked_fill")
    if depends(x) and depends(mask) and not depends(value):
        return _filled_by_tokens(lowering, x, mask, False, lowering.array(value))
    if not depends(x) or depends(mask) or depends(value):
        raise Refusal("ND101", "a mask that depends on the input", "masked_fill", "a constant mask")
    return _filled(lowering, x, lowering.array(mask).astype(bool), lowering.array(value))


@operator("where", reads=(MaskedScores, OfIds), elementwise=True)
def where(lowering: Lowering, condition: Any, a: Any, b: Any) -> Scores:
    """A choice between a stream and a constant by a condition that is constant, or one of tokens."""
    if isinstance(condition, Stream):
        return chosen(lowering, condition, plain(a), plain(b), "where")
    if depends(condition) and depends(a) != depends(b):
        stream, other, shown = (a, b, True) if depends(a) else (b, a, False)
        return _filled_by_tokens(lowering, stream, condition, shown, lowering.array(other))
    if depends(condition):
        raise Refusal("ND101", "a choice that depends on the input", "where", "a constant mask")
    mask = lowering.array(condition).astype(bool)
    if depends(a) and depends(b):
        return add(lowering, mul(lowering, plain(a), mask), mul(lowering, plain(b), ~mask))
    stream, other, fill = (a, b, ~mask) if depends(a) else (b, a, mask)
    return _filled(lowering, stream, fill, lowering.array(other))


def chosen(lowering: Lowering, spikes: Stream, a: Any, b: Any, op: str) -> Scores:
    """``a`` where spikes are 1, else ``b``: b + spikes (a - b), of streams and constants."""
    if not lowering.binary(spikes.name) or MaskedScores in (type(a), type(b)):
        raise Refusal("ND101", "a choice that depends on the input", op, "a constant mask, or one of spikes")
    both = depends([a]) or depends([b])
    difference = sub(lowering, a, b) if both else lowering.array(a) - lowering.array(b)
    gated = mul(lowering, spikes, difference)
    zero = not depends(b) and not lowering.array(b).any()
    return gated if zero else add(lowering, b, gated)


def _filled_by_tokens(lowering: Lowering, x: Any, mask: Any, shown: bool, value: Array) -> Scores:
    """``value`` where a mask of tokens is not ``shown``, as a sum: only a value that hides can be added."""
    if not isinstance(mask, OfIds) or not (value <= HIDING).all():
        found = f"values from {value.min():g} to {value.max():g}"
        limit = f"a mask of each token by itself, that puts {HIDING:g} or less before a softmax"
        raise Refusal("ND101", "a mask that depends on the input", found, limit)
    return add(lowering, x, hiding(lowering, mask, shown))


def _filled_by_pairs(lowering: Lowering, x: Any, pair: Pair) -> Scores:
    """Scores hidden where one of two tokens is: by what hides each, which together is deeper."""
    if pair.shown:
        limit = "a mask that shows what both of two tokens show"
        raise Refusal(
            "ND101", "a mask that hides pairs of tokens of which both are shown", "masked_fill", limit
        )
    for mask in (pair.one, pair.other):
        x = add(lowering, x, hiding(lowering, replace(mask, table=mask.table.bool()), True))
    scores: Scores = x
    return scores


def _filled(lowering: Lowering, x: Any, mask: Array, value: Array) -> Scores:
    scores: Scores = plain(x)
    if not mask.any():
        return scores
    if (value <= HIDING).all():
        return lowering.hide(scores, mask)
    if not value.any() and isinstance(scores, Stream):
        return mul(lowering, scores, ~mask)
    if isinstance(scores, MaskedScores) or (value <= HIDING).any():
        cause = "a constant put in the place of parts of scores hidden by a mask"
        found = f"values from {value.min():g} to {value.max():g}"
        raise Refusal("ND101", cause, found, f"{HIDING:g} and less before a softmax")
    return add(lowering, mul(lowering, scores, ~mask), np.where(mask, value, 0.0))
