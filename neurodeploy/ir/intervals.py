"""Proven bounds of every integer edge, from actual weights, payload bounds and the widths at which nodes saturate.

Bounds are carried per element (so padding, biases and channels are exact) and stored as one Interval per value.
A node's bounds are proven if its inputs' are, or if the node clips: a neuron to its code, a product and a
compensated operator to its declared width, a running sum to its register. Widths of nodes that clip are decisions
and stay; those of all others follow from the bounds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from ..array import Array
from . import fixed
from .codes import contracted
from .graph import Graph
from .interp import aligned, contract, convolve, windows
from .micro_op import MICROCODE
from .neuron_model import NEURONS
from .nodes import Const, Delay, Input, Micro, Neuron, Node, Output, Product, Reduce, Sum, Synapse, View
from .types import Fixed, Interval, Value
from .widths import REGISTER_BITS

#: bounds are cut here: far above every register, and floats up to here are exact integers
CEILING = 2.0**52


@dataclass(frozen=True, eq=False)
class Bounds:
    """Smallest and largest value of each element over all ticks, float64 arrays (1, *shape) of whole numbers."""

    lo: Array
    hi: Array
    proven: bool = True

    @property
    def overall(self) -> Interval:
        """The interval that holds every element."""
        return Interval(int(self.lo.min()), int(self.hi.max()), self.proven)


def propagate(graph: Graph, known: Mapping[str, Bounds] | None = None) -> Graph:
    """The graph with a fresh interval on every value and, where no node clips, the width that the interval needs.

    ``known`` are the graph's bounds, where somebody has them already. An existing interval is kept for the Input, and,
    proven or measured, for an operator that states no bounds. Raises ValueError for an Input or operator that has
    nothing to start from.
    """
    known = bounds(graph) if known is None else known
    return graph.with_values({n.name: describe(graph.values[n.name], n, known[n.name]) for n in graph})


def bounds(graph: Graph) -> dict[str, Bounds]:
    """Bounds per element of every value of an integer graph, over ticks 1 .. header.timesteps."""
    table: dict[str, Bounds] = {}
    neurons = {node.name: node for node in graph.of(Neuron)}
    for node in graph:
        args = [table[i] if i in table else _neuron(neurons[i], [], graph) for i in node.inputs]
        table[node.name] = step(node, args, graph)
    return table


def step(node: Node, args: list[Bounds], graph: Graph | Any) -> Bounds:
    """Bounds of one node's value from those of its inputs; of ``graph``, only header, values and shapes are read."""
    raw, shape = RULES[type(node)](node, args, graph), (1, *graph.shape(node.name))
    lo, hi = (np.clip(part, -CEILING, CEILING) for part in (raw.lo, raw.hi))
    if lo.min() == lo.max() and hi.min() == hi.max():  # one number each: most neurons and products clip alike
        lo, hi = lo.flat[0], hi.flat[0]
    return Bounds(np.broadcast_to(lo, shape), np.broadcast_to(hi, shape), raw.proven)


def describe(value: Value, node: Node, found: Bounds) -> Value:
    """The value with the interval found and the width that follows."""
    interval = found.overall
    if isinstance(node, (Product, Micro)):
        spec = value.fixed or Fixed(REGISTER_BITS, True, 1.0)
    else:
        signed = interval.lo < 0 or (value.fixed is not None and value.fixed.signed)
        scale = value.fixed.scale if value.fixed else 1.0
        spec = Fixed(fixed.bits_for(interval.magnitude, signed), signed, scale)
    return replace(value, interval=interval, fixed=spec)


def of_interval(interval: Interval, shape: tuple[int, ...]) -> Bounds:
    """The same bounds for every element of a value."""
    lo, hi = (np.broadcast_to(float(end), (1, *shape)) for end in (interval.lo, interval.hi))
    return Bounds(lo, hi, interval.proven)


def _clip(found: Bounds, bits: int) -> Bounds:
    """Bounds after saturation: always proven, since nothing passes the width."""
    limit = float((1 << (bits - 1)) - 1)
    if not found.proven:
        return Bounds(np.full_like(found.lo, -limit), np.full_like(found.hi, limit))
    return Bounds(np.clip(found.lo, -limit, limit), np.clip(found.hi, -limit, limit))


def _hull(parts: list[Bounds]) -> Bounds:
    lo, hi = np.minimum.reduce([p.lo for p in parts]), np.maximum.reduce([p.hi for p in parts])
    return Bounds(lo, hi, all(p.proven for p in parts))


