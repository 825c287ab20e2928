"""The memory image of one core alone, and a host that sends it what all other cores would, and hears what it says.

The image is that of the whole mapping but for where its messages go: all of them to the host. The host plays given
values, each in the steps in which the core that has it would send it, turn after turn where tokens take turns, and
takes in what other cores would read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import prod

import numpy as np

from ..array import Array
from ..ir.graph import Graph
from ..mapping.reads import elsewhere
from ..mapping.types import Core, Mapping
from ..target import Target
from .arrivals import add_port
from .departures import EVERY, add_probe
from .encoder import Encoder, Site
from .local import Program
from .programs import add_gather, add_values
from .receiving import Reader
from .records import checked
from .types import IDENTITY, Alone, Instruction, Operand, Unit


class Lone(Encoder):
    """Encodes cores one by one."""

    def __init__(self, graph: Graph, mapping: Mapping, target: Target) -> None:
        super().__init__(graph, mapping, target)
        self.whole, self.left = self.network, self._leaving(graph)

    def _leaving(self, graph: Graph) -> dict[str, Array]:
        """Which elements of each value leave their core: what any token of a copy says, all of them do."""
        found = elsewhere(graph)
        for value, read in found.items():
            read[self.network.turns.arriving(value, np.flatnonzero(read))] = True
        return found

    def core(self, position: int) -> Alone:
        """The core at a position of the mapping."""
        core, site, host = self.mapping.cores[position], self._site(position), self._site(self.host)
        self.network = replace(self.whole, owner=self._owner(core, position), held={})
        for piece in core.pieces:
            self._unit(site, piece.elements)
        self._receive(site)
        fed = self._feed(site, host)
        heard = self._hear(core, site, host)
        self._receive(host)
        self.ears = {}
        for one in (site, host):
            self._listen(one)
        for one in (site, host):
            self._send(one)
        own, all_others = self._image(site), self._image(host)
        ticks, turns = self.network.turns.ticks, max(unit.turns for unit in host.units)
        size = sum(shown.shape[1] for _, shown in fed)
        header = {**all_others.header, "input": (turns, ticks, size), "output": (1,)}
        return Alone((checked(own), checked(replace(all_others, header=header))), fed, heard)

    def _owner(self, core: Core, position: int) -> dict[str, Array]:
        """Who hosts what, of the values on the core and those that it reads: the core, or else the host."""
        here = {name for piece in core.pieces for name in piece.elements}
        read = {source for name in here for source in self.whole.graph.nodes[name].inputs}
        owner = self.whole.owner
        return {n: np.where(owner[n] == position, position, self.host) for n in here | read if n in owner}

    def _feed(self, site: Site, host: Site) -> tuple[tuple[str, Array], ...]:
        """The host's units that play what the core takes in from others, one for each step in which it is sent."""
        network = self.network
        fed: dict[str, Array] = {}
        for (value, axis), axons in site.axons.items():
            index = np.arange(prod(network.shape(value))).reshape(network.shape(value) or (1,))
            flat = np.moveaxis(index, axis, -1).reshape(-1, axons.need.shape[1])[axons.positions][axons.need]
            others = flat[network.owner[value][flat] != site.number]
            fed[value] = np.union1d(fed.get(value, others), others)
        starts = dict(zip(fed, np.cumsum([0, *map(len, fed.values())]).tolist(), strict=False))
        size = sum(map(len, fed.values()))
        zero = add_values(host.tables, np.zeros(size, dtype=np.int64))
        numbers = {"per_tick": 1, "per_turn": network.turns.ticks}
        played = Instruction("input", "", size, numbers=numbers, arrays={"zero": zero})
        shown = {value: network.turns.by_turn(value, flat) for value, flat in fed.items()}
        for depth in sorted({network.level.get(value, 0) for value in fed}):
            here = {value: flat for value, flat in fed.items() if network.level.get(value, 0) == depth}
            program = Program(network, host.tables, host.number, here, len(host.units), items=[played])
            for value, flat in here.items():
                program.numbers[value] = len(program.items)
                start = add_gather(host.tables, starts[value] + np.arange(len(flat)), size)
                program.items.append(Instruction("view", "", len(flat), (Operand(0, start),)))
            host.programs.append(program)
            turns = max(len(shown[value]) for value in here)
            host.units.append(Unit("", depth, tuple(program.items), turns))
        return tuple(shown.items())

    def _by_turn(self, site: Site, value: str, flat: Array, local: Array) -> Iterator[tuple[int, Array]]:
        """As of a core: the host, too, has the elements of one turn, and sends those of every turn in their place."""
        yield EVERY, local

    def _hear(self, core: Core, site: Site, host: Site) -> dict[str, Array]:
        """The host's units that record what the core says to others, one step after it was said."""
        network = self.network
        heard: dict[str, Array] = {}
        for piece in core.pieces:
            for value in piece.elements.keys() & self.left.keys() - network.constants.keys():
                flat = np.asarray(piece.elements[value], dtype=np.int64)
                flat = flat[(network.owner[value][flat] == site.number) & self.left[value][flat]]
                if len(flat):
                    heard[value] = np.append(heard.get(value, flat[:0]), flat)
                    models = np.unique(network.model(value, flat))
                    shown = network.turns.by_turn(value, models)
                    port = add_port(host.tables, value, np.zeros(len(models), dtype=np.int64))
                    reading = Reader(network, host.tables).reading(
                        value, port, models, np.arange(len(models))
                    )
                    host.readings.append(replace(reading, single=True))
                    probe = add_probe(host.tables, shown if len(shown) > 1 else models)
                    item = Instruction(
                        "synapse", value, len(models), ports=(port,), numbers={"from": IDENTITY}, probe=probe
                    )
                    depth = network.level.get(value, 0) + 1
                    host.units.append(Unit(value, depth, (item,), len(shown)))
        return heard
