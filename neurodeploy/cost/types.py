"""The values that cost hands over: priced terms, estimates, and the text of every formula."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..array import Array
from ..price import BOUNDS, TERMS, Range

#: parts of an energy breakdown; together they are the whole
PARTS = ("synapse", "neuron", "product", "microcode", "network", "static")
UJ_PER_PJ, MS_PER_NS = 1e-6, 1e-6


@dataclass(frozen=True)
class Definition:
    """How one headline is computed: a formula in words and symbols, and the coefficients that enter it.

    ``coefficients`` are keys of the target's cost tables, such as ``energy_pj.synaptic_op``; ``sources`` are
    references that are not in the target file.
    """

    key: str
    title: str
    formula: str
    coefficients: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()


@dataclass(frozen=True)
class Term:
    """One product of an energy sum: count per inference x coefficient = energy; ``part`` says where it belongs."""

    key: str
    part: str
    count: float
    coefficient: Range
    energy_pj: Range
    assumed: bool
    priced: bool


@dataclass(frozen=True, eq=False)
class Timing:
    """Time of a frame, step by step; arrays are (3,) or (3, steps) for low, nominal, high and in nanoseconds.

    ``step_ns`` mean over samples; ``terms_ns`` (terms, steps) nominal, in the order of
    :data:`~neurodeploy.price.TERMS`, those of a core for the slowest one; ``busiest`` the position of that core;
    ``latency_ns`` the whole frame; ``period_ns`` the time between two results in steady pipelined operation;
    ``steady_ns`` (3, P) its steps.
    """

    step_ns: Array
    terms_ns: Array
    busiest: tuple[int, ...]
    latency_ns: Range
    period_ns: Range
    steady_ns: Array

    @property
    def bound(self) -> tuple[str, ...]:
        """What most of each step waits for: memory, compute, traffic or the barrier."""
        return tuple(BOUNDS[TERMS[i]] for i in self.terms_ns.argmax(axis=0))

    @property
    def throughput_per_s(self) -> Range:
        """Results per second when samples follow each other every P steps."""
        return self.period_ns.inverse(1e9)


#: term that most of the time goes to -> the change that would move it
CHANGES = {
    "programs": "more cores for the layer, or a neuron or operator of fewer operations",
    "synapses": "more cores for the layer, fewer weights that are not zero, or inputs that fire less",
    "memory": "more cores for the layer, narrower weights, or inputs that fire less",
    "traffic": "receivers nearer or on fewer cores, messages that are fewer or narrower",
    "barrier": "fewer steps (ticks or depth); no core has enough to do",
}


@dataclass(frozen=True)
class Floor:
    """A layer or step over the floors: words of synapse memory that its core reads, its terms and how long it lasts.

    ``core`` is a position in the mapping; ``terms_ns`` as in :data:`~neurodeploy.price.TERMS`, nominal.
    """

    layer: str
    core: int
    memory_reads: float
    terms_ns: tuple[float, ...]
    lasts_ns: float

    @property
    def term(self) -> str:
        """The largest term."""
        return TERMS[self.terms_ns.index(max(self.terms_ns))]

    @property
    def bound(self) -> str:
        """What it waits for: memory, compute, traffic or the barrier."""
        return BOUNDS[self.term]

    @property
    def change(self) -> str:
        """What would make it shorter."""
        return CHANGES[self.term]


@dataclass(frozen=True, eq=False)
class Contended:
    """Nominal times by events: ``step_ns`` (steps,) of a frame, their sum, that of a period of the pipeline.

    ``train``: packets of the longest train; up to 2 the result is as good as with single packets.
    """

    step_ns: Array
    latency_ns: float
    period_ns: float
    train: float


@dataclass(frozen=True, eq=False)
class Estimate:
    """What one inference costs on mapped cores: means over ``samples``.

    ``parts_pj`` sum to ``energy_pj``; ``node_pj`` and ``shared_pj`` (what belongs to no node) do too, and so do
    ``core_pj`` (by core index) and ``unplaced_pj``. ``pipelined_pj`` is the energy per inference in steady operation,
    ``events_pj`` what is left without barriers and static power: what an ANN's dynamic energy compares with. ``layers``
    and ``steps`` say what each waits for.
    """

    samples: int
    timesteps: int
    depth: int
    chips: int
    energy_pj: Range
    parts_pj: Mapping[str, Range]
    terms: tuple[Term, ...]
    node_pj: Mapping[str, Range]
    node_parts_pj: Mapping[str, Mapping[str, Range]]
    shared_pj: Range
    core_pj: Mapping[int, Range]
    unplaced_pj: Range
    pipelined_pj: Range
    timing: Timing
    contended: Contended
    layers: tuple[Floor, ...]
    steps: tuple[Floor, ...]
    events_pj: Range = field(default_factory=Range)
    uncounted: tuple[str, ...] = ()
    definitions: tuple[Definition, ...] = field(default_factory=tuple)
