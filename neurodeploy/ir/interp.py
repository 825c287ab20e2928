"""THE meaning of every node, in floats and in integers: slow, obvious, the oracle of everything else.

The whole graph is evaluated for tick 1, then tick 2, ..., nodes in topological order, on arrays (batch, *shape).
Integers are int64 and exact; the only places that saturate are neuron states, microcode, running sums and the
declared width of products and compensated operators, and each counts its saturations.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from ..array import Array, wide
from ..errors import Problem, SimulateError
from . import fixed
from .equation import Equation
from .graph import Graph
from .micro_op import MICROCODE
from .neuron_model import NEURONS, begun, state_names
from .nodes import Const, Delay, Input, Micro, Neuron, Node, Output, Product, Reduce, Sum, Synapse, View
from .trace import Trace
from .widths import REGISTER_BITS


@dataclass
class _Tick:
    """Everything a node may look at: the graph, its state, the tick number and whether numbers are integers."""

    graph: Graph
    state: dict[str, Any]
    t: int
    integer: bool
    saturations: dict[str, int]
    batch: int = 1
    known: dict[str, Array] = field(default_factory=dict)  # what no tick changes, from earlier ticks

    def count(self, node: Node, clipped: Array | int) -> None:
        """Add the number of clipped elements to the node's saturation counter."""
        self.saturations[node.name] = self.saturations.get(node.name, 0) + int(np.sum(clipped))

    def saturate(self, node: Node, x: Array, bits: int) -> Array:
        """Clip integers to a width and count; floats pass."""
        if not self.integer:
            return x
        y: Array = fixed.saturate(x, bits)
        self.count(node, x != y)
        return y

    def fitted(self, node: Node, x: Array) -> Array:
        """Saturated at the declared width of the node's own value."""
        return self.saturate(node, x, self.graph.values[node.name].width)


def run(
    graph: Graph,
    x: Array,
    record: Iterable[str] = (),
    timesteps: int | None = None,
    observe: Callable[[str, Array], None] | None = None,
    given: Mapping[str, Array] | None = None,
    begin: Mapping[str, Array] | None = None,
) -> Trace:
    """Run ``timesteps`` ticks (default: the header's) on raw inputs ``x``.

    ``x`` is (B, *input shape), the same at every tick, or (B, T, *input shape) where the Input is ``per_tick``.
    ``record`` names nodes, and states as :func:`.neuron_model.state_names` calls them: what is kept after the tick.
    ``observe`` is called at every tick with each name and its value, (batch or 1, *shape), as it is computed.
    ``given`` names values, (T, B, *shape), that are taken as they are instead of being computed.
    ``begin`` holds states (B, *shape) of populations before tick 1, all of each that it names; others begin at rest.
    What is neither recorded nor read any more is let go, so memory holds the state and what is in use.
    Raises SimulateError ND601 if ``x`` does not have the input's shape.
    """
    ticks, output = timesteps or graph.header.timesteps, graph.output.name
    check_input(graph, x, ticks)
    record = tuple(record)
    state: dict[str, Any] = dict(begun(graph, begin or {}))
    saturations: dict[str, int] = {}
    outputs: list[Array] = []
    recorded: dict[str, list[Array]] = {name: [] for name in record}
    states = {name: at for name, at in state_names(graph).items() if name in recorded}
    integer = graph.header.level == "integer"
    # Integers count saturations at every tick, so everything is computed anew.
    still = unchanging(graph) if ticks > 1 and not integer else set()
    known: dict[str, Array] = {}
    for t in range(1, ticks + 1):
        known |= {name: value[t - 1] for name, value in (given or {}).items()}
        tick = _Tick(graph, state, t, integer, saturations, len(x), known)
        for name, value in evaluate_tick(tick, x):
            if name in still:
                known[name] = value
            if name in recorded:
                recorded[name].append(np.broadcast_to(value, (len(x), *graph.shape(name))))
            if name == output:
                outputs.append(value)
            if observe:
                observe(name, value)
        for name, (node, place) in states.items():
            recorded[name].append(np.broadcast_to(state[node][place], (len(x), *graph.shape(node))))
    return Trace(np.stack(outputs), {n: np.stack(v) for n, v in recorded.items()}, saturations)


