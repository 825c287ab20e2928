"""Token ids: an embedding is a synapse that reads one spike per token on one of as many lines as there are rows."""

from __future__ import annotations

from typing import Any

from ..lowering import Lowering
from ..values import Refusal, Stream, TokenIds, depends
from ._base import operator
from .linear import dense


@operator("embedding", reads=(TokenIds,))
def embedding(lowering: Lowering, weight: Any, indices: Any, *_: Any, **__: Any) -> Stream:
    """Row ``indices`` of ``weight`` (V, D), exactly: the one-hot input times its transpose.

    torch.nn.functional.embedding gives the two in the other order.
    """
    if depends(weight):
        weight, indices = indices, weight
    if depends(weight) or not isinstance(indices, TokenIds):
        cause = "an embedding looked up by something else than the model's token ids"
        raise Refusal("ND101", cause, "", "token ids")
    table = lowering.array(weight)
    return dense(lowering, lowering.one_hot(indices, len(table)), table.T)


@operator("zeros_like", "ones_like", reads=(TokenIds,))
def filled_like(lowering: Lowering, x: Stream | TokenIds, **options: Any) -> Any:
    """A constant of the stream's shape, such as the mask of a text without padding, or its token types."""
    return filled(lowering, x, x.sizes, **options)


@operator("new_zeros", "new_ones", reads=(TokenIds,))
def filled(lowering: Lowering, x: Stream | TokenIds, size: Any, **options: Any) -> Any:
    """A constant of another shape: a torch tensor, as other constants of the program are."""
    import torch

    own = torch.int64 if isinstance(x, TokenIds) else torch.get_default_dtype()
    return torch.full(tuple(size), int("ones" in lowering.call.op), dtype=options.get("dtype") or own)
