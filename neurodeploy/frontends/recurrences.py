"""The states of a traced program as neurons and delayed connections.

A state is a placeholder, and what it becomes a node, of the traced program. Where it becomes a linear function of
itself it is a leaky integrator, or one with a gate where a stream says what is kept of it, where it charges, fires and
resets a spiking neuron (:mod:`.cells` finds out by running that part of the program), and where it keeps what was
computed one tick ago a connection with a delay of one tick.
"""

from __future__ import annotations

import graphlib
import heapq
import operator
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import fx

from ..errors import ImportModelError, Problem
from ..ir.neuron_model import NEURONS
from ..ir.types import Origin
from . import cells
from .cells import Cell, Population
from .traced import Call, Ref

#: operators that hand on what they are given
_KEEPING = frozenset({"detach", "detach_", "clone", "contiguous", "to", "float", "double", "type_as"})


#: what makes numbers of a shape alone
_SHAPED = frozenset(
    {"zeros_like", "ones_like", "full_like", "empty_like", "new_zeros", "new_ones", "new_full", "new_empty"}
)

#: magnitudes at which it is tried whether a number matters
_SIZES = (0.1, 1.0, 100.0)


@dataclass(frozen=True)
class Remembered:
    """What is known of a state before tracing: its name and module, and where it begins (None: at no one number)."""

    name: str
    path: str
    rest: float | None


@dataclass(eq=False)
class State:
    """One remembered tensor or number: ``before`` a call a placeholder, ``after`` it a node or a constant."""

    known: Remembered
    before: fx.Node
    after: Any

    @property
    def rest(self) -> float | None:
        """Where every element begins."""
        return self.known.rest

    @property
    def place(self) -> tuple[str, int]:
        """File and line where it is written, or read."""
        return place_of(self.after if isinstance(self.after, fx.Node) else next(iter(self.before.users)))

    @property
    def where(self) -> str:
        """Attribute, file and line."""
        file, line = self.place
        return f"{self.known.name} ({file}:{line})" if file else self.known.name


