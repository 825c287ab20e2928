"""Mapping -> memory images: cuts every node of a balanced integer graph into what each core is loaded with.

Constants, and Views and Sums of nothing else, are evaluated here and copied to where they are used. An element that
lives on several cores is sent, and its saturations counted, by the first of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any

import numpy as np

from .. import registry
from ..array import Array
from ..errors import MappingError, Problem
from ..ir import interp
from ..ir.graph import Graph
from ..ir.nodes import Const, Input, Micro, Neuron, Node, Output, Reduce, Sum, Synapse, View
from ..mapping.checks import too_fast
from ..mapping.types import Mapping
from ..passes.balance import CROSSING, constants, depths, host, hurried, unbalanced
from ..target import Target
from .check import checked
from .readers import Reader, Reading, channels_of, split
from .tables import Tables, distinct_rows
from .types import HOST, OPERAND, ROWS, CoreImage, Instruction, Operand, TableArray, Unit

Key = tuple[str, int]  # a value and its channel axis


def encode(graph: Graph, mapping: Mapping, target: Target) -> Mapping:
    """The mapping with one image per core in the order of ``cores``, and the host's image last.

    Raises MappingError: ND583 an element that is read lives on no core, ND584 the graph is not balanced, ND585
    something has no encoding.
    """
    _require_balanced(graph, mapping)
    return replace(mapping, images=_Encoder(graph, mapping, target).images())


def _require_balanced(graph: Graph, mapping: Mapping) -> None:
    problems = [
        Problem(
            "ND584",
            "branches meet at different steps",
            f"{source} -> {node}",
            f"{steps} steps early",
            "0 steps",
            ("balance the graph before mapping it",),
        )
        for source, node, steps in unbalanced(graph)
    ]
    problems += [too_fast(*edge) for edge in hurried(graph)]
    level = depths(graph)
    for group in mapping.groups:
        found = {level[name] for name in group.nodes if name in level}
        if found - {group.depth}:
            problems.append(
                Problem(
                    "ND584",
                    "nodes of a group run at different steps",
                    group.name,
                    str(sorted(found)),
                    str(group.depth),
                )
            )
    if problems:
        raise MappingError(problems)


@dataclass
class _Site:
    """One core (or the host) under construction."""

    number: int  # position among all sites
    index: int
    place: tuple[int, int, int, int]
    tables: Tables = field(default_factory=Tables)
    units: list[Unit] = field(default_factory=list)
    elements: list[dict[str, Array]] = field(default_factory=list)  # per unit: node -> flat indices here
    numbers: list[dict[str, int]] = field(default_factory=list)  # per unit: node -> its instruction
    readings: list[Reading] = field(default_factory=list)
    axons: dict[Key, _Axons] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class _Axons:
    """Where a value arrives at a site: ``axon`` per position (sorted), the channels needed, the mode of addressing."""

    positions: Array
    need: Array
    axon: Array
    spread: bool


class _Encoder:
    def __init__(self, graph: Graph, mapping: Mapping, target: Target) -> None:
        self.graph, self.mapping, self.target = graph, mapping, target
        self.level = depths(graph)
        self.constants = _constants(graph)
        self.outside = host(graph)
        self.axes = _channel_axes(graph)
        self.members = {name: group.name for group in mapping.groups for name in group.nodes}
        places = zip(mapping.cores, _places(mapping), strict=True)
        self.sites = [_Site(n, core.index, place) for n, (core, place) in enumerate(places)]
        self.host = _Site(len(self.sites), HOST, (HOST, HOST, HOST, 0))
        self.owner = self._owners()
        self.held: dict[tuple[str, str], Array] = {}

    def images(self) -> tuple[CoreImage, ...]:
        """All images; the host's is the last."""
        self._host_input()
        for site, core in zip(self.sites, self.mapping.cores, strict=True):
            for piece in core.pieces:
                self._unit(site, piece.elements)
        self._host_output()
        for site in (*self.sites, self.host):
            self._receive(site)
        for site in (*self.sites, self.host):
            self._send(site)
        return tuple(checked(self._image(site)) for site in (*self.sites, self.host))

    def reader(self, site: _Site) -> Reader:
        """What writes the receiving nodes of a site."""
        return Reader(self.graph, self.target, site.tables, self.constants, self.axes, self.held)

    def _owners(self) -> dict[str, Array]:
        """For each element of each node the first site that hosts it, -1: none."""
        last = len(self.mapping.cores)
        table = {
            n.name: np.full(prod(self.graph.shape(n.name)), last if n.name in self.outside else -1)
            for n in self.graph
            if n.name not in self.constants
        }
        for number in reversed(range(last)):
            for piece in self.mapping.cores[number].pieces:
                for name, flat in piece.elements.items():
                    if name in table and name not in self.outside:
                        table[name][flat] = number
        return table

    def _image(self, site: _Site) -> CoreImage:
        chip = self.target.chip
        header: dict[str, Any] = {
            "timesteps": self.graph.header.timesteps,
            "routers_x": chip.routers_x,
            "routers_y": chip.routers_y,
            "steps": self.graph.header.timesteps + self.mapping.depth,
        }
        if site is self.host:
            shapes = {node.name: self.graph.shape(node.name) for node in self.graph}
            header |= {
                "input": interp.input_shape(self.graph),
                "output": shapes[self.graph.output.name],
                "shapes": shapes,
            }
        return CoreImage(
            site.index,
            *site.place,
            header,
            tuple(site.units),
            tuple(site.tables.ports_of),
            site.tables.finish(),
        )

    # --- programs --------------------------------------------------------------------------------------------------

    def _host_input(self) -> None:
        """The host's first unit: the input, its Views, and every constant (to be recorded only)."""
        names = [n.name for n in self.graph if n.name in self.outside or n.name in self.constants]
        self._unit(self.host, {name: np.arange(prod(self.graph.shape(name))) for name in names}, depth=0)

    def _host_output(self) -> None:
        """The host's second unit: the read-out, one step after the cores sent it."""
        output = self.graph.output
        flat = np.arange(prod(self.graph.shape(output.name)))
        item, readings = self.reader(self.host).read(output, flat)
        self.host.readings += [replace(r, single=True) for r in readings]
        probe = TableArray(self.host.tables.share("elements", flat), flat.shape)
        self.host.units.append(
            Unit(output.name, self.level.get(output.name, 0) + 1, (replace(item, probe=probe),))
        )
        self.host.elements.append({})
        self.host.numbers.append({})

    def _unit(self, site: _Site, elements: dict[str, Array], depth: int | None = None) -> None:
        """One piece: an instruction per node, in the order of the graph."""
        here = [n for n in self.graph if n.name in elements and len(elements[n.name])]
        writer = _Program(self, site, elements)
        site.elements.append(elements)
        site.numbers.append(writer.numbers)
        for node in here:
            writer.write(node)
        name = next((self.members[n.name] for n in here if n.name in self.members), "")
        depth = (
            next((self.level[n.name] for n in here if n.name in self.level), 0) if depth is None else depth
        )
        site.units.append(Unit(name, depth, tuple(writer.program)))

    # --- messages --------------------------------------------------------------------------------------------------

    def _receive(self, site: _Site) -> None:
        """In-axons: one per value and position, or per element where a dense list reads a single position."""
        keys: dict[Key, list[Reading]] = {}
        for reading in site.readings:
            keys.setdefault((reading.value, reading.axis), []).append(reading)
        for key, readings in keys.items():
            site.axons[key] = self._axons(site, key, readings)

    def _axons(self, site: _Site, key: Key, readings: list[Reading]) -> _Axons:
        positions = np.unique(np.concatenate([r.positions for r in readings]))
        need = np.zeros((len(positions), channels_of(self.graph.shape(key[0]), key[1])), dtype=bool)
        parts = []
        for reading in readings:
            rank = np.searchsorted(positions, reading.positions)
            need[rank] |= reading.need
            parts.append(np.concatenate([rank[reading.items[:, :1]], reading.items[:, 1:]], axis=1))
        self._require_hosted(key, positions, need, site)
        items = np.concatenate(parts)
        items = items[np.argsort(items[:, 0], kind="stable")]
        single = any(r.single for r in readings) and need.shape[1] * len(positions) > 1
        spread = single and (len(positions) == 1 or site is self.host)
        if spread and need.shape[1] > 1:
            return self._spread(site, positions, need, items)
        counts = np.bincount(items[:, 0], minlength=len(positions))
        first = site.tables.add("items", items[:, 1:]) + np.cumsum(counts) - counts
        axon = site.tables.add("axons", np.stack([first, counts, np.full_like(first, need.shape[1])], axis=1))
        return _Axons(positions, need, axon + np.arange(len(positions)), False)

    def _require_hosted(self, key: Key, positions: Array, need: Array, site: _Site) -> None:
        """Every element that is read must live somewhere."""
        shape = self.graph.shape(key[0])
        index = np.arange(prod(shape)).reshape(shape or (1,))
        flat = np.moveaxis(index, key[1], -1).reshape(-1, need.shape[1])[positions][need]
        lost = flat[self.owner[key[0]][flat] < 0]
        if len(lost):
            raise MappingError([_homeless(key[0], lost, "any core")])

    def _spread(self, site: _Site, positions: Array, need: Array, items: Array) -> _Axons:
        """One axon per (position, channel); the item's offsets move to the channel."""
        channels = need.shape[1]
        total = len(positions) * channels
        every = np.repeat(items, channels, axis=0)
        channel = np.tile(np.arange(channels), len(items))
        every[:, 3] += channel * (every[:, 1] == ROWS)
        every[:, 4] += channel * (every[:, 1] == OPERAND)
        which = every[:, 0] * channels + channel
        every = every[np.argsort(which, kind="stable")]
        counts = np.bincount(which, minlength=total)
        first = site.tables.add("items", every[:, 1:]) + np.cumsum(counts) - counts
        axon = site.tables.add("axons", np.stack([first, counts, np.ones_like(first)], axis=1))
        return _Axons(positions, need, axon + channels * np.arange(len(positions)), True)

    def _send(self, site: _Site) -> None:
        """Out-axons: for every value that another site reads, one route per position and destination."""
        readers: dict[Key, list[_Site]] = {}
        for other in (*self.sites, self.host):
            for key in other.axons:
                readers.setdefault(key, []).append(other)
        for unit, elements in enumerate(site.elements):
            for key, others in readers.items():
                flat = elements.get(key[0])
                if flat is not None and key[0] in self.owner and key[0] in site.numbers[unit]:
                    self._export(
                        site, unit, key, others, np.flatnonzero(self.owner[key[0]][flat] == site.number)
                    )

    def _export(self, site: _Site, unit: int, key: Key, others: list[_Site], local: Array) -> None:
        shape = self.graph.shape(key[0])
        position, channel = split(site.elements[unit][key[0]][local], shape, key[1])
        if not len(local):
            return
        positions, rank = np.unique(position, return_inverse=True)
        mine = np.zeros((len(positions), channels_of(shape, key[1])), dtype=bool)
        mine[rank, channel] = True
        export = site.tables.sizes["exports"]
        routes = [r for other in others if len(r := self._routes(site, export, positions, mine, other, key))]
        if routes:
            first = site.tables.add("sends", np.stack([local, position, channel], axis=1))
            record = (unit, site.numbers[unit][key[0]], first, len(local), mine.shape[1])
            site.tables.add("exports", np.array([record]))
            site.tables.add("routes", np.concatenate(routes))

    def _routes(
        self, site: _Site, export: int, positions: Array, mine: Array, other: _Site, key: Key
    ) -> Array:
        axons = other.axons[key]
        common, here, there = np.intersect1d(positions, axons.positions, return_indices=True)
        wanted = (mine[here] & axons.need[there]).any(axis=1)
        common, there = common[wanted], there[wanted]
        if not len(common):
            return np.zeros((0, 9), dtype=np.int64)
        kinds, which = distinct_rows(axons.need[there])
        masks = np.array([site.tables.share("masks", row) for row in kinds])[which]
        fixed = np.tile(np.array([other.place]), (len(common), 1))
        head = np.stack([np.full_like(common, export), common], axis=1)
        tail = np.stack([axons.axon[there], masks, np.full_like(common, axons.spread)], axis=1)
        return np.concatenate([head, fixed, tail], axis=1)


