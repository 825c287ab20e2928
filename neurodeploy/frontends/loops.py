"""Neurons that a loop over ticks spells out, and what it feeds back: values that one tick hands to the next.

A loop in a trace is a row of slices that call the same operators from the same lines. What a slice reads of the one
before is a state, as an attribute that outlives a call is one, and :mod:`.recurrences` says which neuron or delayed
connection it is. That stands in every slice in the place of what computes it; the lowering then makes one tick of all.
Sums over ticks stay as they are, and so do states that a known neuron is handed back.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from functools import cached_property
from itertools import pairwise
from typing import Any

import torch
from torch import fx

from ..errors import ImportModelError, Problem
from ..ir.types import Origin
from . import _torch
from .recurrences import (
    Recurrences,
    Remembered,
    computed,
    exact,
    kept_by,
    no_value,
    place_of,
    population,
    unvalued,
)
from .traced import Call, Ref, references, substitute
from .values import other_ticks

#: operators that add what comes to what is there
_ADDS = frozenset({"add", "iadd", "add_"})


def restarts(nodes: Iterable[fx.Node]) -> bool:
    """Whether a loop of a user's own came round while the nodes were traced."""
    return len({_turn(node) for node in nodes}) > 1


@dataclass(frozen=True)
class Unrolled:
    """Calls with neurons and delayed connections in the place of what loops remember, and the ``ticks`` of these loops.

    None where no loop remembers anything that a neuron holds: then the calls are as they were. ``unheld`` are then the
    states of the loop that covers most, if there is one (ND157).
    """

    calls: list[Call]
    ticks: int | None = None
    unheld: tuple[Problem, ...] = ()


def unrolled(
    nodes: Sequence[fx.Node], calls: Sequence[Call], constants: Mapping[str, Any], given: str, output: Any
) -> Unrolled:
    """What loops remember, found among ``nodes``, those of ``calls``.

    The calls read ``constants`` and the input, ``given``; ``output`` is what is returned.
    """
    groups: dict[str, list[Call]] = {call.name: [call] for call in calls}
    seen: list[Loop] = []
    ticks: int | None = None
    unheld: tuple[Problem, ...] = ()
    for loop in _loops(nodes, constants, _live(nodes[-1])):
        if any(map(loop.overlaps, seen)) or ticks not in (None, loop.ticks):
            continue
        seen.append(loop)  # another cut of the same loop carries more
        try:
            made = loop.calls(groups, given) if loop.carried else {}
        except ImportModelError as error:
            unheld = unheld or error.problems
            continue
        groups |= made
        ticks = loop.ticks if made else ticks
    if ticks is None:
        return Unrolled(list(calls), None, unheld)
    return Unrolled(_needed([call for group in groups.values() for call in group], output), ticks)


def _needed(calls: list[Call], output: Any) -> list[Call]:
    """The calls that the output depends on, in order; of a neuron at every tick, since each charges it."""
    table = {call.name: call for call in calls}
    populations: dict[str, list[str]] = {}
    for call in calls:
        if call.op == "neuron":
            populations.setdefault(_which(call), []).append(call.name)
    needed: set[str] = set()
    new = [ref.name for ref in references(output)]
    while new:
        name = new.pop()
        if name in table and name not in needed:
            needed.add(name)
            call = table[name]
            new += [ref.name for ref in references((call.args, call.kwargs))]
            new += [call.kwargs["source"]] if call.op == "past" else []
            new += populations[_which(call)] if call.op == "neuron" else []
    return [call for call in calls if call.name in needed]


def _which(call: Call) -> str:
    return call.kwargs.get("which") or call.origin.path


# --- which parts of a trace are loops --------------------------------------------------------------------------------


def _live(output: fx.Node) -> set[fx.Node]:
    """What is returned, with all that it is computed from."""
    seen, new = {output}, [output]
    while new:
        inputs = [node for node in new.pop().all_input_nodes if node not in seen]
        seen.update(inputs)
        new += inputs
    return seen