def _input(node: Input, args: list[Bounds], graph: Graph) -> Bounds:
    value = graph.values[node.name]
    interval = value.interval
    if interval is None and value.fixed is not None:
        interval = Interval(*value.fixed.limits, True)
    if interval is None:
        raise ValueError(f"the input {node.name} has no interval")
    return of_interval(interval, value.shape.sizes)


def _output(node: Output, args: list[Bounds], graph: Graph) -> Bounds:
    (x,), ticks = args, graph.header.timesteps
    return x if node.readout == "last" else _hull([x, Bounds(x.lo * ticks, x.hi * ticks, x.proven)])


def _const(node: Const, args: list[Bounds], graph: Graph) -> Bounds:
    value = node.value[None].astype(np.float64)
    return Bounds(value, value)


def _synapse(node: Synapse, args: list[Bounds], graph: Graph) -> Bounds:
    (x,) = args
    if node.delays != (0,):  # before tick 1 nothing was sent
        x = Bounds(np.minimum(x.lo, 0.0), np.maximum(x.hi, 0.0), x.proven)
    middle, radius = (x.lo + x.hi) / 2, (x.hi - x.lo) / 2
    if node.op == "dense":
        weight = node.weight.astype(np.float64).T
        centre, spread, bias = middle @ weight, radius @ np.abs(weight), node.bias
    else:
        weight = node.weight.astype(np.float64)
        plus, size = (replace(node, weight=w) for w in (weight, np.abs(weight)))
        centre, spread = convolve(middle, plus), convolve(radius, size)
        bias = None if node.bias is None else node.bias[:, None, None]
    centre = centre if bias is None else centre + bias
    return Bounds(centre - spread, centre + spread, x.proven)


def _neuron(node: Neuron, args: list[Bounds], graph: Graph) -> Bounds:
    code = graph.values[node.name].code
    code = code if code.spiking else NEURONS[node.model].code(node.params)
    lo, hi = code.interval
    return of_interval(Interval(lo, hi, True), graph.shape(node.name))


def _product(node: Product, args: list[Bounds], graph: Graph) -> Bounds:
    a, b = args
    (a_lo, b_lo), (a_hi, b_hi) = node.used(a.lo, b.lo), node.used(a.hi, b.hi)
    a, b = Bounds(a_lo, a_hi, a.proven), Bounds(b_lo, b_hi, b.proven)
    if node.timing != "cumulative":
        b = _hull([b, Bounds(np.zeros_like(b.lo), np.zeros_like(b.hi))]) if node.timing == "held" else b
        p, rates = _contracted(node, a, b, graph), len(np.atleast_1d(node.rescale[0])) if node.rescale else 1
        return _clip(_hull([scaled(node, p, t) for t in range(1, rates + 1)]), graph.values[node.name].width)
    now = []
    for t in range(1, graph.header.timesteps + 1):
        s_a, s_b = (_clip(Bounds(x.lo * t, x.hi * t, x.proven), REGISTER_BITS) for x in (a, b))
        # P(t) = S_A(t) S_B(t) as long as no register saturates; where one does, these bounds exceed P's own
        now.append(scaled(node, _clip(_contracted(node, s_a, s_b, graph), REGISTER_BITS), t))
    return _clip(_difference(now), graph.values[node.name].width)


def _contracted(node: Product, a: Bounds, b: Bounds, graph: Graph) -> Bounds:
    """Bounds of the einsum: centre and radius of every summand added up, and no more than equal extreme summands."""
    (ma, ra), (mb, rb) = (((x.lo + x.hi) / 2, (x.hi - x.lo) / 2) for x in (a, b))
    met = partial(contract, node.einsum)
    centre = node.met(met, ma, mb)
    spread = node.met(met, np.abs(ma) + ra, rb) + node.met(met, ra, np.abs(mb))
    ends = [x * y for x in (a.lo.min(), a.hi.max()) for y in (b.lo.min(), b.hi.max())]
    count = contracted(graph, node)
    least, most = min(ends), max(ends)
    if node.shown is not None:  # some elements add up less, or nothing
        least, most = min(least, 0.0), max(most, 0.0)
    lo = np.maximum(np.floor(centre - spread), count * least)
    hi = np.minimum(np.ceil(centre + spread), count * most)
    return Bounds(lo, hi, a.proven and b.proven)


