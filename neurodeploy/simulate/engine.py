"""Node-by-node execution of an integer graph over all ticks at once.

Every value is an array (T, B, *shape); T is 1 where it is the same at every tick (the input and all that follows from
it without state) and B is 1 where it is the same for every sample (constants). Whole numbers below 2^24 are stored as
float32, ready for BLAS, below 2^53 as float64, else as int64: a matrix product runs in the narrowest type in which
the proven bound on the sum of magnitudes shows that every partial sum is exact, in whatever order BLAS adds.

A batch is cut into pieces that run side by side, each on one thread from input to read-out: within a node there is
nothing to wait for, and the values of a piece stay in the caches of its core.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import prod

import numpy as np

from ..array import Array
from ..errors import Problem, SimulateError
from ..ir import interp, levels
from ..ir.graph import Graph
from ..ir.neuron_model import state_names
from ..ir.nodes import Const, Delay, Input, Micro, Neuron, Node, Output, Product, Reduce, Sum, Synapse, View
from ..ir.trace import Trace
from . import arithmetic, linear, loops, operators, pools, populations, products
from .run import Run, Step

CHUNK = 32  # most samples of a piece
CHUNK_ELEMENTS = 1 << 25  # most elements of one value at a time, in all pieces together
BLAS_MACS = 1 << 24  # largest product of a lone piece from which on BLAS gains by threads of its own


class Engine:
    """An integer graph, planned once, run many times."""

    def __init__(self, graph: Graph) -> None:
        """Raises GraphError where the graph is not legal at the integer level."""
        self.graph = levels.require(graph, "integer")
        self.steps = {n.name: PLANS[type(n)](n, graph) for n in graph if n.name not in graph.loops}
        self.units = loops.units(graph)
        self.loops = {unit: loops.loop(unit, graph, PLANS) for unit in self.units if unit.loop}
        self.last_use = {source: unit for unit in self.units for node in unit.nodes for source in node.inputs}
        largest = max(value.shape.size for value in graph.values.values()) * graph.header.timesteps
        self.chunk = int(np.clip(CHUNK_ELEMENTS // (largest * pools.threads()), 1, CHUNK))
        self.constant = constants(graph)
        self.states = state_names(graph)
        synapses = [macs(node, graph) for node in graph if isinstance(node, Synapse)]
        self.macs = max(synapses, default=0) * graph.header.timesteps

    def run(self, x: Array, record: Iterable[str] = ()) -> Trace:
        """All ticks of raw inputs ``x``, as ``ir.interp`` takes them; values of ``record`` at each tick.

        Raises SimulateError: ND601 for inputs of another shape, ND603 for values outside the declared interval, for
        which no width was proven.
        """
        check_input(self.graph, x)
        names = tuple(dict.fromkeys(record))
        if len(x) == 0:
            return self._nothing(names)
        size = min(self.chunk, -(-len(x) // pools.threads()))
        pieces = [x[i : i + size] for i in range(0, len(x), size)]
        alone = len(pieces) == 1 and size * self.macs >= BLAS_MACS
        with pools.blas_threads(pools.threads() if alone else 1):
            parts = pools.side_by_side(lambda piece: self._chunk(piece, names), pieces)
        return parts[0] if len(parts) == 1 else self._joined(parts, names)

    def _joined(self, parts: list[Trace], names: tuple[str, ...]) -> Trace:
        """One trace of all pieces; a constant saturates and is read out once, not once for every piece."""
        counts = dict(parts[0].saturations)
        for part in parts[1:]:
            for name, count in part.saturations.items():
                counts[name] += 0 if name in self.constant else count
        outputs = [part.outputs for part in parts]
        if self.graph.output.name in self.constant:
            del outputs[1:]
        values = {name: np.concatenate([p.values[name] for p in parts], axis=1) for name in names}
        return Trace(np.concatenate(outputs, axis=1), values, counts)

    def _nothing(self, names: tuple[str, ...]) -> Trace:
        output, lead = self.graph.output.name, (self.graph.header.timesteps, 0)
        of = {name: node for name, (node, _) in self.states.items()}
        empty = {n: np.zeros((*lead, *self.graph.shape(of.get(n, n))), np.int64) for n in (*names, output)}
        return Trace(empty[output], {name: empty[name] for name in names})

    def _chunk(self, x: Array, names: tuple[str, ...]) -> Trace:
        states = {name: at for name, at in self.states.items() if name in names}
        run = Run(self.graph.header.timesteps, states={node: [] for node, _ in states.values()})
        env: dict[str, Array] = {}
        kept: dict[str, Array] = {}
        for unit in self.units:
            if unit.loop:
                self.loops[unit](env, run, len(x))
            else:
                (node,) = unit.nodes
                args = [env[i] for i in node.inputs] if node.inputs else [x]
                env[node.name] = self.steps[node.name](args, run)
            for node in unit.nodes:
                if node.name in names:
                    shape = (run.ticks, len(x), *self.graph.shape(node.name))
                    kept[node.name] = np.broadcast_to(env[node.name], shape).astype(np.int64)
            for source in {source for node in unit.nodes for source in node.inputs}:
                if self.last_use[source] is unit:
                    env.pop(source, None)
        for name, (watched, place) in states.items():
            shape = (run.ticks, len(x), *self.graph.shape(watched))
            kept[name] = np.broadcast_to(run.states[watched][place], shape)
        outputs = env[self.graph.output.name].astype(np.int64)
        return Trace(outputs, kept, run.saturations)


def constants(graph: Graph) -> frozenset[str]:
    """Names of the nodes that no input reaches: their values are the same for every sample."""
    found: set[str] = set()
    for node in graph:
        if isinstance(node, Const) or (node.inputs and found.issuperset(node.inputs)):
            found.add(node.name)
    return frozenset(found)


def macs(node: Synapse, graph: Graph) -> int:
    """Multiplications of one sample in one tick."""
    return node.weight.size * prod(graph.shape(node.name)) // len(node.weight)


def check_input(graph: Graph, x: Array) -> None:
    """Raise SimulateError unless ``x`` has the shape of inputs and lies within the input's interval."""
    interp.check_input(graph, x)
    node, interval = graph.input, graph.values[graph.input.name].interval
    if interval is None or x.size == 0:
        return
    centred = x.astype(np.int64) - node.zero
    lo, hi = int(centred.min()), int(centred.max())
    if lo < interval.lo or hi > interval.hi:
        raise SimulateError(Problem("ND603", "input values lie outside the range the widths were proven for",
                                    node.name, f"{lo} .. {hi}", f"{interval.lo} .. {interval.hi}"))  # fmt: skip


