"""Operators that only rearrange: reshape, permute, slice, concat, broadcast, and those that do nothing at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate, pairwise
from math import prod
from typing import Any

import numpy as np

from ...ir.nodes import Sum, View
from ...ir.types import Shape
from ..lowering import Lowering, inferred
from ..values import HIDING, TIME, MaskedScores, Membrane, Refusal, Stream, TokenIds
from ._base import operator


@operator(
    *("contiguous", "clone", "detach", "detach_", "alias", "lift_fresh_copy", "lift_fresh", "identity"),
    *("type_as", "cpu", "dropout_eval"),
    keeps=(TokenIds, MaskedScores, Membrane),
)
def keep(lowering: Lowering, x: Stream, *_: Any, **__: Any) -> Stream:
    """Nothing happens to the values."""
    return x


@operator(
    *("to", "_to_copy", "type", "float", "double", "half", "bfloat16"),
    *("long", "int", "short", "char", "byte", "bool"),
    keeps=(TokenIds, MaskedScores),
    elementwise=True,
)
def cast(lowering: Lowering, x: Stream, *_: Any, **__: Any) -> Stream:
    """Numbers of a graph have no type; what a type does to them is seen to wherever torch's own type changes."""
    return x


@operator("getattr", retypes=True)
def attribute(lowering: Lowering, x: Stream, name: str) -> Stream:
    """A tensor's other names for itself and its transposes."""
    match name:
        case "real" | "imag" if x.name in lowering.spectra:
            return select(lowering, x, -1, int(name == "imag"))
        case "data" | "real":
            return x
        case "T" | "H":
            return t(lowering, x)
        case "mT" | "mH":
            return last_two(lowering, x)
    raise Refusal("ND101", "an attribute of a tensor", name, "T, mT, H, mH, data or real")


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
    return lowering.reshape(x, listed(sizes or (shape or size,)))


@operator("view_as", "reshape_as")
def reshape_as(lowering: Lowering, x: Stream, other: Any) -> Stream:
    """The reshape to another tensor's shape."""
    return lowering.reshape(x, other.sizes if isinstance(other, Stream) else tuple(other.shape))


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
    dims = range(x.rank) if dim is None else [x.dim(d) for d in listed((dim,))]
    gone = {d for d in dims if x.axes[d] == (1,)}
    return lowering.reshape(x, [s for d, s in enumerate(x.sizes) if d not in gone])


@operator("permute", "permute_copy", keeps=(TokenIds,))
def permute(lowering: Lowering, x: Stream, *dims: Any) -> Stream:
    """Reorders axes; the batch may move."""
    return lowering.permute(x, listed(dims))


@operator("transpose", "swapaxes", "swapdims", "transpose_copy", keeps=(TokenIds,))
def transpose(lowering: Lowering, x: Stream, dim0: int, dim1: int) -> Stream:
    """Swaps two axes."""
    dims = list(range(x.rank))
    a, b = x.dim(dim0), x.dim(dim1)
    dims[a], dims[b] = b, a
    return lowering.permute(x, dims)


@operator("t", "numpy_T", "matrix_H", keeps=(TokenIds,))
def t(lowering: Lowering, x: Stream) -> Stream:
    """Turns the order of all axes around; numbers are real, so the conjugate transpose is the transpose."""
    return lowering.permute(x, range(x.rank)[::-1])


@operator("mT", "mH", "adjoint")
def last_two(lowering: Lowering, x: Stream) -> Stream:
    """Transposes the matrices of the last two axes."""
    return transpose(lowering, x, -1, -2)


@operator("movedim", "moveaxis")
def movedim(lowering: Lowering, x: Stream, source: int, destination: int) -> Stream:
    """Moves one axis."""
    if not isinstance(source, int) or not isinstance(destination, int):
        raise Refusal("ND101", "several axes moved at once", f"{source} to {destination}", "one axis")
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
) -> Any:
    """Every step-th element of start .. end along one axis; of none a constant without elements."""
    import torch

    dim, sizes = x.dim(dim), x.sizes
    if step > 0 and not range(*slice(start, end, step).indices(sizes[dim])):
        return torch.zeros(*sizes[:dim], 0, *sizes[dim + 1 :], dtype=torch.float64)
    return lowering.slice(x, dim, start, end, step)