def scaled(node: Product, p: Bounds, t: int) -> Bounds:
    """Bounds after the product's integer rescale of tick ``t``."""
    return p if node.rescale is None else _rescaled(p, *node.factor(t))


def _rescaled(x: Bounds, multiplier: Array | int, shift: Array | int) -> Bounds:
    whole = [np.clip(part, -(2.0**47), 2.0**47).astype(np.int64) for part in (x.lo, x.hi)]
    ends = [fixed.rescale(part, multiplier, shift).astype(np.float64) for part in whole]
    return Bounds(np.minimum(*ends), np.maximum(*ends), x.proven)


def _difference(now: list[Bounds]) -> Bounds:
    """Bounds of F(t) - F(t-1) over all ticks, F(0) = 0."""
    zero = Bounds(np.zeros_like(now[0].lo), np.zeros_like(now[0].hi))
    pairs = pairwise([zero, *now])
    return _hull([Bounds(x.lo - last.hi, x.hi - last.lo, x.proven and last.proven) for last, x in pairs])


def _sum(node: Sum, args: list[Bounds], graph: Graph) -> Bounds:
    signs, rank = node.every_sign, len(graph.shape(node.name)) + 1
    args = [Bounds(aligned(x.lo, rank), aligned(x.hi, rank), x.proven) for x in args]
    lo = sum(s * (x.lo if s > 0 else x.hi) for s, x in zip(signs, args, strict=True))
    hi = sum(s * (x.hi if s > 0 else x.lo) for s, x in zip(signs, args, strict=True))
    return Bounds(np.asarray(lo), np.asarray(hi), all(x.proven for x in args))


def _reduce(node: Reduce, args: list[Bounds], graph: Graph) -> Bounds:
    function: Any = {"sum": np.sum, "mean": np.mean, "max": np.max}[node.op]
    axes = tuple(a + 1 for a in node.axes) if node.window is None else (-2, -1)
    ends = (part if node.window is None else windows(part, node) for part in (args[0].lo, args[0].hi))
    lo, hi = (function(part, axis=axes, keepdims=node.keepdims) for part in ends)
    return Bounds(lo, hi, args[0].proven)


def _micro(node: Micro, args: list[Bounds], graph: Graph) -> Bounds:
    if node.timing != "cumulative":
        return _operator(node, args[0]) or _declared(node, graph)
    now = []
    for t in range(1, graph.header.timesteps + 1):
        total = _clip(Bounds(args[0].lo * t, args[0].hi * t, args[0].proven), REGISTER_BITS)
        f = _operator(node, _rescaled(total, *fixed.reciprocal(t)))
        if f is None:
            return _declared(node, graph)
        now.append(Bounds(f.lo * t, f.hi * t, f.proven))
    return _clip(_difference(now), graph.values[node.name].width)


def _operator(node: Micro, x: Bounds) -> Bounds | None:
    """Bounds of one application that the operator states."""
    lo, hi = (part.astype(np.int64) for part in (x.lo, x.hi))
    stated = MICROCODE[node.op].bounds(node.params, lo, hi)
    if stated is None:
        return None
    least, most = (np.asarray(part, dtype=np.float64) for part in stated)
    return Bounds(least, most, x.proven)


def _declared(node: Micro, graph: Graph) -> Bounds:
    """For an operator that states no bounds: the width at which its differences clip, or what the value declares."""
    value = graph.values[node.name]
    if node.timing == "cumulative":
        limit = (1 << (graph.values[node.name].width - 1)) - 1
        return of_interval(Interval(-limit, limit, True), value.shape.sizes)
    if value.interval is None:
        raise ValueError(f"{node.name}: {node.op} states no bounds and its value declares none")
    return of_interval(value.interval, value.shape.sizes)


def _view(node: View, args: list[Bounds], graph: Graph) -> Bounds:
    lo, hi = (node.apply([getattr(x, side) for x in args], lead=1) for side in ("lo", "hi"))
    return Bounds(lo, hi, all(x.proven for x in args))


RULES: dict[type[Node], Callable[..., Bounds]] = {
    Input: _input, Output: _output, Const: _const, Synapse: _synapse, Neuron: _neuron, Product: _product, Sum: _sum,
    Reduce: _reduce, Micro: _micro, View: _view, Delay: lambda node, args, graph: args[0],
}  # fmt: skip
