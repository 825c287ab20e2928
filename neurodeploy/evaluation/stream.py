"""Batches to workers and back: few in flight, so that memory does not grow with the data set; none is lost."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from ..array import Array
from ..errors import BackendError, Problem
from .tally import Tally
from .workers import Workers

AHEAD = 2  # batches for each worker that are read before they are asked for
RETRIES = 3  # workers that may be lost over one batch


@dataclass(frozen=True)
class Progress:
    """How far an evaluation is: what was found so far, of so many samples, in seconds."""

    found: Tally
    samples: int
    seconds: float

    def __str__(self) -> str:
        found, part = self.found, f" of {self.samples}" * (self.found.samples < self.samples)
        if found.correct:
            return f"{found.correct[-1]} of {found.samples}{part} right ({found.accuracy:.1%}), {self.seconds:.1f} s"
        return f"{found.samples}{part} samples, {self.seconds:.1f} s"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(str(self))  # in a notebook

    @property
    def samples_per_s(self) -> float:
        """From the start on, the time that workers take to begin included."""
        return self.found.samples / self.seconds if self.seconds else 0.0

    @property
    def left_s(self) -> float:
        """Seconds that the rest takes at this pace."""
        rest = self.samples - self.found.samples
        return rest / self.samples_per_s if self.samples_per_s else float("inf")


@dataclass(frozen=True, eq=False)
class _Batch:
    """Raw inputs and labels, and how often their worker was lost."""

    x: Array
    labels: Array
    lost: int = 0

    def once_more(self) -> _Batch:
        """The same for another worker; BackendError ND707 where it was lost too often."""
        if self.lost == RETRIES:
            cause = "workers end before they have answered"
            fixes = ("give them more memory, or fewer of them: --jobs N", "look at the log of the workers")
            found = f"the same batch of {len(self.x)} samples lost {RETRIES + 1} workers"
            raise BackendError(Problem("ND707", cause, "evaluate", found, fixes=fixes))
        return replace(self, lost=self.lost + 1)


def evaluate(
    workers: Workers,
    batches: Iterable[tuple[Array, Array]],
    samples: int,
    heard: Callable[[Progress], None] = lambda progress: None,
) -> Progress:
    """What all batches (raw inputs, labels) come to; ``heard`` is told after each of them.

    A batch whose worker is lost goes to another: BackendError ND707 where that has happened too often to one of them.
    """
    began, progress, left = time.perf_counter(), Progress(Tally(), samples, 0.0), iter(batches)
    flying: dict[Future[Tally], _Batch] = {}
    while True:
        for x, labels in islice(left, max(0, AHEAD * workers.slots - len(flying))):
            flying[workers.submit(x, labels)] = _Batch(x, labels)
        if not flying:
            return progress
        wait(flying, return_when=FIRST_COMPLETED)
        if any(future.done() and _lost(future, workers) for future in flying):
            wait(flying)  # what one lost worker has spoilt is spoilt for all
        again = []
        for future in [future for future in flying if future.done()]:
            batch = flying.pop(future)
            if _lost(future, workers):
                again.append(batch.once_more())
            else:
                found = progress.found + future.result()
                progress = Progress(found, samples, time.perf_counter() - began)
                heard(progress)
        if again:
            workers.renew()
        for batch in again:
            flying[workers.submit(batch.x, batch.labels)] = batch


def _lost(future: Future[Tally], workers: Workers) -> bool:
    """Whether a finished future has no result since its worker has gone."""
    return future.cancelled() or isinstance(future.exception(), workers.lost)
