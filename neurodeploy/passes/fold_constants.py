"""Constants meet: views and sums of constants are computed, constants beside each other in a sum become one.

A constant joined to a stream (class token) becomes zeros joined to it and a constant added, so that a position
embedding added afterwards makes a single constant of both.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..array import Array, wide
from ..ir.graph import Graph, free_name, prune
from ..ir.nodes import Const, Node, Sum, View
from ..ir.types import Shape, Value
from ._edit import both_origins, edit, exhausted


def fold_constants(graph: Graph) -> Graph:
    """A graph without computations on constants; meaning unchanged."""
    return prune(exhausted(graph, _computed, _padded, _flattened, _single, tidy=prune))


def _constant(graph: Graph, name: str) -> bool:
    return isinstance(graph.nodes[name], Const)


def _made(graph: Graph, name: str, array: Array, like: Node) -> tuple[Const, Value]:
    array = np.ascontiguousarray(array)
    shape = Shape(graph.values[like.name].shape.roles, array.shape)
    return Const(name=name, origin=like.origin, value=array), Value(shape)


def _computed(graph: Graph, node: Node) -> Graph | None:
    """A view or sum of constants alone."""
    if not isinstance(node, (View, Sum)):
        return None
    arrays = [wide(n.value) for i in node.inputs if isinstance(n := graph.nodes[i], Const)]
    if len(arrays) < len(node.inputs):
        return None
    result = node.apply(arrays) if isinstance(node, View) else _total(arrays, node.every_sign)
    whole = np.broadcast_to(result, graph.shape(node.name))
    return edit(graph, {node.name: [_made(graph, node.name, whole, node)]}, {})


def _total(arrays: list[Array], signs: tuple[int, ...]) -> Array:
    return np.asarray(sum(sign * array for sign, array in zip(signs, arrays, strict=True)))


def _padded(graph: Graph, node: Node) -> Graph | None:
    """concat(c, x, d) = pad(x) + (c, 0, d); a constant between streams stays."""
    if not isinstance(node, View) or node.op != "concat":
        return None
    streams = [i for i, name in enumerate(node.inputs) if not _constant(graph, name)]
    if not streams or len(streams) == len(node.inputs) or streams != list(range(streams[0], streams[-1] + 1)):
        return None
    axis, value = node.args[0], graph.values[node.name]
    widths = [graph.shape(name)[axis] for name in node.inputs]
    before, after = sum(widths[: streams[0]]), sum(widths[streams[-1] + 1 :])
    inputs = [graph.nodes[name] for name in node.inputs]
    parts = [n.value if isinstance(n, Const) else np.zeros(graph.shape(n.name)) for n in inputs]
    constant = _made(graph, free_name(f"{node.name}.const", graph.nodes), np.concatenate(parts, axis), node)
    made: list[tuple[Node, Value]] = []
    source = node.inputs[streams[0]]
    if len(streams) > 1:
        name = free_name(f"{node.name}.streams", graph.nodes)
        joined = replace(node, name=name, inputs=tuple(node.inputs[i] for i in streams))
        made.append((joined, Value(value.shape.resized(axis, sum(widths) - before - after))))
        source = joined.name
    name, args = free_name(f"{node.name}.pad", graph.nodes), (axis, before, after)
    pad = View(name=name, inputs=(source,), origin=node.origin, op="pad", args=args)
    total = Sum(name=node.name, inputs=(pad.name, constant[0].name), origin=node.origin, signs=(1, 1))
    return edit(graph, {node.name: [*made, (pad, value), constant, (total, value)]}, {})


def _flattened(graph: Graph, node: Node) -> Graph | None:
    """A sum with a constant that reads another such sum, which nothing else reads, takes over its operands."""
    if not isinstance(node, Sum) or not any(_constant(graph, i) for i in node.inputs):
        return None
    for place, name in enumerate(node.inputs):
        inner = graph.nodes[name]
        alone = len(graph.consumers[name]) == 1 and node.inputs.count(name) == 1
        if isinstance(inner, Sum) and alone and any(_constant(graph, i) for i in inner.inputs):
            outer = node.every_sign
            own = (outer[place] * sign for sign in inner.every_sign)
            signs = (*outer[:place], *own, *outer[place + 1 :])
            inputs = (*node.inputs[:place], *inner.inputs, *node.inputs[place + 1 :])
            joined = replace(node, inputs=inputs, signs=signs, origin=both_origins(inner, node))
            return edit(graph, {node.name: [(joined, graph.values[node.name])]}, {})
    return None


def _single(graph: Graph, node: Node) -> Graph | None:
    """Several constants in one sum become one, with sign plus."""
    if not isinstance(node, Sum):
        return None
    arrays = {
        i: wide(n.value) for i, name in enumerate(node.inputs) if isinstance(n := graph.nodes[name], Const)
    }
    if len(arrays) < 2:
        return None
    signs = node.every_sign
    total = _total([*arrays.values()], tuple(signs[i] for i in arrays))
    constant = _made(graph, free_name(f"{node.name}.const", graph.nodes), total, node)
    kept = [i for i in range(len(node.inputs)) if i not in arrays]
    inputs = (*(node.inputs[i] for i in kept), constant[0].name)
    joined = replace(node, inputs=inputs, signs=(*(signs[i] for i in kept), 1))
    return edit(graph, {node.name: [constant, (joined, graph.values[node.name])]}, {})
