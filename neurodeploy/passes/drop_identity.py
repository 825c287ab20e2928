"""Chains of reshape and permute become the shortest chain of the same meaning; equal views are computed once."""

from __future__ import annotations

from collections.abc import Container, Hashable
from functools import lru_cache

from ..ir.graph import Graph, free_name, prune
from ..ir.nodes import Node, View
from ..ir.roles import reshaped_roles
from ..ir.types import Shape, Value
from ._edit import edit
from ._index import Step, index_of, steps_for

CHAINED = ("reshape", "permute")


def drop_identity(graph: Graph) -> Graph:
    """A graph without views that do nothing or repeat another; meaning unchanged."""
    while True:
        graph = before = prune(_shared(graph))
        for name in list(graph.nodes):
            graph = _shortened(graph, graph.nodes[name]) if name in graph.nodes else graph
        if graph is before:
            return graph


def _shared(graph: Graph) -> Graph:
    """Views with the same input, operator and arguments are one node."""
    first: dict[Hashable, str] = {}
    dropped: dict[str, str] = {}
    for node in graph.of(View):
        inputs = tuple(dropped.get(i, i) for i in node.inputs)
        kept = first.setdefault((inputs, node.op, node.args), node.name)
        if kept != node.name:
            dropped[node.name] = kept
    return edit(graph, {}, dropped) if dropped else graph


def _shortened(graph: Graph, node: Node) -> Graph:
    """The graph with the chain that ends in ``node`` replaced by a shorter one, if there is one."""
    chain = chain_to(graph, node)
    if not chain:
        return graph
    source = chain[0].inputs[0]
    steps = _shortest(tuple((n.op, n.args) for n in chain), graph.shape(source))
    if steps is None or len(steps) > len(chain) or steps == [(n.op, n.args) for n in chain]:
        return graph
    if len(steps) == len(chain) and any(len(graph.consumers[n.name]) > 1 for n in chain[:-1]):
        return graph  # another form of the same length would not be shared with the other readers
    if not steps:
        return edit(graph, {}, {node.name: source})
    made = view_nodes(graph, node, source, steps)
    return edit(graph, {node.name: made}, {node.name: made[-1][0].name})


@lru_cache(maxsize=4096)
def _shortest(chain: tuple[Step, ...], sizes: tuple[int, ...]) -> list[Step] | None:
    """The shortest chain of the same meaning; the same few occur in every block of a network."""
    return steps_for(index_of(chain, sizes), sizes)


def chain_to(graph: Graph, node: Node) -> list[View]:
    """The reshapes and permutes that end in ``node``, first to last (empty if it is none)."""
    path = graph.upwards(node.name, lambda n: isinstance(n, View) and n.op in CHAINED)
    return [view for view in reversed(path) if isinstance(view, View) and view.op in CHAINED]


def view_nodes(
    graph: Graph,
    node: Node,
    source: str,
    steps: list[Step],
    shape: Shape | None = None,
    taken: Container[str] = (),
) -> list[tuple[Node, Value]]:
    """Views with the origin of ``node`` and names after ``source`` (of ``shape``) that carry it to node's value.

    No name is one of the graph's, nor of those ``taken`` by nodes that it will get.
    """
    shape = shape or graph.values[source].shape
    made: list[tuple[Node, Value]] = []
    previous = source
    for op, args in steps:
        name = free_name(f"{source}.{op}", graph.nodes, [n.name for n, _ in made], taken)
        shape = shape.permuted(args) if op == "permute" else Shape(reshaped_roles(shape, args), args)
        view = View(name=name, inputs=(previous,), origin=node.origin, op=op, args=args)
        made.append((view, Value(shape)))
        previous = name
    made[-1] = (made[-1][0], graph.values[node.name])
    return made
