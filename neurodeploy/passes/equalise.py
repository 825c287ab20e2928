"""Channels of very different size are brought to one: what one layer makes larger, the next takes smaller.

W2 relu(W1 x + b1) stays the same if channel j of W1 and b1 is multiplied by s_j > 0 and column j of W2 divided by it,
and so behind a norm with its gamma and beta. In attention q_j k_j stays the same if channel j of queries is multiplied
by s_j and that of keys divided by it, and what is mixed of values hands their factors on to the layer behind. Integers
share one unit among the channels of an activation: of channels that differ by 10^4 the small ones would have no bits.
s_j = sqrt(r2_j / r1_j) makes both sides alike, with r1_j and r2_j the largest weights of channel and column, or of both
channels that meet in a product (Nagel et al. 2019, arXiv:1906.04721, eq. 11). It is rounded to a power of two, so that
floats stay what they are to the last bit, and it is done only where it is worth it.

Rotated queries and keys are sums, which keep their sizes; behind a norm its gamma takes the factors.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TypeGuard

import numpy as np

from ..array import Array
from ..ir.graph import Graph
from ..ir.interp import windows
from ..ir.micro_op import MICROCODE
from ..ir.nodes import Micro, Node, Product, Reduce, Synapse, View
from ._diagonal import channel_axis, per_channel
from ._edit import edit, up_through_views

#: channels whose factors differ by less are left alone: 6 of a weight's 7 bits would still be there
WORTHWHILE = 64.0
SWEEPS = 8  # a layer is equalised with the one before and the one behind: each undoes a little of the other
_MOVES = ("reshape", "permute", "slice", "broadcast")  # views that a factor is followed through, upwards

#: what makes channels: a layer, or a norm with factors and shifts of its own
Maker = Synapse | Micro


@dataclass(frozen=True, eq=False)
class Followers:
    """Who has to take smaller what a maker's channels are made larger by; each says which channel, from 1.

    ``columns``: layers that read the channels, and of which channel each of their columns is. ``rows``: other makers,
    and which channel each of theirs meets in a product. ``products`` are passed or met on the way.
    """

    columns: dict[Synapse, Array] = field(default_factory=dict)
    rows: dict[Maker, Array] = field(default_factory=dict)
    products: list[str] = field(default_factory=list)


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
    found = followers(graph, node)
    if found is None or not is_maker(node):
        return graph
    own = _sizes(node)
    factors = _factors(own, _read(found, len(own)))
    if factors is None:
        return graph
    changed: dict[str, Node] = {node.name: _multiplied(node, factors)}
    for synapse, read in found.columns.items():
        weight = synapse.weight / _per_weight(synapse, factors[read - 1])
        changed[synapse.name] = replace(synapse, weight=weight)
    for maker, met in found.rows.items():
        changed[maker.name] = _multiplied(maker, 1.0 / factors[met - 1])
    return edit(graph, {name: [(new, graph.values[name])] for name, new in changed.items()}, {})


def is_maker(node: Node) -> TypeGuard[Maker]:
    """Whether factors of its channels can be put into a node."""
    return isinstance(node, Synapse) or (isinstance(node, Micro) and bool(_affine(node)))


def followers(graph: Graph, node: Node) -> Followers | None:
    """Who takes smaller what a node's channels are made larger by; None where somebody would see the difference."""
    if not is_maker(node):
        return None
    found = Followers()
    if not _followed(graph, node.name, _by_element(graph, node), found) or node in found.rows:
        return None
    return None if found.rows.keys() & found.columns.keys() else found


def _by_element(graph: Graph, node: Maker) -> Array:
    """The channel of each element of what a layer or norm makes, from 1."""
    shape, axis = graph.shape(node.name), _axis(node)
    count = shape[axis]
    line = np.arange(1, count + 1).reshape(-1, *(1,) * (len(shape) - 1 if axis == 0 else 0))
    return np.broadcast_to(line, shape)


