"""Do two executions agree, integer by integer?

``verify`` runs the interpreter and any number of backends on the same samples and finds the first place where one of
them differs. How far integers are from floats is in :mod:`neurodeploy.beside`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from . import backends as room
from .array import Array
from .backends import proving
from .backends._base import BACKENDS, Backend
from .calibrate import batch_size, unheard
from .errors import BackendError, Problem, VerifyError
from .formats._base import FORMATS
from .ir import interp
from .ir.graph import Graph
from .ir.nodes import Micro, Neuron, Product
from .ir.trace import Trace
from .program import Program

CHUNK = 64  # samples at a time, fewer where their recorded values would not fit memory
REORDERED = 8  # samples run a second time in reverse order
DIFFER = "two executions that should agree differ"


@dataclass(frozen=True)
class Divergence:
    """The first integer that differs. Ticks count from 1; ``found`` is the backend's, ``expected`` the reference's."""

    node: str
    tick: int
    sample: int
    index: tuple[int, ...]
    found: int | str
    expected: int | str
    backend: str = ""
    reference: str = "interp"

    def __str__(self) -> str:
        place = f"node {self.node}, tick {self.tick}, sample {self.sample}, index {list(self.index)}"
        return f"{place}: {self.backend or 'found'} {self.found}, {self.reference} {self.expected}"


@dataclass(frozen=True)
class Verification:
    """What a comparison found; ``nodes`` are the values compared at every tick.

    ``cut`` says why samples were left out, ``sampled`` which cores ran of a network that is not simulated whole.
    """

    equal: bool
    samples: int
    backends: tuple[str, ...]
    divergence: Divergence | None = None
    nodes: tuple[str, ...] = ()
    cut: str = ""
    sampled: str = ""

    def __str__(self) -> str:
        if self.divergence is not None:
            return f"executions DIFFER at {self.divergence}"
        told = f"{' = '.join(self.backends)} on {self.samples} samples: {len(self.nodes)} nodes, every tick"
        return ", ".join(filter(None, (told, self.cut, self.sampled)))

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(str(self))  # in a notebook, instead of every node

    def require(self) -> Verification:
        """Itself if equal, else VerifyError (ND650, or ND651 where only the order of samples differed)."""
        if self.divergence is None:
            return self
        alone = self.divergence.backend == self.divergence.reference.partition(" ")[0]
        code, cause = ("ND651", "a result depends on the samples before it") if alone else ("ND650", DIFFER)
        found, expected = str(self.divergence.found), str(self.divergence.expected)
        raise VerifyError(Problem(code, cause, str(self.divergence), found, expected))


def first_divergence(found: Trace, expected: Trace, order: Sequence[str]) -> Divergence | None:
    """The difference with the smallest (tick, position in ``order``, sample, index), or None.

    ``order`` names recorded values; a name that neither trace recorded stands for the read-outs.
    """
    values = ([trace.values.get(name, trace.outputs) for trace in (found, expected)] for name in order)
    differences = [d for n, (a, b) in zip(order, values, strict=True) if (d := _difference(n, a, b))]
    return min(differences, key=lambda d: (d.tick, order.index(d.node), d.sample, d.index), default=None)


def _difference(name: str, found: Array, expected: Array) -> Divergence | None:
    if found.shape != expected.shape:
        return Divergence(name, 0, 0, (), f"shape {found.shape}", f"shape {expected.shape}")
    if np.array_equal(found, expected):
        return None
    tick, sample, *index = (int(i) for i in np.argwhere(found != expected)[0])
    place = (tick, sample, *index)
    return Divergence(name, tick + 1, sample, tuple(index), int(found[place]), int(expected[place]))


def verify(
    program: Program,
    x: Array,
    backends: Sequence[str | Backend] | None = None,
    record: Iterable[str] | None = None,
    heard: Callable[[int, int], None] = unheard,
) -> Verification:
    """Compare backends (default: those that verify a build) with the interpreter on raw inputs ``x``, in chunks.

    ``record``: values compared at every tick besides the read-outs; default: everything that is sent, namely neurons,
    products and operators. The first few samples also run in reverse order, which must change nothing. Stops after
    the first chunk with a difference. ``heard`` is told how many samples of all are done. Raises UsageError ND702 for
    an unknown backend, BackendError ND701 for one that cannot be used here.
    """
    chosen = proving(program) if backends is None else backends
    members = [backend if isinstance(backend, Backend) else usable(backend) for backend in chosen]
    graph = program.graph
    names = sent(graph) if record is None else tuple(record)
    order = (*(name for name in graph.nodes if name in names), graph.output.name)
    found = next(_divergences(program, x, members, order, heard), None)
    return Verification(found is None, len(x), ("interp", *(m.name for m in members)), found, order)


def runs(samples: int) -> int:
    """How often :func:`verify` runs a sample where it is given so many."""
    return samples + (min(samples, REORDERED) if samples > 1 else 0)


def usable(name: str, granularity: str = "") -> Backend:
    """As :func:`neurodeploy.backends.usable`; BackendError ND703 for a format to export to."""
    if name in FORMATS and name not in BACKENDS:
        cause = f"{name} is a format to export to, not a backend"
        fix = f"neurodeploy export DIR --to {name} --out NETWORK{FORMATS[name].suffix}"
        raise BackendError(
            Problem("ND703", cause, "--backend", name, f"one of {', '.join(BACKENDS)}", (fix,))
        )
    return room.usable(name, granularity)


def sent(graph: Graph) -> tuple[str, ...]:
    """Nodes whose values are messages or decide them."""
    return tuple(node.name for node in graph.of(Neuron, Product, Micro))


def _divergences(
    program: Program,
    x: Array,
    members: Sequence[Backend],
    order: tuple[str, ...],
    heard: Callable[[int, int], None],
) -> Iterator[Divergence]:
    """The first difference of each chunk and backend; then of each backend with itself in another order."""
    names, chunk = order[:-1], min(CHUNK, max(batch_size(program.graph, order), 2))
    forward: list[Trace] = []
    for start in range(0, len(x), chunk):
        part = x[start : start + chunk]
        expected, traces = _side_by_side(program, part, members, names)
        found = [
            replace(d, backend=member.name, sample=d.sample + start)
            for trace, member in zip(traces, members, strict=True)
            if (d := first_divergence(trace, expected, order))
        ]
        yield from sorted(found, key=lambda d: d.tick)
        heard(min(start + chunk, len(x)), len(x))
        forward = forward or [_samples(trace, slice(0, REORDERED)) for trace in traces]
    for member, trace in zip(members, forward, strict=True) if len(x) > 1 else ():  # one sample has one order
        difference = order_matters(program, x[: trace.outputs.shape[1]], member, trace)
        if difference is not None:
            yield difference


def _side_by_side(
    program: Program, x: Array, members: Sequence[Backend], names: tuple[str, ...]
) -> tuple[Trace, list[Trace]]:
    """The interpreter's trace and those of the backends: it runs on two halves of the samples while they run."""
    halves = [part for part in np.array_split(x, 2) if len(part)]
    with ThreadPoolExecutor(2) as pool:
        running = [pool.submit(interp.run, program.graph, part, names) for part in halves]
        traces = [member.run(program, x, names)[0] for member in members]
        parts = [future.result() for future in running]
    values = {name: np.concatenate([part.values[name] for part in parts], axis=1) for name in names}
    return Trace(np.concatenate([part.outputs for part in parts], axis=1), values), traces


