"""Whether a graph says what its module says, at every tick: read-outs, and the spikes of every known neuron.

Both run freely. Where spikes differ, the module's own spikes are given to the graph, so that each neuron is looked at
by itself: it differs for good, or its membrane stands on its threshold (a tie), where the order of a sum decides. A tie
whose arithmetic was exact in both is no matter of order: then the rules differ.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from itertools import permutations
from math import prod
from typing import Any

import numpy as np

from ...array import Array
from ...ir import interp
from ...ir.graph import Graph
from ...ir.neuron_model import NEURONS
from ...ir.nodes import Neuron
from ...ir.trace import Trace
from .reference import Answers, compact

#: of files that another runtime computes: whole networks in single precision, whose answers were 1e-6 apart and less
RUNTIME = "float32 of onnxruntime"
#: largest difference, relative to the largest magnitude, by the precision of the module
TOLERANCE = {"float64": 1e-6, "float32": 1e-3, RUNTIME: 1e-5}
#: how near to a threshold a membrane has to stand for a tie, in the same way
NEAR = {"float64": 1e-9, "float32": 1e-4, RUNTIME: 1e-5}
#: share of equal values that makes a module's output the one of a population
ALIKE = 0.8


@dataclass(frozen=True, eq=False)
class Difference:
    """Where a graph and its module first disagree; ``node`` is empty for the read-out."""

    tick: int
    sample: int
    index: tuple[int, ...]
    found: float
    wanted: float
    node: str = ""


@dataclass(eq=False)
class Outcome:
    """Of one batch: the largest difference of a read-out, what was compared, ties, and the first real difference."""

    largest: float = 0.0
    outputs: int = 0
    neurons: int = 0
    ties: int = 0
    difference: Difference | None = None


@dataclass(eq=False)
class Comparison:
    """A graph on raw inputs (B, *input), and how it is held against a module of some precision.

    ``known`` are the paths of neurons of libraries. Any other module that became a population may do more than that.
    """

    graph: Graph
    x: Array
    precision: str
    known: Collection[str] = ()
    populations: dict[str, str] = field(init=False)
    trace: Trace = field(init=False)

    def __post_init__(self) -> None:
        self.populations = {node.name: node.origin[0].path for node in self.graph.of(Neuron) if node.origin}
        said: dict[str, list[Array]] = {name: [] for name in self.populations}

        def hear(name: str, value: Array) -> None:
            if name in said:
                whole = np.broadcast_to(value, (len(self.x), *self.graph.shape(name)))
                said[name].append(compact(np.ascontiguousarray(whole)))

        trace = interp.run(self.graph, self.x, observe=hear)
        self.trace = replace(trace, values={name: np.stack(said.pop(name)) for name in self.populations})

    def against(self, answers: Answers, rows: slice = slice(None)) -> Outcome:
        """What the module said to the inputs of these rows."""
        outcome = Outcome()
        wanted = accumulated(answers.outputs, self.graph.output.readout)
        self._readout(self.trace.outputs[:, rows], wanted, outcome)
        free = outcome.difference
        spikes = [self._population(name, answers, rows, outcome) for name in self.populations]
        if free is not None or not all(spikes):
            outcome.difference = None
            self._by_itself(answers, rows, wanted, outcome)
        return outcome

    def _readout(self, found: Array, wanted: Array, outcome: Outcome) -> None:
        found = found[-len(wanted) :]
        if found.size != wanted.size:
            outcome.difference = Difference(0, 0, found.shape, float(found.size), float(wanted.size))
            return
        found = found.reshape(wanted.shape)
        off, scale = apart(found, wanted)
        outcome.outputs = found.size
        outcome.largest = float(off.max(initial=0.0) / scale)
        if outcome.largest > TOLERANCE[self.precision]:
            outcome.difference = _first(off > TOLERANCE[self.precision] * scale, found, wanted)

    def _population(self, name: str, answers: Answers, rows: slice, outcome: Outcome) -> bool:
        """Whether a population fires as its module does, in whatever order its neurons are kept."""
        wanted, found = answers.spikes.get(self.populations[name]), self.trace.values[name][:, rows]
        if wanted is None or wanted.size != found.size or wanted.shape[:2] != found.shape[:2]:
            return True  # it was cut to what is read, or its module keeps other axes: the read-out tells
        a, b = (values.reshape(*values.shape[:2], -1) for values in (found, wanted))
        same = self._same(a, b) or (_counted(a, b) if _spikes(b) else self._same(np.sort(a), np.sort(b)))
        known = self.populations[name] in self.known
        outcome.neurons += found.size if same or known else 0
        return same or not known

    def _same(self, found: Array, wanted: Array) -> bool:
        if np.array_equal(found, wanted):
            return True
        off, scale = apart(found, wanted)
        return bool((off <= TOLERANCE[self.precision] * scale).all())

    def _by_itself(self, answers: Answers, rows: slice, wanted: Array, outcome: Outcome) -> None:
        """Each neuron on what the module's neurons sent: ties are counted, a difference is the first of its tick."""
        order = {name: arrangement(answers.spikes[path], self.trace.values[name][:, rows], path in self.known)
                 for name, path in self.populations.items() if path in answers.spikes}  # fmt: skip
        fits = {name: arrange for name, arrange in order.items() if arrange is not None}
        spikes = {name: arrange(answers.spikes[self.populations[name]]) for name, arrange in fits.items()}
        given = {name: values.astype(np.float64) for name, values in spikes.items()}
        nodes = [self.graph.nodes[name] for name in fits]
        heard = {name for node in nodes for name in node.inputs}
        trace = interp.run(self.graph, self.x[rows], record=heard, given=given)
        for node in nodes:
            currents = [trace.values[name] for name in node.inputs]
            own = fits[node.name](answers.currents[self.populations[node.name]]())
            ties, difference = _neuron(node, currents, own, given[node.name], self.precision)  # type: ignore[arg-type]
            outcome.ties += ties
            if difference and (outcome.difference is None or difference.tick < outcome.difference.tick):
                outcome.difference = difference
        if outcome.difference is None:
            self._readout(trace.outputs, wanted, outcome)


