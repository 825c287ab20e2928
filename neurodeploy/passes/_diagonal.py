"""Synapses that only scale and shift channels: what batch norm and constant factors are imported as."""

from __future__ import annotations

import numpy as np

from ..array import Array, wide
from ..ir.nodes import Node, Synapse


def factors(node: Node) -> Array | None:
    """The factor of each channel of a diagonal synapse; None for any other node, and for one that also waits."""
    if not isinstance(node, Synapse) or node.delays[-1]:
        return None
    weight = node.weight
    if node.op == "dense":
        if weight.shape[0] != weight.shape[1]:
            return None
        diagonal = wide(np.diagonal(weight))
        return diagonal if np.count_nonzero(weight) == np.count_nonzero(diagonal) else None
    plain = node.stride == (1, 1) and node.padding == (0, 0) and weight.shape[1:] == (1, 1, 1)
    return wide(weight[:, 0, 0, 0]) if plain and node.groups == len(weight) else None


def scalar(node: Node) -> float | None:
    """The one factor of a synapse that multiplies everything by it; None for any other node, and for a factor of 0.

    A product whose scale is 0 would leave nothing to find a unit for; weights of 0 are an ordinary layer.
    """
    found = factors(node)
    if found is None or not isinstance(node, Synapse) or (node.bias is not None and node.bias.any()):
        return None
    return float(found[0]) if len(found) and found[0] and np.all(found == found[0]) else None


def per_channel(field: Array, axis: int) -> Array | None:
    """One number for each place of an axis; None where the numbers vary along another axis too."""
    rows = np.moveaxis(field, axis, 0).reshape(field.shape[axis], -1)
    return rows[:, 0] if np.array_equal(rows, np.broadcast_to(rows[:, :1], rows.shape)) else None


def channel_axis(node: Synapse) -> int:
    """The axis of the value along which the factors run."""
    return -1 if node.op == "dense" else 0
