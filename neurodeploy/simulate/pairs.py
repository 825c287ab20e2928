"""Products of two streams of which one is binary spikes: rows of the other operand added up, in narrow integers.

Attention is two of them. What a spike at (e, k) does is ``out[e] += other[k]``, for every index that all three share;
the sums take 16 bits where they are proven to fit.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from ..array import Array
from ..ir.graph import Graph
from ..ir.nodes import Product
from . import arithmetic, calls, vector
from .calls import Call

if TYPE_CHECKING:
    from .values import Values

BEFORE = """\
from neurodeploy.simulate.vector import {mask}, {rows_of_bits} as rows_of_bits, {row_to_bits} as row_to_bits

width, size = {width}, {size}  # constants, so that the loops over them unroll
"""

SOURCE = """\
    ticks, shared, outer, _, rows = sizes
    spare = np.zeros(32, like_wide.dtype)
    for t in range(ticks):
        for pair in range(lo, hi):
            b, s = pair // shared, pair % shared
            row = spikes + t * spikes_at[0] + b * spikes_at[1] + s * spikes_at[2]
            start = other + t * other_at[0] + b * other_at[1] + s * other_at[2]
            end = out + t * out_at[0] + b * out_at[1] + s * out_at[2]
            for e in range(rows):
                row_at(end + e * out_at[3], like_wide, width)[:] = 0
            for i in range(outer):
                for j in range(0, size, {step}):
                    mask = {mask}(row + i * spikes_at[3] + j, min({step}, size - j))
                    if inner:
                        rows_of_bits(mask, start + j * other_at[3], end + i * out_at[3], other_at[3],
                                     spare, like_narrow, like_wide, width)
                    else:
                        row_to_bits(mask, start + i * other_at[3], end + j * out_at[3], out_at[3],
                                    spare, like_narrow, like_wide, width)
"""


def pairs_kernel(size: int, width: int, given: Mapping[str, Any]) -> Any:
    """The compiled :data:`SOURCE`, for the pairs lo .. hi of (b, s).

    It is given addresses and strides of spikes (T, B, S, I, J), of the other operand (T, B, S, K, D) and of out
    (T, B, S, E, D), the sizes (T, S, I, J, E), empty arrays of the types of the other and of out, and whether J is
    summed and I is kept (else the other way round). J, which is ``size``, and D, which is ``width``, are contiguous.
    """
    step = next((n for n in (64, 32, 16, 8) if size % n == 0), 64)
    mask = f"mask_{step}" if size % step == 0 else "mask_plain"
    before = BEFORE.format(width=width, size=size, mask=mask, **vector.chosen())
    return calls.kernel("pairs", before, SOURCE.format(mask=mask, step=step), given)


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

    def __call__(self, args: list[Array], values: Values) -> Array:
        """The product (T, B, *shape), as an action of ``values``."""
        spikes, other = (args[0], args[1]) if self.left else (args[1], args[0])
        lead = tuple(max(a, b) for a, b in zip(spikes.shape[:2], other.shape[:2], strict=True))
        out = values.take((*lead, *self.sizes), self.kind)
        spikes = self._seen(spikes, values, np.int8, self.spikes, self.groups[0])
        other = self._seen(other, values, self._fitting(other), self.other, self.groups[1])
        result = out.transpose(0, 1, *self.canonical).reshape(*lead, *self.groups[2])
        sizes = (lead[0], *spikes.shape[2:], result.shape[3])
        places = {"spikes": spikes, "other": other, "out": result}
        given = {name: x.__array_interface__["data"][0] for name, x in places.items()}
        given |= {f"{name}_at": _steps(x) for name, x in places.items()}
        given |= {"sizes": sizes, "inner": self.inner, "narrow": _LIKE[other.dtype], "wide": _LIKE[out.dtype]}
        kernel = pairs_kernel(spikes.shape[-1], result.shape[-1], given)
        extent, counted = lead[1] * spikes.shape[2], ((self.node.name, 1),)
        values.call(Call(kernel, given, extent, 1, False, counted, tuple(places.values())))
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


def _steps(x: Array) -> tuple[int, ...]:
    """Strides in bytes; what has one tick or sample stands still along them."""
    return tuple(0 if n == 1 else step for n, step in zip(x.shape, x.strides, strict=True))


def _axes(*letters: str) -> tuple[int, ...]:
    """Where the letters of all but the last text stand in the last one, behind ticks and batch."""
    *wanted, present = letters
    return tuple(present.index(c) + 2 for c in "".join(wanted))


def suits(node: Product, graph: Graph, constant: frozenset[str]) -> bool | None:
    """Whether the left operand (True) or the right one (False) is the one of spikes; None: this needs another way."""
    equation = node.einsum
    exact = (
        node.timing == "instant"
        and node.rescale is None
        and node.shown is None
        and arithmetic.magnitude(graph, node.name) < 1 << 31
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
