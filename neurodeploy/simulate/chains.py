"""Which nodes are one layer: a synapse whose sums fit 32 bits, a rescale, a sum with a stream, a population."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..ir.graph import Graph
from ..ir.neuron_model import NEURONS
from ..ir.nodes import Micro, Neuron, Node, Sum, Synapse
from . import arithmetic, vector

#: sums and streams of a layer stay below this
REACH = (1 << 31) - 1
#: share of spikes at which a dense product of binary input takes as long as sums of rows, by its kernel
CROSSOVER = {"dot_8": 0.45, "dot_16": 0.7, "dot_16_narrow": 1.0, "dot_plain": 1.0}
#: what writing out the spikes of a row costs, in tiles of sums: a dense product needs it once for all of its tiles
WRITTEN_OUT = 0.9
#: and what each of its rows costs besides, in inputs
BESIDES = 16


@dataclass(frozen=True, eq=False)
class Chain:
    """The nodes of a layer, in the order in which they are computed; the value of ``carrier`` goes into the neuron."""

    synapse: Synapse | None = None
    rescale: Micro | None = None
    total: Sum | None = None
    neuron: Neuron | None = None

    @property
    def carriers(self) -> list[Node]:
        """All nodes but the neuron."""
        return [n for n in (self.synapse, self.rescale, self.total) if n is not None]


def chains(graph: Graph, constant: frozenset[str]) -> Iterator[tuple[str, Chain]]:
    """(place, chain) of all layers; the place is the node after which everything that the chain reads is there."""
    taken: set[str] = set()
    for synapse in graph.of(Synapse):
        if _sums_rows(synapse, graph, constant):
            rescale = _next(synapse, graph, Micro, lambda node: _by_channel_rescale(node, graph))
            total = _next(rescale or synapse, graph, Sum, lambda node: _adds_one(node, graph))
            if total is not None and total.name in taken:  # by the layer of its other operand
                total = None
            carrier = total or rescale or synapse
            neuron = next(
                (n for n in _readers(carrier, graph) if isinstance(n, Neuron) and _fires(n, graph)), None
            )
            taken |= {node.name for node in (total, neuron) if node is not None}
            yield carrier.name, Chain(synapse, rescale, total, neuron)
    for neuron in graph.of(Neuron):
        if neuron.name not in taken and _fires(neuron, graph):
            yield neuron.name, Chain(neuron=neuron)


def _readers(node: Node, graph: Graph) -> list[Node]:
    return [graph.nodes[name] for name in graph.consumers[node.name]]


def _next(node: Node, graph: Graph, kind: type[Any], suits: Callable[[Any], bool]) -> Any:
    """The node that alone reads this one, once, if it is of a kind and suits."""
    readers = _readers(node, graph)
    if len(readers) != 1 or not isinstance(readers[0], kind) or readers[0].inputs.count(node.name) > 1:
        return None
    same = graph.shape(readers[0].name) == graph.shape(node.name)
    return readers[0] if same and readers[0].name not in graph.loops and suits(readers[0]) else None


def _sums_rows(node: Synapse, graph: Graph, constant: frozenset[str]) -> bool:
    """Whether a synapse is a dense product of integers so narrow that its sums fit 32 bits."""
    if node.op != "dense" or node.delays[-1] or node.name in graph.loops or node.inputs[0] in constant:
        return False
    reach = arithmetic.magnitude(graph, node.inputs[0])
    if (
        reach > np.iinfo(np.int16).max
        or node.weight.shape[1] >= 1 << 16
        or vector.chosen()["dot_of_2"] == "dot_plain"
    ):
        return False
    weight = node.weight.astype(np.int64)
    bias = 0 if node.bias is None else np.abs(node.bias.astype(np.int64))
    narrow = weight.min() >= -128 and weight.max() <= 127
    return bool(narrow and (np.abs(weight).sum(axis=1) * max(reach, 1) + bias).max() <= REACH)


def sends_binary(graph: Graph, name: str) -> bool:
    """Whether a value is proven to be 0 or 1."""
    interval = graph.values[name].interval
    return interval is not None and interval.proven and interval.lo >= 0 and interval.hi <= 1


def dense_group(graph: Graph, node: Synapse) -> int:
    """Inputs that one instruction multiplies: four of 8 bits where they fit and the processor can, else two of 16."""
    fits = arithmetic.magnitude(graph, node.inputs[0]) <= np.iinfo(np.int8).max
    return 4 if fits and vector.chosen()["dot_of_4"] else 2


def crossover(inputs: int, tiles: int) -> float:
    """The share of spikes from which on a dense product beats sums of rows; 1 where it never does."""
    equal = CROSSOVER[vector.chosen()["dot_of_4"] or vector.chosen()["dot_of_2"]]
    return min(1.0, (equal + BESIDES / inputs) / (1 - WRITTEN_OUT / tiles))


def _by_channel(params: Iterable[Any], graph: Graph, name: str) -> bool:
    """Whether parameters differ along the last axis of a value at most."""
    return bool(graph.shape(name)) and all(
        np.size(p) == np.shape(p)[-1] if np.ndim(p) else True for p in params
    )


def _by_channel_rescale(node: Micro, graph: Graph) -> bool:
    if node.op != "rescale" or node.timing != "instant" or int(node.params["bits"]) > 32:
        return False
    params = [node.params[p] for p in ("multiplier", "shift")]
    return all(np.max(np.abs(p)) < REACH for p in params) and _by_channel(params, graph, node.name)


def _adds_one(node: Sum, graph: Graph) -> bool:
    return len(node.inputs) == 2 and all(
        arithmetic.magnitude(graph, n) <= REACH for n in (*node.inputs, node.name)
    )


def _fires(node: Node, graph: Graph) -> bool:
    """Whether a population can be a part of a layer: parameters by channel, one input of 32 bits."""
    if not isinstance(node, Neuron) or node.name in graph.loops or NEURONS[node.model].inputs != 1:
        return False
    params = (node.params[p] for p in NEURONS[node.model].int_params)
    reach = arithmetic.magnitude(graph, node.inputs[0])
    narrow = reach <= REACH and NEURONS[node.model].form(node.params, reach) != "int_step"
    return narrow and _by_channel(params, graph, node.name)
