"""A constant added per channel right behind or right before a synapse becomes its bias."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..array import wide
from ..ir.graph import Graph, prune
from ..ir.nodes import Node, Synapse
from ._diagonal import channel_axis, per_channel
from ._edit import both_origins, constant_added, edit, exhausted


def fold_bias(graph: Graph) -> Graph:
    """A graph with such constants in the biases; meaning unchanged."""
    return exhausted(graph, _behind, _before, tidy=prune)


def _behind(graph: Graph, node: Node) -> Graph | None:
    """Synapse, then sum: the constant is added to the bias; None if something else reads the synapse."""
    parts = constant_added(graph, node)
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
    parts, readers = constant_added(graph, node), [graph.nodes[r] for r in graph.consumers[node.name]]
    if parts is None or len(readers) != 1 or not isinstance(reader := readers[0], Synapse):
        return None
    if reader.padding != (0, 0) or reader.delays[-1]:
        return None
    offsets = per_channel(np.broadcast_to(parts[1], graph.shape(node.name)), channel_axis(reader))
    if offsets is None or reader.groups != 1:
        return None
    columns = np.resize(offsets, reader.weight.shape[1]).reshape(1, -1, *(1,) * (reader.weight.ndim - 2))
    extra = (wide(reader.weight) * columns).reshape(len(reader.weight), -1).sum(1)
    bias = extra if reader.bias is None else reader.bias + extra
    fused = replace(reader, bias=bias, origin=both_origins(node, reader))
    return edit(graph, {reader.name: [(fused, graph.values[reader.name])]}, {node.name: parts[0].name})
