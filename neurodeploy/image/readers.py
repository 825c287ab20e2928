"""Ports, weights and axon items of the nodes that receive messages: Synapse, Product, Reduce, Delay, Output.

Each becomes one or two :class:`Reading` records, which say what the core needs from outside and where it goes. A
*position* of a value is what one axon stands for, its *channel* travels in the message: channels are the last axis,
or the first where convolutions and windows read (C, Y, X).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import prod

import numpy as np

from ..array import Array
from ..errors import MappingError, Problem
from ..ir import interp
from ..ir.graph import Graph
from ..ir.nodes import Delay, Node, Output, Product, Reduce, Synapse
from ..mapping.demand import delay_bits
from ..mapping.regions import flat_of, projections
from ..passes.balance import depths, line
from ..target import Target
from .tables import Rows, Tables, distinct_rows
from .types import OPERAND, ROWS, Instruction
from .words import Layout, stored


@dataclass(frozen=True, eq=False)
class Reading:
    """What a node needs of ``value``: channels per position (sorted), and items (position rank, kind, id, a, b).

    ``axis`` is the channel axis. ``single``: a dense list that wants one axon per element of its only position.
    """

    node: str
    value: str
    axis: int
    positions: Array
    need: Array
    items: Array
    single: bool = False


@dataclass(frozen=True, eq=False)
class Reader:
    """Writes the receiving side of one node on one core."""

    graph: Graph
    target: Target
    tables: Tables
    constants: dict[str, Array]
    axes: dict[str, int]
    held: dict[
        tuple[str, str], Array
    ]  # (product, operand) -> elements whose running sum a core keeps already

    def read(self, node: Node, flat: Array) -> tuple[Instruction, list[Reading]]:
        """Instruction and readings for the elements ``flat`` of a receiving node."""
        return KINDS[type(node)](self, node, flat)

    def axis(self, value: str) -> int:
        """Channel axis of a value that any layout suits."""
        return self.axes.get(value, max(len(self.graph.shape(value)) - 1, 0))

    def operand(self, node: Node, value: str, needed: Array) -> tuple[int, list[Reading]]:
        """A port that holds elements ``needed`` (flat indices) of a value in that order."""
        if value in self.constants:
            return self.tables.port(node.name, self.constants[value].ravel()[needed]), []
        port = self.tables.port(node.name, np.zeros(len(needed), dtype=np.int64))
        axis = self.axis(value)
        position, channel = split(needed, self.graph.shape(value), axis)
        positions, rank = np.unique(position, return_inverse=True)
        slots = np.full((len(positions), channels_of(self.graph.shape(value), axis)), -1, dtype=np.int64)
        slots[rank, channel] = np.arange(len(needed))
        return port, [Reading(node.name, value, axis, positions, slots >= 0, self._items(port, slots))]

    def _items(self, port: int, slots: Array) -> Array:
        """One item per position: slot of a channel = a + channels[b + channel]."""
        base = np.where(slots >= 0, slots, np.iinfo(np.int64).max).min(axis=1)
        offsets = np.where(slots >= 0, slots - base[:, None], -1)
        kinds, which = distinct_rows(offsets)
        starts = np.array([self.tables.share("channels", row) for row in kinds])
        count = np.arange(len(slots))
        return np.stack(
            [count, np.full_like(count, OPERAND), np.full_like(count, port), base, starts[which]], 1
        )

    def fresh(self, node: str, operand: str, value: str, needed: Array) -> Array:
        """Which held elements no earlier core keeps: their saturations count here."""
        kept = self.held.setdefault((node, operand), np.zeros(prod(self.graph.shape(value)), dtype=bool))
        first = ~kept[needed]
        kept[needed] = True
        return first

    def layout(self, node: Node, bits: int, header: int, index: int = 0, wait: int = 0) -> Layout:
        """A layout at the smallest weight code that holds ``bits``; raises MappingError ND585 if none does."""
        width = self.target.limits.weight_bits.round_up(bits)
        if width is None:
            codes = self.target.limits.weight_bits.value
            raise MappingError(
                [
                    Problem(
                        "ND585",
                        "weights are wider than any code of the target",
                        node.name,
                        f"{bits} bits",
                        f"one of {codes}",
                        ("quantize to fewer weight bits",),
                    )
                ]
            )
        block, delay = self.target.limits.synapses_per_block.value or 0, delay_bits(wait, self.target)
        return Layout(width, index, header, block, delay)

    def kernel(self, node: Node, port: int, entries: int) -> int:
        """One word per incoming connection of a sum or delay: weight 1."""
        layout = self.layout(node, 2, self.target.limits.synapse_header_bits_conv.value or 0)
        ones = Rows(np.ones((entries, 1), dtype=np.int64), np.zeros(1, dtype=np.int64))
        return self.tables.connection(port, 1, 0, layout, [ones])


def split(flat: Array, shape: tuple[int, ...], axis: int) -> tuple[Array, Array]:
    """Position and channel of flat indices, the channel being one axis of the shape."""
    if not shape:
        return flat * 0, flat * 0
    coordinates = list(np.unravel_index(flat, shape))
    channel = coordinates.pop(axis)
    rest = tuple(n for i, n in enumerate(shape) if i != axis)
    return (np.ravel_multi_index(coordinates, rest) if rest else flat * 0), channel


def channels_of(shape: tuple[int, ...], axis: int) -> int:
    """How many channels a position has."""
    return shape[axis] if shape else 1


# --- synapses ------------------------------------------------------------------------------------------------------


def _synapse(reader: Reader, node: Synapse, flat: Array) -> tuple[Instruction, list[Reading]]:
    return (_dense if node.op == "dense" else _conv)(reader, node, flat)


def _dense(reader: Reader, node: Synapse, flat: Array) -> tuple[Instruction, list[Reading]]:
    shape = reader.graph.shape(node.name)
    axis = len(shape) - 1
    position, channel = split(flat, shape, axis)
    positions, columns = np.unique(position), np.unique(channel)
    place = np.searchsorted(positions, position) * len(columns) + np.searchsorted(columns, channel)
    port, known = _accumulators(reader, node, flat, place, len(positions) * len(columns))
    if known:
        return _inbox(reader, node, flat, port, place), []
    link, rows = _dense_link(reader, node, port, len(positions), columns)
    rank = np.arange(len(positions))
    items = np.stack(
        [rank, np.full_like(rank, ROWS), np.full_like(rank, link), rank * rows, rank * len(columns)], 1
    )
    need = np.ones((len(positions), node.weight.shape[1]), dtype=bool)
    reading = Reading(node.name, node.inputs[0], axis, positions, need, items, len(positions) == 1)
    return _inbox(reader, node, flat, port, place), [reading]


def _dense_link(reader: Reader, node: Synapse, port: int, positions: int, columns: Array) -> tuple[int, int]:
    """The connection, and how many rows lie between two positions (0: all share them)."""
    limits, mantissa, exponent, bits = reader.target.limits, *stored(node.weight)
    weights, local = mantissa[columns].T, np.arange(len(columns))
    steps = _steps(reader.graph, node)
    wait = int(np.max(steps))
    rows = Rows(weights, local, steps[columns].T if isinstance(steps, np.ndarray) else steps)
    if positions == 1:
        layout = reader.layout(
            node, bits, limits.synapse_header_bits_dense.value or 0, limits.index_bits.value or 0, wait
        )
        return reader.tables.connection(port, len(local), exponent, layout, [rows]), 0
    if reader.target.features.shared_kernels.allowed:
        layout = reader.layout(node, bits, limits.synapse_header_bits_conv.value or 0, wait=wait)
        return reader.tables.connection(port, len(local), exponent, layout, [rows]), 0
    header, index = limits.synapse_header_bits_dense.value or 0, limits.sparse_index_bits.value or 0
    layout = reader.layout(node, bits, header, index, wait)
    copies = [rows] * positions
    return reader.tables.connection(port, len(local), exponent, layout, copies), len(weights)


def _steps(graph: Graph, node: Synapse) -> Array | int:
    """Steps for which what a connection adds waits: for all of them, or for each (O, C)."""
    return 0 if node.delays == (0,) else node.delay + line(graph, node, depths(graph))


def _accumulators(reader: Reader, node: Synapse, flat: Array, place: Array, size: int) -> tuple[int, bool]:
    """A port that starts at the biases; a constant input is added once and for all (second: True)."""
    shape = reader.graph.shape(node.name)
    channel = split(flat, shape, len(shape) - 1 if node.op == "dense" else 0)[1]
    init = np.zeros(size, dtype=np.int64)
    if node.bias is not None:
        init[place] = node.bias[channel]
    constant = reader.constants.get(node.inputs[0])
    if constant is not None and node.delays != (0,):
        cause = "a constant reaches a delayed connection, which would see nothing before its delay is over"
        raise MappingError([Problem("ND585", cause, node.name, node.inputs[0], "a stream")])
    if constant is not None:
        x = constant[None].astype(np.int64)
        silent = replace(node, bias=None)
        total = x @ node.weight.T if node.op == "dense" else interp.convolve(x, silent)
        init[place] += total.ravel()[flat]
    return reader.tables.port(node.name, init), constant is not None


def _inbox(reader: Reader, node: Node, flat: Array, port: int, place: Array) -> Instruction:
    size = int(reader.tables.parts["ports"][port][0, 1])
    return Instruction(
        "synapse", node.name, len(flat), ports=(port,), numbers={"from": reader.tables.gather(place, size)}
    )


def _conv(reader: Reader, node: Synapse, flat: Array) -> tuple[Instruction, list[Reading]]:
    shape = reader.graph.shape(node.name)
    position, channel = split(flat, shape, 0)
    positions, columns = np.unique(position), np.unique(channel)
    place = np.searchsorted(positions, position) * len(columns) + np.searchsorted(columns, channel)
    port, known = _accumulators(reader, node, flat, place, len(positions) * len(columns))
    if known:
        return _inbox(reader, node, flat, port, place), []
    targets, kernel, sources = _receptive(reader.graph, node, positions)
    shared = reader.target.features.shared_kernels.allowed
    write = _conv_link if shared else _conv_lists
    link, items = write(reader, node, port, columns, targets, kernel, sources)
    used, rank = np.unique(sources, return_inverse=True)
    items = np.stack(
        [rank.ravel(), np.full(len(rank.ravel()), ROWS), np.full(len(rank.ravel()), link), *items], 1
    )
    if not shared:
        items = np.unique(items, axis=0)
    reading = Reading(
        node.name, node.inputs[0], 0, used, np.tile(_blocks(node, columns), (len(used), 1)), items
    )
    return _inbox(reader, node, flat, port, place), [reading]


def _receptive(graph: Graph, node: Synapse, positions: Array) -> tuple[Array, Array, Array]:
    """(target rank, kernel position, source position) of every tap that is not padding."""
    _, height, width = graph.shape(node.inputs[0])
    y, x = np.unravel_index(positions, graph.shape(node.name)[1:])
    dy, dx = (a.ravel() for a in np.indices(node.weight.shape[2:]))
    iy = y[:, None] * node.stride[0] + dy - node.padding[0]
    ix = x[:, None] * node.stride[1] + dx - node.padding[1]
    inside = (iy >= 0) & (iy < height) & (ix >= 0) & (ix < width)
    targets, kernel = np.nonzero(inside)
    return targets, kernel, (iy * width + ix)[inside]


def _blocks(node: Synapse, columns: Array) -> Array:
    """Which input channels feed any of the output channels ``columns``."""
    used = np.unique(columns // (node.weight.shape[0] // node.groups))
    need = np.zeros((node.groups, node.weight.shape[1]), dtype=bool)
    need[used] = True
    return need.ravel()


def _conv_link(
    reader: Reader,
    node: Synapse,
    port: int,
    columns: Array,
    targets: Array,
    kernel: Array,
    _: Array,
) -> tuple[int, list[Array]]:
    """Shared kernels: one row per (kernel position, input channel)."""
    mantissa, exponent, bits = stored(node.weight)
    group = columns // (node.weight.shape[0] // node.groups)
    wait = int(np.max(_steps(reader.graph, node)))
    layout = reader.layout(node, bits, reader.target.limits.synapse_header_bits_conv.value or 0, wait=wait)
    taps = mantissa.reshape(*mantissa.shape[:2], -1)
    rows = []
    for k in range(taps.shape[2]):
        for g in range(node.groups):
            local = np.flatnonzero(group == g)
            rows.append(Rows(taps[columns[local], :, k].T, local, wait))
    link = reader.tables.connection(port, len(columns), exponent, layout, rows)
    channels = node.groups * node.weight.shape[1]
    return link, [kernel * channels, targets * len(columns)]


def _conv_lists(
    reader: Reader,
    node: Synapse,
    port: int,
    columns: Array,
    targets: Array,
    kernel: Array,
    sources: Array,
) -> tuple[int, list[Array]]:
    """Without shared kernels: one list of targets with indices per source position and channel."""
    mantissa, exponent, bits = stored(node.weight)
    limits, wait = reader.target.limits, int(np.max(_steps(reader.graph, node)))
    layout = reader.layout(
        node, bits, limits.synapse_header_bits_dense.value or 0, limits.sparse_index_bits.value or 0, wait
    )
    taps = mantissa.reshape(*mantissa.shape[:2], -1)
    group, inputs = columns // (node.weight.shape[0] // node.groups), node.weight.shape[1]
    used, rank = np.unique(sources, return_inverse=True)
    rows, size = [], (int(targets.max(initial=0)) + 1) * len(columns)
    for source in range(len(used)):
        tap = np.flatnonzero(rank.ravel() == source)
        for channel in range(node.groups * inputs):
            local = np.flatnonzero(group == channel // inputs)
            weights = taps[columns[local]][:, channel % inputs][:, kernel[tap]].T
            index = targets[tap][:, None] * len(columns) + local
            rows.append(Rows(weights.reshape(1, -1), index.ravel(), wait))
    size = max(size, int(reader.tables.parts["ports"][port][0, 1]))
    link = reader.tables.connection(port, size, exponent, layout, rows)
    return link, [rank.ravel() * node.groups * inputs, np.zeros_like(targets)]


# --- operands ------------------------------------------------------------------------------------------------------


def _delay(reader: Reader, node: Delay, flat: Array) -> tuple[Instruction, list[Reading]]:
    port, found = reader.operand(node, node.inputs[0], flat)
    steps = node.steps if found else 1  # a constant is the same at every step
    numbers = {"from": -1, "steps": steps, "kernel": reader.kernel(node, port, 1)}
    state = reader.tables.zeros((steps - 1) * len(flat))
    return Instruction("delay", node.name, len(flat), ports=(port,), numbers=numbers, state=state), found


def _output(reader: Reader, node: Output, flat: Array) -> tuple[Instruction, list[Reading]]:
    port, found = reader.operand(node, node.name, flat)
    texts = {"readout": node.readout}
    return Instruction(
        "output", node.name, len(flat), ports=(port,), numbers={"from": -1}, texts=texts
    ), found


def _reduce(reader: Reader, node: Reduce, flat: Array) -> tuple[Instruction, list[Reading]]:
    table = window_sources(node, reader.graph.shape(node.inputs[0]))[flat]
    needed = np.unique(table[table >= 0])
    port, found = reader.operand(node, node.inputs[0], needed)
    start = reader.tables.share("gather", np.where(table < 0, -1, np.searchsorted(needed, table)).ravel())
    numbers = {"from": start, "fan": table.shape[1], "kernel": reader.kernel(node, port, table.shape[1])}
    return Instruction(
        "reduce", node.name, len(flat), ports=(port,), numbers=numbers, texts={"kind": node.op}
    ), found


def window_sources(node: Reduce, shape: tuple[int, ...]) -> Array:
    """(outputs, elements of a window) flat source indices, -1 for padding."""
    index = np.arange(1, prod(shape) + 1).reshape(1, *shape)
    if node.window is not None:
        table = interp.windows(index, node)
        return table.reshape(-1, prod(node.window)) - 1
    axes = tuple(a % len(shape) + 1 for a in node.axes)
    table = np.moveaxis(index, axes, range(-len(axes), 0)) if axes else index[..., None]
    return table.reshape(-1, prod(shape[a - 1] for a in axes)) - 1


def _product(reader: Reader, node: Product, flat: Array) -> tuple[Instruction, list[Reading]]:
    left, right, out = node.einsum.left, node.einsum.right, node.einsum.out
    shapes = [reader.graph.shape(i) for i in node.inputs]
    if node.einsum.repeats:
        raise MappingError(
            [Problem("ND585", "a product repeats an index inside one operand", node.name, node.equation)]
        )
    kept = dict(zip(out, projections(flat, reader.graph.shape(node.name)), strict=True))
    if node.timing == "held":
        # A held operand is replaced as a whole: the core must see every element to know whether any spoke.
        kept |= {c: np.arange(n) for c, n in zip(right, shapes[1], strict=True) if c in out}
    ports, readings, sizes, held = [], [], {}, []
    for name, letters, value, shape in zip("ab", (left, right), node.inputs, shapes, strict=True):
        sets = tuple(kept.get(c, np.arange(n)) for c, n in zip(letters, shape, strict=True))
        needed = flat_of(sets, shape)
        port, found = reader.operand(node, value, needed)
        ports.append(port)
        readings += found
        held.append(needed)
        sizes[f"{name}_sizes"] = np.array([len(s) for s in sets])
    return _product_instruction(reader, node, flat, tuple(ports), sizes, kept, held), readings


def _product_instruction(
    reader: Reader,
    node: Product,
    flat: Array,
    ports: tuple[int, ...],
    sizes: dict[str, Array],
    kept: dict[str, Array],
    held: list[Array],
) -> Instruction:
    tables, spec = reader.tables, reader.graph.values[node.name].fixed
    out = node.einsum.out
    shape = reader.graph.shape(node.name)
    coordinates = np.unravel_index(flat, shape) if shape else ()
    local = [np.searchsorted(kept[c], x) for c, x in zip(out, coordinates, strict=True)]
    hull = tuple(len(kept[c]) for c in out)
    place = np.ravel_multi_index(local, hull) if hull else flat * 0
    arrays = {name: tables.values(part) for name, part in sizes.items()}
    for name, value, needed in zip("ab", node.inputs, held, strict=True):
        first = reader.fresh(node.name, name, value, needed)
        if node.timing == "cumulative" and not first.all():
            arrays[f"own_{name}"] = tables.values(first)
    if node.rescale is not None:
        parts = zip(("multiplier", "shift"), node.rescale, strict=True)
        arrays |= {name: tables.values(np.atleast_1d(part)) for name, part in parts}
    words = {"cumulative": len(held[0]) + len(held[1]) + 2 * len(flat), "held": len(held[1])}
    return Instruction(
        "product",
        node.name,
        len(flat),
        ports=ports,
        arrays=arrays,
        state=tables.zeros(words.get(node.timing or "", 0)),
        numbers={
            "from": tables.gather(place, prod(hull)),
            "bits": spec.bits if spec else interp.REGISTER_BITS,
        },
        texts={"equation": node.equation, "timing": node.timing or "instant"},
    )


KINDS: dict[type[Node], Callable[..., tuple[Instruction, list[Reading]]]] = {
    Synapse: _synapse,
    Delay: _delay,
    Reduce: _reduce,
    Product: _product,
    Output: _output,
}
