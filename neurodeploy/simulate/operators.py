"""Non-spiking operators: their registered integer program, and expectation compensation around it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..array import Array
from ..ir import fixed
from ..ir.graph import Graph
from ..ir.micro_op import MICROCODE, MicroOp
from ..ir.nodes import Micro
from ..ir.widths import REGISTER_BITS
from . import arithmetic
from . import run as running
from .fused import Fused, Step, Values, run
from .kernel_text import ordered
from .symbols import Ends, Untraceable

Around = Callable[[Step], Step]

TABLE_RANGE = 1 << 19  # widest input range that is tabulated
#: what compensation knows of the tick: its number, and 1/t as a multiplier and a shift
TICK = ("tick_number", "tick_multiplier", "tick_shift")


def _as_is(step: Step) -> Step:
    return step


def micro(node: Micro, graph: Graph) -> running.Step:
    """An operator of the tick, or one wrapped in expectation compensation."""
    fused = program(node, graph)

    def step(args: list[Array], run: running.Run) -> Array:
        out, clipped = fused(args, run.ticks, run.before)
        run.count(node, clipped, len(out))
        return out

    return step


def program(node: Micro, graph: Graph) -> Fused:
    """The operator of a node, which runs by itself."""
    op, shape, kind = MICROCODE[node.op], graph.shape(node.name), arithmetic.storage(graph, node.name)
    lo, hi = reach = arithmetic.ends(graph, node.inputs[0])
    if node.timing != "cumulative":
        tables = lambda: _tabulated(op, node.params, shape, reach, _instant(op))
        return Fused(
            _instant(op), shape, op.row, [reach], node.params, kind, by_tick=op.by_tick, compiled=tables
        )
    ticks, bits = range(1, graph.header.timesteps + 1), graph.values[node.name].width
    top = arithmetic.limit(REGISTER_BITS)
    if max(-lo, hi) * len(ticks) <= top:
        total = min(0, lo * len(ticks)), max(0, hi * len(ticks))
    else:
        total = lo, hi = -top, top
    means = [fixed.rescale(np.int64(t * end), *fixed.reciprocal(t)) for t in ticks for end in (lo, hi)]
    inside = (int(min(means)), int(max(means))) if total != (-top, top) else total
    params = {**node.params, **_by_tick(len(ticks))}
    step = _compensated(_instant(op), bits, inside)
    plain = lambda: _tabulated(op, params, shape, inside, step, lambda look: _compensated(look, bits, inside))
    return Fused(step, shape, op.row, [reach], params, kind, [total, None], TICK, plain)


def _by_tick(ticks: int) -> dict[str, Array]:
    t = np.arange(1, ticks + 1)
    multiplier, shift = np.array([fixed.reciprocal(int(n)) for n in t], dtype=np.int64).T
    return dict(zip(TICK, (t, multiplier, shift), strict=True))


def _instant(op: MicroOp) -> Step:
    def step(inputs: Values, states: Values, params: Mapping[str, Any]) -> Any:
        y, clipped = op.int_apply(inputs[0], params)
        return y, (), clipped

    return step


def _compensated(inner: Step, bits: int, inside: Ends) -> Step:
    """F(t) - F(t-1) with F(t) = t f(S(t) / t), S a 32-bit register; an element counts wherever it was clipped."""
    mean_bits = fixed.bits_for(max(-inside[0], inside[1]))

    def step(inputs: Values, states: Values, params: Mapping[str, Any]) -> Any:
        total, last = states
        raw = total + inputs[0]
        total = fixed.saturate(raw, REGISTER_BITS)
        mean = fixed.held(fixed.rescale(total, params["tick_multiplier"], params["tick_shift"]), mean_bits)
        y, _, clipped = inner((mean,), (), params)
        now = y * params["tick_number"]
        change = now - last
        out = fixed.saturate(change, bits)
        return out, (total, now), fixed.flag(raw != total) + clipped + fixed.flag(change != out)

    return step


def _tabulated(
    op: MicroOp,
    params: Mapping[str, Any],
    shape: tuple[int, ...],
    inside: Ends,
    step: Step,
    around: Around = _as_is,
) -> tuple[Step, Mapping[str, Any]]:
    """A step whose operator is looked up, where it reads tables anyhow and its range is small enough for one."""
    if (
        op.row
        or op.by_tick
        or inside[1] - inside[0] >= TABLE_RANGE
        or not _reads_tables(op, params, shape, inside)
    ):
        return step, params
    domain = np.arange(inside[0], inside[1] + 1).reshape(-1, *(1,) * len(shape))
    y, flags = op.int_apply(domain, params)
    if y.size != domain.size:  # parameters differ between channels
        return step, params
    found: dict[str, Any] = {name: params[name] for name in TICK if name in params}
    exact = domain[np.broadcast_to(flags, y.shape) == 0].ravel()
    if len(exact) == 0 or exact[-1] - exact[0] != len(exact) - 1:  # clipped elsewhere than at the ends
        return step, params
    found |= {"looked_up": y.ravel(), "first": inside[0], "least": exact[0], "most": exact[-1]}
    return around(_look_up), found


def _reads_tables(op: MicroOp, params: Mapping[str, Any], shape: tuple[int, ...], inside: Ends) -> bool:
    try:
        outcome, _ = run(
            Fused(_instant(op), shape, False, [inside], params, np.int64), _instant(op), params, []
        )
    except Untraceable:
        return True
    return any(s.op == "take" for s in ordered([outcome.out]))


def _look_up(inputs: Values, states: Values, params: Mapping[str, Any]) -> Any:
    (x,) = inputs
    clipped = fixed.flag(x < params["least"]) + fixed.flag(x > params["most"])
    return params["looked_up"][x - params["first"]], (), clipped
