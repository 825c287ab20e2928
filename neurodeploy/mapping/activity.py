"""How often values are not zero, before anything has run on cores: as calibration saw it, else by their code.

The mapper asks here alone. What was seen is known of each element; where nothing was, all elements of a value are
alike.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from ..array import Array
from ..ir.graph import Graph
from ..ir.nodes import Const, Delay, Micro, Node, Output, Synapse, View
from .fields import Field

UNKNOWN_SPIKES = (
    0.5  # share of spikes where nothing was measured; payloads that nobody measured are hardly ever zero
)


def activity(graph: Graph, name: str) -> Field:
    """How often each element of a value is not zero in a tick; views, delays and rescales show what they read.

    A sum of weights is zero where no input speaks: parts of a table of words are, but for one.
    """
    known = _known(graph)
    if name not in known:
        known[name] = _found(graph, graph.nodes[name])
    return known[name]


@lru_cache(maxsize=2)  # graphs are compared by identity
def _known(graph: Graph) -> dict[str, Field]:
    """What has been asked of a graph."""
    return {}


def _found(graph: Graph, node: Node) -> Field:
    value, shape = graph.values[node.name], graph.shape(node.name)
    if isinstance(node, Synapse) and node.hosted:
        return _looked_up(node, activity(graph, node.inputs[0]))
    if (seen := value.activity) is not None:
        chances = seen.samples * len(seen.by_tick)
        if seen.times is None or seen.times.shape != shape or not chances:
            return Field.alike(seen.mean, shape)
        return Field(np.clip(seen.times / np.float32(chances), 0, 1).astype(np.float32))
    if isinstance(node, Const):
        return Field(np.broadcast_to((node.value != 0).astype(np.float32), shape))
    if isinstance(node, (Delay, Output)) or (isinstance(node, Micro) and node.op == "rescale"):
        return activity(graph, node.inputs[0])
    if isinstance(node, View):
        return _viewed(node, [activity(graph, source) for source in node.inputs], shape)
    if isinstance(node, Synapse):
        return _summed(node, activity(graph, node.inputs[0]), shape)
    spikes = value.code.kind not in ("graded", "dense")
    return Field.alike(UNKNOWN_SPIKES if spikes else 1.0, shape)


def _viewed(node: View, sources: list[Field], shape: tuple[int, ...]) -> Field:
    first = sources[0].first
    if node.op != "pad" and all(source.even and source.first == first for source in sources):
        return Field.alike(first, shape)
    return Field(node.apply([source.each for source in sources]))


def _looked_up(node: Synapse, source: Field) -> Field:
    """How often the rows of a table that are named, one at most at a time, have something there."""
    bias = np.zeros(len(node.weight)) if node.bias is None else node.bias
    named = source.each.astype(np.float64)
    found = named @ (node.weight.T + bias != 0) + (1 - named.sum(axis=-1, keepdims=True)) * (bias != 0)
    return Field(np.clip(found, 0, 1).astype(np.float32))


def _summed(node: Synapse, source: Field, shape: tuple[int, ...]) -> Field:
    """At most the sum of what its connections bring."""
    fan_in = int(np.prod(node.weight.shape[1:]))
    if source.even or node.op != "dense":
        mean = source.first if source.even else float(source.each.mean())
        return Field.alike(min(1.0, mean * fan_in), shape)
    found: Array = np.minimum(source.each.sum(axis=-1, keepdims=True), 1)
    return Field(np.broadcast_to(found, shape))
