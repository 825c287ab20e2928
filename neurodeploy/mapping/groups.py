"""Population groups: nodes of a balanced graph that live on the same indices.

Cutting every edge into a Synapse, Product, Reduce or Delay leaves components whose members at one index are one
hardware neuron: its state words add. The input, with Views that read nothing else, is a group on the host. Constants
belong to no group; a core keeps a copy of what it uses.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..ir.graph import Graph
from ..ir.nodes import Node, Product, Synapse
from ..passes.balance import CROSSING, Turns, constants, depths, host, turns

#: ``Group.layout`` of the group that lives on no core
HOST = "host"


@dataclass(frozen=True, eq=False)
class Population:
    """A group before it is cut: its ``nodes`` and crossing ``entries`` in topological order.

    ``name`` is that of its first Synapse or Product, else of its first entry, else of its first node; ``turns`` how
    many tokens one of its ``copies`` takes one after the other; ``segment`` as in :class:`..passes._turns.Turns`.
    """

    name: str
    nodes: tuple[Node, ...]
    entries: tuple[Node, ...]
    depth: int
    on_host: bool = False
    turns: int = 1
    copies: int = 0
    segment: int | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the nodes."""
        return tuple(n.name for n in self.nodes)


def populations(graph: Graph) -> list[Population]:
    """All groups of a balanced graph in topological order of their first nodes; the host's comes first."""
    still, outside, level = constants(graph), host(graph), depths(graph)
    parent = {name: name for name in graph.nodes if name not in still}
    for node in graph:
        if node.name in parent and not isinstance(node, CROSSING):
            for source in node.inputs:
                if source in parent and (source in outside) == (node.name in outside):
                    ends = _root(parent, node.name), _root(parent, source)
                    parent[max(ends)] = min(ends)
    members: dict[str, list[Node]] = {}
    for name in parent:
        members.setdefault(_root(parent, name), []).append(graph.nodes[name])
    taken = turns(graph)
    found = [_population(nodes, level, outside, taken) for nodes in members.values()]
    return sorted(found, key=lambda p: not p.on_host)


def owners(groups: Iterable[Population]) -> dict[str, Population]:
    """The group of each node."""
    return {name: group for group in groups for name in group.names}


def _population(
    nodes: list[Node], level: dict[str, int], outside: frozenset[str], taken: Turns
) -> Population:
    entries = tuple(n for n in nodes if isinstance(n, CROSSING))
    weighted = [n for n in nodes if isinstance(n, (Synapse, Product))]
    name = next(n.name for n in (*weighted, *entries, *nodes))
    depth = max(level[n.name] for n in nodes)
    each = 1 + max(taken.last(n.name) for n in nodes)
    segment = next((taken.segment[n.name] for n in nodes if n.name in taken.segment), None)
    copies = 0 if segment is None else taken.of_segment(segment)
    return Population(name, tuple(nodes), entries, depth, nodes[0].name in outside, each, copies, segment)


def _root(parent: dict[str, str], name: str) -> str:
    while parent[name] != name:
        parent[name] = parent[parent[name]]
        name = parent[name]
    return name