def _loops(nodes: Sequence[fx.Node], constants: Mapping[str, Any], live: Collection[fx.Node]) -> list[Loop]:
    """Everything that may be a loop with states: what covers most of the trace first, then what carries least.

    The second slice begins where a loop of the user's came round. The first one may lack operators: those of which it
    reads numbers of Python's own.
    """
    steps = [node for node in nodes if node.op.startswith("call_")]
    marks = _marks(steps)
    starts = [i for i, (a, b) in enumerate(pairwise(steps), 1) if _turn(a) != _turn(b)]
    spans = ((begin, length) for begin in starts for length in _lengths(marks, begin, starts))
    found = (_loop(steps, marks, begin, length, constants, live) for begin, length in spans)
    loops = [loop for loop in found if loop is not None]
    return sorted(loops, key=lambda loop: (-len(loop.nodes), len(loop.carried), len(loop.template)))


def _lengths(marks: list[int], begin: int, starts: Sequence[int]) -> Iterator[int]:
    """How long a second slice from ``begin`` on may be: up to where it comes again, or as long as what was before."""
    lengths: list[int] = []
    for later in starts:
        length = later - begin
        if length <= 0 or any(length % known == 0 for known in lengths):
            continue
        if marks[begin:later] == marks[later : later + length]:
            lengths.append(length)
    earlier = [
        n for n in lengths if begin - n in starts and marks[begin - n : begin] == marks[begin : begin + n]
    ]
    if lengths:
        yield from (n for n in lengths if n not in earlier)
    else:
        both = range(min(begin, len(marks) - begin), 0, -1)
        yield from [n for n in both if marks[begin - n : begin] == marks[begin : begin + n]][:1]


def _marks(steps: Sequence[fx.Node]) -> list[int]:
    """Equal numbers for calls of one operator, from one line in one module, that yield the same shape."""
    table: dict[Any, int] = {}
    return [table.setdefault(_mark(node), len(table)) for node in steps]


def _mark(node: fx.Node) -> Any:
    module = (node.meta.get("source") or node).meta.get("module", ("", None))[0]
    return _name(node), module, place_of(node), getattr(node.meta.get("val"), "shape", None)


def _name(node: fx.Node) -> str:
    target = node.target
    if node.op == "call_module":
        return str(target)
    return (target if isinstance(target, str) else getattr(target, "__name__", str(target))).strip("_")


def _turn(node: fx.Node) -> int:
    return (node.meta.get("source") or node).meta.get("turn", 0)  # type: ignore[no-any-return]


def _loop(
    steps: Sequence[fx.Node],
    marks: list[int],
    begin: int,
    length: int,
    constants: Mapping[str, Any],
    live: Collection[fx.Node],
) -> Loop | None:
    """The loop whose second slice is the ``length`` steps from ``begin`` on; None where its slices are not alike."""
    body, ends = marks[begin : begin + length], [begin]
    while len(body) == length and marks[ends[-1] : ends[-1] + length] == body:
        ends.append(ends[-1] + length)
    later: list[list[fx.Node | None]] = [list(steps[a:b]) for a, b in pairwise(ends)]
    start = max(0, begin - 2 * length)
    before = marks[start:begin]
    first: list[fx.Node | None] = [None] * length
    if not later:
        return None
    if before[-length:] == body:
        first = list(steps[begin - length : begin])
    else:
        for at, k, count in SequenceMatcher(None, before, body, autojunk=False).get_matching_blocks():
            first[k : k + count] = steps[start + at : start + at + count]
        _from_other_lines(first, steps[start:begin], steps[begin : begin + length])
    loop = Loop([first, *later], constants, live)
    return loop if loop.alike() else None


def _from_other_lines(
    first: list[fx.Node | None], before: Sequence[fx.Node], template: Sequence[fx.Node]
) -> None:
    """Fill in what the first slice reads of the outside in another line, such as that of ``if t == 0``."""

    def key(node: fx.Node) -> Any:
        module, _, shape = _mark(node)[1:]
        return _name(node), module, shape, tuple(node.all_input_nodes)

    free = [node for node in before if node not in first and not node.users.keys().isdisjoint(first)]
    for k, node in enumerate(template):
        if first[k] is None and set(template).isdisjoint(node.all_input_nodes):
            same = [other for other in free if key(other) == key(node)]
            if len(same) == 1:
                first[k] = same[0]


