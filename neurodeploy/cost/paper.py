"""The energy metric of the spiking-network literature: 4.6 pJ per MAC and 0.9 pJ per AC, scoped as each method does."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..config import INTEGER
from ..convert._base import METHODS
from ..ir.graph import Graph
from ..ir.nodes import Delay, Neuron, Node, Product, Synapse, View
from ..target import Target
from .counts import Counts, NodeCounts, dense_macs
from .types import Definition

_COEFFICIENTS = ("paper_metric.mac_pj", "paper_metric.ac_pj")
_LEFT_OUT = (
    "neuron updates, norms, softmax, compensation state, residual adds and all memory traffic are left out"
)

NATIVE = Definition(
    "energy_paper_uj",
    "Paper metric per inference (natively trained networks)",
    "MAC energy x MACs  +  AC energy x ACs;  MACs: T x dense MACs of the first layer and of every layer that is given"
    " anything but spikes, the head once and with its bias;  ACs of a layer: T x dense MACs x firing rate of its"
    " input;  ACs of a product: T x dense MACs x the lower firing rate of its operands, or that of the one which"
    " spikes",
    _COEFFICIENTS,
    (
        "spikes are 0 and 1, or -1, 0 and 1: counts of several spikes, as those of a shortcut that adds spikes, make"
        " MACs of a layer",
        "the first layer sees the image at every tick; where the input is spikes for each tick it counts as the other"
        " layers do",
        "the head, the last layer before the read-out, is linear: it counts as if it were given the mean over ticks",
        _LEFT_OUT,
        "ratio: divided by MAC energy x dense MACs of one pass of the whole network",
    ),
    ("Horowitz 2014, 45 nm", "operation counter released with Spikingformer (syops)"),
)
ECMT = Definition(
    "energy_paper_uj",
    "Paper metric per inference (expectation-compensated conversion)",
    "AC energy x sum over monitored layers and ticks of operations;  monitored: every linear layer (non-zero"
    " inputs x outputs) and every product of two streams (pairs of non-zero operands, as executed: two sparse products"
    " per tick)",
    _COEFFICIENTS,
    (
        "ratio = T x (AC / MAC) x rate, rate = operations / (T x dense MACs of the monitored layers); the released code"
        " executes three products, its count is given beside",
        "the patch convolution is not monitored; the head counts with its dense input; a graded spike counts as one AC",
        _LEFT_OUT,
    ),
    ("Huang et al., ACM MM 2024, arXiv:2502.21193, released code (commit e449e919)", "Horowitz 2014, 45 nm"),
)


@dataclass(frozen=True)
class PaperEnergy:
    """The metric's energy in pJ, its ratio to the same layers as MACs, and the numbers behind both.

    ``three_products_pj`` and ``three_products_ratio`` follow released ECMT code; None for other methods. ``layers``
    is node -> energy in pJ.
    """

    energy_pj: float
    ratio: float | None
    operations: float
    macs: float
    definition: Definition
    three_products_pj: float | None = None
    three_products_ratio: float | None = None
    layers: dict[str, float] = field(default_factory=dict)


def paper_energy(graph: Graph, counts: Counts, target: Target) -> PaperEnergy:
    """The metric for the method that made ``graph`` (spiking or integer level)."""
    return (_native if trained(graph.header.method) else _ecmt)(graph, counts, target)


def trained(method: str) -> bool:
    """Whether a network of this method spiked when it was trained; a file of integers needed no method."""
    known = METHODS.get(method)
    return method == INTEGER or (known is not None and known.metric == "trained")


def _native(graph: Graph, counts: Counts, target: Target) -> PaperEnergy:
    mac_pj, ac_pj = target.costs.paper_metric.mac_pj.nominal, target.costs.paper_metric.ac_pj.nominal
    layers, heads = graph.of(Synapse, Product), last_layers(graph)
    first = "" if _takes_spikes(graph) else first_layer(graph)
    macs: dict[str, float] = {}
    acs: dict[str, float] = {}
    for node in layers:
        dense, rate = counts.ticks * dense_macs(graph, node), _rate(graph, node, counts.nodes[node.name])
        if node.name != first and rate is not None:
            acs[node.name] = dense * rate
        elif node.name in heads and node.name != first:
            macs[node.name] = dense / counts.ticks + graph.values[node.name].shape.size * _biased(node)
        else:
            macs[node.name] = dense
    energy = {k: mac_pj * v for k, v in macs.items()} | {k: ac_pj * v for k, v in acs.items()}
    passes = counts.ticks if graph.input.per_tick else 1  # of the ANN: one for each frame
    dense_pj = passes * mac_pj * sum(dense_macs(graph, n) for n in layers)
    total_pj = sum(energy.values())
    ratio = total_pj / dense_pj if dense_pj else None
    return PaperEnergy(total_pj, ratio, sum(acs.values()), sum(macs.values()), NATIVE, layers=energy)


def _rate(graph: Graph, node: Node, row: NodeCounts) -> float | None:
    """Firing rate of what a layer or product is given; None where none of it is spikes."""
    rates = (row.rate,) if isinstance(node, Synapse) else (row.left_rate, row.right_rate)
    spiking = [
        rate
        for rate, name in zip(rates, node.inputs, strict=True)
        if graph.values[name].code.kind in ("binary", "ternary")
    ]
    return min(spiking, default=None)


def _biased(node: Node) -> bool:
    return isinstance(node, Synapse) and node.bias is not None


def last_layers(graph: Graph) -> set[str]:
    """The layers whose sums are the read-out: between them and it stands no neuron and no other layer."""
    found, ahead = set(), list(graph.output.inputs)
    while ahead:
        node = graph.nodes[ahead.pop()]
        if isinstance(node, Synapse):
            found.add(node.name)
        elif not isinstance(node, Neuron):
            ahead += node.inputs
    return found


def _takes_spikes(graph: Graph) -> bool:
    """Whether the input is a spike train, not an image."""
    interval = graph.values[graph.input.name].interval
    return graph.input.per_tick and interval is not None and (interval.lo, interval.hi) == (0, 1)


def _ecmt(graph: Graph, counts: Counts, target: Target) -> PaperEnergy:
    mac_pj, ac_pj = target.costs.paper_metric.mac_pj.nominal, target.costs.paper_metric.ac_pj.nominal
    monitored = [n for n in graph.of(Synapse, Product) if not (isinstance(n, Synapse) and n.op == "conv")]
    ops = {n.name: counts.nodes[n.name].unskipped_ops for n in monitored}
    dense = sum(dense_macs(graph, n) for n in monitored)
    three = sum(_three(counts, n) for n in monitored)
    executed = sum(ops.values())

    def ratio(operations: float) -> float | None:
        """T (AC / MAC) rate with rate = operations / (T dense): T cancels."""
        return ac_pj * operations / (mac_pj * dense) if dense and mac_pj else None

    layers = {name: ac_pj * count for name, count in ops.items()}
    own, released = (ac_pj * executed, ratio(executed)), (ac_pj * three, ratio(three))
    return PaperEnergy(*own, executed, 0.0, ECMT, *released, layers)


def _three(counts: Counts, node: Node) -> float:
    row = counts.nodes[node.name]
    return row.three_product_ops if isinstance(node, Product) else row.unskipped_ops


def first_layer(graph: Graph) -> str:
    """The first Synapse that reads the input, through views and delays; empty if there is none."""
    raw = {graph.input.name}
    for node in graph:
        if isinstance(node, (View, Delay)) and raw.issuperset(node.inputs):
            raw.add(node.name)
        elif isinstance(node, Synapse) and raw.issuperset(node.inputs):
            return node.name
    return ""