class Recurrences:
    """What stands for the states in the calls of a traced program.

    ``nodes`` begin with the input and the ``remembered`` states, and end with (what is returned, what the states have
    become). ``constants`` are the tensors of its attributes. ``fixed`` are states that are constants, by name.
    """

    def __init__(
        self, nodes: Sequence[fx.Node], remembered: Sequence[Remembered], constants: Mapping[str, Any]
    ) -> None:
        self.order = {node: k for k, node in enumerate(nodes)}
        self.constants = constants
        self.input, *befores = (node for node in nodes if node.op == "placeholder")
        self.output, afters = nodes[-1].args[0]
        self.states = [State(*parts) for parts in zip(remembered, befores, afters, strict=True)]
        self.made: dict[fx.Node, tuple[Population, list[fx.Node], State]] = {}  # nodes that are neurons now
        self.past: dict[
            fx.Node, tuple[fx.Node, bool]
        ] = {}  # delayed states; whether a neuron has to keep them
        self.fixed: dict[str, Any] = {}
        self.exact: dict[fx.Node, Any] = {}
        self._resolve()

    # --- which state is what --------------------------------------------------------------------------------------
    def _resolve(self) -> None:
        """Find what each state is that the output depends on; ImportModelError ND157 with all that are nothing."""
        while open_states := self._open():
            if not any(self._settled(state) for state in open_states):
                raise ImportModelError([_refused(state) for state in open_states])

    def _open(self) -> list[State]:
        needed = self.needed()
        unsettled = (s for s in self.states if s.before not in self.past and s.before.name not in self.fixed)
        return [s for s in unsettled if s.before in needed]

    def needed(self) -> set[fx.Node]:
        """What the output depends on, within the tick and over ticks."""
        after = {s.before: s.after for s in self.states if isinstance(s.after, fx.Node)}
        seen: set[fx.Node] = set()
        new: list[fx.Node] = []
        fx.node.map_arg(self.output, new.append)
        while new:
            node = new.pop()
            if node not in seen:
                seen.add(node)
                new += self._inputs(node)
                if node in self.past:
                    new.append(self.past[node][0])
                elif node in after and node.name not in self.fixed:
                    new.append(after[node])
        return seen

    def _inputs(self, node: fx.Node) -> list[fx.Node]:
        return self.made[node][1] if node in self.made else node.all_input_nodes

    def _settled(self, state: State) -> bool:
        """Whether it was found what a state is, or what it becomes."""
        source = _source(state.after)
        if source is state.before or not isinstance(source, fx.Node):
            return self._unchanging(state, source)
        if self._handed_back(state, source):
            self.fixed[state.before.name] = torch.zeros_like(state.before.meta["val"])
            return True
        reach = self._depending(state.before)
        if source in self.made or source not in reach:
            return self._delayed(state, source)
        straight = (cells.linear, cells.gated)
        return any(self._summed(state, source, reach, one) for one in straight) or self._spiking(
            state, source, reach
        )

    def _unchanging(self, state: State, value: Any) -> bool:
        """A state that is written as it was, or with the same number at every call."""
        if state.rest is None or (value is not state.before and not _is_number(value, state.rest)):
            return False
        self.fixed[state.before.name] = torch.full_like(state.before.meta["val"], state.rest)
        return True

    def _handed_back(self, state: State, source: fx.Node) -> bool:
        """Whether a state is one that a known neuron returned, and that it alone is given again: its own memory."""
        call, index = source.args if source.target is operator.getitem else (None, 0)
        if not isinstance(call, fx.Node) or "leaf" not in call.meta or state.rest != 0:
            return False
        returned = (None, *call.meta["leaf"].states)  # behind the spikes
        given = {**dict(zip(returned[1:], call.args[1:], strict=False)), **call.kwargs}
        return _source(given.get(returned[index])) is state.before and self._readers(state.before) == {call}

    def _sends_state(self, node: fx.Node) -> bool:
        """Whether a neuron that stands for a node sends what it holds, and no spikes."""
        return node in self.made and NEURONS[self.made[node][0].model].keeps_unit

    def _readers(self, node: fx.Node) -> set[fx.Node]:
        """What reads a node, perhaps handed on, and is needed."""
        found: set[fx.Node] = set()
        for user in node.users.keys() & self.needed():
            found |= self._readers(user) if _source(user) is not user else {user}
        return found

    def _delayed(self, state: State, source: fx.Node) -> bool:
        """A state that holds what was computed a tick ago; what no neuron sends has to be kept by one."""
        if state.rest != 0:
            return False
        self.past[state.before] = (source, not is_neuron(source) and source not in self.made)
        return True

    def _summed(
        self,
        state: State,
        source: fx.Node,
        reach: set[fx.Node],
        identify: Callable[[Cell], Population | None],
    ) -> bool:
        """Try it as a running sum, of which a constant or a stream says what is kept."""
        cell, drives = self._cell([state], [source], source, reach)
        made = _tried(identify, cell)
        if made is None:
            return False
        self.made[source] = (made, drives, state)
        if state.before in self.needed() and state.rest == 0:
            self.past[state.before] = (source, False)
        return True

    def _spiking(self, state: State, source: fx.Node, reach: set[fx.Node]) -> bool:
        """Try everything of the state's shape that is 0 or 1 as its spikes."""
        shape = state.before.meta["val"].shape
        # what is remembered beside the state is tried first: it may be the spikes
        ahead = {_source(s.after) for s in self.states if s is not state}
        for spikes in sorted(reach, key=lambda node: (node not in ahead, self.order[node])):
            value = spikes.meta.get("val")
            if not isinstance(value, torch.Tensor) or value.shape != shape or not value.is_floating_point():
                continue
            # a state that holds the spikes of the tick before belongs to the same neuron
            held = [s for s in self.states if s is not state and _source(s.after) is spikes and s.rest == 0]
            reset = reach.union(*(self._depending(s.before) for s in held))
            for within in (reach, reset) if held else (reach,):
                cell, drives = self._cell([state, *held], [source, *(spikes for _ in held)], spikes, within)
                made = _tried(cells.firing, cell)
                if made is not None and self._hides(spikes, (made, drives, state)):
                    return True
        return False

    def _hides(self, node: fx.Node, made: tuple[Population, list[fx.Node], State]) -> bool:
        """Whether nothing else reads the state once a neuron stands for a node; if so, it does."""
        self.made[node] = made
        if made[2].before not in self.needed():
            return True
        del self.made[node]
        return False

    def _depending(self, start: fx.Node) -> set[fx.Node]:
        """What is computed from a node without a neuron between."""
        reach = {start}
        for node in self.order:
            if node.op == "output" or is_neuron(node) or node in self.made:
                continue
            if not reach.isdisjoint(node.all_input_nodes):
                reach.add(node)
        return reach - {start}

    @property
    def read(self) -> tuple[Any, list[fx.Node]]:
        """What is returned, and what the next call reads."""
        return self.output, [source for source, _ in self.past.values()]

    # --- running a part of the program ----------------------------------------------------------------------------
    def _cell(
        self, states: list[State], afters: list[fx.Node], out: fx.Node, reach: set[fx.Node]
    ) -> tuple[Cell, list[fx.Node]]:
        """That part of the program as a function of its states and of what drives them."""
        begins = [s.before for s in states]
        region = self._between(begins, {*afters, out}, reach)
        outside = {i for node in region for i in node.all_input_nodes} - {*region, *begins}
        drives = [node for node in sorted(outside, key=self.order.__getitem__) if not self._constant(node)]
        constants = {node: self._value(node) for node in outside if self._constant(node)}
        drives = self._acting(drives, region, {*afters, out}, begins, constants)
        idle = {n: exact(n.meta["val"]) * 0 for n in outside if n not in drives and n not in constants}

        def step(given: Sequence[Any], held: Sequence[Any]) -> tuple[Any, list[Any]]:
            known = {
                **constants,
                **idle,
                **dict(zip(drives, given, strict=True)),
                **dict(zip(begins, held, strict=True)),
            }
            _run(region, known)
            return known[out], [known[after] for after in afters]

        shape = tuple(begins[0].meta["val"].shape)
        shapes = tuple(tuple(node.meta["val"].shape) for node in drives)
        return Cell(
            step, shape, shapes, tuple(float("nan") if s.rest is None else s.rest for s in states)
        ), drives

    def _between(self, begins: Iterable[fx.Node], ends: set[fx.Node], reach: set[fx.Node]) -> list[fx.Node]:
        """What lies between states and what is computed from them, in order."""
        found: set[fx.Node] = set()
        new = list(ends)
        while new:
            node = new.pop()
            if node in reach and node not in found:
                found.add(node)
                new += node.all_input_nodes
        return sorted(found - set(begins), key=self.order.__getitem__)

    def _acting(
        self,
        drives: list[fx.Node],
        region: list[fx.Node],
        ends: set[fx.Node],
        begins: list[fx.Node],
        constants: Any,
    ) -> list[fx.Node]:
        """The drives whose numbers matter; others lend their shape."""
        random = torch.Generator().manual_seed(0)

        def noise(node: fx.Node, size: float = _SIZES[-1]) -> Any:
            value = node.meta["val"]
            return _typed(size * torch.randn(value.shape, generator=random, dtype=torch.float64), value)

        def results(known: dict[fx.Node, Any]) -> list[Any]:
            values = _copies({**constants, **known})
            _run(region, values)
            return [values[end] for end in ends]

        def acts(node: fx.Node, known: dict[fx.Node, Any], base: list[Any]) -> bool:
            return not all(map(torch.equal, base, results({**known, node: noise(node)})))

        found: set[fx.Node] = set()
        for size in _SIZES:
            known = {node: noise(node, size) for node in (*drives, *begins)}
            base = results(known)
            found |= {node for node in drives if any(acts(node, known, base) for _ in _SIZES)}
        return [node for node in drives if node in found]

    def _constant(self, node: fx.Node) -> bool:
        """Whether the numbers of a node depend on neither the input nor a state."""
        return node not in self.made and (
            _alone(node) or (_computes(node) and all(map(self._constant, node.all_input_nodes)))
        )

    def _value(self, node: fx.Node) -> Any:
        """A constant in double precision."""
        return computed(node, self.exact, self.constants)

    # --- the calls ------------------------------------------------------------------------------------------------
    def calls(self, traced: Mapping[str, Call]) -> list[Call]:
        """The calls that are needed, with neurons and delayed connections in the place of the states."""
        needed = {node for node in self.needed() if node.name not in self.fixed}
        pasts = {node: self.past[node][0] for node in needed if node in self.past}
        before = {
            node: [i for i in self._inputs(node) if i in needed]
            for node in sorted(needed, key=self.order.__getitem__)
        }
        straight: set[fx.Node] = set()
        for past, source in pasts.items():
            if past not in _ancestors(before, source):  # no loop: what is kept was computed before
                before[past] = [*before[past], source]
                straight |= {past} if self.past[past][1] or self._sends_state(source) else set()
        calls: list[Call] = []
        ready: list[tuple[int, fx.Node]] = []  # in the program's own order, by which loops are found
        sorter = graphlib.TopologicalSorter(before)
        sorter.prepare()
        while sorter.is_active():
            for node in sorter.get_ready():
                heapq.heappush(ready, (self.order[node], node))
            _, node = heapq.heappop(ready)
            calls += self._previous(node) if node in straight else self._stands_for(node, traced, straight)
            sorter.done(node)
        return calls

    def _stands_for(
        self, node: fx.Node, traced: Mapping[str, Call], straight: Collection[fx.Node]
    ) -> list[Call]:
        """The calls of one node, and behind it the neuron that keeps it for a delayed connection."""
        if node in self.past:
            found = [self._past_call(node)]
        elif node in self.made:
            made, drives, state = self.made[node]
            found = list(population(node.name, made, [Ref(drive.name) for drive in drives], state))
        else:
            found = [traced[node.name]] if node.name in traced else []
        keeping = [
            s
            for s in self.states
            if self.past.get(s.before, (None, False)) == (node, True) and s.before not in straight
        ]
        return [*found, *kept_by(node.name, keeping[0])] if keeping else found

    def _previous(self, node: fx.Node) -> list[Call]:
        """A neuron that holds what was computed for one tick."""
        state, (source, _) = next(s for s in self.states if s.before is node), self.past[node]
        return list(population(node.name, Population("previous", {}, (1.0,)), [Ref(source.name)], state))

    def _past_call(self, node: fx.Node) -> Call:
        state = next(s for s in self.states if s.before is node)
        source, kept = self.past[node]
        name = f"{source.name}.kept" if kept else source.name
        sizes = {"source": name, "sizes": tuple(node.meta["val"].shape)}
        origin = Origin(state.known.path, "delay", *state.place)
        return Call(node.name, "past", (Ref(self.input.name),), sizes, origin, False, no_value)


