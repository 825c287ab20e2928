"""Comparisons and logic of spikes: what torch makes of 0 and 1 is a sum of the spikes and of their product.

    f(a, b) = f00 + (f10 - f00) a + (f01 - f00) b + (f11 - f10 - f01 + f00) a b
is exact for streams of zeros and ones, and torch itself fills the table. Of other streams a comparison is a step, which
only a neuron takes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import reduce
from typing import Any

import numpy as np

from ..lowering import Lowering
from ..values import Refusal, Stream, depends
from ._base import operator
from ._letters import hadamard
from .arithmetic import add, mul
from .pool import amax


@operator(
    *("eq", "ne", "gt", "ge", "lt", "le", "logical_not", "logical_and", "logical_or", "logical_xor"),
    *("bitwise_not", "bitwise_and", "bitwise_or", "bitwise_xor", "invert", "and_", "or_", "xor"),
    *("__and__", "__or__", "__xor__", "__invert__"),
    elementwise=True,
)
def logic(lowering: Lowering, *operands: Any) -> Any:
    """A function of one or two streams of spikes, or of one and a constant number."""
    streams = [operand for operand in operands if depends(operand)]
    if not all(isinstance(s, Stream) and lowering.binary(s.name) for s in streams):
        cause, limit = "a comparison of values that are no spikes", "streams of zeros and ones"
        fix = "let a neuron with that threshold make spikes of them"
        raise Refusal("ND101", cause, lowering.call.op, limit, fix)
    table = _table(lowering, operands)
    if len(streams) == 1:
        terms = [(table[1] - table[0], streams[0])]
    else:
        (f00, f01), (f10, f11) = table
        both = hadamard(lowering, *streams)
        terms = [(f10 - f00, streams[0]), (f01 - f00, streams[1]), (f11 - f10 - f01 + f00, both)]
    made = _weighted(lowering, terms, float(table.flat[0]))
    if np.isin(table, (0, 1)).all():
        lowering.truths.add(made.name)
    pair = lowering.pairs.get(streams[0].name)
    if pair is not None and len(streams) == 1 and table.tolist() == [1, 0]:
        lowering.pairs[made.name] = replace(pair, shown=not pair.shown)
    return made


@operator("any")
def any_(lowering: Lowering, x: Stream, dim: Any = None, keepdim: bool = False) -> Stream:
    """Whether any of several spikes is 1: their maximum."""
    if not lowering.binary(x.name):
        raise Refusal(
            "ND101", "a comparison of values that are no spikes", "any", "a stream of zeros and ones"
        )
    return amax(lowering, x, dim, keepdim)


def _weighted(lowering: Lowering, terms: Sequence[tuple[float, Stream]], offset: float) -> Any:
    """The sum of streams times their factors, and of a number."""
    parts = [stream if factor == 1 else mul(lowering, stream, factor) for factor, stream in terms if factor]
    if not parts:
        raise Refusal("ND101", "a comparison whose result is always the same", lowering.call.op, "a constant")
    total = reduce(lambda left, right: add(lowering, left, right), parts)  # type: ignore[arg-type,return-value]
    return add(lowering, total, offset) if offset else total


def _table(lowering: Lowering, operands: Any) -> Any:
    """What torch makes of 0 and 1 in the place of each stream; ND101 where a constant has several numbers."""
    import torch

    streams = [place for place, operand in enumerate(operands) if depends(operand)]
    given = [operand if depends(operand) else lowering.array(operand) for operand in operands]
    if any(isinstance(item, np.ndarray) and item.size != 1 for item in given):
        raise Refusal("ND101", "spikes compared with several constants", lowering.call.op, "one number")
    truth = [False, True] if lowering.call.dtype == torch.bool else [0, 1]
    table = np.empty((2,) * len(streams))
    for index in np.ndindex(table.shape):
        values = [item.reshape(()) if isinstance(item, np.ndarray) else None for item in given]
        for place, bit in zip(streams, index, strict=True):
            values[place] = np.asarray(truth[bit])
        table[index] = float(lowering.call.evaluate(*(torch.as_tensor(value) for value in values)))
    return table
