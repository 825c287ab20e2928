"""What a network does, counted from its graph and the values on its edges: no mapping, no simulator of cores.

Counts per node and inference (mean over samples), all ticks together:

* dense MACs of one tick (:func:`dense_macs`): dense: outputs x fan-in; convolution: outputs x C/groups x ky x kx,
  padding included; product: the product of the sizes of all letters of its equation.
* synaptic operations: pairs of a non-zero value and a stored non-zero weight that it meets; none of what the host does.
* product operations: pairs of non-zero operands, left out terms aside; ``instant`` and ``held`` one contraction
  A(t)B(t) per tick, ``cumulative`` two: A(t) S_B(t) and S_A(t-1) B(t), the second from tick 2 on.
* neuron updates: elements of a population x ticks; stock updates are those of the chip's own models, program operations
  the updates of all others times the operations of their integer step. Spikes: non-zero values that a population of
  neurons emits.
* reset words: 64-bit words of state of a neuron, a compensated operator or a product, held operands included, at tick 1
  and at every reset. An operand counts once; cores that need the same part of it keep a copy each.
* messages: non-zero values of any node that travel to a population elsewhere (:mod:`.messages`).

Nothing is expanded: an operand only contributes how often each of its shared indices is non-zero, so the pairs of a
product are the dot product of two such counts. Those of the cores (:class:`neurodeploy.ir.trace.Events`) must agree.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields

import numpy as np

from ..array import Array
from ..ir.graph import Graph
from ..ir.neuron_model import NEURONS
from ..ir.nodes import Micro, Neuron, Node, Product, Synapse
from ..ir.trace import Events, Trace
from ..mapping.demand import WORD, held_bits, state_bits
from ..passes.balance import host
from .messages import sent
from .types import Definition


@dataclass(frozen=True)
class NodeCounts:
    """Operations of one node per inference.

    ``unskipped_ops`` also counts zero weights (spike x fan-out, as papers do); ``three_product_ops`` is the
    convention of released ECMT code: A(t)B(t), A(t)S_B(t) and S_A(t)B(t). ``inputs`` and ``active`` are the
    elements of the streams read and how many of them are not zero; ``left`` and ``left_active`` those of a product's
    first operand.
    """

    synaptic_ops: float = 0.0
    product_ops: float = 0.0
    neuron_updates: float = 0.0
    stock_updates: float = 0.0
    program_ops: float = 0.0
    spikes: float = 0.0
    reset_words: float = 0.0
    messages: float = 0.0
    unskipped_ops: float = 0.0
    three_product_ops: float = 0.0
    inputs: float = 0.0
    active: float = 0.0
    left: float = 0.0
    left_active: float = 0.0

    @property
    def rate(self) -> float:
        """Share of what is read that is not zero."""
        return self.active / self.inputs if self.inputs else 0.0

    @property
    def left_rate(self) -> float:
        """The same of a product's first operand."""
        return self.left_active / self.left if self.left else 0.0

    @property
    def right_rate(self) -> float:
        """The same of its second."""
        right = self.inputs - self.left
        return (self.active - self.left_active) / right if right else 0.0

    def weighted(self, weight: float, other: NodeCounts, other_weight: float) -> NodeCounts:
        """The mean of two sets of samples."""
        both = [(getattr(self, f.name), getattr(other, f.name)) for f in fields(self)]
        return NodeCounts(*((a * weight + b * other_weight) / (weight + other_weight) for a, b in both))


@dataclass(frozen=True, eq=False)
class Counts:
    """Counts by node over ``samples`` samples and ``ticks`` ticks; ``by_tick`` kind -> (T,), summed over nodes."""

    samples: int
    ticks: int
    nodes: dict[str, NodeCounts]
    by_tick: Mapping[str, Array]

    def total(self, kind: str) -> float:
        """One kind summed over nodes, mean per inference."""
        return float(sum(getattr(node, kind) for node in self.nodes.values()))

    def __add__(self, other: Counts) -> Counts:
        """Counts of both sets of samples together, for networks run in batches."""
        a, b = self.samples, other.samples
        nodes = {name: own.weighted(a, other.nodes[name], b) for name, own in self.nodes.items()}
        by_tick = {kind: (own * a + other.by_tick[kind] * b) / (a + b) for kind, own in self.by_tick.items()}
        return Counts(a + b, self.ticks, nodes, by_tick)


