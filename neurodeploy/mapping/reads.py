"""What a tile reads: for each entry of a group, which elements of which value it needs, and as how many messages.

A *position* is what one axon stands for; the channel travels in the message. The channel axis of a value is its last
one, or the first where convolutions or windows read (C, Y, X). A dense synapse with a single position on the tile has
one axon per input element instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

import numpy as np

from ..array import Array
from ..ir.graph import Graph
from ..ir.nodes import Node, Output, Product, Reduce, Synapse
from ..passes.balance import crosses
from .regions import Region, every, flat_of, region

Axes = tuple[int, ...]  # one number per axis


@dataclass(frozen=True, eq=False)
class Read:
    """Elements of ``source`` that ``node`` needs on a tile; ``position`` axes share one axon, None: one per element."""

    node: str
    source: str
    region: Region
    position: tuple[int, ...] | None

    @property
    def axons(self) -> int:
        """Axon words this takes on the receiving core."""
        if self.position is None:
            return self.region.size
        if self.region.axes is not None:
            return prod(len(self.region.axes[a]) for a in self.position)
        return len(self.region.positions(self.position))


def channel_axes(graph: Graph) -> dict[str, int]:
    """Channel axis of the values that a convolution or a window over (C, Y, X) reads; others use their last axis."""
    found: dict[str, int] = {}
    for node in graph:
        wide = isinstance(node, Reduce) and node.window is not None and len(graph.shape(node.inputs[0])) == 3
        if wide or (isinstance(node, Synapse) and node.op == "conv"):
            found[node.inputs[0]] = 0
    return found


def reads(graph: Graph, node: Node, out: Region, channels: Mapping[str, int]) -> list[Read]:
    """Everything an entry needs to compute the elements ``out`` of its value, one item per input.

    ``channels`` are the :func:`channel_axes` of the graph.
    """
    if isinstance(node, Synapse):
        return [_dense(graph, node, out) if node.op == "dense" else _conv(graph, node, out)]
    if isinstance(node, Product):
        needed = _product(graph, node, out)
    elif isinstance(node, Reduce):
        needed = [_reduce(graph, node, out)]
    else:
        needed = [out]
    return [_read(node, i, need, channels) for i, need in zip(node.inputs, needed, strict=True)]


def elsewhere(graph: Graph) -> dict[str, Array]:
    """Value -> which of its elements a population elsewhere reads, or the host, however the graph is cut."""
    found: dict[str, Array] = {}
    channels = channel_axes(graph)
    for node in graph:
        shape = graph.shape(node.name)
        whole = region(np.arange(prod(shape)), shape)
        wanted = [(graph.output.name, whole.indices)] if isinstance(node, Output) else []
        if crosses(node):
            parts = (read.region.indices for read in reads(graph, node, whole, channels))
            needed = ((i, flat[fed(graph, node, i, flat)]) for i, flat in enumerate(parts))
            wanted = [(node.inputs[i], flat) for i, flat in needed]
        for value, flat in wanted:
            found.setdefault(value, np.zeros(prod(graph.shape(value)), dtype=bool))[flat] = True
    return found


def _read(node: Node, source: str, need: Region, channels: Mapping[str, int]) -> Read:
    last = len(need.shape) - 1
    return Read(node.name, source, need, tuple(a for a in range(last + 1) if a != channels.get(source, last)))


def _dense(graph: Graph, node: Synapse, out: Region) -> Read:
    source = node.inputs[0]
    shape, axes = graph.shape(source), tuple(range(len(out.shape) - 1))
    channels = every(shape[-1])
    if out.axes is not None:
        need = Region(shape, (*out.axes[:-1], channels))
        single = prod(len(a) for a in out.axes[:-1]) == 1
    else:
        rows = out.positions(axes)
        need = region((rows[:, None] * len(channels) + channels).ravel(), shape)
        single = len(rows) == 1
    return Read(node.name, source, need, None if single else axes)


def _conv(graph: Graph, node: Synapse, out: Region) -> Read:
    source = node.inputs[0]
    shape = graph.shape(source)
    outputs, inputs = node.weight.shape[0] // node.groups, node.weight.shape[1]
    blocks = np.unique(out.hull[0] // outputs)
    channels = (blocks[:, None] * inputs + np.arange(inputs)).ravel()
    rows = map(window, out.hull[1:], node.stride, node.weight.shape[2:], node.padding, shape[1:])
    return Read(node.name, source, Region(shape, (channels, *rows)), (1, 2))


def window(out: Array, stride: int, width: int, padding: int, size: int) -> Array:
    """Input coordinates 0 .. size-1 under the windows of sorted output coordinates."""
    if out[-1] - out[0] == len(out) - 1 and stride <= width:
        first, end = int(out[0]) * stride - padding, int(out[-1]) * stride - padding + width
        return np.arange(max(first, 0), max(min(end, size), 0))
    touched = np.zeros(size + 2 * padding + width, dtype=bool)
    for offset in range(width):
        touched[out * stride + offset] = True
    return np.flatnonzero(touched[padding : padding + size])


def _product(graph: Graph, node: Product, out: Region) -> list[Region]:
    left, right = node.einsum.left, node.einsum.right
    kept = dict(zip(node.einsum.out, out.hull, strict=True))
    if node.timing == "held":
        # A held operand is replaced as a whole: a core must see every element to know whether any spoke.
        kept = {c: indices for c, indices in kept.items() if c not in right}
    kept = used(graph, node, kept)
    found = []
    for letters, shape in zip((left, right), map(graph.shape, node.inputs), strict=True):
        axes = (kept[c] if c in kept else every(n) for c, n in zip(letters, shape, strict=True))
        found.append(Region(shape, tuple(axes)))
    return found


def used(graph: Graph, node: Product, kept: Mapping[str, Array]) -> dict[str, Array]:
    """For each letter of a product the indices that elements of the result use; all where each turn uses others."""
    return dict(kept) if graph.header.copies else node.narrowed(kept)


def fed(graph: Graph, node: Node, operand: int, flat: Array) -> Array:
    """Which of the elements of an input are sent to a node: to a product none without a term that is shown."""
    if not isinstance(node, Product) or graph.header.copies:
        return np.ones(len(flat), dtype=bool)
    mask = node.terms_of((node.einsum.left, node.einsum.right)[operand])
    shape = graph.shape(node.inputs[operand])
    return np.ones(len(flat), dtype=bool) if mask is None else np.broadcast_to(mask, shape).ravel()[flat]


def _reduce(graph: Graph, node: Reduce, out: Region) -> Region:
    shape = graph.shape(node.inputs[0])
    if node.window is not None:
        *lead, y, x = out.hull
        geometry = (y, x), node.stride or node.window, node.window, node.padding, shape[-2:]
        return Region(shape, (*lead, *map(window, *geometry)))
    gone = {a % len(shape) for a in node.axes}
    if out.axes is None:  # the product around scattered elements has some that none of them adds up
        left = tuple(1 if a in gone else n for a, n in enumerate(shape))
        first = np.ravel_multi_index(np.unravel_index(out.indices, left), shape)
        added = flat_of(tuple(every(n if a in gone else 1) for a, n in enumerate(shape)), shape)
        return region(np.sort(first[:, None] + added, axis=None), shape)
    kept = iter(h for a, h in enumerate(out.axes) if not node.keepdims or a not in gone)
    return Region(shape, tuple(every(n) if a in gone else next(kept) for a, n in enumerate(shape)))


def departures(graph: Graph, node: Node, operand: int) -> Array | int:
    """Connections that leave each element of an input of an entry: an array over its shape, or one number for all."""
    if isinstance(node, Product):
        a, b = node.inputs
        own, sizes = (
            (node.einsum.left, node.einsum.right)[operand],
            node.einsum.sizes(graph.shape(a), graph.shape(b)),
        )
        if node.shown is None:
            return prod(n for c, n in sizes.items() if c not in own)
        letters, table = node.shown
        gone = tuple(i for i, c in enumerate(letters) if c not in own)
        met = table.sum(axis=gone, keepdims=True) * prod(
            n for c, n in sizes.items() if c not in own + letters
        )
        left = [c for c in own if c in letters]
        turned = met.T if left == list(letters[::-1]) else met
        each = turned.reshape([sizes[c] if c in letters else 1 for c in own])
        return np.broadcast_to(each, tuple(sizes[c] for c in own))
    if isinstance(node, Synapse) and node.op == "dense":
        return int(node.weight.shape[0])
    shape, out = graph.shape(node.inputs[0]), graph.shape(node.name)
    if isinstance(node, Synapse):
        per_window = node.weight.shape[0] // node.groups
        return per_window * _covered(shape, out, node.weight.shape[2:], node.stride, node.padding)
    if isinstance(node, Reduce) and node.window is not None:
        return _covered(shape, out, node.window, node.stride or node.window, node.padding)
    return 1


def _covered(shape: Axes, out: Axes, widths: Axes, stride: Axes, padding: Axes) -> Array:
    """By how many windows over the last two axes each element is covered."""
    counts = []
    for size, results, width, step, pad in zip(shape[-2:], out[-2:], widths, stride, padding, strict=True):
        at = (np.arange(results)[:, None] * step + np.arange(width) - pad).ravel()
        counts.append(np.bincount(at[(at >= 0) & (at < size)], minlength=size))
    return np.broadcast_to(np.multiply.outer(*counts), shape)


def connections(graph: Graph, node: Node) -> int:
    """Incoming connections of one element of an entry."""
    if isinstance(node, Synapse):
        return int(prod(node.weight.shape[1:]))
    if isinstance(node, Product):
        a, b = node.inputs
        return 2 * node.einsum.terms(graph.shape(a), graph.shape(b))
    if isinstance(node, Reduce):
        shape = graph.shape(node.inputs[0])
        return prod(node.window) if node.window else prod(shape[a] for a in node.axes)
    return 1
