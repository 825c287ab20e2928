"""Softmax and attention."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...ir.nodes import Micro
from ..lookups import hiding
from ..lowering import Lowering
from ..values import HIDING, MaskedScores, OfIds, Refusal, Scores, Stream, depends, plain
from ._base import operator
from ._letters import matmul_streams
from .arithmetic import add
from .linear import matmul
from .views import movedim, transpose


@operator("softmax", "_softmax", "_safe_softmax", reads=(MaskedScores,))
def softmax(
    lowering: Lowering,
    x: Scores,
    dim: int | None = None,
    half_to_float: Any = False,
    _stacklevel: int = 3,
    dtype: Any = None,
) -> Stream:
    """exp(x) / sum exp(x) along one axis, which is moved last for the operator."""
    if dim is None:
        raise Refusal("ND101", "a softmax without an axis", "dim is None", "dim=-1")
    params: dict[str, Any] = {}
    if isinstance(x, MaskedScores):
        hidden = np.moveaxis(x.hidden, x.scores.axis(dim, "softmax"), -1)
        x = x.scores
        if hidden.all(axis=-1).any():
            cause, limit = "an attention mask that hides a whole row", "at least one visible entry per row"
            raise Refusal("ND101", cause, f"{int(hidden.all(axis=-1).sum())} rows", limit)
        params = {"mask": hidden} if hidden.any() else {}
    x.axis(dim, "softmax")
    rows = movedim(lowering, x, dim, -1)
    return movedim(lowering, lowering.like(rows, Micro, op="softmax", params=params), -1, dim)


@operator("scaled_dot_product_attention", reads=(OfIds,))
def attention(
    lowering: Lowering,
    q: Any,
    k: Any,
    v: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Stream:
    """softmax(q k^T * scale + mask) v, scale d^-0.5 unless given.

    The mask is a constant, one of tokens, or a stream of numbers, which is added.
    """
    if enable_gqa or dropout_p:
        found = f"gqa {enable_gqa}, dropout {dropout_p}"
        raise Refusal("ND101", "attention with grouped queries or dropout", found)
    q, k, v = map(plain, (q, k, v))
    if not isinstance(k, Stream) or not isinstance(v, Stream):
        raise Refusal("ND101", "attention whose keys or values are constants", "a constant", "two streams")
    factor, turned = k.sizes[-1] ** -0.5 if scale is None else scale, transpose(lowering, k, -1, -2)
    if isinstance(q, Stream):
        scores = matmul_streams(lowering, q, turned, factor)
    else:
        scores = matmul(lowering, lowering.array(q) * factor, turned)
    if is_causal:
        attn_mask = np.tril(np.ones(scores.sizes[-2:], bool))
    weights = softmax(lowering, _masked(lowering, scores, attn_mask), -1)
    return matmul_streams(lowering, weights, v)


@operator("_scaled_dot_product_flash_attention_for_cpu", reads=(OfIds,))
def attention_for_cpu(
    lowering: Lowering,
    q: Stream,
    k: Stream,
    v: Stream,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    attn_mask: Any = None,
    scale: float | None = None,
) -> tuple[Any, ...]:
    """The decomposed form; its saved sums are never read."""
    return attention(lowering, q, k, v, attn_mask, dropout_p, is_causal, scale), None


def _masked(lowering: Lowering, scores: Stream, mask: Any) -> Scores:
    """Scores plus the finite part of a mask, hidden where it is False or hugely negative."""
    if mask is None:
        return scores
    if isinstance(mask, OfIds):
        return add(lowering, scores, hiding(lowering, mask, True))
    if isinstance(mask, Stream) and not lowering.binary(mask.name):
        return add(lowering, scores, mask)
    if depends(mask):
        limit = "a constant mask, or one of each token by itself"
        raise Refusal("ND101", "an attention mask that depends on the input", "", limit)
    values = lowering.array(mask)
    hidden = ~values if values.dtype == bool else values <= HIDING
    bias = np.where(hidden, 0.0, 0.0 if values.dtype == bool else values)
    biased = add(lowering, scores, bias) if bias.any() else scores
    return lowering.hide(biased, hidden) if hidden.any() else biased
