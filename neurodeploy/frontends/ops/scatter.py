"""What writes in place become: tensors of which some elements are those of another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np

from ..lowering import Lowering
from ..values import Refusal, Stream, depends
from ._base import operator
from .gather import runs_of
from .views import cat, unsqueeze


@operator("copy", "copy_")
def copy(lowering: Lowering, x: Any, source: Any, *_: Any, **__: Any) -> Any:
    """Another tensor in the shape of the first."""
    sizes = x.sizes if isinstance(x, Stream) else tuple(x.shape)
    return lowering.broadcast(source, sizes) if isinstance(source, Stream) else source.expand(sizes)


@operator("fill", "fill_", "zero", "zero_", "full_like")
def fill(lowering: Lowering, x: Stream, value: Any = 0.0, **_: Any) -> Any:
    """A constant of the stream's shape."""
    import torch

    if isinstance(value, Stream):
        return lowering.broadcast(value, x.sizes)
    return torch.full(x.sizes, float(value), dtype=torch.float64)


@operator("slice_scatter")
def slice_scatter(
    lowering: Lowering, x: Any, source: Any, dim: int = 0, start: Any = None, end: Any = None, step: int = 1
) -> Any:
    """The first tensor with a slice of an axis taken from the second."""
    sizes = x.sizes if isinstance(x, Stream) else tuple(x.shape)
    dim = dim % len(sizes)
    places = range(*slice(start, end, step).indices(sizes[dim]))
    return _scattered(lowering, x, source, dim, dict(zip(places, range(len(places)), strict=True)))


@operator("select_scatter")
def select_scatter(lowering: Lowering, x: Any, source: Any, dim: int, index: int) -> Any:
    """The first tensor with one element of an axis taken from the second."""
    sizes = x.sizes if isinstance(x, Stream) else tuple(x.shape)
    dim = dim % len(sizes)
    row = unsqueeze(lowering, source, dim) if isinstance(source, Stream) else source.unsqueeze(dim)
    return _scattered(lowering, x, row, dim, {index % sizes[dim]: 0})


@operator("index_put", "index_put_")
def index_put(
    lowering: Lowering, x: Any, indices: Sequence[Any], values: Any, accumulate: bool = False
) -> Any:
    """The first tensor with some positions of one axis taken from the second."""
    axes = [axis for axis, places in enumerate(indices) if places is not None]
    places = None if depends(indices) or len(axes) != 1 else lowering.array(indices[axes[0]])
    if places is None or places.ndim != 1 or accumulate:
        limit = "constant positions of one axis"
        raise Refusal("ND101", "a write to positions of several axes, or that adds up", "index_put", limit)
    sizes = x.sizes if isinstance(x, Stream) else tuple(x.shape)
    places = np.flatnonzero(places) if places.dtype == bool else places % sizes[axes[0]]
    shape = (*sizes[: axes[0]], len(places), *sizes[axes[0] + 1 :])
    values = lowering.broadcast(values, shape) if isinstance(values, Stream) else values.expand(shape)
    rows = {int(place): row for row, place in enumerate(places)}
    return _scattered(lowering, x, values, axes[0], rows)


@operator("index_fill", "index_fill_")
def index_fill(lowering: Lowering, x: Stream, dim: int, index: Any, value: Any) -> Any:
    """The tensor with some positions of one axis set to a number."""
    import torch

    if depends(value):
        raise Refusal("ND101", "a write of a number that depends on the input", "index_fill", "a constant")
    places = [None] * x.dim(dim) + [index]
    number = value if isinstance(value, torch.Tensor) else torch.tensor(float(value), dtype=torch.float64)
    return index_put(lowering, x, places, number)


def _scattered(lowering: Lowering, x: Any, source: Any, dim: int, rows: Mapping[int, int]) -> Any:
    """``x`` with its elements at the keys of ``rows`` along an axis replaced by those of ``source`` at the values."""
    size = x.sizes[dim] if isinstance(x, Stream) else x.shape[dim]
    if len(rows) == size and list(rows.values()) == list(range(size)):
        return copy(lowering, x, source)
    pieces: list[Any] = []
    for fresh, group in groupby(range(size), key=rows.__contains__):
        for run in runs_of([rows[place] for place in group] if fresh else list(group)):
            pieces.append(_cut(lowering, source if fresh else x, dim, run))
    return cat(lowering, pieces, dim)


def _cut(lowering: Lowering, item: Any, dim: int, run: range) -> Any:
    if isinstance(item, Stream):
        return lowering.slice(item, dim, run.start, run.stop, run.step)
    return item[(slice(None),) * dim + (slice(run.start, run.stop, run.step),)]
