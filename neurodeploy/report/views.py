"""One layer, core or link with everything that is known about it: what the columns of the tables read."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields

import numpy as np

from ..array import Array
from ..cost.audit import WORK_KINDS
from ..cost.counts import NodeCounts
from ..image import stored
from ..ir.graph import Graph
from ..ir.nodes import Const, Node, Synapse, View
from ..ir.trace import Events, Link
from ..ir.types import Value
from ..mapping.types import Core, Group
from ..price import Range
from .inputs import ReportInputs

COUNTED = frozenset(kind.name for kind in fields(NodeCounts))


@dataclass(frozen=True, eq=False)
class Layer:
    """A node of the integer graph."""

    inputs: ReportInputs
    graph: Graph
    node: Node
    group: Group | None
    cores: int | None

    @property
    def value(self) -> Value:
        """Its output edge."""
        return self.graph.values[self.node.name]

    @property
    def input_value(self) -> Value | None:
        """Its first input edge that is not a constant."""
        streams = [i for i in self.node.inputs if not isinstance(self.graph.nodes[i], Const)]
        return self.graph.values[streams[0]] if streams else None

    def counted(self, kind: str) -> float | None:
        """Events of one kind per inference: of the recorded run, else, where a graph does not tell, of the cores."""
        counts, events = self.inputs.assessment.counts, self.inputs.assessment.events
        if kind in COUNTED:
            return None if counts is None else getattr(counts.nodes.get(self.node.name, NodeCounts()), kind)
        if events is None:
            return None
        row = events.node_counts.get(self.node.name)
        return 0.0 if row is None else float(row[events.kinds.index(kind)])

    @property
    def energy(self) -> Range | None:
        """Energy of its own events, in pJ."""
        estimate = self.inputs.assessment.estimate
        return estimate.node_pj.get(self.node.name, Range()) if estimate else None

    def part(self, name: str) -> float | None:
        """Nominal energy of one part of its events, in pJ."""
        estimate = self.inputs.assessment.estimate
        if estimate is None:
            return None
        return estimate.node_parts_pj.get(self.node.name, {}).get(name, Range()).nominal

    @property
    def weight_bits(self) -> int | None:
        """Bits that hold any of its weights: signs alone take one, a power of two that all share is stored once."""
        if not isinstance(self.node, Synapse):
            return None
        weight = np.asarray(self.node.weight)
        if weight.dtype.kind in "iu":
            return stored(weight)[1]
        signed = int(weight.min(initial=0) < 0)
        return max(1, int(np.abs(weight).max(initial=0)).bit_length() + signed)


@dataclass(frozen=True, eq=False)
class CoreView:
    """A used core; ``position`` is its place in the count arrays and in ``loads``, which all cores share."""

    inputs: ReportInputs
    core: Core
    position: int
    loads: Mapping[str, list[float]]

    def load(self, name: str) -> float | None:
        """One of :func:`loads`; None where nothing ran on cores."""
        return self.loads[name][self.position] if self.loads else None

    @property
    def energy(self) -> Range | None:
        """Energy in pJ, with its barriers and its share of static power."""
        estimate = self.inputs.assessment.estimate
        return estimate.core_pj.get(self.core.index) if estimate else None


@dataclass(frozen=True, eq=False)
class LinkView:
    """A link that carried packets."""

    inputs: ReportInputs
    link: Link
    load: Array
    bits: Array
    peak: int

    @property
    def capacity_share(self) -> float | None:
        """Largest share of a step that carrying the step's messages takes, at nominal cost."""
        estimate = self.inputs.assessment.estimate
        if estimate is None:
            return None
        times, step = self.inputs.target.costs.time_ns, estimate.timing.step_ns[1]
        each = {"mesh": times.mesh_bit, "chip": times.chip_bit, "host": times.host_packet}
        load = self.load if self.link.kind == "host" else self.bits
        busy = np.asarray(load, dtype=float) * each[self.link.kind].nominal
        return float(np.divide(busy, step, out=np.zeros_like(busy), where=step > 0).max(initial=0.0))


def layers(inputs: ReportInputs) -> Iterator[Layer]:
    """Every node that does something, in topological order; rearrangements only where something was counted."""
    graph = inputs.integer or inputs.spiking or inputs.source
    if graph is None:
        return
    mapping = inputs.mapping
    groups = {name: group for group in (mapping.groups if mapping else ()) for name in group.nodes}
    hosts = _cores_by_node(inputs)
    counted = inputs.assessment.events.node_counts if inputs.assessment.events else {}
    for node in graph:
        if isinstance(node, Const) or (isinstance(node, View) and not np.any(counted.get(node.name, 0))):
            continue
        cores = len(hosts[node.name]) if mapping else None
        yield Layer(inputs, graph, node, groups.get(node.name), cores)


def _cores_by_node(inputs: ReportInputs) -> dict[str, set[int]]:
    table: dict[str, set[int]] = defaultdict(set)
    for core in inputs.mapping.cores if inputs.mapping else ():
        for piece in core.pieces:
            for name in piece.elements:
                table[name].add(core.index)
    return table


def cores(inputs: ReportInputs) -> Iterator[CoreView]:
    """The used cores."""
    did = loads(inputs.assessment.events) if inputs.assessment.events else {}
    for position, core in enumerate(inputs.mapping.cores if inputs.mapping else ()):
        yield CoreView(inputs, core, position, did)


def loads(events: Events) -> dict[str, list[float]]:
    """What all cores did, one figure for each: packets per step, and the step, from 1, with most operations."""
    found: dict[str, Array] = {}
    for kind in ("packets_in", "packets_out"):
        counts = events.core_counts[..., events.kinds.index(kind)]
        found[f"{kind}_mean"] = counts.mean(axis=(0, 2))
        found[f"{kind}_p95"] = np.percentile(counts, 95, axis=(0, 2))
    work = [events.core_counts[..., events.kinds.index(kind)].mean(axis=0) for kind in WORK_KINDS]
    found["busiest_step"] = np.sum(work, axis=0).argmax(axis=1) + 1
    return {name: values.tolist() for name, values in found.items()}


def links(inputs: ReportInputs) -> Iterator[LinkView]:
    """The links that carried packets, fullest first."""
    events = inputs.assessment.events
    if events is None:
        return
    fullest = sorted(events.links.items(), key=lambda item: (-float(np.sum(item[1])), *map(str, item[0])))
    for link, load in fullest:
        yield LinkView(
            inputs, link, np.asarray(load), events.link_bits[link], int(events.link_peak.get(link, 0))
        )
