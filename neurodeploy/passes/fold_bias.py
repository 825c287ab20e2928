"""A constant added per channel right behind or right before a synapse becomes its bias."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..array import Array
from ..ir.graph import Graph, prune
from ..ir.nodes import Const, Node, Sum, Synapse
from ._diagonal import channel_axis, per_channel
from ._edit import both_origins, edit, exhausted


def fold_bias(graph: Graph) -> Graph:
    """A graph with such constants in the biases; meaning unchanged."""
    return exhausted(graph, _behind, _before, tidy=prune)


def _parts(graph: Graph, node: Node) -> tuple[Node, Array] | None:
    """Stream and signed constant of a sum of just these two, the stream with sign plus and of the sum's own shape."""
    if not isinstance(node, Sum) or len(node.inputs) != 2:
        return None
    for stream, constant in ((0, 1), (1, 0)):
        source, other = graph.nodes[node.inputs[stream]], graph.nodes[node.inputs[constant]]
        whole = graph.shape(source.name) == graph.shape(node.name) and node.every_sign[stream] == 1
        if isinstance(other, Const) and not isinstance(source, Const) and whole:
            return source, other.value * node.every_sign[constant]
    return None


def _behind(graph: Graph, node: Node) -> Graph | None:
    """Synapse, then sum: the constant is added to the bias; None if something else reads the synapse."""
    parts = _parts(graph, node)
    if parts is None or not isinstance(parts[0], Synapse) or len(graph.consumers[parts[0].name]) != 1:
        return None
    source, constant = parts[0], parts[1]
    extra = per_channel(np.broadcast_to(constant, graph.shape(node.name)), channel_axis(source))
    if extra is None:
        return None
    bias = extra if source.bias is None else source.bias + extra
    fused = replace(source, bias=np.ascontiguousarray(bias), origin=both_origins(source, node))
    return edit(graph, {source.name: [(fused, graph.values[source.name])]}, {node.name: source.name})


def _before(graph: Graph, node: Node) -> Graph | None:
    """Sum, then its only reader, a synapse without padding or delay: what it makes of the constant joins the bias."""
    parts, readers = _parts(graph, node), [graph.nodes[r] for r in graph.consumers[node.name]]
    if parts is None or len(readers) != 1 or not isinstance(reader := readers[0], Synapse):
        return None
    if reader.padding != (0, 0) or reader.delays[-1]:
        return None
    offsets = per_channel(np.broadcast_to(parts[1], graph.shape(node.name)), channel_axis(reader))
    if offsets is None or reader.groups != 1:
        return None
    columns = np.resize(offsets, reader.weight.shape[1]).reshape(1, -1, *(1,) * (reader.weight.ndim - 2))
    extra = (reader.weight * columns).reshape(len(reader.weight), -1).sum(1)
    bias = extra if reader.bias is None else reader.bias + extra
    fused = replace(reader, bias=bias, origin=both_origins(node, reader))
    return edit(graph, {reader.name: [(fused, graph.values[reader.name])]}, {node.name: parts[0].name})
