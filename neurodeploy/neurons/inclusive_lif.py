"""Leaky integrate-and-fire that fires at equality, with a bias and a choice of resets, binary spikes.

Float:  H = beta * V + gain * X + bias;  S = [H >= threshold];  where it fires V is, by ``rule``,
    0 ``value``      v_reset
    1 ``subtract``   H - threshold: SpikingJelly's neurons with ``v_reset=None``
and H elsewhere. A reset to zero without bias is the chips' own :mod:`lif`; a neuron that is strict is
:mod:`general_lif`.

Integer: the gain folds into the unit of the state, which has 6 bits below the unit of the input; the decay is a 12-bit
code and truncates towards zero; the voltage saturates at 24 bits and counts:
    v <- sat24(decay(v, 4096 - dv) + (x << 6) + bias);  s = v >= vth;  v <- v_reset or v - drop where s
vth is the threshold in state units rounded up, so that equality falls as it does in the source; drop is the nearest.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from ..ir.fixed import decay, flag, saturate, select
from ..ir.neuron_model import IN_MICROCODE, NeuronModel, Params, Quantized, Scale, StateVar, Values
from ..ir.types import BINARY, Code
from ..ir.widths import STATE_BITS
from ._membrane import FRACTION_BITS, decay_codes, in_units, rounded_up, state_unit

RULES = ("value", "subtract")


class InclusiveLif(NeuronModel):
    """LIF with reset to any value or by subtraction."""

    name = "inclusive_lif"
    state = (StateVar("v", STATE_BITS),)
    float_params = ("beta", "gain", "bias", "threshold", "v_reset", "rule")
    int_params = ("dv", "bias", "vth", "drop", "v_reset", "rule")
    thresholds = ("vth",)
    example: ClassVar = {
        "beta": 0.5, "gain": 0.5, "bias": 0.0, "threshold": 1.0, "v_reset": -0.25, "rule": 1,
    }  # fmt: skip
    stock = False
    grade = ("plausible", f"a LIF that subtracts or resets to a value is {IN_MICROCODE}")
    input_limit = 1 << 17

    @staticmethod
    def float_step(
        x: Any, v: Any, beta: Any, gain: Any, bias: Any, threshold: Any, v_reset: Any, rule: Any
    ) -> Values:
        """H = beta V + gain X + bias, spike at H >= threshold."""
        h = beta * v + gain * x + bias
        s = np.where(h >= threshold, 1.0, 0.0)
        return s, np.where(s > 0, np.where(rule == 1, h - threshold, v_reset), h)

    @staticmethod
    def int_step(x: Any, v: Any, dv: Any, bias: Any, vth: Any, drop: Any, v_reset: Any, rule: Any) -> Values:
        """The same on a 24-bit state with 6 bits below the unit of the input."""
        raw = decay(v, 4096 - dv) + (x << 6) + bias
        h = saturate(raw, STATE_BITS)
        s = flag(h >= vth)
        return s, select(s > 0, select(rule == 1, h - drop, v_reset), h), flag(raw != h)

    def code(self, params: Params) -> Code:
        """Binary."""
        return BINARY

    def quantize(self, params: Params, in_scale: Scale, observed: float) -> Quantized:
        """Decay code; bias, threshold and reset in state units. Raises ValueError if one needs over 24 bits."""
        unit, threshold = state_unit(params, in_scale), params["threshold"]
        ints = {
            "dv": decay_codes(params["beta"]),
            "bias": in_units(params["bias"], unit, "bias"),
            "vth": in_units(threshold, unit, "threshold", rounded_up),
            "drop": in_units(threshold, unit, "threshold"),
            "v_reset": in_units(params["v_reset"], unit, "reset potential"),
            "rule": int(params["rule"]),
        }
        return Quantized(ints, BINARY, 1.0)

    def finest_unit(self, params: Params) -> float:
        """The unit at which the largest of threshold, reset and bias fills 24 bits."""
        largest = [np.abs(np.asarray(params[name])) for name in ("threshold", "v_reset", "bias")]
        widest = np.maximum.reduce(np.broadcast_arrays(*largest)) / np.asarray(params["gain"])
        return float(np.max(widest)) / (1 << (STATE_BITS - 1 - FRACTION_BITS))

    def operations(self, params: Params) -> int:
        """A decay (multiply, shift), two adds, a clip, a compare, a reset."""
        return 7


MEMBER = InclusiveLif()
