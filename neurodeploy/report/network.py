"""The dataflow graph of a report: nodes that compute, joined through those that only rearrange or wait."""

from __future__ import annotations

from typing import Any

from ..ir.graph import Graph
from ..ir.nodes import Const, Delay, View
from . import views
from .columns import op
from .inputs import ReportInputs

#: kinds that are drawn as part of the edge
HIDDEN = (Const, View, Delay)


def network(inputs: ReportInputs) -> list[dict[str, Any]]:
    """One row per drawn node: name, op, kind, code of its output, rank (longest path) and the drawn nodes it reads."""
    graph = inputs.integer or inputs.spiking or inputs.source
    if graph is None:
        return []
    readers = sources(graph)
    ops = {layer.node.name: op(layer) for layer in views.layers(inputs)}
    ranks: dict[str, int] = {}
    rows = []
    for name, reads in readers.items():
        # what feeds back has no rank yet: it does not push its reader further down
        ranks[name] = 1 + max((ranks[source] for source in reads if source in ranks), default=-1)
        kind, code = graph.nodes[name].kind, graph.values[name].code.kind
        rows.append({"name": name, "op": ops.get(name, kind), "kind": kind, "code": code, "rank": ranks[name],
                     "reads": list(reads)})  # fmt: skip
    return rows


def sources(graph: Graph) -> dict[str, tuple[str, ...]]:
    """Drawn node -> the drawn nodes it reads, through hidden ones; a neuron that comes later is read as it is."""
    behind: dict[str, tuple[str, ...]] = {}
    drawn: dict[str, tuple[str, ...]] = {}
    for node in graph:
        reads = tuple(dict.fromkeys(source for name in node.inputs for source in behind.get(name, (name,))))
        if isinstance(node, HIDDEN):
            behind[node.name] = reads
        else:
            behind[node.name] = (node.name,)
            drawn[node.name] = reads
    return drawn
