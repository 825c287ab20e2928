"""What an own Lava process does at each step, in plain numpy: nodes of a population group that Lava has no process for.

A cell holds crossings (Synapse, Product, Reduce, Delay) and the elementwise nodes behind them. At step s its nodes of
depth d do tick s - d. One step is: take what arrives within the step, evaluate, send, then take what crossings will
need in the next step. Outside the ticks of a sample it sends zeros and its state does not move; state is zero before
tick 1. Neurons and operators bring their registered integer step; everything else is stated here anew, without a batch
axis, and is tested against ``ir/interp.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from ...array import Array, wide
from ...ir import fixed
from ...ir.micro_op import MICROCODE
from ...ir.neuron_model import NEURONS
from ...ir.nodes import Delay, Micro, Neuron, Node, Output, Product, Reduce, Sum, Synapse, View
from ...passes.balance import CROSSING

REGISTER_BITS = 32  # running sums of products and compensated operators

Receive = Callable[[int], Array]
Send = Callable[[int, Array], None]


@dataclass(frozen=True)
class Clock:
    """Ticks of a node from steps, both counted from 1.

    ``period``: steps from sample to sample, None for a network that sees a single one. ``samples``: how many there are;
    None: they never end, nor does a single one.
    """

    ticks: int
    period: int | None = None
    samples: int | None = None

    def tick(self, step: int, depth: int) -> int | None:
        """The tick that a node of this depth does at a step, None outside a sample."""
        t = step - depth
        if t < 1 or (self.samples is not None and t > (self.period or self.ticks) * self.samples):
            return None
        if self.period is None:
            return t
        t = (t - 1) % self.period + 1
        return t if t <= self.ticks else None


@dataclass(frozen=True, eq=False)
class Feed:
    """One in port: the graph value that arrives, its shape and depth, what still has to be added, and when.

    ``late``: taken after sending, for the next step.
    """

    value: str
    shape: tuple[int, ...]
    depth: int
    late: bool
    bias: Array | None = None


@dataclass(frozen=True, eq=False)
class CellSpec:
    """Everything an own process needs to know; arrays are never written to.

    ``nodes`` in topological order; ``shapes``, ``bits`` and ``depths`` by value; ``consts``: values that are the same
    at every tick; ``outs``: one out port each; ``masks``: value -> the elements that live here (absent: all),
    ``sends``: those of them that are sent from here, as others may have copies.
    """

    name: str
    nodes: tuple[Node, ...]
    feeds: tuple[Feed, ...]
    outs: tuple[str, ...]
    clock: Clock
    shapes: Mapping[str, tuple[int, ...]]
    bits: Mapping[str, int]
    depths: Mapping[str, int]
    consts: Mapping[str, Array] = field(default_factory=dict)
    masks: Mapping[str, Array] = field(default_factory=dict)
    sends: Mapping[str, Array] = field(default_factory=dict)


class Cell:
    """The state of one own process and its step; ``saturations`` counts clipped elements by node."""

    def __init__(self, spec: CellSpec) -> None:
        self.spec = spec
        self.saturations = {node.name: 0 for node in spec.nodes if not isinstance(node, (View, Sum))}
        self._state: dict[str, Any] = {}
        self._ready: dict[str, dict[int, Array]] = {n.name: {} for n in spec.nodes if isinstance(n, CROSSING)}

    def step(self, step: int, receive: Receive, send: Send) -> None:
        """One barrier-synchronised step: ``receive(port)`` and ``send(port, values)`` are called once for each port."""
        spec, env = self.spec, dict(self.spec.consts)
        for port, feed in enumerate(spec.feeds):
            if not feed.late:
                env[feed.value] = self._fed(feed, receive(port), step)
        for node in spec.nodes:
            env[node.name] = self._masked(node.name, self._value(node, env, step))
        for port, name in enumerate(spec.outs):
            send(port, np.where(spec.sends[name], env[name], 0) if name in spec.sends else env[name])
        for port, feed in enumerate(spec.feeds):
            if feed.late:  # from elsewhere, and perhaps in part from here
                data = self._fed(feed, receive(port), step)
                here = spec.masks.get(feed.value)
                env[feed.value] = data if here is None else np.where(here, env[feed.value], data)
        for node in spec.nodes:
            if isinstance(node, CROSSING):
                self._cross(node, env, step)

    def _zeros(self, name: str) -> Array:
        return np.zeros(self.spec.shapes[name], dtype=np.int64)

    def _fed(self, feed: Feed, data: Array, step: int) -> Array:
        if self.spec.clock.tick(step, feed.depth) is None:
            return np.zeros(feed.shape, dtype=np.int64)
        data = np.asarray(data, dtype=np.int64).reshape(feed.shape)
        return data if feed.bias is None else data + feed.bias

    def _masked(self, name: str, value: Array) -> Array:
        mask = self.spec.masks.get(name)
        return value if mask is None else np.where(mask, value, 0)

    def _value(self, node: Node, env: dict[str, Array], step: int) -> Array:
        tick = self.spec.clock.tick(step, self.spec.depths[node.name])
        if isinstance(node, CROSSING):
            value = self._ready[node.name].pop(step, None)
            if tick is None or value is None:
                value = self._zeros(node.name)
            if tick is not None and isinstance(node, Synapse) and node.bias is not None:
                value = value + spread(node.bias, node, value.shape)
            return value
        if tick is None:
            return self._zeros(node.name)
        return EVALUATE[type(node)](self, node, [env[i] for i in node.inputs], tick)

    def _cross(self, node: Node, env: dict[str, Array], step: int) -> None:
        """What a crossing makes of the values of this step, kept until its own step for that tick."""
        spec = self.spec
        own = spec.depths[node.name]
        depth = max((spec.depths[i] for i in node.inputs if i not in spec.consts), default=own - 1)
        tick = spec.clock.tick(step, depth)
        if tick is None:
            return
        release = step + own - depth
        args = [env[i] for i in node.inputs]
        if isinstance(node, Synapse):
            value, release = self._synapse(node, args[0], tick), release + node.delays[0]
            if spec.clock.period is not None and tick + node.delays[0] > spec.clock.ticks:
                return
        else:
            value = EVALUATE[type(node)](self, node, args, tick)
        self._ready[node.name][release] = value

    def _synapse(self, node: Synapse, x: Array, tick: int) -> Array:
        """The sum that is due ``node.delays[0]`` ticks from now; x before tick 1 is 0."""
        first, last = node.delays[0], node.delays[-1]
        past = () if tick == 1 else self._state.get(node.name, ())
        past = (x, *past)[: last - first + 1]
        self._state[node.name] = past
        found = self._zeros(node.name)
        for delay in node.delays:
            if delay - first < len(past):
                found = found + linear(node.part(delay) if last > first else node, past[delay - first])
        return found

    def _count(self, node: Node, clipped: Any) -> None:
        clipped = np.broadcast_to(np.asarray(clipped), self.spec.shapes[node.name])
        self.saturations[node.name] += int(self._masked(node.name, clipped).sum())

    def _saturate(self, node: Node, x: Array, bits: int) -> Array:
        y: Array = fixed.saturate(x, bits)
        if x.shape == self.spec.shapes[node.name]:
            self._count(node, x != y)
        else:  # a running sum of an operand: it has no mask of its own
            self.saturations[node.name] += int((x != y).sum())
        return y

    # --- elementwise nodes -------------------------------------------------------------------------------------

    def _output(self, node: Output, args: list[Array], tick: int) -> Array:
        if node.readout == "last":
            return args[0]
        total = args[0] if tick == 1 else self._state[node.name] + args[0]
        self._state[node.name] = total
        return total

    def _neuron(self, node: Neuron, args: list[Array], tick: int) -> Array:
        model = NEURONS[node.model]
        shape = self.spec.shapes[node.name]
        inputs = [np.broadcast_to(a, shape)[None].astype(np.int64) for a in args]
        if tick == 1 or node.resets(tick) or node.name not in self._state:
            self._state[node.name] = tuple(np.zeros_like(inputs[0]) for _ in model.state)
        state = self._state[node.name]
        out, *rest = model.int_step(*inputs, *state, *(node.params[n] for n in model.int_params))
        clipped = np.broadcast_to(rest.pop(), inputs[0].shape)
        self._count(node, clipped[0])
        self._state[node.name] = tuple(rest)
        y: Array = np.broadcast_to(out, inputs[0].shape)[0]
        return y

    def _sum(self, node: Sum, args: list[Array], tick: int) -> Array:
        total = self._zeros(node.name)
        for sign, arg in zip(node.every_sign, args, strict=True):
            total += sign * arg
        return total

    def _micro(self, node: Micro, args: list[Array], tick: int) -> Array:
        if node.timing != "cumulative":
            return self._apply(node, args[0], tick)
        total, last = (0, 0) if tick == 1 else self._state[node.name]
        total = self._saturate(node, np.asarray(total + args[0]), REGISTER_BITS)
        now = tick * self._apply(node, fixed.rescale(total, *fixed.reciprocal(tick)), tick)
        self._state[node.name] = (total, now)
        return self._saturate(node, now - last, self.spec.bits[node.name])

    def _apply(self, node: Micro, x: Array, tick: int) -> Array:
        op = MICROCODE[node.op]
        y, clipped = op.int_apply(x[None], op.at(node.params, tick))
        self._count(node, np.broadcast_to(clipped, y.shape)[0] if np.ndim(clipped) else clipped)
        only: Array = y[0]
        return only

    def _view(self, node: View, args: list[Array], tick: int) -> Array:
        return node.apply(args)

    # --- crossings ---------------------------------------------------------------------------------------------

    def _product(self, node: Product, args: list[Array], tick: int) -> Array:
        a, b = node.used(*args)
        if node.timing == "cumulative":
            return self._compensated(node, a, b, tick)
        if node.timing == "held":
            held = b if tick == 1 or b.any() else self._state[node.name]
            self._state[node.name] = b = held
        p = node.met(partial(np.einsum, node.equation), a, b)
        return self._saturate(node, fixed.rescale(p, *node.factor(tick)), self.spec.bits[node.name])

    def _compensated(self, node: Product, a: Array, b: Array, tick: int) -> Array:
        """Y(t) - Y(t-1) with Y = rescale(P) and P(t) = P(t-1) + A(t) S_B(t) + S_A(t-1) B(t)."""
        zero = self._zeros(node.name)
        s_a, s_b, p, y = (0 * a, 0 * b, zero, zero) if tick == 1 else self._state[node.name]
        s_b = self._saturate(node, s_b + b, REGISTER_BITS)
        met = partial(np.einsum, node.equation)
        p = p + node.met(met, a, s_b) + node.met(met, s_a, b)
        p = self._saturate(node, p, REGISTER_BITS)
        s_a = self._saturate(node, s_a + a, REGISTER_BITS)
        now = fixed.rescale(p, *node.factor(tick))
        self._state[node.name] = (s_a, s_b, p, now)
        return self._saturate(node, now - y, self.spec.bits[node.name])

    def _reduce(self, node: Reduce, args: list[Array], tick: int) -> Array:
        x = args[0]
        combine: Any = np.maximum if node.op == "max" else np.add
        if node.window is None:
            return combine.reduce(x, axis=node.axes, keepdims=node.keepdims) if node.axes else x
        return pooled(x, node, combine)

    def _delay(self, node: Delay, args: list[Array], tick: int) -> Array:
        return args[0]


#: all but Input, which is a port, and Synapse, which has delays
EVALUATE: dict[type[Node], Callable[..., Array]] = {
    Output: Cell._output, Neuron: Cell._neuron, Sum: Cell._sum, Micro: Cell._micro, View: Cell._view,
    Product: Cell._product, Reduce: Cell._reduce, Delay: Cell._delay,
}  # fmt: skip


def spread(bias: Array, node: Synapse, shape: tuple[int, ...]) -> Array:
    """A bias per output channel as an array of the synapse's shape."""
    return np.broadcast_to(bias if node.op == "dense" else bias[:, None, None], shape)