COUNTS = Definition(
    "counts",
    "Operations per inference",
    "synaptic operation: one delivered message meeting one stored non-zero weight;  product operation: one pair of"
    " non-zero operands of a product of two streams;  event operation: a synaptic or a product operation;  neuron"
    " update: one element of a population evaluated in one tick;  microcode operation: one add, multiply, shift,"
    " compare or table read;  program operation: one of those in the integer step of a neuron model that is not the"
    " chip's own;  spike: one non-zero output of a neuron in one tick;  message: one non-zero value of any"
    " node, neuron or not, that a population elsewhere reads in one tick;  packet: one message to one destination core,"
    " or, where the target multicasts, to all of them;"
    "  word read: 64 bits of synapse memory that a packet makes its core read, whole lists or kernel entries",
    notes=(
        "spikes and messages are counted from the network and its values, packets and hops by the simulated cores: a"
        " network that does not fit has the same spikes and messages as one that does, and no packets",
        "a spike with a graded value counts once, and so does a message however many read it",
        "a spike that only feeds an adder of its own population is no message; the values that an adder, a delay, an"
        " operator or the input sends are messages and no spikes",
        "the chip's own profiler counts neuron updates as 2 x neurons + output spikes per step",
    ),
)
DENSE = Definition(
    "dense_macs",
    "Dense multiply-accumulates of one pass",
    "dense layer: outputs x fan-in;  convolution: outputs x input channels of the group x kernel area;  product:"
    " product of the sizes of all its indices",
    notes=("one evaluation of the source network, not multiplied by T",),
)


def names(graph: Graph) -> tuple[str, ...]:
    """The values that a trace must record for :func:`count`."""
    wanted = [i for node in graph.of(Synapse, Product) for i in node.inputs]
    return tuple(dict.fromkeys([*wanted, *sent(graph), *(node.name for node in graph.of(Neuron))]))


def count(graph: Graph, trace: Trace) -> Counts:
    """Operations by node from recorded values (T, B, *shape); :func:`names` says which are needed."""
    ticks, samples = trace.outputs.shape[:2]
    counted = graph.of(*COUNTERS)
    table: dict[str, Row] = {node.name: COUNTERS[type(node)](graph, node, trace) for node in counted}
    for name, elements in sent(graph).items():
        values = trace.values[name]
        active = values.reshape(*values.shape[:2], -1)[:, :, elements] != 0
        table.setdefault(name, {})["messages"] = active.sum(axis=(1, 2))
    means = {name: {k: float(np.sum(x)) / samples for k, x in row.items()} for name, row in table.items()}
    nodes = {name: NodeCounts(**row) for name, row in means.items()}
    none = np.zeros(ticks)
    by_tick = {
        k: np.sum([none, *(r[k] for r in table.values() if k in r)], axis=0) / samples for k in BY_TICK
    }
    return Counts(samples, ticks, nodes, by_tick)


Row = dict[str, Array]  # kind -> (T,) summed over samples
#: kinds that are also told tick by tick
BY_TICK = ("synaptic_ops", "product_ops", "spikes", "messages")


def _synapse(graph: Graph, node: Synapse, trace: Trace) -> Row:
    active = trace.values[node.inputs[0]] != 0
    hits = _convolution_hits if node.op == "conv" else _dense_hits
    read = np.full(len(active), active[0].size)
    done, whole = (
        hits(active, node, node.weight != 0),
        hits(active, node, np.ones_like(node.weight, dtype=bool)),
    )
    found = active.sum(axis=tuple(range(1, active.ndim)))
    if node.hosted:  # papers count it all the same
        done = np.zeros_like(done)
    return {"synaptic_ops": done, "unskipped_ops": whole, "inputs": read, "active": found}


def _dense_hits(active: Array, node: Synapse, stored: Array) -> Array:
    """Sum over inputs c of (how often c is active) x (stored weights in column c), by tick."""
    often = active.sum(axis=tuple(range(1, active.ndim - 1)), dtype=np.int64)
    hits: Array = often @ stored.sum(axis=0, dtype=np.int64)
    return hits


def _convolution_hits(active: Array, node: Synapse, stored: Array) -> Array:
    """Sum over kernel positions of (active inputs under it) x (stored weights there), by tick; padding is empty."""
    (py, px), (sy, sx), (ky, kx) = node.padding, node.stride, node.weight.shape[2:]
    often = np.pad(active.sum(axis=1, dtype=np.int64), ((0, 0), (0, 0), (py, py), (px, px)))
    grouped = stored.reshape(node.groups, -1, *stored.shape[1:])
    fan_out = grouped.sum(axis=1, dtype=np.int64).reshape(-1, ky, kx)
    height, width = (often.shape[2] - ky) // sy + 1, (often.shape[3] - kx) // sx + 1
    hits = np.zeros(len(active), dtype=np.int64)
    for dy in range(ky):
        for dx in range(kx):
            under = often[:, :, dy : dy + sy * height : sy, dx : dx + sx * width : sx].sum(axis=(2, 3))
            hits += under @ fan_out[:, dy, dx]
    return hits


def _product(graph: Graph, node: Product, trace: Trace) -> Row:
    a, b = (trace.values[name] for name in node.inputs)
    active = [(x != 0).sum(axis=tuple(range(1, x.ndim))) for x in (a, b)]
    read = np.full(len(a), a[0].size + b[0].size)
    executed = TIMINGS[node.timing or "instant"](node, a, b)
    three = _three_products(node, a, b) if node.timing == "cumulative" else executed
    return {"product_ops": executed, "unskipped_ops": executed, "three_product_ops": three, "inputs": read,
            "active": active[0] + active[1], "left": np.full(len(a), a[0].size), "left_active": active[0],
            **_resets(graph, node, trace)}  # fmt: skip


