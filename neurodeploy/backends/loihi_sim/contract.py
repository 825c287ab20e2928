"""Products of two streams on one core: an einsum as batched matrix products, and the count of non-zero pairs."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

from ...array import Array

EXACT = 2.0**53  # whole numbers below this are exact in float64


def exact(left: float, right: float, terms: int) -> bool:
    """True if sums of ``terms`` products of magnitudes up to left x right are exact in float64."""
    return left * right * terms < EXACT


@dataclass(frozen=True, eq=False)
class Contraction:
    """An equation over local operands: letters sorted into batch, left, summed and right ones.

    ``pick``: flat elements of the result that are wanted (None: all in order); ``whole``: they are all of it.
    """

    letters: tuple[str, str, str]
    sizes: dict[str, int]
    pick: Array | None
    whole: bool

    @classmethod
    def of(cls, equation: str, a: tuple[int, ...], b: tuple[int, ...], pick: Array | None) -> Contraction:
        """From an equation and the local sizes of both operands."""
        left, right, out = equation.replace("->", ",").split(",")
        sizes = dict(zip(left, a, strict=True)) | dict(zip(right, b, strict=True))
        hull = prod(sizes[c] for c in out)
        return cls((left, right, out), sizes, pick, pick is None or len(np.unique(pick)) == hull)

    def apply(self, a: Array, b: Array) -> Array:
        """(A elements, samples), (B elements, samples) -> (picked elements, samples), exact."""
        result = self._multiply(a, b)
        return result if self.pick is None else result[self.pick]

    def pairs(self, a: Array, b: Array) -> Array:
        """Pairs of non-zero operands met for the picked elements, per sample."""
        active_a, active_b = (a != 0).astype(np.int64), (b != 0).astype(np.int64)
        if not self.whole:
            return self.apply(active_a, active_b).sum(axis=0)
        left, right, _ = self.letters
        shared = [c for c in left if c in right]
        often = [self._onto(x, letters, shared) for x, letters in ((active_a, left), (active_b, right))]
        return (often[0] * often[1]).reshape(-1, a.shape[1]).sum(axis=0)

    def _onto(self, x: Array, letters: str, kept: list[str]) -> Array:
        """Sum over the letters not kept; axes in the order of ``kept``, samples last."""
        x = x.reshape(*(self.sizes[c] for c in letters), x.shape[1])
        x = x.sum(axis=tuple(i for i, c in enumerate(letters) if c not in kept))
        order = [c for c in letters if c in kept]
        return x.transpose(*(order.index(c) for c in kept), len(order))

    def _multiply(self, a: Array, b: Array) -> Array:
        left, right, out = self.letters
        batch = [c for c in out if c in left and c in right]
        summed = [c for c in left if c in right and c not in out]
        rows = [c for c in out if c in left and c not in right]
        columns = [c for c in out if c in right and c not in left]
        x = self._matrix(a, left, batch, rows, summed)
        y = self._matrix(b, right, batch, summed, columns)
        terms = prod(self.sizes[c] for c in left + right if c not in out)
        left_most, right_most = (float(np.abs(m).max(initial=0)) for m in (a, b))
        if exact(left_most, right_most, max(terms, 1)):
            z = np.matmul(x.astype(np.float64), y.astype(np.float64)).astype(np.int64)
        else:
            z = np.matmul(x, y)
        order = batch + rows + columns
        z = z.reshape(a.shape[1], *(self.sizes[c] for c in order))
        z = z.transpose(*(1 + order.index(c) for c in out), 0)
        return z.reshape(-1, a.shape[1])

    def _matrix(self, x: Array, letters: str, batch: list[str], rows: list[str], columns: list[str]) -> Array:
        """(samples, batch, rows, columns), letters of no use summed out."""
        kept = self._onto(x, letters, batch + rows + columns)
        kept = np.moveaxis(kept, -1, 0)
        shape = [prod(self.sizes[c] for c in group) for group in (batch, rows, columns)]
        return np.ascontiguousarray(kept).reshape(x.shape[1], *shape)