@operator("narrow")
def narrow(lowering: Lowering, x: Stream, dim: int, start: int, length: int) -> Stream:
    """``length`` elements from ``start`` on."""
    return lowering.slice(x, dim, start, start + length)


@operator("select", "select_copy")
def select(lowering: Lowering, x: Stream, dim: int, index: int) -> Stream:
    """One element along an axis, which disappears."""
    dim = x.dim(dim)
    index = index + x.sizes[dim] if index < 0 else index
    if x.axes[dim] == (TIME,):
        return x.at_tick(dim, index + 1)
    x.axis(dim, "select")
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


@operator("tensor_split")
def tensor_split(
    lowering: Lowering,
    x: Stream,
    indices_or_sections: Any,
    dim: int = 0,
    sections: Any = None,
    indices: Any = None,
) -> tuple[Stream, ...]:
    """As many pieces as are wanted, the first ones larger by one, or pieces between positions."""
    wanted = next(w for w in (indices_or_sections, sections, indices) if w is not None)
    total = x.sizes[x.dim(dim)]
    if isinstance(wanted, int):
        wanted = list(accumulate(total // wanted + (i < total % wanted) for i in range(wanted)))[:-1]
    return tuple(lowering.slice(x, dim, start, end) for start, end in pairwise([0, *wanted, total]))


@operator("cat", "concat", "concatenate")
def cat(lowering: Lowering, tensors: Sequence[Any], dim: int = 0, axis: int | None = None) -> Stream:
    """Joins streams and constants along one axis; torch passes over constants without elements."""
    tensors = [t for t in tensors if isinstance(t, Stream) or t.numel()]
    like = next(t for t in tensors if isinstance(t, Stream))
    dim = like.dim(dim if axis is None else axis)
    once_each = len(tensors) == lowering.ticks and not like.timed
    if once_each and all(lowering.alike(like, tensor) for tensor in tensors):
        sizes = (*like.sizes[:dim], len(tensors) * like.sizes[dim], *like.sizes[dim + 1 :])
        if (repeated := lowering.over_time(like, sizes)).timed:
            return repeated
    if like.tick and like.axes[dim] == (1,) and lowering.one_for_each(tensors):
        return lowering.timed(replace(like, tick=0), dim, len(tensors))
    if len(tensors) == 1:
        return like
    axis = like.axis(dim, "a concatenation")
    for tensor in tensors:
        like, _ = (
            lowering.met(like, tensor, "a concatenation") if isinstance(tensor, Stream) else (like, like)
        )
    parts = [_part(lowering, t, like) for t in tensors]
    total = sum(shape.sizes[axis] for _, shape in parts)
    shape = Shape(like.shape.roles, (*like.shape.sizes[:axis], total, *like.shape.sizes[axis + 1 :]))
    name = lowering.add(View, [name for name, _ in parts], shape, op="concat", args=(axis,))
    return like.at(name, shape)


@operator("hstack")
def hstack(lowering: Lowering, tensors: Sequence[Any]) -> Stream:
    """Joins along the second axis."""
    return cat(lowering, tensors, 1)


def _part(lowering: Lowering, item: Any, like: Stream) -> tuple[str, Shape]:
    """One operand of a concatenation as a node."""
    if isinstance(item, Stream):
        item, _ = lowering.met(item, like, "a concatenation")
        return item.name, item.shape
    return lowering.const(lowering.aligned(item, like), like.shape.roles)


@operator("roll")
def roll(lowering: Lowering, x: Stream, shifts: Any, dims: Any = ()) -> Stream:
    """Rotates axes: what leaves at one end comes in at the other."""
    if not listed((dims,)):
        raise Refusal("ND101", "a roll over all elements at once", "no axes", "a shift for each axis named")
    for shift, dim in zip(listed((shifts,)), listed((dims,)), strict=True):
        size = x.sizes[x.dim(dim)]
        if start := -shift % size:
            parts = [lowering.slice(x, dim, start, size), lowering.slice(x, dim, 0, start)]
            x = cat(lowering, parts, dim)
    return x


@operator("stack")
def stack(lowering: Lowering, tensors: Sequence[Any], dim: int = 0) -> Stream:
    """Joins along a new axis."""
    rank = next(t.rank for t in tensors if isinstance(t, Stream))
    dim = dim + rank + 1 if dim < 0 else dim
    raised = [unsqueeze(lowering, t, dim) if isinstance(t, Stream) else t.unsqueeze(dim) for t in tensors]
    return cat(lowering, raised, dim)


@operator("repeat", "tile")
def repeat(lowering: Lowering, x: Stream, *counts: Any, repeats: Any = None, dims: Any = None) -> Stream:
    """Each axis as often as is said, new axes in front."""
    wanted = listed(counts or (repeats or dims,))
    wanted = [1] * (x.rank - len(wanted)) + list(wanted)
    x = lowering.reshape(x, (1,) * (len(wanted) - x.rank) + x.sizes)
    for dim, count in enumerate(wanted):
        if count != 1:
            x.axis(dim, "a repeat")
            x = cat(lowering, [x] * count, dim)
    return x


@operator("expand", "broadcast_to", "expand_copy")
def expand(lowering: Lowering, x: Stream, *sizes: Any, size: Any = None, implicit: bool = False) -> Stream:
    """Repeats axes of size 1; new axes come in front."""
    return lowering.broadcast(x, listed(sizes or (size,)))


@operator("expand_as")
def expand_as(lowering: Lowering, x: Any, other: Any) -> Any:
    """Repeats to another stream's shape, or a constant to a stream's."""
    if not isinstance(x, Stream):
        return x.expand(other.sizes)
    if not isinstance(other, Stream):
        return expand(lowering, x, tuple(other.shape))
    return expand(lowering, x, other.sizes)


@operator("constant_pad_nd")
def constant_pad(lowering: Lowering, x: Stream, pad: Sequence[int], value: float = 0.0) -> Any:
    """The decomposed form; a number other than 0 is a constant added around the stream, a negative width cuts.

    What is padded with is hidden where it is hugely negative: a maximum passes over it.
    """
    sides = [(x.rank - 1 - i, *pair) for i, pair in enumerate(zip(pad[::2], pad[1::2], strict=False))]
    for dim, before, after in sides:
        x = lowering.slice(x, dim, max(-before, 0), x.sizes[dim] - max(-after, 0))
    edge = np.ones(x.sizes)
    for dim, before, after in sides:
        before, after = max(before, 0), max(after, 0)
        if before or after:
            x = _padded(lowering, x, x.axis(dim, "padding"), before, after)
            edge = np.pad(edge, [(before, after) if d == dim else (0, 0) for d in range(x.rank)])
    if not value:
        return x
    if value <= HIDING:
        return lowering.hide(x, edge == 0)
    around, shape = lowering.const(lowering.aligned((1 - edge) * value, x), x.shape.roles)
    return x.at(lowering.add(Sum, [x.name, around], shape, signs=(1, 1)), shape)


def _padded(lowering: Lowering, x: Stream, axis: int, before: int, after: int) -> Stream:
    sizes = (s + (before + after if a == axis else 0) for a, s in enumerate(x.shape.sizes))
    shape = Shape(x.shape.roles, tuple(sizes))
    return x.at(lowering.view(x.name, x.shape, "pad", (axis, before, after), shape), shape)


def listed(sizes: Any) -> list[int]:
    """(2, 3) and ((2, 3),) alike."""
    flat = sizes[0] if len(sizes) == 1 and isinstance(sizes[0], (tuple, list)) else sizes
    return [int(s) for s in flat]
