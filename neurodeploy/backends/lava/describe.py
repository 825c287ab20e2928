"""What each layer becomes in Lava, and how much of the synaptic work Lava's own processes do. Needs no Lava."""

from __future__ import annotations

import numpy as np

from ...ir.graph import Graph
from ...ir.nodes import Node, Synapse, View
from .._base import OWN, Description, Row
from .plan import Plan, Unit


def description(found: Plan) -> Description:
    """Layers, their processes and the share of synaptic events on processes of Lava.

    Events are the connections of non-zero weight times the calibrated activity of what they read, 1 where it is unknown
    or no spike.
    """
    nodes = {node: _name(unit) for unit in found.units for node in unit.nodes}
    return Description("Lava", found.granularity, tuple(_rows(found)), len(found.units), nodes)


def _rows(found: Plan) -> list[Row]:
    layers: dict[str, list[Unit]] = {}
    for unit in found.units:
        layers.setdefault(unit.layer, []).append(unit)
    order = {name: i for i, name in enumerate(found.graph.nodes)}
    rows = []
    for layer, units in layers.items():
        units = sorted(units, key=lambda u: min((order[n] for n in u.nodes), default=len(order)))
        total = {u.name: sum(events(found.graph, found.graph.nodes[n]) for n in u.nodes) for u in units}
        share = sum(total[u.name] for u in units if u.stock)
        reasons = dict.fromkeys(u.reason for u in units if u.reason)
        rows.append(
            Row(layer, tuple(_name(u) for u in units), sum(total.values()), share, "; ".join(reasons))
        )
    return sorted(rows, key=lambda r: order.get(r.layer, 0))


def _name(unit: Unit) -> str:
    return unit.stock.process if unit.stock else OWN


def events(graph: Graph, node: Node) -> float:
    """Expected synaptic events of a node in one tick; 0 for anything but a Synapse."""
    if not isinstance(node, Synapse):
        return 0.0
    return activity(graph, node.inputs[0]) * connections(node, graph.shape(node.name))


def activity(graph: Graph, value: str) -> float:
    """Calibrated spikes per element and tick of what a view shows; 1 where nothing was measured."""
    source = graph.upwards(value, lambda n: isinstance(n, View) and graph.values[n.name].activity is None)[-1]
    found = graph.values[source.name].activity
    return found.mean if found is not None else 1.0


def connections(node: Synapse, shape: tuple[int, ...]) -> int:
    """Connections of non-zero weight; a kernel counts in full at every output position, padding or not."""
    shared = int(np.prod(shape, dtype=np.int64)) // node.weight.shape[0]
    return int(np.count_nonzero(node.weight)) * shared
