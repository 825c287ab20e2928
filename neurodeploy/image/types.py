"""The memory image of one core: everything a Loihi-class run needs, as flat tables and small records.

A unit is a piece of one population group: its depth in steps and a program of instructions over vectors of local
elements. The host has an image of its own (chip -1), the last one: it injects the input and collects the read-out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any, overload

import numpy as np

from ..array import Array
from .tables import Table

HOST = -1
Place = tuple[int, int, int, int]  # chip, x, y and slot: what routes name
IDENTITY = -1  # a gather that reads elements in their order


@dataclass(frozen=True)
class TableArray:
    """An array of ``shape`` inside a flat table, from ``start`` on."""

    start: int
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Number of entries."""
        return prod(self.shape)

    def of(self, table: Array) -> Array:
        """The array itself."""
        return table[self.start : self.start + self.size].reshape(self.shape)


@dataclass(frozen=True)
class Operand:
    """Input of an instruction: element j is ``gather[start + j]`` of the vector of instruction ``source``."""

    source: int
    start: int = IDENTITY


@dataclass(frozen=True)
class Instruction:
    """One step of a unit's program; yields a vector of ``size`` elements.

    ``op`` is a key of :data:`neurodeploy.image.programs.OPERATIONS`, ``node`` the graph node it computes (empty: a
    helper, not recorded). ``arrays`` lie in the table ``values``, ``state`` in ``state``, ``probe`` in ``elements``.
    """

    op: str
    node: str
    size: int
    operands: tuple[Operand, ...] = ()
    ports: tuple[int, ...] = ()
    numbers: Mapping[str, int] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)
    arrays: Mapping[str, TableArray] = field(default_factory=dict)
    state: TableArray = TableArray(0, (0,))
    probe: TableArray = TableArray(0, (0,))


@dataclass(frozen=True)
class Unit:
    """The part of one population group on a core; does tick t of turn r at step r T + t + ``depth``.

    In each of its ``turns`` the same program works on another token. Of what it records, ``probe`` has a row for each
    turn, -1 where the turn has no such element: an instruction that has none at all does not run in that turn.
    Parameters that differ from turn to turn are named ``t:`` as well, with a row for each.
    """

    group: str
    depth: int
    program: tuple[Instruction, ...]
    turns: int = 1


@dataclass(frozen=True, eq=False)
class CoreImage:
    """What one core is loaded with; ``slot`` tells cores at the same router apart.

    ``header``: timesteps, steps (after which an inference is over), routers_x, routers_y; on the host also the shapes
    ``input`` and ``output`` and ``shapes`` of all recordable nodes, and ``board`` and ``ports`` of a known topology
    and ``multicast``, 1 where packets are (:class:`neurodeploy.mapping.topology.Topology`). ``ports_of``: graph node
    that each port belongs to.
    ``tables``: the stored arrays by name (:data:`neurodeploy.image.TABLES`).
    """

    index: int
    chip: int
    x: int
    y: int
    slot: int
    header: Mapping[str, Any]
    units: tuple[Unit, ...]
    ports_of: tuple[str, ...]
    tables: Mapping[str, Array]

    @property
    def place(self) -> Place:
        """Where it is."""
        return self.chip, self.x, self.y, self.slot

    @property
    def name(self) -> str:
        """How messages call it."""
        return "the host" if self.chip == HOST else f"core {self.index}"

    def rows(self, table: Table) -> Array:
        """All rows of a table, a field per column."""
        return table.read(self.tables[table.name])

    def array(self, array: TableArray) -> Array:
        """A parameter from ``values``."""
        return array.of(self.tables["values"])

    def initial(self, item: Instruction) -> Array:
        """The state that an instruction starts with, (words,)."""
        return item.state.of(self.tables["state"]).ravel()

    def elements(self, item: Instruction) -> Array:
        """Flat index, in the whole value of its node, of each recorded element of an instruction.

        Where an instruction has several turns, a row for each; -1: none.
        """
        return item.probe.of(self.tables["elements"])

    def own(self, item: Instruction) -> Array | None:
        """Which elements of an instruction count on this core (others live on an earlier one too); None: all."""
        return self.array(item.arrays["own"]).astype(bool) if "own" in item.arrays else None

    def gather(self, start: int, count: int) -> Array | None:
        """Element indices, -1 reads zero; None: all in order."""
        if start == IDENTITY:
            return None
        return self.tables["gather"][start : start + count].astype(np.int64)

    def port(self, number: int) -> slice:
        """Where the inbox of a port lies."""
        first, size = self.tables["ports"][number].tolist()
        return slice(first, first + size)

    def port_size(self, number: int) -> int:
        """Slots of a port."""
        return int(self.tables["ports"][number, 1])


@dataclass(frozen=True, eq=False)
class Images(Sequence[CoreImage]):
    """``size`` images, each made anew by ``make`` when it is asked for: who needs several at once keeps them."""

    size: int
    make: Callable[[int], CoreImage]

    def __len__(self) -> int:
        return self.size

    @overload
    def __getitem__(self, index: int) -> CoreImage: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[CoreImage, ...]: ...

    def __getitem__(self, index: int | slice) -> CoreImage | tuple[CoreImage, ...]:
        chosen = range(self.size)[index]
        return self.make(chosen) if isinstance(chosen, int) else tuple(map(self.make, chosen))

    def __iter__(self) -> Iterator[CoreImage]:
        return map(self.make, range(self.size))


@dataclass(frozen=True, eq=False)
class Alone:
    """A core and a host that speaks for all others.

    ``fed``: (value, its elements in each turn, -1: none) one after the other are the input at each tick of a turn;
    ``heard``: what the host records of what the core sends.
    """

    images: tuple[CoreImage, CoreImage]
    fed: tuple[tuple[str, Array], ...]
    heard: Mapping[str, Array]
