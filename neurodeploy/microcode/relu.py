"""Rectifier: y = saturate(rescale(max(x, 0), multiplier, shift), bits). Error bound as :mod:`._rescale`."""

from __future__ import annotations

import numpy as np

from ..array import Array
from ..ir.micro_op import MicroOp, Params, QuantizedMicro
from ..ir.types import Fixed, Interval
from ._program import finest_unit, out_bits, out_scale
from ._rescale import Rescale

RESCALE = Rescale()


class Relu(MicroOp):
    """max(x, 0)."""

    name = "relu"
    torch = ("relu", "relu_")
    nonnegative = homogeneous = True

    def float_apply(self, x: Array, params: Params) -> Array:
        """max(x, 0) in float64."""
        return np.maximum(np.asarray(x, dtype=np.float64), 0.0)

    def int_apply(self, x: Array, params: Params) -> tuple[Array, Array | int]:
        """Rectify, then rescale; second: 1 where it saturated."""
        return RESCALE.int_apply(np.maximum(x, 0), params)

    def quantize(self, params: Params, fixed: Fixed, interval: Interval, options: Params) -> QuantizedMicro:
        """Default width 17; default unit: the finest power-of-two multiple of the input's largest that fits."""
        positive = Interval(max(interval.lo, 0), max(interval.hi, 0), interval.proven)
        bits = out_bits(options)
        scale = out_scale(options, finest_unit(fixed, positive.hi, bits))
        return RESCALE.quantize({}, fixed, positive, {"out_scale": scale, "out_bits": bits})

    def bounds(self, params: Params, lo: Array, hi: Array) -> tuple[Array, Array] | None:
        """The ends of the input: a rectifier never decreases."""
        return self.int_apply(lo, params)[0], self.int_apply(hi, params)[0]

    def operations(self, params: Params, width: int) -> int:
        """A compare and a rescale per element."""
        return width + RESCALE.operations(params, width)


MEMBER = Relu()
