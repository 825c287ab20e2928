"""Runs a mapped network from its cores' memory images, as a Loihi-class chip would, and counts what the cores do.

Nothing but the images is read: no graph, no interpreter, no fast engine. Step s = 1 .. T + depth: the host sends the
input of tick s; every core adds up the messages that were sent to it in step s - 1, through its own tables; units whose
tick s - depth lies in 1 .. T load their initial state at tick 1, run their programs and send what is not zero. A unit
out of its ticks does nothing. Samples run side by side and never meet, or one after the other on the same cores
(:mod:`.pipeline`), where they must not. Cores whose units are alike are one array (:mod:`.kinds`), all that is said in
a step is another (:mod:`.outbox`), and what messages cause is counted by matrix products (:mod:`.ledgers`).
"""

from __future__ import annotations

from collections import abc
from collections.abc import Iterable
from weakref import WeakKeyDictionary

import numpy as np

from ...array import Array
from ...errors import Problem, SimulateError
from ...ir.trace import Events, Trace
from ...mapping.types import Mapping
from ...program import Program
from .._base import Backend
from .machine import Machine


class LoihiSim(Backend):
    """The simulator of memory images."""

    name = "loihi-sim"
    mapped = True
    proves = True

    def __init__(self) -> None:
        self._machines: WeakKeyDictionary[Mapping, Machine] = WeakKeyDictionary()

    def available(self) -> str:
        """Always."""
        return ""

    def run(self, program: Program, x: Array, record: Iterable[str] = ()) -> tuple[Trace, Events]:
        """Read-outs and recorded values equal ``ir.interp``; events of one inference at a time.

        Raises SimulateError (ND601 wrong input shape, ND610 no images, ND611 unknown node, ND612 unknown member,
        ND613 a program that cannot be carried out) and MappingError (ND582, ND586) for images that contradict
        themselves.
        """
        return self._machine(program).run(np.asarray(x), record)

    def go_on(
        self, program: Program, x: Array, begin: abc.Mapping[str, Array], record: Iterable[str]
    ) -> Trace:
        """Each unit is loaded with ``begin`` in place of its initial state."""
        return self._machine(program).run(np.asarray(x), record, begin=begin)[0]

    def _machine(self, program: Program) -> Machine:
        """The decoded images of a mapping, kept as long as it lives: a run changes nothing in them."""
        mapping = program.mapping
        if mapping is None or not mapping.images:
            cause, limit = "the program has no memory images", "one per core and the host's"
            fixes = ("map the network first", "if it is only sampled: build it with a longer --time-budget")
            raise SimulateError(Problem("ND610", cause, "mapping", "none", limit, fixes))
        if mapping not in self._machines:
            self._machines[mapping] = Machine(mapping.images)
        return self._machines[mapping]


MEMBER = LoihiSim()
