"""A figure with its bounds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..target_schema import Cost

LEVELS = ("low", "nominal", "high")


@dataclass(frozen=True)
class Range:
    """A figure with its bounds, low <= nominal <= high."""

    low: float = 0.0
    nominal: float = 0.0
    high: float = 0.0

    @classmethod
    def of(cls, cost: Cost) -> Range:
        """The range of one coefficient of a target."""
        return cls(cost.low, cost.nominal, cost.high)

    def __add__(self, other: Range) -> Range:
        return Range(self.low + other.low, self.nominal + other.nominal, self.high + other.high)

    def __mul__(self, factor: float | Range) -> Range:
        """Times a number from zero up, or level by level times another range of such numbers."""
        other = factor if isinstance(factor, Range) else Range(factor, factor, factor)
        return Range(self.low * other.low, self.nominal * other.nominal, self.high * other.high)

    def inverse(self, numerator: float) -> Range:
        """``numerator`` over the range: low and high change places; zero divisors give zero."""
        low, nominal, high = (numerator / x if x else 0.0 for x in (self.high, self.nominal, self.low))
        return Range(low, nominal, high)

    def as_dict(self, factor: float = 1.0) -> dict[str, float]:
        """The three figures times ``factor``, for a report."""
        return {level: float(getattr(self, level)) * factor for level in LEVELS}


def total(ranges: Iterable[Range]) -> Range:
    """The sum of any number of ranges, level by level."""
    return sum(ranges, Range())
