"""Change of unit: the identity at source level, y = saturate(rescale(x, multiplier, shift), bits) in integers.

Multiplier and shift broadcast to the input, one pair per channel where the input's units differ. Error against the
identity: |y * out_scale - x * in_scale| <= out_scale / 2 + 2^-15 |x * in_scale| where nothing saturates; the second
term is zero where in_scale / out_scale is a power of two. The product needs 64 bits: |x| < 2^32, 16-bit multiplier.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..array import Array
from ..ir import fixed as arithmetic
from ..ir.micro_op import MicroOp, Params, QuantizedMicro
from ..ir.types import Fixed, Interval
from ..ir.widths import MESSAGE_BITS
from ._program import finest_unit, out_bits, out_scale
from ._table import plain


class Rescale(MicroOp):
    """Multiply, round, shift, saturate."""

    name = "rescale"

    @staticmethod
    def params(factor: float | Array, bits: int = MESSAGE_BITS) -> dict[str, Any]:
        """Integer parameters for factor = in_scale / out_scale (scalar or per channel).

        A factor below 2^-40 is a multiplier of 0; raises ValueError for one above 2^14 or not positive.
        """
        factors = np.asarray(factor, dtype=np.float64)
        if not np.all(np.isfinite(factors) & (factors > 0)):
            raise ValueError(f"rescale factor {factor!r} is not positive")
        seen = factors >= arithmetic.FAINTEST
        multiplier, shift = arithmetic.multipliers_of(np.where(seen, factors, 1.0))
        return {"multiplier": plain(np.where(seen, multiplier, 0)), "shift": plain(shift), "bits": bits}

    def float_apply(self, x: Array, params: Params) -> Array:
        """The identity."""
        return np.asarray(x, dtype=np.float64)

    def int_apply(self, x: Array, params: Params) -> tuple[Array, Array | int]:
        """saturate(rescale(x)); second: 1 where it saturated."""
        raw = arithmetic.rescale(x, params["multiplier"], params["shift"])
        y = arithmetic.saturate(raw, params["bits"])
        return y, np.where(raw != y, 1, 0)

    def quantize(self, params: Params, fixed: Fixed, interval: Interval, options: Params) -> QuantizedMicro:
        """Default width 24; default unit: the finest power-of-two multiple of the input's largest that fits."""
        bits = out_bits(options, MESSAGE_BITS)
        scale = out_scale(options, finest_unit(fixed, interval.magnitude, bits))
        ints = self.params(np.asarray(fixed.scale) / np.asarray(scale), bits)
        low, high = (
            self.int_apply(np.asarray(end, dtype=np.int64), ints)[0] for end in (interval.lo, interval.hi)
        )
        out = Interval(int(np.min(low)), int(np.max(high)), interval.proven)
        return QuantizedMicro(ints, Fixed(bits, True, scale), out)

    def bounds(self, params: Params, lo: Array, hi: Array) -> tuple[Array, Array] | None:
        """The ends of the input: rescaling never decreases."""
        return self.int_apply(lo, params)[0], self.int_apply(hi, params)[0]

    def operations(self, params: Params, width: int) -> int:
        """Multiply, add, shift, two compares per element."""
        return 5 * width
