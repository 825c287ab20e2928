"""Functions that are odd around 0 but for a constant, and flat far out: tanh, and the sigmoid less 1/2.

y = middle + sign(x) * t(|x|), with one table of t for both signs: over [0, reach], step 1/64, unit 2^-20, linear
between entries, position with 12 fraction bits; beyond the table t stays what it is there, to half a unit of it.
Widths: position < 2^22; t <= 2^20; the rescale is a product of at most 37 bits before its shift.
Error: |y - f(x)| <= 1 output unit + 3.0e-5, of which the chord error step^2/8 * max|f''| is 2.4e-5 for tanh and 3e-6
for the sigmoid; the rest is position and table rounding. Default unit 2^-(bits - 2), so that 1 is in range.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..array import Array
from ..ir.fixed import rescale, saturate
from ..ir.micro_op import MicroOp, Params, QuantizedMicro
from ..ir.types import Fixed, Interval
from ._gated import FINEST_OUT, FRACTION_BITS, STEPS
from ._program import check_reach, out_bits, out_scale
from ._rescale import Rescale
from ._table import INTERPOLATE_OPS, POSITION_OPS, bits_of, magnitude_params, of_magnitude, plain, tabulate

T_BITS = 20  # fraction of a table entry


class Odd(MicroOp):
    """f(x) = middle + sign(x) t(|x|), which never decreases; from ``reach`` on t is flat."""

    spelled = ({},)

    def __init__(
        self, name: str, function: Callable[[Array], Array], reach: int, middle: float = 0.0
    ) -> None:
        self.name, self.torch = name, (name, f"{name}_")
        self.function, self.reach, self.middle = function, reach, middle
        self.nonnegative = middle > 0

    def float_apply(self, x: Array, params: Params) -> Array:
        """The function in float64."""
        return self.function(np.asarray(x, dtype=np.float64))

    def int_apply(self, x: Array, params: Params) -> tuple[Array, Array | int]:
        """The integer program; second: 1 where the output saturated."""
        t = of_magnitude(x, params)
        raw = np.sign(x) * rescale(t, params["out_multiplier"], params["out_shift"])
        raw = raw + params["middle"] if self.middle else raw
        y = saturate(raw, params["bits"])
        return y, np.where(raw != y, 1, 0)

    def quantize(self, params: Params, fixed: Fixed, interval: Interval, options: Params) -> QuantizedMicro:
        """Default width 17, unit 2^-15. A wanted unit finer than 2^-33 becomes 2^-33."""
        check_reach(fixed, interval)
        bits = out_bits(options)
        scale = np.maximum(out_scale(options, 2.0 ** -(bits - 2)), FINEST_OUT)
        curve = lambda u: self.function(u) - self.middle
        table = tabulate(curve, 0.0, self.reach, self.reach * STEPS, 2.0**-T_BITS)
        ints = magnitude_params(table, fixed.scale, STEPS, FRACTION_BITS)
        out = Rescale.params(2.0**-T_BITS / np.asarray(scale), bits)
        ints |= {"bits": bits, "out_multiplier": out["multiplier"], "out_shift": out["shift"]}
        if self.middle:
            ints["middle"] = plain(np.rint(self.middle / np.asarray(scale)).astype(np.int64))
        top = 1 << fixed.bits
        low, high = (self.int_apply(np.asarray([end]), ints)[0] for end in (-top, top))
        return QuantizedMicro(ints, Fixed(bits, True, scale), Interval(int(low.min()), int(high.max()), True))

    def bounds(self, params: Params, lo: Array, hi: Array) -> tuple[Array, Array] | None:
        """The ends of the input: neither the function nor its interpolated table ever decreases."""
        return self.int_apply(lo, params)[0], self.int_apply(hi, params)[0]

    def operations(self, params: Params, width: int) -> int:
        """Magnitude, position, interpolation, a rescale (multiply, add, shift), sign, two compares, and the middle."""
        return (1 + POSITION_OPS + INTERPOLATE_OPS + 3 + 1 + 2 + bool(self.middle)) * width

    def table_bits(self, params: Params) -> int:
        """The table of t."""
        return bits_of(params["table"])
