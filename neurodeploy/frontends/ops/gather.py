"""Elements at constant positions: indexing, gathers, flips, repetitions of single elements."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np

from ...array import Array
from ...ir.nodes import Synapse
from ...ir.types import Shape
from ..lowering import Lowering
from ..values import First, Refusal, Stream, TokenIds, depends, foreign, inner
from ._base import operator
from ._letters import matmul_streams
from .views import cat, listed, movedim, select, transpose, unsqueeze

#: more pieces of an axis than this are gathered by a synapse instead of views
PIECES = 32


@operator("getitem", keeps=(TokenIds,))
def getitem(lowering: Lowering, x: Any, index: Any) -> Any:
    """Python's indexing with integers, slices, None, Ellipsis and lists of positions; members of tuples."""
    if not isinstance(x, Stream):
        return x[index]
    steps = list(index) if isinstance(index, tuple) else [index]
    at = next((i for i, step in enumerate(steps) if step is Ellipsis), None)
    if at is not None:
        missing = x.rank - sum(s is not None for s in steps) + 1
        steps[at : at + 1] = [slice(None)] * missing
    if sum(_is_list(step) for step in steps) > 1:
        return found(lowering, x, lambda numbers: numbers[tuple(steps)])
    dim = 0
    for step in steps:
        if step is None:
            x, dim = unsqueeze(lowering, x, dim), dim + 1
        elif isinstance(step, slice):
            x, dim = lowering.slice(x, dim, step.start, step.stop, step.step or 1), dim + 1
        elif _is_list(step):
            x, dim = _picked(lowering, x, dim, step)
        else:
            x = select(lowering, x, dim, int(step))
    return x


def _is_list(step: Any) -> bool:
    return hasattr(step, "tolist") or isinstance(step, (list, tuple, range))


def _picked(lowering: Lowering, x: Stream, dim: int, step: Any) -> tuple[Stream, int]:
    """Positions along an axis, and the axis behind those that they make of it."""
    places = lowering.array(step if hasattr(step, "tolist") else np.asarray(list(step)))
    if places.dtype == bool:
        if places.shape != x.sizes[dim : dim + 1]:
            raise Refusal("ND101", "indexing by a mask of several axes", places.shape, "a mask of one axis")
        places = np.flatnonzero(places)
    x = taken(lowering, x, dim, places.reshape(-1).tolist())
    return lowering.reshape(x, (*x.sizes[:dim], *places.shape, *x.sizes[dim + 1 :])), dim + places.ndim


@operator("index", "_unsafe_index", reads=(First,))
def index(lowering: Lowering, x: Stream, indices: Sequence[Any]) -> Stream:
    """The form of exported programs, with None for axes that stay; of each sample the row of its first token."""
    if len(indices) == 2 and isinstance(indices[1], First):
        rows = None if depends(indices[0]) else lowering.array(indices[0])
        if rows is None or not np.array_equal(rows, np.arange(x.sizes[0])) or x.rank != 3:
            raise Refusal(
                "ND101", "places of tokens that depend on the input", x.sizes, "one row of each sample"
            )
        weights = unsqueeze(lowering, indices[1].stream, 1)
        made = matmul_streams(lowering, weights, x)
        return lowering.reshape(made, (x.sizes[0], x.sizes[2]))
    steps = tuple(slice(None) if step is None else step for step in indices)
    result: Stream = getitem(lowering, x, steps)
    return result


@operator("topk", "sort", "argsort", "msort")
def ranked(lowering: Lowering, x: Stream, *_: Any, **__: Any) -> Stream:
    """Refused: which elements are read depends on their values."""
    cause, limit = (
        "a choice by data, as mixtures of experts make it",
        "what is read does not depend on numbers",
    )
    fix = "of a mixture of experts: a network with one expert, or the sum of all by their weights"
    raise Refusal("ND101", cause, lowering.call.op, limit, fix)


@operator("index_select")
def index_select(lowering: Lowering, x: Stream, dim: int, index: Any) -> Stream:
    """Constant positions along an axis."""
    if depends(index):
        raise Refusal("ND101", "positions that depend on the input", "index_select", "constant positions")
    return taken(lowering, x, dim, lowering.array(index).reshape(-1).tolist())


@operator("gather", "take_along_dim", "diagonal", "diagonal_copy")
def gather(lowering: Lowering, x: Stream, *args: Any, **kwargs: Any) -> Stream:
    """Elements of all axes at constant positions."""
    if depends([args, [*kwargs.values()]]):
        op = lowering.call.op
        raise Refusal("ND101", "positions that depend on the input", op, "constant positions")
    return found(lowering, x, lambda numbers: lowering.call.evaluate(numbers, *args, **kwargs))


@operator("flip", "fliplr")
def flip(lowering: Lowering, x: Stream, *dims: Any) -> Stream:
    """Turns axes around."""
    for dim in listed(dims) if dims else (1,):
        x = taken(lowering, x, dim, range(x.sizes[x.dim(dim)])[::-1])
    return x


