"""Hyperbolic tangent: y = sign(x) * t(|x|), with one table of t for both signs.

Table of tanh over [0, 8], 512 entries, unit 2^-20, linear between entries; from 8 on tanh is 1 to half a unit of it.
Widths: position < 2^21 with 12 fraction bits; t <= 2^20; the rescale is a product of at most 37 bits before its shift.
Error: |y - tanh x| <= 1 output unit + 3.0e-5, of which 2.4e-5 is the chord error step^2/8 * max|tanh''|, the rest
position and table rounding. Default unit 2^-(bits - 2), so that 1 is in range.
"""

from __future__ import annotations

import numpy as np

from ..array import Array
from ..ir.fixed import rescale, saturate
from ..ir.micro_op import MicroOp, Params, QuantizedMicro
from ..ir.types import Fixed, Interval
from ._gated import FINEST_OUT, FRACTION_BITS, STEPS
from ._program import check_reach, out_bits, out_scale
from ._rescale import Rescale
from ._table import INTERPOLATE_OPS, POSITION_OPS, bits_of, magnitude_params, of_magnitude, tabulate

REACH = 8
T_BITS = 20  # fraction of a table entry


class Tanh(MicroOp):
    """tanh(x)."""

    name = "tanh"
    torch = ("tanh", "tanh_")
    spelled = ({},)

    def float_apply(self, x: Array, params: Params) -> Array:
        """tanh(x) in float64."""
        return np.tanh(np.asarray(x, dtype=np.float64))

    def int_apply(self, x: Array, params: Params) -> tuple[Array, Array | int]:
        """The integer program; second: 1 where the output saturated."""
        t = of_magnitude(x, params)
        raw = np.sign(x) * rescale(t, params["out_multiplier"], params["out_shift"])
        y = saturate(raw, params["bits"])
        return y, np.where(raw != y, 1, 0)

    def quantize(self, params: Params, fixed: Fixed, interval: Interval, options: Params) -> QuantizedMicro:
        """Default width 17, unit 2^-15. A wanted unit finer than 2^-33 becomes 2^-33."""
        check_reach(fixed, interval)
        bits = out_bits(options)
        scale = np.maximum(out_scale(options, 2.0 ** -(bits - 2)), FINEST_OUT)
        table = tabulate(np.tanh, 0.0, REACH, REACH * STEPS, 2.0**-T_BITS)
        ints = magnitude_params(table, fixed.scale, STEPS, FRACTION_BITS)
        out = Rescale.params(2.0**-T_BITS / np.asarray(scale), bits)
        ints |= {"bits": bits, "out_multiplier": out["multiplier"], "out_shift": out["shift"]}
        one = int(np.max(rescale(table.max(), ints["out_multiplier"], ints["out_shift"])))
        one = min(one, (1 << (bits - 1)) - 1)
        return QuantizedMicro(ints, Fixed(bits, True, scale), Interval(-one, one, True))

    def bounds(self, params: Params, lo: Array, hi: Array) -> tuple[Array, Array] | None:
        """The ends of the input: a tangent never decreases, and its interpolated table neither."""
        return self.int_apply(lo, params)[0], self.int_apply(hi, params)[0]

    def operations(self, params: Params, width: int) -> int:
        """Magnitude, position, interpolation, a rescale (multiply, add, shift), sign, two compares per element."""
        return (1 + POSITION_OPS + INTERPOLATE_OPS + 3 + 1 + 2) * width

    def table_bits(self, params: Params) -> int:
        """The table of t."""
        return bits_of(params["table"])


MEMBER = Tanh()
