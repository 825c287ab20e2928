"""Products of two streams on each core: an einsum as batched matrix products, and the count of non-zero pairs."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from ...array import Array
from ...ir.equation import Equation, Sizes

#: the fastest types first, and the magnitude below which whole numbers, and their sums in any order, are exact in them
TYPES = {np.dtype(np.float32): 2.0**24, np.dtype(np.float64): 2.0**53, np.dtype(np.int64): np.inf}


def exact(reach: float, at_least: Any = np.float32) -> Any:
    """The fastest type in which sums of magnitude up to ``reach`` are exact, ``at_least`` as wide as another."""
    wide = list(TYPES)[list(TYPES).index(np.dtype(at_least)) :]
    return next(kind for kind in wide if reach < TYPES[kind])


def largest(x: Array) -> int:
    """The largest magnitude."""
    return max(int(x.max()), -int(x.min())) if x.size else 0


@dataclass(frozen=True, eq=False)
class Contraction:
    """An equation over local operands, the size of each of its letters, and whether all of its result is wanted."""

    equation: Equation
    sizes: dict[str, int]
    whole: bool

    @classmethod
    def of(cls, equation: Equation, a: Sizes, b: Sizes, picks: list[Array | None]) -> Contraction:
        """From an equation, the local sizes of both operands, and which elements each core wants (None: all)."""
        every = prod(equation.shape(a, b))
        whole = all(pick is None or len(np.unique(pick[pick >= 0])) == every for pick in picks)
        return cls(equation, equation.sizes(a, b), whole)

    def apply(self, a: Array, b: Array) -> Array:
        """(cores, A elements, samples), (cores, B elements, samples) -> (cores * elements, samples), exact."""
        equation = self.equation
        terms = prod(self.sizes[c] for c in equation.left + equation.right if c not in equation.out)
        kind = exact(largest(a) * largest(b) * max(terms, 1))
        x = self._matrix(a, equation.left, (equation.shared, equation.rows, equation.summed), kind)
        y = self._matrix(b, equation.right, (equation.shared, equation.summed, equation.columns), kind)
        order = equation.shared + equation.rows + equation.columns
        z = np.matmul(x, y).reshape(*x.shape[:2], *(self.sizes[c] for c in order))
        z = z.transpose(0, *(2 + order.index(c) for c in equation.out), 1)
        return np.ascontiguousarray(z.reshape(-1, a.shape[-1]).astype(np.int64, copy=False))

    def pairs(self, a: Array, b: Array) -> Array:
        """Pairs of non-zero operands, (cores, samples), where all of the result is wanted."""
        equation, both = self.equation, self.equation.shared + self.equation.summed
        often = self._onto(a != 0, equation.left, both) * self._onto(b != 0, equation.right, both)
        return np.asarray(often.reshape(len(a), -1, a.shape[-1]).sum(axis=1))

    def _onto(self, x: Array, letters: str, kept: str) -> Array:
        """Sum over the letters not kept, int64; cores first, axes in the order of ``kept``, samples last."""
        cores, _, samples = x.shape
        x = x.reshape(cores, *(self.sizes[c] for c in letters), samples)
        x = x.sum(axis=tuple(1 + i for i, c in enumerate(letters) if c not in kept), dtype=np.int64)
        order = [c for c in letters if c in kept]
        return x.transpose(0, *(1 + order.index(c) for c in kept), 1 + len(order))

    def _matrix(self, x: Array, letters: str, groups: tuple[str, str, str], kind: Any) -> Array:
        """(cores, samples, batch, rows, columns), letters of no use summed out."""
        kept = np.moveaxis(self._onto(x, letters, "".join(groups)), -1, 1)
        sizes = (prod(self.sizes[c] for c in group) for group in groups)
        return np.ascontiguousarray(kept, dtype=kind).reshape(len(x), x.shape[-1], *sizes)
