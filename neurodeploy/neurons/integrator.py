"""Integrator of differences: what stands behind layers and products whose inputs are changes, not values.

    v <- v + x;   out = v + bias
The sum of all changes that arrived is the value itself, so what a layer adds once (its bias) is added here. Read by
what lives at the same index (norms, operators, sums, neurons), it needs no message of its own.

Integer: v saturates at ``bits`` and counts; the bias is in state units, per channel; the sum of both saturates too.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from ..ir.fixed import flag, saturate
from ..ir.neuron_model import IN_MICROCODE, NeuronModel, Params, Quantized, Scale, StateVar, Values
from ..ir.types import Code, graded
from ..ir.widths import STATE_BITS

BITS = STATE_BITS  # of what is read, too


class Integrator(NeuronModel):
    """Running sum plus a constant."""

    name = "integrator"
    state = (StateVar("v", BITS),)
    float_params = ("bias",)
    int_params = ("bias", "bits")
    thresholds = ()
    example: ClassVar = {"bias": 0.0}
    stock = False
    grade = ("plausible", f"an accumulator read at every tick exists {IN_MICROCODE}")
    keeps_unit = True

    @staticmethod
    def float_step(x: Any, v: Any, bias: Any) -> Values:
        """The running sum plus the bias."""
        v = v + x
        return v + bias, v

    @staticmethod
    def int_step(x: Any, v: Any, bias: Any, bits: int) -> Values:
        """The same in ``bits`` bits."""
        raw = v + x
        v = saturate(raw, bits)
        total = v + bias
        out = saturate(total, bits)
        return out, v, flag((raw != v) | (total != out))

    def code(self, params: Params) -> Code:
        """As wide as the state."""
        return graded((1 << (int(params.get("bits", BITS)) - 1)) - 1)

    def quantize(self, params: Params, in_scale: Scale, observed: float) -> Quantized:
        """The bias in units of the input, which stay those of the output. Raises ValueError where it does not fit."""
        bias = np.floor(np.asarray(params["bias"]) / np.asarray(in_scale) + 0.5).astype(np.int64)
        if np.abs(bias).max() >= 1 << (BITS - 1):
            raise ValueError("a bias does not fit the state of its integrator")
        ints = {"bias": bias, "bits": BITS}
        return Quantized(ints, self.code(ints), np.asarray(in_scale))

    def operations(self, params: Params) -> int:
        """Two adds, two clips."""
        return 4


MEMBER = Integrator()
