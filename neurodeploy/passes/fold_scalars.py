"""A factor common to a whole value moves into the products and weights next to it."""

from __future__ import annotations

from dataclasses import replace

from ..array import wide
from ..ir.graph import Graph
from ..ir.nodes import Node, Product, Sum, Synapse, View
from ._diagonal import scalar
from ._edit import both_origins, edit, exhausted, up_through_views

#: views through which a factor passes unchanged
LINEAR = ("reshape", "permute", "slice", "broadcast", "pad")


def fold_scalars(graph: Graph) -> Graph:
    """A graph without scaling synapses wherever a product or a weight can take the factor; meaning unchanged.

    Downwards first: the scale of attention then stands on the product, and queries keep their range.
    """
    return exhausted(graph, _folded)


def _folded(graph: Graph, node: Node) -> Graph | None:
    factor = scalar(node)
    return None if factor is None else _downwards(graph, node, factor) or _upwards(graph, node, factor)


def _downwards(graph: Graph, node: Node, factor: float) -> Graph | None:
    """Into every reader, if all of them are products or synapses."""
    readers = graph.readers(node.name, lambda n: isinstance(n, View) and n.op in LINEAR)
    if not readers or not all(_takes(r, factor) for r in readers):
        return None
    changed: dict[str, Node] = {}
    for reader in readers:  # a product that reads the value twice comes twice
        changed[reader.name] = _scaled(changed.get(reader.name, reader), factor, node, input_side=True)
    return _replaced(graph, node, changed)


def _upwards(graph: Graph, node: Node, factor: float) -> Graph | None:
    """Into the product or synapse that nothing else reads, or into all of those that nothing else reads the sum of."""
    sources = [up_through_views(graph, node.inputs[0], LINEAR)[1]]
    if isinstance(sources[0], Sum):
        parts = [up_through_views(graph, name, LINEAR)[1] for name in sources[0].inputs]
        sources = [] if len(graph.consumers[sources[0].name]) != 1 or len(set(parts)) < len(parts) else parts
    if not sources or not all(_takes(n, factor) and len(graph.consumers[n.name]) == 1 for n in sources):
        return None
    return _replaced(graph, node, {n.name: _scaled(n, factor, node, input_side=False) for n in sources})


def _takes(node: Node, factor: float) -> bool:
    """Weights take any factor; a product only a positive one, since its scale is the worth of an integer unit."""
    return isinstance(node, Synapse) or (isinstance(node, Product) and factor > 0)


def _replaced(graph: Graph, node: Node, changed: dict[str, Node]) -> Graph:
    fresh = {name: [(new, graph.values[name])] for name, new in changed.items()}
    return edit(graph, fresh, {node.name: node.inputs[0]})


def _scaled(node: Node, factor: float, source: Node, input_side: bool) -> Node:
    """A product or synapse that takes the factor over; a bias scales only with the output."""
    origin = both_origins(node, source)
    if isinstance(node, Product):
        return replace(node, scale=node.scale * factor, origin=origin)
    if not isinstance(node, Synapse):
        return node
    bias = node.bias if input_side or node.bias is None else node.bias * factor
    return replace(node, weight=wide(node.weight) * factor, bias=bias, origin=origin)
