"""Instructions of the nodes that read only what lives on their own core, and the program of one piece."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any

import numpy as np

from ..array import Array
from ..errors import MappingError
from ..ir.micro_op import MICROCODE
from ..ir.neuron_model import NEURONS
from ..ir.nodes import Input, Micro, Neuron, Node, Output, Sum, Synapse, View
from ..passes.balance import crosses
from .departures import add_probe
from .network import Network, homeless
from .programs import add_gather, add_state, add_values
from .receiving import Reader, Reading
from .tables import Tables
from .types import Instruction, Operand, TableArray

MOST = 1 << 20  # programs of a core


@dataclass
class Program:
    """The instructions of one piece under construction, the ``unit``-th on the core that is site ``number``.

    ``elements``: node -> flat indices that live here; ``numbers``: node -> its instruction. Where tokens take turns,
    ``elements`` are those of one turn and ``shown`` (turns, elements) those of all, -1: none.
    """

    network: Network
    tables: Tables
    number: int
    elements: dict[str, Array]
    unit: int = 0
    items: list[Instruction] = field(default_factory=list)
    numbers: dict[str, int] = field(default_factory=dict)
    shown: dict[str, Array] = field(default_factory=dict)

    def write(self, node: Node) -> list[Reading]:
        """Append the node's instruction, after those of constants it reads; what it needs from outside."""
        flat = self.elements[node.name]
        readings: list[Reading] = []
        if node.name in self.network.constants:
            item = self._constant(node.name, flat)
        elif crosses(node):
            program = self.number * MOST + self.unit
            reader = Reader(self.network, self.tables, self.shown.get(node.name), program)
            item, readings = reader.read(node, flat)
        else:
            item = WRITERS[type(node)](self, node, flat)
        self.numbers[node.name] = len(self.items)
        if not isinstance(node, Output):  # the read-out is recorded where it accumulates
            probe, own = add_probe(self.tables, self.shown.get(node.name, flat)), self._own(node, flat)
            item = replace(item, node=node.name, probe=probe, arrays={**item.arrays, **own})
        self.items.append(item)
        return readings

    def _own(self, node: Node, flat: Array) -> dict[str, TableArray]:
        """Which elements count here, where some live on an earlier core too."""
        owner = self.network.owner.get(node.name)
        own = None if owner is None else owner[flat] == self.number
        return {} if own is None or own.all() else {"own": add_values(self.tables, own)}

    def _constant(self, name: str, flat: Array, each: Array | None = None) -> Instruction:
        values = self.network.constants[name].ravel()
        arrays = {"value": add_values(self.tables, values[flat])}
        if each is not None:
            arrays["t:value"] = add_values(self.tables, values[each])
        return Instruction("const", "", len(flat), arrays=arrays)

    def _each(self, node: Node, flat: Array) -> Array:
        """The elements of a node in each turn, those of the model where there are none."""
        shown = self.shown.get(node.name, flat[None])
        return np.where(shown < 0, flat, shown)

    def operand(self, source: str, index: Array) -> Operand:
        """Elements ``index`` (flat, -1: zero) of an input, wherever its vector is."""
        if source in self.network.constants:
            needed = np.unique(index[index >= 0])
            self.items.append(self._constant(source, needed))
            return self._operand(len(self.items) - 1, index, needed)
        if source not in self.numbers:
            raise MappingError(homeless(source, index[:1], "the core that reads it"))
        return self._operand(self.numbers[source], index, self.elements[source], source)

    def _operand(self, number: int, index: Array, held: Array, source: str = "") -> Operand:
        place = np.minimum(np.searchsorted(held, index), max(len(held) - 1, 0))
        absent = index < 0
        lost = index[~absent & (held[place] != index)] if len(held) else index[:0]
        if len(lost):
            raise MappingError(homeless(source, lost, "the core that reads it"))
        return Operand(number, add_gather(self.tables, np.where(absent, -1, place), len(held)))

    def aligned(self, node: Node, flat: Array) -> list[Operand]:
        """Operands of an elementwise node, inputs broadcast to its shape."""
        shape = self.network.shape(node.name)
        own = [self.network.shape(source) for source in node.inputs]
        every = [np.broadcast_to(np.arange(prod(size)).reshape(size), shape).ravel() for size in own]
        return [self._aligned(node, i, index, flat) for i, index in zip(node.inputs, every, strict=True)]

    def _aligned(self, node: Node, source: str, index: Array, flat: Array) -> Operand:
        """An input whose element ``index[i]`` goes with element i of the node."""
        each = index[self._each(node, flat)]
        values = self.network.constants.get(source, np.zeros(0))
        if source in self.network.constants and (values.ravel()[each] != values.ravel()[index[flat]]).any():
            self.items.append(self._constant(source, index[flat], each))
            return Operand(len(self.items) - 1)
        return self.operand(source, index[flat])

    def params(self, node: Neuron | Micro, flat: Array, rows: int = 0) -> dict[str, TableArray]:
        """Parameters as arrays: ``e:name`` holds one value per local element, ``p:name`` is passed as it is.

        What differs from tick to tick has an axis of ticks in front.
        """
        shape, found = self.network.shape(node.name), {}
        by_tick = MICROCODE[node.op].by_tick if isinstance(node, Micro) else ()
        for name, value in node.params.items():
            if value is not None and not isinstance(value, str):
                ticks = value if name in by_tick else [value]

                def here(elements: Array, name: str = name, ticks: Any = ticks) -> tuple[Array, bool]:
                    parts = [localised(name, np.asarray(part), shape, elements, rows) for part in ticks]
                    array = np.stack([part for part, _ in parts]) if name in by_tick else parts[0][0]
                    return array, parts[0][1]

                array, local = here(flat)
                key = f"{'e' if local else 'p'}:{name}"
                found[key] = add_values(self.tables, array)
                each = np.stack([here(elements)[0] for elements in self._each(node, flat)])
                if (each != array).any():
                    found[f"t:{key}"] = add_values(self.tables, each)
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


