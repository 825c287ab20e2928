"""A factor and an offset of their own for each tick, as networks learn them that know all their ticks.

    y(t) = gain(t) x(t) + offset(t)          gain, offset (T, *shape that broadcasts to the input)
In integers y(t) = saturate(rescale(x, multiplier(t), shift(t)) + offset(t), bits); a negative gain is a negative
multiplier. A core holds, of its own elements, a row of each
table for every tick, and counts ticks. The product needs 64 bits: |x| < 2^32,
16-bit multiplier. Error: |y - f(x)| <= 1 output unit + 2^-15 |gain x| where nothing saturates; exact where gain times
input unit over output unit is a power of two and the offset whole.
Sources: the scale of BESTformer's attention (T, 1, heads, 1, 1); Temporal Effective Batch Norm (Duan et al. 2022).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..array import Array
from ..ir.fixed import FAINTEST, STEEPEST, multipliers_of, rescale, saturate
from ..ir.micro_op import MicroOp, Params, QuantizedMicro
from ..ir.types import Fixed, Interval
from ._program import finest_unit, out_bits, out_scale


class AffineByTick(MicroOp):
    """Multiply, round, shift, add, saturate, with the numbers of this tick."""

    name = "affine_by_tick"
    by_tick = ("gain", "offset", "multiplier", "shift")

    def float_apply(self, x: Array, params: Params) -> Array:
        """gain x + offset, of one tick."""
        y: Array = np.asarray(x, dtype=np.float64) * params["gain"] + params["offset"]
        return y

    def int_apply(self, x: Array, params: Params) -> tuple[Array, Array | int]:
        """The integer program of one tick; second: 1 where the output saturated."""
        raw = rescale(x, params["multiplier"], params["shift"]) + params["offset"]
        y = saturate(raw, params["bits"])
        return y, np.where(raw != y, 1, 0)

    def quantize(self, params: Params, fixed: Fixed, interval: Interval, options: Params) -> QuantizedMicro:
        """Tables of all ticks; default unit: the finest power-of-two multiple of the input's that holds every tick.

        A wanted unit is made coarser where the largest gain would ask the rescale for more than 2^14.
        """
        gain, offset = (np.asarray(params[name], dtype=np.float64) for name in ("gain", "offset"))
        reached = np.abs(gain).max() * interval.magnitude + np.abs(offset).max() / np.min(fixed.scale)
        bits = out_bits(options)
        finest = np.abs(gain).max() * np.max(fixed.scale) / STEEPEST
        unit = np.maximum(out_scale(options, finest_unit(fixed, float(reached), bits)), finest)
        factor = gain * np.asarray(fixed.scale) / np.asarray(unit)
        seen = np.abs(factor) >= FAINTEST
        multiplier, shift = multipliers_of(np.where(seen, np.abs(factor), 1.0))
        ints: dict[str, Any] = {
            "multiplier": np.where(seen, multiplier * np.sign(factor).astype(np.int64), 0), "shift": shift,
            "offset": np.floor(offset / np.asarray(unit) + 0.5).astype(np.int64), "bits": bits,
        }  # fmt: skip
        ends = self._ends(ints, *(np.asarray(end, dtype=np.int64) for end in (interval.lo, interval.hi)))
        out = Interval(int(ends.min()), int(ends.max()), interval.proven)
        return QuantizedMicro(ints, Fixed(bits, True, unit), out)

    def bounds(self, params: Params, lo: Array, hi: Array) -> tuple[Array, Array] | None:
        """The least and the most of all ticks: each is a line, so its ends are those of the input."""
        ends = self._ends(params, lo, hi)
        return ends.min(axis=0), ends.max(axis=0)

    def _ends(self, params: Params, lo: Array, hi: Array) -> Array:
        """(2T, ...): what both ends of the input become at every tick."""
        ticks = range(1, min(self.ticks(params)) + 1)
        ends = [self.int_apply(end, self.at(params, t))[0] for t in ticks for end in (lo, hi)]
        return np.stack(np.broadcast_arrays(*ends))

    def operations(self, params: Params, width: int) -> int:
        """Three reads of a table, multiply, add, shift, add, two compares per element."""
        return 9 * width

    def example(self, width: int) -> Params:
        """One tick with one factor and offset for all channels."""
        return {"gain": np.array([-1.5]), "offset": np.array([0.7])}


MEMBER = AffineByTick()
