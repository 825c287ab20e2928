"""The place of a token that its id tells, such as the end of a text, of which some models read the row."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..lowering import Lowering
from ..values import First, OfIds, Refusal
from ._base import operator
from ._letters import hadamard
from .arithmetic import add
from .bends import relu
from .linear import dense


@operator("argmax", reads=(OfIds,))
def argmax(lowering: Lowering, x: Any, dim: int | None = None, keepdim: bool = False) -> First:
    """Where a mask of tokens is 1 for the first time, or the first token where it nowhere is.

    With c counted up to a token, m relu(2 - c) is 1 at the first, and relu(1 - c) at the end where there is none.
    """
    whole = isinstance(x, OfIds) and x.stream.sizes == x.ids.sizes and not x.ids.turned
    if not whole or dim not in (1, -1) or keepdim or not lowering.binary(x.stream.name):
        limit = "a mask of each token by itself, along the tokens"
        raise Refusal("ND101", "a place that depends on the input", "argmax", limit)
    mask, length = x.stream, x.ids.tokens
    counted = dense(lowering, mask, np.tril(np.ones((length, length))))
    before = relu(lowering, dense(lowering, counted, -np.eye(length), np.full(length, 2.0)))
    none = relu(lowering, dense(lowering, counted, -np.eye(length)[-1:], np.ones(1)))
    ahead = dense(lowering, none, np.eye(length)[:, :1])
    first: Any = add(lowering, hadamard(lowering, mask, before), ahead)
    return First(first)
