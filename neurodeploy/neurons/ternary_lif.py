"""Leaky integrate-and-fire with spikes in {-1, 0, 1}, reset to zero on either.

Float:  H = beta * V + gain * X;  S = sign(H) [|H| >= threshold];  V = H (1 - |S|)   (A2OS2A, SN^t).
Integer: the dynamics of Lava 0.10.0's bit-accurate LIF with TernaryLIF's two strict thresholds
    s = [v > (vth_hi << 6)] - [v < (vth_lo << 6)];  v <- 0 where s.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from ..ir.fixed import flag
from ..ir.neuron_model import NeuronModel, Params, Quantized, Scale, StateVar, Values
from ..ir.types import TERNARY, Code
from ..ir.widths import STATE_BITS
from ._membrane import FORGET, VTH_MAX, decay_code, lava_dynamics, threshold_units


class TernaryLif(NeuronModel):
    """Ternary LIF with symmetric float threshold."""

    name = "ternary_lif"
    state = (StateVar("u", STATE_BITS), StateVar("v", STATE_BITS))
    float_params = ("beta", "gain", "threshold")
    int_params = ("du", "dv", "vth_hi", "vth_lo")
    thresholds = ("vth_hi", "vth_lo")
    example: ClassVar = {"beta": 0.25, "gain": 1.0, "threshold": 0.5}
    stock = False
    monotone = True
    grade = (
        "plausible",
        "Lava ships a fixed-point TernaryLIF; signed payloads and two compares suffice on Loihi 2",
    )
    input_limit = 1 << 17

    @staticmethod
    def float_step(x: Any, u: Any, v: Any, beta: Any, gain: Any, threshold: Any) -> Values:
        """H = beta V + gain X, signed spike at |H| >= threshold, reset to zero."""
        h = beta * v + gain * x
        s = np.where(np.abs(h) >= threshold, np.sign(h), 0.0)
        return s, u, h * (1.0 - np.abs(s))

    @staticmethod
    def int_step(x: Any, u: Any, v: Any, du: int, dv: Any, vth_hi: Any, vth_lo: Any) -> Values:
        """Lava's dynamics, two strict thresholds."""
        u, v, clipped = lava_dynamics(x, u, v, du, dv)
        s = flag(v > (vth_hi << 6)) - flag(v < (vth_lo << 6))
        return s, u, v * (1 - np.abs(s)), clipped

    def code(self, params: Params) -> Code:
        """Ternary."""
        return TERNARY

    def quantize(self, params: Params, in_scale: Scale, observed: float) -> Quantized:
        """As :mod:`lif`, with vth_lo = -vth_hi."""
        vth = threshold_units(params["threshold"], params["gain"], in_scale)
        ints = {"du": FORGET, "dv": decay_code(params["beta"]), "vth_hi": vth, "vth_lo": -vth}
        return Quantized(ints, TERNARY, 1.0)

    def finest_unit(self, params: Params) -> float:
        """The unit at which the threshold mantissa reaches 17 bits."""
        return float(np.max(np.asarray(params["threshold"]) / np.asarray(params["gain"]))) / VTH_MAX

    def operations(self, params: Params) -> int:
        """A LIF and one more compare."""
        return 9


MEMBER = TernaryLif()
