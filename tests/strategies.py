"""Hypothesis strategies: small random integer graphs over all node kinds, legal by ``levels.verify``, and inputs.

``integer_graphs()`` grows a pool of streams by random moves; every move keeps messages within 24 bits and inserts a
saturating rescale where a stream would leave the range its consumer is defined for. Half of the graphs are *timed*:
a frame for each tick, delayed synapses, resets. ``inputs(graph)`` draws raw
inputs within the Input's interval, extremes included.

    @given(integer_graphs(), data())
    def test_something(graph, data):
        x = data.draw(inputs(graph))
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

from neurodeploy.ir import fixed, interp, intervals
from neurodeploy.ir.graph import Builder, Graph, Header, free_name, prune
from neurodeploy.ir.micro_op import MICROCODE
from neurodeploy.ir.neuron_model import NEURONS
from neurodeploy.ir.nodes import (
    Const,
    Delay,
    Input,
    Micro,
    Neuron,
    Node,
    Output,
    Product,
    Reduce,
    Sum,
    Synapse,
    View,
)
from neurodeploy.ir.types import DENSE, Code, Fixed, Interval, Shape, Value

Draw = Callable[[st.SearchStrategy], Any]

MESSAGE = 1 << 23  # magnitudes below this fit a 24-bit message
ROLES_BY_RANK = {0: (), 1: ("C",), 2: ("N", "C"), 3: ("H", "N", "C"), 4: ("G", "H", "N", "C")}
IMAGE = ("C", "Y", "X")
MAX_ELEMENTS = 400  # of one value: keeps the oracle quick


def with_intervals(graph: Graph) -> Graph:
    """The graph with proven intervals and the widths that follow (:func:`neurodeploy.ir.intervals.propagate`)."""
    return intervals.propagate(graph)


@dataclass
class Sketch:
    """A graph being drawn: a builder that knows the bounds of every value so far."""

    draw: Draw
    builder: Builder
    bounds: dict[str, intervals.Bounds]
    contract: str
    timed: bool = False

    @property
    def header(self) -> Header:
        return self.builder.header

    @property
    def values(self) -> dict[str, Value]:
        return self.builder.values

    def shape(self, name: str) -> tuple[int, ...]:
        return self.values[name].shape.sizes

    def magnitude(self, name: str) -> int:
        return self.bounds[name].overall.magnitude

    def put(self, node: Node, sizes: tuple[int, ...], roles: tuple[str, ...] = (), **facts: Any) -> str:
        """Append a node with the bounds and width that follow."""
        shape = Shape(roles or ROLES_BY_RANK[len(sizes)], tuple(int(s) for s in sizes))
        facts.setdefault("code", DENSE)
        value = Value(shape, contract=self.contract, **facts)
        name = self.builder.add(node, value)
        node = self.builder.nodes[name]
        self.bounds[name] = intervals.step(node, [self.bounds[i] for i in node.inputs], self)
        self.values[name] = intervals.describe(value, node, self.bounds[name])
        return name

    def wait(self, shape: tuple[int, ...] = ()) -> int | np.ndarray:
        """A synapse's delay: none, some ticks for all connections, or, with a ``shape``, one for each."""
        kind = self.integers(0, 3 if shape else 2) if self.timed else 0
        return self.array(shape, 0, 3) if kind == 3 else kind

    def reset(self) -> tuple[int, int] | None:
        """When a population forgets, besides tick 1."""
        return (self.integers(1, 4), self.integers(-1, 3)) if self.timed and self.integers(0, 1) else None

    def integers(self, low: int, high: int) -> int:
        return self.draw(st.integers(low, high))

    def choice(self, *options: Any) -> Any:
        return self.draw(st.sampled_from(options))

    def array(self, shape: tuple[int, ...], low: int, high: int) -> np.ndarray:
        """Random integers; a quarter of the arrays hold nothing but the two ends and zero."""
        rng = np.random.default_rng(self.integers(0, 2**32 - 1))
        if self.integers(0, 3) == 0:
            return rng.choice(np.array([low, 0 if low < 0 < high else low, high]), size=shape).astype(
                np.int64
            )
        return rng.integers(low, high, size=shape, endpoint=True, dtype=np.int64)

    def tame(self, name: str, limit: int = MESSAGE) -> str:
        """The stream itself, or a saturating rescale of it whose magnitude stays below ``limit``."""
        if self.magnitude(name) < limit:
            return name
        return self.rescaled(name, fixed.bits_for(limit - 1))

    def for_synapse(self, name: str) -> str:
        """A message whose weighted sums fit the receiving register, whatever the weights."""
        fan_in = int(np.prod(self.shape(name), dtype=int))
        return self.tame(name, min(MESSAGE, (1 << 30) // (127 * max(fan_in, 1))))

    def rescaled(self, name: str, bits: int) -> str:
        factor = 2.0 ** self.integers(-12, 1) * self.choice(1.0, 0.75, 0.6180339)
        multiplier, shift = fixed.multiplier_of(factor)
        params = {"multiplier": multiplier, "shift": shift, "bits": bits}
        node = Micro(name="rescale", inputs=(name,), op="rescale", params=params, timing="instant")
        return self.like(node, name, fixed=Fixed(bits, True, 1.0))

    def like(self, node: Node, source: str, **facts: Any) -> str:
        """Append a node whose value has the shape of another."""
        shape = self.values[source].shape
        return self.put(node, shape.sizes, shape.roles, **facts)

    def view(self, source: str, op: str, args: tuple[int, ...], roles: tuple[str, ...] = ()) -> str:
        """Append a View; its shape is what numpy says."""
        node = View(name=op, inputs=(source,), op=op, args=args)
        sizes = node.apply([np.empty((1, *self.shape(source)))], lead=1).shape[1:]
        keep = self.values[source].shape.roles if len(sizes) == len(self.shape(source)) else ()
        return self.put(node, sizes, roles or keep, code=self.values[source].code)


# --- neurons ----------------------------------------------------------------------------------------------------


def neuron(s: Sketch, source: str, model: str | None = None) -> str:
    """A population on ``source``, rescaled first if it would leave the model's range."""
    model = model or s.choice("lif", "ternary_lif", "graded_relu", "multi_threshold")
    member = NEURONS[model]
    source = s.tame(source, min(member.input_limit or MESSAGE, MESSAGE))
    params = PARAMETERS[model](s, s.shape(source), s.magnitude(source))
    code: Code = member.code(params)
    node = Neuron(name=model, inputs=(source,), model=model, params=params, reset=s.reset())
    return s.like(node, source, code=code)


def recurrent(s: Sketch, x: str) -> str:
    """A population that also reads its own spikes of earlier ticks."""
    x = s.tame(x)
    if not s.shape(x):
        x = s.view(x, "reshape", (1,))
    model = s.choice("lif", "ternary_lif")
    name, width = free_name(f"recurrent_{model}", s.builder.nodes), s.shape(x)[-1]
    low = np.full((1, *s.shape(x)), 0.0 if model == "lif" else -1.0)
    s.bounds[name] = intervals.Bounds(low, np.ones_like(low))  # what comes later and is bounded by its code
    late = s.choice(1, 2, s.array((width, width), 1, 3))
    own = s.like(
        Synapse(name="own", inputs=(name,), weight=s.array((width, width), -127, 127), delay=late), x
    )
    source = s.tame(s.like(Sum(name="sum", inputs=(x, own)), x), 1 << 17)
    params = PARAMETERS[model](s, s.shape(source), s.magnitude(source))
    node = Neuron(name=name, inputs=(source,), model=model, params=params, reset=s.reset())
    assert s.like(node, source, code=NEURONS[model].code(params)) == name
    return name


def per_channel(s: Sketch, shape: tuple[int, ...], low: int, high: int) -> Any:
    """One integer, or one per element of the last axis."""
    low, high = int(low), int(max(low, high))
    return (
        s.array(shape[-1:], low, high)
        if shape and s.integers(0, 1)
        else s.choice(low, high, s.integers(low, high))
    )


def lif_params(s: Sketch, shape: tuple[int, ...], reach: int) -> dict[str, Any]:
    """Any leak; thresholds within reach of the input, at the smallest and at the largest."""
    top = s.choice(2, min(max(2, reach), (1 << 17) - 1), (1 << 17) - 1)
    return {
        "du": s.choice(4095, 4095, 0, 2047, 4094),
        "dv": s.choice(0, 1, 2048, 3072, 4096, 1365),
        "vth": per_channel(s, shape, 1, top),
    }


def ternary_params(s: Sketch, shape: tuple[int, ...], reach: int) -> dict[str, Any]:
    """As LIF, with a lower threshold that need not mirror the upper one."""
    upper = lif_params(s, shape, reach)
    low = s.choice(-np.asarray(upper["vth"]), np.asarray(-1), np.asarray(-(1 << 17) + 1))
    return {"du": upper["du"], "dv": upper["dv"], "vth_hi": upper["vth"], "vth_lo": low}


def graded_params(s: Sketch, shape: tuple[int, ...], reach: int) -> dict[str, Any]:
    """Payload units from a third of the range to far beyond it."""
    limit = s.choice(1, 15, 255)
    factors = min(2.0**14, max(2.0**-40, limit / max(reach, 1))) * np.array([1.0, 0.5, 3.0])
    multiplier, shift = fixed.multipliers_of(np.minimum(factors, 2.0**14))
    pick = s.integers(0, 2)
    return {"multiplier": multiplier[pick], "shift": shift[pick], "limit": limit}


def threshold_params(s: Sketch, shape: tuple[int, ...], reach: int) -> dict[str, Any]:
    """Even bases in state units, small units on the wire, every rule."""
    top = max(1, min(reach, 1 << 18))
    return {
        "base_p": 2 * np.asarray(per_channel(s, shape, 1, top)),
        "base_n": 2 * np.asarray(per_channel(s, shape, 1, top)),
        "unit_p": s.integers(1, 16),
        "unit_n": s.integers(1, 16),
        "levels": s.integers(1, 5),
        "rule": s.integers(0, 2),
    }


PARAMETERS = {
    "lif": lif_params,
    "ternary_lif": ternary_params,
    "graded_relu": graded_params,
    "multi_threshold": threshold_params,
}


# --- moves: each takes the sketch and a stream and yields a new stream ------------------------------------------


def dense(s: Sketch, x: str, outputs: int | None = None) -> str:
    """A linear layer over the last axis."""
    x = s.for_synapse(x)
    if not s.shape(x):
        x = s.view(x, "reshape", (1,))
    outputs = outputs or s.integers(1, 6)
    weight = s.array((outputs, s.shape(x)[-1]), -127, 127)
    bias = s.choice(None, s.array((outputs,), -(1 << 12), 1 << 12))
    roles = s.values[x].shape.roles
    sizes = (*s.shape(x)[:-1], outputs)
    node = Synapse(name="dense", inputs=(x,), weight=weight, bias=bias, delay=s.wait(weight.shape))
    return s.put(node, sizes, roles)


def conv(s: Sketch, x: str) -> str:
    """A convolution, plain, grouped, strided, padded; streams of another rank become images first."""
    x = s.for_synapse(x)
    if len(s.shape(x)) != 3:
        size = int(np.prod(s.shape(x), dtype=int))
        x = s.view(x, "reshape", (size, 1, 1) if s.integers(0, 1) else (1, size, 1), IMAGE)
    channels, height, width = s.shape(x)
    groups = s.choice(1, 1, channels)
    outputs = groups * s.integers(1, 6 if groups == 1 else 2)
    padding = (s.integers(0, 1), s.integers(0, 1))
    kernel = (s.integers(1, min(3, height + 2 * padding[0])), s.integers(1, min(3, width + 2 * padding[1])))
    stride = (s.integers(1, 2), s.integers(1, 2))
    weight = s.array((outputs, channels // groups, *kernel), -127, 127)
    bias = s.choice(None, s.array((outputs,), -(1 << 12), 1 << 12))
    sizes = [
        (n + 2 * p - k) // t + 1 for n, p, k, t in zip((height, width), padding, kernel, stride, strict=True)
    ]
    node = Synapse(
        name="conv",
        inputs=(x,),
        weight=weight,
        bias=bias,
        op="conv",
        stride=stride,
        padding=padding,
        groups=groups,
        delay=s.wait(),
    )
    return s.put(node, (outputs, *sizes), IMAGE)


def micro(s: Sketch, x: str) -> str:
    """A registered operator, instant or compensated, with parameters from its own ``quantize``."""
    x = s.tame(x)
    if not s.shape(x):
        x = s.view(x, "reshape", (1,))
    op = s.choice("rescale", "softmax", "layer_norm", "gelu", "affine_by_tick")
    timing = "instant" if op == "affine_by_tick" else s.choice("instant", "cumulative")
    if op == "rescale" and timing == "instant":
        return s.rescaled(x, s.choice(8, 16, 24))
    scale = 2.0 ** -s.integers(0, 14)
    source = {
        "layer_norm": {"width": s.shape(x)[-1], "eps": 1e-5, "gamma": 1.5, "beta": -0.25},
        "affine_by_tick": {"gain": by_tick(s, x), "offset": by_tick(s, x)},
    }.get(op, {})
    bits = s.choice(8, 16)
    found = MICROCODE[op].quantize(source, Fixed(24, True, scale), s.bounds[x].overall, {"out_bits": bits})
    node = Micro(name=op, inputs=(x,), op=op, params=found.params, timing=timing)
    if timing == "instant":
        return s.like(node, x, fixed=found.fixed, interval=found.interval)
    return s.like(node, x, fixed=Fixed(s.choice(10, 24), True, 1.0))


def by_tick(s: Sketch, x: str) -> np.ndarray:
    """Real numbers for each tick, the same along some axes of a stream."""
    sizes = tuple(s.choice(1, n) for n in s.shape(x))
    return s.array((s.header.timesteps, *sizes), -300, 300) / 2.0 ** s.integers(0, 8)


def view(s: Sketch, x: str) -> str:
    """One rearrangement."""
    sizes = s.shape(x)
    if not sizes:
        return s.view(x, "broadcast", (2,))
    axis = s.integers(0, len(sizes) - 1)
    op = s.choice("reshape", "permute", "slice", "concat", "broadcast", "pad")
    if op == "reshape":
        target = s.choice((int(np.prod(sizes)),), (1, *sizes[:2], int(np.prod(sizes[2:]))))
        return s.view(x, op, target, ROLES_BY_RANK.get(len(target), ("G",) * len(target)))
    if op == "permute":
        order = tuple(s.draw(st.permutations(range(len(sizes)))))
        return s.view(x, op, order, tuple(s.values[x].shape.roles[i] for i in order))
    if op == "slice":
        start = s.integers(0, sizes[axis] - 1)
        return s.view(x, op, (axis, start, s.integers(start + 1, sizes[axis]), s.integers(1, 2)))
    if op == "concat":
        return concat(s, x, axis)
    if op == "broadcast":
        return (
            s.view(x, op, (s.integers(1, 2), *sizes), ("G", *s.values[x].shape.roles))
            if len(sizes) < 3
            else x
        )
    return s.view(x, op, (axis, s.integers(0, 2), s.integers(0, 1)))


def concat(s: Sketch, x: str, axis: int) -> str:
    """A constant in front of, or behind, a stream: a class token."""
    sizes, roles = s.shape(x), s.values[x].shape.roles
    extra = tuple(1 if i == axis else n for i, n in enumerate(sizes))
    other = s.put(Const(name="const", value=s.array(extra, -128, 127)), extra, roles)
    pair = (other, x) if s.integers(0, 1) else (x, other)
    grown = tuple(n + 1 if i == axis else n for i, n in enumerate(sizes))
    return s.put(View(name="concat", inputs=pair, op="concat", args=(axis,)), grown, roles)


def residual(s: Sketch, x: str) -> str:
    """x plus or minus a branch of the same shape, and perhaps a constant that broadcasts."""
    x = s.tame(x)
    if not s.shape(x):
        x = s.view(x, "reshape", (1,))
    branch = dense(s, neuron(s, x) if s.integers(0, 1) else x, s.shape(x)[-1])
    terms, signs = [x, branch], [1, s.choice(1, -1)]
    if s.integers(0, 1):
        sizes = s.shape(x)[-1:]
        terms.append(s.put(Const(name="position", value=s.array(sizes, -1000, 1000)), sizes))
        signs.append(1)
    return s.like(Sum(name="sum", inputs=tuple(terms), signs=tuple(signs)), x)


def reduce(s: Sketch, x: str) -> str:
    """Sum or maximum over axes or over windows."""
    sizes, roles = s.shape(x), s.values[x].shape.roles
    op, code = s.choice("sum", "max"), s.values[x].code
    code = code if op == "max" else DENSE
    if len(sizes) == 3 and min(sizes[1:]) > 1 and s.integers(0, 1):
        padding = (s.integers(0, 1), s.integers(0, 1))
        stride = s.choice((2, 2), (1, 1), (1, 2))
        grown = [(n + 2 * p - 2) // t + 1 for n, p, t in zip(sizes[1:], padding, stride, strict=True)]
        node = Reduce(
            name="pool", inputs=(x,), op=op, window=(2, 2), stride=s.choice(stride, stride), padding=padding
        )
        return s.put(node, (sizes[0], *grown), roles, code=code)
    if not sizes:
        return x
    axes = tuple(sorted(s.draw(st.sets(st.integers(0, len(sizes) - 1), min_size=1, max_size=2))))
    keep = s.choice(True, False)
    left = [
        (1 if i in axes else n, r)
        for i, (n, r) in enumerate(zip(sizes, roles, strict=True))
        if keep or i not in axes
    ]
    node = Reduce(name="reduce", inputs=(x,), op=op, axes=axes, keepdims=keep)
    return s.put(node, tuple(n for n, _ in left), tuple(r for _, r in left), code=code)


def delay(s: Sketch, x: str) -> str:
    """A branch that waits; nothing changes."""
    return s.like(Delay(name="delay", inputs=(x,), steps=s.integers(1, 3)), x, code=s.values[x].code)


# --- products ---------------------------------------------------------------------------------------------------


def product(s: Sketch, equation: str, a: str, b: str, timing: str | None = None) -> str:
    """A product of two streams with one of the three timings, exact or rescaled, at some declared width."""
    a, b = s.tame(a, 1 << 15), s.tame(b, 1 << 15)
    left, right, out = equation.replace("->", ",").split(",")
    size = dict(zip(left, s.shape(a), strict=True)) | dict(zip(right, s.shape(b), strict=True))
    timing = timing or s.choice("instant", "cumulative", "cumulative", "held")
    node = Product(
        name="product",
        inputs=(a, b),
        equation=equation,
        timing=timing,
        rescale=rescale_table(s, timing),
        shown=None if timing == "held" else shown_terms(s, (left, right, out), size),
    )
    return s.put(node, tuple(size[letter] for letter in out), fixed=Fixed(s.choice(12, 24, 32), True, 1.0))


def shown_terms(s: Sketch, places: tuple[str, ...], size: dict[str, int]) -> tuple[str, np.ndarray] | None:
    """None, or two letters of an operand or of the result and which of their indices have terms: some of each."""
    wide = [place for place in places if len(set(place)) > 1]
    if not wide or any(len(set(place)) < len(place) for place in places) or s.integers(0, 2):
        return None
    place = s.choice(*wide)
    x = s.choice(*place)
    y = s.choice(*(c for c in place if c != x))
    shown = np.random.default_rng(s.integers(0, 999)).random((size[x], size[y])) < 0.4
    shown[np.arange(max(shown.shape)) % size[x], np.arange(max(shown.shape)) % size[y]] = True
    return x + y, shown


def rescale_table(s: Sketch, timing: str) -> tuple[np.ndarray, np.ndarray] | None:
    """None, or multiplier and shift: one entry, or for compensated products one per tick with the 1/t included."""
    if s.integers(0, 2) == 0:
        return None
    ticks = s.header.timesteps if timing == "cumulative" else 1
    factor = 2.0 ** -s.integers(0, 10) * s.choice(1.0, 0.7)
    return fixed.multipliers_of(np.array([factor / t for t in range(1, ticks + 1)]))


def attention(s: Sketch, x: str) -> str:
    """Q K^T V over tokens, with or without heads, with or without a softmax or a neuron in the middle."""
    if len(s.shape(x)) != 2:
        x = s.view(x, "reshape", (1, int(np.prod(s.shape(x), dtype=int))), ("N", "C"))
    heads, width = s.integers(1, 2), s.integers(1, 3)
    q, k, v = (split_heads(s, neuron(s, dense(s, x, heads * width)), heads, width) for _ in range(3))
    if heads == 1:
        first, second = "nd,md->nm", "nm,md->nd"
    else:
        first, second = "hnd,hmd->hnm", "hnm,hmd->hnd"
    scores = product(s, first, q, k)
    scores = s.choice(lambda: scores, lambda: micro(s, scores), lambda: neuron(s, scores))()
    return product(s, second, scores, v)


def split_heads(s: Sketch, x: str, heads: int, width: int) -> str:
    """(N, C) to (H, N, D), or untouched for one head."""
    if heads == 1:
        return x
    x = s.view(x, "reshape", (s.shape(x)[0], heads, width), ("N", "H", "C"))
    return s.view(x, "permute", (1, 0, 2), ("H", "N", "C"))


def gate(s: Sketch, x: str) -> str:
    """Elementwise product of a stream with a population that it drives."""
    letters = "abcdefgh"[: len(s.shape(x))]
    return product(s, f"{letters},{letters}->{letters}", x, neuron(s, x))


def kept(s: Sketch, x: str, of: str) -> str:
    """A running state of ``x``: all of it is kept, a part for each channel, or what a stream made of ``of`` says.

    The stream is any: in a network it lies between 0 and 4096.
    """
    model = s.choice("integrator", "leaky_integrator", "gated_integrator", "gated_integrator")
    params: dict[str, Any] = {"bias": 0, "bits": 24} if model == "integrator" else {}
    if model == "leaky_integrator":
        params = {"du": 4096, "dv": per_channel(s, s.shape(x), 0, 4096), "bias": 0, "offset": 0}
    factor: tuple[str, ...] = ()
    x = s.tame(x, 1 << 17)
    if model == "gated_integrator":
        factor = (s.rescaled(s.view(s.tame(of), "reshape", s.shape(x)), s.choice(8, 13, 14, 17)),)
    node = Neuron(name="kept", inputs=(x, *factor), model=model, params=params, reset=s.reset())
    return s.like(node, x, code=NEURONS[model].code(params))


def running(s: Sketch, x: str) -> str:
    """An elementwise running state."""
    if not s.shape(x):
        x = s.view(x, "reshape", (1,))
    return kept(s, x, x)


def memory(s: Sketch, x: str) -> str:
    """k v^T added up over ticks, and read by q: linear attention whose tokens are ticks."""
    x = s.view(x, "reshape", (1, int(np.prod(s.shape(x), dtype=int))), ("N", "C"))
    width = s.integers(1, 3)
    q, k, v, f = (
        s.view(dense(s, x, size), "reshape", (size,), ("C",)) for size in (width, width, 2, 2 * width)
    )
    added = product(s, "c,d->cd", k, v, "instant")
    return product(s, "c,cd->d", q, s.tame(kept(s, added, f), 1 << 15), "instant")


MOVES: dict[str, Callable[[Sketch, str], str]] = {
    "dense": dense,
    "conv": conv,
    "neuron": neuron,
    "recurrent": recurrent,
    "micro": micro,
    "view": view,
    "residual": residual,
    "reduce": reduce,
    "delay": delay,
    "attention": attention,
    "gate": gate,
    "running": running,
    "memory": memory,
}


def first_stream(s: Sketch) -> str:
    """The input, as tokens or as an image, and its first layer with neurons."""
    image = s.integers(0, 1)
    sizes = (
        (s.integers(1, 3), s.integers(1, 5), s.integers(1, 5))
        if image
        else (s.integers(1, 5), s.integers(1, 6))
    )
    low, high = s.choice((0, 16), (0, 255), (-128, 127))
    node = Input(name="input", zero=s.choice(0, 0, 3), per_tick=s.timed)
    x = s.put(
        node,
        sizes,
        IMAGE if image else ("N", "C"),
        interval=Interval(low, high, True),
        fixed=Fixed(9, True, 1.0),
    )
    layer = conv(s, x) if image else dense(s, x)
    return neuron(s, layer) if s.integers(0, 3) else layer


@st.composite
def integer_graphs(
    draw: Draw,
    moves: tuple[str, ...] = tuple(MOVES),
    max_moves: int = 5,
    timesteps: tuple[int, int] = (1, 5),
    first: Callable[[Sketch], str] = first_stream,
) -> Graph:
    """A small integer graph: Input and a ``first`` stream, up to ``max_moves`` of ``moves``, one Output.

    ``levels.verify(graph, "integer")`` is empty; every value has proven bounds and a width.
    """
    ticks = draw(st.integers(*timesteps))
    header = Header(name="random", level="integer", timesteps=ticks, method="random")
    contract = draw(st.sampled_from(("instant", "rate", "difference")))
    s = Sketch(draw, Builder(header), {}, contract, timed=draw(st.booleans()))
    stream = first(s)
    for move in draw(st.lists(st.sampled_from(moves), min_size=1, max_size=max_moves)):
        if np.prod(s.shape(stream), dtype=int) > MAX_ELEMENTS:
            stream = s.view(stream, "slice", (0, 0, 1, 1))
        stream = MOVES[move](s, stream)
    s.like(Output(name="output", inputs=(s.tame(stream),), readout=s.choice("sum", "mean", "last")), stream)
    return prune(s.builder.build())


@st.composite
def inputs(draw: Draw, graph: Graph, max_batch: int = 3) -> np.ndarray:
    """Raw inputs, each of ``interp.input_shape``, whose centred values fill the Input's interval."""
    interval, zero = graph.values[graph.input.name].interval, graph.input.zero
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = (draw(st.integers(1, max_batch)), *interp.input_shape(graph))
    kind = draw(st.sampled_from(("uniform", "ends", "low", "high")))
    low, high = int(interval.lo), int(interval.hi)
    choices = {
        "uniform": rng.integers(low, high, size=shape, endpoint=True),
        "low": np.full(shape, low),
        "ends": rng.choice([low, high], size=shape),
        "high": np.full(shape, high),
    }
    return (choices[kind] + zero).astype(np.int64)
