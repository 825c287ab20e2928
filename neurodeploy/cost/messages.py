"""Which elements of a network travel: those that a population elsewhere reads, whoever hosts it. No mapping is needed.

A message is a non-zero value of such an element in one tick, however many read it. What reads from elsewhere are the
crossings (Synapse, Product, Reduce, Delay), the read-out, and whatever reads the input or what the host looks up, which
live on the host. Views are looked through: what they show is sent by the node behind them.
"""

from __future__ import annotations

import numpy as np

from ..array import Array
from ..ir.graph import Graph
from ..ir.nodes import Node, Output, Product, Reduce, Synapse, View
from ..mapping.reads import fed
from ..passes.balance import constants, crosses, host


def sent(graph: Graph) -> dict[str, Array]:
    """Node -> sorted flat indices of its elements that travel, for every node of which one does."""
    known = _elements(graph)
    own = {n.name: known[n.name].ravel() for n in graph if not isinstance(n, View)}
    marked = np.zeros(1 + sum(elements.size for elements in own.values()), dtype=bool)
    still, away = constants(graph), host(graph)
    outside = np.concatenate([own[name] for name in own if name in away])
    for node in graph:
        silent = isinstance(node, View) or node.name in still or node.name in away
        for operand, name in enumerate(node.inputs if not silent else ()):
            read = known[name]
            if isinstance(node, Product) and node.shown is not None:
                read = read.ravel()[fed(graph, node, operand, np.arange(read.size))]
            if crosses(node) or isinstance(node, Output):
                marked[_under(node, read)] = True
            else:
                marked[np.intersect1d(read, outside)] = True
    found = {name: np.flatnonzero(marked[elements]) for name, elements in own.items() if name not in still}
    return {name: indices for name, indices in found.items() if indices.size}


def origins(graph: Graph) -> tuple[dict[str, Array], Array]:
    """Value -> for each element the number of the element that is sent, and by that number the place of its node.

    Views are looked through, to the node behind them; padding, and what a View shows of a constant, is its own.
    """
    still, nodes = constants(graph), list[Array]()
    known: dict[str, Array] = {}
    free = 0
    for place, node in enumerate(graph):
        size = graph.values[node.name].shape.size
        own = free + np.arange(size)
        if isinstance(node, View) and node.name not in still:
            args = [known[i] + 1 if i not in still else 0 * known[i] for i in node.inputs]
            shown = np.ravel(node.apply(args)) - 1
            known[node.name] = np.where(shown < 0, own, shown).reshape(graph.shape(node.name))
        elif isinstance(node, Output):
            known[node.name] = known[node.inputs[0]]  # a plain vector until the host adds it up
        else:
            known[node.name] = own.reshape(graph.shape(node.name))
        nodes.append(np.full(size, place))
        free += size
    return {name: elements.ravel() for name, elements in known.items()}, np.concatenate(nodes)


def _elements(graph: Graph) -> dict[str, Array]:
    """Value -> the numbers of the elements it shows, its own or those behind a View; 0 is padding."""
    known: dict[str, Array] = {}
    free = 1
    for node in graph:
        if isinstance(node, View):
            known[node.name] = node.apply([known[name] for name in node.inputs])
        else:
            shape = graph.shape(node.name)
            known[node.name] = free + np.arange(np.prod(shape, dtype=np.int64)).reshape(shape)
            free += known[node.name].size
    return known


def _under(node: Node, read: Array) -> Array:
    """The part of a value that a node reads: a stride longer than its window steps over some."""
    match node:
        case Synapse(op="conv", weight=weight, stride=stride, padding=padding):
            window = weight.shape[2:]
        case Reduce(window=(_, _) as window, padding=padding):
            stride = node.stride or window
        case _:
            return read
    rows, columns = (_touched(*place) for place in zip(read.shape[-2:], window, stride, padding, strict=True))
    return read[..., rows[:, None], columns]


def _touched(size: int, window: int, stride: int, padding: int) -> Array:
    """Places along one axis that lie under a window."""
    starts = np.arange(0, size + 2 * padding - window + 1, stride) - padding
    places = np.unique(starts[:, None] + np.arange(window))
    return places[(places >= 0) & (places < size)]