#: parameters of a neuron that sends what it is given in the same tick
_KEEPER = {"alpha": 0.0, "beta": 0.0, "gain": 1.0, "bias": 0.0, "offset": 0.0}


def population(
    name: str, made: Population, drives: Sequence[Ref], state: State, which: str = ""
) -> Iterable[Call]:
    """A sum of the drives, and the neuron that reads it under the name of the node that it stands for.

    ``which`` tells it from others of the same module, where each tick of a loop calls it.
    """
    total: Ref | None = None
    for k, (ratio, part) in enumerate(zip(made.ratios, drives, strict=True)):
        if k == made.factor and not np.any(ratio):
            continue
        if np.any(np.asarray(ratio) != 1.0):
            yield _own(f"{name}.drive{k}", "mul", (part, ratio), state)
            part = Ref(f"{name}.drive{k}")
        if total is not None:
            yield _own(f"{name}.sum{k}", "add", (total, part), state)
            part = Ref(f"{name}.sum{k}")
        total = part
    origin = Origin(state.known.path, f"neuron {made.model}", *state.place)
    settings: dict[str, Any] = {"model": made.model, "params": made.params, "which": which}
    settings |= {} if made.factor is None else {"factor": drives[made.factor]}
    yield Call(name, "neuron", (total,), settings, origin, False, no_value)