def _spikes(values: Array) -> bool:
    """Whether nothing but 0 and 1 is among the values."""
    return bool(((values == 0) | (values == 1)).all())


def _counted(found: Array, wanted: Array) -> bool:
    """Whether as many spikes are in both, wherever they are: what sorting would find, and slowly."""
    return _spikes(found) and np.array_equal(found.sum(axis=-1), wanted.sum(axis=-1))


def accumulated(outputs: Array, readout: str) -> Array:
    """Read-outs (T, B, ...) of what each call yields; a whole sample in one call is one already."""
    if readout == "last" or len(outputs) == 1:
        return outputs
    total = np.cumsum(outputs, axis=0)
    ticks = np.arange(1, len(outputs) + 1).reshape(-1, *(1,) * (outputs.ndim - 1))
    return total / ticks if readout == "mean" else total


def apart(found: Array, wanted: Array) -> tuple[Array, float]:
    """Absolute differences, infinite where one alone is finite, and the largest finite magnitude."""
    with np.errstate(invalid="ignore"):
        off = np.abs(np.subtract(found, wanted, dtype=np.float64))
    same = (found == wanted) | (np.isnan(found) & np.isnan(wanted))
    off = np.where(same, 0.0, np.where(np.isnan(off), np.inf, off))
    finite = np.abs(wanted[np.isfinite(wanted)].astype(np.float64))
    return off, float(finite.max(initial=0.0)) or 1.0


def arrangement(values: Array, like: Array, sure: bool = True) -> Callable[[Array], Array] | None:
    """How (T, B, ...) of a module becomes (T, B, *shape) of a node: the order of axes in which most agrees.

    An axis of the module may be several of the node. None where they have other sizes or, if it is not ``sure`` that
    they are the same thing, where too little agrees.
    """
    if values.size != like.size or values.shape[:2] != like.shape[:2]:
        return None

    def arranged(split: tuple[int, ...], order: tuple[int, ...]) -> Callable[[Array], Array]:
        axes = (0, 1, *(2 + axis for axis in order))
        return lambda array: array.reshape(*array.shape[:2], *split).transpose(axes).reshape(like.shape)

    def agreeing(arrange: Callable[[Array], Array]) -> int:
        return int((arrange(values) == like).sum())

    ways = (
        arranged(split, order)
        for split in _splits(values.shape[2:], like.shape[2:])
        for order in permutations(range(len(split)))
    )
    best = max(ways, key=agreeing)
    return best if sure or agreeing(best) >= ALIKE * like.size else None


