"""Energy: counts x coefficients, by part, by node and by core."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from ..array import Array
from ..errors import Problem, ReportError
from ..ir.graph import Graph
from ..ir.nodes import Neuron, Product, Synapse
from ..ir.trace import Events
from ..target import Target
from .links import packets
from .types import Definition, Range, Term, total

#: event kind -> (coefficient of the target, part of the breakdown); state accesses belong to the node's own part
PRICED: dict[str, tuple[str, str]] = {
    "synaptic_ops": ("synaptic_op", "synapse"),
    "product_ops": ("product_op", "product"),
    "neuron_updates": ("neuron_update", "neuron"),
    "spikes": ("neuron_spike", "neuron"),
    "packets_out": ("axon_out", "network"),
    "packets_in": ("axon_in", "network"),
    "hops_x": ("packet_hop_x", "network"),
    "hops_y": ("packet_hop_y", "network"),
    "microcode_ops": ("microcode_op", "microcode"),
    "state_accesses": ("state_access", ""),
}
#: largest relative disagreement between the counts by node and by core that rounding explains
TOLERANCE = 1e-6

ENERGY = Definition(
    "energy_uj",
    "Energy per inference, one inference at a time",
    "sum over event kinds of (count x energy per event)  +  used cores x steps x barrier energy"
    "  +  static power x chips x frame latency;  counts are means per inference",
    (
        *(f"energy_pj.{key}" for key, _ in PRICED.values()),
        "energy_pj.packet_chip_hop",
        "energy_pj.host_packet",
        "energy_pj.barrier_per_core",
        "power_w.static_per_chip",
    ),
    (
        "low, nominal and high use the low, nominal and high coefficients throughout, the latency included",
        "the barrier counts as network, state words count for the kind of node that reads them",
        "neuron_spike is paid for a spike of a neuron, and for a message of any other population",
        "a neuron update costs the same for every neuron model; what a model does beyond a LIF is within the range",
        "a table read is priced as a microcode operation: the simulated cores count both as one kind",
    ),
)
PIPELINED = Definition(
    "energy_pipelined_uj",
    "Energy per inference in steady pipelined operation",
    "the same events, but barrier energy and static power only for the T steps between two results",
    ("energy_pj.barrier_per_core", "power_w.static_per_chip"),
)


def check(events: Events) -> None:
    """ReportError ND801 unless the counts by node sum to the counts by core, kind by kind."""
    by_node = sum(events.node_counts.values(), np.zeros(len(events.kinds)))
    by_core = np.array([events.total(kind) for kind in events.kinds])
    wrong = np.abs(by_node - by_core) > TOLERANCE * np.maximum(1.0, by_core)
    problems = [
        Problem(
            "ND801",
            f"{kind} by node and by core disagree",
            "events of the run",
            f"{n:.6g} by node",
            f"{c:.6g} by core",
        )
        for kind, n, c, bad in zip(events.kinds, by_node, by_core, wrong, strict=True)
        if bad
    ]
    if problems:
        raise ReportError(problems)


def own_part(graph: Graph, node: str) -> str:
    """The part to which the state words of a node belong."""
    kinds = ((Neuron, "neuron"), (Product, "product"), (Synapse, "synapse"))
    return next((part for kind, part in kinds if isinstance(graph.nodes.get(node), kind)), "microcode")


def price(counts: Array, kinds: Iterable[str], target: Target, state_part: str) -> dict[str, Range]:
    """Energy in pJ by part of one vector of counts."""
    parts: dict[str, Range] = {}
    for count, kind in zip(counts, kinds, strict=True):
        key, part = PRICED[kind]
        part = part or state_part
        parts[part] = parts.get(part, Range()) + Range.of(getattr(target.costs.energy_pj, key)) * float(count)
    return parts


def node_parts(graph: Graph, events: Events, target: Target) -> dict[str, dict[str, Range]]:
    """Energy in pJ by node and part, of the events that belong to a node."""
    return {
        node: price(counts, events.kinds, target, own_part(graph, node))
        for node, counts in events.node_counts.items()
    }


def core_events(events: Events, target: Target) -> list[Range]:
    """Energy in pJ by core (in the order of the counts) of the events on it, mean per inference."""
    means = events.core_counts.sum(axis=2, dtype=np.float64).mean(axis=0)
    return [total(price(row, events.kinds, target, "neuron").values()) for row in means]


def event_terms(graph: Graph, events: Events, target: Target) -> list[Term]:
    """One term per event kind (state accesses: per part) and per class of link that leaves the mesh."""
    counts: dict[tuple[str, str], float] = {}
    for node, row in events.node_counts.items():
        for count, kind in zip(row, events.kinds, strict=True):
            key, part = PRICED[kind]
            place = (key, part or own_part(graph, node))
            counts[place] = counts.get(place, 0.0) + float(count)
    counts["packet_chip_hop", "network"] = float(packets(events, "chip").sum())
    counts["host_packet", "network"] = float(packets(events, "host").sum())
    return [term(key, part, count, target) for (key, part), count in counts.items()]


def term(key: str, part: str, count: float, target: Target) -> Term:
    """``count`` events priced with coefficient ``energy_pj.key``."""
    cost = getattr(target.costs.energy_pj, key)
    coefficient = Range.of(cost)
    return Term(f"energy_pj.{key}", part, count, coefficient, coefficient * count, cost.assumed, cost.priced)


def static_term(power_time_ns: Range, chips: int, target: Target) -> Term:
    """Static power over a time: 1 W x 1 ns = 1000 pJ."""
    cost = target.costs.power_w.static_per_chip
    energy = Range.of(cost) * power_time_ns * (1000.0 * chips)
    return Term("power_w.static_per_chip", "static", chips, Range.of(cost), energy, cost.assumed, cost.priced)


def by_part(terms: Iterable[Term], parts: Iterable[str]) -> Mapping[str, Range]:
    """Terms summed by part; parts without a term are zero."""
    sums = dict.fromkeys(parts, Range())
    for item in terms:
        sums[item.part] = sums[item.part] + item.energy_pj
    return sums
