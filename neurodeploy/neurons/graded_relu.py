"""Stateless rectifier that sends an unsigned graded payload (A2OS2A's K = ReLU(.)).

Float: S = max(X, 0). Integer: S = clip(rescale(X, multiplier, shift), 0, limit), one payload unit per tensor worth
1.125 observed_max / limit. The rescale absorbs the per-channel units of the input.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..ir.fixed import flag, multipliers_of, rescale
from ..ir.neuron_model import NeuronModel, Params, Quantized, Scale, Values
from ..ir.types import Code, graded

PAYLOAD_MAX = 255
#: payloads reach this far beyond the largest value of calibration: rare larger ones are not clipped
HEADROOM = 1.125


class GradedRelu(NeuronModel):
    """ReLU quantised to an 8-bit unsigned payload."""

    name = "graded_relu"
    int_params = ("multiplier", "shift", "limit")
    thresholds = ()
    stock = False
    monotone = True
    grade = (
        "plausible",
        "graded payloads are documented on Loihi 2; the rescale is one microcode multiply-shift",
    )

    @staticmethod
    def float_step(x: Any) -> Values:
        """max(X, 0)."""
        return (np.maximum(x, 0.0),)

    @staticmethod
    def int_step(x: Any, multiplier: Any, shift: Any, limit: Any) -> Values:
        """clip(rescale(X), 0, limit); clipped is 1 above the limit."""
        y = rescale(x, multiplier, shift)
        return np.minimum(np.maximum(y, 0), limit), flag(y > limit)

    def code(self, params: Params) -> Code:
        """Unsigned graded."""
        return graded(PAYLOAD_MAX, signed=False)

    def quantize(self, params: Params, in_scale: Scale, observed: float) -> Quantized:
        """Payload unit = 1.125 x observed maximum / 255 (a maximum of 1 if the population never fired)."""
        unit = HEADROOM * (observed or 1.0) / PAYLOAD_MAX
        multiplier, shift = multipliers_of(np.asarray(in_scale) / unit)
        ints = {"multiplier": multiplier, "shift": shift, "limit": PAYLOAD_MAX}
        return Quantized(ints, self.code(ints), unit)

    def operations(self, params: Params) -> int:
        """Multiply, add, shift, two compares."""
        return 5


MEMBER = GradedRelu()
