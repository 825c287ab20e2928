"""Dynamic products: einsum as a stack of matrix products, and expectation compensation over all ticks at once.

As long as no register saturates, P(t) = S_A(t) S_B(t): one product per tick of two running sums instead of two
products of a tick. Where bounds or the data do not exclude a saturation, ticks run one after the other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from ..array import Array
from ..ir import fixed
from ..ir.equation import Equation, Sizes
from ..ir.graph import Graph
from ..ir.nodes import Product
from ..ir.widths import REGISTER_BITS
from ..jit import kept
from . import arithmetic, kernels
from .run import Run, Step

Contraction = Callable[[Array, Array, Any], Array]


@dataclass(frozen=True)
class Plan:
    """What both timings share: the contraction, its number of summands, operand magnitudes and the output type."""

    node: Product
    contract: Contraction
    summands: int
    a: int
    b: int
    bits: int
    storage: Any
    #: (T, n) of running products -> differences of their rescaled values, and how many were clipped
    rescaled: Callable[..., int]

    def scale(self, p: Array, t: int) -> Array:
        """The integer rescale of tick ``t``."""
        out: Array = fixed.rescale(p, *self.node.factor(t))
        return out


def product(node: Product, graph: Graph) -> Step:
    """A product of two streams by its timing."""
    return _planned(node, graph, rescale_difference)


def by_numpy(node: Product, graph: Graph) -> Step:
    """:func:`product` without machine code."""
    return _planned(node, graph, _by_numpy)


def _planned(node: Product, graph: Graph, rescaled: Callable[..., int]) -> Step:
    a, b = node.inputs
    shapes = graph.shape(a), graph.shape(b)
    inner = contraction(node.einsum, *shapes)

    def contract(x: Array, y: Array, kind: Any) -> Array:
        return node.met(lambda a, b: inner(a, b, kind), x, y)

    plan = Plan(node, contract, node.einsum.terms(*shapes),
                arithmetic.magnitude(graph, a), arithmetic.magnitude(graph, b),
                graph.values[node.name].width, arithmetic.storage(graph, node.name), rescaled)  # fmt: skip
    return _cumulative(plan) if node.timing == "cumulative" else _instant(plan)


def _instant(plan: Plan) -> Step:
    bound = plan.summands * plan.a * plan.b
    kind, top = arithmetic.exact_in(bound), arithmetic.limit(plan.bits)

    def step(args: list[Array], run: Run) -> Array:
        a, b = args
        if plan.node.timing == "held":
            b = held(b, run.ticks)
        p = plan.contract(a, b, kind)
        if plan.node.rescale is None and bound <= top:
            run.count(plan.node, 0, len(p))
            return p
        # a table with one entry per tick makes even a constant product change
        if plan.node.rescale is not None and np.size(plan.node.rescale[0]) > 1:
            p = np.broadcast_to(p, (run.ticks, *p.shape[1:]))
        scaled = np.stack([plan.scale(arithmetic.integers(part), t) for t, part in enumerate(p, start=1)])
        y, clipped = arithmetic.saturated(scaled, plan.bits)
        run.count(plan.node, clipped, len(y))
        return y.astype(plan.storage, copy=False)

    return step


def held(b: Array, ticks: int) -> Array:
    """(T, B, ...): at each tick the last B that had a spike; zero before the first."""
    if len(b) == 1:
        return b
    spoke = (b != 0).any(axis=tuple(range(2, b.ndim)))
    last = np.maximum.accumulate(np.where(spoke, np.arange(len(b))[:, None], 0), axis=0)
    kept: Array = b[last, np.arange(b.shape[1])]
    return kept


def _cumulative(plan: Plan) -> Step:
    def step(args: list[Array], run: Run) -> Array:
        s_a, s_b = plan.a * run.ticks, plan.b * run.ticks
        bound, top = plan.summands * s_a * s_b, arithmetic.limit(REGISTER_BITS)
        if max(s_a, s_b) > top or bound >= arithmetic.FLOAT64_EXACT:
            return _tick_by_tick(plan, args, run)
        kind = arithmetic.exact_in(bound)
        sum_a, sum_b = (arithmetic.running(x, run.ticks, kind) for x in args)
        p = plan.contract(sum_a, sum_b, kind)
        if bound > top and np.abs(p).max(initial=0) > top:
            return _tick_by_tick(plan, args, run)
        return _differences(plan, p, run)

    return step


def _differences(plan: Plan, p: Array, run: Run) -> Array:
    """Y(t) - Y(t-1) of the unsaturated P (T, B, ...), clipped to the declared width."""
    multiplier, shift = _table(plan, run.ticks)
    kind = np.float32 if plan.storage is np.float32 else np.int64
    flat = kernels.plain(p).reshape(run.ticks, -1)
    out = np.empty(flat.shape, dtype=kind)
    clipped = plan.rescaled(flat, out, multiplier, shift, arithmetic.limit(plan.bits))
    run.count(plan.node, clipped, len(out))
    return out.reshape(p.shape).astype(plan.storage, copy=False)


@kept
def rescale_difference(p: Any, out: Any, multiplier: Any, shift: Any, limit: int) -> int:
    """Y(t) = rescale(P(t)), out(t) = Y(t) - Y(t-1) clipped to +-limit, for (T, n). Returns clipped elements."""
    ticks, size = out.shape
    before = np.zeros(size, np.int64)
    clipped = 0
    for t in range(ticks):
        factor, places, half = multiplier[t], shift[t], (np.int64(1) << shift[t]) >> 1
        for j in range(size):
            now = (np.int64(p[t, j]) * factor + half) >> places
            raw = now - before[j]
            kept = min(max(raw, -limit), limit)
            out[t, j] = kept
            clipped += raw != kept
            before[j] = now
    return clipped


def _by_numpy(p: Array, out: Array, multiplier: Array, shift: Array, limit: int) -> int:
    """:func:`rescale_difference`, a tick at a time."""
    clipped, before = 0, np.zeros(out.shape[1], np.int64)
    for t, now in enumerate(p):
        now = fixed.rescale(now.astype(np.int64), multiplier[t], shift[t])
        np.clip(now - before, -limit, limit, out=out[t], casting="unsafe")
        clipped += int(np.count_nonzero(out[t] != now - before))
        before = now
    return clipped


def _table(plan: Plan, ticks: int) -> tuple[Array, Array]:
    """Multiplier and shift of every tick; 1 and 0 where the product is passed on exactly."""
    factors = np.array([plan.node.factor(t) for t in range(1, ticks + 1)], dtype=np.int64)
    multiplier, shift = factors.T.copy()
    return multiplier, shift


def _tick_by_tick(plan: Plan, args: list[Array], run: Run) -> Array:
    """P(t) = P(t-1) + A(t) S_B(t) + S_A(t-1) B(t) with every saturation where it happens."""
    used = plan.node.used(*map(arithmetic.integers, args))
    a, b = (np.broadcast_to(x, (run.ticks, *x.shape[1:])) for x in used)
    s_a, s_b = np.zeros_like(a[:1]), np.zeros_like(b[:1])
    p = last = plan.contract(s_a, s_b, np.int64)
    out, clipped = [], 0
    for t in range(run.ticks):
        now_a, now_b = a[t : t + 1], b[t : t + 1]
        s_b, n1 = arithmetic.saturated(s_b + now_b, REGISTER_BITS)
        p = p + plan.contract(now_a, s_b, np.int64) + plan.contract(s_a, now_b, np.int64)
        p, n2 = arithmetic.saturated(p, REGISTER_BITS)
        s_a, n3 = arithmetic.saturated(s_a + now_a, REGISTER_BITS)
        now = plan.scale(p, t + 1)
        y, n4 = arithmetic.saturated(now - last, plan.bits)
        last = now
        out.append(y)
        clipped += n1 + n2 + n3 + n4
    found = np.concatenate(out)
    run.count(plan.node, clipped, run.ticks)
    return found.astype(plan.storage, copy=False)


def contraction(equation: Equation, left: Sizes, right: Sizes) -> Contraction:
    """The einsum over arrays (T, B, ...) of these shapes in a given number type: a matrix product where it is one."""
    one_matrix = equation.summed and not equation.lone and not equation.repeats
    return _matrices(equation, equation.sizes(left, right)) if one_matrix else _general(equation)


def _matrices(equation: Equation, size: dict[str, int]) -> Contraction:
    """Rows times columns, for every value of the letters that both operands and the result share."""
    shared, rows, inner, columns = equation.shared, equation.rows, equation.summed, equation.columns
    left_axes = _axes(shared + rows + inner, equation.left)
    right_axes = _axes(shared + inner + columns, equation.right)
    order = _axes(equation.out, shared + rows + columns)
    stack, result = ([size[c] for c in part] for part in (shared, shared + rows + columns))
    m, k, n = (prod(size[c] for c in part) for part in (rows, inner, columns))

    def contract(x: Array, y: Array, kind: Any) -> Array:
        x, y = x.astype(kind, copy=False), y.astype(kind, copy=False)
        x = x.transpose(0, 1, *left_axes).reshape(*x.shape[:2], *stack, m, k)
        y = y.transpose(0, 1, *right_axes).reshape(*y.shape[:2], *stack, k, n)
        z: Array = np.matmul(x, y)
        z = z.reshape(*z.shape[:2], *result).transpose(0, 1, *order)
        return z

    return contract


def _axes(wanted: str, present: str) -> list[int]:
    """Where the wanted letters stand behind ticks and batch in an array of the present ones."""
    return [present.index(c) + 2 for c in wanted]


def _general(equation: Equation) -> Contraction:
    """Elementwise products and repeated or lone indices, which are rare and small."""
    text = f"YZ{equation.left},YZ{equation.right}->YZ{equation.out}"

    def contract(x: Array, y: Array, kind: Any) -> Array:
        lead = np.broadcast_shapes(x.shape[:2], y.shape[:2])
        x, y = (np.broadcast_to(v, lead + v.shape[2:]).astype(kind, copy=False) for v in (x, y))
        z: Array = np.einsum(text, x, y)
        return z

    return contract
