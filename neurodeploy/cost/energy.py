"""Energy: counts x coefficients, by part, by node and by core."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ..array import Array
from ..errors import Problem, ReportError
from ..ir.graph import Graph
from ..ir.nodes import Neuron, Product, Synapse
from ..ir.trace import Events
from ..target import Target
from .links import packets
from .types import Definition, Range, Term, total

#: event kind -> (coefficient of the target, part of the breakdown); state words belong to the node's own part.
#: Neuron updates as such have no price: stock_updates and program_ops are what they cost.
PRICED: dict[str, tuple[str, str]] = {
    "synaptic_ops": ("synaptic_op", "synapse"),
    "product_ops": ("product_op", "product"),
    "stock_updates": ("neuron_update", "neuron"),
    "program_ops": ("microcode_op", "neuron"),
    "spikes": ("neuron_spike", "neuron"),
    "packets_out": ("axon_out", "network"),
    "packets_in": ("axon_in", "network"),
    "hops_x": ("packet_hop_x", "network"),
    "hops_y": ("packet_hop_y", "network"),
    "microcode_ops": ("microcode_op", "microcode"),
    "state_accesses": ("state_access", ""),
    "reset_words": ("state_access", ""),
}
#: terms that are counted on links, not on cores or nodes
OFF_CORE = ("energy_pj.packet_chip_hop", "energy_pj.host_packet")
#: terms that flow whether or not anything happens
OVERHEAD = ("energy_pj.barrier_per_core", "power_w.static_per_chip")
#: largest relative disagreement between the counts by node and by core that rounding explains
TOLERANCE = 1e-6

ENERGY = Definition(
    "energy_uj",
    "Energy per inference, one inference at a time",
    "sum over event kinds of (count x energy per event)  +  used cores x steps x barrier energy"
    "  +  static power x chips x frame latency;  counts are means per inference",
    (*dict.fromkeys(f"energy_pj.{key}" for key, _ in PRICED.values()), *OFF_CORE, *OVERHEAD),
    (
        "low, nominal and high use the low, nominal and high coefficients throughout, the latency included",
        "the barrier counts as network, state words count for the kind of node that reads them",
        "neuron_spike is paid for a spike of a neuron, and for a message of any other population",
        "an update of one of the chip's own neuron models costs neuron_update, of any other the operations of its"
        " integer step, a microcode operation each; state words beyond the first are counted for both",
        "a word of state that is written where a sample starts, or where a population forgets, costs state_access",
        "a table read is priced as a microcode operation: the simulated cores count both as one kind",
    ),
)
PIPELINED = Definition(
    "energy_pipelined_uj",
    "Energy per inference in steady pipelined operation",
    "the same events, but barrier energy and static power only for the P steps between two results",
    OVERHEAD,
    ("P as for the pipelined throughput",),
)


def check(events: Events) -> None:
    """ReportError ND801 unless the counts by node sum to the counts by core, kind by kind."""
    by_node = sum(events.node_counts.values(), np.zeros(len(events.kinds)))
    by_core = np.array([events.total(kind) for kind in events.kinds])
    wrong = np.abs(by_node - by_core) > TOLERANCE * np.maximum(1.0, by_core)
    problems = []
    for kind, n, c in zip(np.array(events.kinds)[wrong], by_node[wrong], by_core[wrong], strict=True):
        cause, found = f"{kind} by node and by core disagree", f"{n:.6g} by node"
        problems.append(Problem("ND801", cause, "events of the run", found, f"{c:.6g} by core"))
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
        if kind not in PRICED:
            continue
        key, part = PRICED[kind]
        part = part or state_part
        parts[part] = parts.get(part, Range()) + Range.of(getattr(target.costs.energy_pj, key)) * float(count)
    return parts


def core_events(events: Events, target: Target) -> list[Range]:
    """Energy in pJ by core (in the order of the counts) of the events on it, mean per inference."""
    means = events.core_counts.sum(axis=2, dtype=np.float64).mean(axis=0)
    return [total(price(row, events.kinds, target, "neuron").values()) for row in means]


def event_terms(graph: Graph, events: Events, target: Target) -> list[Term]:
    """One term per event kind (state words: per part) and per class of link that leaves the mesh."""
    counts: dict[tuple[str, str], float] = {}
    for node, row in events.node_counts.items():
        for count, kind in zip(row, events.kinds, strict=True):
            if kind not in PRICED:
                continue
            key, part = PRICED[kind]
            place = (key, part or own_part(graph, node))
            counts[place] = counts.get(place, 0.0) + float(count)
    counts["packet_chip_hop", "network"] = float(packets(events, "chip").sum())
    counts["host_packet", "network"] = float(packets(events, "host").sum())
    return [_term(f"energy_pj.{key}", part, count, target) for (key, part), count in counts.items()]


def overhead(cores: int, steps: int, time_ns: Range, chips: int, target: Target) -> list[Term]:
    """What flows whether or not anything happens: barriers of the used cores, static power (1 W x 1 ns = 1000 pJ)."""
    barrier, static = OVERHEAD
    return [_term(barrier, "network", cores * steps, target), _term(static, "static", chips, target, time_ns)]


def _term(key: str, part: str, count: float, target: Target, time_ns: Range | None = None) -> Term:
    """``count`` events at the coefficient of this key, or so many chips of this power over a time."""
    table, name = key.split(".")
    cost = getattr(getattr(target.costs, table), name)
    coefficient = Range.of(cost)
    energy = coefficient * count if time_ns is None else coefficient * time_ns * (1000.0 * count)
    return Term(key, part, count, coefficient, energy, cost.assumed, cost.priced)