def evaluate_tick(tick: _Tick, x: Array) -> Iterator[tuple[str, Array]]:
    """Every value of one tick by name, as it is computed."""
    env = dict(tick.known)
    for node in tick.graph:
        if node.name not in env:
            # Only what is recurrent has not been computed yet, and its Synapse looks at earlier ticks alone.
            args = [env[i] for i in node.inputs if i in env] if node.inputs else [x]
            env[node.name] = MEANING[type(node)](node, args, tick)
        yield node.name, env[node.name]
        for name in tick.graph.last_reads[node.name]:
            del env[name]
    for synapse in tick.graph.delayed:
        _remember(tick, synapse, [env[synapse.inputs[0]]])


def run_by_node(
    graph: Graph, x: Array, revised: Callable[[Node, list[Array]], Node] = lambda node, args: node
) -> Iterator[tuple[str, Array]]:
    """Name and value (T, B or 1, *shape) of each node of a float graph, all ticks of one before any of the next.

    ``revised(node, inputs)`` returns the node that takes its place, chosen by what it is given at all ticks. The graph
    has no feedback: only then do nodes need nothing of later ones.
    """
    env: dict[str, Array] = {}
    ticks = range(1, graph.header.timesteps + 1)
    check_input(graph, x)
    for node in graph:
        args = [env[i] for i in node.inputs]
        node = revised(node, args) if args else node
        state: dict[str, Any] = {}
        found = []
        for t in ticks:
            tick, given = _Tick(graph, state, t, False, {}, len(x)), [arg[t - 1] for arg in args] or [x]
            found.append(MEANING[type(node)](node, given, tick))
            _remember(tick, node, given)
        env[node.name] = np.stack(found)
        yield node.name, env[node.name]
        for name in graph.last_reads[node.name]:
            env.pop(name, None)


def _remember(tick: _Tick, node: Node, args: list[Array]) -> None:
    """What a delayed connection keeps of its input for later ticks."""
    if isinstance(node, Synapse) and node.delays[-1]:
        past = tick.state.get(node.name, ())
        tick.state[node.name] = (args[0], *past)[: node.delays[-1]]


def unchanging(graph: Graph) -> set[str]:
    """Values that come from constants and a still image alone, through nodes without state: the same at every tick."""
    found: set[str] = set()
    for node in graph:
        match node:
            case Const() | Sum() | Reduce() | View() | Delay():
                stateless = True
            case Input():
                stateless = not node.per_tick
            case Synapse():
                stateless = node.delays == (0,)
            case Product():
                stateless = node.timing in ("instant", None)  # a source graph has no timing yet
            case Micro():
                stateless = node.timing in ("instant", None) and not MICROCODE[node.op].by_tick
            case _:
                stateless = False
        if stateless and found.issuperset(node.inputs):
            found.add(node.name)
    return found


def input_shape(graph: Graph, ticks: int | None = None) -> tuple[int, ...]:
    """Shape of one raw sample: that of the Input, behind the number of ticks where there is a frame for each."""
    shape = graph.shape(graph.input.name)
    return (ticks or graph.header.timesteps, *shape) if graph.input.per_tick else shape


def check_input(graph: Graph, x: Array, ticks: int | None = None) -> None:
    """Raise SimulateError ND601 unless ``x`` is (B, *:func:`input_shape`)."""
    expected = input_shape(graph, ticks)
    if x.shape[1:] != expected:
        cause, limit = "the input has the wrong shape", f"(batch, {', '.join(map(str, expected))})"
        last = x.ndim == 4 and (x.shape[3], *x.shape[1:3]) == expected
        fixes = ("channels come first: x.transpose(0, 3, 1, 2)",) * last
        raise SimulateError(Problem("ND601", cause, graph.input.name, str(x.shape), limit, fixes))


def _input(node: Input, args: list[Array], tick: _Tick) -> Array:
    frame = args[0][:, tick.t - 1] if node.per_tick else args[0]
    centred = frame.astype(np.int64) - node.zero
    return centred if tick.integer else centred * np.asarray(node.scale, dtype=np.float64)


def _output(node: Output, args: list[Array], tick: _Tick) -> Array:
    if node.readout == "last":
        return args[0]
    total: Array = tick.state.get(node.name, 0) + args[0]
    tick.state[node.name] = total
    return total / tick.t if node.readout == "mean" and not tick.integer else total


