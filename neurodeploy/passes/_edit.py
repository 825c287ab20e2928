"""Editing a frozen graph: replace nodes, drop nodes in favour of others, and walk along views."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from ..array import Array, wide
from ..ir.graph import Graph, free_name
from ..ir.nodes import Const, Node, Sum, View, ViewOp
from ..ir.types import Origin, Value

Rule = Callable[[Graph, Node], Graph | None]  # the graph with one node rewritten, or None
Fresh = Sequence[tuple[Node, Value]]  # nodes with their values


def exhausted(graph: Graph, *rules: Rule, tidy: Callable[[Graph], Graph] = lambda graph: graph) -> Graph:
    """The graph after one rule or the other was applied, and it was tidied, as often as any applies."""
    while made := next((g for node in graph for rule in rules if (g := rule(graph, node))), None):
        graph = tidy(made)
    return graph


def view(graph: Graph, source: str, like: Node, op: ViewOp, args: tuple[int, ...], made: Fresh = ()) -> View:
    """A view of ``source`` with the origin of ``like`` and a name that neither graph nor ``made`` has."""
    name = free_name(f"{source}.{op}", graph.nodes, [node.name for node, _ in made])
    return View(name=name, inputs=(source,), origin=like.origin, op=op, args=args)


def edit(graph: Graph, changed: Mapping[str, Fresh], dropped: Mapping[str, str]) -> Graph:
    """A graph with nodes replaced by others and with the readers of dropped nodes reading something else.

    ``changed``: name -> nodes with their values, in order, that stand in its place (the last one usually keeps the
    name). ``dropped``: name -> name to read instead (of an earlier node).
    """
    nodes: dict[str, Node] = {}
    values: dict[str, Value] = {}

    def target(name: str) -> str:
        while name in dropped:
            name = dropped[name]
        return name

    for node in graph:
        if node.name in dropped and node.name not in changed:
            continue
        for new, value in changed.get(node.name, ((node, graph.values[node.name]),)):
            nodes[new.name] = replace(new, inputs=tuple(target(i) for i in new.inputs))
            values[new.name] = value
    return Graph(nodes, values, graph.header)


def both_origins(first: Node, second: Node) -> tuple[Origin, ...]:
    """Origins of a fused node, each once."""
    return tuple(dict.fromkeys(first.origin + second.origin))


def constant_added(graph: Graph, node: Node) -> tuple[Node, Array] | None:
    """Stream and signed constant of a sum of just these two, the stream with sign plus and of the sum's own shape."""
    if not isinstance(node, Sum) or len(node.inputs) != 2:
        return None
    for stream, constant in ((0, 1), (1, 0)):
        source, other = graph.nodes[node.inputs[stream]], graph.nodes[node.inputs[constant]]
        whole = graph.shape(source.name) == graph.shape(node.name) and node.every_sign[stream] == 1
        if isinstance(other, Const) and not isinstance(source, Const) and whole:
            return source, wide(other.value) * node.every_sign[constant]
    return None


def up_through_views(graph: Graph, name: str, ops: Sequence[str]) -> tuple[list[View], Node]:
    """From ``name`` upwards: views of the given kinds with a single reader each, and the first other node.

    That one may have any number of readers.
    """
    passes = lambda n: isinstance(n, View) and n.op in ops and len(graph.consumers[n.name]) == 1
    *path, end = graph.upwards(name, passes)
    return [view for view in path if isinstance(view, View)], end
