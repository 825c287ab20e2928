"""Runs a float graph on training samples and keeps what was seen: ranges for widths, activity for reports.

Test data never comes here: the caller passes samples of the training split only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from .array import Array
from .errors import ConvertError, Problem
from .ir import interp
from .ir.graph import Graph
from .ir.nodes import Neuron
from .ir.trace import Trace
from .ir.types import Activity

BATCH = 64
MOST_RECORDED = 1 << 26  # recorded values at a time: half a gigabyte
MOST_HELD = 1 << 27  # values of all edges at one tick: a gigabyte


@dataclass
class Ranges:
    """Smallest and largest float seen on each edge over all samples and ticks, and the activity of populations."""

    bounds: dict[str, tuple[float, float]] = field(default_factory=dict)
    activity: dict[str, Activity] = field(default_factory=dict)
    samples: int = 0

    def magnitude(self, name: str) -> float:
        """Largest absolute value seen on an edge."""
        return max(abs(b) for b in self.bounds[name])


def batches(x: Array, size: int = BATCH) -> Iterator[Array]:
    """Consecutive slices of at most ``size`` samples."""
    for start in range(0, len(x), size):
        yield x[start : start + size]


def batch_size(graph: Graph, record: Iterable[str] = ()) -> int:
    """How many samples to run at a time so that all edges of a tick, and the recorded ones of all ticks, fit memory.

    A few images of 224 pixels, or texts over a vocabulary of 30,000, hold as many values as 64 small images. Samples do
    not influence each other, so that only what is defined on batches, as ECMT's bases are, depends on it.
    """
    held = sum(value.shape.size for value in graph.values.values())
    recorded = sum(graph.values[name].shape.size for name in record) * graph.header.timesteps
    return int(np.clip(min(MOST_HELD // max(held, 1), MOST_RECORDED // max(recorded, 1)), 1, BATCH))


def measure_activity(
    graph: Graph, x: Array, run: Callable[[Array, Sequence[str]], Trace], seed: int = 0
) -> Ranges:
    """Activity of what sends spikes in an integer graph, whose bounds are proven, by a backend's ``run(x, names)``."""
    names = senders(graph)
    rates: dict[str, list[Array]] = {name: [] for name in names}
    for batch in batches(x, batch_size(graph, names)):
        trace = run(batch, names)
        for name in names:
            active = trace.values[name] != 0
            rates[name].append(active.reshape(*active.shape[:2], -1).mean(axis=2))  # (T, batch)
    found = {name: _activity(np.concatenate(rows, axis=1), seed) for name, rows in rates.items()}
    return Ranges(activity=found, samples=len(x))


def senders(graph: Graph) -> list[str]:
    """What sends spikes: every population, and an input of zeros and ones."""
    found = graph.values[graph.input.name].interval
    spikes = found is not None and (found.lo, found.hi) == (0, 1)
    return [*([graph.input.name] if spikes else []), *(node.name for node in graph.of(Neuron))]


def measure(graph: Graph, x: Array, seed: int = 0) -> Ranges:
    """Ranges of every edge, and activity of all that sends spikes, over all ticks of ``x`` (B, *input shape).

    Raises ConvertError ND306 naming each node that first makes NaN or infinity.
    """
    ranges = Ranges(samples=len(x))
    rates: dict[str, list[Array]] = {name: [] for name in senders(graph)}
    for batch in batches(x, batch_size(graph)):
        per_tick: dict[str, list[Array]] = {name: [] for name in rates}

        def observe(name: str, value: Array, per_tick: dict[str, list[Array]] = per_tick) -> None:
            lo, hi = ranges.bounds.get(name, (np.inf, -np.inf))
            # Unlike min, these keep NaN.
            ranges.bounds[name] = (float(np.minimum(lo, value.min())), float(np.maximum(hi, value.max())))
            if name in per_tick:
                per_tick[name].append((value != 0).reshape(len(value), -1).mean(axis=1))

        interp.run(graph, batch, observe=observe)
        for name, rows in per_tick.items():
            rates[name].append(np.stack(rows))  # (T, batch)
    _require_finite(graph, ranges)
    ranges.activity = {name: _activity(np.concatenate(rows, axis=1), seed) for name, rows in rates.items()}
    return ranges


def _require_finite(graph: Graph, ranges: Ranges) -> None:
    broken = {name for name, bounds in ranges.bounds.items() if not np.isfinite(bounds).all()}
    first = [node for node in graph if node.name in broken and not broken.intersection(node.inputs)]
    if broken:
        cause = "calibration met NaN or infinite activations"
        raise ConvertError([Problem("ND306", cause, node.place) for node in first])


def _activity(rates: Array, seed: int) -> Activity:
    by_sample, by_tick = rates.mean(axis=0), tuple(rates.mean(axis=1).tolist())
    mean, p95 = float(by_sample.mean()), float(np.quantile(by_sample, 0.95))
    return Activity(mean, p95, by_tick, samples=rates.shape[1], seed=seed)
