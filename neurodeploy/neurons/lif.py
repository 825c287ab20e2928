"""Leaky integrate-and-fire with hard reset to zero, binary spikes.

Float (fires at equality):  H = beta * V + gain * X;  S = [H >= threshold];  V = H (1 - S).
SpikingJelly's default LIF (tau, decay_input, v_reset 0) is beta = 1 - 1/tau, gain = 1/tau; the A2OS2A neuron has
gain = 1. Integer: Lava 0.10.0 ``PyLifModelBitAcc``, to the bit, with the bias arriving in the input:
    u <- wrap24(decay(u, 4096 - (du + 1)) + (x << 6));  v <- clip24(decay(v, 4096 - dv) + u)
    s = v > (vth << 6)   (strict);  v <- 0 where s
Threshold: vth = ceil(threshold / (gain * unit)) - 1, so states of whole units fire exactly as >= does. A leaked state
has 6 bits below the unit, which keep beta = 1/2 and 1/4 exact for 7 and 4 ticks, and fires less than one unit early.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from ..ir.fixed import decay_in_32, flag
from ..ir.neuron_model import NeuronModel, Params, Quantized, Scale, StateVar, Values
from ..ir.types import BINARY, Code
from ..ir.widths import STATE_BITS
from ._membrane import (
    FORGET,
    STATE_MAX,
    VTH_MAX,
    decay_code,
    lava_dynamics,
    lava_dynamics_in_32,
    lava_narrow,
    threshold_units,
)


class Lif(NeuronModel):
    """LIF, the neuron of Spikformer-like networks and of A2OS2A's binary sites."""

    name = "lif"
    state = (StateVar("u", STATE_BITS), StateVar("v", STATE_BITS))
    float_params = ("beta", "gain", "threshold")
    int_params = ("du", "dv", "vth")
    thresholds = ("vth",)
    example: ClassVar = {"beta": 0.5, "gain": 0.5, "threshold": 1.0}
    stock = True
    monotone = True
    grade = ("documented", "LIF is a stock neuron of Loihi 1 and 2")
    input_limit = 1 << 17

    @staticmethod
    def float_step(x: Any, u: Any, v: Any, beta: Any, gain: Any, threshold: Any) -> Values:
        """H = beta V + gain X, spike at H >= threshold, reset to zero."""
        h = beta * v + gain * x
        s = np.where(h >= threshold, 1.0, 0.0)
        return s, u, h * (1.0 - s)

    @staticmethod
    def int_step(x: Any, u: Any, v: Any, du: int, dv: Any, vth: Any) -> Values:
        """Lava's bit-accurate LIF."""
        u, v, clipped = lava_dynamics(x, u, v, du, dv)
        s = flag(v > (vth << 6))
        return s, u, v * (1 - s), clipped

    @staticmethod
    def narrow_step(x: Any, u: Any, v: Any, du: int, dv: int, vth: Any) -> Values:
        """In 32 bits."""
        u, v, clipped = lava_dynamics_in_32(x, u, v, du, dv)
        s = np.int32(v > np.int32(vth << np.int32(6)))
        return s, u, np.int32(v * np.int32(np.int32(1) - s)), clipped

    @staticmethod
    def open_step(x: Any, u: Any, v: Any, du: int, dv: int, vth: Any) -> Values:
        """In 32 bits where a current is forgotten at once and the voltage cannot reach its ends."""
        u = np.int32(x << np.int32(6))
        v = np.int32(decay_in_32(v, np.int32(np.int32(4096) - dv)) + u)
        s = v > np.int32(vth << np.int32(6))
        return np.int32(s), u, np.int32(0) if s else v, np.int32(0)

    def form(self, params: Params, reach: int) -> str:
        """In 32 bits for every decay code and threshold of 17 bits."""
        du, dv = params["du"], params["dv"]
        if not lava_narrow(du, dv, params["vth"]):
            return "int_step"
        forgets = np.min(du) == FORGET and np.min(dv) > 0
        return "open_step" if forgets and (reach << 6) * 4096 / np.min(dv) < STATE_MAX else "narrow_step"

    def code(self, params: Params) -> Code:
        """Binary."""
        return BINARY

    def quantize(self, params: Params, in_scale: Scale, observed: float) -> Quantized:
        """dv from beta; the gain and the input's unit fold into vth. Raises ValueError past 17 bits."""
        vth = threshold_units(params["threshold"], params["gain"], in_scale)
        return Quantized({"du": FORGET, "dv": decay_code(params["beta"]), "vth": vth}, BINARY, 1.0)

    def finest_unit(self, params: Params) -> float:
        """The unit at which the threshold mantissa reaches 17 bits."""
        return float(np.max(np.asarray(params["threshold"]) / np.asarray(params["gain"]))) / VTH_MAX

    def operations(self, params: Params) -> int:
        """Two decays (multiply, shift), two adds, one compare, one reset."""
        return 8


MEMBER = Lif()
