"""Products of two streams of which one is binary spikes: rows of the other operand added up, in narrow integers.

Attention is two of them. What a spike at (e, k) does is ``out[e] += other[k]``, for every index that all three share;
the sums take 16 bits where they are proven to fit.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from ..array import Array
from ..ir.graph import Graph
from ..ir.nodes import Product
from . import arithmetic, kernels, vector

if TYPE_CHECKING:
    from .values import Values

SOURCE = '''\
"""Generated: spikes times rows."""

import numpy as np
from numba import njit

from neurodeploy.simulate.vector import row_at, {add} as add, {positions} as positions

width = {width}  # a constant, so that the loops over it unroll
byte = np.empty(0, np.int8)


@njit(cache={cached}, nogil=True, error_model="numpy")
def kernel(spikes, spikes_at, other, other_at, out, out_at, like, sums, sizes, inner, lo, hi):
    ticks, shared, outer, size, rows = sizes
    places = np.empty(size + 64, np.uint16)
    for t in range(ticks):
        for pair in range(lo, hi):
            b, s = pair // shared, pair % shared
            row = spikes + t * spikes_at[0] + b * spikes_at[1] + s * spikes_at[2]
            start = other + t * other_at[0] + b * other_at[1] + s * other_at[2]
            end = out + t * out_at[0] + b * out_at[1] + s * out_at[2]
            for e in range(rows):
                row_at(end + e * out_at[3], sums, width)[:] = 0
            for i in range(outer):
                count = positions(row_at(row + i * spikes_at[3], byte, size), 0, places, 0)
                for n in range(count):
                    j = np.int64(places[n])
                    k, e = (j, i) if inner else (i, j)
                    add(row_at(start + k * other_at[3], like, width), row_at(end + e * out_at[3], sums, width))
'''


@cache
def pairs_kernel(width: int) -> Callable[..., Any]:
    """kernel(*(address, strides) of spikes (T, B, S, I, J), other (T, B, S, K, D) and out (T, B, S, E, D), ...).

    Then arrays of the types of other and out, (T, S, I, J, E), whether J is summed and I is kept (else the other way
    round), and the pairs of (b, s) to compute. J and D are contiguous.
    """
    text = lambda cached: SOURCE.format(cached=cached, width=width, **vector.chosen())
    return kernels.compiled("pairs", text, [vector.text()])


class Pairs:
    """A planned product of spikes and another stream: how both are seen, and where the result lies."""

    def __init__(self, node: Product, graph: Graph, left: bool) -> None:
        self.node, self.left = node, left
        equation, sizes = node.einsum, node.einsum.sizes(*map(graph.shape, node.inputs))
        spikes, other = (equation.left, equation.right) if left else (equation.right, equation.left)
        own, width = (equation.rows, equation.columns) if left else (equation.columns, equation.rows)
        self.inner = spikes[-1] in equation.summed
        outer = own if self.inner else equation.summed
        last = equation.summed if self.inner else own
        self.spikes = _axes(equation.shared, outer, last, spikes)
        self.other = _axes(equation.shared, equation.summed, width, other)
        self.shape = tuple(sizes[c] for c in equation.out)
        #: letters of the result as they lie in memory: rows of a token side by side
        self.memory = own + equation.shared + width
        self.canonical = _axes(equation.shared, own, width, self.memory)
        self.final = _axes("", "", equation.out, self.memory)
        self.sizes = tuple(sizes[c] for c in self.memory)
        self.groups = [tuple(prod(sizes[c] for c in part) for part in parts)
                       for parts in ((equation.shared, outer, last), (equation.shared, equation.summed, width),
                                     (equation.shared, own, width))]  # fmt: skip
        self.kind = np.int16 if arithmetic.magnitude(graph, node.name) < 1 << 15 else np.int32
        self.kernel = pairs_kernel(self.groups[2][2])

    def __call__(self, args: list[Array], values: Values) -> Array:
        """The product (T, B, *shape), as an action of ``values``."""
        spikes, other = (args[0], args[1]) if self.left else (args[1], args[0])
        lead = tuple(max(a, b) for a, b in zip(spikes.shape[:2], other.shape[:2], strict=True))
        out = values.take((*lead, *self.sizes), self.kind)
        spikes = self._seen(spikes, values, np.int8, self.spikes, self.groups[0])
        other = self._seen(other, values, self._fitting(other), self.other, self.groups[1])
        result = out.transpose(0, 1, *self.canonical).reshape(*lead, *self.groups[2])
        sizes = (lead[0], *spikes.shape[2:], result.shape[3])
        given = (
            *_place(spikes),
            *_place(other),
            *_place(result),
            _LIKE[other.dtype],
            _LIKE[out.dtype],
            sizes,
        )
        values.shared(lambda lo, hi: self.kernel(*given, self.inner, lo, hi), lead[1] * spikes.shape[2])
        return out.transpose(0, 1, *self.final)

    def _fitting(self, x: Array) -> Any:
        """A type of whole numbers that is no wider than the result's."""
        return x.dtype if x.dtype in _LIKE and x.itemsize <= np.dtype(self.kind).itemsize else self.kind

    def _seen(
        self, x: Array, values: Values, kind: Any, order: tuple[int, ...], group: tuple[int, ...]
    ) -> Array:
        """An operand as the kernel takes it, where it lies if its last axis is contiguous."""
        turned, shape = x.transpose(0, 1, *order), (*x.shape[:2], *group)
        found: Array = turned.reshape(shape)
        if x.dtype == kind and found.strides[-1] == found.itemsize and np.may_share_memory(found, x):
            return found
        return values.filled(turned.shape, kind, turned).reshape(shape)


_LIKE = {np.dtype(kind): np.empty(0, kind) for kind in (np.int8, np.int16, np.int32)}


def _place(x: Array) -> tuple[int, tuple[int, ...]]:
    """Address and strides in bytes; what has one tick or sample stands still along them."""
    still = tuple(0 if n == 1 else step for n, step in zip(x.shape, x.strides, strict=True))
    return x.__array_interface__["data"][0], still


def _axes(*letters: str) -> tuple[int, ...]:
    """Where the letters of all but the last text stand in the last one, behind ticks and batch."""
    *wanted, present = letters
    return tuple(present.index(c) + 2 for c in "".join(wanted))


def suits(node: Product, graph: Graph, constant: frozenset[str]) -> bool | None:
    """Whether the left operand (True) or the right one (False) is the one of spikes; None: this needs another way."""
    equation = node.einsum
    exact = (
        node.timing == "instant" and node.rescale is None and arithmetic.magnitude(graph, node.name) < 1 << 31
    )
    bound = equation.terms(*map(graph.shape, node.inputs)) * prod(
        arithmetic.magnitude(graph, n) for n in node.inputs
    )
    one_matrix = (
        equation.summed and equation.rows and equation.columns and not equation.lone and not equation.repeats
    )
    fits = bound <= min(arithmetic.limit(graph.values[node.name].width), (1 << 31) - 1)
    if not (exact and one_matrix and fits) or constant.issuperset(node.inputs):
        return None
    spikes = [_binary(graph, name) for name in node.inputs]
    return spikes[0] if any(spikes) else None


def _binary(graph: Graph, name: str) -> bool:
    interval = graph.values[name].interval
    return interval is not None and interval.proven and interval.lo >= 0 and interval.hi <= 1
