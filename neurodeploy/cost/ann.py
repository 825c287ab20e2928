"""The network as an ordinary ANN: int8 multiply-accumulates and memory traffic under the target's technology."""

from __future__ import annotations

from dataclasses import dataclass

from ..ir.graph import Graph
from ..ir.nodes import Node, Product, Synapse
from ..price import Range
from ..target import Target
from .counts import dense_macs
from .types import Definition

BASELINE = Definition(
    "ann_baseline_uj",
    "ANN baseline per inference",
    "(dense MACs x int8 MAC  +  bytes x SRAM byte) x node scale;  bytes: each weight, each layer input and each layer"
    " output once, one byte each",
    ("ann_baseline.int8_mac_pj", "ann_baseline.sram_byte_pj", "ann_baseline.node_scale"),
    (
        "one pass of the same network, T does not enter, but of an input with a frame for each tick one pass a frame;"
        " products of two streams count as dense MACs",
        "perfect reuse of everything read, no control, no off-chip memory, no static power: a lower bound for ANNs",
        "norms, softmax and activation functions are left out",
    ),
)
RATIO = Definition(
    "ann_baseline_ratio",
    "Events over the ANN baseline",
    "energy of events / ANN baseline;  low: low energy of events / high baseline;  high: high / low",
    notes=(
        "both leave out barriers and static power, and the baseline is a lower bound: above 1 the network takes more"
        " than its ANN would",
    ),
)


@dataclass(frozen=True)
class AnnBaseline:
    """What the source network would cost as int8 arithmetic."""

    macs: int
    bytes: int
    energy_pj: Range


def ann_baseline(source: Graph, target: Target) -> AnnBaseline:
    """The baseline of a source graph, by the formula of :data:`BASELINE`."""
    layers, passes = source.of(Synapse, Product), source.header.timesteps if source.input.per_tick else 1
    macs = passes * sum(dense_macs(source, node) for node in layers)
    traffic = sum(_bytes(source, node, passes) for node in layers)
    costs = target.costs.ann_baseline
    dynamic = Range.of(costs.int8_mac_pj) * macs + Range.of(costs.sram_byte_pj) * traffic
    return AnnBaseline(macs, traffic, dynamic * Range.of(costs.node_scale))


def _bytes(graph: Graph, node: Node, passes: int) -> int:
    """Weights once, inputs and output of one layer in each pass, one byte per element."""
    weights = node.weight.size if isinstance(node, Synapse) else 0
    return int(weights + passes * sum(graph.values[name].shape.size for name in (*node.inputs, node.name)))
