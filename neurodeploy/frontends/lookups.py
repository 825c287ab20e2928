"""Functions of single tokens, such as a mask of padding: a table over all ids, read by a synapse as an embedding is.

``ids != pad``, the number that a model makes of it, and what it adds to the scores for it are one value for each id,
whatever views come between. So an elementwise operator on them is torch's own on the table; the synapse and the views
behind it are made anew, and those that nothing reads any more are left out of the graph.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..array import Array
from ..ir.nodes import Synapse, View
from ..ir.types import Shape
from .traced import Call

if TYPE_CHECKING:
    from .lowering import Lowering, Stream

#: scores at or below it are hidden: exp(-1e4) is 0 in float64, and libraries hide by -1e4, -1e9 or the least float
HIDING = -1e4
#: what is added to scores instead where only the input says which are hidden: the integers' softmax is exactly 0 at 21
#: below the largest score, so hidden ones may exceed the others by 107, and the scores lose few of their bits
HIDDEN = -128.0

_CASTING = {"to", "_to_copy", "float", "double", "bool"}
_ELEMENTWISE = {
    *_CASTING, "eq", "ne", "gt", "ge", "lt", "le", "logical_not", "bitwise_not", "logical_and", "logical_or",
    "bitwise_and", "bitwise_or", "__and__", "__or__", "add", "sub", "rsub", "mul", "div", "neg", "clamp", "masked_fill",
    "masked_fill_", "where",
}  # fmt: skip


Views = tuple[tuple[str, tuple[int, ...], Shape], ...]  # op, args and shape of each


@dataclass(frozen=True, eq=False)
class Lookup:
    """A value for each token id: ``table`` (V,), a torch tensor, and the views behind it."""

    table: Any
    views: Views


def lookup(lowering: Lowering, stream: Stream) -> Lookup | None:
    """What a stream is of single tokens; None where it is something else."""
    if stream.ids:
        import torch

        rows = lowering.vocabulary
        views = (("reshape", stream.shape.sizes, stream.shape),)
        return None if rows is None else Lookup(torch.arange(rows), views)
    behind, name = [], stream.name
    while name not in lowering.tables:
        node = lowering.builder.nodes[name]
        if not isinstance(node, View) or len(node.inputs) != 1:
            return None
        behind.append((node.op, node.args, lowering.builder.values[name].shape))
        name = node.inputs[0]
    return Lookup(lowering.tables[name], tuple(reversed(behind)))


def elementwise(
    lowering: Lowering, call: Call, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Stream | None:
    """The function of single tokens that an operator makes of others and of numbers; None for anything else."""
    from .lowering import Stream, evaluated
    from .ops.views import expand

    operands = [item for item in (*args, *kwargs.values()) if isinstance(item, Stream)]
    if call.op not in _ELEMENTWISE or len({stream.place for stream in operands}) != 1:
        return None
    found = {s: known for s in operands if (known := lookup(lowering, s)) is not None}
    views = {known.views for known in found.values()}
    if len(views) != 1 or any(s not in found for s in operands):
        return None

    def operand(item: Any) -> Any:
        if isinstance(item, Stream):
            return found[item].table.clone()  # some operators write into it
        return item.flatten()[0].expand(lowering.vocabulary).clone() if _rank(item) else item

    constants = [item for item in (*args, *kwargs.values()) if _rank(item)]
    if any(bool((item != item.flatten()[0]).any()) for item in constants):
        return None  # it differs from place to place
    table = evaluated(call, [*map(operand, args)], {key: operand(item) for key, item in kwargs.items()})
    if call.op in _CASTING and operands[0].ids and not _is_mask(table):
        return None  # still ids
    made = _remade(lowering, operands[0], views.pop(), table)
    return expand(lowering, made, np.broadcast_shapes(made.sizes, *(tuple(item.shape) for item in constants)))


def _rank(item: Any) -> int:
    """Number of axes of a constant tensor."""
    return getattr(item, "ndim", 0)


def _is_mask(table: Any) -> bool:
    import torch

    return table.is_floating_point() or table.dtype == torch.bool


def _remade(lowering: Lowering, stream: Stream, views: Views, table: Any) -> Stream:
    """Another function of the same tokens, behind the same views as ``stream``."""
    from .lowering import Refusal

    values = lowering.array(table).astype(np.float64)
    if not (values < np.inf).all():
        raise Refusal("ND101", "a function of token ids that is not finite", "infinity or NaN", "numbers")
    ids, weight = (
        lowering.one_hot(lowering.ids, len(values)),
        np.where(values <= HIDING, HIDDEN, values)[None],
    )
    weight.setflags(write=False)
    shape = Shape(("N", "C"), (ids.shape.sizes[0], 1))
    name = lowering.add(Synapse, [ids.name], shape, "mask", weight=weight, op="dense")
    lowering.tables[name] = table
    for op, args, to in views:
        name, shape = lowering.view(name, shape, op, args, to), to
    return replace(stream, name=name, shape=shape, ids=False)


def hiding(lowering: Lowering, mask: Stream, shown: bool) -> Stream | None:
    """What is added to scores for a mask of tokens that is ``shown`` where they stay; None if it is no such mask.

    A mask of numbers is what is added itself.
    """
    import torch

    found = lookup(lowering, mask)
    if found is None:
        return None
    if found.table.is_floating_point():
        return mask
    return _remade(lowering, mask, found.views, torch.where(found.table.bool() == shown, 0.0, -torch.inf))


def hidden_by(lowering: Lowering, item: Any) -> Array | None:
    """What of a stream, or of what it is added to, only a softmax may read: nothing where no mask is in it."""
    if getattr(item, "hidden", None) is not None:
        return item.hidden  # type: ignore[no-any-return]
    found = lookup(lowering, item) if hasattr(item, "ids") else None
    hides = found is not None and bool((found.table <= HIDING).any())
    return np.zeros(item.shape.sizes, bool) if hides else None


def hidden_ids(lowering: Lowering, nodes: Mapping[str, Any]) -> list[int]:
    """The ids that some table in ``nodes`` hides."""
    tables = [lowering.array(table) for name, table in lowering.tables.items() if name in nodes]
    return sorted({int(i) for table in tables for i in np.flatnonzero(table <= HIDING)})
