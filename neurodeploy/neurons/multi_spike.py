"""Signed multi-spike neuron of the PMSM-compatible conversion: a quantiser with a residue.

    m = v + x;   k = clip(floor(m / step + 1/2), -negative, positive);   v = m - step * k
k > 0 is k spikes of positive polarity, k < 0 is |k| spikes of negative polarity, in one tick; sent as one signed count.
The first tick is the quantiser itself: k(1) = clip(floor(x / step + 1/2), -negative, positive). No leak, no offset.
Invariant: step * sum k = sum x - v. What exceeds the largest count stays in v. ``negative`` = 0 is the QCFS quantiser.

Integer: ``theta`` is the step in state units, per channel. Exact compares instead of a division: k >= i where
2 m >= (2 i - 1) theta, k <= -i where 2 m < (1 - 2 i) theta. The payload is k; v saturates at 24 bits.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from ..ir.fixed import flag, saturate
from ..ir.neuron_model import IN_MICROCODE, NeuronModel, Params, Quantized, Scale, StateVar, Values
from ..ir.types import Code, multi
from ..ir.widths import STATE_BITS

#: largest count: a payload of 8 bits, sign included
COUNT_MAX = 127


class MultiSpike(NeuronModel):
    """A quantiser with a residue, several spikes a tick."""

    name = "multi_spike"
    state = (StateVar("v", STATE_BITS),)
    float_params = ("step", "positive", "negative")
    int_params = ("theta", "positive", "negative")
    thresholds = ("theta",)
    example: ClassVar = {"step": 0.5, "positive": 7, "negative": 5}
    stock = False
    monotone = True
    grade = ("plausible", f"compares and graded payloads exist {IN_MICROCODE}")

    @staticmethod
    def float_step(x: Any, v: Any, step: Any, positive: int, negative: int) -> Values:
        """The quantiser on input plus residue; out in source units."""
        m = v + x
        k = np.clip(np.floor(m / step + 0.5), -negative, positive)
        out = step * k
        return out, m - out

    @staticmethod
    def int_step(x: Any, v: Any, theta: Any, positive: int, negative: int) -> Values:
        """The same by compares; out is the signed count."""
        raw = v + x
        m = saturate(raw, STATE_BITS)
        out = m * 0
        for i in range(1, positive + 1):
            out = out + flag(2 * m >= (2 * i - 1) * theta)
        for i in range(1, negative + 1):
            out = out - flag(2 * m < (1 - 2 * i) * theta)
        return out, m - theta * out, flag(raw != m)

    def code(self, params: Params) -> Code:
        """A signed count up to the larger of both limits."""
        limit = max(int(params["positive"]), int(params["negative"]))
        return multi(limit, signed=int(params["negative"]) > 0)

    def quantize(self, params: Params, in_scale: Scale, observed: float) -> Quantized:
        """The step in state units. Raises ValueError where it is below one of them or above 2^22."""
        theta = np.rint(float(params["step"]) / np.asarray(in_scale)).astype(np.int64)
        if theta.min() < 1:
            raise ValueError("a quantisation step is smaller than one unit of the state")
        if theta.max() > 1 << 22:
            raise ValueError("a quantisation step does not fit the state")
        ints = {"theta": theta, "positive": int(params["positive"]), "negative": int(params["negative"])}
        return Quantized(ints, self.code(ints), float(params["step"]))

    def operations(self, params: Params) -> int:
        """Add, clip, a binary search over the switch points, one multiply, one subtract."""
        points = int(params["positive"]) + int(params["negative"])
        return 5 + int(np.ceil(np.log2(points + 1)))


MEMBER = MultiSpike()
