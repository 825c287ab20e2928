"""Time to first spike: a neuron that sends one spike per sample, the sooner the larger its constant input is.

    s = full where (ticks + 1) x + min(t, ticks) full >= (ticks + 1) full for the first time, else 0;  t = 1, 2, ..
So x from ticks / (ticks + 1) of ``full`` is sent at tick 1, x from 1 / (ticks + 1) of it at the last tick, and less
never.

Integer: exact. gain = ticks + 1, step is ``full`` in units of the input; a spike is worth ``full``. t has 8 bits.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from ..ir.fixed import flag, saturate
from ..ir.neuron_model import IN_MICROCODE, NeuronModel, Params, Quantized, Scale, StateVar, Values
from ..ir.types import BINARY, Code
from ._membrane import in_units

CLOCK_BITS = 8


class FirstSpike(NeuronModel):
    """One spike, whose tick is the value."""

    name = "first_spike"
    state = (StateVar("t", CLOCK_BITS, clock=True), StateVar("sent", 2))
    float_params = ("full", "ticks")
    int_params = ("step", "gain")
    thresholds = ()
    stock = False
    monotone = True
    input_limit = 1 << 16
    grade = ("plausible", f"a compare with a threshold that falls is {IN_MICROCODE}")
    example: ClassVar = {"full": 1.0, "ticks": 4}

    @staticmethod
    def float_step(x: Any, t: Any, sent: Any, full: Any, ticks: Any) -> Values:
        """A threshold that falls by full / (ticks + 1) in each tick."""
        t = t + 1.0
        hit = np.where((ticks + 1) * x + np.minimum(t, ticks) * full >= (ticks + 1) * full, 1.0, 0.0)
        return hit * (1.0 - sent) * full, t, np.maximum(sent, hit)

    @staticmethod
    def int_step(x: Any, t: Any, sent: Any, step: Any, gain: int) -> Values:
        """The same in integers."""
        raw = t + 1
        now = saturate(raw, CLOCK_BITS)
        hit = flag(gain * x + np.minimum(now, gain - 1) * step >= gain * step)
        return hit * (1 - sent), now, np.maximum(sent, hit), flag(raw != now)

    def code(self, params: Params) -> Code:
        """Binary."""
        return BINARY

    def quantize(self, params: Params, in_scale: Scale, observed: float) -> Quantized:
        """``full`` in units of the input. Raises ValueError past 24 bits, and for more ticks than are counted."""
        if params["ticks"] >= 1 << (CLOCK_BITS - 1):
            raise ValueError(f"a first spike counts {(1 << (CLOCK_BITS - 1)) - 1} ticks at most")
        step = in_units(params["full"], np.asarray(in_scale), "full scale")
        return Quantized({"step": step, "gain": int(params["ticks"]) + 1}, BINARY, params["full"])

    def operations(self, params: Params) -> int:
        """Count, minimum, two multiplies, an add, a compare, a mask, a maximum."""
        return 8


MEMBER = FirstSpike()
