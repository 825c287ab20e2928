"""What shape each kind of node yields from its inputs: one rule per kind, and a check of a whole graph."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import numpy as np

from ..errors import Problem
from .equation import Sizes
from .graph import Graph
from .neuron_model import NEURONS
from .nodes import Const, Delay, Input, Micro, Neuron, Node, Output, Product, Reduce, Sum, Synapse, View

MAX_ELEMENTS = 1 << 28  # of one edge: a declared shape must not make a check allocate without bound
MAX_DELAY = 4096  # ticks: no target's synapses wait longer, and every tick of delay is remembered


def problems(graph: Graph) -> list[Problem]:
    """Every node whose declared shape differs from what its rule yields, or whose inputs do not fit it (ND204)."""
    found = []
    for node in graph:
        declared = graph.shape(node.name)
        if graph.values[node.name].shape.size > MAX_ELEMENTS:
            cause, limit = "a node declares more elements than any network has", f"{MAX_ELEMENTS} elements"
            found.append(Problem("ND204", cause, node.name, str(declared), limit))
            break  # later rules would allocate it
        try:
            yields = RULES[type(node)](node, [graph.shape(i) for i in node.inputs], declared)
        except (ValueError, IndexError, TypeError, ZeroDivisionError) as error:
            found.append(Problem("ND204", "the inputs of a node do not fit it", node.name, found=str(error)))
            continue
        if tuple(yields) != declared:
            cause = "a node declares another shape than it yields"
            found.append(Problem("ND204", cause, node.name, str(declared), str(tuple(yields))))
    return found


def _given(node: Node, inputs: list[Sizes], declared: Sizes) -> Sizes:
    _count(inputs, 0)
    return declared


def _const(node: Const, inputs: list[Sizes], declared: Sizes) -> Sizes:
    _count(inputs, 0)
    return node.value.shape


def _same(node: Node, inputs: list[Sizes], declared: Sizes) -> Sizes:
    _count(inputs, 1)
    return inputs[0]


def _neuron(node: Neuron, inputs: list[Sizes], declared: Sizes) -> Sizes:
    model = NEURONS.get(node.model)
    _count(inputs, model.inputs if model else len(inputs))
    if node.reset is not None and node.reset[0] < 1:
        raise ValueError(f"a reset every {node.reset[0]} ticks")
    arrays = [(1, *sizes) for sizes in inputs]
    arrays += [p.shape for p in node.params.values() if isinstance(p, np.ndarray)]
    return _without_batch(np.broadcast_shapes(*arrays))


def _without_batch(sizes: Sizes) -> Sizes:
    if sizes[0] != 1:
        raise ValueError(f"a parameter has more axes than the population: {sizes}")
    return tuple(sizes[1:])


def _synapse(node: Synapse, inputs: list[Sizes], declared: Sizes) -> Sizes:
    _count(inputs, 1)
    weight = node.weight.shape
    if np.ndim(node.delay) and (node.op != "dense" or np.shape(node.delay) != weight):
        raise ValueError(f"delays {np.shape(node.delay)} for {node.op} weight {weight}")
    if not 0 <= node.delays[0] <= node.delays[-1] <= MAX_DELAY:
        raise ValueError(f"delays {node.delays[0]} .. {node.delays[-1]} outside 0 .. {MAX_DELAY} ticks")
    if node.bias is not None and node.bias.shape != weight[:1]:
        raise ValueError(f"bias {node.bias.shape} for weight {weight}")
    if node.op == "dense":
        if len(weight) != 2 or inputs[0][-1] != weight[1]:
            raise ValueError(f"weight {weight} for input {inputs[0]}")
        return (*inputs[0][:-1], weight[0])
    channels, height, width = inputs[0]
    if len(weight) != 4 or weight[1] * node.groups != channels or weight[0] % node.groups:
        raise ValueError(f"weight {weight} in {node.groups} groups for input {inputs[0]}")
    sizes = (s + 2 * p for s, p in zip((height, width), node.padding, strict=True))
    return (weight[0], *_positions(tuple(sizes), weight[2:], node.stride))


def _positions(sizes: Sizes, window: Sizes, stride: Sizes) -> Sizes:
    if min(*window, *stride) < 1 or any(s < w for s, w in zip(sizes, window, strict=True)):
        raise ValueError(f"window {window} and stride {stride} on {sizes}")
    return tuple((s - w) // step + 1 for s, w, step in zip(sizes, window, stride, strict=True))


def _product(node: Product, inputs: list[Sizes], declared: Sizes) -> Sizes:
    _count(inputs, 2)
    if node.shown is not None:
        _shown(node, node.einsum.sizes(*inputs))
    return node.einsum.shape(*inputs)


def _shown(node: Product, sizes: dict[str, int]) -> None:
    """Refuse terms that are left out by something else than two letters of one place, or where nothing is left."""
    letters, table = node.shown or ("", np.zeros(()))
    places = (node.einsum.left, node.einsum.right, node.einsum.out)
    known = len(letters) == len(set(letters)) == 2 and any(set(letters) <= set(place) for place in places)
    if not known or node.timing == "held" or node.einsum.repeats:
        raise ValueError(f"terms shown by {letters!r} of a {node.timing} product {node.equation}")
    if table.dtype != bool or table.shape != tuple(sizes[c] for c in letters):
        raise ValueError(
            f"a table {table.dtype} {table.shape} of the terms shown, for {letters!r} of {sizes}"
        )
    if not (table.any(axis=0).all() and table.any(axis=1).all()):
        raise ValueError(f"an index of {letters!r} has no term that is shown")


def _sum(node: Sum, inputs: list[Sizes], declared: Sizes) -> Sizes:
    if (node.signs and len(node.signs) != len(inputs)) or not inputs:
        raise ValueError(f"{len(node.signs)} signs for {len(inputs)} inputs")
    return np.broadcast_shapes(*inputs, declared)


def _reduce(node: Reduce, inputs: list[Sizes], declared: Sizes) -> Sizes:
    _count(inputs, 1)
    shape = inputs[0]
    if node.window is not None:
        padded = tuple(s + 2 * p for s, p in zip(shape[-2:], node.padding, strict=True))
        return (*shape[:-2], *_positions(padded, node.window, node.stride or node.window))
    if any(not 0 <= axis < len(shape) for axis in node.axes):
        raise ValueError(f"axes {node.axes} of {shape}")
    if node.keepdims:
        return tuple(1 if i in node.axes else s for i, s in enumerate(shape))
    return tuple(s for i, s in enumerate(shape) if i not in node.axes)


def _view(node: View, inputs: list[Sizes], declared: Sizes) -> Sizes:
    # One byte of memory stands for each input; only concat and pad allocate, and no more than the declared shape.
    if node.op == "pad" and prod(declared) < prod(inputs[0]) + sum(node.args[1:]):
        raise ValueError(f"padding {node.args} of {inputs[0]} to {declared}")
    arrays = [np.broadcast_to(np.zeros((), np.int8), (1, *shape)) for shape in inputs]
    return _without_batch(node.apply(arrays, lead=1).shape)


def _count(inputs: list[Sizes], wanted: int) -> None:
    if len(inputs) != wanted:
        raise ValueError(f"{len(inputs)} inputs instead of {wanted}")


RULES: dict[type[Node], Callable[..., Sizes]] = {
    Input: _given, Output: _same, Const: _const, Synapse: _synapse, Neuron: _neuron, Product: _product, Sum: _sum,
    Reduce: _reduce, Micro: _same, View: _view, Delay: _same,
}  # fmt: skip
