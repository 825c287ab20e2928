"""Layers corrected for what spikes lose, one after the other, each on what the spiking network gives it.

A layer y = W x + b of the ANN is given x' in the spiking network, the mean over ticks, with the errors of all sites
before it. ``bias``: b takes the mean error, b + E[y - W x' - b] (bias correction of Nagel et al. 2019,
arXiv:1906.04721, measured on the converted network). ``weights``: W and b become the affine map of least error, the
least squares of layer-wise calibration (Hubara et al. 2021, arXiv:2006.10518) in closed form and without rounding,
    dW = argmin sum |(y - W x' - b) - dW (x' - E x') - db|^2 + ridge sum_cj dW_cj^2 sum (x'_j - E x'_j)^2
so that channels that vary together make up for each other's rounding. The ridge is relative to each channel's power,
so the result does not depend on how channels are scaled. It is chosen for each layer on the half of the samples that
did not fit it, among :data:`RIDGES` and no change of W; then all samples fit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from ..array import Array
from ..calibrate import MOST_HELD
from ..counted import tell
from ..ir import interp
from ..ir.graph import Graph
from ..ir.nodes import Neuron, Node, Synapse

Correct = Literal["none", "bias", "weights"]
#: for configs
CORRECT = "make layers up for what spikes before them lose: not at all, by biases, or by weights and biases"
RIDGES = (1e-3, 1e-2, 1e-1, 1.0, 10.0)


def corrected(source: Graph, spiking: Graph, samples: Array, correct: Correct) -> Graph:
    """The spiking graph with every layer behind a neuron corrected; ``source`` has the same layers by name."""
    if correct == "none":
        return spiking
    behind = _behind_neurons(spiking)
    x = samples[: _affordable(spiking)]
    floats = _Floats(source, x)
    changed: dict[str, Node] = {}

    def revised(node: Node, args: list[Array]) -> Node:
        if not isinstance(node, Synapse) or node.name not in behind:
            return node
        changed[node.name] = _fitted(node, args[0].mean(axis=0), floats.value(node.name), correct)
        return changed[node.name]

    for done, _ in enumerate(interp.run_by_node(spiking, x, revised), 1):
        tell(done, len(spiking.nodes), "nodes corrected")
    return replace(spiking, nodes={**spiking.nodes, **changed})


def _behind_neurons(graph: Graph) -> set[str]:
    """What any neuron has a part in."""
    found: set[str] = set()
    for node in graph:
        if isinstance(node, Neuron) or not found.isdisjoint(node.inputs):
            found.add(node.name)
    return found


class _Floats:
    """Values of the ANN, in the order of its graph, each kept only until the next is asked for."""

    def __init__(self, source: Graph, x: Array) -> None:
        self.values: Iterator[tuple[str, Array]] = interp.run_by_node(source.with_header(timesteps=1), x)

    def value(self, name: str) -> Array:
        return next(value[0] for found, value in self.values if found == name)


def _affordable(graph: Graph) -> int:
    """How many samples fit memory while all ticks of a node are computed before the next."""
    held, most = 0, 1
    for node in graph:
        held += graph.values[node.name].shape.size
        most = max(most, held)
        held -= sum(graph.values[name].shape.size for name in graph.last_reads[node.name])
    return max(1, MOST_HELD // (most * graph.header.timesteps))


def _fitted(node: Synapse, x: Array, y: Array, correct: Correct) -> Synapse:
    """The layer with a bias, or weights and bias, that bring it nearest to ``y`` (B, *shape) from ``x`` (B, *shape)."""
    error = y - interp.MEANING[Synapse](node, [x], None)
    rows = np.moveaxis(error, -1 if node.op == "dense" else 1, -1)
    shift = rows.reshape(-1, rows.shape[-1]).mean(axis=0)
    bias = shift if node.bias is None else node.bias + shift
    if correct == "bias" or node.op != "dense":
        return replace(node, bias=bias)
    x, rows = np.broadcast_to(x, (len(rows), *x.shape[1:])), rows - shift
    change = least(x.reshape(len(x), -1, x.shape[-1]), rows.reshape(len(x), -1, rows.shape[-1]))
    bias = bias - change @ x.reshape(-1, x.shape[-1]).mean(axis=0)
    return replace(node, weight=node.weight + change, bias=bias)


def least(x: Array, error: Array) -> Array:
    """dW (O, C) for inputs (B, tokens, C) and errors (B, tokens, O)."""
    x = x - x.mean(axis=(0, 1))
    fits = _Ridge(_flat(x[0::2]), _flat(error[0::2]))
    kept, truth = _flat(x[1::2]), _flat(error[1::2])
    losses = {ridge: float(np.square(truth - kept @ fits.change(ridge).T).sum()) for ridge in RIDGES}
    best = min(losses, key=losses.__getitem__)
    if losses[best] >= float(np.square(truth).sum()):
        return np.zeros((error.shape[-1], x.shape[-1]))
    return _Ridge(_flat(x), _flat(error)).change(best)


def _flat(a: Array) -> Array:
    return a.reshape(-1, a.shape[-1])


class _Ridge:
    """Normal equations in channels of equal power, diagonal in their own axes."""

    def __init__(self, x: Array, error: Array) -> None:
        self.size = np.sqrt(np.maximum(np.square(x).sum(axis=0), 1e-30))
        self.power, self.axes = np.linalg.eigh((x / self.size).T @ (x / self.size))
        self.seen = self.axes.T @ ((x / self.size).T @ error)

    def change(self, ridge: float) -> Array:
        part: Any = self.seen / (np.maximum(self.power, 0.0) + ridge)[:, None]
        return np.asarray((self.axes @ part).T / self.size)
