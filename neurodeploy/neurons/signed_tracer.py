"""Bounded signed tracer of SpikeZIP-TF (ST-BIF+): walks to the quantised value of its input, one spike at a time.

``acc`` is what has been sent. With the current value x of the input and step s:
    spike = +1 where x/s - acc >= 1/2 and acc < positive;   -1 where x/s - acc < -1/2 and acc > -negative;   else 0
    acc <- acc + spike;   the output is s * spike
Source: You et al., "SpikeZIP-TF", ICML 2024, released code (commit 8effa72a), which keeps q = 1/2 + sum(input)/s - acc
of input differences and fires at q >= 1 and q < 0: the same compares, written for an input that is already summed.
Invariant: once x rests, acc reaches clip(floor(x/s + 1/2), -negative, positive), the quantiser's value, in as many
ticks as they are apart, and stays there in silence.

Integer: ``theta`` is the step in units of the input, per channel: 2 (x - theta acc) >= theta, and < -theta. Exact; acc
needs 8 bits and never saturates.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from ..ir.fixed import flag
from ..ir.neuron_model import IN_MICROCODE, NeuronModel, Params, Quantized, Scale, StateVar, Values
from ..ir.types import TERNARY, Code
from ._counting import in_steps

#: largest value of the tracer, either side
ACC_MAX = 127


class SignedTracer(NeuronModel):
    """One signed spike per tick towards the quantised input."""

    name = "signed_tracer"
    state = (StateVar("acc", 8),)
    float_params = ("step", "positive", "negative")
    int_params = ("theta", "positive", "negative")
    thresholds = ("theta",)
    example: ClassVar = {"step": 0.5, "positive": 7, "negative": 8}
    stock = False
    grade = ("plausible", f"a counter, two compares and signed spikes exist {IN_MICROCODE}")

    @staticmethod
    def float_step(x: Any, acc: Any, step: Any, positive: int, negative: int) -> Values:
        """One step towards floor(x / step + 1/2); out in source units."""
        gap = x / step - acc
        up = (gap >= 0.5) & (acc < positive)
        down = (gap < -0.5) & (acc > -negative)
        spike = np.where(up, 1.0, np.where(down, -1.0, 0.0))
        return spike * step, acc + spike

    @staticmethod
    def int_step(x: Any, acc: Any, theta: Any, positive: int, negative: int) -> Values:
        """The same compares in integers; out is the spike."""
        gap = 2 * (x - theta * acc)
        spike = flag((gap >= theta) & (acc < positive)) - flag((gap < -theta) & (acc > -negative))
        return spike, acc + spike, flag(spike > 1)  # never: the tracer is bounded

    def code(self, params: Params) -> Code:
        """Signed spikes: also a tracer of values that are never negative walks back."""
        return TERNARY

    def quantize(self, params: Params, in_scale: Scale, observed: float) -> Quantized:
        """The step in units of the input. Raises ValueError where it is below one of them or leaves 24 bits."""
        ints, worth = in_steps(params, in_scale, "input")
        return Quantized(ints, self.code(ints), worth)

    def operations(self, params: Params) -> int:
        """Multiply, subtract, shift, four compares, three logic operations, an add."""
        return 11


MEMBER = SignedTracer()
