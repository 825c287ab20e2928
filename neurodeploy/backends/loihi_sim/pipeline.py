"""A pipeline of samples, executed: what is read out, and what the cores do in steady operation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...array import Array
from ...image import CoreImage
from .machine import Machine


@dataclass(frozen=True, eq=False)
class Pipelined:
    """Read-outs (T, samples, *output shape) of samples that overlapped on the same cores.

    ``steady`` (periods, cores, steps of a period, kinds): events of the periods in which a sample enters while as many
    others are in flight as ever; ``entering`` the numbers of these samples.
    """

    outputs: Array
    steady: Array
    entering: range


def pipelined(images: Sequence[CoreImage], x: Array, period: int) -> Pipelined:
    """Runs samples of which a new one enters every ``period`` steps; errors are those of the backend.

    Raises ValueError for a period of less than T steps.
    """
    machine = Machine(images)
    trace, events = machine.run(np.asarray(x), period=period)
    filled = -(-machine.header["steps"] // period) - 1
    entering = range(min(filled, len(x)), len(x))
    (counts,) = events.core_counts
    whole = counts[:, : len(x) * period].reshape(len(counts), len(x), period, len(events.kinds))
    return Pipelined(trace.outputs, np.moveaxis(whole, 1, 0)[entering.start :], entering)
