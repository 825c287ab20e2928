"""Non-spiking operators: their registered integer program, applied in pieces that fit the cache."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import registry
from ..ir import fixed
from ..ir.graph import Graph
from ..ir.nodes import Micro
from . import arithmetic
from .arithmetic import REGISTER_BITS

if TYPE_CHECKING:
    from .engine import Run, Step

CHUNK_ELEMENTS = 1 << 15  # of int64: 256 KB, so that a program's passes stay in the second-level cache


def micro(node: Micro, graph: Graph) -> Step:
    """An operator of the tick, or one wrapped in expectation compensation."""
    operator = Operator(node, graph)
    return (
        _cumulative(node, graph, operator) if node.timing == "cumulative" else _instant(node, graph, operator)
    )


class Operator:
    """f as a function of int64 arrays (n, *shape)."""

    def __init__(self, node: Micro, graph: Graph) -> None:
        self.node = node
        self.op = registry.microcode(node.op)
        self.rows = max(1, CHUNK_ELEMENTS // prod(graph.shape(node.name)))

    def __call__(self, x: np.ndarray) -> tuple[np.ndarray, int]:
        """The result and the number of saturated elements."""
        out = np.empty(x.shape, dtype=np.int64)
        clipped = 0
        for start in range(0, len(x), self.rows):
            part = slice(start, start + self.rows)
            out[part], flags = self.op.int_apply(x[part], self.node.params)
            clipped += int(np.sum(flags))
        return out, clipped


def _instant(node: Micro, graph: Graph, operator: Operator) -> Step:
    kind = arithmetic.storage(graph, node.name)

    def step(args: list[np.ndarray], run: Run) -> np.ndarray:
        x = arithmetic.integers(args[0])
        y, clipped = operator(x.reshape(-1, *x.shape[2:]))
        run.count(node, clipped, len(x))
        return y.reshape(x.shape).astype(kind, copy=False)

    return step


def _cumulative(node: Micro, graph: Graph, operator: Operator) -> Step:
    kind, bits = arithmetic.storage(graph, node.name), arithmetic.width(graph, node.name)
    reach = arithmetic.magnitude(graph, node.inputs[0])

    def step(args: list[np.ndarray], run: Run) -> np.ndarray:
        sums, clipped = _sums(args[0], run.ticks, reach)
        for t in range(1, run.ticks + 1):
            sums[t - 1] = fixed.rescale(sums[t - 1], *fixed.reciprocal(t))
        y, inside = operator(sums.reshape(-1, *sums.shape[2:]))
        y = y.reshape(sums.shape)
        y *= np.arange(1, run.ticks + 1).reshape(-1, *(1,) * (y.ndim - 1))
        y[1:] -= y[:-1].copy()
        y, outside = arithmetic.saturated(y, bits)
        run.count(node, clipped + inside + outside, run.ticks)
        return y.astype(kind, copy=False)

    return step


def _sums(x: np.ndarray, ticks: int, reach: Any) -> tuple[np.ndarray, int]:
    """Running sums (T, B, ...) in a 32-bit register, and how many elements saturated."""
    if reach * ticks <= arithmetic.limit(REGISTER_BITS):
        return arithmetic.running(x, ticks, np.int64), 0
    full = np.broadcast_to(arithmetic.integers(x), (ticks, *x.shape[1:]))
    sums, total, clipped = np.empty(full.shape, np.int64), np.zeros_like(full[0]), 0
    for t in range(ticks):
        total, count = arithmetic.saturated(total + full[t], REGISTER_BITS)
        sums[t] = total
        clipped += count
    return sums, clipped