# --- the program of one piece --------------------------------------------------------------------------------------


class _Program:
    """Writes the instructions of one piece."""

    def __init__(self, encoder: _Encoder, site: _Site, elements: dict[str, Array]) -> None:
        self.encoder, self.site, self.elements = encoder, site, elements
        self.graph, self.tables = encoder.graph, site.tables
        self.program: list[Instruction] = []
        self.numbers: dict[str, int] = {}

    def write(self, node: Node) -> None:
        """Append the node's instruction, after those of constants it reads."""
        flat = self.elements[node.name]
        if node.name in self.encoder.constants:
            item = self._constant(node.name, flat)
        elif isinstance(node, CROSSING):
            item, readings = self.encoder.reader(self.site).read(node, flat)
            self.site.readings += readings
        else:
            item = WRITERS[type(node)](self, node, flat)
        self.numbers[node.name] = len(self.program)
        if not isinstance(node, Output):  # the read-out is recorded where it accumulates
            probe = TableArray(self.tables.share("elements", flat), flat.shape)
            item = replace(item, node=node.name, probe=probe, arrays={**item.arrays, **self._own(node, flat)})
        self.program.append(item)

    def _own(self, node: Node, flat: Array) -> dict[str, TableArray]:
        """Which elements count here, where some live on an earlier core too."""
        owner = self.encoder.owner.get(node.name)
        own = None if owner is None else owner[flat] == self.site.number
        return {} if own is None or own.all() else {"own": self.tables.values(own)}

    def _constant(self, name: str, flat: Array) -> Instruction:
        value = self.tables.values(self.encoder.constants[name].ravel()[flat])
        return Instruction("const", "", len(flat), arrays={"value": value})

    def operand(self, source: str, index: Array) -> Operand:
        """Elements ``index`` (flat, -1: zero) of an input, wherever its vector is."""
        if source in self.encoder.constants:
            needed = np.unique(index[index >= 0])
            self.program.append(self._constant(source, needed))
            return self._operand(len(self.program) - 1, index, needed)
        if source not in self.numbers:
            raise MappingError([_homeless(source, index[:1], "the core that reads it")])
        return self._operand(self.numbers[source], index, self.elements[source], source)

    def _operand(self, number: int, index: Array, held: Array, source: str = "") -> Operand:
        place = np.minimum(np.searchsorted(held, index), max(len(held) - 1, 0))
        absent = index < 0
        if len(held) and not (absent | (held[place] == index)).all():
            raise MappingError(
                [_homeless(source, index[~absent & (held[place] != index)], "the core that reads it")]
            )
        return self.tables.operand(number, np.where(absent, -1, place), len(held))

    def aligned(self, node: Node, flat: Array) -> list[Operand]:
        """Operands of an elementwise node, inputs broadcast to its shape."""
        shape = self.graph.shape(node.name)
        found = []
        for source in node.inputs:
            own = self.graph.shape(source)
            index = np.broadcast_to(np.arange(prod(own)).reshape(own), shape).ravel()[flat]
            found.append(self.operand(source, index))
        return found

    def params(self, node: Neuron | Micro, flat: Array, rows: int = 0) -> dict[str, TableArray]:
        """Parameters as arrays: ``e:name`` holds one value per local element, ``p:name`` is passed as it is."""
        shape, found = self.graph.shape(node.name), {}
        for name, value in node.params.items():
            if value is not None and not isinstance(value, str):
                array, each = localised(name, np.asarray(value), shape, flat, rows)
                found[f"{'e' if each else 'p'}:{name}"] = self.tables.values(array)
        return found


