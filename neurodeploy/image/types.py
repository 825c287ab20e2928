"""The memory image of one core: everything a Loihi-class run needs, as flat tables and small records.

Tables (all numpy; one row per entry):

``synapses`` uint64      synapse memory, the words of :mod:`.image_words`
``rows`` (word, entries, column)             where a weight row starts, how long it is, its first column
``connections`` (port, bits, exponent, header bits, index bits, block, first row, rows, columns, delay bits)
``axons`` (first item, items, channels)      an incoming message names an axon and a channel below ``channels``
``items`` (kind, id, a, b)                   what an axon feeds. kind 0: connection ``id``, its row a + channel goes to
                                             the port's slots b + column. kind 1: port ``id``, its slot
                                             a + channels[b + channel]
``channels``                                 offsets of channels inside an operand, -1: not held here
``ports`` (first, size), ``port_init``       accumulators and operand inboxes; what they hold before messages arrive:
                                             biases, constant operands, else zero
``gather``                                   element indices of instructions, -1 reads zero
``values``                                   parameters, constants, lookup tables
``state``                                    initial state, loaded at tick 1 of every sample (delay lines: at reset)
``exports`` (unit, instruction, first, elements, channels), ``sends`` (element, position, channel)
``routes`` (export, position, chip, x, y, slot, axon, mask, spread)
                                             where the messages of a position go: channels with
                                             ``masks[mask + channel]`` set, to ``axon`` with the channel in the message,
                                             or (spread) to axon + channel with channel 0; chip -1 is the host
``elements``                                 probes: flat index in the whole value of each local element

A unit is a piece of one population group: its depth in steps and a program of instructions over vectors of local
elements. The host has an image of its own (chip -1), the last one: it injects the input and collects the read-out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np

from ..array import Array

FORMAT = 2
HOST = -1
ROWS, OPERAND = 0, 1  # kinds of items
IDENTITY = -1  # a gather that reads elements in their order

#: table -> (dtype, columns; 0 for a flat one)
TABLES: dict[str, tuple[type, int]] = {
    "synapses": (np.uint64, 0),
    "rows": (np.int32, 3),
    "connections": (np.int32, 10),
    "axons": (np.int32, 3),
    "items": (np.int32, 4),
    "channels": (np.int32, 0),
    "ports": (np.int32, 2),
    "port_init": (np.int64, 0),
    "gather": (np.int32, 0),
    "values": (np.int64, 0),
    "state": (np.int64, 0),
    "exports": (np.int32, 5),
    "sends": (np.int32, 3),
    "routes": (np.int32, 9),
    "masks": (np.uint8, 0),
    "elements": (np.int32, 0),
}


@dataclass(frozen=True)
class TableArray:
    """An array of ``shape`` inside a flat table, from ``start`` on."""

    start: int
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Number of entries."""
        return prod(self.shape)


@dataclass(frozen=True)
class Operand:
    """Input of an instruction: element j is ``gather[start + j]`` of the vector of instruction ``source``."""

    source: int
    start: int = IDENTITY


@dataclass(frozen=True)
class Instruction:
    """One step of a unit's program; yields a vector of ``size`` elements.

    ``op`` is a key of :data:`neurodeploy.image.check.OPS`, ``node`` the graph node it computes (empty: a
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
    """The part of one population group on a core; does tick t at step t + ``depth``."""

    group: str
    depth: int
    program: tuple[Instruction, ...]


@dataclass(frozen=True, eq=False)
class CoreImage:
    """What one core is loaded with; ``slot`` tells cores at the same router apart.

    ``header``: timesteps, steps (after which an inference is over), routers_x, routers_y; on the host also the shapes
    ``input`` and ``output`` and ``shapes`` of all recordable nodes. ``ports_of``: graph node that each port belongs to.
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
    def place(self) -> tuple[int, int, int, int]:
        """Chip, x, y and slot: what routes name."""
        return self.chip, self.x, self.y, self.slot

    @property
    def name(self) -> str:
        """How messages call it."""
        return "the host" if self.chip == HOST else f"core {self.index}"

    def array(self, array: TableArray) -> Array:
        """A parameter from ``values``."""
        return self.tables["values"][array.start : array.start + array.size].reshape(array.shape)


def empty_tables() -> dict[str, Array]:
    """Every table without entries."""
    return {name: np.zeros((0, width) if width else 0, dtype) for name, (dtype, width) in TABLES.items()}