def _input(self: Program, node: Input, flat: Array) -> Instruction:
    zero = np.broadcast_to(np.asarray(node.zero, dtype=np.int64), self.network.shape(node.name)).ravel()[flat]
    numbers, arrays = {"per_tick": int(node.per_tick)}, {"zero": add_values(self.tables, zero)}
    return Instruction("input", node.name, len(flat), numbers=numbers, arrays=arrays)


def _output(self: Program, node: Output, flat: Array) -> Instruction:
    # On the core the read-out is a plain vector that is sent; the host accumulates it.
    return _view_of(self, self.aligned(node, flat), flat)


def _lookup(self: Program, node: Synapse, flat: Array) -> Instruction:
    """What the host computes: rows of a table, added up as an input names them."""
    source, (outputs, rows) = node.inputs[0], node.weight.shape
    operand = self.operand(source, self.elements[source])
    bias = np.zeros(outputs, dtype=np.int64) if node.bias is None else np.asarray(node.bias)
    arrays = {name: add_values(self.tables, x) for name, x in (("table", node.weight.T), ("bias", bias))}
    return Instruction("lookup", node.name, len(flat), (operand,), numbers={"rows": rows}, arrays=arrays)


def _neuron(self: Program, node: Neuron, flat: Array) -> Instruction:
    size, words = len(flat), len(NEURONS[node.model].state)
    interval, phase = node.reset or (0, 0)
    numbers = {"reset_interval": interval, "reset_phase": phase % interval} if interval else {}
    return Instruction(
        "neuron", node.name, size, tuple(self.aligned(node, flat)), numbers=numbers,
        texts={"model": node.model}, arrays=self.params(node, flat), state=add_state(self.tables, words * size),
    )  # fmt: skip


def _micro(self: Program, node: Micro, flat: Array) -> Instruction:
    row = MICROCODE[node.op].row
    width = self.network.shape(node.name)[-1] if row else 1
    starts = flat.reshape(-1, width)[:, :1] if len(flat) % width == 0 else flat[:1, None] - 1
    if (starts % width).any() or (flat.reshape(-1, width) != starts + np.arange(width)).any():
        raise MappingError(homeless(node.name, flat, "whole rows on one core"))
    cumulative = int(node.timing == "cumulative")
    numbers = {"width": width, "cumulative": cumulative, "bits": self.network.bits(node.name)}
    texts = {"op": node.op} | {f"p:{k}": v for k, v in node.params.items() if isinstance(v, str)}
    return Instruction(
        "micro", node.name, len(flat), tuple(self.aligned(node, flat)), numbers=numbers, texts=texts,
        arrays=self.params(node, flat, width if row else 0), state=add_state(self.tables, 2 * cumulative * len(flat)),
    )  # fmt: skip


def _sum(self: Program, node: Sum, flat: Array) -> Instruction:
    signs = add_values(self.tables, np.array(node.signs or (1,) * len(node.inputs)))
    return Instruction("sum", node.name, len(flat), tuple(self.aligned(node, flat)), arrays={"signs": signs})


def _view(self: Program, node: View, flat: Array) -> Instruction:
    table = view_sources(node, [self.network.shape(i) for i in node.inputs])
    operands, base = [], 0
    for source in node.inputs:
        size = prod(self.network.shape(source))
        index = table[flat] - base
        index = np.where((index >= 0) & (index < size), index, -1)
        if (index >= 0).any():
            operands.append(self.operand(source, index))
        base += size
    return _view_of(self, operands, flat)


def _view_of(self: Program, operands: list[Operand], flat: Array) -> Instruction:
    if not operands:  # nothing but padding
        self.items.append(Instruction("const", "", 0, arrays={"value": add_values(self.tables, flat[:0])}))
        operands = [Operand(len(self.items) - 1, add_gather(self.tables, np.full(len(flat), -1), 0))]
    return Instruction("view", "", len(flat), tuple(operands))


def view_sources(node: View, shapes: list[tuple[int, ...]]) -> Array:
    """For each output element the flat index into all inputs one after the other, -1 for padding."""
    arrays, base = [], 1
    for shape in shapes:
        arrays.append(np.arange(base, base + prod(shape)).reshape(1, *shape))
        base += prod(shape)
    return np.ascontiguousarray(node.apply(arrays, lead=1)).ravel() - 1


WRITERS: dict[type[Node], Callable[..., Instruction]] = {
    Input: _input, Output: _output, Synapse: _lookup, Neuron: _neuron, Micro: _micro, Sum: _sum, View: _view
}  # fmt: skip
