"""The import check: a graph and its module side by side; a difference is refused with its place and its causes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import prod

import numpy as np
import torch

from ...array import Array
from ...counted import counted
from ...errors import ImportModelError, Problem, first_line
from ...inputs.samples import one_hot, tokens
from ...ir.graph import Graph
from ...ir.nodes import Neuron, Synapse
from ..blocks import Live
from . import admissible, causes, integers, places
from .compare import TOLERANCE, Comparison, Difference, Outcome, apart
from .reference import Answers, Reference
from .types import ImportCheck

#: by how many units in the last place of the largest number inputs are changed, and the least share that stays the same
SHAKEN, STEADY = 50, 0.5
#: levels that a corner of what is admissible holds; noise has more, unless that is all there are
CORNER = 2
SWITCH = "--no-import-check imports it all the same, and labels every number"


def prove(
    reference: Reference | Live,
    graph: Graph,
    simple: Graph,
    bounds: tuple[int, int],
    given: Array | None = None,
) -> ImportCheck:
    """What was compared, if ``simple``, the simplified ``graph``, equals the module at every tick.

    ``bounds`` are the smallest and largest raw input, ``given`` raw samples of the user's data, (N, *input).
    Raises ImportModelError: ND140 where they differ, ND141 where the module fails on inputs that it has to take.
    """
    start = time.perf_counter()
    few = _cost(simple) * simple.header.timesteps > admissible.DEAR
    if isinstance(reference, Live):
        return integers.prove(reference, simple, bounds, given, few)
    raw = admissible.samples(simple, bounds, given, few)
    proof = _Proof(reference, graph, simple, raw, few)
    outcome, precision = proof.settled()
    return ImportCheck(
        samples=len(proof.raw), ticks=simple.header.timesteps, outputs_compared=outcome.outputs,
        neurons_compared=outcome.neurons, largest_difference=outcome.largest, ties=outcome.ties,
        tolerance=TOLERANCE[precision], precision=precision, low=bounds[0], high=bounds[1],
        seconds=time.perf_counter() - start,
    )  # fmt: skip


def _cost(graph: Graph) -> int:
    """Multiply-accumulates of stored weights in one tick."""
    return sum(
        node.weight.size // len(node.weight) * prod(graph.shape(node.name)) for node in graph.of(Synapse)
    )


@dataclass(eq=False)
class _Proof:
    """One module, its graph as imported and as simplified, and raw inputs."""

    reference: Reference
    graph: Graph
    simple: Graph
    raw: Array
    few: bool

    @property
    def ticks(self) -> int:
        return self.simple.header.timesteps

    def x(self, rows: slice = slice(None)) -> Array:
        """Raw inputs as the graph takes them."""
        raw = self.raw[rows]
        return one_hot(self.simple, raw) if tokens(self.simple) else raw

    def settled(self) -> tuple[Outcome, str]:
        """The outcome in double precision, or in single where the module itself goes down to it; ImportModelError."""
        problem: Problem | None = None
        for precise in (True, False):
            with self.reference.visiting(precise):
                try:
                    outcome, rows = self._settled()
                    if outcome.difference is None:
                        return outcome, self.reference.precision
                    problem, single = self._problem(outcome.difference, rows), self._single()
                except causes.RAISED as error:
                    problem, single = problem or self._fails(error), precise
            if not single:
                break
        raise ImportModelError(problem or [])

    def _settled(self) -> tuple[Outcome, slice]:
        """As :meth:`_compared`; where that differs, on those inputs alone of which the module's answer is no accident.

        Norms of a constant signal divide next to nothing by next to nothing: the order of a sum decides. Only corners
        are left out, and no noise: a step at a level that it holds would hide behind the same change.
        """
        outcome, rows = self._compared()
        if outcome.difference is None or tokens(self.simple) or any(self.simple.of(Neuron)):
            return outcome, rows
        steady = self._steady() | (np.array([np.unique(x).size for x in self.raw]) > CORNER)
        if steady.all() or steady.mean() < STEADY or np.unique(self.raw).size <= CORNER:
            return outcome, rows
        self.raw = self.raw[steady]
        return self._compared()

    def _steady(self) -> Array:
        """Of which inputs the module's own answer stays when they change by what rounding changes."""
        own = self.reference.run(self.raw, self.ticks, self.per_tick).outputs
        reach = SHAKEN * torch.finfo(self.reference.dtype).eps * max(1.0, float(np.abs(self.raw).max()))
        noise = np.random.default_rng(0).uniform(-reach, reach, self.raw.shape)
        off, scale = apart(self.reference.run(self.raw + noise, self.ticks, self.per_tick).outputs, own)
        far = off > TOLERANCE[self.reference.precision] * scale
        steady: Array = ~far.any(axis=(0, *range(2, far.ndim)))
        return steady

    def _compared(self) -> tuple[Outcome, slice]:
        """All outcomes as one, and the rows of the batch that differed first."""
        comparison, total = (
            Comparison(self.simple, self.x(), self.reference.precision, self.reference.leaves),
            Outcome(),
        )
        self.reference.hear(comparison.populations.values())
        for answers, rows in self._batches():
            found = comparison.against(answers, rows)
            total.largest = max(total.largest, found.largest)
            total.outputs += found.outputs
            total.neurons += found.neurons
            total.ties += found.ties
            if found.difference is not None:
                return replace(total, difference=found.difference), rows
        return total, slice(0)

    def _batches(self) -> Iterator[tuple[Answers, slice]]:
        """Three samples together, and each alone; of an exported program as many as it takes. Each from rest."""
        size, alone = 3, 0 if self.reference.batch else 1 if self.few else len(self.raw)
        together = [slice(i, min(i + size, len(self.raw))) for i in range(0, len(self.raw), size)]
        for rows in counted([*together, *(slice(i, i + 1) for i in range(alone))], "runs compared"):
            yield self.reference.run(self.raw[rows], self.ticks, self.simple.input.per_tick), rows

    def _single(self) -> bool:
        """Whether the module itself goes down to single precision."""
        return any(
            event.kind == "single"
            for event in causes.events(self.reference, self.raw, self.ticks, self.per_tick)
        )

    @property
    def per_tick(self) -> bool:
        return self.simple.input.per_tick

    def _problem(self, found: Difference, rows: slice) -> Problem:
        """ND140 with the first place that differs and what may be the cause."""
        at = rows.start + found.sample
        likely = causes.likely(
            self.reference, self.raw[[at, *range(len(self.raw))]], self.ticks, self.per_tick
        )
        where, tick = self._place(found, at)
        cause = "the imported network does not compute what the model computes"
        what = "" if found.node else "a read-out is "
        shown = f"{what}{found.found:.9g} instead of {found.wanted:.9g} at tick {tick}, index {found.index}"
        fixes = (*(f"likely: {text}" for text in likely), SWITCH)
        return Problem(
            "ND140", cause, where, shown, f"equal within {TOLERANCE[self.reference.precision]:g}", fixes
        )

    def _place(self, found: Difference, at: int) -> tuple[str, int]:
        """The first node that differs, for people, and the tick."""
        if found.node:
            return self.simple.nodes[found.node].place, found.tick
        rows = slice(at, at + 1)
        try:
            first = places.first(self.graph, self.reference, self.raw[rows], self.x(rows), self.ticks)
        except causes.RAISED:
            first = None
        node, tick = first or (self.simple.output, found.tick)
        return node.place, tick or 1

    def _fails(self, error: Exception) -> Problem:
        """ND141: the module ran while it was traced, and does not now."""
        likely = causes.likely(self.reference, self.raw[:1], self.ticks, self.per_tick)
        cause = "the model cannot be compared with what was imported: it fails on inputs that it has to take"
        limit = f"batches of 3 and of 1, {self.ticks} calls from rest"
        fixes = (*(f"likely: {text}" for text in likely), SWITCH)
        return Problem("ND141", cause, "forward", first_line(error), limit, fixes)
