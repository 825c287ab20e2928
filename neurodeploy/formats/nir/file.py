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
from .._hdf5.read import Tree

MAX_NODES = 4096
MOST_SHOWN = 12


@dataclass
class Item:
    """One node of the file: ``place`` its group, ``name`` what it is called here, ``kind`` its NIR type."""

    tree: Tree
    place: str
    name: str
    kind: str
    #: Pass: the ends of a subgraph, which do nothing
    problems: list[Problem] = field(default_factory=list)

    def problem(
        self, code: str, cause: str, key: str = "", found: Any = "", limit: Any = "", *fixes: str
    ) -> None:
        """Note what is wrong with the node or one of its fields."""
        where = f"{self.tree.path.name} /{self.place}" + (f"/{key}" if key else "")
        self.problems.append(
            Problem(code, cause, f"{where} ({self.kind})", str(found)[:200], str(limit)[:200], fixes)
        )

    def has(self, key: str) -> bool:
        """Whether the field is in the file."""
        return f"{self.place}/{key}" in self.tree

    def text(self, key: str) -> str | None:
        """The field, if it is a text."""
        return self.tree.texts.get(f"{self.place}/{key}")

    def numbers(self, key: str, default: float | None = None) -> Array | None:
        """The field as finite floats; None, and a problem, where there are none."""
        place = f"{self.place}/{key}"
        found = self.tree.arrays.get(place)
        if found is None:
            if default is not None and place not in self.tree:
                return np.asarray(default)
            if place not in self.tree.refused:
                missing = place not in self.tree
                self.problem(
                    "ND122" if missing else "ND124",
                    "a parameter is missing" if missing else "a parameter that is no number",
                    key, "nothing" if missing else "text or a group", "numbers",
                )  # fmt: skip
            return None
        with np.errstate(all="ignore"):  # a signalling NaN of the file; what comes out is checked
            found = found.astype(np.float64)
        if not np.isfinite(found).all():
            wrong = found[~np.isfinite(found)]
            self.problem(
                "ND124", "a parameter is not finite", key, f"{wrong.size} values, such as {wrong.flat[0]}"
            )
            return None
        return found

    def whole(
        self, key: str, least: int, most: int, count: int, default: int | None = None
    ) -> tuple[int, ...] | None:
        """The field as ``count`` whole numbers within bounds; one number stands for all."""
        found = self.numbers(key, default)
        if found is None:
            return None
        flat = found.ravel()
        if flat.size not in (1, count):
            self.problem("ND126", "a parameter has another length", key, flat.size, count)
            return None
        if (flat != np.rint(flat)).any() or flat.min() < least or flat.max() > most:
            self.problem(
                "ND124", "a parameter outside what it may be", key, flat.tolist(), f"whole, {least} .. {most}"
            )
            return None
        return tuple(int(v) for v in np.broadcast_to(flat, (count,)))


@dataclass
class Network:
    """All nodes by identity (their path in the file), and the edges between them."""

    items: dict[str, Item] = field(default_factory=dict)
    edges: list[tuple[str, str]] = field(default_factory=list)

    def sources(self, key: str) -> list[str]:
        """Nodes that an item reads, in a fixed order."""
        return sorted({a for a, b in self.edges if b == key})

    def of(self, kind: str) -> list[str]:
        """Items of one kind."""
        return [key for key, item in self.items.items() if item.kind == kind]


def flatten(tree: Tree) -> Network:
    """The network of a file; problems go into the tree or, of single nodes, into their items."""
    network = Network()
    if "node" not in tree.groups:
        tree.problem(
            "ND121", "no NIR file: it has no group 'node'", "node", ", ".join(tree.children(""))[:80]
        )
        return network
    if "node/type" in tree.refused:
        return network  # that is said already
    kind = tree.texts.get("node/type")
    if kind != "NIRGraph":
        tree.problem("ND125", "the root is not a graph of nodes", "node", kind or "no type", "NIRGraph")
        return network
    names: set[str] = set()
    _graph(tree, "node", "", network, names)
    return network


def _graph(
    tree: Tree, place: str, prefix: str, network: Network, names: set[str]
) -> tuple[list[str], list[str]]:
    """Add the nodes of one graph; (its Inputs, its Outputs)."""
    ends: dict[str, list[str]] = {"Input": [], "Output": []}
    #: name in this graph -> (the item that edges to it reach, the item that edges from it leave)
    doors: dict[str, tuple[str, str]] = {}
    if f"{place}/nodes" not in tree.groups:
        if f"{place}/nodes" not in tree.refused:
            tree.problem("ND122", "a graph without nodes", f"{place}/nodes", "nothing", "a group")
        return [], []
    for name in tree.children(f"{place}/nodes"):
        here = f"{place}/nodes/{name}"
        if here in tree.refused or len(network.items) >= MAX_NODES:
            if len(network.items) >= MAX_NODES:
                tree.problem("ND123", "too many nodes", here, f"more than {MAX_NODES}")
                return [], []
            continue
        kind = tree.texts.get(f"{here}/type")
        if kind is None:
            if f"{here}/type" not in tree.refused:
                tree.problem("ND122", "a node without a type", f"{here}/type", "nothing", "a text")
            continue
        if kind == "NIRGraph":
            inputs, outputs = _graph(tree, here, f"{prefix}{name}.", network, names)
            wrong = [("Input", inputs), ("Output", outputs)]
            for what, found in wrong:
                if len(found) > 1:
                    tree.problem(
                        "ND125", f"a subgraph with several nodes {what}: edges do not say which they mean", here,
                        len(found), 1,
                    )  # fmt: skip
                if not found and not tree.problems:
                    tree.problem("ND125", f"a subgraph without a node {what}", here, 0, 1)
            if inputs and outputs:
                doors[name] = inputs[0], outputs[0]
                for key in (*inputs, *outputs):
                    network.items[key].kind = "Pass"
            continue
        item = Item(tree, here, free_name(f"{prefix}{name}", names), kind)
        names.add(item.name)
        network.items[here] = item
        doors[name] = here, here
        if kind in ends:
            ends[kind].append(here)
    _edges(tree, place, doors, network)
    return ends["Input"], ends["Output"]


def _edges(tree: Tree, place: str, doors: dict[str, tuple[str, str]], network: Network) -> None:
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
