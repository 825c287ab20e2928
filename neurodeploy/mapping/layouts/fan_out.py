"""Sends what a row holds on from several cores where one has too few axons for all that read it.

A row of a softmax or norm lives whole on one core, and with it the neurons behind it. A dense layer of a single
position takes an axon for each of its inputs on every core that it is cut into: where a class token of 768 channels
meets 49 cores of weights, the core of the row would need 37,632 of them. A Delay of one step between both is a
population of its own, without rows, that can be cut along its channels. The Delay is the identity per tick; it is
mapped, counted and priced like any other.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil

from ...ir.graph import Builder, Graph, free_name
from ...ir.micro_op import MICROCODE
from ...ir.nodes import Delay, Micro, Node, Synapse
from ...target import Target
from ..demand import layer_words
from ..groups import populations
from ._base import Layout

#: share of the output axons of a core that the readers of a row may take: others may read it too
ROOM = 0.75


class FanOut(Layout):
    """A Delay of one step between a row and the dense layers of one position that need too many axons of its core."""

    name = "fan_out"
    title = "what a row sends to more cores than its axons reach goes on from a population of its own"

    def rewrite(self, graph: Graph, target: Target) -> Graph:
        """The same graph, with such rows sent on."""
        limit = target.limits.axon_out.value
        sent = {} if limit is None else _sent_on(graph, target, ROOM * limit)
        if not sent:
            return graph
        builder, made = Builder(graph.header), dict[str, str]()
        for node in graph:
            if node.name in sent:
                source = sent[node.name]
                if source not in made:
                    made[source] = _delay(builder, graph, source)
                builder.copy(graph, node, inputs=(made[source],))
            else:
                builder.copy(graph, node)
        return builder.build()


def _delay(builder: Builder, graph: Graph, source: str) -> str:
    """A Delay of one step behind a value; returns its name."""
    name = free_name(f"{source}_fan", graph.nodes, builder.nodes)
    node = Delay(name=name, inputs=(builder.table[source],), origin=graph.nodes[source].origin, steps=1)
    return builder.add(node, graph.values[source])


def _sent_on(graph: Graph, target: Target, room: float) -> Mapping[str, str]:
    """Layer -> value that it is to read from a Delay: those of rows whose readers need more axons than ``room``."""
    found: dict[str, str] = {}
    loops = {node.name for node in graph.feedback}
    for group in populations(graph):
        if group.on_host or not any(isinstance(n, Micro) and MICROCODE[n.op].row for n in group.nodes):
            continue
        readers = {
            node.name: (name, graph.values[name].shape.size * _cores(graph, node, target))
            for name in group.names
            for node in (graph.nodes[n] for n in graph.consumers[name])
            if isinstance(node, Synapse) and _single(graph, node) and node.name not in loops
        }
        if sum(axons for _, axons in readers.values()) > room:
            found |= {layer: name for layer, (name, _) in readers.items()}
    return found


def _single(graph: Graph, node: Node) -> bool:
    """Whether a layer is dense, waits for nothing, and has one position: an axon for each of its inputs."""
    dense = isinstance(node, Synapse) and node.op == "dense" and node.delays == (0,)
    return dense and graph.values[node.name].shape.size == graph.shape(node.name)[-1]


def _cores(graph: Graph, node: Synapse, target: Target) -> int:
    """The fewest cores whose synapse memory holds a layer."""
    limit = target.limits.synapse_words.value
    if limit is None:
        return 1
    return ceil(layer_words(graph, node, target)[0] / limit)


MEMBER = FanOut()
