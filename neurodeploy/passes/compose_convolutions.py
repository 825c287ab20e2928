"""Convolutions in a row, with no neuron between them, become one, where that costs less.

A convolution of a convolution is one again, whose kernel is the convolution of both. At the borders the two are equal
where the outer one pads nothing, or where the inner one is of one pixel and what stands in the padding is what it makes
of zeros, its bias: then the zeros may as well stand in front of it. So a 1x1 layer with its norm, padded by what that
norm makes of zero, a depthwise 3x3 layer and another 1x1 layer are one zero-padded 3x3 layer.

What it costs: synaptic operations of a tick. A synapse behind spikes is taken to be met by :data:`SPARSE` of its
inputs, one behind another synapse by all of them, for sums of weights are not spikes. A depthwise 3x3 layer and a 1x1
layer behind spikes are composed by this rule: nine times the weights of the 1x1 layer, but met by spikes alone. With a
kernel of 7x7 they stay apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import prod

import numpy as np

from ..array import Array
from ..ir import codes
from ..ir.graph import Graph, prune
from ..ir.nodes import Node, Synapse, View
from ._edit import both_origins, constant_added, edit, exhausted

#: assumed share of neurons that spike in a tick, that of synthetic input
SPARSE = 0.1
#: two ways to compute a norm of zero differ by this much of the largest
ROUNDING = 1e-14


def compose_convolutions(graph: Graph) -> Graph:
    """A graph with fewer convolutions that read convolutions; meaning unchanged."""
    return exhausted(graph, _composed, tidy=prune)


@dataclass(frozen=True)
class _Link:
    """A convolution whose value another reads: padded by ``padding`` on both sides, with ``offset`` (O,) added.

    The offset is in the padding too, and holds the bias.
    """

    inner: Synapse
    padding: tuple[int, int]
    offset: Array


def _composed(graph: Graph, node: Node) -> Graph | None:
    """The graph with the row of convolutions that ends in ``node`` as one; of several rows that which saves most."""
    if not isinstance(node, Synapse):
        return None
    links = list(_links(graph, node))
    savings = [_saved(graph, node, links[: i + 1]) for i in range(len(links))]
    if max(savings, default=0.0) <= 0:
        return None
    whole = node
    for link in links[: savings.index(max(savings)) + 1]:
        whole = _joined(whole, link)
    return edit(graph, {node.name: [(whole, graph.values[node.name])]}, {})


def _links(graph: Graph, outer: Synapse) -> Iterator[_Link]:
    """The convolutions in front of one that may be composed with it, the nearest first."""
    whole = outer
    while whole.op == "conv" and whole.delays == (0,) and (link := _link(graph, whole)):
        yield link
        whole = replace(link.inner, padding=_joined_padding(whole, link))


def _link(graph: Graph, outer: Synapse) -> _Link | None:
    """What ``outer`` reads, as a padded convolution with an offset; None where it is none, or others read it."""
    node, path = graph.nodes[outer.inputs[0]], []
    while not isinstance(node, Synapse):
        added = constant_added(graph, node)
        if len(graph.consumers[node.name]) != 1 or not (added or _cuts(node)):
            return None
        path.append((node, None if added is None else added[1]))
        node = graph.nodes[node.inputs[0]] if added is None else added[0]
    if len(graph.consumers[node.name]) != 1 or node.op != "conv" or node.delays != (0,):
        return None
    sizes = graph.shape(node.name)
    bias = np.zeros(sizes[0]) if node.bias is None else node.bias
    places, field = np.arange(1, prod(sizes) + 1).reshape(sizes), np.broadcast_to(bias[:, None, None], sizes)
    for step, constant in reversed(path):
        if constant is not None:
            field = field + constant
        elif isinstance(step, View):
            places, field = step.apply([places]), step.apply([field])
    rows = np.asarray(field).reshape(sizes[0], -1)
    offset = rows[:, rows.shape[1] // 2]
    padding = _padding(places, sizes)
    if padding is None or np.abs(rows - offset[:, None]).max() > ROUNDING * np.abs(rows).max():
        return None
    link = _Link(node, padding, offset)
    return link if _exact(outer, link) else None


def _cuts(node: Node) -> bool:
    return isinstance(node, View) and node.op in ("pad", "slice")


def _padding(places: Array, sizes: Sequence[int]) -> tuple[int, int] | None:
    """How many zeros element numbers have around them, alike on both sides; None where they have anything else."""
    rows, columns = ((n - size) // 2 for n, size in zip(places.shape[1:], sizes[1:], strict=True))
    if min(rows, columns) < 0:
        return None
    whole = np.arange(1, prod(sizes) + 1).reshape(tuple(sizes))
    padded = np.pad(whole, ((0, 0), (rows, rows), (columns, columns)))
    return (rows, columns) if np.array_equal(padded, places) else None


def _exact(outer: Synapse, link: _Link) -> bool:
    """Whether the two are one convolution at the borders too."""
    inner = link.inner
    if any(outer.padding) and link.offset.any():
        return False
    pixel = inner.weight.shape[2:] == (1, 1) and inner.stride == (1, 1) and inner.padding == (0, 0)
    return pixel or not (any(outer.padding) or any(link.padding))


def _saved(graph: Graph, outer: Synapse, links: Sequence[_Link]) -> float:
    """Operations of a tick that are fewer, where all become one."""
    row = [outer, *(link.inner for link in links)]
    first = row[-1]
    code = codes.infer(graph).values[first.inputs[0]].code
    rate = SPARSE if code.kind in ("binary", "ternary", "multi") else 1.0
    each = [np.count_nonzero(node.weight) * prod(graph.shape(node.name)[1:]) for node in row]
    apart = sum(each[:-1]) + rate * each[-1]
    kernel, groups = outer.weight.shape[2:], outer.groups
    for link in links:
        kernel = _kernel(kernel, link.inner)
        groups = groups if groups == link.inner.groups else 1
    weights = len(outer.weight) * graph.shape(first.inputs[0])[0] // groups * prod(kernel)
    return float(apart - rate * weights * prod(graph.shape(outer.name)[1:]))


def _kernel(outer: Sequence[int], inner: Synapse) -> tuple[int, ...]:
    """The size of the kernel of both."""
    along = zip(outer, inner.stride, inner.weight.shape[2:], strict=True)
    return tuple((k - 1) * step + own for k, step, own in along)


def _joined(outer: Synapse, link: _Link) -> Synapse:
    """Both as one: K[o, c, s u + a] = sum over m and u of outer[o, m, u] inner[m, c, a], s the inner stride."""
    inner = link.inner
    first, second = _ungrouped(outer), _ungrouped(inner)
    weight = np.zeros((len(first), second.shape[1], *_kernel(first.shape[2:], inner)))
    height, width = second.shape[2:]
    for y, x in np.ndindex(*first.shape[2:]):
        top, left = y * inner.stride[0], x * inner.stride[1]
        weight[:, :, top : top + height, left : left + width] += np.tensordot(first[:, :, y, x], second, 1)
    bias = first.sum((2, 3)) @ link.offset + (0.0 if outer.bias is None else outer.bias)
    groups = outer.groups if outer.groups == inner.groups else 1
    rows, columns = _joined_padding(outer, link)
    stride = (outer.stride[0] * inner.stride[0], outer.stride[1] * inner.stride[1])
    return replace(
        outer, inputs=inner.inputs, weight=_grouped(weight, groups), bias=bias if bias.any() else outer.bias,
        stride=stride, padding=(rows, columns), groups=groups, origin=both_origins(inner, outer),
    )  # fmt: skip


def _joined_padding(outer: Synapse, link: _Link) -> tuple[int, int]:
    """The inner convolution's zeros, or those that stood behind it."""
    rows, columns = (
        sum(sides) for sides in zip(link.inner.padding, outer.padding, link.padding, strict=True)
    )
    return rows, columns


def _ungrouped(node: Synapse) -> Array:
    """The kernel over all input channels, zero where a group does not reach."""
    outputs, inputs, *window = node.weight.shape
    weight = np.zeros((node.groups, outputs // node.groups, node.groups, inputs, *window))
    for group, rows in enumerate(node.weight.reshape(node.groups, -1, inputs, *window)):
        weight[group, :, group] = rows
    return weight.reshape(outputs, node.groups * inputs, *window)


def _grouped(weight: Array, groups: int) -> Array:
    """The kernel without what lies between groups."""
    parts = np.split(weight, groups)
    return np.concatenate([np.split(part, groups, axis=1)[g] for g, part in enumerate(parts)])
