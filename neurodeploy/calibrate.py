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
from .ir.nodes import Const, Neuron, Node, Output, Sum, Synapse, View
from .ir.trace import Trace
from .ir.types import Activity
from .passes.balance import CROSSING

BATCH = 64
MOST_RECORDED = 1 << 26  # recorded values at a time: half a gigabyte
MOST_HELD = 1 << 27  # values of all edges at one tick: a gigabyte


@dataclass
class Ranges:
    """Smallest and largest float seen on each edge over all samples and ticks, and the activity of :func:`senders`."""

    bounds: dict[str, tuple[float, float]] = field(default_factory=dict)
    activity: dict[str, Activity] = field(default_factory=dict)
    samples: int = 0

    def magnitude(self, name: str) -> float:
        """Largest absolute value seen on an edge."""
        return max(abs(b) for b in self.bounds[name])


def unheard(done: int, of: int) -> None:
    """Who does not ask how far something has come."""


def batches(x: Array, size: int = BATCH, heard: Callable[[int, int], None] = unheard) -> Iterator[Array]:
    """Consecutive slices of at most ``size`` samples; ``heard`` is told after each how many of all are done."""
    for start in range(0, len(x), size):
        yield x[start : start + size]
        heard(min(start + size, len(x)), len(x))


def batch_size(graph: Graph, record: Iterable[str] = ()) -> int:
    """How many samples to run at a time so that all edges of a tick, and the recorded ones of all ticks, fit memory.

    A few images of 224 pixels, or texts over a vocabulary of 30,000, hold as many values as 64 small images. Samples do
    not influence each other, so that only what is defined on batches, as ECMT's bases are, depends on it.
    """
    held = sum(value.shape.size for value in graph.values.values())
    recorded = sum(graph.values[name].shape.size for name in record) * graph.header.timesteps
    return int(np.clip(min(MOST_HELD // max(held, 1), MOST_RECORDED // max(recorded, 1)), 1, BATCH))


def measure_activity(
    graph: Graph,
    x: Array,
    run: Callable[[Array, Sequence[str]], Trace],
    seed: int = 0,
    heard: Callable[[int, int], None] = unheard,
) -> Ranges:
    """Activity of what sends spikes in an integer graph, whose bounds are proven, by a backend's ``run(x, names)``."""
    seen = {name: _Seen() for name in senders(graph)}
    for batch in batches(x, batch_size(graph, seen), heard):
        trace = run(batch, list(seen))
        for name, found in seen.items():
            for value in trace.values[name]:
                found.tick(value)
            found.end()
    return Ranges(activity={name: found.activity(seed) for name, found in seen.items()}, samples=len(x))


def senders(graph: Graph) -> list[str]:
    """What may travel as messages: every population, and what else a layer, a sum or the host reads, through Views."""
    found = {node.name for node in graph.of(Neuron)}
    for node in graph:
        if isinstance(node, (*CROSSING, Sum, Output)):
            read = (n for i in node.inputs for n in _shown(graph, i))
            # What a layer makes is added up where it lives, unless another branch takes longer: then it waits.
            found.update(n.name for n in read if not (isinstance(node, Sum) and isinstance(n, Synapse)))
    return [node.name for node in graph if node.name in found and not isinstance(node, Const)]


def _shown(graph: Graph, name: str) -> list[Node]:
    """The nodes whose elements a value shows, behind Views."""
    node = graph.nodes[name]
    if not isinstance(node, View):
        return [node]
    return [found for source in node.inputs for found in _shown(graph, source)]


def measure(graph: Graph, x: Array, seed: int = 0, heard: Callable[[int, int], None] = unheard) -> Ranges:
    """Ranges of every edge, and activity of all that may be sent, over all ticks of ``x`` (B, *input shape).

    Raises ConvertError ND306 naming each node that first makes NaN or infinity.
    """
    ranges = Ranges(samples=len(x))
    seen = {name: _Seen() for name in senders(graph)}

    def observe(name: str, value: Array) -> None:
        lo, hi = ranges.bounds.get(name, (np.inf, -np.inf))
        # Unlike min, these keep NaN.
        ranges.bounds[name] = (float(np.minimum(lo, value.min())), float(np.maximum(hi, value.max())))
        if name in seen:
            seen[name].tick(value)

    for batch in batches(x, batch_size(graph), heard):
        interp.run(graph, batch, observe=observe)
        for found in seen.values():
            found.end()
    _require_finite(graph, ranges)
    ranges.activity = {name: found.activity(seed) for name, found in seen.items()}
    return ranges


@dataclass
class _Seen:
    """What was seen of a value: the rates of each batch (ticks, samples), and how often each element spoke."""

    rates: list[Array] = field(default_factory=list)
    ticks: list[Array] = field(default_factory=list)
    times: Array = field(default_factory=lambda: np.zeros((), dtype=np.uint32))

    def tick(self, value: Array) -> None:
        """A batch at one more tick."""
        active = value != 0
        self.ticks.append(active.reshape(len(active), -1).mean(axis=1))
        self.times = self.times + active.sum(axis=0, dtype=np.uint32)

    def end(self) -> None:
        """The end of a batch."""
        self.rates.append(np.stack(self.ticks))
        self.ticks = []

    def activity(self, seed: int) -> Activity:
        """All of it, drawn with a seed."""
        rates = np.concatenate(self.rates, axis=1)
        by_sample, by_tick = rates.mean(axis=0), tuple(rates.mean(axis=1).tolist())
        mean, p95 = float(by_sample.mean()), float(np.quantile(by_sample, 0.95))
        return Activity(mean, p95, by_tick, samples=rates.shape[1], seed=seed, times=self.times)


def _require_finite(graph: Graph, ranges: Ranges) -> None:
    broken = {name for name, bounds in ranges.bounds.items() if not np.isfinite(bounds).all()}
    first = [node for node in graph if node.name in broken and not broken.intersection(node.inputs)]
    if broken:
        cause = "calibration met NaN or infinite activations"
        raise ConvertError([Problem("ND306", cause, node.place) for node in first])
