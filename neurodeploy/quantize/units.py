"""What an integer unit is worth: helpers on scales, and the common unit of every stream of sums."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..array import Array
from ..calibrate import Ranges
from ..ir.graph import Graph
from ..ir.neuron_model import NEURONS
from ..ir.nodes import Const, Delay, Neuron, Node, Output, Sum, Synapse, View
from ..ir.widths import MESSAGE_BITS

#: room above the largest magnitude seen in calibration
HEADROOM = 2.0
#: width at which a branch enters a stream; wider would ask rescales of coarse weights for factors above 2^14
BRANCH_BITS = 18

Scale = float | Array


@dataclass(frozen=True)
class Stream:
    """Sums that feed each other: one unit, and the width that each branch saturates at so that totals fit."""

    unit: float
    branch_bits: int


def power_of_two_unit(magnitude: float, bits: int) -> float:
    """The finest power of two that keeps ``magnitude`` times the headroom inside ``bits`` (sign included).

    What was never seen to leave 0 counts as 1: a unit far finer than anything around it would only break others.
    """
    limit = 2.0 ** (bits - 1) - 1
    return 2.0 ** math.ceil(math.log2(max(magnitude or 1.0, 1e-12) * HEADROOM / limit))


def compact(scale: Scale) -> Scale:
    """A float where all entries agree, else the array."""
    array = np.asarray(scale, dtype=np.float64)
    return float(array.flat[0]) if array.size == 1 or np.all(array == array.flat[0]) else array


def behind_views(graph: Graph, name: str) -> Node:
    """The node that computes a value, or joins several; other views and delays are skipped."""
    return graph.upwards(name, lambda node: _moves(node) and len(node.inputs) == 1)[-1]


def readers(graph: Graph, name: str) -> list[Node]:
    """All nodes that read a value, views and delays skipped."""
    return graph.readers(name, _moves)


def _moves(node: Node) -> bool:
    """Whether a node only hands values on, rearranged or later."""
    return isinstance(node, (View, Delay))


def input_limit(nodes: list[Node]) -> int | None:
    """The magnitude that inputs of these nodes stay below to be exact (Lava's LIF: 2^17); None if nothing asks."""
    limits = [NEURONS[n.model].quantized_limit(n.params) for n in nodes if isinstance(n, Neuron)]
    return min((limit for limit in limits if limit), default=None)


def bits_of(limit: int | None) -> int:
    """Width (sign included) of integers below a limit; a message's width without one."""
    return limit.bit_length() if limit else MESSAGE_BITS


def joint_sums(graph: Graph) -> dict[str, str]:
    """Synapse -> Sum, where a neuron's input is the sum of synapses that nothing else reads.

    Their rows take common units, as one layer would, so that the sum is exact without rescales.
    """
    table: dict[str, str] = {}
    for node in graph.of(Sum):
        parts = [graph.nodes[i] for i in node.inputs]
        alone = [p for p in parts if isinstance(p, Synapse) and graph.consumers[p.name] == [node.name]]
        alike = len(alone) == len(parts) == len({*node.inputs}) and len({p.op for p in alone}) == 1
        if alike and all(isinstance(r, (Neuron, Output)) for r in readers(graph, node.name)):
            table |= dict.fromkeys(node.inputs, node.name)
    return table


def streams(graph: Graph, ranges: Ranges) -> dict[str, Stream]:
    """The stream of every Sum whose inputs do not already share a unit by being spikes of unit 1."""
    roots: dict[str, str] = {}

    def find(name: str) -> str:
        while roots[name] != name:
            name = roots[name]
        return name

    for node in graph.of(Sum):
        roots[node.name] = node.name
        for source in node.inputs:
            behind = behind_views(graph, source)
            if isinstance(behind, Sum):
                roots[find(behind.name)] = find(node.name)
    members: dict[str, list[Sum]] = {}
    for node in graph.of(Sum):
        members.setdefault(find(node.name), []).append(node)
    made = {root: _stream(graph, ranges, sums) for root, sums in members.items()}
    return {name: made[find(name)] for name in roots}


def _stream(graph: Graph, ranges: Ranges, sums: list[Sum]) -> Stream:
    branches = [i for s in sums for i in s.inputs if not isinstance(behind_views(graph, i), Sum)]
    total_bits = min(bits_of(input_limit(readers(graph, s.name))) for s in sums)
    branch_bits = min(BRANCH_BITS, total_bits - math.ceil(math.log2(max(len(branches), 1))))
    seen = [i for i in branches if not isinstance(graph.nodes[i], Const)]
    magnitude = max(ranges.magnitude(i) for i in seen + branches)
    return Stream(power_of_two_unit(magnitude, branch_bits), branch_bits)