def _input(node: Input, graph: Graph) -> Step:
    kind = arithmetic.storage(graph, node.name)

    def step(args: list[Array], run: Run) -> Array:
        frames = args[0].swapaxes(0, 1) if node.per_tick else args[0][None]
        return (frames.astype(np.int64) - node.zero).astype(kind)

    return step


def _const(node: Const, graph: Graph) -> Step:
    value = node.value[None, None].astype(arithmetic.storage(graph, node.name))
    return lambda args, run: value


def _output(node: Output, graph: Graph) -> Step:
    def step(args: list[Array], run: Run) -> Array:
        x = np.broadcast_to(args[0], (run.ticks, *args[0].shape[1:])).astype(np.int64)
        return x if node.readout == "last" else np.cumsum(x, axis=0)

    return step


def _view(node: View, graph: Graph) -> Step:
    def step(args: list[Array], run: Run) -> Array:
        if len(args) == 1:
            return node.apply(args, lead=2)
        lead = np.broadcast_shapes(*(a.shape[:2] for a in args))
        kind = np.result_type(*args)
        parts = [np.broadcast_to(a, lead + a.shape[2:]).astype(kind, copy=False) for a in args]
        return node.apply(parts, lead=2)

    return step


PLANS: dict[type[Node], Callable[..., Step]] = {
    Input: _input, Output: _output, Const: _const, Synapse: linear.synapse, Neuron: populations.neuron,
    Product: products.product, Sum: linear.total, Reduce: linear.reduce, Micro: operators.micro, View: _view,
    Delay: lambda node, graph: lambda args, run: args[0],
}  # fmt: skip