def _splits(shape: tuple[int, ...], sizes: tuple[int, ...]) -> list[tuple[int, ...]]:
    """The shape itself, then those that split its axes into factors found among ``sizes``."""
    whole, *rest = shape or (1,)
    parts = [
        found
        for count in range(2, len(sizes) + 1)
        for found in set(permutations(sizes, count))
        if prod(found) == whole
    ]
    behind = _splits(tuple(rest), sizes) if rest else [()]
    return [(*part, *more) for part in [(whole,), *sorted(parts)] for more in behind]


def _first(wrong: Array, found: Array, wanted: Array, node: str = "") -> Difference:
    """The first place (tick, sample, *index) of many."""
    tick, sample, *index = (int(i) for i in np.argwhere(wrong)[0])
    place = (tick, sample, *index)
    return Difference(tick + 1, sample, tuple(index), float(found[place]), float(wanted[place]), node)


def _neuron(
    node: Neuron, currents: list[Array], own: Array, wanted: Array, precision: str
) -> tuple[int, Difference | None]:
    """Ties of one population that is given its ``currents``, (T, B, *shape), and where it differs from ``wanted``.

    ``own`` is what its module was given.
    """
    runs = _Steps(node, currents), _Steps(node, currents, np.longdouble)
    reach = max(float(np.abs(current).max(initial=0.0)) for current in currents) * len(wanted)
    near = NEAR[precision] * (
        reach + max((float(np.max(np.abs(p))) for p in node.params.values()), default=0.0)
    )
    _, scale = apart(wanted, wanted)
    ties, open_ = 0, np.ones(wanted.shape[1:], bool)  # what has not tied yet: behind a tie states differ
    same = np.ones(wanted.shape[1:], bool)
    for t in range(len(wanted)):
        below, above = runs[0].peek(t, -near), runs[0].peek(t, near)
        found, fine = runs[0].step(t), runs[1].step(t)
        same &= (own[t] == currents[0][t]) & (fine == found) & runs[0].agrees(runs[1])
        differs = (np.abs(found - wanted[t]) > TOLERANCE[precision] * scale) & open_
        tie = differs & (np.abs(above - below) > TOLERANCE[precision] * scale) & ~same
        if (differs & ~tie).any():
            wrong = np.zeros(wanted.shape, bool)
            wrong[t] = differs & ~tie
            return ties, _first(wrong, np.broadcast_to(found, wanted.shape), wanted, node.name)
        ties += int(tie.sum())
        open_ &= ~tie
    return ties, None


class _Steps:
    """A population alone, tick by tick."""

    def __init__(self, node: Neuron, currents: list[Array], dtype: Any = np.float64) -> None:
        self.node, self.model = node, NEURONS[node.model]
        self.currents = [current.astype(dtype) for current in currents]
        self.params = [node.params[name] for name in self.model.float_params]
        self.state = self.rest = (np.zeros_like(self.currents[0][0]),) * len(self.model.state)

    def peek(self, t: int, shift: float) -> Array:
        """What it would send if its input were larger by ``shift``."""
        before = self.state
        out = self.step(t, shift)
        self.state = before
        return out

    def step(self, t: int, shift: float = 0.0) -> Array:
        """What it sends at tick ``t`` + 1."""
        state = self.rest if t and self.node.resets(t + 1) else self.state
        first, *more = (current[t] for current in self.currents)
        out: Array
        out, *after = self.model.float_step(first + shift, *more, *state, *self.params)
        self.state = tuple(after)
        return out

    def agrees(self, other: _Steps) -> Array:
        """Where both states are the same to the last bit."""
        same = np.ones(self.currents[0][0].shape, bool)
        for a, b in zip(self.state, other.state, strict=True):
            same &= a == b
        return same
