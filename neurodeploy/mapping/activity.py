"""How often values are not zero, before anything has run on cores: as calibration saw it, else by their code."""

from __future__ import annotations

from math import prod

from ..ir.graph import Graph
from ..ir.nodes import Delay, Synapse, View

UNKNOWN_SPIKES = (
    0.5  # share of spikes where nothing was measured; payloads that nobody measured are hardly ever zero
)


def activity(graph: Graph, name: str) -> float:
    """Share of a value's elements that are not zero in a tick; views and delays show what they read.

    A sum of weights is zero where no input speaks: parts of a table of words are, but for one.
    """
    known, node = graph.values[name].activity, graph.nodes[name]
    if known:
        return known.mean
    if isinstance(node, (View, Delay)):
        return sum(activity(graph, source) for source in node.inputs) / len(node.inputs)
    if isinstance(node, Synapse):
        return min(1.0, activity(graph, node.inputs[0]) * prod(node.weight.shape[1:]))
    return 1.0 if graph.values[name].code.kind in ("graded", "dense") else UNKNOWN_SPIKES
