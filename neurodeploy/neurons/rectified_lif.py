"""Leaky integrate-and-fire whose voltage has a lowest value, binary spikes: KLIF.

Float:  H = max(beta * V + gain * X + bias, floor);  S = [H >= threshold];  where it fires V is, by ``rule``,
    0 ``rest``       0, from where voltages are counted
    1 ``subtract``   H - threshold
and H elsewhere. KLIF (Jiang and Zhang, arXiv 2302.09238) is ReLU(k H) of a LIF: the floor is its 0.

Integer: as :mod:`inclusive_lif`, whose voltage has a floor, in state units:
    v <- sat24(max(decay(v, 4096 - dv) + (x << 6) + bias, floor));  s = v >= vth;  v <- 0 or v - drop where s
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from ..ir.fixed import decay, flag, saturate, select
from ..ir.neuron_model import IN_MICROCODE, NeuronModel, Params, Quantized, Scale, StateVar, Values
from ..ir.types import BINARY, Code
from ..ir.widths import STATE_BITS
from ._membrane import FRACTION_BITS, decay_codes, in_units, rounded_up, state_unit

RULES = ("rest", "subtract")


class RectifiedLif(NeuronModel):
    """LIF with a lowest voltage."""

    name = "rectified_lif"
    state = (StateVar("v", STATE_BITS),)
    float_params = ("beta", "gain", "bias", "floor", "threshold", "rule")
    int_params = ("dv", "bias", "floor", "vth", "drop", "rule")
    thresholds = ("vth",)
    example: ClassVar = {
        "beta": 0.5, "gain": 0.5, "bias": 0.0, "floor": -0.25, "threshold": 1.0, "rule": 1,
    }  # fmt: skip
    stock = False
    grade = ("plausible", f"a LIF whose voltage is cut off below is {IN_MICROCODE}")
    input_limit = 1 << 17

    @staticmethod
    def float_step(
        x: Any, v: Any, beta: Any, gain: Any, bias: Any, floor: Any, threshold: Any, rule: Any
    ) -> Values:
        """H = max(beta V + gain X + bias, floor), spike at H >= threshold."""
        h = np.maximum(beta * v + gain * x + bias, floor)
        s = np.where(h >= threshold, 1.0, 0.0)
        return s, np.where(s > 0, np.where(rule == 1, h - threshold, 0.0), h)

    @staticmethod
    def int_step(x: Any, v: Any, dv: Any, bias: Any, floor: Any, vth: Any, drop: Any, rule: Any) -> Values:
        """The same on a 24-bit state with 6 bits below the unit of the input."""
        raw = np.maximum(decay(v, 4096 - dv) + (x << 6) + bias, floor)
        h = saturate(raw, STATE_BITS)
        s = flag(h >= vth)
        return s, select(s > 0, select(rule == 1, h - drop, 0), h), flag(raw != h)

    def code(self, params: Params) -> Code:
        """Binary."""
        return BINARY

    def quantize(self, params: Params, in_scale: Scale, observed: float) -> Quantized:
        """Decay code; bias, floor and threshold in state units. Raises ValueError if one needs over 24 bits."""
        unit, threshold = state_unit(params, in_scale), params["threshold"]
        ints = {
            "dv": decay_codes(params["beta"]),
            "bias": in_units(params["bias"], unit, "bias"),
            "floor": in_units(params["floor"], unit, "floor"),
            "vth": in_units(threshold, unit, "threshold", rounded_up),
            "drop": in_units(threshold, unit, "threshold"),
            "rule": int(params["rule"]),
        }
        return Quantized(ints, BINARY, 1.0)

    def finest_unit(self, params: Params) -> float:
        """The unit at which the largest of threshold, floor and bias fills 24 bits."""
        largest = [np.abs(np.asarray(params[name])) for name in ("threshold", "floor", "bias")]
        widest = np.maximum.reduce(np.broadcast_arrays(*largest)) / np.asarray(params["gain"])
        return float(np.max(widest)) / (1 << (STATE_BITS - 1 - FRACTION_BITS))

    def operations(self, params: Params) -> int:
        """A decay (multiply, shift), two adds, a maximum, a clip, a compare, a reset."""
        return 8


MEMBER = RectifiedLif()
