"""Products of two streams on one core: an einsum as batched matrix products, and the count of non-zero pairs."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

from ...array import Array
from ...ir.equation import Equation, Sizes

EXACT = 2.0**53  # whole numbers below this are exact in float64


@dataclass(frozen=True, eq=False)
class Contraction:
    """An equation over local operands, the size of each of its letters, and which elements of the result are wanted.

    ``pick``: their flat indices (None: all in order); ``whole``: they are all of it.
    """

    equation: Equation
    sizes: dict[str, int]
    pick: Array | None
    whole: bool

    @classmethod
    def of(cls, equation: Equation, a: Sizes, b: Sizes, pick: Array | None) -> Contraction:
        """From an equation and the local sizes of both operands."""
        whole = pick is None or len(np.unique(pick)) == prod(equation.shape(a, b))
        return cls(equation, equation.sizes(a, b), pick, whole)

    def apply(self, a: Array, b: Array) -> Array:
        """(A elements, samples), (B elements, samples) -> (picked elements, samples), exact."""
        equation = self.equation
        x = self._matrix(a, equation.left, (equation.shared, equation.rows, equation.summed))
        y = self._matrix(b, equation.right, (equation.shared, equation.summed, equation.columns))
        terms = prod(self.sizes[c] for c in equation.left + equation.right if c not in equation.out)
        left, right = (float(np.abs(part).max(initial=0)) for part in (a, b))
        z: Array
        if left * right * max(terms, 1) < EXACT:
            z = np.matmul(x.astype(np.float64), y.astype(np.float64)).astype(np.int64)
        else:
            z = np.matmul(x, y)
        order = equation.shared + equation.rows + equation.columns
        z = z.reshape(a.shape[1], *(self.sizes[c] for c in order))
        z = z.transpose(*(1 + order.index(c) for c in equation.out), 0).reshape(-1, a.shape[1])
        return z if self.pick is None else z[self.pick]

    def pairs(self, a: Array, b: Array) -> Array:
        """Pairs of non-zero operands met for the picked elements, per sample."""
        active_a, active_b = (a != 0).astype(np.int64), (b != 0).astype(np.int64)
        if not self.whole:
            return np.asarray(self.apply(active_a, active_b).sum(axis=0))
        equation, both = self.equation, self.equation.shared + self.equation.summed
        often = self._onto(active_a, equation.left, both) * self._onto(active_b, equation.right, both)
        return np.asarray(often.reshape(-1, a.shape[1]).sum(axis=0))

    def _onto(self, x: Array, letters: str, kept: str) -> Array:
        """Sum over the letters not kept; axes in the order of ``kept``, samples last."""
        x = x.reshape(*(self.sizes[c] for c in letters), x.shape[1])
        x = x.sum(axis=tuple(i for i, c in enumerate(letters) if c not in kept))
        order = [c for c in letters if c in kept]
        return x.transpose(*(order.index(c) for c in kept), len(order))

    def _matrix(self, x: Array, letters: str, groups: tuple[str, str, str]) -> Array:
        """(samples, batch, rows, columns), letters of no use summed out."""
        kept = np.moveaxis(self._onto(x, letters, "".join(groups)), -1, 0)
        sizes = (prod(self.sizes[c] for c in group) for group in groups)
        return np.ascontiguousarray(kept).reshape(x.shape[1], *sizes)
