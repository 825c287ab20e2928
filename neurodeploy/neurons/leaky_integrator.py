"""A leaky integrator without threshold, current-based or not: the voltage itself is sent (NIR: LI, CubaLI, I).

Float, forward Euler, current before voltage:
    u <- alpha u + gain x;  v <- beta v + u + bias;  the output is v + offset
alpha = 0 is an integrator without current, beta = 1 one without leak. ``offset`` lets the state count from a resting
potential.
Integer: current and voltage of :mod:`general_lif`, saturating at 24 bits; the output is a 24-bit payload in state
units, 6 bits below the unit of the input times the gain.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from ..ir.fixed import flag, saturate
from ..ir.neuron_model import NeuronModel, Params, Quantized, Scale, StateVar, Values
from ..ir.types import Code, graded
from ..ir.widths import STATE_BITS
from ._membrane import STATE_MAX, current_limit, decay_codes, in_units, integrated, state_unit


class LeakyIntegrator(NeuronModel):
    """The read-out neuron of networks that are trained on voltages."""

    name = "leaky_integrator"
    state = (StateVar("u", STATE_BITS), StateVar("v", STATE_BITS))
    float_params = ("alpha", "beta", "gain", "bias", "offset")
    int_params = ("du", "dv", "bias", "offset")
    thresholds = ()
    example: ClassVar = {"alpha": 0.5, "beta": 0.75, "gain": 0.5, "bias": 0.0, "offset": 0.0}
    stock = True
    grade = ("documented", "LIF is a stock neuron and Loihi 2 sends 24-bit payloads")
    input_limit = 1 << 17
    tolerance = 32.0  # decays truncate in each tick; the example's poles hold the error below 12 units
    keeps_unit = True

    @staticmethod
    def float_step(
        x: Any, u: Any, v: Any, alpha: Any, beta: Any, gain: Any, bias: Any, offset: Any
    ) -> Values:
        """One Euler step, current before voltage."""
        u = alpha * u + gain * x
        v = beta * v + u + bias
        return v + offset, u, v

    @staticmethod
    def int_step(x: Any, u: Any, v: Any, du: Any, dv: Any, bias: Any, offset: Any) -> Values:
        """The same on 24-bit states; the output saturates as the voltage does."""
        u, raw, clipped = integrated(x, u, v, du, dv, bias)
        v = saturate(raw, STATE_BITS)
        out = saturate(v + offset, STATE_BITS)
        return out, u, v, np.maximum(clipped, np.maximum(flag(raw != v), flag(out != v + offset)))

    def code(self, params: Params) -> Code:
        """Graded, 24 bits."""
        return graded(STATE_MAX)

    def quantize(self, params: Params, in_scale: Scale, observed: float) -> Quantized:
        """Decay codes, bias and offset in state units. Raises ValueError if one needs over 24 bits."""
        unit = state_unit(params, in_scale)
        ints = {
            "du": decay_codes(params["alpha"]),
            "dv": decay_codes(params["beta"]),
            "bias": in_units(params["bias"], unit, "bias"),
            "offset": in_units(params["offset"], unit, "offset"),
        }
        return Quantized(ints, graded(STATE_MAX), float(unit) if unit.ndim == 0 else unit)

    def finest_unit(self, params: Params) -> float:
        """The unit at which bias or offset fills 24 bits."""
        largest = np.maximum(np.abs(np.asarray(params["bias"])), np.abs(np.asarray(params["offset"])))
        return float(np.max(largest / np.asarray(params["gain"]))) / (1 << 17)

    def quantized_limit(self, params: Params) -> int | None:
        """The largest input that the current sums up without saturating, for ever."""
        return current_limit(params["alpha"])

    def operations(self, params: Params) -> int:
        """Two decays (multiply, shift), four adds, three clips."""
        return 11


MEMBER = LeakyIntegrator()
