"""Mapping -> memory images: cuts every node of a balanced integer graph into what each core is loaded with.

What a core sends depends on what all others read. So every core is written once for its in-axons alone, which are kept;
its image is written when somebody asks for it (:class:`.types.Images`), and of a large network nobody holds more of
them than he wants; those of a small one are kept for who asks next.
Constants, and Views and Sums of nothing else, are evaluated here and copied to where they are used. An element that
lives on several cores is sent, and its saturations counted, by the first of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any

import numpy as np

from ..array import Array
from ..errors import MappingError, Problem
from ..ir import interp
from ..ir.graph import Graph
from ..mapping.checks import too_fast
from ..mapping.topology import Topology
from ..mapping.traffic import packet_bits
from ..mapping.types import Mapping
from ..passes.balance import depths, hurried, unbalanced
from ..target import Target
from .arrivals import add_axons, spread_axons
from .departures import EVERY, EXPORTS, MASKS, PLACE, ROUTES, SENDS, add_probe, mixed
from .local import Program
from .network import Network, channels_of, homeless, split
from .receiving import Reader, Reading
from .records import TABLES, checked
from .tables import Tables, distinct_rows
from .types import HOST, CoreImage, Images, Place, Unit

Key = tuple[str, int]  # a value and its channel axis
KEPT_BYTES = 1 << 26  # of images that are kept


def images(graph: Graph, mapping: Mapping, target: Target) -> Images:
    """One image per core in the order of ``cores``, and the host's last; raises as :func:`neurodeploy.image.encode`."""
    _require_balanced(graph, mapping)
    encoder = Encoder(graph, mapping, target)
    encoder.read()
    return Images(len(mapping.cores) + 1, encoder.image)


def _require_balanced(graph: Graph, mapping: Mapping) -> None:
    problems = [
        Problem("ND584", "branches meet at different steps", f"{source} -> {node}", f"{steps} steps early", "0 steps",
                ("balance the graph before mapping it",))
        for source, node, steps in unbalanced(graph)
    ]  # fmt: skip
    problems += [too_fast(*edge) for edge in hurried(graph)]
    level = depths(graph)
    for group in mapping.groups:
        found = {level[name] for name in group.nodes if name in level}
        if found - {group.depth}:
            cause = "nodes of a group run at different steps"
            problems.append(Problem("ND584", cause, group.name, str(sorted(found)), str(group.depth)))
    if problems:
        raise MappingError(problems)


@dataclass(frozen=True, eq=False)
class _Axons:
    """Where a value arrives at a site: positions (sorted), an axon for each from ``first`` on, ``apart`` from the next.

    ``kinds`` (kinds, channels): which channels are needed, ``which`` the kind of each position. Where axons are
    ``spread`` there is one for each channel.
    """

    positions: Array
    kinds: Array
    which: Array
    first: int
    apart: int
    spread: bool

    @property
    def need(self) -> Array:
        """Channels needed, (positions, channels)."""
        return self.kinds[self.which]


@dataclass
class Site:
    """One core (or the host) under construction."""

    number: int  # position among all sites
    index: int
    place: Place
    tables: Tables = field(default_factory=Tables)
    units: list[Unit] = field(default_factory=list)
    programs: list[Program] = field(default_factory=list)
    readings: list[Reading] = field(default_factory=list)
    axons: dict[Key, _Axons] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class _Ear:
    """What sites that send know of one that reads a value."""

    place: Place
    axons: _Axons


