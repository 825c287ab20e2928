"""What a backend is: one way to run a program."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ..array import Array
from ..errors import BackendError, Problem
from ..ir.trace import Events, Trace
from ..program import Program
from ..registry import Member, Room


@dataclass(frozen=True)
class Row:
    """One layer (or core): its processes, and synaptic events of one tick, in all and on stock processes."""

    layer: str
    processes: tuple[str, ...]
    events: float
    stock_events: float
    reason: str = ""

    @property
    def stock(self) -> bool:
        """Whether every process is one that the simulated system brings."""
        return OWN not in self.processes

    def __str__(self) -> str:
        return " + ".join(self.processes)


@dataclass(frozen=True)
class Kernel:
    """Nodes that are computed together, by what, and why by that."""

    nodes: tuple[str, ...]
    name: str
    reason: str


#: what a process is called that the system does not bring, whatever it does; the reasons say that
OWN = "own"


@dataclass(frozen=True)
class Description:
    """What a backend of processes makes of each layer; ``nodes`` is node -> process, ``OWN`` for own ones.

    ``title`` is the system whose processes these are, ``granularity`` what one of them holds.
    """

    title: str
    granularity: str
    rows: tuple[Row, ...]
    processes: int
    nodes: Mapping[str, str]

    @property
    def share(self) -> float | None:
        """Part of the synaptic events that stock processes handle; None where there are no events."""
        total = sum(row.events for row in self.rows)
        return sum(row.stock_events for row in self.rows) / total if total else None


class Backend(Member):
    """A registered backend; every one equals ``ir.interp`` bit for bit, (node, tick) by (node, tick)."""

    #: True if it runs from the mapping's memory images and counts events
    mapped: bool = False
    #: True if every build is verified on it: it is quick, and usable wherever the package is
    proves: bool = False
    #: what one process of it may hold, where it has processes, the usual one first: "layer", "core"
    granularities: tuple[str, ...] = ()

    @abstractmethod
    def available(self) -> str:
        """Empty if usable here, else the reason why not and what would help."""

    def remarks(self) -> tuple[Problem, ...]:
        """What is worth knowing of what it computes with here."""
        return ()

    def at(self, granularity: str) -> Backend:
        """This backend with one process for each of these; ``granularity`` is one of ``granularities``."""
        return self

    def describe(self, program: Program) -> Description | None:
        """What every layer becomes, known without running anything; None where there is nothing to say.

        Raises BackendError for a program that cannot become processes of this granularity.
        """
        return None

    def kernels(self, program: Program) -> tuple[Kernel, ...]:
        """By which code every part of the network is computed here, and why; empty where there is no choice."""
        return ()

    @abstractmethod
    def run(self, program: Program, x: Array, record: Iterable[str] = ()) -> tuple[Trace, Events | None]:
        """Run raw inputs ``x`` (B, *input shape) for all ticks; record the named nodes' values at every tick."""

    @property
    def goes_on(self) -> bool:
        """Whether its runs can begin where others ended."""
        return type(self).go_on is not Backend.go_on

    def go_on(self, program: Program, x: Array, begin: Mapping[str, Array], record: Iterable[str]) -> Trace:
        """The same from states ``begin`` (B, *shape) before tick 1, as ``interp.run`` takes them.

        BackendError ND746 where every sample begins at rest.
        """
        cause, fix = "this backend begins every sample at rest", "--backend cpu, the same to the bit"
        raise BackendError(Problem("ND746", cause, self.name, fixes=(fix,)))


BACKENDS = Room("backends", Backend)
