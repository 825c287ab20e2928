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

from ..ir.fixed import decay, flag, saturate, wrap, wrap_once_24
from ..ir.types import BINARY, Code, graded
from ..ir.widths import MESSAGE_BITS, REGISTER_BITS, STATE_BITS
from ._base import NeuronModel, Params, Quantized, Scale, StateVar, Values
from .lif import VTH_MAX, decay_code

#: bits below the unit of a synaptic sum in current and voltage
FRACTION_BITS = 6
PAYLOAD_MAX = (1 << (MESSAGE_BITS - 1)) - 1


def cuba_dynamics(x: Any, u: Any, v: Any, du: Any, dv: Any, bias: Any) -> Values:
    """Current and voltage of Lava's bit-accurate LIF before the threshold; third: 1 where v was clipped."""
    u = wrap_once_24(wrap(decay(u, 4096 - (du + 1)) + (x << 6), 32))
    raw = wrap(decay(v, 4096 - dv) + u + bias, 32)
    v = saturate(raw, STATE_BITS)
    return u, v, flag(raw != v)


class CubaLif(NeuronModel):
    """lava-dl's CUBA (LOIHI) neuron."""

    name = "cuba_lif"
    state = (StateVar("u", REGISTER_BITS, declared=STATE_BITS), StateVar("v", STATE_BITS))
    float_params = ("alpha", "beta", "bias", "threshold")
    int_params = ("du", "dv", "bias", "vth")
    thresholds = ("vth",)
    example: ClassVar = {"alpha": 0.5, "beta": 0.75, "bias": 0.0, "threshold": 1.0}
    stock = True
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


def decays_and_bias(params: Params, in_scale: Scale) -> dict[str, Any]:
    """Integer decays and bias for an input whose unit is worth ``in_scale``."""
    unit = np.asarray(in_scale) / (1 << FRACTION_BITS)
    bias = np.rint(np.asarray(params["bias"]) / unit).astype(np.int64)
    return {"du": decay_code(params["alpha"]) - 1, "dv": decay_code(params["beta"]), "bias": bias}


def current_limit(alpha: Any) -> int:
    """The largest |input| for which a current that keeps ``alpha`` per tick stays in 24 bits, but at least 2^12."""
    return max(1 << 12, int((1 << 17) * (1.0 - float(np.max(alpha)))))


class CubaVoltage(NeuronModel):
    """The membrane voltage of a CUBA neuron that never fires: the affine read-out of lava-dl.

    Float:  u = alpha u + x;  v = beta v + u + bias;  the output is v.
    Integer: current and voltage of :class:`CubaLif`, to the bit Lava's; the output is v itself, a 24-bit payload with 6
    bits below the unit of the synaptic sum.
    """

    name = "cuba_voltage"
    state = (StateVar("u", REGISTER_BITS, declared=STATE_BITS), StateVar("v", STATE_BITS))
    float_params = ("alpha", "beta", "bias")
    int_params = ("du", "dv", "bias")
    thresholds = ()
    example: ClassVar = {"alpha": 0.5, "beta": 0.75, "bias": 0.0}
    stock = True
    grade = ("documented", "LIF is a stock neuron and Loihi 2 sends 24-bit payloads")
    modular = True
    keeps_unit = True
    tolerance = 32.0  # decays truncate in each tick; the example's poles hold the error below 12 units

    @staticmethod
    def float_step(x: Any, u: Any, v: Any, alpha: Any, beta: Any, bias: Any) -> Values:
        """Lava's floating LIF without its threshold."""
        u = alpha * u + x
        v = beta * v + u + bias
        return v, u, v

    @staticmethod
    def int_step(x: Any, u: Any, v: Any, du: Any, dv: Any, bias: Any) -> Values:
        """Lava's bit-accurate LIF without its threshold."""
        u, v, clipped = cuba_dynamics(x, u, v, du, dv, bias)
        return v, u, v, clipped

    def code(self, params: Params) -> Code:
        """Graded, 24 bits."""
        return graded(PAYLOAD_MAX)

    def quantize(self, params: Params, in_scale: Scale, observed: float) -> Quantized:
        """Decay codes and bias; a unit of v is 1/64 of one of the input."""
        unit = np.asarray(in_scale) / (1 << FRACTION_BITS)
        return Quantized(decays_and_bias(params, in_scale), graded(PAYLOAD_MAX), unit)

    def quantized_limit(self, params: Params) -> int | None:
        """The largest input that the current sums up within 24 bits, for ever: beyond, it would wrap."""
        return current_limit(params["alpha"])

    def operations(self, params: Params) -> int:
        """Two decays (multiply, shift), three adds."""
        return 7


MEMBERS = [CubaLif(), CubaVoltage()]
