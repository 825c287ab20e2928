"""Rearrangements move behind elementwise operators, until they cancel or meet an operator that cares.

A network written with channels in front, (C, N), alternates permutes with its dense synapses, which contract the last
axis. Its values are turned so that channels come last; the permutes that remain stand where the layout really changes.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..ir.graph import Graph
from ..ir.micro_op import MICROCODE
from ..ir.nodes import Const, Micro, Neuron, Node, Reduce, Sum, View
from ..ir.types import Value
from ._edit import Fresh, edit
from ._edit import view as view_of
from .drop_identity import drop_identity


def sink_views(graph: Graph) -> Graph:
    """A graph whose elementwise operators work with channels last where they can; meaning unchanged."""
    while True:
        before = graph
        for name in list(graph.nodes):
            if name in graph.nodes:
                graph = _sunk(graph, graph.nodes[name])
        if graph is before:
            return drop_identity(graph)


def _sunk(graph: Graph, node: Node) -> Graph:
    """The graph with one view moved behind ``node``, if it reads one that takes the channels away from the end."""
    views = [v for i in node.inputs if isinstance(v := graph.nodes[i], View) and _takes_channels(graph, v)]
    if not views:
        return graph
    if isinstance(node, Sum):
        return _sum(graph, node, next((v for v in views if v.op == "permute"), None))
    if len(node.inputs) > 1:
        return graph
    if isinstance(node, Reduce):
        return _reduce(graph, node, views[0])
    return _unary(graph, node, views[0]) if _elementwise(graph, node) else graph


def _takes_channels(graph: Graph, view: View) -> bool:
    """Whether this is a reshape or permute after which channels are not the last axis."""
    roles, before = graph.values[view.name].shape.roles, graph.values[view.inputs[0]].shape.roles
    away = "C" in roles and roles[-1] != "C"
    return away and (view.op == "reshape" or (view.op == "permute" and before[-1] == "C"))


def _elementwise(graph: Graph, node: Node) -> bool:
    """Whether every element of the result depends on the same element of the input, all in the same way."""
    if isinstance(node, Neuron):
        recurrent = any(node.name in s.inputs for s in graph.feedback)
        return not recurrent and not any(np.ndim(p) for p in node.params.values())
    return isinstance(node, Micro) and not MICROCODE[node.op].row and not MICROCODE[node.op].by_tick


def _unary(graph: Graph, node: Node, view: View) -> Graph:
    """f(view(x)) = view(f(x)); the view behind keeps nobody waiting: it takes over all readers."""
    value = replace(graph.values[node.name], shape=graph.values[view.inputs[0]].shape)
    return _behind(graph, node, replace(node, inputs=view.inputs), value, view)


def _behind(graph: Graph, node: Node, moved: Node, value: Value, view: View, before: Fresh = ()) -> Graph:
    """``moved`` under the old name (``before`` it, operands made for it), behind it ``view`` for all its readers."""
    back = view_of(graph, node.name, view, view.op, view.args)
    graph = edit(graph, {node.name: [*before, (moved, value), (back, graph.values[node.name])]}, {})
    nodes = {n.name: n if n.name == back.name else _renamed(n, node.name, back.name) for n in graph}
    return Graph(nodes, graph.values, graph.header)


def _renamed(node: Node, old: str, new: str) -> Node:
    inputs = tuple(new if i == old else i for i in node.inputs)
    return node if inputs == node.inputs else replace(node, inputs=inputs)


def _sum(graph: Graph, node: Sum, view: View | None) -> Graph:
    """permute(x) + y = permute(x + inverse(y)), where every operand has all axes of the sum to be turned alike."""
    if view is None or any(len(graph.shape(i)) != len(graph.shape(node.name)) for i in node.inputs):
        return graph
    inverse = tuple(view.args.index(a) for a in range(len(view.args)))
    if any(_loses(graph, graph.nodes[name], view, inverse) for name in node.inputs):
        return graph
    made: list[tuple[Node, Value]] = []
    inputs = []
    for name in node.inputs:
        operand = graph.nodes[name]
        if isinstance(operand, View) and (operand.op, operand.args) == ("permute", view.args):
            inputs.append(operand.inputs[0])
            continue
        turned = view_of(graph, name, operand, "permute", inverse, made)
        made.append((turned, Value(graph.values[name].shape.permuted(inverse))))
        inputs.append(turned.name)
    value = replace(graph.values[node.name], shape=graph.values[node.name].shape.permuted(inverse))
    return _behind(graph, node, replace(node, inputs=tuple(inputs)), value, view, made)


def _loses(graph: Graph, operand: Node, view: View, inverse: tuple[int, ...]) -> bool:
    """Whether an operand that is not turned alike has its channels last, and would not have them so any more."""
    shape = graph.values[operand.name].shape
    alike = isinstance(operand, View) and (operand.op, operand.args) == ("permute", view.args)
    return (
        not (alike or isinstance(operand, Const))
        and shape.roles[-1] == "C" != shape.permuted(inverse).roles[-1]
    )


def _reduce(graph: Graph, node: Reduce, view: View) -> Graph:
    """A reduction over permuted axes is one over the axes they were, where the rest keeps its order."""
    if view.op != "permute" or node.window is not None:
        return graph
    axes = tuple(sorted(view.args[a] for a in node.axes))
    kept = [a for i, a in enumerate(view.args) if i not in node.axes]
    if node.keepdims or kept != sorted(kept):
        return graph
    moved = replace(node, inputs=(view.inputs[0],), axes=axes)
    return edit(graph, {node.name: [(moved, graph.values[node.name])]}, {})
