"""Rows of a softmax or norm in parts, on several cores, where one has no room for a whole row.

A row lives on one core, with all that is computed at its elements: the operands of a product, their axons, state. Where
that is more than a core holds, the row is cut into parts of equal length. What an operator says and is told of a row,
level by level (:mod:`neurodeploy.ir.rows`), becomes nodes: a Micro on each part that says its statistics, a Reduce over
the parts, a Micro that forms scalars, a dense Synapse of unit weights that brings them to every part, and at last a
Micro on each part that makes its elements of the result. A level takes two steps, and the row's elements wait for it in
Delays, which ``balance`` makes. Under expectation compensation f of the running mean is what is computed in parts,
between a neuron that makes the mean and one that sends the changes of t f. Every element is the same at every tick.

There are as few parts as fit. Rows that fit stay whole, and so do those that no number of parts makes fit (ND501), rows
of operators that declare no levels, rows in loops or where tokens take turns, those whose elements do not fit a
message, and all on targets without graded messages.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import replace
from math import ceil, isfinite
from typing import Literal

import numpy as np

from ...ir.fixed import bits_for
from ...ir.graph import Graph, free_name
from ...ir.micro_op import MICROCODE, Level
from ...ir.nodes import Micro, Neuron, Node, Reduce, Synapse, View, ViewOp
from ...ir.rows import DIGIT_BITS, MOST, Piece, divides, held, parted
from ...ir.types import DENSE, Fixed, Interval, Shape, Value, graded
from ...ir.widths import MESSAGE_BITS
from ...passes._edit import Fresh, edit
from ...passes.balance import balance
from ...target import Target
from ..alike import Alike
from ..demand import Accounting, needed_bits
from ..groups import Population, populations
from ..limits import fill, usage
from ._base import Layout
from ._views import shown

MOST_TICKS = 127  # that the neurons around a compensated row count
#: by this share the mean of equal numbers may exceed them, as 1/t has 16 bits
COARSE = 14


class TwoLevel(Layout):
    """Parts of rows, with statistics and scalars, in the place of each row operator whose row exceeds a core."""

    name = "two_level"
    title = (
        "rows of a softmax or norm that exceed a core are computed in parts, which exchange maxima and sums"
    )

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
                changed[node.name] = _Parts(graph, node, known[kind]).nodes()
        return edit(graph, changed, {}) if changed else graph


def _overfull(graph: Graph, target: Target) -> Iterator[tuple[Micro, Hashable]]:
    """Row operators that can be divided and whose group fits no core, with the kind of their rows."""
    rows = {n.name for n in graph.of(Micro) if _divisible(graph, n)}
    if not rows:
        return
    level = balance(graph, target.limits.delay_steps.value)
    alike, full = Alike(level, target), dict[Hashable, bool]()
    for group in populations(level):
        inside = [n for n in group.nodes if isinstance(n, Micro) and n.name in rows]
        if inside:
            kind = alike.kind(group, needed_bits(group))
            if kind not in full:
                full[kind] = _share(level, target, group) > 1
            for node in inside if full[kind] else ():
                shapes = tuple((level.messages, level.tells) for level in _levels(graph, node))
                yield node, (kind, group.names.index(node.name), shapes)


def _divisible(graph: Graph, node: Micro) -> bool:
    """Whether a row can be computed in parts: each of its elements, or its mean, then is a message of its own."""
    if node.timing == "cumulative" and graph.header.timesteps > MOST_TICKS:
        return False
    return node.name not in graph.loops and _mean_reach(graph, node) <= MOST and bool(_levels(graph, node))


def _levels(graph: Graph, node: Micro) -> tuple[Level, ...]:
    return MICROCODE[node.op].levels(node.params, _mean_reach(graph, node))


def _mean_reach(graph: Graph, node: Micro) -> int:
    """The largest magnitude of an element of a row, or of its mean under expectation compensation."""
    reach = _reach(graph.values[node.inputs[0]])
    return reach + (reach >> COARSE) + 1 if node.timing == "cumulative" else reach


def _reach(value: Value) -> int:
    """The largest magnitude for certain: what was only measured may take all of its declared width."""
    if value.interval and value.interval.proven:
        return value.interval.magnitude
    return (value.fixed or Fixed(MESSAGE_BITS, True, 1.0)).limits[1]


def _share(graph: Graph, target: Target, group: Population) -> float:
    """What a row of a group needs of its core, as a share of the scarcest resource: above 1 no cut fits."""
    accounting = Accounting.of(graph, target, group)
    sizes = accounting.cells.homes[1]
    largest = int(np.argmax(sizes))
    # One position of a layer takes an axon for each of its inputs, two take one each.
    rows = ([largest], sorted({largest, (largest + 1) % len(sizes)}))
    demands = (accounting.demand(accounting.cells.hosted(np.array(homes))) for homes in rows)
    return min(fill(usage(demand, target))[0] for demand in demands)


def _fewest(graph: Graph, node: Micro, target: Target) -> int:
    """The fewest parts with which all that they consist of fits; 0 where there is no such number."""
    parts = 2
    while divides(_levels(graph, node), graph.shape(node.name)[-1], parts):
        fresh = _Parts(graph, node, parts).nodes()
        names = {n.name for n, _ in fresh}
        made = balance(edit(graph, {node.name: fresh}, {}), target.limits.delay_steps.value)
        worst = max(_share(made, target, g) for g in populations(made) if names.intersection(g.names))
        if worst <= 1 or not isfinite(worst):
            return parts if worst <= 1 else 0
        parts = max(parts + 1, ceil(parts * worst))
    return 0


class _Parts:
    """Writes the nodes that stand in the place of a row operator, with their values."""

    def __init__(self, graph: Graph, node: Micro, parts: int) -> None:
        self.graph, self.node, self.parts = graph, node, parts
        self.op, self.out = MICROCODE[node.op], graph.values[node.name]
        self.reach, self.levels = _mean_reach(graph, node), _levels(graph, node)
        self.fresh: list[tuple[Node, Value]] = []
        self.values: dict[str, Value] = {}
        *lead, self.length = self.out.shape.sizes
        self.lead, self.roles = tuple(lead), self.out.shape.roles
        self.wide = -(-self.length // parts)

    def nodes(self) -> Fresh:
        """All of them, in order; the last has the name and the value of the operator."""
        x = self._elements()
        row, known = x, ""
        for i in range(len(self.levels)):
            known = self._scalars(i, self._statistics(i, row), known)
            row = self._beside(f"row{i}", self._told(i, known), x)
        last = self._result(row)
        if self.node.timing == "cumulative":
            params = {"bits": bits_for(_reach(self.out))}
            self._put(Neuron(name="coder", inputs=(last,), model="mean_coder", params=params), self.out)
        end = self.fresh[-1][0]
        return [*self.fresh[:-1], (replace(end, name=self.node.name), self.out)]

    def _elements(self) -> str:
        """(..., parts, elements of each): zeros where the row has none."""
        source, rank = self.node.inputs[0], len(self.lead)
        if self.node.timing == "cumulative":
            value = self._value(source)
            mean = replace(self._numbers(value.shape, self.reach, value.fixed), code=graded(self.reach))
            source = self._put(Neuron(name="mean", inputs=(source,), model="running_mean"), mean)
        if self.parts * self.wide > self.length:
            shape = self.out.shape.resized(rank, self.parts * self.wide)
            source = self._view("padded", source, "pad", (rank, 0, shape.sizes[-1] - self.length), shape)
        return self._view("parts", source, "reshape", (), self._rows(self.wide))

    def _statistics(self, i: int, row: str) -> str:
        """What all parts say, combined: (..., messages), maxima before sums."""
        level, said = self.levels[i], self._piece("terms", i, row)
        maxima = self._combined(i, said, "max", 0, level.maxima, MOST)
        sums = self._combined(i, said, "sum", level.maxima, level.messages, 1 << DIGIT_BITS)
        return self._beside(f"all{i}", maxima, sums) if maxima and sums else maxima or sums

    def _combined(
        self, i: int, said: str, op: Literal["max", "sum"], start: int, stop: int, reach: int
    ) -> str:
        """A range of what the parts say by one operation; no name where it is empty."""
        if start == stop:
            return ""
        rank = len(self.lead)
        view = View(name=f"{op}{i}", inputs=(said,), op="slice", args=(rank + 1, start, stop, 1))
        part = self._put(view, self._numbers(self._rows(stop - start), reach))
        value = self._numbers(self._one(stop - start), reach * (self.parts if op == "sum" else 1))
        return self._put(Reduce(name=f"all_{op}{i}", inputs=(part,), op=op, axes=(rank,)), value)

    def _scalars(self, i: int, heard: str, known: str) -> str:
        """What is told from a level on: (..., numbers), with what was told before."""
        joined = self._beside(f"heard{i}", known, heard) if known else heard
        return self._head(f"known{i}", self._piece("scalars", i, joined), held(self.levels, i + 1))

    def _told(self, i: int, known: str) -> str:
        """The same numbers at every part, by a layer with one weight for each: (..., parts, numbers)."""
        value = self._value(known)
        count = value.shape.sizes[-1]
        weight = np.tile(np.eye(count, dtype=np.int64), (self.parts, 1))
        flat = self._numbers(self._one(self.parts * count), _reach(value))
        sent = self._put(Synapse(name=f"sent{i}", inputs=(known,), weight=weight), flat)
        return self._view(f"told{i}", sent, "reshape", (), self._rows(count))

    def _result(self, row: str) -> str:
        """The elements of the result, as one row again."""
        rank, before, whole = (
            len(self.lead),
            held(self.levels, len(self.levels)),
            self.parts * self.wide,
        )
        made = self._piece("result", len(self.levels), row)
        own = self._view(
            "own", made, "slice", (rank + 1, before, before + self.wide, 1), self._rows(self.wide)
        )
        last = self._view("row", own, "reshape", (), self.out.shape.resized(rank, whole))
        if whole == self.length:
            return last
        return self._view("short", last, "slice", (rank, 0, self.length, 1), self.out.shape)

    def _piece(self, piece: Piece, i: int, source: str) -> str:
        """A Micro with one piece of the operator, on rows of ``source``."""
        params = parted(self.op, self.node.params, self.reach, self.length, self.parts, piece, i)
        shape = self._value(source).shape
        ends = self.op.bounds(params, *np.zeros((2, *shape.sizes[len(self.lead) :]), dtype=np.int64))
        reach = MOST if ends is None else max(int(ends[1].max()), -int(ends[0].min()))
        value = self._numbers(shape, reach, self.out.fixed if piece == "result" else None)
        micro = Micro(name=f"{piece}{i}", inputs=(source,), op=self.node.op, params=params, timing="instant")
        return self._put(micro, value)

    def _rows(self, width: int) -> Shape:
        return Shape((*self.roles[:-1], "G", self.roles[-1]), (*self.lead, self.parts, width))

    def _one(self, width: int) -> Shape:
        return Shape((*self.roles[:-1], "G"), (*self.lead, width))

    def _numbers(self, shape: Shape, reach: int, like: Fixed | None = None) -> Value:
        """A value of numbers up to ``reach``, which are worth what those of another are, or just numbers."""
        scale = 1.0 if like is None else float(np.max(like.scale))
        spec, span = Fixed(bits_for(reach), True, scale), Interval(-reach, reach, True)
        return Value(shape, DENSE, self.out.contract, spec, span)

    def _value(self, name: str) -> Value:
        return self.values.get(name) or self.graph.values[name]

    def _put(self, node: Node, value: Value) -> str:
        name = free_name(f"{self.node.name}_{node.name}", self.graph.nodes, self.values)
        self.values[name] = value
        self.fresh.append((replace(node, name=name, origin=self.node.origin), value))
        return name

    def _view(self, name: str, source: str, op: ViewOp, args: tuple[int, ...], shape: Shape) -> str:
        view = View(name=name, inputs=(source,), op=op, args=args or shape.sizes)
        return self._put(view, shown(view, self._value(source), shape))

    def _head(self, name: str, source: str, count: int) -> str:
        """The first elements along the last axis."""
        shape = self._value(source).shape
        last = len(shape.sizes) - 1
        if shape.sizes[-1] == count:
            return source
        return self._view(name, source, "slice", (last, 0, count, 1), shape.resized(last, count))

    def _beside(self, name: str, first: str, second: str) -> str:
        """Two values one after the other along the last axis."""
        a, b = self._value(first), self._value(second)
        last = len(a.shape.sizes) - 1
        shape = a.shape.resized(last, a.shape.sizes[-1] + b.shape.sizes[-1])
        view = View(name=name, inputs=(first, second), op="concat", args=(last,))
        return self._put(view, self._numbers(shape, max(_reach(a), _reach(b))))


MEMBER = TwoLevel()
