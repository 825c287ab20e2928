"""Token ids: an embedding is a synapse that reads one spike per token on one of as many lines as there are rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..lowering import Lowering
from ..values import Refusal, Stream, TokenIds, depends
from ._base import operator
from .linear import dense


@operator("embedding", reads=(TokenIds,))
def embedding(
    lowering: Lowering,
    weight: Any,
    indices: Any,
    padding_idx: int = -1,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
    **_: Any,
) -> Stream:
    """Row ``indices`` of ``weight`` (V, D), exactly: the one-hot input times its transpose.

    torch.nn.functional.embedding gives the two in the other order.
    """
    if depends(weight):
        weight, indices = indices, weight
    if depends(weight) or not isinstance(indices, TokenIds):
        raise Refusal(
            "ND101", "an embedding looked up by something else than the model's token ids", "", "token ids"
        )
    table = lowering.array(weight)
    return dense(lowering, lowering.one_hot(indices, len(table)), table.T)


@operator("zeros_like", reads=(TokenIds,))
def zeros_like(lowering: Lowering, x: Stream | TokenIds, **options: Any) -> Any:
    """A constant of the stream's shape, such as the token types of a text in one part."""
    return _filled(x, x.sizes, 0, options)


@operator("ones_like", reads=(TokenIds,))
def ones_like(lowering: Lowering, x: Stream | TokenIds, **options: Any) -> Any:
    """A constant of the stream's shape, such as the mask of a text without padding."""
    return _filled(x, x.sizes, 1, options)


@operator("new_zeros", reads=(TokenIds,))
def new_zeros(lowering: Lowering, x: Stream | TokenIds, size: Any, **options: Any) -> Any:
    """A constant of another shape."""
    return _filled(x, size, 0, options)


@operator("new_ones", reads=(TokenIds,))
def new_ones(lowering: Lowering, x: Stream | TokenIds, size: Any, **options: Any) -> Any:
    """A constant of another shape."""
    return _filled(x, size, 1, options)


def _filled(x: Stream | TokenIds, size: Any, value: int, options: Mapping[str, Any]) -> Any:
    """A torch tensor, as other constants of the program are."""
    import torch

    own = torch.int64 if isinstance(x, TokenIds) else torch.get_default_dtype()
    return torch.full(tuple(size), value, dtype=options.get("dtype") or own)
