"""Neuron populations: one compiled loop over samples, ticks and elements."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .. import registry
from ..ir.graph import Graph
from ..ir.nodes import Neuron
from . import arithmetic, kernels

if TYPE_CHECKING:
    from .engine import Run, Step


#: populations of at least this many updates per run are worth a kernel of their own
SPECIALISE_UPDATES = 1 << 16


def neuron(node: Neuron, graph: Graph) -> Step:
    """A population of a registered model."""
    shape, model = graph.shape(node.name), registry.neuron(node.model)
    values = [node.params[name] for name in model.int_params]
    arrays = any(np.size(v) > 1 for v in values)
    params = [np.ascontiguousarray(np.broadcast_to(v, shape), dtype=np.int64).ravel() if arrays
              else np.int64(np.asarray(v).item()) for v in values]  # fmt: skip
    fixed = [values[i] for i in kernels.constant_positions(node.model)]
    constants = tuple(int(v) for v in fixed) if all(np.ndim(v) == 0 for v in fixed) else ()
    kind = np.float32 if arithmetic.magnitude(graph, node.name) < arithmetic.FLOAT32_EXACT else np.int64

    def step(args: list[np.ndarray], run: Run) -> np.ndarray:
        x = _flat(args[0], shape)
        out = np.empty((run.ticks if model.state else len(x), *x.shape[1:]), dtype=kind)
        kernel = kernels.neuron_kernel(
            node.model, arrays, constants if out.size >= SPECIALISE_UPDATES else ()
        )
        clipped = kernels.in_parts(
            lambda part: kernel(x, out, part.start, part.stop, *params), x.shape[1], out.size
        )
        run.count(node, clipped, len(out))
        return out.reshape(*out.shape[:2], *shape)

    return step


def _flat(x: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """(T or 1, B, P) as kernels take it."""
    return kernels.plain(np.broadcast_to(x, (*x.shape[:2], *shape))).reshape(*x.shape[:2], -1)
