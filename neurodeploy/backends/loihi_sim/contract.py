"""Products of two streams on one core: an einsum as batched matrix products, and the count of non-zero pairs."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

from ...array import Array
from ...ir.equation import Equation

EXACT = 2.0**53  # whole numbers below this are exact in float64


def exact(left: float, right: float, terms: int) -> bool:
    """True if sums of ``terms`` products of magnitudes up to left x right are exact in float64."""
    return left * right * terms < EXACT


@dataclass(frozen=True, eq=False)
class Contraction:
    """An equation over local operands.

    ``pick``: flat elements of the result that are wanted (None: all in order); ``whole``: they are all of it.
    """

    equation: Equation
    sizes: dict[str, int]
    pick: Array | None
    whole: bool

    @classmethod
    def of(
        cls, equation: Equation, a: tuple[int, ...], b: tuple[int, ...], pick: Array | None
    ) -> Contraction:
        """From an equation and the local sizes of both operands."""
        sizes = equation.sizes(a, b)
        hull = prod(sizes[c] for c in equation.out)
        return cls(equation, sizes, pick, pick is None or len(np.unique(pick)) == hull)

    def apply(self, a: Array, b: Array) -> Array:
        """(A elements, samples), (B elements, samples) -> (picked elements, samples), exact."""
        result = self._multiply(a, b)
        return result if self.pick is None else result[self.pick]

    def pairs(self, a: Array, b: Array) -> Array:
        """Pairs of non-zero operands met for the picked elements, per sample."""
        active_a, active_b = (a != 0).astype(np.int64), (b != 0).astype(np.int64)
        if not self.whole:
            return self.apply(active_a, active_b).sum(axis=0)
        left, right = self.equation.left, self.equation.right
        shared = "".join(c for c in left if c in right)
        often = [self._onto(x, letters, shared) for x, letters in ((active_a, left), (active_b, right))]
        return (often[0] * often[1]).reshape(-1, a.shape[1]).sum(axis=0)

    def _onto(self, x: Array, letters: str, kept: str) -> Array:
        """Sum over the letters not kept; axes in the order of ``kept``, samples last."""
        x = x.reshape(*(self.sizes[c] for c in letters), x.shape[1])
        x = x.sum(axis=tuple(i for i, c in enumerate(letters) if c not in kept))
        order = [c for c in letters if c in kept]
        return x.transpose(*(order.index(c) for c in kept), len(order))

    def _multiply(self, a: Array, b: Array) -> Array:
        equation = self.equation
        batch, rows, summed, columns = equation.shared, equation.rows, equation.summed, equation.columns
        x = self._matrix(a, equation.left, batch, rows, summed)
        y = self._matrix(b, equation.right, batch, summed, columns)
        terms = prod(self.sizes[c] for c in equation.left + equation.right if c not in equation.out)
        left_most, right_most = (float(np.abs(m).max(initial=0)) for m in (a, b))
        if exact(left_most, right_most, max(terms, 1)):
            z = np.matmul(x.astype(np.float64), y.astype(np.float64)).astype(np.int64)
        else:
            z = np.matmul(x, y)
        order = batch + rows + columns
        z = z.reshape(a.shape[1], *(self.sizes[c] for c in order))
        z = z.transpose(*(1 + order.index(c) for c in equation.out), 0)
        return z.reshape(-1, a.shape[1])

    def _matrix(self, x: Array, letters: str, batch: str, rows: str, columns: str) -> Array:
        """(samples, batch, rows, columns), letters of no use summed out."""
        kept = self._onto(x, letters, batch + rows + columns)
        kept = np.moveaxis(kept, -1, 0)
        shape = [prod(self.sizes[c] for c in group) for group in (batch, rows, columns)]
        return np.ascontiguousarray(kept).reshape(x.shape[1], *shape)
