"""How deep scores of hidden tokens are put below the others: as deep as the scores that texts give ask for.

A mask that depends on the input adds to scores, and the integers' softmax is exactly 0 only for what is so far below
the largest score of its row. How far hidden scores may exceed the others is not known from the network: it is measured.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..array import Array
from ..ir import interp
from ..ir.graph import Graph
from ..ir.nodes import Micro, Synapse
from .samples import hidden

#: what masks add at least; a power of two, as every other depth, so that scores keep their unit
LEAST = 128.0
#: how far below the largest score the integers' softmax is exactly 0
ZERO = 21.0
#: how much of what was measured is believed to be the most there is
SHARE = 0.75
#: deeper than all scores, and exact in floats beside them
BOTTOM = 2.0**20
#: texts that are looked at, and how many of them at a time: one-hot inputs are large
SAMPLES, TOGETHER = 16, 4


def deepened(graph: Graph, raw: Array) -> Graph:
    """The graph with hidden tokens deep enough for these raw texts (B, N, V); the same where they already are."""
    depth = _depth(graph, raw[:SAMPLES]) if hidden(graph) and len(raw) else 0.0
    return _with_depth(graph, depth, LEAST)


def _depth(graph: Graph, raw: Array) -> float:
    """The power of two that hidden scores have to be lowered by."""
    bottom = _with_depth(graph, BOTTOM, LEAST)
    read = {node.inputs[0] for node in graph.of(Micro) if node.op == "softmax"}
    excess = [0.0]

    def observe(name: str, value: Array) -> None:
        if name not in read or not (under := value < -BOTTOM / 2).any():
            return
        unseen = np.where(under, value + BOTTOM, -np.inf).max(axis=-1)
        seen = np.where(under, -np.inf, value).max(axis=-1)
        excess.append(float(np.max(unseen - seen, initial=0.0, where=np.isfinite(seen))))

    for start in range(0, len(raw), TOGETHER):
        interp.run(bottom, raw[start : start + TOGETHER], timesteps=1, observe=observe)
    return float(2.0 ** np.ceil(np.log2(max(LEAST, ZERO + max(excess) / SHARE))))


def _with_depth(graph: Graph, depth: float, least: float) -> Graph:
    """The graph whose masks of ids add ``-depth``, where they add ``-least`` and less, unless that is deeper."""
    ids, nodes = list(hidden(graph)), dict(graph.nodes)
    for node in graph.of(Synapse):
        if node.weight.shape[0] != 1 or node.inputs != (graph.input.name,):
            continue
        under = node.weight[0, ids] <= -least
        if under.any() and node.weight.min() > -depth:
            nodes[node.name] = replace(node, weight=np.where(node.weight <= -least, -depth, node.weight))
    return replace(graph, nodes=nodes)
