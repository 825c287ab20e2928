"""Which Lava process does what: a graph cut into units and wires. Needs no Lava, so that reports can tell as well.

A Synapse becomes a connection process of Lava where one means the same, a population a neuron process. All else runs in
*cells* (:mod:`cell`): one per population group, and one more each time a group goes on behind a neuron process. A bias
of a synapse is added by whoever takes the sum: as LIF's own bias, or in a cell. Within a step data flow from
connections through cells and neurons of one group; what a connection takes in, it sends in the next step.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from ...array import Array, wide
from ...ir.graph import Graph
from ...ir.nodes import Const, Input, Neuron, Node, Sum, Synapse, View
from ...mapping.groups import Population, populations
from ...mapping.types import Core
from ...mapping.types import Mapping as CoreMapping
from ...passes.balance import CROSSING, constants, depths
from .cell import CellSpec, Clock, Feed, spread
from .stock import INT32, Own, Place, Stock, connection, neuron
from .wiring import Op, Wire, arranged

Granularity = Literal["layer", "core"]
Port = tuple[Feed, tuple[Wire, ...]]  # an in port of a cell, and the wires whose data are added
INPUT = "<input>"  # the unit that stands for the network's in port
LIF_REACH = 1 << 17  # a synaptic sum beyond would wrap before LIF adds its bias


@dataclass(frozen=True, eq=False)
class Unit:
    """One Lava process: a process of Lava (``stock``) or an own cell (``spec``).

    ``ins``: the wires of each in port, whose data are added; ``reason``: why it is an own process; ``layer``: name of
    the population group, or of the core.
    """

    name: str
    layer: str
    nodes: tuple[str, ...]
    ins: tuple[tuple[Wire, ...], ...]
    stock: Stock | None = None
    spec: CellSpec | None = None
    reason: str = ""


@dataclass(frozen=True, eq=False)
class Tap:
    """Where a value can be watched: wires whose data are added, then a constant; at step t + ``depth``."""

    value: str
    shape: tuple[int, ...]
    wires: tuple[Wire, ...]
    depth: int
    bias: Array | None = None
    constant: Array | None = None

    @property
    def live(self) -> bool:
        """Whether it is seen inside the network: not a constant, not the input or a rearrangement of it."""
        return bool(self.wires) and self.wires[0].unit != INPUT


@dataclass(frozen=True, eq=False)
class Plan:
    """All units of a network. ``period``: steps from sample to sample, None if every sample needs a network of its own.

    ``depth``: the read-out of tick t leaves the network at step t + depth.
    """

    graph: Graph
    granularity: Granularity
    units: tuple[Unit, ...]
    output: Tap
    taps: tuple[Tap, ...]
    clock: Clock
    depth: int

    @property
    def message_bits(self) -> dict[str, int]:
        """Width of the messages of each population whose process of Lava does not keep to it."""
        return {u.name: u.stock.message_bits for u in self.units if u.stock and u.stock.message_bits}


@dataclass(eq=False)
class _Draft:
    """A cell while its ports are being found."""

    name: str
    layer: str
    nodes: list[Node] = field(default_factory=list)
    outs: list[str] = field(default_factory=list)
    extra: list[str] = field(default_factory=list)  # values only passed on, with their bias added
    reasons: list[str] = field(default_factory=list)
    masks: dict[str, Array] = field(default_factory=dict)
    sends: dict[str, Array] = field(default_factory=dict)

    def port(self, value: str) -> int:
        if value not in self.outs:
            self.outs.append(value)
        return self.outs.index(value)


def free(node: Node) -> bool:
    """Whether a node is a rearrangement that Lava does between processes."""
    return isinstance(node, View) and node.op in ("reshape", "permute")


def plan(
    graph: Graph,
    record: Iterable[str] = (),
    granularity: Granularity = "layer",
    mapping: CoreMapping | None = None,
    samples: int | None = None,
) -> Plan:
    """Units and wires of a balanced integer graph; ``record`` names values to be watched.

    ``samples``: how many are run, None for a network that goes on for ever.

    A graph whose synapses have delays in ticks needs a network for each sample: what is under way in Lava's connections
    cannot be cleared. Any other runs sample after sample.
    """
    waits = any(node.delays[-1] for node in graph.of(Synapse))
    ticks = graph.header.timesteps
    clock = Clock(ticks, None, samples and 1) if waits else Clock(ticks, ticks, samples)
    kind = _Layers if granularity == "layer" else _Cores
    return kind(graph, tuple(dict.fromkeys(record)), clock, mapping).plan()


class _Planner(ABC):
    """What both granularities share: facts of the graph, and how cells are finished."""

    def __init__(
        self, graph: Graph, record: tuple[str, ...], clock: Clock, mapping: CoreMapping | None
    ) -> None:
        self.graph, self.record, self.clock, self.mapping = graph, record, clock, mapping
        self.level, self.still = depths(graph), constants(graph)
        self.consts: dict[str, Array] = {}
        for node in graph:
            if node.name in self.still:
                self.consts[node.name] = _constant(node, self.consts, graph.shape(node.name))
        self.groups = populations(graph)
        self.cells: dict[str, _Draft] = {}
        self.stocks: dict[str, tuple[str, Node, Stock]] = {}  # node -> group, node, process

    @abstractmethod
    def plan(self) -> Plan:
        """Units and wires of the whole graph."""

    def tap(self, value: str) -> Tap:
        if value in self.still:
            return Tap(value, self.graph.shape(value), (), 0, constant=self.consts[value])
        wires, bias = self.wires(value)
        return Tap(value, self.graph.shape(value), wires, self.level[value], bias)

    @abstractmethod
    def wires(self, value: str) -> tuple[tuple[Wire, ...], Array | None]:
        """Where a value can be had, and what is to be added to it."""

    def input_bias(self) -> Array | None:
        """What an Input adds to raw levels."""
        zero = np.asarray(self.graph.input.zero)
        shape = self.graph.shape(self.graph.input.name)
        return np.ascontiguousarray(np.broadcast_to(-zero, (1, *shape))[0]) if zero.any() else None

    def ports(self, draft: _Draft, wanted: Mapping[str, bool]) -> list[Port]:
        """In ports for values, each with whether it is taken late; what a cell has of them itself needs no wire."""
        found = []
        for value, late in wanted.items():
            wires, bias = self.wires(value)
            wires = tuple(w for w in wires if w.unit != draft.name)
            if wires:
                found.append((Feed(value, self.graph.shape(value), self.level[value], late, bias), wires))
        return found

    def finished(self, draft: _Draft, ports: list[Port]) -> Unit:
        """The unit of a draft; its out ports may still grow until all others are finished."""
        feeds, ins = tuple(feed for feed, _ in ports), tuple(wires for _, wires in ports)
        names = {n.name for n in draft.nodes} | {f.value for f in feeds} | set(draft.outs)
        names |= {i for n in draft.nodes for i in n.inputs}
        bits = {n: f.bits if (f := self.graph.values[n].fixed) else 32 for n in names}
        spec = CellSpec(
            draft.name, tuple(draft.nodes), feeds, tuple(draft.outs), self.clock,
            {n: self.graph.shape(n) for n in names}, bits, {n: self.level[n] for n in names if n in self.level},
            {n: self.consts[n] for n in names if n in self.consts}, draft.masks, draft.sends,
        )  # fmt: skip
        reason = "; ".join(dict.fromkeys(draft.reasons))
        return Unit(draft.name, draft.layer, tuple(n.name for n in draft.nodes), ins, None, spec, reason)


class _Layers(_Planner):
    """One process for each connection and neuron layer, cells for the rest of each group."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.readers = self.graph.consumers
        self.home: dict[str, str] = {}  # node -> unit
        self.after: dict[
            str, int
        ] = {}  # node -> cell of its group that it comes behind or lives in; -1: none
        self.absorbed: set[str] = set()  # sums that an in port does

    def plan(self) -> Plan:
        for group in self.groups:
            self._assign(group)
        output = self.graph.output.name
        taps = [self.tap(value) for value in self.record]
        ends = self.tap(output)
        units = [self._connected(*found) for found in self.stocks.values()]
        ports: dict[str, list[Port]] = {}
        # A bias may have to be added in a cell that nobody asked for before.
        while pending := [draft for name, draft in self.cells.items() if name not in ports]:
            ports |= {draft.name: self._ports(draft) for draft in pending}
        units += [self.finished(self.cells[name], found) for name, found in ports.items()]
        return Plan(self.graph, "layer", tuple(units), ends, tuple(taps), self.clock, self.level[output])

    # --- which node goes where ---------------------------------------------------------------------------------

    def _assign(self, group: Population) -> None:
        for node in group.nodes:
            name = node.name
            if isinstance(node, Input):
                self.home[name], self.after[name] = INPUT, -1
            elif isinstance(node, Synapse):
                self._place(group, node, self._connection(node), -1)
            elif isinstance(node, CROSSING):
                self._own(group, node, 0)
            elif isinstance(node, Neuron):
                found = self._neuron(node)
                bases = [b for i in node.inputs if i not in self.still for b in self._bases(i)]
                behind = max((self.after[b] for b in bases), default=-1)
                self._place(group, node, found, behind)
            elif free(node) or self._absorbs(node):
                continue
            else:
                self._own(group, node)

    def _place(self, group: Population, node: Node, found: Stock | Own, behind: int) -> None:
        if isinstance(found, Own):
            self._own(group, node, 0 if isinstance(node, CROSSING) else None, found.reason)
            return
        self.home[node.name], self.after[node.name] = node.name, behind
        self.stocks[node.name] = (group.name, node, found)

    def _own(self, group: Population, node: Node, index: int | None = None, reason: str = "") -> None:
        if index is None:
            index = max((self._cell_for(i) for i in node.inputs if i not in self.still), default=0)
        name = f"{group.name}+{index}.cell" if index else f"{group.name}.cell"
        draft = self.cells.setdefault(name, _Draft(name, group.name))
        draft.nodes.append(node)
        draft.reasons.append(reason or WHY.get(node.kind, node.kind).format(node))
        self.home[node.name], self.after[node.name] = name, index

    def _cell_for(self, value: str) -> int:
        """Index of the first cell of the group that may take a value within the step."""
        return max((self._cell_behind(base) for base in self._bases(value)), default=0)

    def _cell_behind(self, base: str) -> int:
        if base in self.stocks and isinstance(self.graph.nodes[base], Neuron):
            return self.after[base] + 1
        return max(self.after[base], 0)

    def _bases(self, value: str) -> list[str]:
        """The placed nodes that a value is made of."""
        node = self.graph.nodes[value]
        if value in self.home or value in self.still:
            return [value] if value in self.home else []
        return [base for i in node.inputs for base in self._bases(i)]

    def _absorbs(self, node: Node) -> bool:
        """Whether a Sum is what the in port of one stock neuron does anyway; decided when the neuron is met."""
        if not isinstance(node, Sum) or node.name in self.record:
            return False
        shape = self.graph.shape(node.name)
        plain = all(s == 1 for s in node.signs) and all(
            self.graph.shape(i) == shape and i not in self.still for i in node.inputs
        )
        reader = self._only_reader(node.name)
        if not plain or reader is None or not isinstance(reader, Neuron):
            return False
        bases = [b for i in node.inputs for b in self._bases(i)]
        if len(set(bases)) != len(bases) or not isinstance(self._neuron(reader), Stock):
            return False
        self.absorbed.add(node.name)
        return True

    def _only_reader(self, value: str) -> Node | None:
        """The one node behind rearrangements that reads a value."""
        readers = self.readers[value]
        if len(readers) != 1 or value in self.record:
            return None
        node = self.graph.nodes[readers[0]]
        return self._only_reader(node.name) if free(node) else node

    # --- processes of Lava -------------------------------------------------------------------------------------

    def _connection(self, node: Synapse) -> Stock | Own:
        source = node.inputs[0]
        if source in self.still:
            return Own("its input is constant")
        reader = self._only_reader(node.name)
        wraps = reader.params.get("input_bits") if isinstance(reader, Neuron) else None
        wraps = None if wraps is None or np.ndim(wraps) else int(wraps)
        return connection(self.graph, node, self.level[node.name] - self.level[source], wraps)

    def _neuron(self, node: Neuron) -> Stock | Own:
        """The process of a population, its bias folded in where it fits, else left to a cell before it."""
        if any(i in self.still for i in node.inputs):
            return Own("an input is constant")
        place = self._surroundings(node)
        bias = self._bias_of(node)
        if bias is not None:
            found = neuron(node, replace(place, bias=bias))
            if isinstance(found, Stock):
                return replace(found, folds=True)
        return neuron(node, place)

    def _bias_of(self, node: Neuron) -> Array | None:
        """Constant part of a single input, if it can be taken apart from the rest."""
        if len(node.inputs) != 1 or self.graph.shape(node.inputs[0]) != self.graph.shape(node.name):
            return None
        bias = self._constant_part(node.inputs[0])
        interval = self.graph.values[node.inputs[0]].interval
        if bias is None or interval is None or interval.magnitude + int(np.abs(bias).max()) >= LIF_REACH:
            return None
        return bias

    def _constant_part(self, value: str) -> Array | None:
        """Sum of the biases that a value holds and that nobody has added yet."""
        node = self.graph.nodes[value]
        if value in self.home or not isinstance(node, (Sum, View)):
            if value in self.stocks and isinstance(node, Synapse) and node.bias is not None:
                return spread(node.bias, node, self.graph.shape(value))
            return None
        parts = [self._constant_part(i) for i in node.inputs]
        found = [p for p in parts if p is not None]
        if found and isinstance(node, View):
            return arranged(found[0], ((node.op, node.args),))
        return np.sum(found, axis=0) if found else None

    def _connected(self, group: str, node: Node, stock: Stock) -> Unit:
        ins = []
        for value in node.inputs:
            wires: list[Wire] = []
            for part, ops in self._parts(value):
                found, bias = self.wires(part)
                if bias is not None and not stock.folds:
                    found = self._biased(part)
                wires += [w.then((*ops, *stock.before)) for w in found]
            ins.append(tuple(wires))
        return Unit(node.name, group, (node.name,), tuple(ins), stock)

    def _surroundings(self, node: Neuron) -> Place:
        intervals = [self.graph.values[i].interval for i in node.inputs]
        reach = max((INT32 if i is None else i.magnitude for i in intervals), default=0)
        bases = [base for i in node.inputs for base in self._bases(i)]
        from_lava = all(b in self.stocks and isinstance(self.graph.nodes[b], Synapse) for b in bases)
        from_conv = from_lava and len(bases) == 1 and self.stocks[bases[0]][2].process == "Conv"
        shape = self.graph.shape(node.name) or (1,)
        return Place(shape, self.level[node.name], self.clock.period, None, reach, from_lava, from_conv)

    def _parts(self, value: str) -> list[tuple[str, tuple[Op, ...]]]:
        """A value as a sum of others, each rearranged: what several wires into one in port bring."""
        node = self.graph.nodes[value]
        if value in self.absorbed:
            return [part for i in node.inputs for part in self._parts(i)]
        if isinstance(node, View) and free(node):
            return [(part, (*ops, (node.op, node.args))) for part, ops in self._parts(node.inputs[0])]
        return [(value, ())]

    # --- wires -------------------------------------------------------------------------------------------------

    def wires(self, value: str) -> tuple[tuple[Wire, ...], Array | None]:
        """Where a value comes from, and the bias that its taker has to add."""
        node = self.graph.nodes[value]
        if value not in self.home:  # a rearrangement
            found, bias = self.wires(node.inputs[0])
            op: tuple[Op, ...] = ((node.op, node.args),)  # type: ignore[attr-defined]
            return tuple(w.then(op) for w in found), None if bias is None else arranged(bias, op)
        unit = self.home[value]
        if unit == INPUT:
            return (Wire(INPUT, 0),), self.input_bias()
        if value in self.stocks:
            _, _, stock = self.stocks[value]
            bias = None
            if isinstance(node, Synapse) and node.bias is not None and node.bias.any():
                bias = spread(node.bias, node, self.graph.shape(value))
            return (Wire(unit, 0, stock.after),), bias
        return (Wire(unit, self.cells[unit].port(value)),), None

    def _biased(self, value: str) -> tuple[Wire, ...]:
        """A cell that does nothing but add a bias."""
        name = f"{value}.bias"
        draft = self.cells.setdefault(name, _Draft(name, self._layer(value), reasons=["adds a bias"]))
        draft.extra = [value]
        return (Wire(name, draft.port(value)),)

    def _layer(self, value: str) -> str:
        return next(group.name for group in self.groups if value in group.names)

    def _ports(self, draft: _Draft) -> list[Port]:
        """In ports of a cell; rearrangements of its own values are done inside."""
        inside = {node.name for node in draft.nodes}
        wanted: dict[str, bool] = dict.fromkeys(draft.extra, False)
        views: set[str] = set()
        for node in draft.nodes:
            for value in node.inputs:
                if value in self.still:
                    continue
                if set(self._bases(value)) <= inside:
                    views |= self._path(value, inside)
                else:
                    wanted[value] = wanted.get(value, True) and isinstance(node, CROSSING)
        draft.nodes = [n for n in self.graph if n.name in inside | views]
        return self.ports(draft, wanted)

    def _path(self, value: str, inside: set[str]) -> set[str]:
        if value in inside:
            return set()
        return {value} | self._path(self.graph.nodes[value].inputs[0], inside)


