"""Rows of a softmax or norm in parts, on several cores, where one has no room for a whole row.

A row lives on one core, with all that is computed at its elements: the operands of a product, their axons, state. Where
that is more than a core holds, the row is cut into parts of equal length. What an operator says and is told of a row, a
level after the other (:mod:`neurodeploy.ir.rows`), becomes nodes: a Micro on each part that says its statistics, a Reduce
over the parts, a Micro that forms scalars, a dense Synapse of unit weights that brings them to every part, and at last
a Micro on each part that makes its elements of the result. A level takes two steps, and the row's elements wait for it
in Delays, which ``balance`` makes: 4 steps for softmax and RMS norm, 6 for layer norm. Under expectation compensation f
of the running mean is what is computed in parts, between a neuron that makes the mean and one that sends the changes of
t f. Every element is the same at every tick.

There are as few parts as fit. Rows that fit stay whole, and so do those that no number of parts makes fit (ND501), rows
of operators that do not declare levels, rows in loops or where tokens take turns, those whose elements do not fit a
message, and all on targets without graded messages.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import replace
from math import ceil

import numpy as np

from ...ir.graph import Graph, free_name
from ...ir.micro_op import MICROCODE
from ...ir.nodes import Micro, Neuron, Node, Reduce, Synapse, View, ViewOp
from ...ir.rows import DIGIT_BITS, MOST, RowOp, parted
from ...ir.types import DENSE, Fixed, Interval, Shape, Value
from ...ir.widths import MESSAGE_BITS
from ...passes._edit import Fresh, edit
from ...passes.balance import balance
from ...target import Target
from ..groups import Population, populations
from ..limits import fill, usage
from ..repeats import Cutter
from ._base import Layout
from ._views import shown


MOST_TICKS = 127  # that the neurons of a running mean count


class TwoLevel(Layout):
    """Parts of rows with their statistics and scalars in the place of each row operator whose row exceeds a core."""

    name = "two_level"
    title = "rows of a softmax or norm that exceed a core are computed in parts, which exchange maxima and sums"

    def rewrite(self, graph: Graph, target: Target) -> Graph:
        """The same graph, with rows in parts where they would not fit otherwise."""
        if not target.features.graded_payload.allowed or graph.header.copies:
            return graph
        changed: dict[str, Fresh] = {}
        known: dict[Hashable, int] = {}
        for node, kind in _overfull(graph, target):
            if kind not in known:
                known[kind] = _fewest(graph, node, target)
            if known[kind]:
                changed[node.name] = _in_parts(graph, node, known[kind])
        return edit(graph, changed, {}) if changed else graph


def _overfull(graph: Graph, target: Target) -> Iterator[tuple[Micro, Hashable]]:
    """Row operators that can be divided and whose group fits no core, however it is cut; and what kind of row it is."""
    rows = {n.name for n in graph.of(Micro) if _divisible(graph, n)}
    if not rows:
        return
    level = balance(graph, target.limits.delay_steps.value)
    cutter, full = Cutter(level, target), dict[Hashable, bool]()
    for group in populations(level):
        inside = [n for n in group.nodes if isinstance(n, Micro) and n.name in rows]
        if inside:
            kind = cutter.kind(group)
            if kind not in full:
                full[kind] = _excess(cutter, group) > 1
            yield from ((n, (kind, group.names.index(n.name))) for n in inside if full[kind])


def _divisible(graph: Graph, node: Micro) -> bool:
    """Whether a row can be computed in parts: each of its elements, or its mean, then is a message of its own."""
    value, reach = graph.values[node.inputs[0]], MOST
    if node.timing == "cumulative":
        if graph.header.timesteps > MOST_TICKS:
            return False
        reach -= MOST >> 14  # by which the mean of equal numbers may exceed them, as 1/t has 16 bits
    known = value.interval if value.interval and value.interval.proven else Interval(*_fixed(value).limits, True)
    return isinstance(MICROCODE[node.op], RowOp) and node.name not in graph.loops and known.magnitude <= reach


def _excess(cutter: Cutter, group: Population) -> float:
    """What one row of a group needs of its core, as a share of the scarcest resource; at most 1 if any cut fits."""
    accounting = cutter.accounting(group)
    largest = int(np.argmax(accounting.cells.homes[1]))
    share = fill(usage(accounting.demand(accounting.cells.hosted(np.array([largest]))), cutter.target))[0]
    # Two positions of a layer may need less than one: where a row does not fit alone, the cuts decide.
    return share if share <= 1 or not cutter.cut(group).cut.fits else 1.0


def _fewest(graph: Graph, node: Micro, target: Target) -> int:
    """The fewest parts with which all that they consist of fits; 0 where there is no such number."""
    length, parts = graph.shape(node.name)[-1], 2
    while parts <= length:
        if not _room(node, length, parts):
            return 0
        fresh = _in_parts(graph, node, parts)
        names = {n.name for n, _ in fresh}
        made = balance(edit(graph, {node.name: fresh}, {}), target.limits.delay_steps.value)
        cutter = Cutter(made, target)
        worst = max(_excess(cutter, g) for g in populations(made) if names.intersection(g.names))
        if worst <= 1:
            return parts
        parts = max(parts + 1, ceil(parts * worst)) if np.isfinite(worst) else length + 1
    return 0


def _room(node: Micro, length: int, parts: int) -> bool:
    """Whether what a part says fits into its row, and no part is empty."""
    op, told, wide = MICROCODE[node.op], 0, -(-length // parts)
    assert isinstance(op, RowOp)
    for level in op.levels:
        if told + wide < level.messages:
            return False
        told += level.tells
    return wide * (parts - 1) < length


class _Made:
    """Nodes that take the place of one, in order."""

    def __init__(self, graph: Graph, like: Node) -> None:
        self.graph, self.like = graph, like
        self.fresh: list[tuple[Node, Value]] = []
        self.values = dict[str, Value]()

    def value(self, name: str) -> Value:
        """The value of a name, new or old."""
        return self.values.get(name) or self.graph.values[name]

    def put(self, node: Node, value: Value) -> str:
        """Append a node under a free name, which is returned."""
        name = free_name(f"{self.like.name}_{node.name}", self.graph.nodes, self.values)
        self.values[name] = value
        self.fresh.append((replace(node, name=name, origin=self.like.origin), value))
        return name

    def view(self, name: str, source: str, op: ViewOp, args: tuple[int, ...], shape: Shape) -> str:
        """Append a View, unless it shows just what it is given."""
        value = self.value(source)
        if op == "slice" and shape == value.shape:
            return source
        view = View(name=name, inputs=(source,), op=op, args=args)
        return self.put(view, shown(view, value, shape))

    def beside(self, name: str, first: str, second: str) -> str:
        """Two values one after the other along the last axis."""
        a, b = self.value(first), self.value(second)
        last = len(a.shape.sizes) - 1
        shape = a.shape.resized(last, a.shape.sizes[-1] + b.shape.sizes[-1])
        view = View(name=name, inputs=(first, second), op="concat", args=(last,))
        return self.put(view, _number(a, shape, max(_reach(a), _reach(b))))

    def head(self, name: str, source: str, count: int) -> str:
        """The first elements along the last axis."""
        shape = self.value(source).shape
        last = len(shape.sizes) - 1
        return self.view(name, source, "slice", (last, 0, count, 1), shape.resized(last, count))


def _in_parts(graph: Graph, node: Micro, parts: int) -> Fresh:
    """What stands in the place of a row operator: parts, statistics and scalars of each level, and the result."""
    op, out = MICROCODE[node.op], graph.values[node.name]
    assert isinstance(op, RowOp)
    *lead, length = out.shape.sizes
    rank, wide, role = len(lead), -(-length // parts), out.shape.roles[-1]
    rows = Shape((*out.shape.roles[:-1], "G", role), (*lead, parts, wide))
    made = _Made(graph, node)

    def piece(name: str, source: str, kind: str, level: int, reach: int) -> str:
        params = parted(op, node.params, length, parts, kind, level)
        value = made.value(source)
        micro = Micro(name=name, inputs=(source,), op=node.op, params=params, timing="instant")
        return made.put(micro, _number(value, value.shape, reach))

    x = node.inputs[0]
    if node.timing == "cumulative":
        x = made.put(Neuron(name="mean", inputs=(x,), model="running_mean"), made.value(x))
    if parts * wide > length:
        padded = made.value(x).shape.resized(rank, parts * wide)
        x = made.view("padded", x, "pad", (rank, 0, parts * wide - length), padded)
    x = made.view("parts", x, "reshape", rows.sizes, rows)
    row, known = x, ""
    for i, level in enumerate(op.levels):
        sums = level.combine == "sum"
        reach = 1 << DIGIT_BITS if sums else MOST
        said = made.head(f"say{i}", piece(f"terms{i}", row, "terms", i, reach), level.messages)
        shape = Shape((*rows.roles[:rank], "G"), (*lead, level.messages))
        whole = _number(made.value(said), shape, reach * (parts if sums else 1))
        heard = made.put(Reduce(name=f"all{i}", inputs=(said,), op=level.combine, axes=(rank,)), whole)
        joined = made.beside(f"heard{i}", known, heard) if known else heard
        told = sum(one.tells for one in op.levels[: i + 1])
        known = made.head(f"tell{i}", piece(f"scalars{i}", joined, "scalars", i, MOST), told)
        row = made.beside(f"row{i}", _told(made, f"told{i}", known, rows), x)
    last = piece("result", row, "result", len(op.levels), 0)
    limits = out.interval or Interval(*_fixed(out).limits, True)
    made.values[last] = value = replace(
        out,
        shape=made.value(last).shape,
        interval=Interval(min(limits.lo, 0), max(limits.hi, 0), limits.proven),
        fixed=replace(_fixed(out), scale=float(np.max(_fixed(out).scale))),
    )
    made.fresh[-1] = made.fresh[-1][0], value
    told = value.shape.sizes[-1] - wide
    own = made.view("own", last, "slice", (rank + 1, told, told + wide, 1), rows)
    flat = Shape(out.shape.roles, (*lead, parts * wide))
    whole_row = made.view("row", own, "reshape", flat.sizes, flat)
    if parts * wide > length:
        whole_row = made.view("short", whole_row, "slice", (rank, 0, length, 1), out.shape)
    if node.timing == "cumulative":
        coder = Neuron(name="coder", inputs=(whole_row,), model="mean_coder", params={"bits": out.width})
        made.put(coder, out)
    return [*made.fresh[:-1], (replace(made.fresh[-1][0], name=node.name), out)]


def _told(made: _Made, name: str, known: str, rows: Shape) -> str:
    """Scalars at every part: what a dense layer with one weight for each of them and of the parts makes of them."""
    value = made.value(known)
    *lead, parts, _ = rows.sizes
    told = value.shape.sizes[-1]
    weight = np.tile(np.eye(told, dtype=np.int64), (parts, 1))
    flat = value.shape.resized(len(lead), parts * told)
    fan = made.put(Synapse(name=name, inputs=(known,), weight=weight), _number(value, flat, _reach(value)))
    shape = rows.resized(len(lead) + 1, told)
    return made.view(f"{name}_parts", fan, "reshape", shape.sizes, shape)


def _number(value: Value, shape: Shape, reach: int) -> Value:
    """A value of plain numbers up to ``reach``."""
    bits = max(MESSAGE_BITS, reach.bit_length() + 1)
    spec, span = Fixed(bits, True, 1.0), Interval(-reach, reach, True)
    return replace(value, shape=shape, code=DENSE, fixed=spec, interval=span, activity=None)


def _reach(value: Value) -> int:
    return value.interval.magnitude if value.interval else _fixed(value).limits[1]


def _fixed(value: Value) -> Fixed:
    return value.fixed or Fixed(MESSAGE_BITS, True, 1.0)


MEMBER = TwoLevel()
