"""What an edge of the graph carries: shape with axis roles, code, contract, width, interval, activity, origin."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod
from typing import Literal

from ..array import Array
from .widths import REGISTER_BITS

#: N token, H head, C channel, Y row, X column, K class, G an axis of no fixed meaning (such as the 3 of a fused qkv)
ROLES = ("N", "H", "C", "Y", "X", "K", "G")

Contract = Literal["instant", "rate", "difference"]


@dataclass(frozen=True)
class Shape:
    """Ordered axes as (role, size); neither batch nor time is an axis."""

    roles: tuple[str, ...]
    sizes: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.roles) != len(self.sizes):
            raise ValueError(f"{len(self.roles)} roles for {len(self.sizes)} sizes")
        if not set(self.roles) <= set(ROLES) or any(s < 1 for s in self.sizes):
            raise ValueError(f"bad axes {self}")

    @property
    def size(self) -> int:
        """Number of elements."""
        return prod(self.sizes)

    def permuted(self, order: tuple[int, ...]) -> Shape:
        """The shape with its axes in another order."""
        return Shape(tuple(self.roles[a] for a in order), tuple(self.sizes[a] for a in order))

    def resized(self, axis: int, size: int) -> Shape:
        """The shape with another size along one axis."""
        sizes = list(self.sizes)
        sizes[axis] = size
        return Shape(self.roles, tuple(sizes))

    def __str__(self) -> str:
        return " ".join(f"{r}{s}" for r, s in zip(self.roles, self.sizes, strict=True)) or "scalar"


#: order of the code lattice
RANK = {"binary": 0, "ternary": 1, "multi": 2, "graded": 3, "dense": 4}


@dataclass(frozen=True)
class Code:
    """What values an edge may carry; a lattice binary < ternary < multi(k) < graded(bits, sign) < dense.

    ``binary`` is {0, 1}; ``ternary`` {-1, 0, 1}; ``multi`` a small signed or unsigned integer with magnitude at most
    ``limit``; ``graded`` an integer payload of ``bits`` bits (sign included); ``dense`` anything (not a spike).
    """

    kind: Literal["binary", "ternary", "multi", "graded", "dense"]
    limit: int = 1
    signed: bool = False

    @property
    def spiking(self) -> bool:
        """True where the edge carries events: everything but dense."""
        return self.kind != "dense"

    @property
    def interval(self) -> tuple[int, int]:
        """Smallest and largest integer the code admits (dense: none, both zero)."""
        return (-self.limit if self.signed else 0, self.limit)

    def join(self, other: Code) -> Code:
        """The smallest code that admits both."""
        if self == other:
            return self
        a, b = sorted((self, other), key=lambda c: RANK[c.kind])
        if b.kind == "dense":
            return b
        signed, limit = a.signed or b.signed, max(a.limit, b.limit)
        if b.kind == "binary":
            return b
        if b.kind == "ternary" or (limit == 1 and signed):
            return TERNARY
        return Code(b.kind, limit, signed)

    def __str__(self) -> str:
        if self.kind in ("binary", "ternary", "dense"):
            return self.kind
        return f"{self.kind}({'±' if self.signed else ''}{self.limit})"


BINARY = Code("binary")
TERNARY = Code("ternary", 1, True)
DENSE = Code("dense", 0, True)


def multi(limit: int, signed: bool = False) -> Code:
    """Small integer counts such as a sum of binary spikes."""
    return Code("multi", limit, signed)


def graded(limit: int, signed: bool = True) -> Code:
    """An integer payload with magnitude at most ``limit``."""
    return Code("graded", limit, signed)


@dataclass(frozen=True, eq=False)
class Fixed:
    """Integer representation: ``bits`` wide (sign included if ``signed``); one unit is worth ``scale`` in the source.

    ``scale`` is a float or an array that broadcasts to the edge's shape (per channel). It documents what the
    integers are worth, for reports and SQNR; no integer arithmetic ever reads it.
    """

    bits: int
    signed: bool
    scale: float | Array

    @property
    def limits(self) -> tuple[int, int]:
        """The symmetric range of the width: +-(2^(bits-1) - 1), or 0 .. 2^bits - 1."""
        top = 2 ** (self.bits - self.signed) - 1
        return (-top if self.signed else 0, top)


@dataclass(frozen=True)
class Interval:
    """Bounds of an integer edge; ``proven`` from weights and payload bounds, or else measured and saturated."""

    lo: int
    hi: int
    proven: bool

    @property
    def magnitude(self) -> int:
        """Largest absolute value inside."""
        return max(abs(self.lo), abs(self.hi))


@dataclass(frozen=True)
class Activity:
    """Spikes per element and tick, measured on ``samples`` samples drawn with ``seed``.

    ``times``: in how many of all samples and ticks each element was not zero, over the shape of its value: whole
    numbers, which take two bytes an element in a file; None where that is not known.
    """

    mean: float
    p95: float
    by_tick: tuple[float, ...]
    samples: int
    seed: int
    times: Array | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Origin:
    """Where in the user's model something came from."""

    path: str = ""
    op: str = ""
    file: str = ""
    line: int = 0

    def __str__(self) -> str:
        place = f" ({self.file}:{self.line})" if self.file else ""
        return f"{self.path or '<root>'} [{self.op}]{place}"


@dataclass(frozen=True, eq=False)
class Value:
    """All that is known about one edge; unknown facts are None until the stage that learns them."""

    shape: Shape
    code: Code = DENSE
    contract: Contract = "instant"
    fixed: Fixed | None = None
    interval: Interval | None = None
    activity: Activity | None = None

    @property
    def width(self) -> int:
        """Declared bits; those of a register where none are declared."""
        return self.fixed.bits if self.fixed else REGISTER_BITS
