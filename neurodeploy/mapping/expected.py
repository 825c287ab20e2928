"""What a tile is expected to do in a tick, in the kinds of events that the simulated cores count.

The mapper chooses before anything has run on cores: each element of a value is taken to be non-zero as often as
calibration saw (:mod:`.activity`), so that all counts but those of products, whose operands need not be independent,
are those of the calibration samples. What such events cost and how long they take is :mod:`neurodeploy.price`, as in
the report.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from functools import cached_property, partial
from weakref import WeakKeyDictionary

import numpy as np

from ..array import Array
from ..ir import interp
from ..ir.graph import Graph
from ..ir.micro_op import COMPENSATION_OPS, MICROCODE, RESCALE_OPS
from ..ir.neuron_model import NEURONS
from ..ir.nodes import Delay, Micro, Neuron, Node, Output, Product, Reduce, Sum, Synapse, View
from ..ir.trace import EVENT_KINDS
from ..passes.balance import CROSSING
from ..price import PRICED, STAGES, TAKING_IN, lasting, stages
from ..target import Target
from .activity import activity
from .cells import Tile
from .demand import WORD, Accounting, delay_bits, state_bits
from .fields import Field
from .lookups import words_read
from .reads import Read, connections, departures, reads
from .regions import Region

LEVEL = "nominal"
Amounts = dict[str, float | Field]  # event kind -> expected count for each element of a node
#: a source whose elements a core takes in, the axis that travels in a message, and the share that arrives in a tick
Message = tuple[str, int, float]


@dataclass(frozen=True, eq=False)
class Work:
    """What the elements of a group do in a tick wherever they live, by node, and how long all of it takes.

    ``ns``: of all that is tied to each element of the anchor, flat, with its share of what cores take in for it;
    ``before``: of all elements :meth:`.Cells.before` each corner.
    """

    each: Mapping[str, Amounts]
    ns: Array
    before: Array


def per_tick(accounting: Accounting, tile: Tile, turn: bool = False) -> Array:
    """Expected counts of one tick, in the order of :data:`EVENT_KINDS`; packets that leave are the traffic's.

    ``turn``: of one turn of many, in which but a part arrives of what is kept.
    """
    found: defaultdict[str, float] = defaultdict(float)
    for name, amounts in work(accounting).each.items():
        if tile.size(name):
            shape = accounting.graph.shape(name)
            boxed = tile.axes is not None and shape == accounting.cells.shape
            # Whether other tiles are products of index sets does not matter to a sum.
            region = Region(shape, tile.axes) if boxed else Region(shape, None, tile.of(name))
            for kind, amount in amounts.items():
                found[kind] += amount.over(region) if isinstance(amount, Field) else amount * region.size
    taken: dict[Message, list[Region]] = defaultdict(list)
    for node, out in accounting.regions(tile).items():
        for operand, read in enumerate(reads(accounting.graph, node, out, accounting.channels)):
            if read.source in accounting.constants:
                continue
            kept = accounting.taken.kept(node, operand)
            share = 1 / (1 + accounting.taken.last(read.source)) if turn and kept else 1.0
            found["memory_reads"] += share * _words(accounting, node, out, read)
            taken[read.source, accounting.channels.get(read.source, -1), share].append(read.region)
            if isinstance(node, Product) and node.timing == "cumulative":
                # The running sums of an operand are added up anew in every turn.
                again: float = accounting.taken.turns(node.name) if kept and not turn else 1
                again *= accounting.taken.share(node, operand) if kept else 1
                added = again * activity(accounting.graph, read.source).over(read.region)
                found["microcode_ops"] += added
                found["state_accesses"] += added
    for (source, _, share), regions in taken.items():
        found["packets_in"] += share * _together(activity(accounting.graph, source), regions)
    return np.array([found[kind] for kind in EVENT_KINDS])


def whole(accounting: Accounting) -> Array:
    """Expected counts of one tick of a whole group: all but what it takes in does not depend on how it is cut."""
    cells = accounting.cells
    if cells.neuron is None:
        return per_tick(accounting, Tile(cells, tuple(np.arange(size) for size in cells.shape)))
    return per_tick(accounting, cells.hosted(np.arange(len(cells.homes[0]))))


class Part(Enum):
    """What a core does in a step: it takes in the messages of a tick in the step before its programs work on them.

    So it does both but in the step before the first tick of a sample, and in that of the last.
    """

    WHOLE = STAGES
    TAKING_IN = TAKING_IN
    PROGRAMS = tuple(stage for stage in STAGES if stage not in TAKING_IN)

    @cached_property
    def kinds(self) -> Array:
        """Ones for the kinds of events that belong to it, in the order of :data:`EVENT_KINDS`."""
        staged = {kind: PRICED[kind].stage for kind in EVENT_KINDS if kind in PRICED and PRICED[kind].stage}
        return np.array(
            [staged.get(kind, "programs") in self.value for kind in EVENT_KINDS], dtype=np.float64
        )


def spans(depth: int, ticks: int) -> tuple[tuple[Part, int, int], ...]:
    """The steps, from one to the one before another, in which a population of some depth does each part of its work."""
    if depth == 0:  # what it reads was sent in a tick before
        return ((Part.WHOLE, 0, ticks),)
    last = depth + ticks - 1
    return (Part.TAKING_IN, depth - 1, depth), (Part.WHOLE, depth, last), (Part.PROGRAMS, last, last + 1)


def folded_spans(depth: int, ticks: int, period: int) -> Iterator[tuple[Part, Array]]:
    """The steps of a period, ``ticks`` at least, in which a population does each part, samples following each other."""
    taking, working = np.zeros((2, period), dtype=bool)
    for part, start, stop in spans(depth, ticks):
        at = np.arange(start, stop) % period
        taking[at] |= part is not Part.PROGRAMS
        working[at] |= part is not Part.TAKING_IN
    yield Part.WHOLE, np.flatnonzero(taking & working)
    yield Part.TAKING_IN, np.flatnonzero(taking & ~working)
    yield Part.PROGRAMS, np.flatnonzero(working & ~taking)


def tick_ns(counts: Array, target: Target) -> tuple[float, ...]:
    """Expected time of each :class:`Part` on a core that does what was counted, without what it sends and waits for."""
    ns = dict(zip(STAGES, stages(counts, EVENT_KINDS, target, LEVEL), strict=True))
    return tuple(float(lasting([ns[stage] for stage in part.value], target, LEVEL)) for part in Part)


_WORK: WeakKeyDictionary[Accounting, Work] = WeakKeyDictionary()


def work(accounting: Accounting) -> Work:
    """The work of a group, found once."""
    if accounting not in _WORK:
        graph = accounting.graph
        each = {n.name: _each(graph, n) for n in accounting.group.nodes}
        each = {name: amounts for name, amounts in each.items() if amounts}
        ns = _by_home(accounting, each)
        _WORK[accounting] = Work(each, ns, accounting.cells.before(ns))
    return _WORK[accounting]


def _each(graph: Graph, node: Node) -> Amounts:
    """What each element of a node does in a tick."""
    found = dict(PROGRAMS[type(node)](graph, node)) if type(node) in PROGRAMS else {}
    if isinstance(node, Neuron) or (not isinstance(node, View) and _sends(graph, node.name)):
        found["spikes"] = activity(graph, node.name)
    return found


def _sends(graph: Graph, name: str) -> bool:
    """Whether a population elsewhere or the host reads a value, or what a View shows of it."""
    readers = [graph.nodes[reader] for reader in graph.consumers[name]]
    away = (*CROSSING, Output)
    return any(isinstance(r, away) or (isinstance(r, View) and _sends(graph, r.name)) for r in readers)


# --- what arrives --------------------------------------------------------------------------------------------------


def _bits(accounting: Accounting, node: Node) -> int:
    """Bits of a stored weight with its delay."""
    if not isinstance(node, Synapse):
        return 0
    return accounting.weight_bits[node.name] + delay_bits(accounting.waits[node.name], accounting.target)


def _words(accounting: Accounting, node: Node, out: Region, read: Read) -> float:
    """Words of synapse memory that the messages of one value make one of its readers look up."""
    bits, field = _bits(accounting, node), activity(accounting.graph, read.source)
    words = words_read(accounting.graph, node, out, read, bits, accounting.target)
    if not any(words.strides):  # every message makes it read as many
        return float(words[0]) * field.over(read.region) if len(words) else 0.0
    return float(words @ field.at(read.region.indices))


def _together(field: Field, regions: list[Region]) -> float:
    """Messages of a value that a core takes in once, whichever of its nodes read them."""
    if len(regions) == 1:
        return field.over(regions[0])
    every = np.unique(np.concatenate([region.indices for region in regions]))
    return float(field.at(every).sum(dtype=np.float64))


# --- where the work is ---------------------------------------------------------------------------------------------


def _by_home(accounting: Accounting, each: Mapping[str, Amounts]) -> Array:
    """Nanoseconds of a tick for each element of the anchor: what tiles without it would not do.

    What a message sets off on its core is shared out among all who read it.
    """
    cells, graph, target = accounting.cells, accounting.graph, accounting.target
    found: Array = np.zeros(cells.sizes[cells.anchor])
    time = {kind: float(stages(row, EVENT_KINDS, target, LEVEL).sum())
            for kind, row in zip(EVENT_KINDS, np.eye(len(EVENT_KINDS)), strict=True)}  # fmt: skip
    for name in cells.sizes:
        ns: Array | float = 0.0
        for kind, amount in each.get(name, {}).items():
            ns = ns + time[kind] * (amount.each if isinstance(amount, Field) else amount)
        node = graph.nodes[name]
        if node in accounting.group.entries:
            ns = ns + _received(accounting, node, time)
        spread = np.broadcast_to(ns, graph.shape(name)).ravel()
        if cells.neuron is None or cells.home is None:
            found = found + spread
        else:
            found = found + np.bincount(cells.home[cells.neuron[name]], spread, len(found))
    return found


def _received(accounting: Accounting, node: Node, time: Mapping[str, float]) -> Array:
    """Nanoseconds of what arrives for each element of an entry."""
    graph, found = accounting.graph, np.zeros(())
    for operand, source in enumerate(node.inputs):
        if source in accounting.constants:
            continue
        shared = np.maximum(departures(graph, node, operand), 1)
        came = activity(graph, source).each / np.broadcast_to(shared, graph.shape(source))
        met = _met(graph, node, operand, came)
        words = isinstance(node, (Synapse, Reduce, Delay)) * 1.0
        if isinstance(node, Synapse):
            outputs = node.weight.shape[0] // node.groups
            bits = _bits(accounting, node)
            words = outputs * bits / WORD
        arrival = time["packets_in"] + words * time["memory_reads"]
        if isinstance(node, Product) and node.timing == "cumulative":
            kept = accounting.taken.kept(node, operand)
            again = accounting.taken.turns(node.name) * accounting.taken.share(node, operand) if kept else 1
            arrival += again * (time["microcode_ops"] + time["state_accesses"])
        found = found + met * arrival
    return found


def _met(graph: Graph, node: Node, operand: int, came: Array) -> Array:
    """The sum, for each element of an entry, of numbers for the elements of one of its inputs that it reads."""
    came = came.astype(np.float32)
    if isinstance(node, Synapse):
        if node.op == "dense":
            row: Array = came.sum(axis=-1, keepdims=True)
            return row
        window = np.ones((node.groups, *node.weight.shape[1:]), dtype=np.float32)
        blocks = interp.linear(came[None], replace(node, weight=window))[0]
        return np.repeat(blocks, node.weight.shape[0] // node.groups, axis=0)
    if isinstance(node, Product):
        ones = np.ones(graph.shape(node.inputs[1 - operand]), dtype=np.float32)
        pair = (came, ones) if operand == 0 else (ones, came)
        found: Array = node.met(partial(interp.contract, node.einsum), *(x[None] for x in pair))[0]
        return found
    if isinstance(node, Reduce):
        return _summed(node, came)
    return came


def _summed(node: Reduce, x: Array) -> Array:
    """Sums over what each element of the result reads."""
    summed: Array = interp.MEANING[Reduce](replace(node, op="sum"), [x[None]], None)[0]
    return summed


# --- what programs do ----------------------------------------------------------------------------------------------


def _synapse(graph: Graph, node: Synapse) -> Amounts:
    source, shape = activity(graph, node.inputs[0]), graph.shape(node.name)
    if source.even and node.op == "dense":
        return {
            "synaptic_ops": Field(
                np.broadcast_to(source.first * np.count_nonzero(node.weight, axis=1), shape)
            )
        }
    stored = replace(node, weight=(node.weight != 0).astype(np.float32))
    return {"synaptic_ops": Field(interp.linear(source.each.astype(np.float32)[None], stored)[0])}


def _neuron(graph: Graph, node: Neuron) -> Amounts:
    model, words, ticks = NEURONS[node.model], -(-state_bits(node) // WORD), graph.header.timesteps
    work = {"stock_updates": 1.0} if model.stock else {"program_ops": float(model.operations(node.params))}
    anew = sum(t == 1 or node.resets(t) for t in range(1, ticks + 1)) / ticks
    return {"neuron_updates": 1.0, **work, "state_accesses": max(words - 1, 0), "reset_words": anew * words}


def _micro(graph: Graph, node: Micro) -> Amounts:
    op = MICROCODE[node.op]
    width = graph.shape(node.name)[-1] if op.row else 1
    work = op.operations(node.params, width) / width
    if node.timing != "cumulative":
        return {"microcode_ops": work}
    return {"microcode_ops": work + COMPENSATION_OPS, "state_accesses": 1.0,
            "reset_words": 1 / graph.header.timesteps}  # fmt: skip


def _sum(graph: Graph, node: Sum) -> Amounts:
    return {"microcode_ops": len(node.inputs) - 1.0}


def _delay(graph: Graph, node: Delay) -> Amounts:
    return {"microcode_ops": 1.0, "state_accesses": float(node.steps > 1 or bool(node.keeps))}


def _reduce(graph: Graph, node: Reduce) -> Amounts:
    if node.op == "max":
        return {"microcode_ops": connections(graph, node) - 1.0}
    return {"microcode_ops": Field(_summed(node, activity(graph, node.inputs[0]).each))}


def _product(graph: Graph, node: Product) -> Amounts:
    a, b = (activity(graph, name).each.astype(np.float32) for name in node.inputs)
    scaled = float(RESCALE_OPS * (node.rescale is not None))
    if node.timing != "cumulative":
        return {"product_ops": Field(_pairs(node, a, b)), "microcode_ops": scaled}
    # The second of two products meets a running sum, which is hardly ever zero.
    pairs = _pairs(node, a, np.ones_like(b)) + _pairs(node, np.ones_like(a), b)
    return {"product_ops": Field(pairs), "microcode_ops": scaled + 1, "state_accesses": 1.0}


def _pairs(node: Product, a: Array, b: Array) -> Array:
    met: Array = node.met(partial(interp.contract, node.einsum), a[None], b[None])[0]
    return met


PROGRAMS: dict[type[Node], Callable[..., Amounts]] = {
    Synapse: _synapse, Neuron: _neuron, Micro: _micro, Sum: _sum, Delay: _delay, Reduce: _reduce, Product: _product
}  # fmt: skip
