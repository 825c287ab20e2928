"""The values that cost hands over: ranges, priced terms, estimates, and the text of every formula."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ..array import Array
from ..target_schema import Cost

#: parts of an energy breakdown; together they are the whole
PARTS = ("synapse", "neuron", "product", "microcode", "network", "static")
LEVELS = ("low", "nominal", "high")
UJ_PER_PJ, MS_PER_NS = 1e-6, 1e-6


@dataclass(frozen=True)
class Range:
    """A figure with its bounds, low <= nominal <= high."""

    low: float = 0.0
    nominal: float = 0.0
    high: float = 0.0

    @classmethod
    def of(cls, cost: Cost) -> Range:
        """The range of one coefficient of a target."""
        return cls(cost.low, cost.nominal, cost.high)

    def __add__(self, other: Range) -> Range:
        return Range(self.low + other.low, self.nominal + other.nominal, self.high + other.high)

    def __mul__(self, factor: float | Range) -> Range:
        """Times a number from zero up, or level by level times another range of such numbers."""
        other = factor if isinstance(factor, Range) else Range(factor, factor, factor)
        return Range(self.low * other.low, self.nominal * other.nominal, self.high * other.high)

    def inverse(self, numerator: float) -> Range:
        """``numerator`` over the range: low and high change places; zero divisors give zero."""
        low, nominal, high = (numerator / x if x else 0.0 for x in (self.high, self.nominal, self.low))
        return Range(low, nominal, high)

    def as_dict(self, factor: float = 1.0) -> dict[str, float]:
        """The three figures times ``factor``, for a report."""
        return {level: float(getattr(self, level)) * factor for level in LEVELS}


def total(ranges: Iterable[Range]) -> Range:
    """The sum of any number of ranges, level by level."""
    return sum(ranges, Range())


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

    ``step_ns`` mean over samples; ``bound`` names what the nominal step waits for beside the barrier: "core",
    "network" or "barrier" (no work at all); ``busiest`` the index of the slowest core; ``latency_ns`` the whole frame;
    ``period_ns`` the time between two results in steady pipelined operation; ``steady_ns`` (3, P) its steps.
    """

    step_ns: Array
    bound: tuple[str, ...]
    busiest: tuple[int, ...]
    latency_ns: Range
    period_ns: Range
    steady_ns: Array

    @property
    def throughput_per_s(self) -> Range:
        """Results per second when samples follow each other every P steps."""
        return self.period_ns.inverse(1e9)


@dataclass(frozen=True, eq=False)
class Estimate:
    """What one inference costs on mapped cores: means over ``samples``.

    ``parts_pj`` sum to ``energy_pj``; ``node_pj`` and ``shared_pj`` (what belongs to no node) do too, and so do
    ``core_pj`` (by core index) and ``unplaced_pj``. ``pipelined_pj`` is the energy per inference in steady operation,
    ``events_pj`` what is left without barriers and static power: what an ANN's dynamic energy compares with.
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
    events_pj: Range = field(default_factory=Range)
    uncounted: tuple[str, ...] = ()
    definitions: tuple[Definition, ...] = field(default_factory=tuple)
