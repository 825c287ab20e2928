"""Neuron populations: one compiled loop over samples, ticks and elements."""

from __future__ import annotations

from itertools import pairwise
from math import prod

import numpy as np

from ..array import Array
from ..ir.graph import Graph
from ..ir.neuron_model import NEURONS
from ..ir.nodes import Neuron
from . import arithmetic, kernels
from .run import Run, Step

#: populations of at least this many updates per sample are worth a kernel of their own
SPECIALISE_UPDATES = 1 << 10


def neuron(node: Neuron, graph: Graph) -> Step:
    """A population of a registered model."""
    shape, model = graph.shape(node.name), NEURONS[node.model]
    values = [node.params[name] for name in model.int_params]
    params = [np.ascontiguousarray(np.broadcast_to(v, shape), dtype=np.int64).ravel() for v in values]
    fixed = [values[i] for i in kernels.constant_positions(node.model)]
    large = graph.header.timesteps * prod(shape) >= SPECIALISE_UPDATES
    constants = tuple(int(v) for v in fixed) if large and all(np.ndim(v) == 0 for v in fixed) else ()
    kernel = kernels.neuron_kernel(node.model, constants)
    kind = np.float32 if arithmetic.magnitude(graph, node.name) < arithmetic.FLOAT32_EXACT else np.int64

    def step(args: list[Array], run: Run) -> Array:
        batch = max(x.shape[1] for x in args)
        streams = [_flat(x, batch, shape) for x in args]
        ticks = run.ticks if model.state else max(len(x) for x in streams)
        out = np.empty((ticks, *streams[0].shape[1:]), dtype=kind)
        watched = node.name in run.states
        states = [np.empty(out.shape, dtype=np.int64) for _ in model.state] if watched else []
        act = kernels.neuron_kernel(node.model, traced=True) if watched else kernel
        clipped = 0
        for part in _stretches(node, ticks):
            # The kernel starts without state: that is what a reset is.
            here = [x[part] if len(x) > 1 else x for x in streams]
            clipped += act(*here, out[part], *(kept[part] for kept in states), *params)
        if watched:
            run.states[node.name] = [kept.reshape(*kept.shape[:2], *shape) for kept in states]
        run.count(node, clipped, ticks)
        return out.reshape(*out.shape[:2], *shape)

    return step


def _stretches(node: Neuron, ticks: int) -> list[slice]:
    """Ticks from one reset to the next."""
    cuts = [0, *(t - 1 for t in range(2, ticks + 1) if node.resets(t)), ticks]
    return [slice(a, b) for a, b in pairwise(cuts)]


def _flat(x: Array, batch: int, shape: tuple[int, ...]) -> Array:
    """(T or 1, B, P) as kernels take it."""
    return kernels.plain(np.broadcast_to(x, (len(x), batch, *shape))).reshape(len(x), batch, -1)
