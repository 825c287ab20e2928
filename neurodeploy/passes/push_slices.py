"""A slice moves before the operators whose other results nobody reads: with a class token, all but its row goes.

It stops where other elements are needed: at keys and values, and at operators that mix the sliced axis.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np

from ..ir.graph import Graph
from ..ir.micro_op import MICROCODE
from ..ir.nodes import Micro, Neuron, Node, Product, Reduce, Sum, Synapse, View
from ..ir.types import Shape, Value
from ._edit import edit, exhausted, view
from .drop_identity import drop_identity
from .fold_constants import fold_constants


def push_slices(graph: Graph) -> Graph:
    """A graph that computes fewer elements that nobody reads; meaning unchanged."""
    return exhausted(graph, _pushed, tidy=lambda found: fold_constants(drop_identity(found)))


def _pushed(graph: Graph, node: Node) -> Graph | None:
    """The graph with one slice moved before the node it reads, or None."""
    if not isinstance(node, View) or node.op != "slice":
        return None
    source = graph.nodes[node.inputs[0]]
    rule = RULES.get(type(source))
    if rule is None or len(graph.consumers[source.name]) != 1:
        return None
    axes = rule(graph, source, node.args[0])
    if axes is None:
        return None
    made: list[tuple[Node, Value]] = []
    inputs = [
        name if axis is None else _sliced(graph, node, name, axis, made)
        for name, axis in zip(source.inputs, axes, strict=True)
    ]
    value = graph.values[source.name]
    smaller = replace(value, shape=Shape(value.shape.roles, graph.shape(node.name)))
    changes: dict[str, Any] = {"inputs": tuple(inputs)}
    if isinstance(source, View) and source.op in ("reshape", "broadcast"):
        changes["args"] = smaller.shape.sizes
    made.append((replace(source, **changes), smaller))
    return edit(graph, {source.name: made}, {node.name: source.name})


def _sliced(graph: Graph, node: View, name: str, axis: int, made: list[tuple[Node, Value]]) -> str:
    """A slice of one operand, appended to ``made``."""
    _, *bounds = node.args
    part = view(graph, name, node, "slice", (axis, *bounds), made)
    made.append((part, Value(graph.values[name].shape.resized(axis, len(range(*bounds))))))
    return part.name


#: axis of each operand that must be sliced (None: the operand is read whole), or None where the slice cannot pass
Axes = list[int | None] | None


def _micro(graph: Graph, node: Any, axis: int) -> Axes:
    op = MICROCODE[node.op]
    mixed = op.row and axis == len(graph.shape(node.name)) - 1
    return None if mixed or op.by_tick or "mask" in node.params else [axis]


def _neuron(graph: Graph, node: Any, axis: int) -> Axes:
    shaped = any(np.ndim(p) for p in node.params.values())
    return None if shaped else [axis] * len(node.inputs)


def _synapse(graph: Graph, node: Any, axis: int) -> Axes:
    if node in graph.feedback:
        return None  # it can read only the neuron itself
    return [axis] if node.op == "dense" and axis != len(graph.shape(node.name)) - 1 else None


def _sum(graph: Graph, node: Any, axis: int) -> Axes:
    size = graph.shape(node.name)[axis]
    if any(len(graph.shape(i)) != len(graph.shape(node.name)) for i in node.inputs):
        return None
    return [axis if graph.shape(i)[axis] == size else None for i in node.inputs]


def _product(graph: Graph, node: Any, axis: int) -> Axes:
    letter = node.einsum.out[axis]
    parts = (node.einsum.left, node.einsum.right)
    return [part.index(letter) if letter in part else None for part in parts]


def _reduce(graph: Graph, node: Any, axis: int) -> Axes:
    if node.window is not None:
        return None
    if node.keepdims:
        return None if axis in node.axes else [axis]
    kept = [a for a in range(len(graph.shape(node.inputs[0]))) if a not in node.axes]
    return [kept[axis]]


def _view(graph: Graph, node: Any, axis: int) -> Axes:
    old, new = graph.shape(node.inputs[0]), graph.shape(node.name)
    if node.op == "permute":
        return [node.args[axis]]
    if node.op == "reshape":
        same = [b for b in range(len(old)) if prod(old[:b]) == prod(new[:axis]) and old[b] == new[axis]]
        return [same[0]] if same else None
    if node.op == "pad" and node.args[0] != axis:
        return [axis]
    if node.op == "concat" and node.args[0] != axis:
        return [axis] * len(node.inputs)
    return None


#: for nodes before which a slice can move
RULES: dict[type[Node], Callable[[Graph, Any, int], Axes]] = {
    Micro: _micro, Neuron: _neuron, Synapse: _synapse, Sum: _sum, Product: _product, Reduce: _reduce, View: _view,
}  # fmt: skip
