"""A connection that only delays becomes the delay of the synapses that read it: one step instead of two.

Recurrence is imported as a connection of weight 1 with a delay, since anything may read what was sent a tick ago. A
synapse that reads it beside other values, as one matrix of both, is taken apart first. Where a population was put in
to keep what a synapse without bias yields, the synapse is as good a tick later: nothing comes of nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from ..ir.graph import Graph, free_name, prune
from ..ir.nodes import Neuron, Node, Sum, Synapse, View
from ._edit import Fresh, both_origins, edit, exhausted


def join_delays(graph: Graph) -> Graph:
    """A graph in which no synapse reads a plain delay; meaning unchanged."""
    return exhausted(graph, _apart, _joined, _unkept, tidy=prune)


def _waits(node: Node) -> int:
    """The ticks by which a synapse delays and does nothing else; 0 for any other node."""
    if not isinstance(node, Synapse) or node.bias is not None or len(node.delays) > 1 or not node.delays[-1]:
        return 0
    one = np.eye(len(node.weight)) if node.op == "dense" else np.ones((len(node.weight), 1, 1, 1))
    plain = node.stride == (1, 1) and node.padding == (0, 0)
    return node.delays[-1] if plain and np.array_equal(node.weight, one) else 0


def _joined(graph: Graph, node: Node) -> Graph | None:
    """A synapse that reads a delay, with that delay in its own."""
    if not isinstance(node, Synapse):
        return None
    before = graph.nodes[node.inputs[0]]
    if not (ticks := _waits(before)):
        return None
    origin = both_origins(node, before)
    joined = replace(node, inputs=before.inputs, delay=node.later(ticks), origin=origin)
    return edit(graph, {node.name: [(joined, graph.values[node.name])]}, {})


def _unkept(graph: Graph, node: Node) -> Graph | None:
    """A delay of what a population keeps of spikes that went through weights: the weights, with that delay."""
    if not (ticks := _waits(node)) or not _keeps(keeper := graph.nodes[node.inputs[0]]):
        return None
    weights = graph.nodes[keeper.inputs[0]]
    if not isinstance(weights, Synapse) or weights.bias is not None:
        return None
    if not isinstance(graph.nodes[weights.inputs[0]], Neuron):
        return None
    late = replace(weights, name=node.name, delay=weights.later(ticks), origin=both_origins(weights, node))
    return edit(graph, {node.name: [(late, graph.values[node.name])]}, {})


def _keeps(node: Node) -> bool:
    """Whether a population sends what it is given."""
    numbers = {"alpha": 0.0, "beta": 0.0, "gain": 1.0, "bias": 0.0, "offset": 0.0}
    return isinstance(node, Neuron) and node.model == "leaky_integrator" and node.params == numbers


def _apart(graph: Graph, node: Node) -> Graph | None:
    """A synapse that reads delays beside other values along its channels, as a sum of one synapse for each."""
    if not isinstance(node, Synapse) or node.groups != 1:
        return None
    view = graph.nodes[node.inputs[0]]
    if (
        not isinstance(view, View)
        or view.op != "concat"
        or not any(_waits(graph.nodes[i]) for i in view.inputs)
    ):
        return None
    axis = len(graph.shape(view.name)) - 1 if node.op == "dense" else 0
    if view.args[0] != axis:
        return None
    value = graph.values[node.name]
    parts: Fresh = [(part, value) for part in _parts(graph, node, view, axis)]
    total = Sum(name=node.name, inputs=tuple(part.name for part, _ in parts), origin=node.origin)
    return edit(graph, {node.name: [*parts, (total, value)]}, {})


def _parts(graph: Graph, node: Synapse, view: View, axis: int) -> Iterator[Synapse]:
    """The columns of the weights for each of the values that are read; the first has the bias."""
    start = 0
    for number, source in enumerate(view.inputs):
        stop = start + graph.shape(source)[axis]
        yield replace(
            node,
            name=free_name(f"{node.name}.{number}", graph.nodes),
            inputs=(source,),
            weight=node.weight[:, start:stop],
            bias=node.bias if number == 0 else None,
            delay=node.delay if np.ndim(node.delay) == 0 else np.asarray(node.delay)[:, start:stop],
        )
        start = stop