def _axis(node: Maker) -> int:
    return channel_axis(node) if isinstance(node, Synapse) else -1


def _sizes(node: Maker) -> Array:
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


def _followed(graph: Graph, name: str, channels: Array, found: Followers) -> bool:
    """Whether all that read a value, through what keeps factors, can take them up; enters who they are.

    ``channels`` says for every element which channel it is of, from 1; 0 is a padded zero.
    """
    readers = graph.consumers[name]
    return bool(readers) and all(_through(graph, name, graph.nodes[n], channels, found) for n in readers)


def _through(graph: Graph, name: str, node: Node, channels: Array, found: Followers) -> bool:
    if isinstance(node, Synapse):
        read = per_channel(channels, channel_axis(node))
        if read is None or not read.all() or node in found.columns:
            return False
        found.columns[node] = read
        return True
    if isinstance(node, Product):
        return bool(channels.all()) and _met(graph, name, node, channels, found)
    after = _after(node, channels)
    return after is not None and _followed(graph, node.name, after, found)


def _met(graph: Graph, name: str, node: Product, channels: Array, found: Followers) -> bool:
    """Factors along kept indices are the product's own; along others the channels of the other operand undo them."""
    equation, (left, right) = node.einsum, node.inputs
    if left == right or equation.repeats or node.name in found.products:
        return False
    found.products.append(node.name)
    own, other, behind = (
        (equation.left, equation.right, right) if name == left else (equation.right, equation.left, left)
    )
    letters = [c for axis, c in enumerate(own) if (channels != channels.take([0], axis)).any()]
    to, value = (equation.out, node.name) if set(letters) <= set(equation.out) else (other, behind)
    if not set(letters) <= set(to):
        return False
    kept = channels[tuple(slice(None) if c in letters else 0 for c in own)]
    kept = kept.transpose([letters.index(c) for c in to if c in letters])
    shape = graph.shape(value)
    places = kept.reshape([n if c in letters else 1 for c, n in zip(to, shape, strict=True)])
    channels = np.broadcast_to(places, shape)
    if value == node.name:
        return _followed(graph, value, channels, found)
    return _undone(graph, behind, node, channels, found)


def _undone(graph: Graph, name: str, product: Product, channels: Array, found: Followers) -> bool:
    """Whether one maker alone makes an operand for nobody else, each of its channels meeting one of ``channels``."""
    views, maker = up_through_views(graph, name, _MOVES)
    reader = views[-1] if views else product
    if not is_maker(maker) or graph.consumers[maker.name] != [reader.name]:
        return False
    size = graph.values[maker.name].shape.size
    place = np.arange(size).reshape(graph.shape(maker.name))
    for view in reversed(views):
        place = view.apply([place])
    met = np.zeros(size, dtype=np.int64)
    met[place] = channels
    line = per_channel(met.reshape(graph.shape(maker.name)), _axis(maker))
    if (met[place] != channels).any() or line is None or not line.all() or maker in found.rows:
        return False
    found.rows[maker] = line
    return True


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


def _read(found: Followers, channels: int) -> Array:
    """The largest weight by which any follower takes each channel."""
    most = np.zeros(channels + 1)
    for synapse, read in found.columns.items():
        each = np.broadcast_to(_per_weight(synapse, read), synapse.weight.shape)
        np.maximum.at(most, each.ravel(), np.abs(synapse.weight).ravel())
    for maker, met in found.rows.items():
        np.maximum.at(most, met, _sizes(maker))
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


def _multiplied(node: Maker, factors: Array) -> Node:
    if isinstance(node, Micro):
        own = {key: value * factors for key, value in _affine(node).items()}
        return replace(node, params={**node.params, **own})
    weight = node.weight * factors.reshape(-1, *(1,) * (node.weight.ndim - 1))
    return replace(node, weight=weight, bias=None if node.bias is None else node.bias * factors)
