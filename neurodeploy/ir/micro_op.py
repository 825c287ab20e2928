"""What a non-spiking operator is: a float reference and an integer program of add, multiply, shift, compare, table.

Row operators (softmax, layer norm) work on the last axis of their input; elementwise ones have ``row = False``.
Arrays may have any number of leading axes (batch, ticks, tokens): only the last axis has meaning here.
Registers are 32 bits wide, a multiply is 64 bits before its shift; every program says in its docstring how wide each
intermediate grows and why that fits.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..array import Array
from ..evidence import Evidence
from ..registry import Member, Room
from .types import Fixed, Interval

Params = Mapping[str, Any]
Numbers = tuple[Array, ...]  # of a row: each (..., 1) or (..., elements)

RESCALE_OPS = 3  # multiply, add, shift
#: of a compensated operator besides itself: running sum, rescale by 1/t, times t, difference
COMPENSATION_OPS = 1 + RESCALE_OPS + 2


@dataclass(frozen=True, eq=False)
class QuantizedMicro:
    """Integer parameters (ints and int64 arrays only), the output's representation and proven bounds."""

    params: Params
    fixed: Fixed
    interval: Interval


@dataclass(frozen=True)
class Level:
    """One round in which a row in parts says something of itself, and is told something.

    ``terms(x, told, params)`` has numbers per element, whose maxima over the row are the first ``maxima`` statistics
    and whose sums are the others: the i-th stays below 2^(15 ``sums[i]``) over a whole row. ``scalars(statistics,
    told, params)`` are ``tells`` numbers, no more than there are messages said; they fit messages, as maxima have to.
    Operations: of the terms of an element, and of the scalars, without those that compare, add and split numbers.
    """

    terms: Callable[[Array, Numbers, Params], Numbers]
    scalars: Callable[[Numbers, Numbers, Params], Numbers]
    tells: int
    element_ops: int
    scalar_ops: int
    maxima: int = 0
    sums: tuple[int, ...] = ()

    @property
    def messages(self) -> int:
        """Numbers that a part says."""
        return self.maxima + sum(self.sums)


class MicroOp(Member):
    """One registered non-spiking operator; stateless object, discovered by its file."""

    #: True: mixes the elements of the last axis, which therefore live on one core
    row: bool = False
    #: True: ends with a factor ``gamma`` and an offset ``beta`` of its own for each channel
    affine: bool = False
    #: True: f(s x) = s f(x) for every s > 0
    homogeneous: bool = False
    #: torch's names of an elementwise function without parameters; any other has a builder in ``frontends/ops/``
    torch: tuple[str, ...] = ()
    #: parameters with which an elementwise function is looked for where a model spells it out
    spelled: tuple[Params, ...] = ()
    #: True: no output is ever below zero
    nonnegative: bool = False
    #: True: its values span magnitudes, so a message's whole width is used where it may be
    spans: bool = False
    #: parameters whose first axis is ticks: one value for each
    by_tick: tuple[str, ...] = ()
    grade: Evidence = (
        "plausible",
        "integer add, multiply-shift, compare and table exist in Loihi 2 microcode",
    )

    @abstractmethod
    def float_apply(self, x: Array, params: Params) -> Array:
        """The operator in float64, from its source-level parameters."""

    @abstractmethod
    def int_apply(self, x: Array, params: Params) -> tuple[Array, Array | int]:
        """The operator in int64, from its integer parameters; second: 1 where a value saturated (or plain 0)."""

    @abstractmethod
    def quantize(self, params: Params, fixed: Fixed, interval: Interval, options: Params) -> QuantizedMicro:
        """Integer parameters for an input of representation ``fixed`` with bounds ``interval``.

        ``fixed.scale`` is a scalar for row operators. ``options`` may hold ``out_scale`` (wanted worth of an output
        unit) and ``out_bits``. Raises ValueError where the widths cannot be met.
        """

    @abstractmethod
    def operations(self, params: Params, width: int) -> int:
        """Add, multiply, shift, compare and table operations for one row of ``width`` elements (integer params)."""

    def levels(self, params: Params, reach: int) -> tuple[Level, ...]:
        """How rows of elements up to ``reach`` are computed in parts (:mod:`.rows`); none: only as a whole."""
        return ()

    def at(self, params: Params, t: int) -> Params:
        """The parameters of tick ``t`` = 1, 2, ..., which is what ``float_apply`` and ``int_apply`` take."""
        return (
            {k: v[t - 1] if k in self.by_tick else v for k, v in params.items()} if self.by_tick else params
        )

    def ticks(self, params: Params) -> set[int]:
        """For how many ticks there are values of each parameter of :attr:`by_tick`."""
        return {len(np.atleast_1d(params[name])) for name in self.by_tick if name in params}

    def bounds(self, params: Params, lo: Array, hi: Array) -> tuple[Array, Array] | None:
        """Proven bounds of ``int_apply`` for inputs within ``lo`` .. ``hi``, elementwise (int64, same shape).

        None where the operator has none to state; then the bounds that its value declares hold.
        """
        return None

    def hides(self, params: Params) -> Array | None:
        """Which elements of a row do not matter and become exactly 0, broadcasting to its value; None: none."""
        return None

    def example(self, width: int) -> Params:
        """Typical source parameters for a row of ``width``, with which the conformance tests run every operator."""
        return {}

    def table_bits(self, params: Params) -> int:
        """Bits of lookup tables a core holds for this operator, whatever part of it is there."""
        return 0

    def reads_table(self, params: Params) -> bool:
        """Whether its program reads a table: one of its own, or the row of a tick."""
        return bool(self.by_tick) or self.table_bits(params) > 0


MICROCODE = Room("microcode", MicroOp)
