"""Operators that only rearrange: reshape, permute, slice, concat, broadcast, and those that do nothing at all."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise
from math import prod
from typing import Any

from ...ir.nodes import View
from ...ir.types import Shape
from ..lowering import Lowering, inferred
from ..values import MaskedScores, Refusal, Stream, TokenIds
from ._base import operator


@operator(
    *("contiguous", "clone", "detach", "detach_", "alias", "lift_fresh_copy", "lift_fresh", "identity"),
    *("type_as", "cpu", "dropout_eval"),
    keeps=(TokenIds, MaskedScores),
)
def keep(lowering: Lowering, x: Stream, *_: Any, **__: Any) -> Stream:
    """Nothing happens to the values."""
    return x


@operator(
    "to", "_to_copy", "float", "double", "long", "int", keeps=(TokenIds, MaskedScores), elementwise=True
)
def cast(lowering: Lowering, x: Stream, *_: Any, **__: Any) -> Stream:
    """Numbers of a graph have no type; functions of token ids have one."""
    return x


@operator("_assert_tensor_metadata", reads=(TokenIds, MaskedScores))
def promise(lowering: Lowering, *_: Any, **__: Any) -> None:
    """What torch.export writes down about types and devices: nothing to compute."""


@operator("sym_size", "size", reads=(TokenIds, MaskedScores))
def size(lowering: Lowering, x: Stream | TokenIds | MaskedScores, dim: int) -> int:
    """A number: all sizes are known while the graph is built."""
    return x.sizes[dim]


@operator(
    *("dropout", "dropout1d", "dropout2d", "feature_dropout", "alpha_dropout", "native_dropout"),
    keeps=(MaskedScores,),
)
def dropout(
    lowering: Lowering,
    x: Stream,
    p: float = 0.5,
    train: bool = False,
    inplace: bool = False,
    training: bool = False,
) -> Stream:
    """The identity at inference; Refusal ND101 where the model drops at inference too."""
    if (train or training) and p > 0:
        cause, fix = "a dropout stays active at inference", "use torch.nn.Dropout, which eval() turns off"
        raise Refusal("ND101", cause, f"p = {p}", "a deterministic model", fix)
    return x


@operator("view", "reshape", "_unsafe_view", "view_copy", "_reshape_alias", keeps=(TokenIds, MaskedScores))
def reshape(lowering: Lowering, x: Stream, *sizes: Any, shape: Any = None, size: Any = None) -> Stream:
    """Any reshape that leaves the batch the leading factor of one axis."""
    return lowering.reshape(x, _listed(sizes or (shape or size,)))


@operator("flatten")
def flatten(lowering: Lowering, x: Stream, start_dim: int = 0, end_dim: int = -1) -> Stream:
    """Joins axes start_dim .. end_dim."""
    start, end, sizes = x.dim(start_dim), x.dim(end_dim), x.sizes
    return lowering.reshape(x, (*sizes[:start], prod(sizes[start : end + 1]), *sizes[end + 1 :]))


@operator("unflatten")
def unflatten(lowering: Lowering, x: Stream, dim: int, sizes: Sequence[int]) -> Stream:
    """Splits one axis; one of the sizes may be -1."""
    dim, old = x.dim(dim), x.sizes
    return lowering.reshape(x, (*old[:dim], *inferred(sizes, old[dim]), *old[dim + 1 :]))


@operator("unsqueeze")
def unsqueeze(lowering: Lowering, x: Stream, dim: int) -> Stream:
    """Inserts an axis of size 1."""
    dim = dim + x.rank + 1 if dim < 0 else dim
    return lowering.reshape(x, (*x.sizes[:dim], 1, *x.sizes[dim:]))


@operator("squeeze")
def squeeze(lowering: Lowering, x: Stream, dim: Any = None) -> Stream:
    """Removes axes of size 1 (never the batch)."""
    dims = range(x.rank) if dim is None else [x.dim(d) for d in _listed((dim,))]
    gone = {d for d in dims if x.sizes[d] == 1 and d != x.batch}
    return lowering.reshape(x, [s for d, s in enumerate(x.sizes) if d not in gone])


@operator("permute", "permute_copy")
def permute(lowering: Lowering, x: Stream, *dims: Any) -> Stream:
    """Reorders axes; the batch may move."""
    return lowering.permute(x, _listed(dims))


@operator("transpose", "swapaxes", "swapdims", "transpose_copy")
def transpose(lowering: Lowering, x: Stream, dim0: int, dim1: int) -> Stream:
    """Swaps two axes."""
    dims = list(range(x.rank))
    a, b = x.dim(dim0), x.dim(dim1)
    dims[a], dims[b] = b, a
    return lowering.permute(x, dims)


@operator("t")
def t(lowering: Lowering, x: Stream) -> Stream:
    """Transposes a matrix."""
    return lowering.permute(x, range(x.rank)[::-1])


@operator("movedim", "moveaxis")
def movedim(lowering: Lowering, x: Stream, source: int, destination: int) -> Stream:
    """Moves one axis."""
    dims = [d for d in range(x.rank) if d != x.dim(source)]
    dims.insert(x.dim(destination), x.dim(source))
    return lowering.permute(x, dims)


@operator("slice", "slice_copy", keeps=(TokenIds,))
def slice_(
    lowering: Lowering,
    x: Stream,
    dim: int = 0,
    start: int | None = None,
    end: int | None = None,
    step: int = 1,
) -> Stream:
    """Every step-th element of start .. end along one axis."""
    return lowering.slice(x, dim, start, end, step)


@operator("narrow")
def narrow(lowering: Lowering, x: Stream, dim: int, start: int, length: int) -> Stream:
    """``length`` elements from ``start`` on."""
    return lowering.slice(x, dim, start, start + length)


@operator("select", "select_copy")
def select(lowering: Lowering, x: Stream, dim: int, index: int) -> Stream:
    """One element along an axis, which disappears."""
    dim = x.dim(dim)
    x.axis(dim, "select")
    index = index + x.sizes[dim] if index < 0 else index
    part = lowering.slice(x, dim, index, index + 1)
    return lowering.reshape(part, (*part.sizes[:dim], *part.sizes[dim + 1 :]))


@operator("unbind", "unbind_copy")
def unbind(lowering: Lowering, x: Stream, dim: int = 0) -> tuple[Stream, ...]:
    """All elements along an axis."""
    return tuple(select(lowering, x, dim, i) for i in range(x.sizes[x.dim(dim)]))


@operator("split", "split_with_sizes", "split_with_sizes_copy", "split_copy")
def split(
    lowering: Lowering,
    x: Stream,
    split_size: Any = None,
    dim: int = 0,
    split_size_or_sections: Any = None,
    split_sizes: Any = None,
) -> tuple[Stream, ...]:
    """Pieces of one size, or of the sizes listed."""
    wanted = next(s for s in (split_size, split_size_or_sections, split_sizes) if s is not None)
    total = x.sizes[x.dim(dim)]
    ends = [*range(0, total, wanted), total] if isinstance(wanted, int) else [0, *accumulate(wanted)]
    return tuple(lowering.slice(x, dim, start, end) for start, end in pairwise(ends))


@operator("chunk")
def chunk(lowering: Lowering, x: Stream, chunks: int, dim: int = 0) -> tuple[Stream, ...]:
    """About equal pieces, torch's rounding."""
    return split(lowering, x, -(-x.sizes[x.dim(dim)] // chunks), dim)


@operator("cat", "concat", "concatenate")
def cat(lowering: Lowering, tensors: Sequence[Any], dim: int = 0, axis: int | None = None) -> Stream:
    """Joins streams and constants along one axis."""
    like = next(t for t in tensors if isinstance(t, Stream))
    axis = like.axis(dim if axis is None else axis, "a concatenation")
    parts = [_part(lowering, t, like) for t in tensors]
    total = sum(shape.sizes[axis] for _, shape in parts)
    shape = Shape(like.shape.roles, (*like.shape.sizes[:axis], total, *like.shape.sizes[axis + 1 :]))
    name = lowering.add(View, [name for name, _ in parts], shape, op="concat", args=(axis,))
    return like.at(name, shape)


def _part(lowering: Lowering, item: Any, like: Stream) -> tuple[str, Shape]:
    """One operand of a concatenation as a node."""
    if isinstance(item, Stream):
        if (item.place, item.rank) != (like.place, like.rank):
            cause = "a concatenation of streams whose batch axes differ"
            raise Refusal("ND105", cause, item.sizes, like.sizes)
        return item.name, item.shape
    return lowering.const(lowering.aligned(item, like), like.shape.roles)


@operator("roll")
def roll(lowering: Lowering, x: Stream, shifts: Any, dims: Any = ()) -> Stream:
    """Rotates axes: what leaves at one end comes in at the other."""
    if not _listed((dims,)):
        raise Refusal("ND101", "a roll over all elements at once", "no axes", "a shift for each axis named")
    for shift, dim in zip(_listed((shifts,)), _listed((dims,)), strict=True):
        size = x.sizes[x.dim(dim)]
        if start := -shift % size:
            parts = [lowering.slice(x, dim, start, size), lowering.slice(x, dim, 0, start)]
            x = cat(lowering, parts, dim)
    return x


@operator("stack")
def stack(lowering: Lowering, tensors: Sequence[Any], dim: int = 0) -> Stream:
    """Joins along a new axis."""
    if not all(isinstance(t, Stream) for t in tensors):
        fix = "use cat on tensors with that axis"
        raise Refusal("ND101", "a stack of streams and constants", "", "", fix)
    dim = dim + tensors[0].rank + 1 if dim < 0 else dim
    return cat(lowering, [unsqueeze(lowering, t, dim) for t in tensors], dim)


@operator("expand", "broadcast_to", "expand_copy")
def expand(lowering: Lowering, x: Stream, *sizes: Any, size: Any = None, implicit: bool = False) -> Stream:
    """Repeats axes of size 1; new axes come in front."""
    return lowering.broadcast(x, _listed(sizes or (size,)))


@operator("expand_as")
def expand_as(lowering: Lowering, x: Any, other: Any) -> Any:
    """Repeats to another stream's shape, or a constant to a stream's."""
    if not isinstance(x, Stream):
        return x.expand(other.sizes)
    if not isinstance(other, Stream):
        return expand(lowering, x, tuple(other.shape))
    return expand(lowering, x, other.sizes)


@operator("getitem", keeps=(TokenIds,))
def getitem(lowering: Lowering, x: Any, index: Any) -> Any:
    """Python's indexing with integers, slices, None and Ellipsis; members of tuples."""
    if not isinstance(x, Stream):
        return x[index]
    steps = list(index) if isinstance(index, tuple) else [index]
    if Ellipsis in steps:
        at = steps.index(Ellipsis)
        missing = x.rank - sum(s is not None for s in steps) + 1
        steps[at : at + 1] = [slice(None)] * missing
    dim = 0
    for step in steps:
        if step is None:
            x, dim = unsqueeze(lowering, x, dim), dim + 1
        elif isinstance(step, slice):
            x, dim = lowering.slice(x, dim, step.start, step.stop, step.step or 1), dim + 1
        elif isinstance(step, int):
            x = select(lowering, x, dim, step)
        else:
            raise Refusal("ND101", "indexing by a tensor or list", type(step).__name__, "integers and slices")
    return x


@operator("pad")
def pad(
    lowering: Lowering, x: Stream, pad: Sequence[int], mode: str = "constant", value: Any = None
) -> Stream:
    """Zeros before and after; pairs count from the last axis as in torch."""
    if mode != "constant":
        raise Refusal("ND101", "padding by copies of the edge", mode, "zeros")
    return constant_pad(lowering, x, pad, value or 0.0)


@operator("constant_pad_nd")
def constant_pad(lowering: Lowering, x: Stream, pad: Sequence[int], value: float = 0.0) -> Stream:
    """The decomposed form."""
    if value:
        raise Refusal("ND101", "padding with something else than zeros", value, "zeros")
    for i, (before, after) in enumerate(zip(pad[::2], pad[1::2], strict=False)):
        if before or after:
            x = _padded(lowering, x, x.axis(-1 - i, "padding"), before, after)
    return x


def _padded(lowering: Lowering, x: Stream, axis: int, before: int, after: int) -> Stream:
    if before < 0 or after < 0:
        raise Refusal("ND101", "negative padding", f"{before}, {after}", "0 or more", "use a slice")
    sizes = (s + (before + after if a == axis else 0) for a, s in enumerate(x.shape.sizes))
    shape = Shape(x.shape.roles, tuple(sizes))
    return x.at(lowering.view(x.name, x.shape, "pad", (axis, before, after), shape), shape)


def _listed(sizes: Any) -> list[int]:
    """(2, 3) and ((2, 3),) alike."""
    flat = sizes[0] if len(sizes) == 1 and isinstance(sizes[0], (tuple, list)) else sizes
    return [int(s) for s in flat]
