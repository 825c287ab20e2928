"""What a non-spiking operator is: a float reference and an integer program of add, multiply, shift, compare, table.

Row operators (softmax, layer norm) work on the last axis of their input; elementwise ones have ``row = False``.
Arrays may have any number of leading axes (batch, ticks, tokens): only the last axis has meaning here.
Registers are 32 bits wide, a multiply is 64 bits before its shift; every program says in its docstring how wide each
intermediate grows and why that fits.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..array import Array
from ..evidence import Evidence
from ..ir.types import Fixed, Interval
from ..ir.widths import MESSAGE_BITS, OPERATOR_BITS, REGISTER_BITS
from ..registry import Member

Params = Mapping[str, Any]
REACH_BITS = REGISTER_BITS - 2  # differences of two inputs must fit a register


@dataclass(frozen=True, eq=False)
class QuantizedMicro:
    """Integer parameters (ints and int64 arrays only), the output's representation and proven bounds."""

    params: Params
    fixed: Fixed
    interval: Interval


class MicroOp(Member):
    """One registered non-spiking operator; stateless object, discovered by its file."""

    #: True: mixes the elements of the last axis, which therefore live on one core
    row: bool = False
    #: True: ends with a factor ``gamma`` and an offset ``beta`` of its own for each channel
    affine: bool = False
    #: torch's names of an elementwise function without parameters; any other has a builder in ``frontends/ops/``
    torch: tuple[str, ...] = ()
    #: parameters with which an elementwise function is looked for where a model spells it out
    spelled: tuple[Params, ...] = ()
    #: True: no output is ever below zero
    nonnegative: bool = False
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

    def bounds(self, params: Params, lo: Array, hi: Array) -> tuple[Array, Array] | None:
        """Proven bounds of ``int_apply`` for inputs within ``lo`` .. ``hi``, elementwise (int64, same shape).

        None where the operator has none to state; then the bounds that its value declares hold.
        """
        return None

    def example(self, width: int) -> Params:
        """Typical source parameters for a row of ``width``, with which the conformance tests run every operator."""
        return {}

    def table_bits(self, params: Params) -> int:
        """Bits of lookup tables a core holds for this operator."""
        return 0


def out_bits(options: Params, default: int = OPERATOR_BITS) -> int:
    """The wanted width of the output; raises ValueError outside 2 .. 24."""
    bits = int(options.get("out_bits", default))
    if not 2 <= bits <= MESSAGE_BITS:
        raise ValueError(f"out_bits {bits} is outside 2 .. {MESSAGE_BITS}")
    return bits


def out_scale(options: Params, default: float | Array) -> float | Array:
    """The wanted worth of an output unit; raises ValueError unless positive and finite."""
    scale: float | Array = options.get("out_scale", default)
    if not np.all(np.isfinite(scale) & (np.asarray(scale) > 0)):
        raise ValueError(f"out_scale {scale!r} is not positive")
    return scale


def check_reach(fixed: Fixed, interval: Interval) -> None:
    """Raises ValueError unless |x| < 2^30 by proof or by width."""
    reach = interval.magnitude if interval.proven else max(abs(limit) for limit in fixed.limits)
    if reach >= 1 << REACH_BITS:
        raise ValueError(f"inputs reach {reach}, the operator's registers hold |x| < 2^{REACH_BITS}")


def row_scale(fixed: Fixed) -> float:
    """The one unit of a row; raises ValueError where units differ inside it."""
    scale = np.asarray(fixed.scale, dtype=np.float64)
    if scale.size != 1:
        raise ValueError("a row operator needs one unit for the whole row, the input has one per channel")
    return float(scale.reshape(()))


def finest_unit(fixed: Fixed, magnitude: float, bits: int) -> float:
    """The smallest power-of-two multiple of the largest input unit at which ``magnitude`` input units fit ``bits``.

    At most 2^14 times finer than the input, the largest multiplier a rescale has; exact for a single input unit.
    """
    limit = (1 << (bits - 1)) - 1
    exponent = max(-14, int(np.ceil(np.log2(max(magnitude, 1.0) / limit))))
    return float(np.max(fixed.scale) * 2.0**exponent)