def localised(
    name: str, value: Array, shape: tuple[int, ...], flat: Array, width: int = 0
) -> tuple[Array, bool]:
    """A parameter cut to local elements (second: True) or, with ``width`` > 0, to local rows of that width.

    Scalars, lookup tables (their names say ``table``), vectors along a row, and what does not broadcast to the shape
    stay as they are.
    """
    if value.ndim == 0 or "table" in name or (width and value.ndim == 1):
        return value, False
    try:
        spread = np.broadcast_to(value, shape)
    except ValueError:
        return value, False
    local = spread.ravel()[flat]
    return (local.reshape(-1, width), False) if width else (local, True)


def _homeless(node: str, flat: Array, place: str) -> Problem:
    return Problem(
        "ND583", "an element that is read is not where it is needed", node, f"element {int(flat[0])}", place
    )


def _input(self: _Program, node: Input, flat: Array) -> Instruction:
    zero = np.broadcast_to(np.asarray(node.zero, dtype=np.int64), self.graph.shape(node.name)).ravel()[flat]
    numbers = {"per_tick": int(node.per_tick)}
    return Instruction(
        "input", node.name, len(flat), numbers=numbers, arrays={"zero": self.tables.values(zero)}
    )


def _output(self: _Program, node: Output, flat: Array) -> Instruction:
    # On the core the read-out is a plain vector that is sent; the host accumulates it.
    return _view_of(self, self.aligned(node, flat), flat)


