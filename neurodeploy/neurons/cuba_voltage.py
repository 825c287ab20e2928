"""The membrane voltage of a CUBA neuron that never fires: the affine read-out of lava-dl.

Float:  u = alpha u + x;  v = beta v + u + bias;  the output is v.
Integer: current and voltage of :mod:`cuba_lif`, to the bit Lava's; the output is v itself, a 24-bit payload with 6 bits
below the unit of the synaptic sum.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from ..ir.neuron_model import NeuronModel, Params, Quantized, Scale, StateVar, Values
from ..ir.types import Code, graded
from ..ir.widths import MESSAGE_BITS, REGISTER_BITS, STATE_BITS
from ._membrane import FRACTION_BITS, cuba_dynamics, current_limit, decays_and_bias

PAYLOAD_MAX = (1 << (MESSAGE_BITS - 1)) - 1


class CubaVoltage(NeuronModel):
    """A CUBA neuron whose voltage is read."""

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


MEMBER = CubaVoltage()
