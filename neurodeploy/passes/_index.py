"""Views as index arrays: what any chain of reshape, permute and slice does, and the shortest chain that does it."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from math import prod

import numpy as np

from ..array import Array
from ..ir.nodes import View, ViewOp

#: (op, args) of a View
Step = tuple[ViewOp, tuple[int, ...]]


def index_of(steps: Iterable[Step], sizes: tuple[int, ...]) -> Array:
    """The flat source element at every position of the result."""
    index = np.arange(prod(sizes)).reshape(sizes)
    for op, args in steps:
        index = View(name="", op=op, args=args).apply([index])
    return index


def steps_for(index: Array, sizes: tuple[int, ...]) -> list[Step] | None:
    """The shortest reshape, permute, reshape chain from shape ``sizes`` to ``index``; None if there is none.

    Among equally short ones, that which splits axes before it permutes them.
    """
    if index.size != prod(sizes):
        return None
    factors = [_factors(_along(index, axis)) for axis in range(index.ndim)]
    if (index.size and index.flat[0] != 0) or any(f is None for f in factors):
        return None
    parts = [part for f in factors for part in f or []]
    forms = (parts, _refined(parts, sizes), _merged(parts))
    chains = [c for form in forms if (c := _chain(form, index.shape, sizes)) is not None]
    right = [c for c in chains if np.array_equal(index_of(c, sizes), index)]
    return min(right, key=len, default=None)


def _along(index: Array, axis: int) -> Array:
    """Offsets along one axis, the others at zero."""
    place: list[int | slice] = [0] * index.ndim
    place[axis] = slice(None)
    offsets: Array = index[tuple(place)] - index[(0,) * index.ndim]
    return offsets


def _factors(offsets: Array) -> list[tuple[int, int]] | None:
    """An axis as (size, stride) sub-axes, outermost first; None where it is not made of such."""
    if len(offsets) == 1:
        return []
    stride = int(offsets[1])
    run = int(np.argmin(np.append(offsets == stride * np.arange(len(offsets)), False)))
    if run == len(offsets):
        return [(run, stride)]
    if len(offsets) % run:
        return None
    outer = _factors(offsets[::run])
    return None if outer is None else [*outer, (run, stride)]


def _refined(parts: list[tuple[int, int]], sizes: tuple[int, ...]) -> list[tuple[int, int]]:
    """Sub-axes cut at the borders of the source's axes."""
    borders = [prod(sizes[a + 1 :]) for a in range(len(sizes))]
    out = []
    for size, stride in parts:
        inside = sorted({b for b in borders if stride < b < size * stride and b % stride == 0}, reverse=True)
        edges = [size * stride, *inside, stride]
        out += [(high // low, low) for high, low in pairwise(edges)]
    return out


def _merged(parts: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Neighbouring sub-axes that are one in the source."""
    out: list[tuple[int, int]] = []
    for size, stride in parts:
        if out and out[-1][1] == size * stride:
            out[-1] = (out[-1][0] * size, stride)
        else:
            out.append((size, stride))
    return out


def _chain(
    parts: list[tuple[int, int]], target: tuple[int, ...], sizes: tuple[int, ...]
) -> list[Step] | None:
    """Reshape to the sub-axes in source order, permute them, reshape to the target; steps that do nothing left out."""
    order = sorted(range(len(parts)), key=lambda i: -parts[i][1])
    split = tuple(parts[i][0] for i in order)
    if prod(split) != prod(sizes):
        return None
    permuted = tuple(size for size, _ in parts)
    permutation = tuple(order.index(i) for i in range(len(parts)))
    if permutation == tuple(range(len(parts))):
        return [] if target == sizes else [("reshape", target)]
    first: list[Step] = [] if split == sizes else [("reshape", split)]
    last: list[Step] = [] if permuted == target else [("reshape", target)]
    return [*first, ("permute", permutation), *last]
