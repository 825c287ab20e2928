"""Leaves out what no one reads and what is always 0: the terms of products that a constant mask hides.

In a causal model the score of a query and a later key is hidden from the softmax, whose weight for it is exactly 0.
Such a score is an element that nothing depends on, such a weight one that is 0 at every tick, and both follow from the
graph. Forwards: elements are always 0 behind a mask, and stay so through views, sums, delays, operators with f(0) = 0
and populations that say nothing where they are given nothing. Backwards: an element is idle where whoever reads it
reads something else, or multiplies it by what is always 0. Where a product has two letters such that, for certain
indices, elements of its result are idle or those of an operand always 0, it leaves out the terms with these
(``Product.shown``): nobody computes, counts or waits for them. What is read out is what it was; a score that was hidden
becomes 0.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np

from ..array import Array
from ..ir.graph import Graph
from ..ir.micro_op import MICROCODE
from ..ir.neuron_model import NEURONS
from ..ir.nodes import Delay, Micro, Neuron, Node, Product, Sum, Synapse, View
from ..ir.types import Interval, Value
from ._diagonal import channel_axis, factors
from ._edit import edit

#: of some values which elements, in the shape of the value; of all others none
Known = dict[str, Array]


def leave_out(graph: Graph) -> Graph:
    """The same integer graph whose products compute no term that is hidden, or always 0."""
    zero = _zero(graph)
    idle = _idle(graph, zero) if zero else {}
    changed = {}
    for node in graph.of(Product):
        found = _shown(graph, node, zero, idle)
        if found is not None:
            changed[node.name] = [(replace(node, shown=found), _with_zero(graph.values[node.name]))]
    return edit(graph, changed, {}) if changed else graph


def _with_zero(value: Value) -> Value:
    bounds = value.interval
    if bounds is None or bounds.lo <= 0 <= bounds.hi:
        return value
    return replace(value, interval=Interval(min(bounds.lo, 0), max(bounds.hi, 0), bounds.proven))


def _shown(graph: Graph, node: Product, zero: Known, idle: Known) -> tuple[str, Array] | None:
    """The letters and terms of a product that matter; None where all do."""
    equation = node.einsum
    if node.timing == "held" or node.shown is not None or equation.repeats:
        return None
    a, b = node.inputs
    places = (
        (equation.out, idle.get(node.name), equation.rows, equation.columns),
        (equation.left, zero.get(a), equation.rows, equation.summed),
        (equation.right, zero.get(b), equation.columns, equation.summed),
    )
    best: tuple[str, Array] | None = None
    for letters, left_out, rows, others in places:
        if left_out is None:
            continue
        for x, y in product(rows, others):
            keep = letters.index(x), letters.index(y)
            gone = tuple(axis for axis in range(len(letters)) if axis not in keep)
            hidden = left_out.all(axis=gone)
            shown = ~(hidden if keep[0] < keep[1] else hidden.T)
            whole = shown.any(axis=0).all() and shown.any(axis=1).all()
            if whole and shown.mean() < (1.0 if best is None else best[1].mean()):
                best = x + y, shown
    return best


# --- what is always 0 ---------------------------------------------------------------------------------------------


def _zero(graph: Graph) -> Known:
    found: Known = {}
    for node in graph:
        zero = _always_zero(graph, node, found)
        if zero is not None and zero.any():
            found[node.name] = np.broadcast_to(zero, graph.shape(node.name))
    return found


def _always_zero(graph: Graph, node: Node, zero: Known) -> Array | None:
    """Which elements of a node are 0 at every tick, given those of its inputs; None: none that is known."""
    if isinstance(node, Micro) and (hidden := MICROCODE[node.op].hides(node.params)) is not None:
        return hidden
    if isinstance(node, Synapse) and (scale := _factors(graph, node)) is not None:
        silent = scale == 0 if node.bias is None or not node.bias.any() else np.zeros(scale.shape, dtype=bool)
        return np.asarray(silent | zero.get(node.inputs[0], np.zeros(1, dtype=bool)))
    known = [zero.get(name) for name in node.inputs]
    if all(part is None for part in known):
        return None
    if isinstance(node, Product) and node.einsum.elementwise:
        a, b = (np.zeros(1, dtype=bool) if part is None else part for part in known)
        return a | b
    if isinstance(node, View):
        parts = zip(node.inputs, known, strict=True)
        none = (np.zeros(graph.shape(i), dtype=bool) if part is None else part for i, part in parts)
        return np.asarray(node.apply(list(none)))
    if isinstance(node, Sum) and all(part is not None for part in known):
        every = [np.broadcast_to(part, graph.shape(node.name)) for part in known if part is not None]
        return np.asarray(np.logical_and.reduce(every))
    keeps = isinstance(node, Delay) or (
        isinstance(node, (Micro, Neuron)) and _of_nothing_nothing(graph, node)
    )
    return known[0] if keeps else None


def _factors(graph: Graph, node: Synapse) -> Array | None:
    """The factors of a diagonal synapse, one for each element along its axis of channels."""
    found = factors(node)
    if found is None:
        return None
    shape = [1] * len(graph.shape(node.name))
    shape[channel_axis(node)] = len(found)
    return found.reshape(shape)


def _of_nothing_nothing(graph: Graph, node: Micro | Neuron) -> bool:
    """Whether an element that is 0 at every tick makes one that is: found by computing it."""
    ticks = range(1, graph.header.timesteps + 1)
    none = np.zeros((1,), dtype=np.int64)
    if isinstance(node, Micro):
        op = MICROCODE[node.op]
        ends = [None if op.row else op.bounds(op.at(node.params, t), none, none) for t in ticks]
        return all(end is not None and not np.any(end) for end in ends)
    model = NEURONS[node.model]
    if model.inputs > 1:
        return False
    params = [node.params[name] for name in model.int_params]
    none = np.zeros(np.broadcast_shapes((1,), *map(np.shape, params)), dtype=np.int64)
    state: tuple[Array, ...] = (none,) * len(model.state)
    for t in ticks:
        state = (none,) * len(model.state) if node.resets(t) else state
        out, *state, _ = model.int_step(none, *state, *params)  # type: ignore[assignment]
        if np.any(out):
            return False
    return True


# --- what nobody reads --------------------------------------------------------------------------------------------


def _idle(graph: Graph, zero: Known) -> Known:
    found: Known = {}
    for node in reversed(list(graph)):
        idle: Array | None = None
        for reader in (graph.nodes[name] for name in graph.consumers[node.name]):
            for operand in (i for i, name in enumerate(reader.inputs) if name == node.name):
                unread = _unread(graph, reader, operand, zero, found)
                idle = unread if idle is None else idle & unread
        if idle is not None and idle.any():
            found[node.name] = np.broadcast_to(idle, graph.shape(node.name))
    return found


def _unread(graph: Graph, node: Node, operand: int, zero: Known, idle: Known) -> Array:
    """Which elements of an input do not matter to a node, given those of itself that matter to nobody."""
    source, nothing = node.inputs[operand], np.zeros(1, dtype=bool)
    shape, own = graph.shape(source), idle.get(node.name, nothing)
    if isinstance(node, Micro) and (hidden := MICROCODE[node.op].hides(node.params)) is not None:
        return np.broadcast_to(hidden, shape)
    if isinstance(node, View) and node.name in idle:
        starts = np.cumsum([0, *(int(np.prod(graph.shape(name))) for name in node.inputs)])
        places = [
            np.arange(start, end).reshape(graph.shape(name))
            for start, end, name in zip(starts[:-1], starts[1:], node.inputs, strict=True)
        ]
        # Padding shows nothing: what it looks like, the first element, counts as read.
        read = np.unique(np.asarray(node.apply(places))[~own])
        unread = np.ones(int(starts[-1]), dtype=bool)
        unread[read] = False
        return unread[starts[operand] : starts[operand + 1]].reshape(shape)
    if shape != graph.shape(node.name):
        return nothing
    if isinstance(node, Product) and node.einsum.elementwise:
        return own | zero.get(node.inputs[1 - operand], nothing)
    if isinstance(node, Synapse) and (scale := _factors(graph, node)) is not None:
        return np.asarray(own | (scale == 0))
    row = isinstance(node, Micro) and MICROCODE[node.op].row
    return own if isinstance(node, (Neuron, Sum, Delay, Micro)) and not row else nothing
