"""Energy: counts x coefficients, by part, by node and by core."""

from __future__ import annotations

import numpy as np

from .. import price as prices
from ..errors import Problem, ReportError
from ..ir.graph import Graph
from ..ir.nodes import Neuron, Product, Synapse
from ..ir.trace import Events
from ..price import OVERHEAD, PRICED, Range, by_part, total
from ..target import Target
from .links import packets
from .types import Definition, Term

#: terms that are counted on links, not on cores or nodes
OFF_CORE = ("energy_pj.packet_chip_hop", "energy_pj.host_packet")
#: largest relative disagreement between the counts by node and by core that rounding explains
TOLERANCE = 1e-6

ENERGY = Definition(
    "energy_uj",
    "Energy per inference, one inference at a time",
    "sum over event kinds of (count x energy per event)  +  steps x (used cores x barrier_per_core + chips x"
    " barrier_per_chip)  +  static power x chips x frame latency;  counts are means per inference, chips those in use",
    (*dict.fromkeys(f"energy_pj.{p.key}" for p in PRICED.values() if p.part), *OFF_CORE, *OVERHEAD),
    (
        "low, nominal and high use the low, nominal and high coefficients throughout, the latency included",
        "the barrier counts as network, state words count for the kind of node that reads them",
        "neuron_spike is paid for a spike of a neuron, and for a message of any other population",
        "an update of one of the chip's own neuron models costs neuron_update, of any other the operations of its"
        " integer step, a microcode operation each; state words beyond the first are counted for both",
        "words of synapse memory are counted for the time; their energy is in synaptic_op, measured together with it",
        "a word of state that is written where a sample starts, or where a population forgets, costs state_access",
        "a table read is priced as a microcode operation: the simulated cores count both as one kind",
    ),
)
PIPELINED = Definition(
    "energy_pipelined_uj",
    "Energy per inference in steady pipelined operation",
    "the same events, but barrier energy and static power only for the P steps between two results",
    tuple(OVERHEAD),
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


def core_events(events: Events, target: Target) -> list[Range]:
    """Energy in pJ by core (in the order of the counts) of the events on it, mean per inference."""
    means = events.core_counts.sum(axis=2, dtype=np.float64).mean(axis=0)
    return [total(by_part(row, events.kinds, target, "neuron").values()) for row in means]


def event_terms(graph: Graph, events: Events, target: Target) -> list[Term]:
    """One term per event kind (state words: per part) and per class of link that leaves the mesh."""
    counts: dict[tuple[str, str], float] = {}
    for node, row in events.node_counts.items():
        for count, kind in zip(row, events.kinds, strict=True):
            price = PRICED.get(kind)
            if price and price.part:
                place = price.key, own_part(graph, node) if price.part == "own" else price.part
                counts[place] = counts.get(place, 0.0) + float(count)
    counts["packet_chip_hop", "network"] = float(packets(events, "chip").sum())
    counts["host_packet", "network"] = float(packets(events, "host").sum())
    return [_term(f"energy_pj.{key}", part, count, target) for (key, part), count in counts.items()]


def overhead(cores: int, chips: int, steps: int, time_ns: Range, target: Target) -> list[Term]:
    """Barriers of the used cores and chips, and static power."""
    found = prices.overhead(cores, chips, steps, time_ns, target)
    return [_term(key, OVERHEAD[key], count, target, energy) for key, (count, energy) in found.items()]


def _term(key: str, part: str, count: float, target: Target, energy: Range | None = None) -> Term:
    """``count`` at the coefficient of this key; ``energy`` where it is more than their product."""
    table, name = key.split(".")
    cost = getattr(getattr(target.costs, table), name)
    coefficient = Range.of(cost)
    return Term(key, part, count, coefficient, energy or coefficient * count, cost.assumed, cost.priced)
