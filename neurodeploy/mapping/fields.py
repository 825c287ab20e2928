"""Numbers for each element of a value, added up over regions: what tiles hold and read of it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ..array import Array
from .regions import Region


@dataclass(frozen=True, eq=False)
class Field:
    """``each``: a number for each element, over the shape of the value; one number, broadcast, where all are alike."""

    each: Array
    known: dict[tuple[int, ...], Array] = field(default_factory=dict)

    @staticmethod
    def alike(number: float, shape: tuple[int, ...]) -> Field:
        """The same number for all elements."""
        return Field(np.broadcast_to(np.float64(number), shape))

    @property
    def even(self) -> bool:
        """Whether all are known to be alike."""
        return not any(self.each.strides)

    def like(self, other: Field) -> bool:
        """Whether both say the same of the same shape."""
        if self.even and other.even:
            return self.each.shape == other.each.shape and self.first == other.first
        return self.each is other.each or np.array_equal(self.each, other.each)

    @property
    def first(self) -> float:
        """The number of the first element; 0 where there is none."""
        return float(self.each.flat[0]) if self.each.size else 0.0

    def at(self, flat: Array) -> Array:
        """Numbers of some elements, by their flat indices."""
        found: Array = (
            self.each.reshape(-1)[flat] if not self.even else np.broadcast_to(self.first, flat.shape)
        )
        return found

    def over(self, region: Region) -> float:
        """The sum over a region."""
        if self.even:
            return self.first * region.size
        if region.axes is None:
            return float(self.at(region.indices).sum(dtype=np.float64))
        # Most tiles read whole axes, such as all channels of some tokens: these are added up once.
        whole = tuple(a for a, part in enumerate(region.axes) if len(part) == self.each.shape[a])
        if whole not in self.known:
            self.known[whole] = self.each.sum(axis=whole, dtype=np.float64)
        rest = [part for a, part in enumerate(region.axes) if a not in whole]
        return float(self.known[whole][np.ix_(*rest)].sum())
