"""Which groups of a graph are alike: they differ in names, weights and activity only."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np

from ..ir.graph import Graph
from ..ir.micro_op import MICROCODE
from ..ir.nodes import Delay, Micro, Neuron, Node, Product, Reduce, Synapse, View
from ..passes.balance import constants, host, turns
from ..target import Target
from .demand import held_bits, longest_wait, turning_bits
from .groups import Population
from .reads import channel_axes

MANY = 64  # elements by which operators are compared: what a piece of a row costs tells it from another


class Alike:
    """Tells the kinds of groups of one graph."""

    def __init__(self, graph: Graph, target: Target) -> None:
        self.graph, self.target = graph, target
        self.outside = (constants(graph), host(graph), channel_axes(graph))
        self.tokens: dict[str, int] = {}
        self.numbers: dict[bytes, int] = {}

    def kind(self, group: Population, bits: Mapping[str, int]) -> Hashable:
        """Everything that the demand of a tile depends on, with places in the group for names."""
        place = {name: i for i, name in enumerate(group.names)}
        counted = self.target.limits.distinct_thresholds_per_core.value is not None
        details = []
        for node in group.nodes:
            shape = self.graph.values[node.name].shape
            sources = tuple(place.get(i, self._source(node, i)) for i in node.inputs)
            more = DETAILS[type(node)](node) if type(node) in DETAILS else ()
            wait = longest_wait(self.graph, node) if isinstance(node, Synapse) else 0
            # Where threshold settings are counted, no two populations are taken for alike.
            alone = node.name if isinstance(node, Neuron) and counted else ""
            details.append(
                (type(node), shape, bits.get(node.name), sources, more, wait, alone, *self._turn(node))
            )
        return tuple(details)

    def still(self, group: Population) -> bool:
        """Whether nothing of a group takes turns or is kept for any that do: its kind is that of tokens in space."""
        return not any(self._turn(node) for node in group.nodes)

    def _turn(self, node: Node) -> tuple[Hashable, ...]:
        """What the demand depends on where tokens take turns."""
        taken = turns(self.graph)
        if not taken.copies:
            return ()
        kept = tuple(taken.kept(node, i) for i in range(len(node.inputs)))
        if taken.turn(node.name) is None and not any(kept):
            return ()
        told = (node.name, *(source for source, keeps in zip(node.inputs, kept, strict=True) if keeps))
        tokens = tuple(self._tokens(name) for name in told if name in taken.token)
        return kept, tokens, tuple(taken.of(name) for name in told), turning_bits(self.graph, node)

    def _tokens(self, name: str) -> int:
        """A number for what the tokens of a value are."""
        if name not in self.tokens:
            content = turns(self.graph).token[name].tobytes()
            self.tokens[name] = self.numbers.setdefault(content, len(self.numbers))
        return self.tokens[name]

    def _source(self, node: Node, source: str) -> Hashable:
        still, outside, channels = self.outside
        held = held_bits(self.graph, node, source) if isinstance(node, Product) else 0
        return self.graph.shape(source), source in still, source in outside, channels.get(source), held


def _micro(node: Any) -> Hashable:
    op = MICROCODE[node.op]
    rows = tuple((np.shape(node.params[name]), int(np.abs(node.params[name]).max())) for name in op.by_tick
                 if name in node.params)  # fmt: skip
    return node.op, node.timing, op.table_bits(node.params), op.operations(node.params, MANY), rows


#: what else counts about a kind
DETAILS: dict[type[Node], Any] = {
    Synapse: lambda n: (n.op, n.weight.shape, n.stride, n.padding, n.groups),
    Product: lambda n: (n.equation, n.timing, n.shown and (n.shown[0], n.shown[1].tobytes())),
    Reduce: lambda n: (n.axes, n.keepdims, n.window, n.stride, n.padding),
    View: lambda n: (n.op, n.args),
    Delay: lambda n: (n.steps, n.keeps),
    Neuron: lambda n: n.model,
    Micro: _micro,
}
