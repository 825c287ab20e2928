"""Current-based leaky integrate-and-fire with a bias, hard reset to zero, binary spikes: the neuron of lava-dl.

Float (Lava's floating model, strict):  u = alpha u + x;  v = beta v + u + bias;  s = [v > threshold];  v = 0 where s.
Integer: Lava 0.10.0 ``PyLifModelBitAcc`` to the bit, int32 registers included, bias already shifted by its exponent:
    u <- wrap24(wrap32(decay(u, 4096 - (du + 1)) + (x << 6)))      24 bits wrap once, as Lava's do
    v <- clip24(wrap32(decay(v, 4096 - dv) + u + bias))
    s = v > (vth << 6);  v <- 0 where s
du = -1 keeps the whole current. Sums below 2^17 keep u in 24 bits, as Loihi does. Lava itself goes on beyond in its
int32 registers, which wrap, and so does this model: u has 32 bits, and only the low 32 bits of an input matter.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from ..ir.fixed import flag
from ..ir.neuron_model import NeuronModel, Params, Quantized, Scale, StateVar, Values
from ..ir.types import BINARY, Code
from ..ir.widths import REGISTER_BITS, STATE_BITS
from ._membrane import VTH_MAX, cuba_dynamics, current_limit, decays_and_bias


class CubaLif(NeuronModel):
    """lava-dl's CUBA (LOIHI) neuron."""

    name = "cuba_lif"
    state = (StateVar("u", REGISTER_BITS, declared=STATE_BITS), StateVar("v", STATE_BITS))
    float_params = ("alpha", "beta", "bias", "threshold")
    int_params = ("du", "dv", "bias", "vth")
    thresholds = ("vth",)
    example: ClassVar = {"alpha": 0.5, "beta": 0.75, "bias": 0.0, "threshold": 1.0}
    stock = True
    monotone = True
    grade = ("documented", "LIF with current, bias and decays is a stock neuron of Loihi 1 and 2")
    modular = True

    @staticmethod
    def float_step(x: Any, u: Any, v: Any, alpha: Any, beta: Any, bias: Any, threshold: Any) -> Values:
        """Lava's floating LIF."""
        u = alpha * u + x
        v = beta * v + u + bias
        s = np.where(v > threshold, 1.0, 0.0)
        return s, u, v * (1.0 - s)

    @staticmethod
    def int_step(x: Any, u: Any, v: Any, du: Any, dv: Any, bias: Any, vth: Any) -> Values:
        """Lava's bit-accurate LIF."""
        u, v, clipped = cuba_dynamics(x, u, v, du, dv, bias)
        s = flag(v > (vth << 6))
        return s, u, v * (1 - s), clipped

    def code(self, params: Params) -> Code:
        """Binary."""
        return BINARY

    def quantize(self, params: Params, in_scale: Scale, observed: float) -> Quantized:
        """Decay codes, bias with a 6-bit fraction, vth rounded down. Raises ValueError if vth needs over 17 bits."""
        vth = np.floor(np.asarray(params["threshold"]) / np.asarray(in_scale)).astype(np.int64)
        if vth.max() > VTH_MAX or vth.min() < 0:
            raise ValueError(f"threshold mantissa {int(vth.max())}, {int(vth.min())} outside 0 .. {VTH_MAX}")
        return Quantized({**decays_and_bias(params, in_scale), "vth": vth}, BINARY, 1.0)

    def finest_unit(self, params: Params) -> float:
        """The unit at which the threshold mantissa reaches 17 bits."""
        return float(np.max(np.asarray(params["threshold"]))) / VTH_MAX

    def quantized_limit(self, params: Params) -> int | None:
        """The largest input that the current sums up within 24 bits, for ever: beyond, it would wrap."""
        return current_limit(params["alpha"])

    def operations(self, params: Params) -> int:
        """Two decays (multiply, shift), three adds, one compare, one reset."""
        return 9


MEMBER = CubaLif()
