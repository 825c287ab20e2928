"""Segment-by-segment execution of an integer graph over all ticks at once.

Every value is an array (T, B, *shape); T is 1 where it is the same at every tick (the input and all that follows from
it without state) and B is 1 where it is the same for every sample (constants). Segments that are one compiled function
leave integers of 8 to 32 bits or lists of spikes behind. Nodes by their own steps take any of these; they store whole
numbers below 2^24 as float32, ready for BLAS, below 2^53 as float64, else as int64: a matrix product runs in the
narrowest type in which the proven bound on the sum of magnitudes shows that every partial sum is exact, in whatever
order BLAS adds.

A batch is cut into pieces that run side by side, each on one thread from input to read-out: within a segment there is
nothing to wait for, and the values of a piece stay in the caches of its core. A lone large piece is shared out by rows.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from math import prod

import numpy as np

from .. import jit
from ..array import Array
from ..errors import Problem, SimulateError
from ..ir import interp, levels
from ..ir.graph import Graph
from ..ir.neuron_model import begun, state_names
from ..ir.nodes import Const, Delay, Micro, Neuron, Node, Output, Product, Reduce, Sum, Synapse, View
from ..ir.trace import Trace
from . import arithmetic, linear, operators, planned, pools, populations, products, segments
from .run import Run, Step
from .values import Action, Values

CHUNK = 32  # most samples of a piece
CHUNK_ELEMENTS = 1 << 25  # most elements of one value at a time, in all pieces together
PIECE_ELEMENTS = (
    1 << 18
)  # those of a piece of layers of narrow integers, whose values then stay in a second-level cache
TAPE_BYTES, TAPES = 1 << 26, 4  # most memory of a tape, and most tapes of a thread
SPLIT_MACS = 1 << 28  # work of a lone piece from which on it is shared out: some 0.3 ms at 15 % spikes
BLAS_MACS = 1 << 24  # largest product of a lone piece from which on BLAS gains by threads of its own


@dataclass(frozen=True)
class Schedule:
    """Segments in order, each with the values that nothing reads after it, and the populations that send arrays."""

    steps: list[tuple[segments.Segment, list[str]]]
    sent: frozenset[str]


@dataclass(frozen=True)
class Tape:
    """What computed a piece of some size, and where the values are that were asked for."""

    actions: list[Action]
    arrays: dict[str, Array]


class Tapes(threading.local):
    """The tapes of a thread: actions write to arrays of their own, so no two threads share one."""

    def __init__(self) -> None:
        self.kept: dict[tuple[int, tuple[str, ...], bool], Tape] = {}


class Engine:
    """An integer graph, planned once, run many times."""

    def __init__(self, graph: Graph, compiled: bool = jit.THERE) -> None:
        """``compiled``: machine code, else numpy. GraphError where the graph is not legal at the integer level."""
        self.graph, self.compiled = levels.require(graph, "integer"), compiled
        self.constant = constants(graph)
        self.plans = PLANS if compiled else PLANS | BY_NUMPY
        self.segments = planned.plan(graph, self.plans, self.constant, compiled)
        self._schedules: dict[tuple[frozenset[str], frozenset[str]], Schedule] = {}
        self.states = state_names(graph)
        self._tapes = Tapes()
        sizes = (
            value.shape.size
            for name, value in graph.values.items()
            if not isinstance(graph.nodes[name], View)
        )
        #: of all values of one sample, at all ticks
        self.elements = sum(sizes) * graph.header.timesteps
        synapses = {node.name: macs(node, graph) * graph.header.timesteps for node in graph.of(Synapse)}
        self.macs = max(synapses.values(), default=0)
        layered = {n.name for s in self.segments if s.by_rows for n in s.nodes}
        #: whether anything that is not watched is left to BLAS: to limit its threads takes as long as a small layer
        self.blas = any(
            isinstance(n, (Synapse, Product))
            for s in self.segments if isinstance(s, (segments.Alone, segments.Loop)) for n in s.nodes
        )  # fmt: skip
        #: multiplications of one sample, all ticks, in layers that can be split by rows
        self.sums = sum(count for name, count in synapses.items() if name in layered)
        #: whether a lone sample may be shared out
        self.threaded = self.sums >= SPLIT_MACS or self.macs >= BLAS_MACS
        largest = max(value.shape.size for value in graph.values.values()) * graph.header.timesteps
        narrow = 2 * self.sums >= sum(synapses.values())
        room = PIECE_ELEMENTS // largest if narrow else CHUNK_ELEMENTS // (largest * pools.threads())
        self.chunk = int(np.clip(room, 1, CHUNK))

    def run(self, x: Array, record: Iterable[str] = (), begin: Mapping[str, Array] | None = None) -> Trace:
        """All ticks of raw inputs ``x``, as ``ir.interp`` takes them; values of ``record`` at each tick.

        ``begin``: states before tick 1, as ``ir.interp`` takes them.

        Raises SimulateError: ND601 for inputs of another shape, ND603 for values outside the declared interval, for
        which no width was proven.
        """
        check_input(self.graph, x)
        names = tuple(dict.fromkeys(record))
        if len(x) == 0:
            return self._nothing(names)
        # to ask for them takes a tenth of a small network's time
        threads = pools.threads() if len(x) > 1 or self.threaded else 1
        size = min(self.chunk, -(-len(x) // threads))
        states = begun(self.graph, begin) if begin else {}
        pieces = [
            (
                x[i : i + size],
                {name: [part[i : i + size] for part in parts] for name, parts in states.items()},
            )
            for i in range(0, len(x), size)
        ]
        alone = len(pieces) == 1 and size * self.macs >= BLAS_MACS
        split = len(pieces) == 1 and threads > 1 and size * self.sums >= SPLIT_MACS
        limited = pools.blas_threads(threads if alone else 1) if self.blas or names else nullcontext()
        with limited:
            parts = pools.side_by_side(lambda piece: self._chunk(*piece, names, split), pieces)
        return parts[0] if len(parts) == 1 else self._joined(parts, names)

    def _schedule(self, watched: frozenset[str], states: frozenset[str]) -> Schedule:
        """The segments; node by node those that hide a watched value, or a population whose states are watched."""
        key = watched, states
        if key not in self._schedules:
            used: list[segments.Segment] = []
            for segment in self.segments:
                own = {node.name for node in segment.nodes}
                apart = segment.hidden & watched or (own & states and not isinstance(segment, segments.Loop))
                used += (
                    [segments.alone(n, self.graph, self.plans) for n in segment.nodes] if apart else [segment]
                )
            last = {
                name: i for i, segment in enumerate(used) for node in segment.nodes for name in node.inputs
            }
            owns = [{node.name for node in segment.nodes} for segment in used]
            done = [[n for n, at in last.items() if at == i and n not in owns[i]] for i in range(len(used))]
            sent = watched.union(*(segment.reads_arrays for segment in used))
            self._schedules[key] = Schedule(list(zip(used, done, strict=True)), sent)
        return self._schedules[key]

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

    def _chunk(
        self, x: Array, begin: Mapping[str, Sequence[Array]], names: tuple[str, ...], split: bool
    ) -> Trace:
        states = {name: at for name, at in self.states.items() if name in names}
        run = Run(self.graph.header.timesteps, states={node: [] for node, _ in states.values()}, begin=begin)
        key = len(x), names, split
        tapes = self._tapes.kept
        if key in tapes and not begin:
            tape = tapes[key]
            for action in tape.actions:
                action(x, run)
        else:
            tape = self._recorded(x, run, names, split)
            if tape.actions:
                tapes[key] = tape
                if len(tapes) > TAPES:
                    del tapes[next(iter(tapes))]
        kept = {}
        for name in names:
            at = states.get(name)
            found = run.states[at[0]][at[1]] if at else tape.arrays[name]
            kept[name] = np.broadcast_to(found, (run.ticks, len(x), *found.shape[2:])).astype(np.int64)
        return Trace(tape.arrays[self.graph.output.name].astype(np.int64), kept, run.saturations)

    def _recorded(self, x: Array, run: Run, names: tuple[str, ...], split: bool) -> Tape:
        """All segments in order; what they did is kept where its memory is small, and where no state is watched."""
        told = frozenset(run.states) | frozenset(run.begin)
        schedule = self._schedule(frozenset(names), told)
        small = not told and 2 * len(x) * self.elements <= TAPE_BYTES
        values = Values(x, run, schedule.sent, split, [] if small else None)
        found: dict[str, Array] = {}
        for segment, done in schedule.steps:
            segment.run(values)
            found |= {
                n.name: values.arrays[n.name]
                for n in segment.nodes
                if n.name in names or isinstance(n, Output)
            }
            values.drop([name for name in done if name not in names])
        values.settle()
        return Tape(values.tape or [], found)


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
    by_element = isinstance(node.zero, np.ndarray) and node.zero.ndim > 0
    if by_element:
        x = x.astype(np.int64) - node.zero
    zero = 0 if by_element else int(node.zero)
    lo, hi = (int(end.reduce(x, axis=None)) - zero for end in (np.minimum, np.maximum))
    if lo < interval.lo or hi > interval.hi:
        raise SimulateError(Problem("ND603", "input values lie outside the range the widths were proven for",
                                    node.name, f"{lo} .. {hi}", f"{interval.lo} .. {interval.hi}"))  # fmt: skip


def _const(node: Const, graph: Graph) -> Step:
    value = node.value[None, None].astype(arithmetic.storage(graph, node.name))
    return lambda args, run: value


def _output(node: Output, graph: Graph) -> Step:
    def step(args: list[Array], run: Run) -> Array:
        x = args[0].astype(np.int64)
        if node.readout == "last":
            return np.broadcast_to(x, (run.ticks, *x.shape[1:]))
        return arithmetic.running(x, run.ticks, np.int64)

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
    Output: _output, Const: _const, Synapse: linear.synapse, Neuron: populations.neuron,
    Product: products.product, Sum: linear.total, Reduce: linear.reduce, Micro: operators.micro, View: _view,
    Delay: lambda node, graph: lambda args, run: args[0],
}  # fmt: skip
BY_NUMPY: dict[type[Node], Callable[..., Step]] = {Synapse: linear.by_blas, Product: products.by_numpy}