def _neuron(self: _Program, node: Neuron, flat: Array) -> Instruction:
    model = registry.NEURONS[node.model]
    state = self.tables.zeros(len(model.state) * len(flat))
    return Instruction(
        "neuron",
        node.name,
        len(flat),
        tuple(self.aligned(node, flat)),
        numbers=_reset(node),
        texts={"model": node.model},
        arrays=self.params(node, flat),
        state=state,
    )


def _reset(node: Neuron) -> dict[str, int]:
    if node.reset is None:
        return {}
    interval, phase = node.reset
    return {"reset_interval": interval, "reset_phase": phase % interval}


def _micro(self: _Program, node: Micro, flat: Array) -> Instruction:
    row = registry.MICROCODE[node.op].row
    width = self.graph.shape(node.name)[-1] if row else 1
    starts = flat.reshape(-1, width)[:, :1] if len(flat) % width == 0 else flat[:1, None] - 1
    if (starts % width).any() or (flat.reshape(-1, width) != starts + np.arange(width)).any():
        raise MappingError([_homeless(node.name, flat, "whole rows on one core")])
    cumulative = int(node.timing == "cumulative")
    spec = self.graph.values[node.name].fixed
    numbers = {"width": width, "cumulative": cumulative, "bits": spec.bits if spec else interp.REGISTER_BITS}
    texts = {"op": node.op} | {f"p:{k}": v for k, v in node.params.items() if isinstance(v, str)}
    return Instruction(
        "micro",
        node.name,
        len(flat),
        tuple(self.aligned(node, flat)),
        numbers=numbers,
        texts=texts,
        arrays=self.params(node, flat, width if row else 0),
        state=self.tables.zeros(2 * cumulative * len(flat)),
    )


