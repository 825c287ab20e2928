"""Machine code where it pays: until then numpy computes the same.

A network takes seconds to compile, in which numpy computes thousands of small samples. So its first samples go through
numpy. Machine code takes over once they would have been worth it, at once where an earlier run has left it on disk. The
first samples that it gets are computed by both.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from .. import jit
from ..array import Array
from ..errors import Problem, SimulateError
from ..ir.graph import Graph
from ..ir.trace import Trace
from . import kernels
from .engine import Engine

#: seconds of numpy that machine code is worth: about as long as compilers take for a network
WORTH = 10.0
#: seconds that numpy takes for an element of a value at one tick, until it has been seen: 17 to 38 ns
ELEMENT = 25e-9
#: samples that are computed by both
COMPARED = 4


@dataclass(eq=False)
class Gradual:
    """An integer graph, run many times: :class:`.engine.Engine`, at first without machine code."""

    graph: Graph
    samples: int = 0
    seconds: float = 0.0
    engine: Engine = field(init=False)

    def __post_init__(self) -> None:
        self.engine = Engine(self.graph, jit.THERE and kernels.network_kept(self.graph))

    def run(self, x: Array, record: Iterable[str] = (), begin: Mapping[str, Array] | None = None) -> Trace:
        """As the engine does; SimulateError ND650 where machine code and numpy differ."""
        samples = len(x) if x.ndim else 0
        each = self.seconds / self.samples if self.samples else ELEMENT * self.engine.elements
        if not self.engine.compiled and jit.THERE and self.seconds + samples * each > WORTH:
            self._compile(x[:COMPARED])
        began = time.perf_counter()
        found = self.engine.run(x, record, begin)
        self.seconds += time.perf_counter() - began
        self.samples += samples
        return found

    def _compile(self, x: Array) -> None:
        made = Engine(self.graph, compiled=True)
        found, expected = made.run(x), self.engine.run(x)
        if not np.array_equal(found.outputs, expected.outputs) or found.saturations != expected.saturations:
            fix = "run it without numba, and report it with the network"
            raise SimulateError(Problem("ND650", "machine code and numpy differ", "cpu", fixes=(fix,)))
        self.engine = made
        kernels.keep_network(self.graph)
