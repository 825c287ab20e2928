"""Sums a layer in parts where not even one of its outputs leaves a core room for all inputs.

Cuts share out the outputs of a layer, never its inputs: a table of words, or a dense layer on a large image, whose
inputs exceed the axons or the synapse memory of a core, or the connections of a neuron, does not fit, however finely it
is cut. Such a Synapse becomes several on slices of its input channels. Each is a population of its own, which sends its
partial sums as messages: a Delay of one step behind it brings them to where the neuron lives, and a Sum, which takes
the name of the layer, adds them up together with the bias. Integer sums have no order, so every element is the same at
every tick.

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
from ...ir.nodes import Const, Delay, Sum, Synapse, View
from ...ir.types import DENSE, Fixed, Interval, Shape, Value
from ...ir.widths import MESSAGE_BITS
from ...passes._edit import Fresh, edit
from ...target import Target
from ..demand import synapse_words, weight_bits
from ..limits import fill, usage
from ..reads import connections, reads
from ..regions import Region
from ..types import Demand
from ._base import Layout

#: share of a core that one output of a part may take: the rest is for further outputs and other tables
ROOM = 0.75


class FanIn(Layout):
    """A Sum of delayed parts in the place of each layer whose inputs exceed a core."""

    name = "fan_in"
    title = "a layer with more inputs than a core takes is summed in parts"

    def rewrite(self, graph: Graph, target: Target) -> Graph:
        """The same graph, with layers in parts where they would not fit otherwise."""
        if not target.features.graded_payload.allowed:
            return graph
        for node in graph.of(Synapse):
            if _share(graph, node, target) > 1 and _divisible(graph, node):
                graph = _divided(graph, node, target)
        return graph


def _share(graph: Graph, node: Synapse, target: Target) -> float:
    """What one output of a layer needs of a core, as a share of the scarcest resource: above 1 no cut fits."""
    bits = weight_bits(node.weight)
    bits = target.limits.weight_bits.round_up(bits) or bits
    found = []
    for out in _smallest(graph, node):
        (read,) = reads(graph, node, out, {})
        words = synapse_words(node, out, read, bits, target)
        demand = Demand(out.size, out.size, 1, words, read.axons, fan_in=connections(graph, node))
        found.append(fill(usage(demand, target))[0])
    return min(found)


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


def _divided(graph: Graph, node: Synapse, target: Target) -> Graph:
    """The graph with a layer in the fewest parts that leave room and whose sums fit messages, or as it was."""
    count = ceil(_share(graph, node, target))
    while count <= node.weight.shape[1]:
        fresh = _in_parts(graph, node, count)
        made = edit(graph, {node.name: fresh}, {})
        parts = [n for n, _ in fresh if isinstance(n, Synapse)]
        excess = max(max(_share(made, p, target) / ROOM, _width(made, p, target)) for p in parts)
        if excess <= 1:
            return made
        count = max(count + 1, ceil(count * excess))
    return graph


def _width(graph: Graph, part: Synapse, target: Target) -> float:
    """The largest sum of a part, as a share of what a message carries."""
    limits, interval = target.limits, graph.values[part.name].interval
    given = (limits.payload_bits.value, limits.message_bits.value, MESSAGE_BITS)
    most = (1 << (min(bits for bits in given if bits is not None) - 1)) - 1
    return interval.magnitude / max(most, 1) if interval else 0.0


def _in_parts(graph: Graph, node: Synapse, count: int) -> Fresh:
    """What stands in the place of a layer: its parts, each behind a slice and before a Delay, the bias, and the Sum."""
    ends = [i * node.weight.shape[1] // count for i in range(count + 1)]
    parts = [_part(graph, node, i, start, stop) for i, (start, stop) in enumerate(pairwise(ends))]
    bias = [] if node.bias is None else [_bias(graph, node)]
    summed = tuple(found[-1][0].name for found in (*parts, bias) if found)
    total = Sum(name=node.name, inputs=summed, origin=node.origin)
    return [*(made for part in parts for made in part), *bias, (total, graph.values[node.name])]


def _part(graph: Graph, node: Synapse, number: int, start: int, stop: int) -> Fresh:
    """A slice of the input channels, the weights for it, and the Delay that sends their sums on."""
    seen, weighted, late = (free_name(f"{node.name}_{k}{number}", graph.nodes) for k in ("in", "part", "sum"))
    source = graph.values[node.inputs[0]]
    axis = 0 if node.op == "conv" else len(source.shape.sizes) - 1
    view = View(name=seen, inputs=node.inputs, op="slice", args=(axis, start, stop, 1), origin=node.origin)
    shown = replace(source, shape=source.shape.resized(axis, stop - start), fixed=_sliced(view, source))
    weight = node.weight[:, start:stop]
    part = replace(node, name=weighted, inputs=(seen,), weight=weight, bias=None)
    # Only the shape of the sums is asked for, and that is the layer's own.
    bounds = intervals.step(replace(part, name=node.name), [_entering(shown)], graph)
    value = intervals.describe(graph.values[node.name], part, bounds)
    sent = Delay(name=late, inputs=(weighted,), origin=node.origin, steps=1)
    return [(view, shown), (part, value), (sent, value)]


def _sliced(view: View, value: Value) -> Fixed | None:
    """The representation of a slice: units that differ by element are sliced as well."""
    if value.fixed is None or not np.ndim(value.fixed.scale):
        return value.fixed
    return replace(value.fixed, scale=view.apply([np.broadcast_to(value.fixed.scale, value.shape.sizes)]))


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