@operator("rot90")
def rot90(lowering: Lowering, x: Stream, k: int = 1, dims: Any = (0, 1)) -> Stream:
    """Quarter turns from the first towards the second axis."""
    first, second = listed((dims,))
    for _ in range(k % 4):
        x = transpose(lowering, flip(lowering, x, second), first, second)
    return x


def found(lowering: Lowering, x: Stream, move: Callable[[Any], Any]) -> Stream:
    """What torch's function ``move`` makes of a tensor whose elements it only moves or repeats.

    Torch moves element numbers instead. Axes in front that it leaves alone stay; of the others together it takes some.
    Refusal ND105 where samples meet, or differ.
    """
    import torch

    more = inner(x.axes[0])
    if any(map(foreign, x.axes[1:])) or foreign(x.axes[0]) != x.axes[0][: len(x.axes[0]) - len(more)]:
        raise Refusal(
            "ND105", "positions of several axes, the batch among them", x.sizes, "the batch in front"
        )
    numbers = torch.arange(prod(x.sizes)).view(x.sizes)
    moved = lowering.array(move(numbers))
    if more and moved.shape[:1] == x.sizes[:1]:  # samples and a part of each in one axis
        copies = x.sizes[0] // prod(more)
        whole = lowering.reshape(x, (copies, prod(more), *x.sizes[1:]))
        parted = moved.reshape(copies, prod(more), *moved.shape[1:])
        return lowering.reshape(_moved(lowering, whole, parted), moved.shape)
    return _moved(lowering, x, moved)


def _moved(lowering: Lowering, x: Stream, moved: Array) -> Stream:
    """The elements of a stream whose first axis is the batch, by their numbers; Refusal ND105, as :func:`found`."""
    first = moved[0]
    total = prod(x.sizes[1:])
    samples = np.arange(x.sizes[0]).reshape(-1, *(1,) * first.ndim) * total
    if moved.shape[0] != x.sizes[0] or not np.array_equal(moved, first + samples):
        raise Refusal("ND105", "positions that differ from sample to sample", moved.shape)
    kept = 1
    while kept < min(x.rank, first.ndim) and _left_alone(first, kept - 1, x.sizes, kept):
        kept += 1
    inner = first[(0,) * (kept - 1)]
    joined = lowering.reshape(x, (*x.sizes[:kept], -1))
    result = taken(lowering, joined, kept, inner.reshape(-1).tolist())
    return lowering.reshape(result, (*x.sizes[:kept], *inner.shape))


def _left_alone(index: Array, axis: int, sizes: tuple[int, ...], dim: int) -> bool:
    """Whether an axis of element numbers is torch's axis ``dim`` as it was."""
    offsets = np.arange(index.shape[axis]) * prod(sizes[dim + 1 :])
    first = index.take([0], axis)
    whole = index.shape[axis] == sizes[dim] and not first.min() // prod(sizes[dim + 1 :]) % sizes[dim]
    return whole and np.array_equal(index, first + offsets.reshape(-1, *(1,) * (index.ndim - axis - 1)))


def taken(lowering: Lowering, x: Stream, dim: int, places: Sequence[int]) -> Stream:
    """The elements of an axis at these positions, in this order."""
    dim = x.dim(dim)
    size = x.sizes[dim]
    axis = x.axis(dim, "indexing")
    if not len(places) or not all(-size <= place < size for place in places):
        raise Refusal("ND101", "positions outside of an axis, or none", list(places)[:8], f"0 to {size - 1}")
    places = [place % size for place in places]
    runs = runs_of(places)
    if len(runs) <= PIECES:
        pieces = [lowering.slice(x, dim, run.start, run.stop, run.step) for run in runs]
        return cat(lowering, pieces, dim)
    rows = np.eye(x.shape.sizes[axis])[places]
    rows.setflags(write=False)
    last = movedim(lowering, x, dim, -1)
    shape = Shape(last.shape.roles, (*last.shape.sizes[:-1], len(places)))
    name = lowering.add(Synapse, [last.name], shape, op="dense", weight=rows)
    return movedim(lowering, last.at(name, shape), -1, dim)


def runs_of(places: Sequence[int]) -> list[range]:
    """The same positions as few ranges with steps above 0."""
    runs: list[range] = []
    for place in places:
        last = runs[-1] if runs else range(0)
        if len(last) == 1 and place > last[0]:
            runs[-1] = range(last[0], place + 1, place - last[0])
        elif len(last) > 1 and place == last[-1] + last.step:
            runs[-1] = range(last.start, place + 1, last.step)
        else:
            runs.append(range(place, place + 1))
    return runs


@operator("repeat_interleave")
def repeat_interleave(
    lowering: Lowering, x: Stream, repeats: Any, dim: Any = None, output_size: Any = None
) -> Stream:
    """Each element of an axis several times in a row, all as often or each as often as a constant says."""
    if dim is None or depends(repeats):
        cause = "a repetition over all elements, or as often as the input says"
        raise Refusal("ND101", cause, repeats, "constant counts, an axis")
    places = np.repeat(np.arange(x.sizes[x.dim(dim)]), lowering.array(repeats))
    return taken(lowering, x, dim, places.tolist())
