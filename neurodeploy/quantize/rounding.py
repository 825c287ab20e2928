"""Weights rounded so that what a layer sums up changes least on calibration samples, not each weight by itself.

The error of a layer's sums over inputs x is (w - q) H (w - q)^T with H = sum x x^T, for each row w and its integers q.
Columns are rounded one after the other, each to the nearest integer, and what that loses is given to the columns that
are still free, by H's inverse over these (GPTQ: Frantar et al. 2023, arXiv:2210.17323, eq. 2 and 3, with the Cholesky
factor and the damping of its section 3.3):
    U = upper Cholesky factor of (H + damp mean(diag H) I)^-1
    for j = 1 .. F:  q_j = clip(floor(w_j + 1/2));  w_k -= (w_j - q_j) U_jk / U_jj  for all k > j
Everything is float64 on the CPU, whatever ran the calibration. A row stays as it is rounded by itself where its
integers would reach further than weights that are all half a unit larger, which units leave room for. Weights that are
whole multiples of their unit stay exact. Connections with delays and neurons of more than :data:`MOST_INPUTS` inputs,
such as those behind tables of token ids, are rounded weight by weight.
"""

from __future__ import annotations

import numpy as np

from ..array import Array
from ..calibrate import batch_size, batches
from ..ir import interp
from ..ir.graph import Graph
from ..ir.nodes import Synapse

DAMP = 0.01  # of the mean second moment of inputs, as in the source
MOST_INPUTS = 4096  # the inverse of more takes minutes and half a gigabyte
PATCHES = 1 << 22  # inputs of a convolution's neurons that are held at a time


def moments(graph: Graph, samples: Array) -> dict[str, Array]:
    """Layer -> (groups, F, F), the sum of x x^T over samples, places and ticks, of the F inputs of its neurons.

    Layers of a float graph with the same inputs share theirs; what is rounded weight by weight has none.
    """
    layers: dict[tuple[object, ...], list[Synapse]] = {}
    for node in graph.of(Synapse):
        if node.delays == (0,) and node.weight[0].size <= MOST_INPUTS:
            windows = () if node.op == "dense" else (node.weight.shape[2:], node.stride, node.padding)
            layers.setdefault((node.inputs[0], node.groups, windows), []).append(node)
    found = {
        key: np.zeros((alike[0].groups, *(alike[0].weight[0].size,) * 2)) for key, alike in layers.items()
    }

    def see(name: str, x: Array) -> None:
        for key, alike in layers.items():
            if key[0] == name:
                x = np.broadcast_to(x, (len(batch), *x.shape[1:]))
                kernel = int(np.prod(alike[0].weight.shape[2:]))
                for part in batches(x, max(1, PATCHES // (x[0].size * kernel))):
                    rows = _rows(part, alike[0])
                    found[key] += rows.transpose(0, 2, 1) @ rows

    for batch in batches(samples, batch_size(graph)):
        interp.run(graph, batch, observe=see)
    return {node.name: found[key] for key, alike in layers.items() for node in alike}


def _rows(x: Array, node: Synapse) -> Array:
    """Values (B, *shape) as the inputs of each neuron (groups, neurons, F)."""
    if node.op == "dense":
        return x.reshape(1, -1, x.shape[-1])
    places = np.moveaxis(interp.patches(x, node), (4, 5), (1, 2))  # (B, Y, X, C, ky, kx)
    return places.reshape(-1, node.groups, node.weight[0].size).transpose(1, 0, 2)


def by_input(worth: Array, node: Synapse) -> Array:
    """What a unit of each input of a layer's neurons is worth, (groups, F), from one for all or for each channel."""
    channels = np.broadcast_to(worth, (node.groups * node.weight.shape[1],))
    return channels.repeat(node.weight[0, 0].size).reshape(node.groups, -1)


def nearest(weight: Array, limit: int) -> Array:
    """Integers for weights in units, each by itself, at most ``limit`` in magnitude."""
    ints: Array = np.clip(np.floor(weight + 0.5), -limit, limit).astype(np.int64)
    return ints


def fed_forward(weight: Array, moments: Array, limit: int) -> Array:
    """Integers for weights (O, ...) in units of their rows; ``moments`` (groups, F, F) are of inputs in whole units."""
    rows = weight.reshape(len(moments), -1, moments.shape[-1])
    parts = [_fed_forward(part, moment, limit) for part, moment in zip(rows, moments, strict=True)]
    return np.stack(parts).reshape(weight.shape)


def _fed_forward(weight: Array, moment: Array, limit: int) -> Array:
    alone, size = nearest(weight, limit), np.diagonal(moment).mean()
    if size == 0:
        return alone
    damped = moment + DAMP * size * np.eye(len(moment))
    upper = np.linalg.cholesky(np.linalg.inv(damped)).T
    left, found = weight.copy(), np.zeros_like(alone)
    for j in range(len(moment)):
        found[:, j] = nearest(left[:, j], limit)
        left[:, j:] -= np.outer((left[:, j] - found[:, j]) / upper[j, j], upper[j, j:])
    far = np.abs(found).sum(axis=1) > (np.abs(weight) + 0.5).sum(axis=1)
    found[far] = alone[far]
    return found