class Encoder:
    """Makes the images of all sites: what one sends is told by what the others read."""

    def __init__(self, graph: Graph, mapping: Mapping, target: Target) -> None:
        self.network, self.mapping = Network.of(graph, mapping, target), mapping
        self.members = {name: group.name for group in mapping.groups for name in group.nodes}
        self.places = [*_places(mapping)]
        self.host = len(self.places)
        self.ears: dict[Key, list[_Ear]] = {}
        self.alike: dict[bytes, Array] = {}  # cores that have other channels of a layer read the same
        self.kept: dict[int, CoreImage] = {}
        self.room = KEPT_BYTES

    def read(self) -> None:
        """Learn what every site reads."""
        for number in range(self.host + 1):
            self._listen(self._written(number))

    def image(self, number: int) -> CoreImage:
        """That of a core, or the host's behind the last."""
        if number in self.kept:
            return self.kept[number]
        site = self._written(number)
        self._send(site)
        image = checked(self._image(site))
        size = sum(table.nbytes for table in image.tables.values())
        if size <= self.room:
            self.room -= size
            self.kept[number] = image
            for table in image.tables.values():
                table.flags.writeable = False
        return image

    def _site(self, number: int) -> Site:
        """An empty one."""
        if number == self.host:
            return Site(number, HOST, (HOST, HOST, HOST, 0))
        return Site(number, self.mapping.cores[number].index, self.places[number])

    def _written(self, number: int) -> Site:
        """A site but for what it sends."""
        site = self._site(number)
        if number == self.host:
            self._host_input(site)
            self._host_output(site)
        else:
            for piece in self.mapping.cores[number].pieces:
                self._unit(site, piece.elements)
        self._receive(site)
        return site

    def _listen(self, site: Site) -> None:
        """Note what a site reads."""
        for key, axons in site.axons.items():
            positions, kinds, which = map(self._once, (axons.positions, axons.kinds, axons.which))
            kept = replace(axons, positions=positions, kinds=kinds, which=which)
            self.ears.setdefault(key, []).append(_Ear(site.place, kept))

    def _once(self, array: Array) -> Array:
        """The array, or an equal one that is kept already."""
        content = hashlib.sha256(f"{array.dtype}{array.shape}".encode() + array.tobytes())
        return self.alike.setdefault(content.digest(), array)

    def _image(self, site: Site) -> CoreImage:
        graph, chip = self.network.graph, self.network.target.chip
        ticks, routers = graph.header.timesteps, {"routers_x": chip.routers_x, "routers_y": chip.routers_y}
        header: dict[str, Any] = {"timesteps": ticks, **routers, "steps": ticks + self.mapping.depth}
        if graph.header.stores > 1:
            header["stores"] = graph.header.stores
        if site.number == self.host:
            shapes = {node.name: graph.shape(node.name) for node in graph}
            output = shapes[graph.output.name]
            header |= {"input": interp.input_shape(graph), "output": output, "shapes": shapes}
            header |= Topology.of(self.network.target).header
        units, tables = tuple(site.units), site.tables.finish(TABLES.values())
        return CoreImage(site.index, *site.place, header, units, tuple(site.tables.ports_of), tables)

    def _host_input(self, host: Site) -> None:
        """The host's first unit: the input, its Views, and every constant (to be recorded only)."""
        network = self.network
        names = [n.name for n in network.graph if n.name in network.outside or n.name in network.constants]
        whole = {name: np.arange(prod(network.shape(name))) for name in names}
        turns = 1 + max(network.turns.last(name) for name in network.outside)
        self._unit(host, whole, depth=0, turns=turns)

    def _host_output(self, host: Site) -> None:
        """The host's second unit: the read-out, one step after the cores sent it, of the last turn if there are."""
        output = self.network.graph.output
        flat = np.arange(prod(self.network.shape(output.name)))
        item, readings = Reader(self.network, host.tables).read(output, flat)
        host.readings += [replace(r, single=True) for r in readings]
        item = replace(item, probe=add_probe(host.tables, flat))
        waits = self.network.turns.last(output.name) * self.network.turns.ticks
        depth = self.network.level.get(output.name, 0) + waits + 1
        host.units.append(Unit(output.name, depth, (item,)))

    def _unit(self, site: Site, elements: dict[str, Array], depth: int | None = None, turns: int = 0) -> None:
        """One piece: an instruction per node, in the order of the graph; the host repeats it in all of its turns."""
        level, shown = self.network.level, {} if turns else _shown(self.network, elements)
        if shown:
            elements = elements | _model(shown)
        here = [n for n in self.network.graph if n.name in elements and len(elements[n.name])]
        program = Program(self.network, site.tables, site.number, elements, len(site.units), shown=shown)
        for node in here:
            site.readings += program.write(node)
        name = next((self.members[n.name] for n in here if n.name in self.members), "")
        own = next((level[n.name] for n in here if n.name in level), 0)
        site.programs.append(program)
        turns = turns or max((len(each) for each in shown.values()), default=1)
        site.units.append(Unit(name, own if depth is None else depth, tuple(program.items), turns))

    def _receive(self, site: Site) -> None:
        """In-axons: one per value and position, or per element where a dense list reads a single position."""
        keys: dict[Key, list[Reading]] = {}
        for reading in site.readings:
            keys.setdefault((reading.value, reading.axis), []).append(reading)
        for key, readings in keys.items():
            site.axons[key] = self._axons(site, key, readings)

    def _axons(self, site: Site, key: Key, readings: list[Reading]) -> _Axons:
        positions = np.unique(np.concatenate([r.positions for r in readings]))
        count, channels = len(positions), channels_of(self.network.shape(key[0]), key[1])
        need = np.zeros((count, channels), dtype=bool)
        parts = []
        for reading in readings:
            rank, feeds = np.searchsorted(positions, reading.positions), reading.feeds.copy()
            need[rank] |= reading.need
            feeds["rank"] = rank[feeds["rank"]]
            parts.append(feeds)
        self._require_hosted(key, positions, need)
        single = any(r.single for r in readings) and (count == 1 or site.number == self.host)
        spread = single and channels > 1
        first = (spread_axons if spread else add_axons)(site.tables, count, channels, np.concatenate(parts))
        return _Axons(positions, *distinct_rows(need), first, channels if spread else 1, spread)

    def _require_hosted(self, key: Key, positions: Array, need: Array) -> None:
        """Every element that is read must live somewhere."""
        shape = self.network.shape(key[0])
        index = np.arange(prod(shape)).reshape(shape or (1,))
        flat = np.moveaxis(index, key[1], -1).reshape(-1, need.shape[1])[positions][need]
        lost = flat[self.network.owner[key[0]][flat] < 0]
        if len(lost):
            raise MappingError(homeless(key[0], lost, "any core"))

    def _send(self, site: Site) -> None:
        """Out-axons: for every value that another site reads, one route per position and destination."""
        for unit, program in enumerate(site.programs):
            for key, others in self.ears.items():
                flat = program.elements.get(key[0])
                if flat is not None and key[0] in self.network.owner and key[0] in program.numbers:
                    local = np.flatnonzero(self.network.owner[key[0]][flat] == site.number)
                    for turn, mine in self._by_turn(site, key[0], flat, local):
                        self._export(site, unit, key, others, mine[mixed(len(mine))], turn)

    def _by_turn(self, site: Site, value: str, flat: Array, local: Array) -> Iterator[tuple[int, Array]]:
        """Turns of a unit and what it sends of a value in them: the host has all tokens, and sends each in its turn."""
        host = site.number == self.host
        found = self.network.turns.turn(value) if host else None
        if found is None and (not host or site.units[0].turns == 1):
            yield EVERY, local
            return
        turn = np.zeros(len(flat), dtype=np.int64) if found is None else found[flat]
        yield from ((number, local[turn[local] == number]) for number in np.unique(turn).tolist())

    def _export(
        self, site: Site, unit: int, key: Key, others: Sequence[_Ear], local: Array, turn: int = EVERY
    ) -> None:
        if not len(local):
            return
        shape, program, tables = self.network.shape(key[0]), site.programs[unit], site.tables
        models = self.network.model(key[0], program.elements[key[0]][local])
        position, channel = split(models, shape, key[1])
        positions, rank = np.unique(position, return_inverse=True)
        mine = np.zeros((len(positions), channels_of(shape, key[1])), dtype=bool)
        mine[rank, channel] = True
        export = tables.sizes["exports"]
        routes = [_routes(tables, export, positions, mine, other) for other in others]
        if any(len(r) for r in routes):
            sends = SENDS.rows(element=local, position=position, channel=channel)
            record = {"unit": unit, "instruction": program.numbers[key[0]], "first": tables.add(SENDS, sends)}
            bits = packet_bits(self.network.graph, key[0], self.network.target)
            tables.add(
                EXPORTS,
                EXPORTS.rows(**record, elements=len(local), channels=mine.shape[1], bits=bits, turn=turn),
            )
            tables.add(ROUTES, np.concatenate(routes))


