"""Exponential of what is held below a top: y = exp(min(x, top)).

    y = rescale(e(max(t - x, 0)));  t = floor(top / unit), e the exponential of :mod:`._exponential`
and exp(top) itself where x > t. Widths: t - x < 2^31 for |x| < 2^30; the rescale is a product of at most 44 bits.
Error: |y - exp(min(x, top))| <= 1 output unit + 3e-5 exp(top), of which 2^-15 are the 16-bit multiplier of the output.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..array import Array
from ..ir.fixed import rescale as shifted
from ..ir.fixed import saturate
from ..ir.micro_op import MicroOp, Params, QuantizedMicro
from ..ir.types import Fixed, Interval
from ._exponential import E_BITS, EXPONENTIAL_OPS, exponential_params, exponentials
from ._program import REACH_BITS, check_reach, out_bits, out_scale
from ._rescale import Rescale
from ._table import bits_of, plain


class Exp(MicroOp):
    """exp(min(x, top))."""

    name = "exp"
    nonnegative = True
    spans = True

    def float_apply(self, x: Array, params: Params) -> Array:
        """In float64."""
        y: Array = np.exp(np.minimum(np.asarray(x, dtype=np.float64), params["top"]))
        return y

    def int_apply(self, x: Array, params: Params) -> tuple[Array, Array | int]:
        """The integer program; second: 1 where the output saturated."""
        e = exponentials(np.maximum(params["reach"] - x, 0), params)
        below = shifted(e, params["out_multiplier"], params["out_shift"])
        raw = np.where(x > params["reach"], params["highest"], below)
        y = saturate(raw, params["bits"])
        return y, np.where(raw != y, 1, 0)

    def quantize(self, params: Params, fixed: Fixed, interval: Interval, options: Params) -> QuantizedMicro:
        """Default unit: the finest power of two in which exp(top) fits ``out_bits``."""
        check_reach(fixed, interval)
        bits, top = out_bits(options), float(params["top"])
        limit = (1 << (bits - 1)) - 1
        scale = out_scale(options, 2.0 ** np.ceil(np.log2(np.exp(top) / limit)))
        unit = np.asarray(fixed.scale, dtype=np.float64)
        reach = np.minimum(np.floor(top / unit), (1 << REACH_BITS) - 1).astype(np.int64)
        out = Rescale.params(np.exp(reach * unit) * 2.0**-E_BITS / np.asarray(scale), bits)
        highest = np.minimum(np.rint(np.exp(top) / np.asarray(scale)), 1 << REACH_BITS).astype(np.int64)
        ints: dict[str, Any] = exponential_params(unit) | {"reach": plain(reach), "highest": plain(highest)}
        ints |= {"bits": bits, "out_multiplier": out["multiplier"], "out_shift": out["shift"]}
        ends = (np.asarray(end, dtype=np.int64) for end in (interval.lo, interval.hi))
        low, high = (self.int_apply(end, ints)[0] for end in ends)
        proven = Interval(int(np.min(low)), int(np.max(high)), interval.proven)
        return QuantizedMicro(ints, Fixed(bits, True, scale), proven)

    def example(self, width: int) -> Params:
        """A top as models have it."""
        return {"top": 2.0}

    def bounds(self, params: Params, lo: Array, hi: Array) -> tuple[Array, Array] | None:
        """From 0 to what the upper end yields: a rounded table may fall by a unit on its way."""
        most = np.maximum(self.int_apply(hi, params)[0], self.int_apply(lo, params)[0])
        return np.zeros_like(lo), np.minimum(most + 1, (1 << (int(params["bits"]) - 1)) - 1)

    def operations(self, params: Params, width: int) -> int:
        """Subtract, maximum, exponential, rescale, compare, select, two compares per element."""
        return (2 + EXPONENTIAL_OPS + 3 + 2 + 2) * width

    def table_bits(self, params: Params) -> int:
        """The table of powers."""
        return bits_of(params["exp_table"])


MEMBER = Exp()