def _held(node: Product, a: Array, b: Array) -> Array:
    held = np.array(b)
    for t in range(1, len(held)):
        silent = ~(b[t] != 0).any(axis=tuple(range(1, b.ndim - 1)), keepdims=True)
        held[t] = np.where(silent, held[t - 1], b[t])
    return node.pairs(a, held)


def _cumulative(node: Product, a: Array, b: Array) -> Array:
    sum_a, sum_b = np.cumsum(a, axis=0), np.cumsum(b, axis=0)
    before = np.concatenate([np.zeros_like(sum_a[:1]), sum_a[:-1]])
    return node.pairs(a, sum_b) + node.pairs(before, b)


def _three_products(node: Product, a: Array, b: Array) -> Array:
    sum_a, sum_b = np.cumsum(a, axis=0), np.cumsum(b, axis=0)
    return node.pairs(a, b) + node.pairs(a, sum_b) + node.pairs(sum_a, b)


TIMINGS: dict[str, Callable[[Product, Array, Array], Array]]
TIMINGS = {"instant": Product.pairs, "held": _held, "cumulative": _cumulative}


def _neuron(graph: Graph, node: Neuron, trace: Trace) -> Row:
    out = trace.values[node.name]
    updates = np.full(len(out), graph.values[node.name].shape.size * out.shape[1])
    model = NEURONS[node.model]
    priced = (
        {"stock_updates": updates}
        if model.stock
        else {"program_ops": updates * model.operations(node.params)}
    )
    spikes = (out != 0).sum(axis=tuple(range(1, out.ndim)))
    return {"neuron_updates": updates, **priced, "spikes": spikes, **_resets(graph, node, trace)}


def _resets(graph: Graph, node: Node, trace: Trace) -> Row:
    """Words of state that are written before tick 1 and wherever a population forgets."""
    ticks, samples = trace.outputs.shape[:2]
    anew = [t == 1 or (isinstance(node, Neuron) and node.resets(t)) for t in range(1, ticks + 1)]
    return {"reset_words": np.array(anew) * samples * _state_words(graph, node)}


def _state_words(graph: Graph, node: Node) -> int:
    """64-bit words that the elements of a node keep from tick to tick, and the operands that a product keeps."""
    kept = [(node.name, state_bits(node))]
    if isinstance(node, Product):
        held = node.inputs[KEPT.get(node.timing or "", slice(0))]
        kept += [(name, held_bits(graph, node, name)) for name in held]
    return sum(graph.values[name].shape.size * -(-bits // WORD) for name, bits in kept)


#: operands of a product that are state
KEPT = {"held": slice(1, 2), "cumulative": slice(2)}
COUNTERS: dict[type[Node], Callable[..., Row]] = {
    Synapse: _synapse, Product: _product, Neuron: _neuron, Micro: _resets
}  # fmt: skip


def dense_macs(graph: Graph, node: Node) -> int:
    """Multiply-accumulates of one tick of a Synapse or Product were every value non-zero; 0 for other kinds."""
    if isinstance(node, Synapse):
        fan_in = node.weight.shape[1] if node.op == "dense" else int(np.prod(node.weight.shape[1:]))
        return graph.values[node.name].shape.size * fan_in
    if isinstance(node, Product):
        a, b = node.inputs
        return node.einsum.macs(graph.shape(a), graph.shape(b))
    return 0


def looked_up(graph: Graph) -> dict[str, int]:
    """Numbers that the host reads of its tables in an inference, by layer: a row for each token of every frame."""
    frames = graph.header.timesteps if graph.input.per_tick else 1
    return {n.name: graph.values[n.name].shape.size * frames for n in graph.of(Synapse) if n.hosted}


#: what the simulated cores must have seen as often
SHARED_KINDS = (
    "synaptic_ops", "product_ops", "neuron_updates", "stock_updates", "program_ops", "reset_words"
)  # fmt: skip


def disagreements(graph: Graph, counts: Counts, events: Events) -> list[tuple[str, str, float, float]]:
    """(node, kind, counted here, counted by the cores) wherever the two accounts differ.

    Cores note one kind for what a population gives off: spikes of neurons, and the messages of all others. The host is
    no core and notes nothing. An operand of a product may lie on several cores, each of which resets its copy.
    """
    rows, outside = [], host(graph)
    for name, node in counts.nodes.items():
        seen = events.node_counts.get(name, np.zeros(len(events.kinds)))
        given = ("spikes" if isinstance(graph.nodes[name], Neuron) else "messages",)
        for kind in (*SHARED_KINDS, *(given if name not in outside else ())):
            event = kind if kind in SHARED_KINDS else "spikes"
            mine, theirs = getattr(node, kind), float(seen[events.kinds.index(event)])
            if kind == "reset_words" and isinstance(graph.nodes[name], Product):
                theirs = min(mine, theirs)
            if abs(mine - theirs) > 1e-6 * max(1.0, mine):
                rows.append((name, kind, mine, theirs))
    return rows
