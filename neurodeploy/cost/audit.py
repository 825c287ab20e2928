"""What the work is made of, and could it run on silicon: shares of edges and work by code and by grade."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from ..evidence import GRADES, Evidence
from ..ir.graph import Graph
from ..ir.nodes import Const, Micro, Product, Synapse
from ..ir.trace import Events
from ..ir.types import RANK, Code
from .counts import Counts
from .types import Definition

CODES = ("binary", "ternary", "multi", "graded", "dense")
#: what counts as work when grades are weighed
WORK_KINDS = ("synaptic_ops", "product_ops", "neuron_updates", "microcode_ops")

PURITY = Definition(
    "purity",
    "Work by code",
    "work: event operations (synaptic and product operations) by the code of their input, a product by the denser of"
    " its operands;  edges: inputs of all layers and products, by the code they carry;  binary: 0 or 1;  ternary: -1, 0"
    " or 1;  multi: a small count;  graded: an integer payload;  dense: a number in every tick, as in an ANN",
    notes=("a code is what the edge may carry at most, proven from the network, not what was seen",),
)
SILICON = Definition(
    "silicon",
    "Work by grade of evidence",
    "share of all operations (synaptic and product operations, neuron updates, microcode operations) done by nodes of"
    " each grade;  documented: a public source shows it on the chip;  plausible: public facts about microcode and"
    " memory suffice;  simulation-only: neither",
    notes=("one operation counts as one, whatever its energy",),
)


@dataclass(frozen=True)
class Purity:
    """Shares by code (each table sums to 1 where there is anything to share), and the dense operators left."""

    edges: Mapping[str, float]
    work: Mapping[str, float]
    operators: Mapping[str, int]


def operations(counts: Counts | None, events: Events | None) -> dict[str, float]:
    """Synaptic and product operations by node, from whichever account there is."""
    if counts is not None:
        return {name: row.synaptic_ops + row.product_ops for name, row in counts.nodes.items()}
    if events is None:
        return {}
    columns = [events.kinds.index(kind) for kind in ("synaptic_ops", "product_ops")]
    return {name: float(row[columns].sum()) for name, row in events.node_counts.items()}


def purity(graph: Graph, operations: Mapping[str, float]) -> Purity:
    """The audit of a spiking or integer graph whose edges carry codes; operations by node are the work."""
    edges: Counter[str] = Counter()
    work: Counter[str] = Counter()
    for node in graph.of(Synapse, Product):
        if isinstance(node, Synapse) and node.hosted:
            continue  # nothing on the chip
        read = [graph.values[i].code for i in node.inputs if not isinstance(graph.nodes[i], Const)]
        edges.update(code.kind for code in read)
        work[densest(read)] += operations.get(node.name, 0.0)  # type: ignore[assignment]
    operators = Counter(node.op for node in graph if isinstance(node, Micro) and node.op != "rescale")
    return Purity(shares(edges, CODES), shares(work, CODES), dict(operators))


def densest(codes: list[Code]) -> str:
    """The kind of the code furthest from a plain spike."""
    return max(codes, key=lambda code: RANK[code.kind]).kind if codes else "dense"


def shares(amounts: Mapping[str, float], keys: tuple[str, ...]) -> dict[str, float]:
    """Each key's part of the sum; all zero if there is nothing."""
    whole = float(sum(amounts.values()))
    return {key: float(amounts.get(key, 0)) / whole if whole else 0.0 for key in keys}


def work(
    events: Events, places: Mapping[str, str], keys: tuple[str, ...], elsewhere: str
) -> dict[str, float]:
    """Share of all operations by what ``places`` says of their node, ``elsewhere`` for nodes that it leaves out."""
    columns = [events.kinds.index(kind) for kind in WORK_KINDS]
    amounts: Counter[str] = Counter()
    for name, row in events.node_counts.items():
        amounts[places.get(name, elsewhere)] += float(row[columns].sum())  # type: ignore[assignment]
    return shares(amounts, keys)


def silicon(events: Events, grades: Mapping[str, Evidence]) -> dict[str, float]:
    """Share of work per grade; ``grades`` is node -> (grade, reason), nodes without one are simulation-only."""
    places = {name: evidence[0] for name, evidence in grades.items()}
    return work(events, places, GRADES, "simulation-only")
