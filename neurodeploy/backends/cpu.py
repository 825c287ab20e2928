"""The fast bit-true engine as a backend: whole networks in software, without cores and without events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from ..array import Array
from ..errors import Problem
from ..ir.graph import Graph
from ..ir.trace import Events, Trace
from ..program import Program
from ._base import Backend, Kernel

if TYPE_CHECKING:
    from ..simulate import Gradual


class Cpu(Backend):
    """Compiled and BLAS kernels on this machine's processor; numpy alone where numba is not installed."""

    name = "cpu"
    distributions = ("numba",)
    proves = True

    def __init__(self) -> None:
        self._engines: WeakKeyDictionary[Graph, Gradual] = WeakKeyDictionary()

    def available(self) -> str:
        """Empty: without numba numpy does all of its work."""
        return ""

    def remarks(self) -> tuple[Problem, ...]:
        """ND614 where there is no machine code."""
        from .. import jit  # numba takes its time

        if jit.THERE:
            return ()
        cause, fix = (
            "numba is not installed: numpy computes the same, slower",
            'pip install "neurodeploy[fast]"',
        )
        return (Problem("ND614", cause, self.name, fixes=(fix,), severity="warning"),)

    def run(self, program: Program, x: Array, record: Iterable[str] = ()) -> tuple[Trace, Events | None]:
        """All ticks; the engine of a graph is planned on its first run and kept as long as the graph lives."""
        return self.engine(program.graph).run(x, record), None

    def go_on(self, program: Program, x: Array, begin: Mapping[str, Array], record: Iterable[str]) -> Trace:
        """Populations with a state of their own go on from it node by node."""
        return self.engine(program.graph).run(x, record, begin)

    def kernels(self, program: Program) -> tuple[Kernel, ...]:
        """The segments of the engine, in the order in which they run, once machine code pays."""
        from ..simulate import Engine

        segments = Engine(program.graph).segments
        return tuple(Kernel(tuple(n.name for n in s.nodes), *s.choice) for s in segments)

    def engine(self, graph: Graph) -> Gradual:
        """The planned engine of a graph."""
        from ..simulate import Gradual

        if graph not in self._engines:
            self._engines[graph] = Gradual(graph)
        return self._engines[graph]


MEMBER = Cpu()