# --- one loop --------------------------------------------------------------------------------------------------------


@dataclass(eq=False)
class Loop:
    """``slices`` of a trace, one for each tick, in which the same step stands in the same position.

    None in the first slice is a step that it lacks. What is not ``live`` makes records that nobody reads.
    """

    slices: list[list[fx.Node | None]]
    constants: Mapping[str, Any]
    live: Collection[fx.Node]

    @property
    def ticks(self) -> int:
        """How often it came round."""
        return len(self.slices)

    @property
    def template(self) -> list[Any]:
        """The second slice, which lacks nothing."""
        return self.slices[1]

    @cached_property
    def positions(self) -> dict[fx.Node, tuple[int, int]]:
        """Slice and position of each step."""
        return {n: (t, k) for t, part in enumerate(self.slices) for k, n in enumerate(part) if n is not None}

    @property
    def nodes(self) -> Collection[fx.Node]:
        """All steps of all slices."""
        return self.positions.keys()

    def users(self, node: fx.Node | None) -> list[fx.Node]:
        """What reads a step, and is read itself."""
        return [] if node is None else [user for user in node.users if user in self.live]

    def overlaps(self, other: Loop) -> bool:
        """Whether a step is in both."""
        return not self.positions.keys().isdisjoint(other.positions)

    def alike(self) -> bool:
        """Whether every slice from the second on reads the same of itself and of the one before."""
        wanted = [self._reads(node, 1) for node in self.template]
        return all(
            [self._reads(node, t) for node in part] == wanted for t, part in enumerate(self.slices[1:], 1)
        )

    def _reads(self, node: Any, t: int) -> list[Any]:
        """Of each operand how many ticks before and in which position it was computed; None of what is outside."""
        places = (self.positions.get(leaf) if isinstance(leaf, fx.Node) else None for leaf in _leaves(node))
        return [place and (t - place[0], place[1]) for place in places]

    @cached_property
    def carried(self) -> dict[int, fx.Node]:
        """Positions of the states, with the node of the first slice that the second reads."""
        read = {
            place[1] for node in self.template for place in self._reads(node, 1) if place and place[0] == 1
        }
        return {
            k: node for k in sorted(read) if (node := self.slices[0][k]) is not None and not self._others(k)
        }

    def _others(self, position: int) -> bool:
        """Whether a carried value is the business of others: a sum over ticks, or a state handed to its neuron."""
        before, after = self.slices[0][position], self.template[position]
        readers = [node for node in self.template if before in node.all_input_nodes]
        if readers == [after] and _name(after) in _ADDS and len(after.all_input_nodes) == 2:
            users = [user for part in self.slices[:-1] for user in self.users(part[position])]
            return all(self.positions.get(user, (0, -1))[1] == position for user in users)
        return all("leaf" in node.meta and after.args[:1] == (node,) for node in readers)

    # --- what its states are --------------------------------------------------------------------------------------
    def calls(self, groups: Mapping[str, list[Call]], given: str) -> dict[str, list[Call]]:
        """By the name of each step what stands for it now; nothing where it carries nothing that matters.

        ImportModelError ND157 for a state that no neuron holds, ND160 for ticks that differ.
        """
        body = _Body(self)
        found = Recurrences(list(body.graph.nodes), body.remembered, body.constants)
        if not found.made and not found.past:
            return {}
        if any(source not in body.steps for source, _ in found.past.values()):
            raise ImportModelError(self._unequal("what comes from outside of the loop is read a tick later"))
        if not self._steady(body):
            raise ImportModelError(
                self._unequal("what a tick makes of the one before has other numbers in each")
            )
        if not self._begins(body):
            raise ImportModelError(self._unequal("the first tick is not what the others would be from rest"))
        made: dict[str, list[Call]] = {}
        waiting: list[Call] = []
        standing = _Standing(self, body, found, groups, given)
        for t, part in enumerate(self.slices):
            waiting += standing.pasts(t)
            for k, node in enumerate(part):
                waiting += standing.step(t, k)
                if node is not None:
                    made[node.name], waiting = waiting, []
        return made

    def _unequal(self, found: str) -> Problem:
        """ND160."""
        refusal = other_ticks("what one hands on", found)
        file, line = place_of(self.template[next(iter(self.carried))])
        return Problem(refusal.code, refusal.cause, f"{file}:{line}", found, refusal.limit, refusal.fixes)

    def _steady(self, body: _Body) -> bool:
        """Whether what depends on a state has the same numbers in all slices."""
        later = [[self._settings(part[k], body) for k in body.stateful] for part in self.slices[1:]]
        return all(_same(a, b) for part in later for a, b in zip(later[0], part, strict=True))

    def _settings(self, node: Any, body: _Body) -> list[Any]:
        """The numbers that a step is given, also those that are computed from tensors of the module."""
        return [self._setting(leaf, body) if isinstance(leaf, fx.Node) else leaf for leaf in _leaves(node)]

    def _setting(self, leaf: fx.Node, body: _Body) -> Any:
        """The numbers of a step that depends on no input and no state; None of any other."""
        _, k = self.positions.get(leaf, (0, -1))
        fixed = unvalued(leaf) if k < 0 else k not in self.carried and unvalued(body.steps[k])
        return computed(leaf, {}, self.constants) if fixed else None

    def _idle(self, body: _Body) -> Iterator[tuple[Any, fx.Node]]:
        """The steps of the first slice that depend on the input and on no state, with those of the body."""
        for k, step in enumerate(body.steps):
            first = self.slices[0][k]
            if first is None or k in body.stateful or unvalued(first):
                continue
            if isinstance(step.meta["val"], torch.Tensor):
                yield first, step

    def beside(self, t: int, body: _Body) -> Iterator[tuple[Any, fx.Node]]:
        """What one slice reads of the outside of the loop where the second reads that."""
        for one, two in zip(self.slices[t], self.template, strict=True):
            pairs = zip(_leaves(one), _leaves(two), strict=False) if one is not None else ()
            yield from ((a, b) for a, b in pairs if isinstance(b, fx.Node) and b in body.outside)

    def _begins(self, body: _Body) -> bool:
        """Whether the first slice is a tick from rest: both are run on the same random numbers."""
        random = torch.Generator().manual_seed(0)
        rest = {
            state: torch.full_like(exact(state.meta["val"]), known.rest or 0.0)
            for state, known in zip(body.states, body.remembered, strict=True)
        }
        outside: dict[fx.Node, Any] = {}
        for a, b in [*((a, body.outside[b]) for a, b in self.beside(0, body)), *self._idle(body)]:
            numbers = exact(b.meta["val"])
            if not isinstance(a, fx.Node):
                outside[b] = torch.full_like(numbers, a)
                continue
            if unvalued(a):
                outside[a] = computed(a, {}, self.constants)
            elif a not in outside:
                noise = torch.randn(numbers.shape, generator=random, dtype=torch.float64)
                outside[a] = noise if numbers.is_floating_point() else numbers
            outside[b] = outside[a]
        known: dict[fx.Node, Any] = {**rest, **outside}
        first: dict[fx.Node, Any] = {node: numbers.clone() for node, numbers in outside.items()}
        try:
            for k in (*self.carried, *body.read):
                node = self.slices[0][k]
                if node is None:
                    continue
                wanted = computed(body.steps[k], known, body.constants)
                if not torch.allclose(computed(node, first, self.constants), wanted):
                    return False
        except Exception:  # whatever torch raises about shapes and types
            return False
        return True


