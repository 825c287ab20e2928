"""A synapse of which each reader takes some output channels becomes one synapse per reader (fused q, k, v).

Which channels a reader takes is computed on index arrays, so that any chain of reshape, permute, slice and select
between the synapse and its readers is understood.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod

import numpy as np

from ..array import Array
from ..ir.graph import Graph, free_name, prune
from ..ir.nodes import Node, Synapse, View
from ..ir.types import Shape, Value
from ._edit import Fresh, edit
from ._index import index_of, steps_for
from .drop_identity import view_nodes

CHAINED = ("reshape", "permute", "slice")


def split_synapse(graph: Graph) -> Graph:
    """A graph in which no reader of a synapse leaves channels unread; meaning unchanged."""
    for node in graph.of(Synapse):
        graph = _split(graph, node)
    return prune(graph)


def _split(graph: Graph, node: Synapse) -> Graph:
    """The graph with one synapse split, or as it was where the parts overlap or positions are left out."""
    paths = _paths(graph, node)
    if paths is None or node.groups != 1:
        return graph
    channels = _channel_of(graph.shape(node.name), node.op)
    sizes = graph.shape(node.name)
    indices = {end.name: index_of([(v.op, v.args) for v in path], sizes) for end, path in paths}
    parts = {end: tuple(np.unique(channels[index.ravel()])) for end, index in indices.items()}
    groups = sorted(set(parts.values()))
    every = len(node.weight)
    if all(len(g) == every for g in groups) or sum(map(len, groups)) != len(set().union(*groups)):
        return graph
    synapses = {g: _part(graph, node, g, i) for i, g in enumerate(groups)}
    # The parts stand behind the old synapse, which prune removes with the views that nobody reads any more.
    changed: dict[str, Fresh] = {node.name: [(node, graph.values[node.name]), *synapses.values()]}
    dropped: dict[str, str] = {}
    for end, index in indices.items():
        synapse, value = synapses[parts[end]]
        local = _renumbered(index, channels, parts[end], value.shape.sizes, node.op)
        steps = None if local is None else steps_for(local, value.shape.sizes)
        if steps is None:
            return graph
        dropped[end] = synapse.name
        if steps:
            taken = {new.name for fresh in changed.values() for new, _ in fresh}
            changed[end] = view_nodes(graph, graph.nodes[end], synapse.name, steps, value.shape, taken)
            dropped[end] = changed[end][-1][0].name
    return prune(edit(graph, changed, dropped))


def _paths(graph: Graph, node: Synapse) -> list[tuple[Node, list[View]]] | None:
    """Every view behind the synapse that anything else reads, with the views before it; None without views."""
    consumers = graph.consumers
    ends: list[tuple[Node, list[View]]] = []
    open_paths: list[list[View]] = [[]]
    while open_paths:
        path = open_paths.pop()
        last = path[-1] if path else node
        readers = [graph.nodes[c] for c in consumers[last.name]]
        views = [r for r in readers if isinstance(r, View) and r.op in CHAINED]
        if len(views) < len(readers):
            if not path:
                return None
            ends.append((last, path))
        open_paths += [[*path, view] for view in views]
    return ends or None


def _channel_of(sizes: tuple[int, ...], op: str) -> Array:
    """The output channel of every flat element."""
    flat = np.arange(prod(sizes))
    return flat % sizes[-1] if op == "dense" else flat // prod(sizes[1:])


def _part(graph: Graph, node: Synapse, channels: tuple[int, ...], number: int) -> tuple[Synapse, Value]:
    """The synapse of some output channels."""
    rows = list(channels)
    shape = graph.values[node.name].shape
    sizes = (*shape.sizes[:-1], len(rows)) if node.op == "dense" else (len(rows), *shape.sizes[1:])
    bias = None if node.bias is None else node.bias[rows]
    delay = node.delay if np.ndim(node.delay) == 0 else np.asarray(node.delay)[rows]
    name = free_name(f"{node.name}.{number}", graph.nodes)
    part = replace(node, name=name, weight=node.weight[rows], bias=bias, delay=delay)
    return part, Value(Shape(shape.roles, sizes))


def _renumbered(
    index: Array, channels: Array, part: tuple[int, ...], sizes: tuple[int, ...], op: str
) -> Array | None:
    """Element numbers of the part for element numbers of the whole; None unless every one is read once."""
    rank = np.searchsorted(np.array(part), channels[index])
    if op == "dense":
        position = index // (channels.max() + 1)
        local = position * len(part) + rank
    else:
        local = rank * prod(sizes[1:]) + index % prod(sizes[1:])
    return local if len(np.unique(local)) == prod(sizes) == local.size else None
