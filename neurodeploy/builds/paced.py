"""How many samples a stage runs where its user chose no number: as many as are expected to fit a budget of time.

What was chosen goes into the config of the build, which replays it whatever the clock says then.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from ..array import Array
from ..config import BuildConfig
from ..cost import dense_macs
from ..ir.graph import Graph
from ..report.units import within

#: dense multiply-accumulates, of all ticks together, that are verified in a second on any machine
SURE = 1e7

R = TypeVar("R")


@dataclass(frozen=True, eq=False)
class Ran(Generic[R]):
    """What a stage found on so many ``samples``; ``cut`` says why they are fewer than ``wanted``."""

    found: R
    samples: int
    wanted: int
    cut: str


@dataclass(frozen=True)
class Budget:
    """Seconds that a stage may take; ``fixed``: stages whose number of samples is not to be chosen."""

    seconds: float
    fixed: frozenset[str] = frozenset()
    clock: Callable[[], float] = field(default=time.perf_counter)

    @classmethod
    def of(cls, asked: BuildConfig) -> Budget:
        """That of a build, as its user asked for it: a number that was given is kept."""
        return cls(asked.time_budget, frozenset(asked.model_fields_set & {"verify", "estimate"}))

    def run(
        self,
        stage: str,
        graph: Graph,
        draw: Callable[[int], Array],
        most: int,
        made: Callable[[Array], R],
        runs: Callable[[int], int] = lambda samples: samples,
        spent: float = 0.0,
    ) -> Ran[R]:
        """What ``made(draw(n))`` yields of n samples, at least one and at most ``most``.

        Unless all of them surely fit the budget, a tenth at most that does runs first, at least one sample. The time of
        these says how many there is still room for, they themselves among them; ``runs`` is how often a sample is run
        where n of them are asked for, ``spent`` what the stage has taken already.
        """
        x = draw(most)
        wanted = len(x)
        if stage in self.fixed:
            return Ran(made(x), wanted, wanted, "")
        sure = self._sure(graph)
        first = wanted if sure >= wanted else max(1, min(sure, wanted // 10))
        began = self.clock()
        found = made(x if first == wanted else draw(first))
        taken = self.clock() - began
        left, samples = (self.seconds - spent - taken) * runs(first), wanted
        while samples > first and runs(samples) * taken > left:
            samples -= 1
        if samples > first:
            found = made(x if samples == wanted else draw(samples))
        return Ran(found, samples, wanted, within(samples, wanted, self.seconds))

    def _sure(self, graph: Graph) -> int:
        """Samples that fit the budget on any machine."""
        each = graph.header.timesteps * max(1, sum(dense_macs(graph, node) for node in graph))
        return int(self.seconds * SURE // each)
