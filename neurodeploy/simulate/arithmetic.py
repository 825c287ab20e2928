"""Which number type holds a value exactly, and whole numbers moved between them."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..array import Array
from ..ir.graph import Graph

FLOAT32_EXACT = 1 << 24
FLOAT64_EXACT = 1 << 53
UNBOUNDED = 1 << 62


def magnitude(graph: Graph, name: str) -> int:
    """Proven largest absolute value of a node, or UNBOUNDED."""
    interval = graph.values[name].interval
    return interval.magnitude if interval is not None and interval.proven else UNBOUNDED


def ends(graph: Graph, name: str) -> tuple[int, int]:
    """Proven smallest and largest value of a node, or UNBOUNDED either way."""
    interval = graph.values[name].interval
    known = interval is not None and interval.proven
    return (interval.lo, interval.hi) if interval is not None and known else (-UNBOUNDED, UNBOUNDED)


def exact_in(bound: int | float) -> Any:
    """The narrowest type in which sums are exact whose magnitudes add up to at most ``bound``."""
    if bound < FLOAT32_EXACT:
        return np.float32
    return np.float64 if bound < FLOAT64_EXACT else np.int64


def storage(graph: Graph, name: str) -> Any:
    """The type in which a node's value is stored."""
    return exact_in(magnitude(graph, name))


def integer_for(graph: Graph, name: str) -> Any:
    """The narrowest signed integer type that holds a node's value."""
    reach = magnitude(graph, name)
    return next((kind for kind in (np.int8, np.int16, np.int32) if reach <= np.iinfo(kind).max), np.int64)


def limit(bits: int) -> int:
    """Largest magnitude of a symmetric width."""
    return (1 << (bits - 1)) - 1


def integers(x: Array) -> Array:
    """The same whole numbers as int64."""
    return x.astype(np.int64, copy=False)


def running(x: Array, ticks: int, kind: Any) -> Array:
    """Sums of ``x`` (T or 1, ...) over ticks 1 .. t, for every t."""
    if len(x) == 1 and ticks > 1:
        factors = np.arange(1, ticks + 1, dtype=kind).reshape(-1, *(1,) * (x.ndim - 1))
        sums: Array = x.astype(kind, copy=False) * factors
        return sums
    sums = np.empty(x.shape, kind)
    sums[:1] = x[:1]
    for t in range(1, len(x)):  # several times as fast as numpy's cumsum along the first axis
        np.add(sums[t - 1], x[t], out=sums[t], dtype=kind)
    return sums


def saturated(x: Array, bits: int) -> tuple[Array, int]:
    """int64 clipped to the symmetric width, and how many elements were."""
    top = limit(bits)
    y = np.clip(x, -top, top)
    return y, int(np.count_nonzero(x != y))