class _Body:
    """One slice as a program of its own, whose inputs are what is ``outside`` of the loop, and its states.

    ``steps`` are its calls by position, ``read`` the positions of those that are read beside the states, ``stateful``
    of those that depend on a state.
    """

    def __init__(self, loop: Loop) -> None:
        self.loop, self.graph = loop, fx.Graph()
        self.constants: dict[str, Any] = {}
        self.outside: dict[fx.Node, fx.Node] = {}
        self.given = self._new("placeholder", "given", (), {"val": None})
        self.states = [self._new("placeholder", "state", (), loop.template[k].meta) for k in loop.carried]
        self.remembered = [
            Remembered("what a loop hands on", _path(loop.template[k]), self._rest(k)) for k in loop.carried
        ]
        known = dict(zip(loop.carried.values(), self.states, strict=True))
        self.steps: list[fx.Node] = []
        for node in loop.template:
            known[node] = self.graph.node_copy(node, lambda n: known.get(n) or self._operand(n))
            self.steps.append(known[node])
        self.read = [k for k in range(len(self.steps)) if self._read(k)]
        self.stateful = self._depending()
        self.graph.output(([self.steps[k] for k in self.read], [self.steps[k] for k in loop.carried]))

    def _new(self, op: str, target: Any, args: tuple[Any, ...], meta: Mapping[str, Any]) -> fx.Node:
        node = self.graph.create_node(op, target, args, {})
        node.meta = {key: value for key, value in meta.items() if key != "leaf"}
        return node

    def _operand(self, node: fx.Node) -> fx.Node:
        """What stands for something outside: a constant is one here too, anything else depends on the input."""
        if node not in self.outside and unvalued(node):
            made = self._new("get_attr", node.name, (), node.meta)
            self.constants[made.name] = computed(node, {}, self.loop.constants)
            return made
        if node not in self.outside:
            self.outside[node] = self._new("call_function", torch.clone, (self.given,), node.meta)
        return self.outside[node]

    def _rest(self, position: int) -> float | None:
        """The number at which a state begins, as the first slice reads it; 0 where nothing of that is left."""
        before, begins = self.loop.carried[position], set()
        for first, node in zip(self.loop.slices[0], self.loop.template, strict=True):
            leaves = _leaves(first) if first is not None else []
            begins |= {self._number(a) for a, b in zip(leaves, _leaves(node), strict=False) if b is before}
        return 0.0 if not begins else begins.pop() if len(begins) == 1 else None

    def _number(self, leaf: Any) -> float | None:
        if isinstance(leaf, fx.Node):
            leaf = computed(leaf, {}, self.loop.constants) if unvalued(leaf) else None
        return _torch.one_number(leaf)

    def _read(self, position: int) -> bool:
        """Whether a step is read outside of the loop, or by a part of it that is the business of others."""
        loop = self.loop
        users = {user for part in loop.slices for user in loop.users(part[position])}
        inside = {loop.positions.get(user, (-1, 0)) for user in users}
        before = loop.slices[0][position]
        carried = (
            any(before in node.all_input_nodes for node in loop.template) and position not in loop.carried
        )
        return (-1, 0) in inside or carried

    def _depending(self) -> list[int]:
        reach = set(self.states)
        for step in self.steps:
            if not reach.isdisjoint(step.all_input_nodes):
                reach.add(step)
        return [k for k, step in enumerate(self.steps) if step in reach]


