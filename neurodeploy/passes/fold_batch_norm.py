"""A factor and offset per channel (batch norm, layer scale, gain) moves into the synapse or norm next to it.

One that has no such neighbour stays: a diagonal synapse is as legal as any other.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..array import Array, wide
from ..ir.graph import Graph
from ..ir.micro_op import MICROCODE
from ..ir.nodes import Micro, Node, Synapse, View
from ._diagonal import channel_axis, factors, per_channel
from ._edit import both_origins, edit, exhausted, up_through_views
from ._index import index_of


def fold_batch_norm(graph: Graph) -> Graph:
    """A graph with diagonal synapses folded into their neighbours where possible; meaning unchanged."""
    return exhausted(graph, _folded)


def _folded(graph: Graph, node: Node) -> Graph | None:
    if not isinstance(node, Synapse) or factors(node) is None:
        return None
    return _into_source(graph, node) or _into_norm(graph, node) or _into_reader(graph, node)


def _into_source(graph: Graph, node: Synapse) -> Graph | None:
    """Scale the rows of the synapse before it: w' = f w, b' = f b + c; None if another node reads that synapse."""
    views, source = up_through_views(graph, node.inputs[0], ("reshape", "permute"))
    if not isinstance(source, Synapse) or len(graph.consumers[source.name]) != 1:
        return None
    scale, shift = (_pulled(graph, node, views, source, what) for what in _scale_and_shift(node))
    if scale is None or shift is None:
        return None
    rows = scale.reshape((-1,) + (1,) * (source.weight.ndim - 1))
    bias = shift if source.bias is None else source.bias * scale + shift
    fused = replace(source, weight=wide(source.weight) * rows, bias=bias, origin=both_origins(source, node))
    return edit(graph, {source.name: [(fused, graph.values[source.name])]}, {node.name: node.inputs[0]})


def _scale_and_shift(node: Synapse) -> tuple[Array, Array]:
    scale = factors(node)
    scale = np.ones(len(node.weight)) if scale is None else scale
    return scale, np.zeros(len(scale)) if node.bias is None else node.bias


def _pulled(graph: Graph, node: Synapse, views: list[View], source: Synapse, numbers: Array) -> Array | None:
    """A number per channel of ``node`` as one per channel of the synapse behind the views; None if it varies."""
    sizes = graph.shape(source.name)
    steps = [(view.op, view.args) for view in reversed(views)]
    flat = np.empty(int(np.prod(sizes)))
    flat[index_of(steps, sizes).ravel()] = _spread(graph, node, numbers).ravel()
    return per_channel(flat.reshape(sizes), channel_axis(source))


def _spread(graph: Graph, node: Synapse, numbers: Array) -> Array:
    """A number per channel of ``node`` in the shape of its value."""
    sizes, axis = graph.shape(node.name), channel_axis(node)
    place = [1] * len(sizes)
    place[axis] = len(numbers)
    return np.broadcast_to(numbers.reshape(place), sizes)


def _into_norm(graph: Graph, node: Synapse) -> Graph | None:
    """Scale what a norm multiplies and adds: gamma' = f gamma, beta' = f beta + c; None if another node reads it."""
    source = graph.nodes[node.inputs[0]]
    if not isinstance(source, Micro) or not MICROCODE[source.op].affine or channel_axis(node) != -1:
        return None
    if len(graph.consumers[source.name]) != 1:
        return None
    scale, shift = _scale_and_shift(node)
    gamma, beta = (source.params.get(name) for name in ("gamma", "beta"))
    params = {**source.params, "gamma": scale if gamma is None else gamma * scale}
    if beta is not None or shift.any():
        params["beta"] = shift if beta is None else beta * scale + shift
    fused = replace(source, params=params, origin=both_origins(source, node))
    return edit(graph, {source.name: [(fused, graph.values[source.name])]}, {node.name: source.name})


def _into_reader(graph: Graph, node: Synapse) -> Graph | None:
    """Scale the columns of the only reader: w' = w f, b' = b + w c; None where zeros meet an offset.

    Those are padding, and what a delayed synapse reads before tick 1.
    """
    views, reader = _down_through_views(graph, node)
    if not isinstance(reader, Synapse):
        return None
    factor, offset = _scale_and_shift(node)
    scale = _pushed(graph, node, views, reader, factor, 1.0)
    shift = _pushed(graph, node, views, reader, offset, 0.0)
    if scale is None or shift is None or (shift.any() and (reader.padding != (0, 0) or reader.delays[-1])):
        return None
    per_input = _per_input(reader, scale)
    moved = (wide(reader.weight) * _per_input(reader, shift)).reshape(len(reader.weight), -1).sum(axis=1)
    bias = reader.bias if not shift.any() else moved if reader.bias is None else reader.bias + moved
    fused = replace(
        reader, weight=wide(reader.weight) * per_input, bias=bias, origin=both_origins(node, reader)
    )
    return edit(graph, {reader.name: [(fused, graph.values[reader.name])]}, {node.name: node.inputs[0]})


def _down_through_views(graph: Graph, node: Node) -> tuple[list[View], Node | None]:
    """The views behind ``node`` that are read once each and add no zeros, and their reader; None if it is not alone."""
    views: list[View] = []
    last = node
    while len(graph.consumers[last.name]) == 1:
        last = graph.nodes[graph.consumers[last.name][0]]
        if not isinstance(last, View) or last.op == "pad":
            return views, last
        views.append(last)
    return views, None


def _pushed(
    graph: Graph, node: Synapse, views: list[View], reader: Synapse, numbers: Array, rest: float
) -> Array | None:
    """A number per channel of ``node`` as one per channel that the synapse behind the views reads; None if it varies.

    ``rest`` is what stands for values that a view joins to those of ``node``.
    """
    field, name = _spread(graph, node, numbers), node.name
    for view in views:
        parts = [field if i == name else np.full(graph.shape(i), rest) for i in view.inputs]
        field, name = view.apply(parts), view.name
    return per_channel(field, channel_axis(reader))


def _per_input(reader: Synapse, numbers: Array) -> Array:
    """A number per input channel as an array that broadcasts to the reader's weight."""
    if reader.op == "dense":
        return numbers[None]
    grouped = np.repeat(numbers.reshape(reader.groups, -1), len(reader.weight) // reader.groups, axis=0)
    return grouped[:, :, None, None]