def _synapse(node: Synapse, args: list[Array], tick: _Tick) -> Array:
    out = _delayed(node, args, tick) if node.delays[-1] else linear(args[0], node)
    if node.bias is None:
        return out
    return out + (node.bias if node.op == "dense" else node.bias[:, None, None])


def _delayed(node: Synapse, args: list[Array], tick: _Tick) -> Array:
    """Sum of what was sent now, one tick ago, two ticks ago, ..., each through the connections of that delay."""
    past = tick.state.get(node.name, ())
    out = np.zeros((tick.batch, *tick.graph.shape(node.name)), dtype=np.int64 if tick.integer else np.float64)
    for delay in node.delays:
        if delay <= len(past):
            out = out + linear(past[delay - 1] if delay else args[0], node.part(delay))
    return out


def linear(x: Array, node: Synapse) -> Array:
    """Weights times ``x`` (B, *shape), without bias and delay."""
    return x @ wide(node.weight).T if node.op == "dense" else convolve(x, node)


def convolve(x: Array, node: Synapse) -> Array:
    """Cross-correlation of (B, C, Y, X) with (O, C/groups, ky, kx): a matrix times the patches of each sample."""
    seen = patches(x, node)
    weight = wide(node.weight).reshape(node.groups, len(node.weight) // node.groups, -1)
    found = np.stack([weight @ one.reshape(node.groups, weight.shape[-1], -1) for one in seen])
    out: Array = found.reshape(len(x), len(node.weight), *seen.shape[-2:])
    return out


def patches(x: Array, node: Synapse) -> Array:
    """What each place of a convolution reads of (B, C, Y, X): (B, C, ky, kx, Y', X'), a view of the padded values."""
    (py, px), (sy, sx), (ky, kx) = node.padding, node.stride, node.weight.shape[2:]
    x = np.pad(x, ((0, 0), (0, 0), (py, py), (px, px)))
    seen: Array = np.lib.stride_tricks.sliding_window_view(x, (ky, kx), axis=(2, 3))  # type: ignore[call-overload]
    return np.moveaxis(seen[:, :, ::sy, ::sx], (4, 5), (2, 3))


def _neuron(node: Neuron, args: list[Array], tick: _Tick) -> Array:
    model = NEURONS[node.model]
    names = model.int_params if tick.integer else model.float_params
    shape = np.broadcast_shapes(*(x.shape for x in args), (1, *tick.graph.shape(node.name)))
    zero = np.zeros(shape, dtype=args[0].dtype)
    kept = None if node.resets(tick.t) else tick.state.get(node.name)
    state = kept or (zero,) * len(model.state)
    step = model.int_step if tick.integer else model.float_step
    out: Array
    out, *rest = step(*(np.broadcast_to(x, shape) for x in args), *state, *(node.params[n] for n in names))
    if tick.integer:
        tick.count(node, rest.pop())
    tick.state[node.name] = tuple(rest)
    return out


def _product(node: Product, args: list[Array], tick: _Tick) -> Array:
    (a, b), met = node.used(*args), partial(contract, node.einsum)
    if node.timing == "cumulative":
        s_a, s_b, p, y = tick.state.get(node.name, (0, 0, 0, 0))
        s_b = tick.saturate(node, s_b + b, REGISTER_BITS)
        p = p + node.met(met, a, s_b)
        if tick.t > 1:
            p = p + node.met(met, s_a, b)
        p = tick.saturate(node, p, REGISTER_BITS)
        s_a = tick.saturate(node, s_a + a, REGISTER_BITS)
        y_now = scaled(node, p, tick) if tick.integer else p * node.scale / (tick.t if node.mean else 1)
        tick.state[node.name] = (s_a, s_b, p, y_now)
        return tick.fitted(node, y_now - y)
    if node.timing == "held":
        held = tick.state.get(node.name, 0 * b)
        spoke = (b != 0).any(axis=tuple(range(1, b.ndim)), keepdims=True)
        b = tick.state[node.name] = np.where(spoke, b, held)
    p = node.met(met, a, b)
    return tick.fitted(node, scaled(node, p, tick)) if tick.integer else p * node.scale


def contract(equation: Equation, a: Array, b: Array) -> Array:
    """Einsum with a leading batch axis on both operands and the result, by matrix products."""
    shared, rows, summed, columns = equation.shared, equation.rows, equation.summed, equation.columns
    size = equation.sizes(a.shape[1:], b.shape[1:])
    # A view with the axes in this order; an axis that only one operand has and the result lacks is summed here.
    a = np.einsum(f"Z{equation.left}->Z{shared + rows + summed}", a)
    b = np.einsum(f"Z{equation.right}->Z{shared + summed + columns}", b)
    stack = tuple(size[c] for c in shared)
    m, k, n = (math.prod(size[c] for c in group) for group in (rows, summed, columns))
    product = a.reshape(len(a), *stack, m, k) @ b.reshape(len(b), *stack, k, n)
    parts = product.reshape(len(product), *(size[c] for c in shared + rows + columns))
    result: Array = np.einsum(f"Z{shared + rows + columns}->Z{equation.out}", parts)
    return result


def scaled(node: Product, p: Array, tick: _Tick) -> Array:
    """The product's integer rescale at this tick, or the product itself."""
    if node.rescale is None:
        return p
    out: Array = fixed.rescale(p, *node.factor(tick.t))
    return out


def _sum(node: Sum, args: list[Array], tick: _Tick) -> Array:
    shape, signed = tick.graph.shape(node.name), zip(node.every_sign, args, strict=True)
    total = np.asarray(sum(sign * aligned(arg, len(shape) + 1) for sign, arg in signed))
    return np.broadcast_to(total, (len(total), *shape))


def aligned(x: Array, rank: int) -> Array:
    """(B, ...) with axes of size 1 after the batch axis, so that shapes of different rank broadcast."""
    return x.reshape(x.shape[:1] + (1,) * (rank - x.ndim) + x.shape[1:])


def _reduce(node: Reduce, args: list[Array], tick: _Tick) -> Array:
    x = args[0] if node.window is None else windows(args[0], node)
    axes = tuple(a + 1 for a in node.axes) if node.window is None else (-2, -1)
    function: Any = {"sum": np.sum, "mean": np.mean, "max": np.max}[node.op]
    out: Array = function(x, axis=axes, keepdims=node.keepdims)
    return out


def windows(x: Array, node: Reduce) -> Array:
    """(B, ..., Y, X) -> (B, ..., Y', X', wy, wx); padding adds zeros."""
    wy, wx = node.window or (1, 1)
    sy, sx = node.stride or (wy, wx)
    (py, px) = node.padding
    x = np.pad(x, [(0, 0)] * (x.ndim - 2) + [(py, py), (px, px)])
    view: Array = np.lib.stride_tricks.sliding_window_view(x, (wy, wx), axis=(-2, -1))  # type: ignore[call-overload]
    return view[..., ::sy, ::sx, :, :]


def _micro(node: Micro, args: list[Array], tick: _Tick) -> Array:
    if node.timing != "cumulative":
        return _apply(node, args[0], tick)
    total, last = tick.state.get(node.name, (0, 0))
    total = tick.saturate(node, total + args[0], REGISTER_BITS)
    mean = fixed.rescale(total, *fixed.reciprocal(tick.t)) if tick.integer else total / tick.t
    now = tick.t * _apply(node, mean, tick)
    tick.state[node.name] = (total, now)
    return tick.fitted(node, now - last)


def _apply(node: Micro, x: Array, tick: _Tick) -> Array:
    op = MICROCODE[node.op]
    params = op.at(node.params, tick.t)
    if not tick.integer:
        return op.float_apply(x, params)
    y, clipped = op.int_apply(x, params)
    tick.count(node, clipped)
    return y


def _view(node: View, args: list[Array], tick: _Tick) -> Array:
    batch = max(len(a) for a in args)
    return node.apply([np.broadcast_to(a, (batch, *a.shape[1:])) for a in args], lead=1)


MEANING: dict[type[Node], Callable[..., Array]] = {
    Input: _input, Output: _output, Const: lambda node, args, tick: wide(node.value)[None], Synapse: _synapse,
    Neuron: _neuron, Product: _product, Sum: _sum, Reduce: _reduce, Micro: _micro, View: _view,
    Delay: lambda node, args, tick: args[0],
}  # fmt: skip
