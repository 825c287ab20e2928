"""What the rules of single NIR nodes have in common: nodes behind one stream, with their values."""

from __future__ import annotations

import numpy as np

from ...array import Array
from ...ir.nodes import Node
from ...ir.types import Shape, Value
from .file import Item

Sizes = tuple[int, ...]
#: nodes in order; the first reads the stream, the others nodes of the same rule
Made = list[tuple[Node, Value]]

STREAM = "?"


def value(sizes: Sizes) -> Value:
    """A value with the roles that its number of axes suggests."""
    roles = {1: "C", 2: "CX", 3: "CYX"}.get(len(sizes)) or "C" + "G" * (len(sizes) - 1)
    return Value(Shape(tuple(roles), sizes))


def step(node: Node, sizes: Sizes) -> tuple[Node, Value]:
    """A node with its value."""
    return node, value(sizes)


def spread(item: Item, key: str, array: Array, sizes: Sizes) -> Array | None:
    """A parameter as one number, or as an array of the population's shape; None, and a problem, if it is neither."""
    while array.ndim > len(sizes) and array.shape[0] == 1:
        array = array[0]
    if array.size and bool((array == array.flat[0]).all()):
        if array.size == 1 or array.shape == sizes:
            return np.asarray(array.flat[0])
    if (
        array.size == 0
        or array.ndim != len(sizes)
        or any(a not in (1, s) for a, s in zip(array.shape, sizes, strict=True))
    ):
        item.problem("ND126", "a parameter has another shape than its population", key, array.shape, sizes)
        return None
    return np.ascontiguousarray(np.broadcast_to(array, sizes))
