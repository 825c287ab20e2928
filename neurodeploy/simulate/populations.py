"""Neuron populations: the registered integer step, from rest or from the last reset on."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np

from ..array import Array
from ..ir.graph import Graph
from ..ir.neuron_model import NEURONS, NeuronModel
from ..ir.nodes import Neuron
from . import arithmetic
from . import run as running
from .fused import Fused, Step, Values


def neuron(node: Neuron, graph: Graph) -> running.Step:
    """A population of a registered model."""
    fused = program(node, graph)

    def step(args: list[Array], run: running.Run) -> Array:
        ticks = max(len(x) for x in args) if fused.lasting else run.ticks
        begin = run.begin.get(node.name, ())
        batch = max(len(x) for x in (*(x[0] for x in args), *begin))
        watched = node.name in run.states or node.name in run.begin
        parts, kept, clipped = [], list[list[Array]](), 0
        for part in _stretches(node, ticks):
            # a step starts without state: that is what a reset is
            here = [x[part] if len(x) > 1 else x for x in args]
            if watched:
                first = begin if part.start == 0 else ()
                out, states, count = fused.by_numpy(here, part.stop - part.start, batch, begin=first)
                kept.append(states)
            else:
                out, count = fused(here, part.stop - part.start)
            parts.append(out)
            clipped += count
        if node.name in run.states:
            run.states[node.name] = [np.concatenate(found) for found in zip(*kept, strict=True)]
        run.count(node, clipped, ticks)
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    return step


def program(node: Neuron, graph: Graph) -> Fused:
    """The population of a node, which runs by itself."""
    model = NEURONS[node.model]
    params = {name: node.params[name] for name in model.int_params}
    inputs = [arithmetic.ends(graph, name) for name in node.inputs]
    states = [(-(1 << (s.bits - 1)), (1 << (s.bits - 1)) - 1) for s in model.state]
    kind = arithmetic.storage(graph, node.name)
    step, traced = _step(model, "int_step"), lambda: (_step(model, model.traced), params)
    return Fused(step, graph.shape(node.name), False, inputs, params, kind, states, compiled=traced)


def _step(model: NeuronModel, name: str) -> Step:
    one_tick = getattr(model, name)

    def step(inputs: Values, states: Values, params: Mapping[str, Any]) -> Any:
        out, *after, clipped = one_tick(*inputs, *states, *(params[name] for name in model.int_params))
        return out, after, clipped

    return step


def _stretches(node: Neuron, ticks: int) -> list[slice]:
    """Ticks from one reset to the next."""
    cuts = [0, *(t - 1 for t in range(2, ticks + 1) if node.resets(t)), ticks]
    return [slice(a, b) for a, b in pairwise(cuts)]
