"""What the values of a graph under construction are between, by how they are made: a rectifier yields nothing below 0.

Interval arithmetic over nodes, which holds for every input. It stops where a node says nothing of itself.
"""

from __future__ import annotations

from math import inf, prod
from typing import TypeAlias

import numpy as np

from ..ir.micro_op import MICROCODE
from ..ir.neuron_model import NEURONS
from ..ir.nodes import Const, Micro, Neuron, Node, Product, Reduce, Sum, Synapse, View
from .lowering import Lowering

Bounds: TypeAlias = tuple[float, float]
#: elements of a graph axis, from one to before another; None: all that there are
Part: TypeAlias = tuple[int, int, int] | None
ANY: Bounds = (-inf, inf)
#: nodes in a row that are asked
DEEPEST = 64


def bounds(lowering: Lowering, name: str, part: Part = None, deep: int = 0) -> Bounds:
    """The least and the largest number that any element of a node, or of a part of it, can be."""
    node = lowering.builder.nodes[name]
    side, end, _ = lowering.held.get(name, ("", 0.0, None))
    least, most = ANY if deep > DEEPEST else _of(lowering, node, part, deep + 1)
    return (max(least, end) if side == "above" else least), (min(most, end) if side == "below" else most)


def _of(lowering: Lowering, node: Node, part: Part, deep: int) -> Bounds:
    match node:
        case Const():
            axis, start, stop = part or (0, 0, node.value.shape[0] if node.value.ndim else 0)
            values = node.value if part is None else node.value.take(range(start, stop), axis)
            return float(values.min()), float(values.max())
        case Neuron():
            low, _ = NEURONS[node.model].code(node.params).interval
            return (float(low) if low >= 0 else -inf), inf
        case Micro():
            return (0.0 if MICROCODE[node.op].nonnegative else -inf), inf
        case View():
            return _view(lowering, node, part, deep)
        case Reduce():
            return _reduce(lowering, node, deep)
        case Sum():
            return _sum(lowering, node, part, deep)
        case Product():
            return _product(lowering, node, part, deep)
        case Synapse():
            return _synapse(lowering, node, deep)
    return ANY


def _view(lowering: Lowering, node: View, part: Part, deep: int) -> Bounds:
    """Those of what it shows, and 0 where it pads."""
    sizes = lowering.builder.values[node.name].shape.sizes
    old = lowering.builder.values[node.inputs[0]].shape.sizes
    axis, start, stop = part or (-1, 0, 0)
    padded = node.op == "pad"
    match node.op:
        case "slice":
            part = (node.args[0], node.args[1], node.args[2])
        case "permute" if part:
            part = (node.args[axis], start, stop)
        case "reshape" if part:
            ahead, size = prod(sizes[:axis]), sizes[axis]
            same = [b for b, n in enumerate(old) if n == size and prod(old[:b]) == ahead]
            part = (same[0], start, stop) if same else None
        case "pad" if axis == node.args[0]:
            before, end = node.args[1], node.args[1] + old[axis]
            if stop <= before or start >= end:
                return 0.0, 0.0
            padded = start < before or stop > end
            part = (axis, max(start - before, 0), min(stop, end) - before)
        case "pad":
            pass
        case _:
            part = None
    parts = [bounds(lowering, name, part, deep) for name in node.inputs] + [(0.0, 0.0)] * padded
    return min(low for low, _ in parts), max(high for _, high in parts)


def _reduce(lowering: Lowering, node: Reduce, deep: int) -> Bounds:
    low, high = bounds(lowering, node.inputs[0], None, deep)
    shape = lowering.builder.values[node.inputs[0]].shape.sizes
    if node.window is not None and any(node.padding):
        low, high = min(low, 0.0), max(high, 0.0)
    count = prod(node.window or [shape[axis] for axis in node.axes]) if node.op == "sum" else 1
    return low * count, high * count


def _sum(lowering: Lowering, node: Sum, part: Part, deep: int) -> Bounds:
    sizes = lowering.builder.values[node.name].shape.sizes
    low, high = 0.0, 0.0
    for name, sign in zip(node.inputs, node.every_sign, strict=True):
        own = lowering.builder.values[name].shape.sizes
        kept = part is not None and len(own) == len(sizes) and own[part[0]] == sizes[part[0]]
        ends = bounds(lowering, name, part if kept else None, deep)
        low, high = low + min(sign * end for end in ends), high + max(sign * end for end in ends)
    return low, high


def _product(lowering: Lowering, node: Product, part: Part, deep: int) -> Bounds:
    """At least 0 where both operands are, or where one is the other; any other product says nothing."""
    letter = node.einsum.out[part[0]] if part else ""
    letters = node.einsum.left, node.einsum.right
    ends = []
    for name, own in zip(node.inputs, letters, strict=True):
        kept = (own.index(letter), *part[1:]) if part and letter in own else None
        ends.append(bounds(lowering, name, kept, deep))
    squared = node.inputs[0] == node.inputs[1] and letters[0] == letters[1]
    return (0.0, inf) if node.scale > 0 and (squared or min(low for low, _ in ends) >= 0) else ANY


def _synapse(lowering: Lowering, node: Synapse, deep: int) -> Bounds:
    """Weights of one sign keep that of what they read."""
    falling = bool((node.weight <= 0).all())
    if not (falling or (node.weight >= 0).all()):
        return ANY
    low, high = bounds(lowering, node.inputs[0], None, deep)
    low, high = (-high, -low) if falling else (low, high)
    offset = np.zeros(1) if node.bias is None else node.bias
    return (float(offset.min()) if low >= 0 else -inf), (float(offset.max()) if high <= 0 else inf)
