"""A NIR file as plain items and edges: subgraphs flattened, fields fetched with every problem noted.

NIR (nir 1.0.8) writes ``/version`` and ``/node``: a group with ``type``, ``nodes`` (one group each) and ``edges``,
pairs of names. The package itself is not asked to read: it trusts what it finds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...array import Array
from ...errors import Problem
from ...ir.graph import free_name
from ...ir.nodes import Node
from ...ir.types import Shape, Value
from .._hdf5.tree import Tree

Sizes = tuple[int, ...]
#: nodes in order; the first reads the stream, the others nodes of the same rule
Made = list[tuple[Node, Value]]

STREAM = "?"
#: where edges of a graph lead, by name: (item that edges to it reach, item that edges from it leave)
Doors = dict[str, tuple[str, str]]
GRAPH, ENDS = "NIRGraph", ("Input", "Output")
MAX_NODES = 4096
MOST_SHOWN = 12


@dataclass
class Item:
    """One node of the file: ``place`` its group, ``name`` what it is called here, ``kind`` its NIR type."""

    tree: Tree
    place: str
    name: str
    kind: str
    problems: list[Problem] = field(default_factory=list)

    def problem(
        self, code: str, cause: str, key: str = "", found: Any = "", limit: Any = "", *fixes: str
    ) -> None:
        """Note what is wrong with the node or one of its fields."""
        where = f"{self.tree.path.name} /{self.place}" + (f"/{key}" if key else "") + f" ({self.kind})"
        self.problems.append(Problem(code, cause, where, str(found)[:200], str(limit)[:200], fixes))

    def has(self, key: str) -> bool:
        """Whether the field is in the file."""
        return f"{self.place}/{key}" in self.tree

    def text(self, key: str) -> str | None:
        """The field, if it is a text."""
        return self.tree.texts.get(f"{self.place}/{key}")

    def numbers(self, key: str, default: float | None = None) -> Array | None:
        """The field as finite floats; None, and a problem, where there are none."""
        place = f"{self.place}/{key}"
        if place not in self.tree.arrays:
            if place not in self.tree:
                if default is not None:
                    return np.asarray(default)
                self.problem("ND122", "a parameter is missing", key, "nothing", "numbers")
            elif place not in self.tree.refused:
                self.problem("ND124", "a parameter that is no number", key, "text or a group", "numbers")
            return None
        with np.errstate(all="ignore"):  # a signalling NaN of the file; what comes out is checked
            found = self.tree.arrays[place].astype(np.float64)
        wrong = found[~np.isfinite(found)]
        if wrong.size:
            shown = f"{wrong.size} values, such as {wrong.flat[0]}"
            self.problem("ND124", "a parameter is not finite", key, shown)
            return None
        return found

    def spread(self, key: str, array: Array, sizes: Sizes) -> Array | None:
        """A parameter as one number, or as an array of the population's shape; None, and a problem, if neither."""
        while array.ndim > len(sizes) and array.shape[0] == 1:
            array = array[0]
        if array.size and (array == array.flat[0]).all() and (array.size == 1 or array.shape == sizes):
            return np.asarray(array.flat[0])
        alike = array.size and array.ndim == len(sizes)
        if not alike or any(a not in (1, s) for a, s in zip(array.shape, sizes, strict=True)):
            cause = "a parameter has another shape than its population"
            self.problem("ND126", cause, key, array.shape, sizes)
            return None
        return np.ascontiguousarray(np.broadcast_to(array, sizes))

    def whole(
        self, key: str, least: int, most: int, count: int = 0, default: int | None = None
    ) -> Sizes | None:
        """The field as ``count`` whole numbers within bounds, or as any number of them; one stands for all."""
        found = self.numbers(key, default)
        if found is None:
            return None
        flat = found.ravel()
        count = count or max(flat.size, 1)
        if flat.size not in (1, count):
            self.problem("ND126", "a parameter has another length", key, flat.size, count)
            return None
        if (flat != np.rint(flat)).any() or flat.min() < least or flat.max() > most:
            cause, limit = "a parameter outside what it may be", f"whole, {least} .. {most}"
            self.problem("ND124", cause, key, flat.tolist(), limit)
            return None
        return tuple(int(v) for v in np.broadcast_to(flat, (count,)))


@dataclass
class Network:
    """All nodes by identity (their path in the file), and the edges between them.

    The ends of a subgraph do nothing any more: they are of kind ``Pass``.
    """

    items: dict[str, Item] = field(default_factory=dict)
    edges: list[tuple[str, str]] = field(default_factory=list)
    names: set[str] = field(default_factory=set)

    def sources(self, key: str) -> list[str]:
        """Nodes that an item reads, in a fixed order."""
        return sorted({a for a, b in self.edges if b == key})

    def of(self, kind: str) -> list[str]:
        """Items of one kind."""
        return [key for key, item in self.items.items() if item.kind == kind]

    def drop(self, key: str) -> None:
        """Forget an item and its edges."""
        del self.items[key]
        self.edges = [edge for edge in self.edges if key not in edge]


