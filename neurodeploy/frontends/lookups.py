"""Functions of single tokens, such as a mask of padding: a table over all ids, read by a synapse as an embedding is.

``ids != pad``, the number that a model makes of it, and what it adds to the scores for it are one value for each id,
whatever views come between. So an elementwise operator on them is torch's own on the table; the synapse and the views
behind it are made anew, and those that nothing reads any more are left out of the graph.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ..ir.nodes import Synapse, View
from ..ir.types import Shape
from .lowering import Lowering
from .traced import Call, evaluated
from .values import HIDING, OfIds, Refusal, Stream, TokenIds, Views, depends

#: what is added to scores instead where only the input says which are hidden: the integers' softmax is exactly 0 at 21
#: below the largest score, so hidden ones may exceed the others by 107, and the scores lose few of their bits
HIDDEN = -128.0

#: views that only move elements: what they do to a function of single tokens, they do to any
_MOVING = ("reshape", "permute", "broadcast", "slice")


def elementwise(
    lowering: Lowering, call: Call, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> OfIds | TokenIds | None:
    """The function of single tokens that an operator makes of others and of numbers; None for anything else."""
    given = [*args, *kwargs.values()]
    operands = [item for item in given if depends(item)]
    constants = [item for item in given if _axes(item)]
    if not _of_the_same_tokens(operands) or any((c != c.flatten()[0]).any() for c in constants):
        return None
    first = operands[0]
    rows = len(first.table)

    def operand(item: Any) -> Any:
        if isinstance(item, (OfIds, TokenIds)):
            return item.table.clone()  # some operators write into it
        return item.flatten()[0].expand(rows).clone() if _axes(item) else item

    table = evaluated(call, [*map(operand, args)], {key: operand(item) for key, item in kwargs.items()})
    if isinstance(first, TokenIds) and not constants and _unchanged(table, first.table):
        return first
    made = _remade(lowering, first, table)
    sizes = np.broadcast_shapes(made.stream.sizes, *(tuple(item.shape) for item in constants))
    return _behind(lowering, made, lowering.broadcast(made.stream, sizes)) or made


def _of_the_same_tokens(operands: Sequence[Any]) -> bool:
    """Whether all are functions of single tokens whose elements belong to the same token place by place."""
    known = [item for item in operands if isinstance(item, (OfIds, TokenIds)) and item.ids.rows is not None]
    return len(known) == len(operands) and len({(item.place, item.views) for item in known}) == 1


def _unchanged(table: Any, ids: Any) -> bool:
    """Whether a function of ids yields the ids themselves, of whatever integer type."""
    import torch

    whole = not table.is_floating_point() and table.dtype != torch.bool
    return whole and bool((table == ids).all())


def _axes(item: Any) -> int:
    """Number of axes of a constant tensor."""
    return getattr(item, "ndim", 0)


def _remade(lowering: Lowering, like: OfIds | TokenIds, table: Any) -> OfIds:
    """Another function of the same tokens, behind the same views."""
    values = lowering.array(table).astype(np.float64)
    if not (values < np.inf).all():
        raise Refusal("ND101", "a function of token ids that is not finite", "infinity or NaN", "numbers")
    spikes = lowering.one_hot(like.ids, len(values))
    weight = np.where(values <= HIDING, HIDDEN, values)[None]
    weight.setflags(write=False)
    shape = Shape(("N", "C"), (like.ids.tokens, 1))
    name = lowering.add(Synapse, [spikes.name], shape, "mask", weight=weight, op="dense")
    lowering.tables[name] = table
    for op, args, to in like.views:
        name, shape = lowering.view(name, shape, op, args, to), to
    return OfIds(like.ids, like.at(name, shape), table, like.views)


def followed(lowering: Lowering, result: Any, operands: Iterable[Any]) -> Any:
    """What a call yields, as a function of tokens where there are only views between it and one of its operands."""
    if isinstance(result, tuple):
        return tuple(followed(lowering, part, operands) for part in result)
    if not isinstance(result, Stream):
        return result
    found = (_behind(lowering, operand, result) for operand in operands if isinstance(operand, OfIds))
    return next(filter(None, found), result)


def _behind(lowering: Lowering, function: OfIds, stream: Stream) -> OfIds | None:
    """A stream as the function that it is a view of; None where it is none."""
    views: Views = ()
    name = stream.name
    while name != function.stream.name:
        node = lowering.builder.nodes[name]
        if not isinstance(node, View) or node.op not in _MOVING:
            return None
        views = ((node.op, node.args, lowering.builder.values[name].shape), *views)
        name = node.inputs[0]
    return OfIds(function.ids, stream, function.table, function.views + views)


def hiding(lowering: Lowering, mask: OfIds, shown: bool) -> OfIds:
    """What is added to scores for a mask of tokens that is ``shown`` where they stay.

    A mask of numbers is what is added itself.
    """
    import torch

    if mask.table.is_floating_point():
        return mask
    return _remade(lowering, mask, torch.where(mask.table.bool() == shown, 0.0, -torch.inf))


def hides(mask: OfIds) -> bool:
    """Whether scores that it is added to may be read by a softmax alone."""
    return bool((mask.table <= HIDING).any())


def hidden_ids(lowering: Lowering, nodes: Mapping[str, Any]) -> list[int]:
    """The ids that some table in ``nodes`` hides."""
    tables = [lowering.array(table) for name, table in lowering.tables.items() if name in nodes]
    return sorted({int(i) for table in tables for i in np.flatnonzero(table <= HIDING)})