class _Cores(_Planner):
    """One own process for each mapped core, which does everything that the mapper put there."""

    def plan(self) -> Plan:
        mapping = self.mapping
        if mapping is None or not mapping.fits or not mapping.cores:
            raise ValueError("the program is not mapped")
        self.owner: dict[str, list[str]] = {}  # value -> cells that hold some of its elements
        self._divide(mapping.cores)
        output = self.tap(self.graph.output.name)
        gather = _Draft("readout", "readout", extra=[output.value])
        gather.port(output.value)
        taps = [self.tap(value) for value in self.record]
        ports = {name: self._ports(draft) for name, draft in self.cells.items()}
        units = [self.finished(self.cells[name], found) for name, found in ports.items()]
        feed = Feed(output.value, output.shape, output.depth, False)
        units.append(self.finished(gather, [(feed, output.wires)]))
        output = replace(output, wires=(Wire("readout", 0),))
        return Plan(self.graph, "core", tuple(units), output, tuple(taps), self.clock, output.depth)

    def _divide(self, cores: Iterable[Core]) -> None:
        """A cell for the host and for each core; what several cores hold, the first of them sends."""
        host = [node for group in self.groups if group.on_host for node in group.nodes]
        self._draft("host", [n for n in host if not isinstance(n, Input)], {})
        sent: dict[str, Array] = {}  # value -> elements that a core before sends
        for core in cores:
            name, masks = f"core {core.index}", self._masks(core)
            self._draft(name, [n for n in self.graph if n.name in masks], masks)
            for value, mask in masks.items():
                before = sent.get(value, np.zeros_like(mask))
                self.cells[name].sends[value] = mask & ~before
                sent[value] = before | mask

    def _masks(self, core: Core) -> dict[str, Array]:
        """Value -> where a core holds its elements."""
        held = [(n, elements) for piece in core.pieces for n, elements in piece.elements.items()]
        masks: dict[str, Array] = {}
        for name, elements in held:
            if name not in self.still:
                mask = masks.setdefault(name, np.zeros(self.graph.shape(name), dtype=bool))
                mask.reshape(-1)[elements] = True
        return masks

    def _draft(self, name: str, nodes: list[Node], masks: dict[str, Array]) -> None:
        if not nodes:
            return
        self.cells[name] = _Draft(name, name, nodes, masks=masks)
        for node in nodes:
            self.owner.setdefault(node.name, []).append(name)

    def wires(self, value: str) -> tuple[tuple[Wire, ...], Array | None]:
        if isinstance(self.graph.nodes[value], Input):
            return (Wire(INPUT, 0),), self.input_bias()
        return tuple(Wire(cell, self.cells[cell].port(value)) for cell in self.owner[value]), None

    def _ports(self, draft: _Draft) -> list[Port]:
        inside = {node.name for node in draft.nodes}
        readers: dict[str, list[bool]] = {}  # value -> whether those that read it are crossings
        for node in draft.nodes:
            for value in node.inputs:
                readers.setdefault(value, []).append(isinstance(node, CROSSING))
        wanted: dict[str, bool] = {}
        for value, crossings in readers.items():
            # A core that evaluates a value holds all that its elementwise readers need; crossings may need more.
            late = any(crossings) if value in inside else all(crossings)
            if value not in self.still and (late or value not in inside):
                wanted[value] = late
        return self.ports(draft, wanted)


def _constant(node: Node, known: Mapping[str, Array], shape: tuple[int, ...]) -> Array:
    if isinstance(node, Const):
        return wide(node.value)
    args = [known[i] for i in node.inputs]
    if isinstance(node, View):
        return node.apply(args)
    signs = node.every_sign if isinstance(node, Sum) else ()
    return np.broadcast_to(sum(s * a for s, a in zip(signs, args, strict=True)), shape)


#: why a node of this kind runs in a cell; for others the name of the kind says it
WHY = {
    "product": "{0.timing} product", "micro": "{0.op} in microcode", "reduce": "{0.op} over elements",
    "view": "{0.op} view", "output": "read-out",
}  # fmt: skip
