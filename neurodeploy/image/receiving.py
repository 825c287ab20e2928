"""Instructions of the nodes that receive messages: Synapse, Product, Reduce, Delay, Output.

Each comes with one or two :class:`Reading` records, which say what the core needs from outside and where it goes. A
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
from ..ir.nodes import Delay, Node, Output, Product, Reduce, Synapse
from ..mapping.demand import delay_bits
from ..mapping.reads import fed, used
from ..mapping.regions import flat_of, projections
from ..passes.balance import line
from ..target_schema import Size
from .arrivals import CHANNELS, FEEDS, KEPT, OPERAND, ROW, add_port
from .network import Network, channels_of, split
from .programs import GATHER, add_gather, add_state, add_values, packed
from .synapses import Weights, add_connection
from .tables import Tables, distinct_rows
from .types import IDENTITY, Instruction, TableArray
from .words import Layout


@dataclass(frozen=True, eq=False)
class Reading:
    """What a node needs of ``value``: channels per position (sorted), and what they feed (:data:`.arrivals.FEEDS`).

    ``axis`` is the channel axis. ``single``: a dense list that wants one axon per element of its only position.
    """

    value: str
    axis: int
    positions: Array
    need: Array
    feeds: Array
    single: bool = False


@dataclass(frozen=True, eq=False)
class Kept:
    """Slots of a port that keeps elements of a value.

    ``size`` in all, ``apart`` for each of the tokens ``first``, ``first`` + ``every``, ..; ``models`` (flat): elements
    that have an axon each, ``slots``: where any of those lies for which they stand. ``turns`` and ``copies`` are those
    of the sender. ``order``: slots of what is read, in the order of what is needed, with a row for each of the reader's
    turns if they differ.
    """

    size: int
    models: Array
    slots: Array
    order: Array
    apart: int
    turns: int = 1
    first: int = 0
    every: int = 1
    copies: int = 1


@dataclass(frozen=True, eq=False)
class Reader:
    """Writes the receiving side of one node of a program; ``shown``: its elements in each of its turns, -1: none.

    ``program`` tells programs of all cores apart.
    """

    network: Network
    tables: Tables
    shown: Array | None = None
    program: int = -1

    def read(self, node: Node, flat: Array) -> tuple[Instruction, list[Reading]]:
        """Instruction and readings for the elements ``flat`` of a receiving node."""
        return KINDS[type(node)](self, node, flat)

    def operand(
        self, node: Node, value: str, needed: Array, which: int = 0
    ) -> tuple[int, list[Reading], dict[str, TableArray]]:
        """A port that holds elements ``needed`` (flat indices) of a value in that order, and arrays that say where."""
        network = self.network
        if value in network.constants:
            return add_port(self.tables, node.name, network.constants[value].ravel()[needed]), [], {}
        if not network.turns.kept(node, which):
            port = add_port(self.tables, node.name, np.zeros(len(needed), dtype=np.int64))
            place = np.flatnonzero(fed(network.graph, node, which, needed))
            return port, [self.reading(value, port, network.model(value, needed[place]), place)], {}
        kept = self._kept(node, value, needed)
        port = add_port(self.tables, node.name, np.zeros(kept.size, dtype=np.int64))
        since = network.level[value]
        said = {name: getattr(kept, name) for name in ("turns", "apart", "first", "every", "copies")}
        self.tables.add(KEPT, KEPT.rows(port=port, since=since, **said))
        order = {f"keep_{which}": add_values(self.tables, kept.order)}
        return port, [self.reading(value, port, kept.models, kept.slots)], order

    def reading(self, value: str, port: int, elements: Array, place: Array) -> Reading:
        """Elements of a value and the slots of a port that they go to."""
        axis, shape = self.network.axis(value), self.network.shape(value)
        position, channel = split(elements, shape, axis)
        positions, rank = np.unique(position, return_inverse=True)
        slots = np.full((len(positions), channels_of(shape, axis)), -1, dtype=np.int64)
        slots[rank, channel] = place
        return Reading(value, axis, positions, slots >= 0, self._feeds(port, slots))

    def sees(self, node: Node, which: int) -> Array | None:
        """Which indices of a kept operand a product uses in each turn; None where it uses all of it in all of them."""
        sight = self.network.turns.sight(node, which)
        if sight is None or self.shown is None:
            return None
        element = self.shown.max(axis=1)
        token = np.where(element < 0, -1, self.network.turns.token[node.name][element])
        return sight.of(token)

    def _kept(self, node: Node, value: str, needed: Array) -> Kept:
        taken, own = self.network.turns, isinstance(node, Delay)
        each = self.shown if own and self.shown is not None else needed
        every = np.unique(each[each >= 0])
        token = taken.token.get(value)
        if token is None or not taken.last(value):
            order = np.where(each < 0, -1, np.searchsorted(every, each))
            models = self.network.model(value, every)
            return Kept(len(every), models, np.arange(len(every)), order, max(len(every), 1))
        first = int(token[every].min())  # where only later tokens are needed, none before them has a slot
        copies = 1
        if own and self.shown is not None:
            copies = taken.of(node.name)
            first %= copies
        numbers, places = (token[every] - first) // copies, taken.slots(value)[0][every]
        rank = np.unique(places, return_inverse=True)[1].ravel()
        apart = int(rank.max()) + 1
        address = numbers * apart + rank
        size = (int(numbers.max()) + 1) * apart
        wrong = len(every) % apart or (own and self.shown is None and len(every) < size)
        if wrong:
            cause = "what is kept has not as many elements of each token"
            raise MappingError(
                Problem("ND585", cause, node.name, f"{len(every)} of {value}", f"{size} elements")
            )
        models, at = np.unique(self.network.model(value, every), return_index=True)
        order = np.where(each < 0, -1, address[np.minimum(np.searchsorted(every, each), len(every) - 1)])
        turns = taken.last(value) + 1, first, copies, taken.of(value)
        return Kept(size, models, address[at], order, apart, *turns)

    def _feeds(self, port: int, slots: Array) -> Array:
        """One item per position: slot of a channel = a + channels[b + channel]."""
        base = np.where(slots >= 0, slots, np.iinfo(np.int64).max).min(axis=1)
        kinds, which = distinct_rows(np.where(slots >= 0, slots - base[:, None], -1))
        starts = np.array([self.tables.share(CHANNELS, row) for row in kinds])
        return FEEDS.rows(rank=np.arange(len(slots)), kind=OPERAND, id=port, a=base, b=starts[which])

    def layout(
        self, node: Node, bits: int, wait: int = 0, listed: Size | None = None, targets: int = 0
    ) -> Layout:
        """Rows that several positions share or, with ``listed`` bits for each of ``targets``, rows of their own.

        Weights have the smallest code that holds ``bits``; raises MappingError ND585 if none does, or if a list has
        more targets than its index can name.
        """
        limits = self.network.target.limits
        header = limits.synapse_header_bits_conv if listed is None else limits.synapse_header_bits_dense
        width = limits.weight_bits.round_up(bits)
        if width is None:
            cause, fix = "weights are wider than any code of the target", "quantize to fewer weight bits"
            limit = f"one of {limits.weight_bits.value}"
            raise MappingError(Problem("ND585", cause, node.name, f"{bits} bits", limit, (fix,)))
        if listed and listed.value and targets > 1 << listed.value:  # without an index the order tells
            cause, fix = "a core has more targets than the index of its lists can name", "use more cores"
            limit = f"{1 << listed.value} ({listed.value} bits)"
            raise MappingError(Problem("ND585", cause, node.name, f"{targets} targets", limit, (fix,)))
        block, delay = limits.synapses_per_block.value or 0, delay_bits(wait, self.network.target)
        return Layout(width, listed.value if listed else 0, header.value, block, delay)

    def kernel(self, node: Node, port: int, entries: int) -> int:
        """One word per incoming connection of a sum or delay: weight 1."""
        ones = Weights(np.ones((entries, 1), dtype=np.int64), np.zeros(1, dtype=np.int64))
        return add_connection(self.tables, port, 1, 0, self.layout(node, 2), [ones])


@dataclass(frozen=True, eq=False)
class _Block:
    """The rectangle of accumulators around local elements of a Synapse: position by position, channels inside.

    ``place``: the accumulator of each local element.
    """

    positions: Array
    channels: Array
    place: Array

    @classmethod
    def of(cls, flat: Array, shape: tuple[int, ...], axis: int) -> _Block:
        """Around the elements ``flat``."""
        position, channel = split(flat, shape, axis)
        positions, channels = np.unique(position), np.unique(channel)
        place = np.searchsorted(positions, position) * len(channels) + np.searchsorted(channels, channel)
        return cls(positions, channels, place)

    @property
    def size(self) -> int:
        """Number of accumulators."""
        return len(self.positions) * len(self.channels)


def _synapse(reader: Reader, node: Synapse, flat: Array) -> tuple[Instruction, list[Reading]]:
    shape = reader.network.shape(node.name)
    axis = len(shape) - 1 if node.op == "dense" else 0
    block = _Block.of(flat, shape, axis)
    port = add_port(reader.tables, node.name, _initial(reader.network, node, flat, block, axis))
    start = add_gather(reader.tables, block.place, block.size)
    item = Instruction("synapse", node.name, len(flat), ports=(port,), numbers={"from": start})
    if node.inputs[0] in reader.network.constants:
        return item, []
    return item, [(_dense if node.op == "dense" else _conv)(reader, node, block, port)]


def _initial(network: Network, node: Synapse, flat: Array, block: _Block, axis: int) -> Array:
    """What accumulators start at: the biases, and what a constant input adds once and for all."""
    init = np.zeros(block.size, dtype=np.int64)
    if node.bias is not None:
        init[block.place] = node.bias[split(flat, network.shape(node.name), axis)[1]]
    constant = network.constants.get(node.inputs[0])
    if constant is None:
        return init
    if node.delays != (0,):
        cause = "a constant reaches a delayed connection, which would see nothing before its delay is over"
        raise MappingError(Problem("ND585", cause, node.name, node.inputs[0], "a stream"))
    x, silent = constant[None].astype(np.int64), replace(node, bias=None)
    total = interp.linear(x, silent)
    init[block.place] += total.ravel()[flat]
    return init


def _steps(network: Network, node: Synapse) -> Array:
    """Steps for which what a connection adds waits: for all of them (a scalar), or for each (O, C)."""
    if node.delays == (0,):
        return np.zeros((), dtype=np.int64)
    return np.asarray(node.later(line(network.graph, node, network.level)))


def _dense(reader: Reader, node: Synapse, block: _Block, port: int) -> Reading:
    count = len(block.positions)
    link, apart = _dense_link(reader, node, port, block)
    rank = np.arange(count)
    feeds = FEEDS.rows(rank=rank, kind=ROW, id=link, a=rank * apart, b=rank * len(block.channels))
    need = np.ones((count, node.weight.shape[1]), dtype=bool)
    axis = len(reader.network.shape(node.name)) - 1
    positions = reader.network.model_positions(node.inputs[0], axis, block.positions)
    return Reading(node.inputs[0], axis, positions, need, feeds, count == 1)


def _dense_link(reader: Reader, node: Synapse, port: int, block: _Block) -> tuple[int, int]:
    """The connection, and how many rows lie between two positions (0: all share them)."""
    target, count = reader.network.target, len(block.positions)
    exponent, bits = reader.network.stored(node)
    steps = _steps(reader.network, node)
    wait = int(steps.max())
    delays = steps[block.channels].T if steps.ndim else steps
    rows = Weights(node.weight[block.channels].T, np.arange(len(block.channels)), delays)
    own = count == 1 or not target.features.shared_kernels.allowed
    index = target.limits.index_bits if count == 1 else target.limits.sparse_index_bits
    layout = reader.layout(node, bits, wait, index if own else None, len(block.channels))
    copies = [rows] * (count if own else 1)
    link = add_connection(reader.tables, port, len(block.channels), exponent, layout, copies)
    return link, len(rows.weights) if own else 0


def _conv(reader: Reader, node: Synapse, block: _Block, port: int) -> Reading:
    taps = _taps(reader.network, node, block.positions)
    used, rank = np.unique(taps.source, return_inverse=True)
    shared = reader.network.target.features.shared_kernels.allowed
    exponent, bits = reader.network.stored(node)
    kernels = node.weight.reshape(*node.weight.shape[:2], -1)
    wait = int(_steps(reader.network, node).max())
    listed = None if shared else reader.network.target.limits.sparse_index_bits
    layout = reader.layout(node, bits, wait, listed, block.size)
    width = len(block.channels) if shared else block.size
    rows, a, b = (_kernel_rows if shared else _list_rows)(node, block, taps, kernels, wait)
    link = add_connection(reader.tables, port, width, exponent, layout, rows)
    feeds = FEEDS.rows(rank=rank.ravel(), kind=ROW, id=link, a=a, b=b)
    need = np.tile(_inputs_used(node, block.channels), (len(used), 1))
    used = reader.network.model_positions(node.inputs[0], 0, used)
    return Reading(node.inputs[0], 0, used, need, feeds if shared else np.unique(feeds))


@dataclass(frozen=True, eq=False)
class _Taps:
    """Everything that a convolution reads and that is not padding: rank of target, kernel and source position."""

    target: Array
    kernel: Array
    source: Array


def _taps(network: Network, node: Synapse, positions: Array) -> _Taps:
    _, height, width = network.shape(node.inputs[0])
    y, x = np.unravel_index(positions, network.shape(node.name)[1:])
    dy, dx = (a.ravel() for a in np.indices(node.weight.shape[2:]))
    iy = y[:, None] * node.stride[0] + dy - node.padding[0]
    ix = x[:, None] * node.stride[1] + dx - node.padding[1]
    inside = (iy >= 0) & (iy < height) & (ix >= 0) & (ix < width)
    target, kernel = np.nonzero(inside)
    return _Taps(target, kernel, (iy * width + ix)[inside])


def _inputs_used(node: Synapse, channels: Array) -> Array:
    """Which input channels feed any of the output channels."""
    used = np.unique(channels // (node.weight.shape[0] // node.groups))
    need = np.zeros((node.groups, node.weight.shape[1]), dtype=bool)
    need[used] = True
    return need.ravel()


Rows = tuple[
    list[Weights], Array, Array
]  # of a connection, and for each tap the first it reads and where it writes


def _kernel_rows(node: Synapse, block: _Block, taps: _Taps, kernels: Array, wait: int) -> Rows:
    """Shared kernels: one row per (kernel position, input channel)."""
    group, rows = block.channels // (node.weight.shape[0] // node.groups), []
    for k in range(kernels.shape[2]):
        for g in range(node.groups):
            local = np.flatnonzero(group == g)
            rows.append(Weights(kernels[block.channels[local], :, k].T, local, wait))
    apart = node.groups * node.weight.shape[1]
    return rows, taps.kernel * apart, taps.target * len(block.channels)


def _list_rows(node: Synapse, block: _Block, taps: _Taps, kernels: Array, wait: int) -> Rows:
    """Without shared kernels: one list of targets with indices per source position and channel."""
    group, inputs = block.channels // (node.weight.shape[0] // node.groups), node.weight.shape[1]
    used, rank = np.unique(taps.source, return_inverse=True)
    rank, rows = rank.ravel(), []
    for source in range(len(used)):
        tap = np.flatnonzero(rank == source)
        for channel in range(node.groups * inputs):
            local = np.flatnonzero(group == channel // inputs)
            weights = kernels[block.channels[local]][:, channel % inputs][:, taps.kernel[tap]].T
            index = taps.target[tap][:, None] * len(block.channels) + local
            rows.append(Weights(weights.reshape(1, -1), index.ravel(), wait))
    return rows, rank * node.groups * inputs, np.zeros_like(taps.target)


def _delay(reader: Reader, node: Delay, flat: Array) -> tuple[Instruction, list[Reading]]:
    port, found, kept = reader.operand(node, node.inputs[0], flat)
    steps = node.steps if found and not kept else 1  # a constant is the same at every step
    numbers = {"from": IDENTITY, "steps": steps, "kernel": reader.kernel(node, port, 1)}
    state = add_state(reader.tables, (steps - 1) * len(flat))
    item = Instruction(
        "delay", node.name, len(flat), ports=(port,), numbers=numbers, arrays=kept, state=state
    )
    return item, found


def _output(reader: Reader, node: Output, flat: Array) -> tuple[Instruction, list[Reading]]:
    port, found, kept = reader.operand(node, node.name, flat)
    numbers, texts = {"from": IDENTITY}, {"readout": node.readout}
    item = Instruction(
        "output", node.name, len(flat), ports=(port,), numbers=numbers, texts=texts, arrays=kept
    )
    return item, found


def _reduce(reader: Reader, node: Reduce, flat: Array) -> tuple[Instruction, list[Reading]]:
    table = window_sources(node, reader.network.shape(node.inputs[0]))[flat]
    needed = np.unique(table[table >= 0])
    port, found, kept = reader.operand(node, node.inputs[0], needed)
    start = reader.tables.share(GATHER, np.where(table < 0, -1, np.searchsorted(needed, table)).ravel())
    numbers = {"from": start, "fan": table.shape[1], "kernel": reader.kernel(node, port, table.shape[1])}
    texts = {"kind": node.op}
    item = Instruction(
        "reduce", node.name, len(flat), ports=(port,), numbers=numbers, texts=texts, arrays=kept
    )
    return item, found


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
    network, equation = reader.network, node.einsum
    if equation.repeats:
        cause = "a product repeats an index inside one operand"
        raise MappingError(Problem("ND585", cause, node.name, node.equation))
    kept = _kept(network, node, flat)
    ports, readings, arrays, held, axes = [], [], dict[str, TableArray](), [], dict[str, int]()
    sides = zip("ab", (equation.left, equation.right), node.inputs, strict=True)
    for which, (name, letters, value) in enumerate(sides):
        shape = network.shape(value)
        sets = tuple(kept.get(c, np.arange(n)) for c, n in zip(letters, shape, strict=True))
        held.append(flat_of(sets, shape))
        port, found, keeps = reader.operand(node, value, held[-1], which)
        ports.append(port)
        readings += found
        arrays |= keeps
        arrays[f"{name}_sizes"] = add_values(reader.tables, np.array([len(s) for s in sets]))
        sees, sight = reader.sees(node, which), network.turns.sight(node, which)
        if sees is not None and sight is not None:
            axes[f"see_{which}"] = sight.axis
            arrays[f"see_{which}"] = add_values(reader.tables, packed(sees[:, sets[sight.axis]]))
        elif (mask := node.terms_of(letters)) is not None:
            here = np.broadcast_to(mask, shape)[np.ix_(*sets)]
            arrays[f"terms_{name}"] = add_values(reader.tables, here.ravel().astype(np.int64))
    arrays |= _product_arrays(reader, node, held)
    a, b = map(len, held)
    words, timing = {"cumulative": a + b + 2 * len(flat), "held": b}, node.timing or "instant"
    item = Instruction(
        "product", node.name, len(flat), ports=tuple(ports),
        numbers={"from": _picked(reader, node, flat, kept), "bits": network.bits(node.name), **axes},
        texts={"equation": node.equation, "timing": timing}, arrays=arrays,
        state=add_state(reader.tables, words.get(timing, 0)),
    )  # fmt: skip
    return item, readings


def _kept(network: Network, node: Product, flat: Array) -> dict[str, Array]:
    """For each letter of the result the indices that local elements use."""
    equation = node.einsum
    kept = dict(zip(equation.out, projections(flat, network.shape(node.name)), strict=True))
    if node.timing == "held":
        # A held operand is replaced as a whole: the core must see every element to know whether any spoke.
        sizes = zip(equation.right, network.shape(node.inputs[1]), strict=True)
        kept |= {c: np.arange(n) for c, n in sizes if c in equation.out}
    return used(network.graph, node, kept)


def _product_arrays(reader: Reader, node: Product, held: list[Array]) -> dict[str, TableArray]:
    """Which running sums count here, and the rescale."""
    parts: dict[str, Array] = {}
    for name, value, needed in zip("ab", node.inputs, held, strict=True):
        which = "ab".index(name)
        sees, sight = reader.sees(node, which), reader.network.turns.sight(node, which)
        ever = np.ones(len(needed), dtype=bool)
        if sees is not None and sight is not None and reader.network.turns.kept(node, which):
            ever = sees.any(axis=0)[sight.index(needed)]
        first = np.zeros(len(needed), dtype=bool)
        first[ever] = reader.network.first((node.name, name), value, needed[ever], reader.program)
        if node.timing == "cumulative" and not first.all():
            parts[f"own_{name}"] = first
    if node.rescale is not None:
        parts |= zip(("multiplier", "shift"), map(np.atleast_1d, node.rescale), strict=True)
    return {name: add_values(reader.tables, part) for name, part in parts.items()}


def _picked(reader: Reader, node: Product, flat: Array, kept: dict[str, Array]) -> int:
    """Where local elements lie among all that the local operands yield."""
    shape = reader.network.shape(node.name)
    out = node.einsum.out
    coordinates = np.unravel_index(flat, shape) if shape else ()
    hull = tuple(len(kept[c]) for c in out)
    places = [np.searchsorted(kept[c], x) for c, x in zip(out, coordinates, strict=True)]
    local = [np.minimum(place, size - 1) for place, size in zip(places, hull, strict=True)]
    where = np.ravel_multi_index(local, hull) if hull else flat * 0
    mask = node.terms_of(out)
    if mask is not None and reader.network.turns.turn(node.name) is None:
        where = np.where(np.broadcast_to(mask, shape).ravel()[flat], where, -1)
    return add_gather(reader.tables, where, prod(hull))


KINDS: dict[type[Node], Callable[..., tuple[Instruction, list[Reading]]]] = {
    Synapse: _synapse, Delay: _delay, Reduce: _reduce, Product: _product, Output: _output
}  # fmt: skip