def linear(node: Synapse, x: Array) -> Array:
    """Weights times one frame, without bias and delay."""
    if node.op == "dense":
        y: Array = np.einsum("...c,oc->...o", x, wide(node.weight))
        return y
    (py, px), (sy, sx), (ky, kx) = node.padding, node.stride, node.weight.shape[2:]
    padded = np.pad(x, ((0, 0), (py, py), (px, px)))
    patches: Array = np.lib.stride_tricks.sliding_window_view(padded, (ky, kx), axis=(1, 2))  # type: ignore[call-overload]
    patches = patches[:, ::sy, ::sx]
    parts = zip(np.split(patches, node.groups), np.split(wide(node.weight), node.groups), strict=True)
    return np.concatenate([np.einsum("cyxab,ocab->oyx", *part) for part in parts])


def pooled(x: Array, node: Reduce, combine: Any) -> Array:
    """Sum or maximum over windows of the last two axes; padding adds zeros."""
    (wy, wx), (py, px) = node.window or (1, 1), node.padding
    sy, sx = node.stride or (wy, wx)
    x = np.pad(x, [(0, 0)] * (x.ndim - 2) + [(py, py), (px, px)])
    rows, columns = (x.shape[-2] - wy) // sy + 1, (x.shape[-1] - wx) // sx + 1
    parts = [x[..., y : y + sy * rows : sy, z : z + sx * columns : sx] for y, z in np.ndindex(wy, wx)]
    found: Array = combine.reduce(parts)
    return found
