"""Sends what makes the mean of all it has sent its present input: the inverse of a running mean.

    out = t x(t) - (t - 1) x(t - 1)
The outputs sum to t x(t) exactly. Behind f(running mean) it sends what an operator under expectation compensation does.

Integer: exact; out saturates at ``bits`` and counts, while t x(t), which is the state, has 32 bits. t counts to 127 and
stays there.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from ..ir.fixed import flag, saturate
from ..ir.neuron_model import IN_MICROCODE, NeuronModel, Params, Quantized, Scale, Values
from ..ir.types import Code, graded
from ..ir.widths import STATE_BITS
from ._wide import STATE, below, joined


class MeanCoder(NeuronModel):
    """Differences of tick number times value."""

    name = "mean_coder"
    state = STATE
    float_params = ()
    int_params = ("bits",)
    thresholds = ()
    stock = False
    grade = ("plausible", f"a multiply and an accumulator exist {IN_MICROCODE}")
    keeps_unit = True
    example: ClassVar = {}

    @staticmethod
    def float_step(x: Any, last: Any, rest: Any, t: Any) -> Values:
        """The difference of t x."""
        t = t + 1.0
        return t * x - last, t * x, rest, t

    @staticmethod
    def int_step(x: Any, high: Any, low: Any, t: Any, bits: int) -> Values:
        """The same in integers."""
        now = saturate(t + 1, 8)
        whole = now * x
        raw = whole - joined(high, low)
        out = saturate(raw, bits)
        return out, whole >> 16, below(whole), now, flag(raw != out)

    def code(self, params: Params) -> Code:
        """As wide as ``bits``."""
        return graded((1 << (int(params.get("bits", STATE_BITS)) - 1)) - 1)

    def quantize(self, params: Params, in_scale: Scale, observed: float) -> Quantized:
        """The unit of the output is that of the input."""
        ints = {"bits": STATE_BITS}
        return Quantized(ints, self.code(ints), np.asarray(in_scale))

    def operations(self, params: Params) -> int:
        """Count, multiply, subtract, clip."""
        return 5


MEMBER = MeanCoder()
