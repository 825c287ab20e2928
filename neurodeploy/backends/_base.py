"""What a backend is: one way to run a program, or to hand it over."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable

from ..array import Array
from ..ir.trace import Events, Trace
from ..program import Program


class Backend(ABC):
    """A registered backend; every one equals ``ir.interp`` bit for bit, (node, tick) by (node, tick)."""

    name: str
    #: True if it runs from the mapping's memory images and counts events
    mapped: bool = False
    #: what one process of it may hold, where it has processes: "layer", "core"
    granularities: tuple[str, ...] = ()

    @abstractmethod
    def available(self) -> str:
        """Empty if usable here, else the reason why not and what would help."""

    def at(self, granularity: str) -> Backend:
        """This backend with one process for each of these; ``granularity`` is one of ``granularities``."""
        return self

    @abstractmethod
    def run(self, program: Program, x: Array, record: Iterable[str] = ()) -> tuple[Trace, Events | None]:
        """Run raw inputs ``x`` (B, *input shape) for all ticks; record the named nodes' values at every tick."""
