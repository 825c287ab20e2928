"""What a tile reads: for each entry of a group, which elements of which value it needs, and as how many messages.

A *position* is what one axon stands for: all axes but the last (dense over tokens, products, delays, reductions), or
(y, x) for convolutions and windows; the channel travels in the message. A dense synapse with a single position on the
tile has one axon per input element instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

from ..ir.graph import Graph
from ..ir.nodes import Node, Product, Reduce, Synapse
from .regions import Region, region


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


def reads(graph: Graph, node: Node, out: Region) -> list[Read]:
    """Everything an entry needs to compute the elements ``out`` of its value, one item per input."""
    if isinstance(node, Synapse):
        return [_dense(graph, node, out) if node.op == "dense" else _conv(graph, node, out)]
    if isinstance(node, Product):
        return _product(graph, node, out)
    if isinstance(node, Reduce):
        return [_reduce(graph, node, out)]
    source = node.inputs[0]
    return [Read(node.name, source, out, _leading(out.shape))]


def _leading(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(range(max(len(shape) - 1, 0)))


def _dense(graph: Graph, node: Synapse, out: Region) -> Read:
    source = node.inputs[0]
    shape, axes = graph.shape(source), _leading(out.shape)
    channels = np.arange(shape[-1])
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
    hull = out.hull
    outputs, inputs = node.weight.shape[0] // node.groups, node.weight.shape[1]
    blocks = np.unique(hull[0] // outputs)
    channels = (blocks[:, None] * inputs + np.arange(inputs)).ravel()
    widths = node.weight.shape[2:]
    rows = [window(hull[1 + i], node.stride[i], widths[i], node.padding[i], shape[1 + i]) for i in (0, 1)]
    return Read(node.name, source, Region(shape, (channels, *rows)), (1, 2))


def window(out: np.ndarray, stride: int, width: int, padding: int, size: int) -> np.ndarray:
    """Input coordinates 0 .. size-1 under the windows of sorted output coordinates."""
    if out[-1] - out[0] == len(out) - 1 and stride <= width:
        first, end = int(out[0]) * stride - padding, int(out[-1]) * stride - padding + width
        return np.arange(max(first, 0), max(min(end, size), 0))
    touched = np.zeros(size + 2 * padding + width, dtype=bool)
    for offset in range(width):
        touched[out * stride + offset] = True
    return np.flatnonzero(touched[padding : padding + size])


def _product(graph: Graph, node: Product, out: Region) -> list[Read]:
    left, right, result = node.equation.replace("->", ",").replace(" ", "").split(",")
    kept = dict(zip(result, out.hull, strict=True))
    found = []
    for letters, source in zip((left, right), node.inputs, strict=True):
        shape = graph.shape(source)
        axes = tuple(kept.get(c, np.arange(n)) for c, n in zip(letters, shape, strict=True))
        found.append(Read(node.name, source, Region(shape, axes), _leading(shape)))
    return found


def _reduce(graph: Graph, node: Reduce, out: Region) -> Read:
    source = node.inputs[0]
    shape = graph.shape(source)
    if node.window is not None:
        stride = node.stride or node.window
        lead, last = len(shape) - 2, (len(shape) - 2, len(shape) - 1)
        rows = [
            window(out.hull[a], stride[i], node.window[i], node.padding[i], shape[a])
            for i, a in enumerate(last)
        ]
        return Read(node.name, source, Region(shape, (*out.hull[:lead], *rows)), last)
    gone = {a % len(shape) for a in node.axes}
    kept = iter(h for a, h in enumerate(out.hull) if not node.keepdims or a not in gone)
    axes = tuple(np.arange(n) if a in gone else next(kept) for a, n in enumerate(shape))
    return Read(node.name, source, Region(shape, axes), _leading(shape))


def connections(graph: Graph, node: Node) -> int:
    """Incoming connections of one element of an entry."""
    if isinstance(node, Synapse):
        return int(prod(node.weight.shape[1:]))
    if isinstance(node, Product):
        left, right, result = node.equation.replace("->", ",").replace(" ", "").split(",")
        sizes = dict(zip(left, graph.shape(node.inputs[0]), strict=True))
        sizes |= dict(zip(right, graph.shape(node.inputs[1]), strict=True))
        return 2 * prod(n for c, n in sizes.items() if c not in result)
    if isinstance(node, Reduce):
        shape = graph.shape(node.inputs[0])
        return prod(node.window) if node.window else prod(shape[a] for a in node.axes)
    return 1
