"""A constant added per channel right behind or right before a synapse becomes its bias."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..array import Array
from ..ir.graph import Graph, prune
from ..ir.nodes import Const, Node, Sum, Synapse
from ._diagonal import channel_axis
from ._edit import both_origins, edit


def fold_bias(graph: Graph) -> Graph:
    """A graph with such constants in the biases; meaning unchanged."""
    while True:
        found = next(
            (g for node in graph.of(Sum) if (g := _behind(graph, node) or _before(graph, node)) is not None),
            None,
        )
        if found is None:
            return graph
        graph = prune(found)


def _parts(graph: Graph, node: Node) -> tuple[Node, Array] | None:
    """Stream and signed constant of a sum of just these two, the stream with sign plus and of the sum's own shape."""
    if not isinstance(node, Sum) or len(node.inputs) != 2:
        return None
    signs = node.signs or (1, 1)
    for stream, constant in ((0, 1), (1, 0)):
        source, other = graph.nodes[node.inputs[stream]], graph.nodes[node.inputs[constant]]
        whole = graph.shape(source.name) == graph.shape(node.name)
        if isinstance(other, Const) and not isinstance(source, Const) and signs[stream] == 1 and whole:
            return source, other.value * signs[constant]
    return None


def _per_channel(constant: Array, axis: int, sizes: tuple[int, ...]) -> Array | None:
    """The constant as one number per channel, or None where it varies along another axis."""
    full = np.broadcast_to(constant, sizes)
    rows = np.moveaxis(full, axis, 0).reshape(sizes[axis], -1)
    return rows[:, 0] if np.array_equal(rows, np.broadcast_to(rows[:, :1], rows.shape)) else None


def _behind(graph: Graph, node: Node) -> Graph | None:
    """Synapse, then sum: the constant is added to the bias; None if something else reads the synapse."""
    parts = _parts(graph, node)
    if parts is None or not isinstance(parts[0], Synapse) or len(graph.consumers[parts[0].name]) != 1:
        return None
    source, constant = parts[0], parts[1]
    extra = _per_channel(constant, channel_axis(source), graph.shape(node.name))
    if extra is None:
        return None
    bias = extra if source.bias is None else source.bias + extra
    fused = replace(source, bias=np.ascontiguousarray(bias), origin=both_origins(source, node))
    return edit(graph, {source.name: [(fused, graph.values[source.name])]}, {node.name: source.name})


def _before(graph: Graph, node: Node) -> Graph | None:
    """Sum, then its only reader, a synapse without padding or delay: what it makes of the constant joins the bias."""
    parts, readers = _parts(graph, node), [graph.nodes[r] for r in graph.consumers[node.name]]
    if (
        parts is None
        or len(readers) != 1
        or not isinstance(readers[0], Synapse)
        or readers[0].padding != (0, 0)
        or readers[0].delays[-1]
    ):
        return None
    reader = readers[0]
    per_channel = _per_channel(parts[1], channel_axis(reader), graph.shape(node.name))
    if per_channel is None:
        return None
    columns = np.resize(per_channel, reader.weight.shape[1]) if reader.groups == 1 else None
    if columns is None:
        return None
    extra = (
        (reader.weight * columns.reshape(1, -1, *(1,) * (reader.weight.ndim - 2)))
        .reshape(len(reader.weight), -1)
        .sum(1)
    )
    bias = extra if reader.bias is None else reader.bias + extra
    fused = replace(reader, bias=bias, origin=both_origins(node, reader))
    return edit(graph, {reader.name: [(fused, graph.values[reader.name])]}, {node.name: parts[0].name})