def value(sizes: Sizes) -> Value:
    """A value with the roles that its number of axes suggests."""
    roles = {1: "C", 2: "CX", 3: "CYX"}.get(len(sizes)) or "C" + "G" * (len(sizes) - 1)
    return Value(Shape(tuple(roles), sizes))


def step(node: Node, sizes: Sizes) -> tuple[Node, Value]:
    """A node with its value."""
    return node, value(sizes)


def flatten(tree: Tree) -> Network:
    """The network of a file; problems go into the tree or, of single nodes, into their items."""
    network = Network()
    if "node" not in tree.groups:
        found = ", ".join(tree.children(""))[:80]
        tree.problem("ND121", "no NIR file: it has no group 'node'", "node", found)
        return network
    kind = tree.texts.get("node/type")
    if kind == GRAPH:
        _graph(tree, "node", "", network)
    elif "node/type" not in tree.refused:  # otherwise that is said already
        tree.problem("ND125", "the root is not a graph of nodes", "node", kind or "no type", GRAPH)
    return network


def _graph(tree: Tree, place: str, prefix: str, network: Network) -> Doors:
    """Add the nodes and edges of one graph."""
    doors: Doors = {}
    if f"{place}/nodes" not in tree.groups:
        if f"{place}/nodes" not in tree.refused:
            tree.problem("ND122", "a graph without nodes", f"{place}/nodes", "nothing", "a group")
        return doors
    for name in tree.children(f"{place}/nodes"):
        here = f"{place}/nodes/{name}"
        if len(network.items) >= MAX_NODES:
            tree.problem("ND123", "too many nodes", here, f"more than {MAX_NODES}")
            return {}
        kind = tree.texts.get(f"{here}/type")
        if kind == GRAPH:
            inner = _graph(tree, here, f"{prefix}{name}.", network)
            ends = _ends(tree, here, inner, network)
            if ends is not None:
                doors[name] = ends
        elif kind is not None:
            item = Item(tree, here, free_name(f"{prefix}{name}", network.names), kind)
            network.names.add(item.name)
            network.items[here] = item
            doors[name] = here, here
        elif not tree.refused & {here, f"{here}/type"}:
            tree.problem("ND122", "a node without a type", f"{here}/type", "nothing", "a text")
    _edges(tree, place, doors, network)
    return doors


def _ends(tree: Tree, place: str, inner: Doors, network: Network) -> tuple[str, str] | None:
    """Where edges enter and leave a subgraph; its ends then pass on. Problems where several could be meant."""
    found = {end: [a for a, b in inner.values() if a == b and network.items[a].kind == end] for end in ENDS}
    for what, keys in found.items():
        if len(keys) > 1:
            cause = f"a subgraph with several nodes {what}: edges do not say which they mean"
            tree.problem("ND125", cause, place, len(keys), 1)
        if not keys and not tree.problems:
            tree.problem("ND125", f"a subgraph without a node {what}", place, 0, 1)
    inputs, outputs = found.values()
    if not inputs or not outputs:
        return None
    for key in (*inputs, *outputs):
        network.items[key].kind = "Pass"
    return inputs[0], outputs[0]


def _edges(tree: Tree, place: str, doors: Doors, network: Network) -> None:
    """Add the edges of one graph; notes those that lead nowhere or stand twice."""
    where = f"{place}/edges"
    pairs = tree.lists.get(where)
    if pairs is None:
        empty = tree.arrays.get(where)
        if (empty is None or empty.size) and where not in tree.refused:
            tree.problem("ND122", "a graph without a list of edges", where, "nothing", "pairs of names")
        return
    if pairs.ndim != 2 or pairs.shape[1] != 2:
        tree.problem("ND126", "edges are pairs of names", where, pairs.shape, "(edges, 2)")
        return
    seen: set[tuple[str, str]] = set()
    known = ", ".join(sorted(doors)[:MOST_SHOWN]) + (", ..." if len(doors) > MOST_SHOWN else "")
    nodes = set(tree.children(f"{place}/nodes"))
    for source, target in pairs.tolist():
        if (source, target) in seen:
            tree.problem("ND126", "an edge stands twice", where, f"{source} -> {target}", "once")
        seen.add((source, target))
        for end in (source, target):
            if end not in nodes:
                tree.problem("ND126", "an edge to or from no node", where, f"{source} -> {target}", known)
                break
        if source in doors and target in doors:
            network.edges.append((doors[source][1], doors[target][0]))
