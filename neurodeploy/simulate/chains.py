"""Which nodes are one layer: a synapse whose sums fit 32 bits, a rescale, a sum with a stream, a population.

The synapse is dense, or a convolution: then channels are the first axis of what it reads and of all the layer's values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from math import prod
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
#: a convolution of fewer filters leaves most of a vector empty
FILTERS = 16


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

    @property
    def first(self) -> bool:
        """Whether channels are the first axis of its values; else the last."""
        return self.synapse is not None and self.synapse.op == "conv"


def chains(graph: Graph, constant: frozenset[str]) -> Iterator[tuple[str, Chain]]:
    """(place, chain) of all layers; the place is the node after which everything that the chain reads is there."""
    taken: set[str] = set()
    for synapse in graph.of(Synapse):
        if _sums_rows(synapse, graph, constant):
            first = synapse.op == "conv"
            rescale = _next(synapse, graph, Micro, partial(_by_channel_rescale, graph=graph, first=first))
            total = _next(rescale or synapse, graph, Sum, partial(_adds_one, graph=graph))
            if total is not None and total.name in taken:  # by the layer of its other operand
                total = None
            carrier = total or rescale or synapse
            neuron = next(
                (n for n in _readers(carrier, graph) if isinstance(n, Neuron) and _fires(n, graph, first)),
                None,
            )
            taken |= {node.name for node in (total, neuron) if node is not None}
            yield carrier.name, Chain(synapse, rescale, total, neuron)
    for neuron in graph.of(Neuron):
        if neuron.name not in taken and _fires(neuron, graph, False):
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
    """Whether a synapse multiplies integers so narrow that its sums fit 32 bits."""
    if node.delays[-1] or node.name in graph.loops or node.inputs[0] in constant:
        return False
    if node.op == "conv" and not (
        len(node.weight) >= FILTERS and (node.groups == 1 or one_filter_each(node, graph))
    ):
        return False
    reach = arithmetic.magnitude(graph, node.inputs[0])
    if (
        reach > np.iinfo(np.int16).max
        or prod(node.weight.shape[1:]) >= 1 << 16
        or vector.chosen()["dot_of_2"] == "dot_plain"
    ):
        return False
    weight = node.weight.astype(np.int64).reshape(len(node.weight), -1)
    bias = 0 if node.bias is None else np.abs(node.bias.astype(np.int64))
    narrow = weight.min() >= -128 and weight.max() <= 127
    return bool(narrow and (np.abs(weight).sum(axis=1) * max(reach, 1) + bias).max() <= REACH)


def one_filter_each(node: Synapse, graph: Graph) -> bool:
    """Whether every channel of a convolution has a filter of its own, and sees no other channel."""
    return 1 < node.groups == len(node.weight) == graph.shape(node.inputs[0])[0]


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


def _by_channel(params: Iterable[Any], graph: Graph, name: str, first: bool) -> bool:
    """Whether parameters differ along the channels of a value at most."""
    rank = len(graph.shape(name))
    wide = [shape for shape in map(np.shape, params) if prod(shape) > 1]
    alone = (len(s) == rank and prod(s[1:]) == 1 if first else prod(s[:-1]) == 1 for s in wide)
    return rank > 0 and all(alone)


def _by_channel_rescale(node: Micro, graph: Graph, first: bool) -> bool:
    if node.op != "rescale" or node.timing != "instant" or int(node.params["bits"]) > 32:
        return False
    params = [node.params[p] for p in ("multiplier", "shift")]
    return all(np.max(np.abs(p)) < REACH for p in params) and _by_channel(params, graph, node.name, first)


def _adds_one(node: Sum, graph: Graph) -> bool:
    return len(node.inputs) == 2 and all(
        arithmetic.magnitude(graph, n) <= REACH for n in (*node.inputs, node.name)
    )


def _fires(node: Neuron, graph: Graph, first: bool) -> bool:
    """Whether a population can be a part of a layer: parameters by channel, one input of 32 bits."""
    if node.name in graph.loops or NEURONS[node.model].inputs != 1:
        return False
    params = (node.params[p] for p in NEURONS[node.model].int_params)
    reach = arithmetic.magnitude(graph, node.inputs[0])
    narrow = reach <= REACH and NEURONS[node.model].form(node.params, reach) != "int_step"
    return narrow and _by_channel(params, graph, node.name, first)
