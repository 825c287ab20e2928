"""Products of two streams on one core: an einsum as batched matrix products, and the count of non-zero pairs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import prod

import numpy as np

from ...array import Array

EXACT = 2.0**53  # whole numbers below this are exact in float64


def exact(left: float, right: float, terms: int) -> bool:
    """True if sums of ``terms`` products of magnitudes up to left x right are exact in float64."""
    return left * right * terms < EXACT


@dataclass(frozen=True, eq=False)
class Contraction:
    """An equation over local operands: letters sorted into batch, rows (left alone), columns (right alone), summed.

    ``pick``: flat elements of the result that are wanted (None: all in order); ``whole``: they are all of it.
    """

    left: str
    right: str
    out: str
    sizes: dict[str, int]
    pick: Array | None

    @classmethod
    def of(cls, equation: str, a: tuple[int, ...], b: tuple[int, ...], pick: Array | None) -> Contraction:
        """From an equation and the local sizes of both operands."""
        left, right, out = equation.replace("->", ",").split(",")
        sizes = dict(zip(left, a, strict=True)) | dict(zip(right, b, strict=True))
        return cls(left, right, out, sizes, pick)

    @cached_property
    def whole(self) -> bool:
        """Whether every element of the result is wanted."""
        return self.pick is None or len(np.unique(self.pick)) == self.size(self.out)

    @cached_property
    def batch(self) -> str:
        """Letters of both operands that stay."""
        return "".join(c for c in self.out if c in self.left and c in self.right)

    @cached_property
    def summed(self) -> str:
        """Letters of both operands that go."""
        return "".join(c for c in self.left if c in self.right and c not in self.out)

    @cached_property
    def rows(self) -> str:
        """Letters of the result that only the left operand has."""
        return "".join(c for c in self.out if c not in self.right)

    @cached_property
    def columns(self) -> str:
        """Letters of the result that only the right operand has."""
        return "".join(c for c in self.out if c not in self.left)

    def size(self, letters: str) -> int:
        """Number of combinations of some letters."""
        return prod(self.sizes[c] for c in letters)

    def apply(self, a: Array, b: Array) -> Array:
        """(A elements, samples), (B elements, samples) -> (picked elements, samples), exact."""
        x = self._matrix(a, self.left, (self.batch, self.rows, self.summed))
        y = self._matrix(b, self.right, (self.batch, self.summed, self.columns))
        left_most, right_most = (float(np.abs(m).max(initial=0)) for m in (a, b))
        terms = self.size("".join(c for c in self.left + self.right if c not in self.out))
        z: Array
        if exact(left_most, right_most, max(terms, 1)):
            z = np.matmul(x.astype(np.float64), y.astype(np.float64)).astype(np.int64)
        else:
            z = np.matmul(x, y)
        order = self.batch + self.rows + self.columns
        z = z.reshape(a.shape[1], *(self.sizes[c] for c in order))
        z = z.transpose(*(1 + order.index(c) for c in self.out), 0).reshape(-1, a.shape[1])
        return z if self.pick is None else z[self.pick]

    def pairs(self, a: Array, b: Array) -> Array:
        """Pairs of non-zero operands met for the picked elements, per sample."""
        active_a, active_b = (a != 0).astype(np.int64), (b != 0).astype(np.int64)
        if not self.whole:
            return np.asarray(self.apply(active_a, active_b).sum(axis=0))
        shared = self.batch + self.summed
        often = self._onto(active_a, self.left, shared) * self._onto(active_b, self.right, shared)
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
        return np.ascontiguousarray(kept).reshape(x.shape[1], *(self.size(group) for group in groups))
