"""Sets of elements of a value, kept as a product of per-axis index sets wherever they are one.

Almost every tile is such a product, and so is what it reads: sizes, projections and intersections then cost as much
as the axes are long, however many elements there are.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import prod

import numpy as np

from ..array import Array


@dataclass(frozen=True, eq=False)
class Region:
    """Elements of a value of ``shape``: ``axes`` if they are a product of sorted index sets, else sorted ``flat``."""

    shape: tuple[int, ...]
    axes: tuple[Array, ...] | None
    flat: Array | None = None

    @property
    def size(self) -> int:
        """Number of elements."""
        return prod(len(a) for a in self.axes) if self.axes is not None else len(self.indices)

    @property
    def indices(self) -> Array:
        """Sorted flat indices, int64."""
        return flat_of(self.axes, self.shape) if self.flat is None and self.axes is not None else self.flat  # type: ignore[return-value]

    @property
    def hull(self) -> tuple[Array, ...]:
        """The smallest product that contains the elements."""
        return self.axes if self.axes is not None else projections(self.indices, self.shape)

    def positions(self, axes: tuple[int, ...]) -> Array:
        """Sorted distinct flat indices over some of the axes."""
        sizes = tuple(self.shape[a] for a in axes)
        if self.axes is not None:
            return flat_of(tuple(self.axes[a] for a in axes), sizes)
        return np.unique(flat_along(self.indices, self.shape, axes))


@lru_cache(maxsize=256)
def every(size: int) -> Array:
    """All indices of an axis."""
    found = np.arange(size)
    found.setflags(write=False)
    return found


def region(flat: Array, shape: tuple[int, ...]) -> Region:
    """The region of sorted flat indices, recognised as a product if it is one."""
    axes = projections(flat, shape)
    return Region(shape, axes if prod(len(a) for a in axes) == len(flat) else None, flat)


def projections(flat: Array, shape: tuple[int, ...]) -> tuple[Array, ...]:
    """Sorted distinct coordinates along each axis."""
    if not shape:
        return ()
    return tuple(_distinct(c, n) for c, n in zip(np.unravel_index(flat, shape), shape, strict=True))


def flat_of(axes: tuple[Array, ...], shape: tuple[int, ...]) -> Array:
    """Sorted flat indices of a product of sorted index sets."""
    flat = np.zeros(1, dtype=np.int64)
    for indices, size in zip(axes, shape, strict=True):
        flat = (flat[:, None] * size + indices).ravel()
    return flat


def flat_along(flat: Array, shape: tuple[int, ...], axes: tuple[int, ...]) -> Array:
    """For each of some flat indices the one over some of the axes alone."""
    coordinates = np.unravel_index(flat, shape) if shape else ()
    found = np.zeros(len(flat), dtype=np.int64)
    for axis in axes:
        found = found * shape[axis] + coordinates[axis]
    return found


def _distinct(coordinates: Array, size: int) -> Array:
    seen = np.zeros(size, dtype=bool)
    seen[coordinates] = True
    return np.flatnonzero(seen)
