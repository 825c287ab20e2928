"""Recurrence: the nodes between a neuron and the synapses that read its earlier spikes, run tick by tick.

Everything else is computed over all ticks at once; inside a loop a value of tick t needs others of tick t - 1. Sums,
views, products and operators without memory are the engine's own steps on one tick; neurons keep their state here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from ..array import Array
from ..ir.graph import Graph
from ..ir.neuron_model import NEURONS
from ..ir.nodes import Neuron, Node, Synapse
from . import arithmetic, linear
from .run import Run, Step

Values = dict[str, Array]
States = dict[str, list[Array]]  # of the neurons of one run
TickStep = Callable[[Values, States, int, Run], Array]


@dataclass(frozen=True, eq=False)
class Unit:
    """Nodes that are computed together: one alone over all ticks, or a loop tick by tick."""

    nodes: tuple[Node, ...]
    loop: bool = False


def units(graph: Graph) -> list[Unit]:
    """The graph's nodes, loops together, in an order in which everything a unit reads was computed before it."""
    loop_of = graph.loops
    members: dict[int | str, list[Node]] = {}
    for node in graph:
        members.setdefault(loop_of.get(node.name, node.name), []).append(node)
    waiting, done, found = list(members.values()), set[str](), []
    while waiting:
        nodes = next(n for n in waiting if all(i in done or i in _names(n) for m in n for i in m.inputs))
        waiting.remove(nodes)
        done |= _names(nodes)
        found.append(Unit(tuple(nodes), nodes[0].name in loop_of))
    return found


def _names(nodes: list[Node]) -> set[str]:
    return {node.name for node in nodes}


def loop(unit: Unit, graph: Graph, plans: Mapping[type[Node], Callable[..., Step]]) -> Callable[..., None]:
    """run(env, run, batch): computes the values of a loop's nodes for all ticks and adds them to ``env``."""
    kinds = {node.name: arithmetic.storage(graph, node.name) for node in unit.nodes}
    steps = [(node.name, _step(node, graph, plans)) for node in unit.nodes]

    def all_ticks(env: Values, run: Run, batch: int) -> None:
        for name, kind in kinds.items():
            env[name] = np.zeros((run.ticks, batch, *graph.shape(name)), kind)
        states: States = {}
        for t in range(run.ticks):
            for name, step in steps:
                env[name][t] = step(env, states, t, run)

    return all_ticks


def _at(x: Array, t: int) -> Array:
    """(1, B, ...) of tick t of a value (T or 1, B, ...)."""
    return x[t : t + 1] if len(x) > 1 else x[:1]


def _step(node: Node, graph: Graph, plans: Mapping[type[Node], Callable[..., Step]]) -> TickStep:
    if isinstance(node, Synapse):
        return _synapse(node, graph)
    if isinstance(node, Neuron):
        return _neuron(node, graph)
    plain = plans[type(node)](node, graph)  # without memory, or levels.verify refuses it in a loop

    def step(env: Values, states: States, t: int, run: Run) -> Array:
        value: Array = plain([_at(env[i], t) for i in node.inputs], Run(1, run.saturations, before=t))[0]
        return value

    return step


def _synapse(node: Synapse, graph: Graph) -> TickStep:
    parts = linear.parts(node, graph)
    bias = linear.spread_bias(node)

    def step(env: Values, states: States, t: int, run: Run) -> Array:
        x = env[node.inputs[0]]
        arrived = (part([_at(x, t - delay)], run)[0] for delay, part in parts if delay <= t)
        return sum(arrived, start=np.asarray(bias))

    return step


def _neuron(node: Neuron, graph: Graph) -> TickStep:
    model = NEURONS[node.model]
    params = [np.asarray(node.params[name], dtype=np.int64) for name in model.int_params]

    def step(env: Values, states: States, t: int, run: Run) -> Array:
        inputs = [_at(env[i], t)[0].astype(np.int64) for i in node.inputs]
        shape = np.broadcast_shapes(*(x.shape for x in inputs), (1, *graph.shape(node.name)))
        zero = np.zeros(shape, np.int64)
        if t == 0 or node.resets(t + 1):
            begin = run.begin.get(node.name, ()) if t == 0 else ()
            states[node.name] = [zero + part for part in begin] or [zero] * len(model.state)
        value: Array
        value, *after = model.int_step(*(x + zero for x in inputs), *states[node.name], *params)
        run.count(node, int(np.sum(after.pop())), run.ticks)
        states[node.name] = after
        if node.name in run.states:
            kept = [state[None] for state in after]
            before = run.states[node.name]
            run.states[node.name] = (
                [np.concatenate(pair) for pair in zip(before, kept, strict=True)] if t else kept
            )
        return value

    return step
