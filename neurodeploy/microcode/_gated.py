"""Elementwise x * gate(x) with a symmetric gate, gate(-x) = 1 - gate(x): GELU (both forms) and SiLU.

    x * gate(x) = max(x, 0) - c(|x|),   c(a) = a * gate(-a)
c is small, positive and vanishes for large a, so one table of c over [0, reach] serves both signs, and outside of it
the result is exactly the asymptote, 0 or x. The table does not depend on the units: step 1/64, unit 2^-20, linear
between entries, position with 12 fraction bits. Then y = rescale(max(x, 0)) - rescale(c), saturated.
Widths: position < 2^23; c < 2^19; both rescales are 64-bit products of at most 48 bits for |x| < 2^32.
Error: |y - x gate(x)| <= 1 output unit + 3.6e-5 + 2^-15 max(x, 0); the last term is zero where in unit / out unit is a
power of two (the default). 3.6e-5 is the chord error step^2/8 * max|c''| = 2.5e-5 and position and table rounding.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..array import Array
from ..ir.fixed import rescale, saturate
from ..ir.micro_op import MicroOp, Params, QuantizedMicro
from ..ir.types import Fixed, Interval
from ._program import check_reach, finest_unit, out_bits, out_scale
from ._rescale import Rescale
from ._table import INTERPOLATE_OPS, POSITION_OPS, bits_of, magnitude_params, of_magnitude, tabulate

STEPS = 64  # entries per unit of the argument
FRACTION_BITS = 12
C_BITS = 20  # fraction of a table entry
FINEST_OUT = 2.0**-33  # finer output units ask the rescale of c for more than its 16-bit multiplier

Gate = Callable[[Array, Params], Array]


class Gated(MicroOp):
    """x * gate(x); from ``reach`` on c is below half a unit of the table, so 0."""

    def __init__(
        self,
        name: str,
        gate: Gate,
        reach: int,
        torch: tuple[str, ...] = (),
        spelled: tuple[Params, ...] = ({},),
    ) -> None:
        self.name, self.torch, self.spelled = name, torch, spelled
        self.gate, self.reach = gate, reach

    def float_apply(self, x: Array, params: Params) -> Array:
        """x * gate(x) in float64."""
        x = np.asarray(x, dtype=np.float64)
        return x * self.gate(x, params)

    def int_apply(self, x: Array, params: Params) -> tuple[Array, Array | int]:
        """The integer program; second: 1 where the output saturated."""
        c = of_magnitude(x, params)
        raw = rescale(np.maximum(x, 0), params["out_multiplier"], params["out_shift"])
        raw = raw - rescale(c, params["c_multiplier"], params["c_shift"])
        y = saturate(raw, params["bits"])
        return y, np.where(raw != y, 1, 0)

    def quantize(self, params: Params, fixed: Fixed, interval: Interval, options: Params) -> QuantizedMicro:
        """Default unit: the finest power-of-two multiple of the input's that holds max(x, 0) and c in ``out_bits``.

        A wanted unit finer than 2^-33 becomes 2^-33.
        """
        check_reach(fixed, interval)
        bits = out_bits(options)
        table = tabulate(
            lambda a: a * self.gate(-a, params), 0.0, self.reach, self.reach * STEPS, 2.0**-C_BITS
        )
        largest = max(interval.hi, float(table.max() * 2.0**-C_BITS / np.max(fixed.scale)))
        scale = np.maximum(out_scale(options, finest_unit(fixed, largest, bits)), FINEST_OUT)
        ints = magnitude_params(table, fixed.scale, STEPS, FRACTION_BITS)
        out = Rescale.params(np.asarray(fixed.scale) / np.asarray(scale), bits)
        small = Rescale.params(2.0**-C_BITS / np.asarray(scale), bits)
        ints |= {"bits": bits, "out_multiplier": out["multiplier"], "out_shift": out["shift"]}
        ints |= {"c_multiplier": small["multiplier"], "c_shift": small["shift"]}
        return QuantizedMicro(ints, Fixed(bits, True, scale), bounds(interval, ints))

    def bounds(self, params: Params, lo: Array, hi: Array) -> tuple[Array, Array] | None:
        """-c .. max(x, 0) in output units, saturated."""
        least = -np.max(rescale(params["table"].max(), params["c_multiplier"], params["c_shift"]))
        most = rescale(np.maximum(hi, 0), params["out_multiplier"], params["out_shift"])
        return saturate(np.full_like(most, least), params["bits"]), saturate(most, params["bits"])

    def operations(self, params: Params, width: int) -> int:
        """Magnitude, position, interpolation, maximum, two rescales, a subtract, two compares per element."""
        return (1 + POSITION_OPS + INTERPOLATE_OPS + 1 + 6 + 1 + 2) * width

    def table_bits(self, params: Params) -> int:
        """The table of c."""
        return bits_of(params["table"])


def bounds(interval: Interval, ints: Params) -> Interval:
    """-c .. max(x, 0) in output units, inside the output's width."""
    limit = (1 << (ints["bits"] - 1)) - 1
    low = -int(np.max(rescale(ints["table"].max(), ints["c_multiplier"], ints["c_shift"])))
    high = int(np.max(rescale(np.int64(max(interval.hi, 0)), ints["out_multiplier"], ints["out_shift"])))
    return Interval(max(low, -limit), min(high, limit), interval.proven)
