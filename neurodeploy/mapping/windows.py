"""Which elements that a tile reads lie under its windows, by what windows mean."""

from __future__ import annotations

from math import prod

import numpy as np

from ..array import Array
from ..ir import interp
from ..ir.graph import Graph
from ..ir.nodes import Node, Reduce, Synapse
from .reads import Read
from .regions import Region


def under(graph: Graph, node: Node, out: Region, read: Read) -> Array:
    """The elements of a read that lie under a window: of a tile that is no product, some of its hull do not."""
    indices, shape = read.region.indices, graph.shape(read.source)
    if out.axes is None and isinstance(node, Reduce) and node.window is not None:
        found: Array = np.intersect1d(indices, _windows(node, shape)[out.indices])
        return found
    if out.axes is None and isinstance(node, Synapse) and node.op == "conv":
        kernel = node.weight.shape[2], node.weight.shape[3]
        plane = Reduce(name="", inputs=(), op="sum", window=kernel, stride=node.stride, padding=node.padding)
        touched = _windows(plane, shape[1:])[out.positions((1, 2))]
        under: Array = indices[np.isin(indices % prod(shape[1:]), touched)]
        return under
    return indices


def _windows(node: Reduce, shape: tuple[int, ...]) -> Array:
    """(outputs, elements of a window): the places that each window of a value covers, -1 for padding."""
    places = interp.windows(np.arange(1, prod(shape) + 1).reshape(1, *shape), node)
    found: Array = places.reshape(-1, prod(node.window or ())) - 1
    return found