def _shown(network: Network, elements: dict[str, Array]) -> dict[str, Array]:
    """The elements of a piece by node and turn, (turns, elements of one), -1: none; empty where all are in one turn.

    Raises MappingError ND585 for a piece with tokens of several copies, or with different parts of them.
    """
    taken, found = network.turns, dict[str, Array]()
    here = {name: flat for name, flat in elements.items() if len(flat) and taken.turn(name) is not None}
    if not here:
        return {}
    tokens = np.unique(np.concatenate([taken.token[name][flat] for name, flat in here.items()]))
    every = max(taken.of(name) for name in here)
    copies = np.unique(tokens % every)
    last = int(tokens.max()) // every
    for name, flat in here.items():
        place, table = taken.slots(name)
        columns = np.unique(place[flat])
        row = int(copies[0]) + every * np.arange(last + 1)
        each = np.where((row < len(table))[:, None], table[np.minimum(row, len(table) - 1)][:, columns], -1)
        if len(copies) > 1 or not np.array_equal(np.sort(each[each >= 0]), np.sort(flat)):
            cause = "a piece must hold the same part of every token of one copy"
            raise MappingError(
                Problem("ND585", cause, name, f"{len(flat)} elements", f"{each.size} elements")
            )
        found[name] = each
    return found


def _model(shown: dict[str, Array]) -> dict[str, Array]:
    """The elements of the turn that has most of them, which must have some of every node."""
    present = np.array([(each >= 0).all(axis=1) for each in shown.values()])
    if not present.all(axis=0).any():
        cause, limit = "no turn of a piece has elements of all of its nodes", "one turn that has"
        raise MappingError(Problem("ND585", cause, ", ".join(list(shown)[:3]), "none", limit))
    turn = int(present.all(axis=0).argmax())
    return {name: each[turn] for name, each in shown.items()}


def _routes(tables: Tables, export: int, positions: Array, mine: Array, other: _Ear) -> Array:
    """Where the messages of an export go at one other site: rows of positions that it needs."""
    axons = other.axons
    common, here, there = np.intersect1d(positions, axons.positions, return_indices=True)
    wanted = (mine[here] & axons.kinds[axons.which[there]]).any(axis=1)
    common, there = common[wanted], there[wanted]
    kinds, which = distinct_rows(axons.kinds[axons.which[there]])
    masks = np.array([tables.share(MASKS, row) for row in kinds], dtype=np.int64)[which]
    axon, place = axons.first + there * axons.apart, dict(zip(PLACE, other.place, strict=True))
    return ROUTES.rows(export=export, position=common, **place, axon=axon, mask=masks, spread=axons.spread)


def _places(mapping: Mapping) -> Iterator[Place]:
    """(chip, x, y, slot) of each core; the slot counts cores at one router."""
    seen: dict[tuple[int, int, int], int] = {}
    for core in mapping.cores:
        at = core.chip, core.x, core.y
        seen[at] = seen.get(at, -1) + 1
        yield (*at, seen[at])
