"""Channels of very different size are brought to one: what one layer makes larger, the next takes smaller.

W2 relu(W1 x + b1) stays the same if channel j of W1 and b1 is multiplied by s_j > 0 and column j of W2 divided by it,
and so behind a norm with its gamma and beta. Integers share one unit among the channels of an activation: of channels
that differ by 10^4 the small ones would have no bits. s_j = sqrt(r2_j / r1_j) makes both sides alike, with r1_j and
r2_j the largest weights of channel and column (Nagel et al. 2019, arXiv:1906.04721, eq. 11). It is rounded to a power
of two, so that floats stay what they are to the last bit, and it is done only where it is worth it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..array import Array
from ..ir.graph import Graph
from ..ir.interp import windows
from ..ir.micro_op import MICROCODE
from ..ir.nodes import Micro, Node, Reduce, Synapse, View
from ._diagonal import channel_axis, per_channel
from ._edit import edit

#: channels whose factors differ by less are left alone: 6 of a weight's 7 bits would still be there
WORTHWHILE = 64.0
SWEEPS = 8  # a layer is equalised with the one before and the one behind: each undoes a little of the other

#: synapse -> for each of its columns, which channel it reads, from 1
Columns = dict[Synapse, Array]


def equalise(graph: Graph) -> Graph:
    """A graph whose channels differ less in size wherever layers can pass factors on; meaning unchanged."""
    for _ in range(SWEEPS):
        before = graph
        for name in graph.nodes:
            graph = _with_next(graph, graph.nodes[name])
        if graph is before:
            break
    return graph


def _with_next(graph: Graph, node: Node) -> Graph:
    """The graph with one layer and all that read it equalised; the same graph where nothing is worth it."""
    if not isinstance(node, Synapse) and not (isinstance(node, Micro) and _affine(node)):
        return graph
    own, shape = _sizes(node), graph.shape(node.name)
    axis = channel_axis(node) if isinstance(node, Synapse) else -1
    line = np.arange(1, len(own) + 1).reshape(-1, *(1,) * (len(shape) - 1 if axis == 0 else 0))
    columns = _columns(graph, node.name, np.broadcast_to(line, shape))
    factors = _factors(own, _read(columns, len(own))) if columns else None
    if factors is None:
        return graph
    changed: dict[str, Node] = {node.name: _multiplied(node, factors)}
    for synapse, read in columns.items():
        weight = synapse.weight / _per_weight(synapse, factors[read - 1])
        changed[synapse.name] = replace(synapse, weight=weight)
    return edit(graph, {name: [(new, graph.values[name])] for name, new in changed.items()}, {})


def _sizes(node: Synapse | Micro) -> Array:
    """The largest magnitude of each channel of a layer, or of a norm's own factors."""
    if isinstance(node, Micro):
        return np.asarray(np.max([np.abs(own) for own in _affine(node).values()], axis=0))
    rows: Array = np.abs(node.weight).reshape(len(node.weight), -1).max(axis=1)
    return rows if node.bias is None else np.maximum(rows, np.abs(node.bias))


def _affine(node: Micro) -> dict[str, Array]:
    """Factors and shifts of a norm's channels, if it has any; an RMS norm has no shifts."""
    if not MICROCODE[node.op].affine or "gamma" not in node.params:
        return {}
    return {key: node.params[key] for key in ("gamma", "beta") if key in node.params}


def _columns(graph: Graph, name: str, channels: Array) -> Columns:
    """The synapses that read a value through what keeps factors; empty where anything else reads it.

    ``channels`` says for every element which channel it is of, from 1; 0 is a padded zero.
    """
    found: Columns = {}
    for reader in graph.consumers[name]:
        more = _through(graph, graph.nodes[reader], channels)
        if not more or not found.keys().isdisjoint(more):
            return {}
        found |= more
    return found


def _through(graph: Graph, node: Node, channels: Array) -> Columns:
    if isinstance(node, Synapse):
        read = per_channel(channels, channel_axis(node))
        return {} if read is None or not read.all() else {node: read}
    after = _after(node, channels)
    return {} if after is None else _columns(graph, node.name, after)


def _after(node: Node, channels: Array) -> Array | None:
    """The channels behind a node that keeps factors; None where it does not, or mixes channels."""
    if isinstance(node, View) and len(node.inputs) == 1:
        return np.asarray(node.apply([channels]))
    if isinstance(node, Micro) and MICROCODE[node.op].homogeneous:
        return channels
    return _reduced(node, channels) if isinstance(node, Reduce) else None


def _reduced(node: Reduce, channels: Array) -> Array | None:
    x = channels[None] if node.window is None else windows(channels[None], node)
    axes = (-2, -1) if node.window is not None else tuple(a + 1 for a in node.axes)
    most: Array = x.max(axis=axes, keepdims=node.keepdims)[0]
    least = np.where(x == 0, most.max(), x).min(axis=axes, keepdims=node.keepdims)[0]
    return most if np.array_equal(most, least) else None


def _read(columns: Columns, channels: int) -> Array:
    """The largest weight by which any reader takes each channel."""
    most = np.zeros(channels + 1)
    for synapse, read in columns.items():
        each = np.broadcast_to(_per_weight(synapse, read), synapse.weight.shape)
        np.maximum.at(most, each.ravel(), np.abs(synapse.weight).ravel())
    return most[1:]


def _per_weight(node: Synapse, columns: Array) -> Array:
    """Numbers of input channels beside the weights (O, C / groups, ...) that read them."""
    by_group = columns.reshape(node.groups, -1).repeat(len(node.weight) // node.groups, axis=0)
    return by_group.reshape(*by_group.shape, *(1,) * (node.weight.ndim - 2))


def _factors(own: Array, read: Array) -> Array | None:
    """Powers of two, their median 1, by which channels are multiplied; None where they are nearly alike."""
    used = (own > 0) & (read > 0)
    if not used.any():
        return None
    steps = np.zeros(len(own))
    steps[used] = np.log2(read[used] / own[used]) / 2
    steps[used] -= np.median(steps[used])
    return np.asarray(np.exp2(np.rint(steps))) if np.ptp(steps) >= np.log2(WORTHWHILE) else None


def _multiplied(node: Synapse | Micro, factors: Array) -> Node:
    if isinstance(node, Micro):
        own = {key: value * factors for key, value in _affine(node).items()}
        return replace(node, params={**node.params, **own})
    weight = node.weight * factors.reshape(-1, *(1,) * (node.weight.ndim - 1))
    return replace(node, weight=weight, bias=None if node.bias is None else node.bias * factors)
