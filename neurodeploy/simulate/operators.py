"""Non-spiking operators: their registered integer program, in pieces that fit the cache, or read from a table.

An elementwise operator whose inputs have a narrow proven range is a function of one small integer: its program runs
once over that whole range, and from then on results are looked up.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..array import Array
from ..ir import fixed
from ..ir.graph import Graph
from ..ir.micro_op import MICROCODE
from ..ir.nodes import Micro
from ..ir.widths import REGISTER_BITS
from . import arithmetic, kernels
from .run import Run, Step

CHUNK_ELEMENTS = 1 << 15  # of int64: 256 KB, so that the passes of a program stay in the second-level cache
TABLE_RANGE = 1 << 21  # widest input range that is tabulated


def micro(node: Micro, graph: Graph) -> Step:
    """An operator of the tick, or one wrapped in expectation compensation."""
    if node.timing == "cumulative":
        return _cumulative(node, graph)
    if MICROCODE[node.op].by_tick:
        return _by_tick(node, graph)
    return _rescale(node, graph) if node.op == "rescale" else _instant(node, graph)


class Operator:
    """f as a function of int64 arrays (..., *shape), for inputs within ``lo`` .. ``hi``."""

    def __init__(self, node: Micro, graph: Graph, lo: int, hi: int) -> None:
        self.op, self.params = MICROCODE[node.op], node.params
        self.rank = len(graph.shape(node.name))
        self.lo, self.hi = lo, hi
        self.seen = 0  # elements so far: a table must pay for itself
        self.table: tuple[Array, Array | None] | None = None
        self.tabulated = not self.op.row and hi - lo < TABLE_RANGE

    def __call__(self, x: Array) -> tuple[Array, int]:
        """The result and the number of saturated elements."""
        if self.table is None:
            y, flags = self.op.int_apply(x, self.params)
            return y, int(np.sum(flags))
        index = x - self.lo
        values, clipped = self.table
        return values.take(index), 0 if clipped is None else int(clipped.take(index).sum())

    def expect(self, elements: int) -> None:
        """Build the table once more elements went through than it has entries."""
        self.seen += elements
        if self.tabulated and self.table is None and self.seen > self.hi - self.lo:
            self._tabulate()

    def _tabulate(self) -> None:
        domain = np.arange(self.lo, self.hi + 1, dtype=np.int64).reshape(-1, *(1,) * self.rank)
        y, flags = self.op.int_apply(domain, self.params)
        self.tabulated = y.size == domain.size  # else parameters differ between channels
        if self.tabulated:
            clipped = np.broadcast_to(flags, y.shape).ravel()
            self.table = y.ravel(), (clipped.copy() if clipped.any() else None)


def _in_pieces(work: Callable[[Array], tuple[Array, int]], x: Array, out: Array) -> int:
    """Fill ``out`` (T, B, ...) with ``work`` of pieces of the batch that fit the cache; its saturated elements."""
    samples, clipped = max(1, CHUNK_ELEMENTS // max(out[:, :1].size, 1)), 0
    for start in range(0, x.shape[1], samples):
        part = slice(start, start + samples)
        out[:, part], count = work(x[:, part])
        clipped += count
    return clipped


def _instant(node: Micro, graph: Graph) -> Step:
    kind = arithmetic.storage(graph, node.name)
    operator = Operator(node, graph, *_range(graph, node))

    def step(args: list[Array], run: Run) -> Array:
        (x,) = args
        out = np.empty(x.shape, dtype=kind)
        operator.expect(x.size)
        run.count(node, _in_pieces(lambda part: operator(arithmetic.integers(part)), x, out), len(x))
        return out

    return step


def _by_tick(node: Micro, graph: Graph) -> Step:
    """An operator whose parameters differ from tick to tick: its program, one tick after the other."""
    op, kind = MICROCODE[node.op], arithmetic.storage(graph, node.name)

    def step(args: list[Array], run: Run) -> Array:
        full = np.broadcast_to(args[0], (run.ticks, *args[0].shape[1:]))
        out = np.empty(full.shape, dtype=kind)
        for t, x in enumerate(full):
            out[t], flags = op.int_apply(arithmetic.integers(x), op.at(node.params, run.before + t + 1))
            run.count(node, int(np.sum(flags)), run.ticks)
        return out

    return step


def _range(graph: Graph, node: Micro) -> tuple[int, int]:
    interval = graph.values[node.inputs[0]].interval
    reach = arithmetic.UNBOUNDED
    return (interval.lo, interval.hi) if interval is not None and interval.proven else (-reach, reach)


def _rescale(node: Micro, graph: Graph) -> Step:
    """The most frequent operator, in one compiled pass."""
    shape, kind = graph.shape(node.name), arithmetic.storage(graph, node.name)
    multiplier, shift = (np.broadcast_to(node.params[name], shape).astype(np.int64).ravel()
                         for name in ("multiplier", "shift"))  # fmt: skip
    top = arithmetic.limit(int(node.params["bits"]))
    target = np.float32 if kind is np.float32 else np.int64

    def step(args: list[Array], run: Run) -> Array:
        x = kernels.plain(args[0]).reshape(-1, multiplier.size)
        out = np.empty(x.shape, dtype=target)
        run.count(node, kernels.rescale_clip(x, out, multiplier, shift, top), len(args[0]))
        return out.reshape(args[0].shape).astype(kind, copy=False)

    return step


def _cumulative(node: Micro, graph: Graph) -> Step:
    kind, bits = arithmetic.storage(graph, node.name), graph.values[node.name].width
    lo, hi = _range(graph, node)
    reach, ticks = max(abs(lo), abs(hi)), range(1, graph.header.timesteps + 1)
    if reach * len(ticks) <= arithmetic.limit(REGISTER_BITS):
        lo, hi = min(_mean(t * lo, t) for t in ticks), max(_mean(t * hi, t) for t in ticks)
    operator = Operator(node, graph, lo, hi)

    def step(args: list[Array], run: Run) -> Array:
        (x,) = args
        out = np.empty((run.ticks, *x.shape[1:]), dtype=kind)
        operator.expect(out.size)
        work = lambda part: _compensated(part, operator, run.ticks, reach, bits)
        run.count(node, _in_pieces(work, x, out), run.ticks)
        return out

    return step


def _mean(total: Any, t: int) -> Any:
    """S(t) / t as the integer level computes it."""
    return fixed.rescale(total, *fixed.reciprocal(t))


def _compensated(x: Array, operator: Operator, ticks: int, reach: int, bits: int) -> tuple[Array, int]:
    """F(t) - F(t-1) with F(t) = t f(S(t) / t) for every tick, and how many elements saturated anywhere."""
    sums, clipped = _sums(x, ticks, reach)
    for t in range(1, ticks + 1):
        sums[t - 1] = _mean(sums[t - 1], t)
    y, inside = operator(sums)
    y = y * np.arange(1, ticks + 1).reshape(-1, *(1,) * (y.ndim - 1))
    y, outside = arithmetic.saturated(np.diff(y, axis=0, prepend=0), bits)
    return y, clipped + inside + outside


def _sums(x: Array, ticks: int, reach: int) -> tuple[Array, int]:
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
