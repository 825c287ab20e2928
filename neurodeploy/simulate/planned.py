"""Which segments compute a graph: compiled ones where there is machine code, else every node by its own step."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..ir.graph import Graph
from ..ir.nodes import Input, Node
from . import loops, segments
from .run import Step
from .segments import Entry, Loop, Segment

Plans = Mapping[type[Node], Callable[..., Step]]


def plan(graph: Graph, plans: Plans, constant: frozenset[str], compiled: bool) -> list[Segment]:
    """The graph's segments, in an order in which everything that one reads was computed before it."""
    if compiled:
        from .compiled import fused, single  # numba takes its time

        layers: Mapping[str, Segment] = fused(graph, constant)
    else:
        layers, single = {}, lambda node, graph, constant, step: None
    covered = {node.name for layer in layers.values() for node in layer.nodes}
    found: list[Segment] = []
    for unit in loops.units(graph):
        node = unit.nodes[0]
        if unit.loop:
            found.append(Loop(unit, graph, plans))
        elif node.name in layers:
            found.append(layers[node.name])
        elif isinstance(node, Input):
            found.append(Entry(node, graph))
        elif node.name not in covered:
            step = lambda node=node: plans[type(node)](node, graph)
            found.append(single(node, graph, constant, step) or segments.alone(node, graph, plans))
    return found
