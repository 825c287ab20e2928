"""A step of a population or an operator over all ticks: by numpy, and compiled as soon as that pays.

The step is one Python function over whole numbers. numpy runs it on arrays, tick by tick; run once on symbols it gives
the text of a loop that does the same for one row, or one block of elements, after the other. A text is compiled when
numpy has spent as long on it as compilers take, by all steps that share it together: nobody waits twice as long as they
must, however many elements there are and however long one takes.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from math import prod
from threading import Lock
from typing import Any

import numpy as np

from .. import jit
from ..array import Array
from . import kernels
from .kernel_text import BLOCK, Kernel, Outcome, write
from .symbols import FIRST, INT64, Book, Ends, Symbol, Untraceable

#: seconds of numpy after which a step is looked at, and after which machine code is made that no earlier run kept
LOOKED_AT, WORTH = 0.02, 2.0
#: seconds that numpy has spent on each text
SPENT: defaultdict[str, float] = defaultdict(float)

NAME = "program"  # of the texts on disk

Values = Sequence[Any]
#: (inputs, states, parameters) -> (out, states, clipped)
Step = Callable[[Values, Values, Mapping[str, Any]], tuple[Any, Sequence[Any], Any]]


@dataclass
class Fused:
    """``step`` for values of ``shape``, on rows of its last axis or on elements."""

    step: Step
    shape: tuple[int, ...]
    row: bool
    inputs: Sequence[Ends]
    params: Mapping[str, Any]
    kind: Any
    #: ends of every state, or None where they follow from those of the inputs
    states: Sequence[Ends | None] = ()
    #: parameters whose first axis is ticks
    by_tick: tuple[str, ...] = ()
    #: the same step in a form that is faster once compiled, with its parameters
    compiled: Callable[[], tuple[Step, Mapping[str, Any]]] | None = None
    #: that numpy has spent on this step before it was looked at
    seconds: float = 0.0
    traceable: bool = True
    machine: Machine | None = None
    lock: Any = field(default_factory=Lock)

    @property
    def lasting(self) -> bool:
        """Whether a constant input leaves the outputs of all ticks alike."""
        return not self.states and not self.by_tick

    def __call__(self, args: Sequence[Array], ticks: int, before: int = 0) -> tuple[Array, int]:
        """Values (T, B, *shape) of inputs (T or 1, B, *shape), and how many were clipped.

        ``before``: ticks that went before. Where the inputs are the same at all ticks and nothing else changes, T is 1.
        """
        ticks = max(len(x) for x in args) if self.lasting else ticks
        batch = max(x.shape[1] for x in args)
        if jit.THERE and batch and (self.machine is not None or self.seconds > LOOKED_AT):
            machine = self._machine()
            if machine is not None:
                return machine(args, ticks, batch, before)
        began = time.perf_counter()
        out, _, clipped = self.by_numpy(args, ticks, batch, before)
        self._spend(time.perf_counter() - began)
        return out, clipped

    def _spend(self, seconds: float) -> None:
        with self.lock:
            if self.machine is None:
                self.seconds += seconds
            else:
                SPENT[self.machine.written.text] += seconds

    def by_numpy(
        self, args: Sequence[Array], ticks: int, batch: int, before: int = 0, begin: Values = ()
    ) -> tuple[Array, list[Array], int]:
        """Values, states (T, B, *shape) after every tick, the number of clipped ones; from rest or from ``begin``."""
        lead = (ticks, batch, *self.shape)
        out, kept = np.empty(lead, self.kind), [np.empty(lead, np.int64) for _ in self.states]
        states: Values = begin or [np.zeros(lead[1:], np.int64) for _ in self.states]
        clipped = 0
        for t in range(ticks):
            at = [
                np.broadcast_to(x[t if len(x) > 1 else 0], lead[1:]).astype(np.int64, copy=False)
                for x in args
            ]
            params = {n: v[before + t] if n in self.by_tick else v for n, v in self.params.items()}
            out[t], states, flags = self.step(at, states, params)
            clipped += int(np.sum(flags))
            for array, state in zip(kept, states, strict=True):
                array[t] = state
        return out, kept, clipped

    def _machine(self) -> Machine | None:
        """The compiled form, if there is one by now."""
        with self.lock:
            if self.machine is None and self.traceable:
                step, params = (self.step, self.params) if self.compiled is None else self.compiled()
                try:
                    self.machine = Machine(self, step, params)
                    SPENT[self.machine.written.text] += self.seconds
                except Untraceable:
                    self.traceable = False
            return self.machine if self.machine is not None and self.machine.ready() else None


class Machine:
    """The compiled form of a step, and the arrays that it works with."""

    def __init__(self, fused: Fused, step: Step, params: Mapping[str, Any]) -> None:
        self.fused, self.written = fused, traced(fused, step, params)
        self.kernel: kernels.Kernel | None = None
        self.kept = kernels.is_kept(NAME, self.written.text)
        uniform = np.array([s.value for s in self.written.uniform], np.int64)
        ticked = [s.array.ravel() for s in self.written.ticked if s.array is not None]
        self.uniform = uniform.astype(np.int32), uniform
        self.ticked = np.array(ticked, np.int64) if ticked else np.zeros((0, 0), np.int64)
        self.arrays = {id(s): self._laid_out(s) for s in self.written.arrays if s.op != "input"}
        # elements that all get the same make one long row of the whole batch
        self.joined = not fused.row and not any(s.op in ("parameter", "by_tick") for s in self.written.arrays)

    def _laid_out(self, s: Symbol) -> Array:
        """A table, or a parameter as (T or 1, rows, width), in the narrowest type."""
        array = np.zeros(0) if s.array is None else s.array
        kind = np.int32 if s.narrow else np.int64
        if s.op == "take":
            return np.ascontiguousarray(array, kind)
        shape = self.fused.shape
        width = shape[-1] if self.fused.row else prod(shape)
        every = array if s.op == "by_tick" else array[None]
        own = every.reshape(len(every), *(1,) * (len(shape) + 1 - every.ndim), *every.shape[1:])
        same = self.fused.row and prod(own.shape[1:-1]) == 1
        full = np.broadcast_to(own, (len(own), *((1,) * (len(shape) - 1) if same else shape[:-1]), shape[-1]))
        return np.ascontiguousarray(full, kind).reshape(len(own), -1, width)

    def ready(self) -> bool:
        """Whether there is machine code, which is made as soon as that pays."""
        if self.kernel is None and (self.kept or SPENT[self.written.text] > WORTH):
            self.kernel = _compiled(self.written.text)
        return self.kernel is not None

    def __call__(self, args: Sequence[Array], ticks: int, batch: int, before: int) -> tuple[Array, int]:
        """As ``Fused`` has it."""
        fused = self.fused
        width = fused.shape[-1] if fused.row else prod(fused.shape) * (batch if self.joined else 1)
        out = np.empty((ticks, batch * prod(fused.shape) // width, width), fused.kind)
        # an array that has its shape is not broadcast: that makes it read-only, another type for compilers
        shapes = [(len(x), batch, *fused.shape) for x in args]
        full = (x if x.shape == s else np.broadcast_to(x, s) for x, s in zip(args, shapes, strict=True))
        inputs = [np.ascontiguousarray(x).reshape(len(x), -1, width) for x in full]
        arrays = [self._argument(s, inputs, before) for s in self.written.arrays]
        ticked = self.ticked[:, before : before + ticks]
        kernel: Any = self.kernel
        clipped = kernel(
            width if fused.row else BLOCK, out, *self.uniform, ticked.astype(np.int32), ticked, *arrays
        )
        return out.reshape(ticks, batch, *fused.shape), clipped

    def _argument(self, s: Symbol, inputs: list[Array], before: int) -> Array:
        if s.op == "input":
            return inputs[int(s.args[0].removeprefix("x"))]
        array = self.arrays[id(s)]
        return array[before:] if s.op == "by_tick" else array


@cache
def _compiled(text: str) -> kernels.Kernel:
    return kernels.compiled(
        NAME, lambda cached: text if cached else text.replace("cache=True", "cache=False")
    )


def traced(fused: Fused, step: Step, params: Mapping[str, Any]) -> Kernel:
    """The text of a step. Raises Untraceable."""
    ends = [(0, 0) if e is None else e for e in fused.states]
    for _ in range(
        3
    ):  # ends that follow from the inputs: a state holds zero, or what the step makes of such states
        outcome, states = run(fused, step, params, ends)
        wider = [
            (min(e[0], s.lo), max(e[1], s.hi)) if known is None else known
            for e, s, known in zip(ends, outcome.states, fused.states, strict=True)
        ]
        if wider == ends:
            return write(outcome, states, fused.shape[-1] if fused.row else BLOCK)
        ends = wider
    outcome, states = run(fused, step, params, [INT64 if e is None else e for e in fused.states])
    return write(outcome, states, fused.shape[-1] if fused.row else BLOCK)


def run(
    fused: Fused, step: Step, params: Mapping[str, Any], ends: Sequence[Ends]
) -> tuple[Outcome, list[Symbol]]:
    """One tick on symbols: what comes out, and the states it started from."""
    width = fused.shape[-1] if fused.row else prod(fused.shape)
    book = Book(width, fused.shape)
    inputs = [book.leaf("input", f"x{i}", e, FIRST, True) for i, e in enumerate(fused.inputs)]
    states = [book.leaf("state", f"s{i}", e, FIRST, True) for i, e in enumerate(ends)]
    known = {
        name: book.tick(name, np.asarray(value)) if name in fused.by_tick else book.parameter(name, value)
        for name, value in params.items()
    }
    out, after, clipped = step(inputs, states, known)
    outcome = Outcome(book.integer(out), tuple(book.integer(s) for s in after), book.integer(clipped))
    if outcome.clipped.value != 0 and not outcome.clipped.wide:
        raise Untraceable("a count of clipped rows")
    return outcome, states