def _samples(trace: Trace, chosen: slice) -> Trace:
    """The trace of some of the samples alone."""
    return Trace(trace.outputs[:, chosen], {name: value[:, chosen] for name, value in trace.values.items()})


def order_matters(program: Program, x: Array, backend: Backend, forward: Trace) -> Divergence | None:
    """The first value that changes when the samples of ``x`` run in reverse order: state that leaked.

    ``forward``: the backend's trace of them in their order.
    """
    names = tuple(forward.values)
    backward, _ = backend.run(program, x[::-1], names)
    turned = _samples(backward, slice(None, None, -1))
    difference = first_divergence(turned, forward, (*names, program.graph.output.name))
    if difference is None:
        return None
    return replace(difference, backend=backend.name, reference=f"{backend.name} in order")


def agreement(expected: Array, found: Array) -> dict[str, float]:
    """How near (B, ...) outputs are to a reference: cosine and rank correlation per sample, their mean and least.

    The cosine is that of the flattened outputs, the rank that of Spearman over the elements of a sample (logits:
    their order; embeddings: the order of their components); both are free of scale. ``neighbours``, where there are
    three samples or more, is Spearman's correlation of the cosines between all pairs of samples: whether texts that
    are near each other for the float model still are. A pair without variance has no rank and counts as 0.
    """
    a, b = (x.reshape(len(x), -1).astype(np.float64) for x in (expected, found))
    cosines = [_cosine(p, q) for p, q in zip(a, b, strict=True)]
    ranks = [_spearman(p, q) for p, q in zip(a, b, strict=True)]
    result: dict[str, float] = {}
    for name, values in (("cosine", cosines), ("rank", ranks)):
        result |= {name: float(np.mean(values)), f"least_{name}": float(np.min(values))}
    pairs = np.triu_indices(len(a), 1)
    if len(a) >= 3:
        near = [np.array([_cosine(x[i], x[j]) for i, j in zip(*pairs, strict=True)]) for x in (a, b)]
        result["neighbours"] = _spearman(*near)
    return result


def _cosine(a: Array, b: Array) -> float:
    size = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / size if size else 0.0


def _spearman(a: Array, b: Array) -> float:
    from scipy.stats import rankdata

    p, q = (rankdata(x) - (len(x) + 1) / 2 for x in (a, b))
    return _cosine(p, q)
