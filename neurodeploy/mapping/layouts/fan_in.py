"""Sums a layer in parts where not even one of its outputs leaves a core room for all inputs.

Cuts share out the outputs of a layer, never its inputs: a table of words, or a dense layer on a large image, whose
inputs exceed the axons or the synapse memory of a core, or the connections of a neuron, does not fit, however finely it
is cut. Such a Synapse becomes several on slices of its input channels, which are one population with an axis more, the
parts: cores hold some of them, for some of the outputs. A Reduce, which takes the name of the layer, adds up what they
send, where the neuron lives, and a Sum the bias. Integer sums have no order: every element is the same at every tick.

There are as few parts as fit, and more where they take fewer cores and no more messages: parts of a table of words are
silent but for one. Inputs at either end of a table that carry nothing (a mask of padding is 0 but for one word) are cut
off first, and if the rest fits, that is all.

A partial sum has to fit a message: that is proven from the weights and the bounds of the input, and where it cannot
be, there are more parts. What no number of parts makes fit stays as it is, and is refused as before (ND501); so it is
on targets without graded messages. Left alone are layers that fit, delayed and recurrent ones, all that lie in a loop,
where a further step would come too late, and convolutions in blocks of channels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from math import ceil

import numpy as np

from ...ir import intervals
from ...ir.graph import Graph, free_name
from ...ir.nodes import Const, Reduce, Sum, Synapse, View
from ...ir.types import DENSE, Fixed, Interval, Shape, Value
from ...ir.widths import MESSAGE_BITS
from ...passes._edit import Fresh, edit
from ...passes.balance import host
from ...target import Target
from ..demand import layer_bits, layer_words
from ..limits import fill, usage
from ..reads import connections
from ..regions import Region
from ..types import Demand
from ._base import Layout
from ._views import shown

#: share of a core that one output of a part may take: the rest is for further outputs and other tables
ROOM = 0.75


class FanIn(Layout):
    """A Reduce over parts in the place of each layer whose inputs exceed a core."""

    name = "fan_in"
    title = "a layer with more inputs than a core takes is summed in parts"

    def rewrite(self, graph: Graph, target: Target) -> Graph:
        """The same graph, with layers in parts where they would not fit otherwise."""
        if not target.features.graded_payload.allowed:
            return graph
        outside = host(graph)
        for node in (n for n in graph.of(Synapse) if not n.hosted):
            if _share(graph, node, target) > 1 and _divisible(graph, node):
                short, layer = _trimmed(graph, node) if node.inputs[0] in outside else (graph, node)
                graph = short if _share(short, layer, target) <= 1 else _divided(short, layer, target)
        return graph


def _share(graph: Graph, node: Synapse, target: Target) -> float:
    """What one output of a layer needs of a core, as a share of the scarcest resource: above 1 no cut fits."""
    bits = layer_bits(graph, node, target)
    return min(_fill(graph, node, target, out, bits) for out in _smallest(graph, node))


def _fill(graph: Graph, node: Synapse, target: Target, out: Region, bits: int, parts: int = 1) -> float:
    """What some outputs of a layer, or of one of its parts, need of a core, as a share of the scarcest resource."""
    words, read = layer_words(graph, node, target, out, bits)
    inputs, fan_in = node.weight.shape[1], connections(graph, node)
    here = -(-inputs // parts)
    axons = read.axons * here // inputs if read.position is None else read.axons
    demand = Demand(out.size, out.size, 1, words * here // inputs, axons, fan_in=fan_in * here // inputs)
    return fill(usage(demand, target))[0]


def _smallest(graph: Graph, node: Synapse) -> Iterator[Region]:
    """One output, and one channel at two positions of a dense layer: those need an axon each, not one per input."""
    shape = graph.shape(node.name)
    one = tuple(np.arange(1) for _ in shape)
    yield Region(shape, one)
    several = next((axis for axis, size in enumerate(shape[:-1]) if size > 1), None)
    if node.op == "dense" and several is not None:
        yield Region(shape, (*one[:several], np.arange(2), *one[several + 1 :]))


def _divisible(graph: Graph, node: Synapse) -> bool:
    return node.delays == (0,) and node.groups == 1 and node.name not in graph.loops


def _trimmed(graph: Graph, node: Synapse) -> tuple[Graph, Synapse]:
    """The graph with a layer that does not read what it has no weights for, at either end of its inputs; the layer."""
    used = np.flatnonzero(node.weight.any(axis=tuple(a for a in range(node.weight.ndim) if a != 1)))
    start, stop = (int(used[0]), int(used[-1]) + 1) if len(used) else (0, 1)
    if stop - start == node.weight.shape[1]:
        return graph, node
    seen = free_name(f"{node.name}_in", graph.nodes)
    layer = replace(node, inputs=(seen,), weight=node.weight[:, start:stop])
    fresh = [_slice(graph, node, seen, start, stop), (layer, graph.values[node.name])]
    return edit(graph, {node.name: fresh}, {}), layer


def _divided(graph: Graph, node: Synapse, target: Target) -> Graph:
    """The graph with a layer in parts that leave room and whose sums fit messages, or as it was."""
    count = ceil(_share(graph, node, target))
    if _quiet(graph, node, count):
        count = max(count, _cheapest(graph, node, target))
    while count <= node.weight.shape[1]:
        fresh = _in_parts(graph, node, count)
        made = edit(graph, {node.name: fresh}, {})
        parts = [n for n, _ in fresh if isinstance(n, Synapse)]
        excess = max(max(_share(made, p, target) / ROOM, _width(made, p, target)) for p in parts)
        if excess <= 1:
            return made
        count = max(count + 1, ceil(count * excess))
    return graph


def _quiet(graph: Graph, node: Synapse, count: int) -> bool:
    """Whether calibration saw no more inputs of a position speak at a time than there are parts, on average."""
    known = graph.values[graph.upwards(node.inputs[0], lambda n: isinstance(n, View))[-1].name].activity
    return known is not None and known.mean * node.weight.shape[1] <= count


def _cheapest(graph: Graph, node: Synapse, target: Target) -> int:
    """The number of parts by which a dense layer takes the fewest cores, each with some of its channels."""
    if node.op != "dense":
        return 1
    *places, channels = graph.shape(node.name)
    bits, found = layer_bits(graph, node, target), []
    for cuts in range(1, channels + 1):
        here = np.arange(-(-channels // cuts))
        out = Region(graph.shape(node.name), (*(np.arange(size) for size in places), here))
        if _fill(graph, node, target, out, bits, node.weight.shape[1]) > 1:
            continue  # too many neurons, whatever they read
        parts = ceil(_fill(graph, node, target, out, bits))
        while _fill(graph, node, target, out, bits, parts) > 1:
            parts += 1
        found.append((cuts * parts, parts))
    return min(found, default=(1, 1))[1]


def _width(graph: Graph, part: Synapse, target: Target) -> float:
    """The largest sum of a part, as a share of what a message carries."""
    limits, interval = target.limits, graph.values[part.name].interval
    given = (limits.payload_bits.value, limits.message_bits.value, MESSAGE_BITS)
    most = (1 << (min(bits for bits in given if bits is not None) - 1)) - 1
    return interval.magnitude / max(most, 1) if interval else 0.0


def _in_parts(graph: Graph, node: Synapse, count: int) -> Fresh:
    """What stands in the place of a layer: its parts, each behind a slice, side by side, their sum, and the bias."""
    ends = [i * node.weight.shape[1] // count for i in range(count + 1)]
    parts = [_part(graph, node, i, start, stop) for i, (start, stop) in enumerate(pairwise(ends))]
    last, out = [part[-1] for part in parts], graph.values[node.name]
    names = tuple(n.name for n, _ in last)
    whole = free_name(f"{node.name}_parts", graph.nodes)
    joined = View(name=whole, inputs=names, op="concat", args=(0,), origin=node.origin)
    spans = [value.interval for _, value in last if value.interval]
    hull = Interval(min(i.lo for i in spans), max(i.hi for i in spans), True)
    shape = last[0][1].shape.resized(0, count)
    side = intervals.describe(last[0][1], joined, intervals.of_interval(hull, shape.sizes))
    side = replace(side, shape=shape)
    total = Reduce(name=node.name, inputs=(whole,), op="sum", axes=(0,), origin=node.origin)
    made = [*(step for part in parts for step in part), (joined, side)]
    if node.bias is None:
        return [*made, (total, out)]
    bias, alone = _bias(graph, node), free_name(f"{node.name}_total", graph.nodes)
    summed = Sum(name=node.name, inputs=(alone, bias[0].name), origin=node.origin)
    return [*made, (replace(total, name=alone), out), bias, (summed, out)]


def _part(graph: Graph, node: Synapse, number: int, start: int, stop: int) -> Fresh:
    """A slice of the input channels, the weights for it, and their sums with an axis for the parts."""
    seen, weighted, late = (free_name(f"{node.name}_{k}{number}", graph.nodes) for k in ("in", "part", "sum"))
    view, source = _slice(graph, node, seen, start, stop)
    weight = node.weight[:, start:stop]
    part = replace(node, name=weighted, inputs=(seen,), weight=weight, bias=None)
    # Only the shape of the sums is asked for, and that is the layer's own.
    bounds = intervals.step(replace(part, name=node.name), [_entering(source)], graph)
    value = intervals.describe(graph.values[node.name], part, bounds)
    shape = Shape(("G", *value.shape.roles), (1, *value.shape.sizes))
    one = View(name=late, inputs=(weighted,), op="reshape", args=shape.sizes, origin=node.origin)
    return [(view, source), (part, value), (one, shown(one, value, shape))]


def _slice(graph: Graph, node: Synapse, name: str, start: int, stop: int) -> tuple[View, Value]:
    """A range of the input channels of a layer."""
    source = graph.values[node.inputs[0]]
    axis = 0 if node.op == "conv" else len(source.shape.sizes) - 1
    view = View(name=name, inputs=node.inputs, op="slice", args=(axis, start, stop, 1), origin=node.origin)
    return view, shown(view, source, source.shape.resized(axis, stop - start))


def _entering(value: Value) -> intervals.Bounds:
    """Bounds that hold for certain: what was only measured may take all of its declared width."""
    known = value.interval
    if known is None or not known.proven:
        spec = value.fixed or Fixed(MESSAGE_BITS, True, 1.0)
        known = Interval(*spec.limits, True)
    return intervals.of_interval(known, value.shape.sizes)


def _bias(graph: Graph, node: Synapse) -> tuple[Const, Value]:
    """The bias beside the partial sums: it is added where the neuron lives, and no part sends it."""
    out = graph.values[node.name]
    channel = 0 if node.op == "conv" else len(out.shape.sizes) - 1
    sizes = tuple(size if axis == channel else 1 for axis, size in enumerate(out.shape.sizes))
    numbers = np.asarray(node.bias).reshape(sizes)
    const = Const(name=free_name(f"{node.name}_bias", graph.nodes), value=numbers, origin=node.origin)
    span = Interval(int(numbers.min()), int(numbers.max()), True)
    value = replace(out, shape=Shape(out.shape.roles, sizes), code=DENSE, activity=None)
    return const, intervals.describe(value, const, intervals.of_interval(span, sizes))


MEMBER = FanIn()
