"""Index arrays into vectors, (elements, samples): where elements follow each other a slice, which copies nothing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ...array import Array


def span(index: Array) -> slice | Array:
    """The slice that a flat index array stands for, or itself."""
    if len(index) and index[0] >= 0 and (np.diff(index) == 1).all():
        return slice(int(index[0]), int(index[-1]) + 1)
    return index


def distinct(index: Array) -> bool:
    """Whether no index occurs twice."""
    return len(np.unique(index)) == index.size


@dataclass(frozen=True, eq=False)
class Gather:
    """Elements by index; ``present``: which of ``size`` elements there are (None: all), the others are zero."""

    index: slice | Array
    size: int
    present: Array | None = None

    @classmethod
    def of(cls, index: Array) -> Gather:
        """From indices, -1 for zero."""
        there = index >= 0
        if there.all():
            return cls(span(index), len(index))
        return cls(index[there], len(index), np.flatnonzero(there))

    @classmethod
    def side_by_side(cls, parts: Iterable[Array | None], length: int) -> Gather:
        """One gather for several cores: each reads a vector of ``length`` elements (None: all in order)."""
        every = (np.arange(length) if part is None else part for part in parts)
        return cls.of(np.concatenate([np.where(p < 0, -1, p + n * length) for n, p in enumerate(every)]))

    def __call__(self, vector: Array) -> Array:
        """(elements of the source, samples) -> (size, samples)."""
        if self.present is None:
            return np.asarray(vector[self.index])
        found = np.zeros((self.size, *vector.shape[1:]), dtype=vector.dtype)
        found[self.present] = vector[self.index]
        return found


def add(vector: Array, where: slice | Array, amounts: Array, once: bool) -> None:
    """Adds amounts in place; ``once``: no element occurs twice, which is faster."""
    if once or isinstance(where, slice):
        vector[where] += amounts
    else:
        np.add.at(vector, where, amounts)
