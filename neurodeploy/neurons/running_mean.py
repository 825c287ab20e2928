"""Running mean of what came in so far: what a rate says after each tick.

    S <- S + x;   out = S / t
Read by what lives at the same index or, as a graded payload, elsewhere. With :mod:`mean_coder`, its inverse, behind an
operator f it is expectation compensation: the sum of all outputs of mean_coder(f(running_mean(x))) is t f(S / t).

Integer: S has 32 bits, saturates and counts; S / t is one rescale by the 16-bit multiplier m of 1/t, as
:func:`.fixed.reciprocal` has it: m = floor(2^(14 + L) / t + 1/2) with shift 14 + L, 2^L the power of two from t on. t
counts to 127 and stays there. The division by the tick number is one of few constants: a table on hardware.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from ..ir.fixed import flag, rescale, saturate
from ..ir.micro_op import RESCALE_OPS
from ..ir.neuron_model import IN_MICROCODE, NeuronModel, Params, Quantized, Scale, Values
from ..ir.types import Code, graded
from ..ir.widths import STATE_BITS
from ._wide import STATE, below, joined


class RunningMean(NeuronModel):
    """Sum over ticks, divided by their number."""

    name = "running_mean"
    state = STATE
    float_params = int_params = ()
    thresholds = ()
    stock = False
    grade = ("plausible", f"an accumulator and a multiply by a number from a table exist {IN_MICROCODE}")
    keeps_unit = True
    tolerance = 0.6  # 1/t has 16 bits
    example: ClassVar = {}

    @staticmethod
    def float_step(x: Any, s: Any, rest: Any, t: Any) -> Values:
        """The mean of all inputs."""
        s, t = s + x, t + 1.0
        return s / t, s, rest, t

    @staticmethod
    def int_step(x: Any, high: Any, low: Any, t: Any) -> Values:
        """The same in integers."""
        now = saturate(t + 1, 8)
        raw = joined(high, low) + x
        kept = saturate(raw, 32)
        length = now * 0
        for i in range(7):
            length = length + flag(now > (1 << i))
        whole = np.int64(1) << (length + 15)
        mean = rescale(kept, (whole // np.maximum(now, 1) + 1) >> 1, length + 14)
        out = saturate(mean, STATE_BITS)
        return out, kept >> 16, below(kept), now, flag((raw != kept) | (mean != out))

    def code(self, params: Params) -> Code:
        """As wide as a message."""
        return graded((1 << (STATE_BITS - 1)) - 1)

    def quantize(self, params: Params, in_scale: Scale, observed: float) -> Quantized:
        """The unit of the output is that of the input."""
        return Quantized({}, self.code({}), np.asarray(in_scale))

    def operations(self, params: Params) -> int:
        """Count, add, clip, a table, rescale, clip."""
        return 5 + RESCALE_OPS


MEMBER = RunningMean()
