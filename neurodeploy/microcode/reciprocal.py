"""Reciprocal of what is held above a floor: y = 1 / max(x, floor), floor > 0.

    (r, e) = 1/max(x, f) by table and one Newton step;  f = ceil(floor / unit);   y = (gain r) >> (e + down)
and 1/floor itself where x < f. Widths: x < 2^30; r <= 2^30; gain r is a product of at most 46 bits before its shift.
Error: |y - 1/max(x, floor)| <= 1 output unit + 2^-15 of the value.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..array import Array
from ..ir.fixed import multipliers_of, rescale, saturate
from ..ir.micro_op import MicroOp, Params, QuantizedMicro
from ..ir.types import Fixed, Interval
from ._program import REACH_BITS, check_reach, out_bits, out_scale
from ._table import RECIPROCAL_OPS, UNIT_BITS, bits_of, plain, reciprocal, reciprocal_table

MOST_SHIFT = 62


class Reciprocal(MicroOp):
    """1 / max(x, floor)."""

    name = "reciprocal"
    nonnegative = True
    spans = True

    def float_apply(self, x: Array, params: Params) -> Array:
        """In float64."""
        y: Array = 1.0 / np.maximum(np.asarray(x, dtype=np.float64), params["floor"])
        return y

    def int_apply(self, x: Array, params: Params) -> tuple[Array, Array | int]:
        """The integer program; second: 1 where the output saturated."""
        r, exponent = reciprocal(np.maximum(x, params["reach"]), params["reciprocal_table"])
        scaled = rescale(r, params["gain"], params["gain_bits"])
        above = rescale(scaled, 1, np.clip(exponent + params["down"], 0, MOST_SHIFT))
        raw = np.where(x < params["reach"], params["highest"], above)
        y = saturate(raw, params["bits"])
        return y, np.where(raw != y, 1, 0)

    def quantize(self, params: Params, fixed: Fixed, interval: Interval, options: Params) -> QuantizedMicro:
        """Default unit: the finest power of two in which 1 / floor fits ``out_bits``."""
        check_reach(fixed, interval)
        bits, floor = out_bits(options), float(params["floor"])
        if floor <= 0:
            raise ValueError(f"the floor of a reciprocal is {floor}, not above 0")
        limit = (1 << (bits - 1)) - 1
        scale = np.asarray(out_scale(options, 2.0 ** np.ceil(np.log2(1.0 / floor / limit))))
        unit = np.asarray(fixed.scale, dtype=np.float64)
        reach = np.clip(np.ceil(floor / unit), 1, 1 << REACH_BITS).astype(np.int64)
        mantissa, exponent = np.frexp(1.0 / (unit * scale))
        gain, gain_bits = multipliers_of(mantissa)
        highest = np.minimum(np.rint(1.0 / floor / scale), 1 << REACH_BITS).astype(np.int64)
        ints: dict[str, Any] = {
            "reach": plain(reach), "highest": plain(highest), "gain": plain(gain), "gain_bits": plain(gain_bits),
            "down": plain(np.asarray(UNIT_BITS - exponent, dtype=np.int64)), "bits": bits,
            "reciprocal_table": reciprocal_table(),
        }  # fmt: skip
        ends = (np.asarray(end, dtype=np.int64) for end in (interval.lo, interval.hi))
        high, low = (self.int_apply(end, ints)[0] for end in ends)
        proven = Interval(int(np.min(low)), int(np.max(high)), interval.proven)
        return QuantizedMicro(ints, Fixed(bits, True, scale if scale.ndim else float(scale)), proven)

    def example(self, width: int) -> Params:
        """A floor as models have it."""
        return {"floor": 0.01}

    def bounds(self, params: Params, lo: Array, hi: Array) -> tuple[Array, Array] | None:
        """From 0 to what the lower end yields."""
        most = np.maximum(self.int_apply(hi, params)[0], self.int_apply(lo, params)[0])
        return np.zeros_like(lo), np.minimum(most + 1, (1 << (int(params["bits"]) - 1)) - 1)

    def operations(self, params: Params, width: int) -> int:
        """Maximum, reciprocal, gain (3), shift (4), compare, select, two compares per element."""
        return (1 + RECIPROCAL_OPS + 3 + 4 + 2 + 2) * width

    def table_bits(self, params: Params) -> int:
        """The table of reciprocals."""
        return bits_of(params["reciprocal_table"])


MEMBER = Reciprocal()