@dataclass(eq=False)
class _Standing:
    """What stands for the steps of a loop, tick by tick: ``found`` says which of its body are neurons and states."""

    loop: Loop
    body: _Body
    found: Recurrences
    groups: Mapping[str, list[Call]]
    given: str

    def __post_init__(self) -> None:
        self.place = {node: k for k, node in enumerate(self.body.steps)}
        self.kept = {source for source, kept in self.found.past.values() if kept}

    def name(self, t: int, k: int) -> str:
        """The call of one step in one slice."""
        node = self.loop.slices[t][k]
        return f"{self.loop.template[k].name}.first" if node is None else node.name

    def sent(self, t: int, source: fx.Node) -> str:
        """The call whose result a delayed connection reads: a step, or the neuron that keeps it."""
        return self.name(t, self.place[source]) + (".kept" if source in self.kept else "")

    def held(self, t: int) -> dict[fx.Node, Any]:
        """What stands for each state in one slice."""
        first = self.loop.template[0].name
        delayed = {state: Ref(f"{first}.{state.name}.{t}") for state in self.found.past}
        return {state: delayed.get(state, self.found.fixed.get(state.name)) for state in self.body.states}

    def pasts(self, t: int) -> Iterator[Call]:
        """The delayed connections that one slice reads."""
        for state, (source, _) in self.found.past.items():
            name, origin = self.held(t)[state].name, Origin(_path(source), "delay", *place_of(source))
            last, before = (
                self.sent(self.loop.ticks - 1, source),
                Ref(self.sent(t - 1, source)) if t else None,
            )
            sizes = tuple(state.meta["val"].shape)
            settings = {"source": last, "sizes": sizes, "tick": t + 1, "before": before}
            yield Call(name, "past", (Ref(self.given),), settings, origin, False, no_value)

    def step(self, t: int, k: int) -> Iterator[Call]:
        """The calls of one step."""
        own, step, name = self.loop.slices[t][k], self.body.steps[k], self.name(t, k)
        which = self.loop.template[k].name
        if step in self.found.made:
            made, drives, state = self.found.made[step]
            yield from population(name, made, [self.ref(t, drive) for drive in drives], state, which)
        else:
            reads = not set(self.body.states).isdisjoint(step.all_input_nodes)
            copied = own is None or (reads and t == 0)
            refs = self.refs(t) if copied else self.hands(t) if reads else {}
            for call in self.groups.get(which if copied else name, ()):
                args, kwargs = substitute((call.args, call.kwargs), lambda ref: refs.get(ref.name, ref))
                yield replace(call, name=name, args=args, kwargs=kwargs)
        if step in self.kept:
            pasts = self.found.past
            state = next(s for s in self.found.states if s.before in pasts and pasts[s.before][0] is step)
            yield from kept_by(name, state, f"{which}.kept")

    def ref(self, t: int, node: fx.Node) -> Any:
        """What stands in one slice for a node of the body."""
        if node in self.place:
            return Ref(self.name(t, self.place[node]))
        if node in self.body.states:
            return self.held(t)[node]
        return self.refs(t)[next(a.name for a, b in self.body.outside.items() if b is node)]

    def hands(self, t: int) -> dict[str, Any]:
        """What stands for the states that a slice reads of the one before it."""
        held = zip(self.loop.carried, self.held(t).values(), strict=True)
        return {self.name(t - 1, k): value for k, value in held if value is not None}

    def refs(self, t: int) -> dict[str, Any]:
        """By what the template reads what one slice reads."""
        held = zip(self.loop.carried.values(), self.held(t).values(), strict=True)
        found: dict[str, Any] = {node.name: Ref(node.name) for node in self.body.outside}
        found |= {b.name: Ref(a.name) for a, b in self.loop.beside(t, self.body) if isinstance(a, fx.Node)}
        found |= {node.name: Ref(self.name(t, k)) for k, node in enumerate(self.loop.template)}
        return found | {node.name: value for node, value in held if value is not None}


def _leaves(node: Any) -> list[Any]:
    """All that a call is given, inside of lists and slices as well, in order."""
    found: list[Any] = []
    fx.node.map_aggregate((node.args, dict(sorted(node.kwargs.items()))), found.append)
    return found


def _path(node: fx.Node) -> str:
    return (node.meta.get("source") or node).meta.get("module", ("", None))[0]  # type: ignore[no-any-return]


def _same(a: list[Any], b: list[Any]) -> bool:
    """Whether two calls are given the same numbers and settings."""
    tensors = [isinstance(x, torch.Tensor) and isinstance(y, torch.Tensor) for x, y in zip(a, b, strict=True)]
    pairs = zip(a, b, tensors, strict=True)
    return all(torch.equal(x, y) if both else x is y or x == y for x, y, both in pairs)