def kept_by(name: str, state: State, which: str = "") -> Iterable[Call]:
    """The neuron that sends what it is given in the same tick, so that it can be read a tick later."""
    keeper = Population("leaky_integrator", {**_KEEPER}, (1.0,))
    return population(f"{name}.kept", keeper, [Ref(name)], state, which)


def _own(name: str, op: str, args: tuple[Any, ...], state: State) -> Call:
    return Call(name, op, args, {}, Origin(state.known.path, op, *state.place), False, getattr(operator, op))


def no_value(*_: Any, **__: Any) -> Any:
    """ND109: what a neuron makes of a constant."""
    problem = Problem("ND109", "a neuron is fed a constant", "neuron", "no dependence on the input")
    raise ImportModelError(problem)


def _ancestors(before: Mapping[fx.Node, list[fx.Node]], node: fx.Node) -> set[fx.Node]:
    seen, new = set(), [node]
    while new:
        one = new.pop()
        if one not in seen:
            seen.add(one)
            new += before.get(one, [])
    return seen


def _tried(identify: Callable[[Cell], Population | None], cell: Cell) -> Population | None:
    """What a part of the program is; None also where it does not run on numbers that are not its own."""
    if not cell.drives or any(np.isnan(cell.rest)):
        return None
    try:
        return identify(cell)
    except Exception:  # whatever torch raises about shapes and types
        return None


def _alone(node: fx.Node) -> bool:
    """Whether a node is a tensor of the module, or a shape filled with a number."""
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
    return node.op == "get_attr" or name in _SHAPED