def _sum(self: _Program, node: Sum, flat: Array) -> Instruction:
    signs = self.tables.values(np.array(node.signs or (1,) * len(node.inputs)))
    return Instruction("sum", node.name, len(flat), tuple(self.aligned(node, flat)), arrays={"signs": signs})


def _view(self: _Program, node: View, flat: Array) -> Instruction:
    table = view_sources(node, [self.graph.shape(i) for i in node.inputs])
    operands, base = [], 0
    for source in node.inputs:
        size = prod(self.graph.shape(source))
        index = table[flat] - base
        index = np.where((index >= 0) & (index < size), index, -1)
        if (index >= 0).any():
            operands.append(self.operand(source, index))
        base += size
    return _view_of(self, operands, flat)


def _view_of(self: _Program, operands: list[Operand], flat: Array) -> Instruction:
    if not operands:  # nothing but padding
        self.program.append(Instruction("const", "", 0, arrays={"value": self.tables.values(flat[:0])}))
        operands = [self.tables.operand(len(self.program) - 1, np.full(len(flat), -1), 0)]
    return Instruction("view", "", len(flat), tuple(operands))


def view_sources(node: View, shapes: list[tuple[int, ...]]) -> Array:
    """For each output element the flat index into all inputs one after the other, -1 for padding."""
    arrays, base = [], 1
    for shape in shapes:
        arrays.append(np.arange(base, base + prod(shape)).reshape(1, *shape))
        base += prod(shape)
    return np.ascontiguousarray(node.apply(arrays, lead=1)).ravel() - 1


WRITERS: dict[type[Node], Any] = {
    Input: _input,
    Output: _output,
    Neuron: _neuron,
    Micro: _micro,
    Sum: _sum,
    View: _view,
}


# --- facts about the graph -----------------------------------------------------------------------------------------


def _constants(graph: Graph) -> dict[str, Array]:
    """Values of the nodes that are the same at every tick."""
    still = constants(graph)
    found: dict[str, Array] = {}
    for node in graph:
        if node.name not in still:
            continue
        args = [found[i][None] for i in node.inputs]
        if isinstance(node, Const):
            value = node.value
        elif isinstance(node, View):
            value = node.apply(args, lead=1)[0]
        else:
            signs = getattr(node, "signs", ()) or (1,) * len(args)
            value = sum(sign * arg[0] for sign, arg in zip(signs, args, strict=True))
        found[node.name] = np.broadcast_to(value, graph.shape(node.name)).astype(np.int64)
    return found


def _channel_axes(graph: Graph) -> dict[str, int]:
    """Channel axis of values that a convolution or a window over (C, Y, X) reads; other values use their last axis."""
    found: dict[str, int] = {}
    for node in graph:
        wide = isinstance(node, Reduce) and node.window is not None and len(graph.shape(node.inputs[0])) == 3
        if wide or (isinstance(node, Synapse) and node.op == "conv"):
            found[node.inputs[0]] = 0
    return found


def _places(mapping: Mapping) -> Iterator[tuple[int, int, int, int]]:
    """(chip, x, y, slot) of each core; the slot counts cores at one router."""
    seen: dict[tuple[int, int, int], int] = {}
    for core in mapping.cores:
        at = core.chip, core.x, core.y
        seen[at] = seen.get(at, -1) + 1
        yield (*at, seen[at])
