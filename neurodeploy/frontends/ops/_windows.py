"""Windows of an axis side by side, which convolutions and rearrangements of images share."""

from __future__ import annotations

from ..lowering import Lowering
from ..values import Stream
from .gather import taken


def windowed(lowering: Lowering, x: Stream, dim: int, size: int, step: int, dilation: int) -> Stream:
    """An axis as two: windows, and their elements."""
    starts = range(0, x.sizes[dim] - dilation * (size - 1), step)
    elements = range(0, dilation * size, dilation)
    places = [start + element for element in elements for start in starts]  # long runs, so that few views do
    x = taken(lowering, x, dim, places)
    x = lowering.reshape(x, (*x.sizes[:dim], size, len(starts), *x.sizes[dim + 1 :]))
    return lowering.permute(x, (*range(dim), dim + 1, dim, *range(dim + 2, x.rank)))
