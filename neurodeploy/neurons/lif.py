"""Leaky integrate-and-fire with hard reset to zero: binary spikes, or ternary ones.

Float (fires at equality):  H = beta * V + gain * X;  S = [H >= threshold];  V = H (1 - S).
SpikingJelly's default LIF (tau, decay_input, v_reset 0) is beta = 1 - 1/tau, gain = 1/tau; the A2OS2A neuron has
gain = 1. Integer: Lava 0.10.0 ``PyLifModelBitAcc``, to the bit, with the bias arriving in the input:
    u <- wrap24(decay(u, 4096 - (du + 1)) + (x << 6));  v <- clip24(decay(v, 4096 - dv) + u)
    s = v > (vth << 6)   (strict);  v <- 0 where s
Threshold: vth = floor(threshold / (gain * unit)), so whole-unit states fire exactly as >= does unless the quotient
is itself whole; the state's fraction (6 bits) keeps beta = 1/2 and 1/4 exact for 7 and 4 ticks.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from ..array import Array
from ..ir.fixed import decay, flag, saturate, wrap_once_24
from ..ir.types import BINARY, TERNARY, Code
from ..ir.widths import STATE_BITS
from ._base import NeuronModel, Params, Quantized, Scale, StateVar, Values

VTH_MAX = (1 << 17) - 1
FORGET = 4095  # du: no current memory


def lava_dynamics(x: Any, u: Any, v: Any, du: Any, dv: Any) -> Values:
    """Current and voltage of Lava's bit-accurate LIF before the threshold; third: 1 where v was clipped."""
    u = wrap_once_24(decay(u, 4096 - (du + 1)) + (x << 6))
    raw = decay(v, 4096 - dv) + u
    v = saturate(raw, STATE_BITS)
    return u, v, flag(raw != v)


class Lif(NeuronModel):
    """LIF, the neuron of Spikformer-like networks and of A2OS2A's binary sites."""

    name = "lif"
    state = (StateVar("u", STATE_BITS), StateVar("v", STATE_BITS))
    float_params = ("beta", "gain", "threshold")
    int_params = ("du", "dv", "vth")
    thresholds = ("vth",)
    example: ClassVar = {"beta": 0.5, "gain": 0.5, "threshold": 1.0}
    stock = True
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


def decay_code(beta: float) -> int:
    """dv = 4096 (1 - beta), the nearest 12-bit code."""
    return round(4096 * (1.0 - float(beta)))


def threshold_units(threshold: Any, gain: Any, in_scale: Any) -> Array:
    """floor(threshold / (gain * unit)) as int64; raises ValueError outside 0 .. 2^17 - 1.

    0 stands for a threshold inside the first unit: every positive state fires, as it does in the source.
    """
    vth: Array = np.floor(np.asarray(threshold) / (np.asarray(gain) * np.asarray(in_scale))).astype(np.int64)
    if vth.max() > VTH_MAX or vth.min() < 0:
        raise ValueError(f"threshold mantissa {int(vth.max())}, {int(vth.min())} outside 0 .. {VTH_MAX}")
    return vth


class TernaryLif(NeuronModel):
    """LIF with spikes in {-1, 0, 1} by a symmetric threshold, reset to zero on either.

    Float:  H = beta * V + gain * X;  S = sign(H) [|H| >= threshold];  V = H (1 - |S|)   (A2OS2A, SN^t).
    Integer: the dynamics of Lava 0.10.0's bit-accurate LIF with TernaryLIF's two strict thresholds
        s = [v > (vth_hi << 6)] - [v < (vth_lo << 6)];  v <- 0 where s.
    """

    name = "ternary_lif"
    state = (StateVar("u", STATE_BITS), StateVar("v", STATE_BITS))
    float_params = ("beta", "gain", "threshold")
    int_params = ("du", "dv", "vth_hi", "vth_lo")
    thresholds = ("vth_hi", "vth_lo")
    example: ClassVar = {"beta": 0.25, "gain": 1.0, "threshold": 0.5}
    stock = False
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
        """As :class:`Lif`, with vth_lo = -vth_hi."""
        vth = threshold_units(params["threshold"], params["gain"], in_scale)
        ints = {"du": FORGET, "dv": decay_code(params["beta"]), "vth_hi": vth, "vth_lo": -vth}
        return Quantized(ints, TERNARY, 1.0)

    def finest_unit(self, params: Params) -> float:
        """The unit at which the threshold mantissa reaches 17 bits."""
        return float(np.max(np.asarray(params["threshold"]) / np.asarray(params["gain"]))) / VTH_MAX

    def operations(self, params: Params) -> int:
        """A LIF and one more compare."""
        return 9


MEMBERS = [Lif(), TernaryLif()]
