"""What each layer becomes in Lava, and how much of the synaptic work Lava's own processes do. Needs no Lava."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ...ir.graph import Graph
from ...ir.nodes import Node, Synapse, View
from ...program import Program
from .plan import Granularity, Plan, Unit, plan


@dataclass(frozen=True)
class Row:
    """One layer (or core): its processes, and synaptic events of one tick, in all and on processes of Lava."""

    layer: str
    processes: tuple[str, ...]
    events: float
    stock_events: float
    reason: str = ""

    @property
    def stock(self) -> bool:
        """Whether every process is one of Lava's."""
        return not any(p == "own" for p in self.processes)

    def __str__(self) -> str:
        return " + ".join(self.processes)


@dataclass(frozen=True)
class Lowering:
    """The layers of a network in Lava; ``share`` of synaptic events is None where there are none."""

    granularity: str
    rows: tuple[Row, ...]
    processes: int

    @property
    def share(self) -> float | None:
        """Part of the synaptic events that processes of Lava handle."""
        total = sum(row.events for row in self.rows)
        return sum(row.stock_events for row in self.rows) / total if total else None


def describe(program: Program, granularity: Granularity = "layer") -> Lowering:
    """Layers, their processes and the share of synaptic events on processes of Lava.

    Events are the connections of non-zero weight times the calibrated activity of what they read, 1 where it is unknown
    or no spike. An own process is called ``own`` whatever it does; the reasons say that.
    """
    from . import lowered

    program = lowered(program, granularity)
    found = plan(program.graph, (), granularity, program.mapping)
    return Lowering(granularity, tuple(_rows(found)), len(found.units))


def places(graph: Graph) -> Mapping[str, str]:
    """Node -> name of the process that does it, ``own`` for own ones, in a network with one process per layer."""
    from . import lowered

    found = plan(lowered(Program(graph)).graph)
    return {node: _name(unit) for unit in found.units for node in unit.nodes}


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
    return unit.process if unit.stock else "own"


def events(graph: Graph, node: Node) -> float:
    """Expected synaptic events of a node in one tick; 0 for anything but a Synapse."""
    return (
        activity(graph, node.inputs[0]) * connections(node, graph.shape(node.name))
        if isinstance(node, Synapse)
        else 0.0
    )


def activity(graph: Graph, value: str) -> float:
    """Calibrated spikes per element and tick of what a view shows; 1 where nothing was measured."""
    source = graph.upwards(value, lambda n: isinstance(n, View) and graph.values[n.name].activity is None)[-1]
    found = graph.values[source.name].activity
    return found.mean if found is not None else 1.0


def connections(node: Synapse, shape: tuple[int, ...]) -> int:
    """Connections of non-zero weight; a kernel counts in full at every output position, padding or not."""
    shared = int(np.prod(shape, dtype=np.int64)) // node.weight.shape[0]
    return int(np.count_nonzero(node.weight)) * shared
