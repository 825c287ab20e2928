"""Runs a float graph on training samples and keeps what was seen: ranges for widths, activity for reports.

Test data never comes here: the caller passes samples of the training split only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from .ir import interp
from .ir.graph import Graph
from .ir.nodes import Neuron
from .ir.types import Activity

BATCH = 64


@dataclass
class Ranges:
    """Smallest and largest float seen on each edge over all samples and ticks, and the activity of populations."""

    bounds: dict[str, tuple[float, float]] = field(default_factory=dict)
    activity: dict[str, Activity] = field(default_factory=dict)
    samples: int = 0

    def magnitude(self, name: str) -> float:
        """Largest absolute value seen on an edge."""
        return max(abs(b) for b in self.bounds[name])


def batches(x: np.ndarray, size: int = BATCH) -> Iterator[np.ndarray]:
    """Consecutive slices of at most ``size`` samples."""
    for start in range(0, len(x), size):
        yield x[start : start + size]


def measure(graph: Graph, x: np.ndarray, seed: int = 0) -> Ranges:
    """Ranges of every edge and activity of every population over all ticks of ``x`` (B, *input shape)."""
    ranges = Ranges(samples=len(x))
    rates: dict[str, list[np.ndarray]] = {n.name: [] for n in graph.of(Neuron)}
    for batch in batches(x):
        per_tick: dict[str, list[np.ndarray]] = {name: [] for name in rates}

        def observe(env: dict[str, np.ndarray], per_tick: dict[str, list[np.ndarray]] = per_tick) -> None:
            for name, value in env.items():
                lo, hi = ranges.bounds.get(name, (np.inf, -np.inf))
                ranges.bounds[name] = (min(lo, float(value.min())), max(hi, float(value.max())))
            for name, rows in per_tick.items():
                rows.append((env[name] != 0).reshape(len(env[name]), -1).mean(axis=1))

        interp.run(graph, batch, observe=observe)
        for name, rows in per_tick.items():
            rates[name].append(np.stack(rows))  # (T, batch)
    ranges.activity = {name: _activity(np.concatenate(rows, axis=1), seed) for name, rows in rates.items()}
    return ranges


def _activity(rates: np.ndarray, seed: int) -> Activity:
    by_sample = rates.mean(axis=0)
    return Activity(
        mean=float(by_sample.mean()),
        p95=float(np.quantile(by_sample, 0.95)),
        by_tick=tuple(float(r) for r in rates.mean(axis=1)),
        samples=rates.shape[1],
        seed=seed,
    )
