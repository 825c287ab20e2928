"""Separates weights too large for one core from the row operator that would hold them there.

A row of a softmax or norm lives whole on one core, and with it every synapse that ends in its group: a layer that
feeds a norm through the residual stream cannot be cut along its channels. Where its weights exceed a core's synapse
memory, a Delay of one step behind the layer's rescale sends the (narrow, saturated) results on as messages instead, and
the weights become a population of their own that can be cut. The Delay is the identity per tick; it is mapped, counted
and priced like any other.
"""

from __future__ import annotations

from math import inf

from ...ir.graph import Builder, Graph
from ...ir.micro_op import MICROCODE
from ...ir.nodes import Delay, Micro, Node, Synapse, View
from ...passes.balance import CROSSING
from ...target import Target
from ..demand import layer_words
from ._base import Layout

#: share of synapse memory beyond which other tables of the same core may not fit beside the weights
ROOM = 0.75


class Relay(Layout):
    """A Delay of one step behind each oversized layer of a row operator's group."""

    name = "relay"
    title = "weights too large for the core of a row operator become a population of their own"

    def rewrite(self, graph: Graph, target: Target) -> Graph:
        """The same graph, relayed where weights ask for it."""
        limit = target.limits.synapse_words.value
        room = inf if limit is None else limit * ROOM
        heavy = {n.name for n in graph.of(Synapse) if layer_words(graph, n, target)[0] > room}
        coupled = _coupled(graph) if heavy else set()
        rescales = (n for n in graph.of(Micro) if n.op == "rescale" and n.name in coupled)
        cuts = {n.name for n in rescales if _source(graph, n) in heavy}
        if not cuts:
            return graph
        builder = Builder(graph.header)
        for node in graph:
            name = builder.copy(graph, node)
            if node.name in cuts:
                relay = Delay(name=f"{name}_relay", inputs=(name,), origin=node.origin, steps=1)
                builder.table[node.name] = builder.add(relay, graph.values[node.name])
        return builder.build()


def _source(graph: Graph, node: Node) -> str:
    """What a node reads, views skipped."""
    return graph.upwards(node.inputs[0], lambda n: isinstance(n, View))[-1].name


def _coupled(graph: Graph) -> set[str]:
    """Values that a row operator reads inside the same group."""
    found: set[str] = set()
    for node in reversed(list(graph)):
        row = isinstance(node, Micro) and MICROCODE[node.op].row
        if row or (node.name in found and not isinstance(node, CROSSING)):
            found.update(node.inputs)
    return found


MEMBER = Relay()
