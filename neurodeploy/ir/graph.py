"""The graph: frozen nodes in topological order, one value per node, and a header. Editing yields a new graph."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from functools import cached_property
from types import MappingProxyType
from typing import Any, TypeVar

import numpy as np

from ..errors import GraphError, Problem
from .nodes import Const, Input, Neuron, Node, Output, Synapse
from .types import Value

Kind = TypeVar("Kind", bound=Node)
Passes = Callable[[Node], bool]  # whether a walk looks through a node to what lies behind it


#: places for what is kept of tokens that take turns
STORES = (1, 2)


@dataclass(frozen=True)
class Header:
    """Facts about the whole graph: one tick is described by the nodes, ``timesteps`` ticks make an inference.

    ``copies``: of the layers that tokens pass through one after the other, by segment (:mod:`..passes._turns`), the
    last for all further ones; none: each token has its own neurons. ``stores``: places for what is kept of these
    tokens, which the samples of a pipeline use in turn.
    """

    name: str = "network"
    level: str = "source"
    timesteps: int = 1
    method: str = ""
    copies: tuple[int, ...] = ()
    stores: int = 1
    notes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Graph:
    """Nodes by name in topological order, the value of each, and the header."""

    nodes: Mapping[str, Node]
    values: Mapping[str, Value]
    header: Header = field(default_factory=Header)

    def __post_init__(self) -> None:
        object.__setattr__(self, "nodes", MappingProxyType(dict(self.nodes)))
        object.__setattr__(self, "values", MappingProxyType(dict(self.values)))
        problems = list(_structure(self.nodes, self.values))
        if problems:
            raise GraphError(problems)

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes.values())

    def of(self, *kinds: type[Kind]) -> list[Kind]:
        """All nodes of the given kinds, in topological order."""
        return [n for n in self if isinstance(n, kinds)]

    @cached_property
    def consumers(self) -> Mapping[str, list[str]]:
        """Names of the nodes that read each value, in topological order."""
        table: dict[str, list[str]] = {name: [] for name in self.nodes}
        for node in self:
            for source in dict.fromkeys(node.inputs):
                table[source].append(node.name)
        return table

    def upwards(self, name: str, passes: Passes) -> list[Node]:
        """The node of a name and those before it, by first inputs; the last one is the first that does not pass."""
        path = [self.nodes[name]]
        while passes(path[-1]):
            path.append(self.nodes[path[-1].inputs[0]])
        return path

    def readers(self, name: str, passes: Passes) -> list[Node]:
        """What reads a value, once per operand; in the place of nodes that pass, what reads those."""
        found: list[Node] = []
        for reader in (self.nodes[consumer] for consumer in self.consumers[name]):
            behind = passes(reader)
            found += self.readers(reader.name, passes) if behind else [reader] * reader.inputs.count(name)
        return found

    @cached_property
    def delayed(self) -> list[Synapse]:
        """Synapses that read what was sent at earlier ticks."""
        return [n for n in self.of(Synapse) if n.delays[-1]]

    @cached_property
    def last_reads(self) -> dict[str, list[str]]:
        """For each node the values that nothing needs once it is computed: its inputs, or its own if none reads it.

        What a delayed synapse reads is needed until the end of the tick.
        """
        kept = {node.inputs[0] for node in self.delayed}
        table: dict[str, list[str]] = {name: [] for name in self.nodes}
        for name, reading in self.consumers.items():
            if name not in kept:
                table[(reading or [name])[-1]].append(name)
        return table

    @cached_property
    def feedback(self) -> list[Synapse]:
        """Synapses that read a neuron which comes later."""
        place = {name: i for i, name in enumerate(self.nodes)}
        return [n for n in self.of(Synapse) if place[n.inputs[0]] > place[n.name]]

    @cached_property
    def loops(self) -> dict[str, int]:
        """Number of its loop for each node that depends on itself; loops that share a node are one."""
        if not self.feedback:
            return {}
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        number = {name: i for i, name in enumerate(self.nodes)}
        edges = np.array([(number[i], number[node.name]) for node in self for i in node.inputs])
        matrix = coo_array((np.ones(len(edges)), tuple(edges.T)), (len(number), len(number)))
        label = connected_components(matrix, connection="strong")[1]
        size = np.bincount(label)
        return {name: int(label[i]) for name, i in number.items() if size[label[i]] > 1}

    @cached_property
    def input(self) -> Input:
        """The single input stream."""
        return self.of(Input)[0]

    @cached_property
    def output(self) -> Output:
        """The single readout."""
        return self.of(Output)[0]

    def shape(self, name: str) -> tuple[int, ...]:
        """Axis sizes of a value."""
        return self.values[name].shape.sizes

    def with_header(self, **changes: Any) -> Graph:
        """The same graph under a changed header."""
        return replace(self, header=replace(self.header, **changes))

    def with_values(self, changes: Mapping[str, Value]) -> Graph:
        """The same nodes with some values replaced."""
        return replace(self, values={**self.values, **changes})

    def content_hash(self) -> str:
        """SHA-256 over every node, value and header field, arrays included."""
        digest = hashlib.sha256()
        _feed(digest, self.header)
        for node in self:
            _feed(digest, node)
            _feed(digest, self.values[node.name])
        return digest.hexdigest()


def raw_range(graph: Graph) -> tuple[int, int] | None:
    """Smallest and largest raw input that the network was made for, None if nobody said.

    The interval of the input is of raw values until a graph is integer, then of values less their zero point.
    """
    node = graph.input
    interval, zero = graph.values[node.name].interval, np.asarray(node.zero)
    if interval is None:
        return None
    if graph.header.level != "integer":
        return interval.lo, interval.hi
    return interval.lo + int(zero.max()), interval.hi + int(zero.min())


def free_name(name: str, *taken: Container[str], mark: str = "_") -> str:
    """``name`` itself, or the first of ``name_2``, ``name_3``, ... that is in no container."""
    count, free = 1, name
    while any(free in names for names in taken):
        count += 1
        free = f"{name}{mark}{count}"
    return free


class Builder:
    """Collects nodes with their values and makes a Graph; names are made unique.

    ``table``: the new name of each node that was copied from another graph.
    """

    def __init__(self, header: Header | None = None) -> None:
        self.header = header or Header()
        self.nodes: dict[str, Node] = {}
        self.values: dict[str, Value] = {}
        self.table: dict[str, str] = {}

    def add(self, node: Node, value: Value) -> str:
        """Append a node whose inputs are already there; returns the name it got."""
        name = free_name(node.name, self.nodes)
        self.nodes[name] = node if name == node.name else replace(node, name=name)
        self.values[name] = value
        return name

    def copy(self, graph: Graph, node: Node, **changes: Any) -> str:
        """Append a node of ``graph`` with its inputs renamed by the table, unless they or the value are given."""
        # A recurrent input comes later, so it has no entry yet: such neurons keep their names.
        inputs = changes.pop("inputs", tuple(self.table.get(i, i) for i in node.inputs))
        value = changes.pop("value", graph.values[node.name])
        self.table[node.name] = self.add(replace(node, inputs=inputs, **changes), value)
        return self.table[node.name]

    def shape(self, name: str) -> tuple[int, ...]:
        """Axis sizes of a value already added."""
        return self.values[name].shape.sizes

    def build(self) -> Graph:
        """The finished graph."""
        return Graph(self.nodes, self.values, self.header)


def prune(graph: Graph) -> Graph:
    """The graph without nodes that no output reads (inputs stay)."""
    live, new = set(), {n.name for n in graph if isinstance(n, (Output, Input))}
    while new:
        live |= new
        new = {source for name in new for source in graph.nodes[name].inputs} - live
    keep = {name: node for name, node in graph.nodes.items() if name in live}
    return Graph(keep, {name: graph.values[name] for name in keep}, graph.header)


def _structure(nodes: Mapping[str, Node], values: Mapping[str, Value]) -> Iterable[Problem]:
    seen: set[str] = set()
    for name, node in nodes.items():
        if name != node.name or name not in values:
            yield Problem("ND201", "node table and value table disagree", where=name)
        for source in node.inputs:
            if source not in seen and not _recurrent(node, nodes.get(source)):
                yield Problem("ND202", "an input is missing or comes later (a cycle)", name, source)
        if isinstance(node, Const) and name in values and node.value.shape != values[name].shape.sizes:
            found, limit = str(node.value.shape), str(values[name].shape)
            yield Problem("ND203", "constant and declared shape differ", name, found, limit)
        seen.add(name)


def _recurrent(node: Node, source: Node | None) -> bool:
    """Whether a node may read one that comes later: a delayed synapse a neuron."""
    return isinstance(node, Synapse) and isinstance(source, Neuron) and node.delays[0] >= 1


def _feed(digest: Any, item: Any) -> None:
    """Feed any frozen value into a hash, unambiguously."""
    if isinstance(item, np.ndarray):
        digest.update(f"<{item.dtype.str}{item.shape}>".encode())
        digest.update(np.ascontiguousarray(item).tobytes())
    elif isinstance(item, Mapping):
        for key in sorted(item):
            digest.update(f"{{{key}:".encode())
            _feed(digest, item[key])
    elif isinstance(item, (tuple, list)):
        digest.update(f"({len(item)}".encode())
        for part in item:
            _feed(digest, part)
    elif is_dataclass(item):
        digest.update(type(item).__name__.encode())
        for spec in fields(item):
            _feed(digest, getattr(item, spec.name))
    else:
        digest.update(repr(item.item() if isinstance(item, np.generic) else item).encode())