def _computes(node: fx.Node) -> bool:
    return node.op != "placeholder" and not is_neuron(node)


def unvalued(node: fx.Node) -> bool:
    """Whether the numbers of a node depend on nothing that a program is given."""
    return _alone(node) or (_computes(node) and all(map(unvalued, node.all_input_nodes)))


def computed(node: fx.Node, known: dict[fx.Node, Any], constants: Mapping[str, Any]) -> Any:
    """A node in double precision, from what is ``known``, where it is added; a neuron is the sine of its input.

    KeyError where it depends on an input that is not known.
    """
    if node in known:
        return known[node]
    if node.op == "get_attr":
        known[node] = exact(constants[node.name])
    elif _alone(node):
        known[node] = exact(node.meta["val"])
    elif node.op == "placeholder":
        raise KeyError(node.name)
    else:
        given = [computed(operand, known, constants) for operand in node.all_input_nodes]
        if is_neuron(node):
            known[node] = stand_in(node)(*given)
        else:
            _run([node], known)
            known[node] = exact(known[node])
    return known[node]


def stand_in(node: fx.Node) -> Callable[..., Any]:
    """A function that stands for a known neuron where a program and its module are compared."""
    states = node.meta["leaf"].states if "leaf" in node.meta else ()
    return sine(len(states))


def sine(states: int) -> Callable[..., Any]:
    """Of what a neuron is given the sine, and ``states`` that depend on it and on what was handed back."""

    def function(x: Any, *given: Any, **named: Any) -> Any:
        held = [h for h in (*given, *named.values()) if isinstance(h, torch.Tensor) and h.shape == x.shape]
        after = sum((h / 2 for h in held), torch.cos(x))
        return (torch.sin(x + after), *(after + k for k in range(states))) if states else torch.sin(x)

    return function


def _run(region: Iterable[fx.Node], known: dict[fx.Node, Any]) -> None:
    """Compute the nodes of a region from what is known, also behind ``.float()`` in double precision."""
    for node in region:
        args, kwargs = (fx.node.map_arg(part, known.__getitem__) for part in (node.args, node.kwargs))
        if node.op == "call_method":
            known[node] = exact(getattr(args[0], node.target)(*args[1:], **kwargs))
        else:
            known[node] = exact(node.target(*args, **kwargs))


def _copies(known: Mapping[fx.Node, Any]) -> dict[fx.Node, Any]:
    """Values that a region may write into."""
    return {
        node: value.clone() if isinstance(value, torch.Tensor) else value for node, value in known.items()
    }


def _typed(numbers: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Numbers in double precision, or as another type where the program has one."""
    return numbers if like.is_floating_point() else (numbers > 0).to(like.dtype)


def exact(value: Any) -> Any:
    """A tensor of floats in double precision, anything else as it is."""
    floats = isinstance(value, torch.Tensor) and value.is_floating_point()
    return value.detach().double() if floats else value


def _source(node: Any) -> Any:
    """The node whose value is handed on."""
    while isinstance(node, fx.Node) and node.op == "call_method" and node.target in _KEEPING:
        given = node.args[0]
        if not isinstance(given, fx.Node) or not given.meta["val"].is_floating_point():
            break
        node = given
    return node


def is_neuron(node: fx.Node) -> bool:
    """Whether a node is a known neuron, or one of its states."""
    return any("leaf" in origin.meta for origin in (node, node.meta.get("source")) if origin is not None)


def place_of(node: fx.Node) -> tuple[str, int]:
    """File and line of a user's where a node comes from."""
    source = node.meta.get("source") or node
    return source.meta.get("place", ("", 0))  # type: ignore[no-any-return]


def _is_number(value: Any, number: float) -> bool:
    try:
        return bool((torch.as_tensor(value, dtype=torch.float64) == number).all())
    except (TypeError, ValueError, RuntimeError):
        return False


def _refused(state: State) -> Problem:
    """ND157: a state for which there is no neuron."""
    cause = "the model remembers something that no neuron holds"
    found = "its next value is no linear function of itself, with or without a gate, and no charge, fire and reset"
    if state.rest is None:
        found = "it does not begin at one number"
    limit = (
        "a linear recurrence, also one with a gate, f h + i; a LIF that resets to a value or by its threshold; "
        "what was sent one tick ago"
    )
    fixes = (
        "use a neuron of the table in docs/support.md",
        "if it is not read, do not let the output depend on it",
    )
    return Problem("ND157", cause, state.where, found, limit, fixes)
