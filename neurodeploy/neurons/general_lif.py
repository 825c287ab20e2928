"""Current-based leaky integrate-and-fire with every parameter per neuron and a choice of resets, binary spikes.

The neuron of NIR files that :mod:`cuba_lif` is too narrow for: time constants, reset potential or gain differ by
neuron, or threshold and state are subtracted instead of reset. Forward Euler, current before voltage:

    u <- alpha u + gain x;  v <- beta v + u + bias;  s = [v > threshold]   (strict)
``rule``, what a spike does to the voltage:
    0 ``value``            v <- v_reset at once (NIR's equation)
    1 ``subtract``         v <- v - threshold at once
    2 ``subtract, late``   the next tick's v loses threshold, which has not leaked (snnTorch, reset_delay=True)
    3 ``value, late``      the next tick's v is v_reset, whatever arrives (snnTorch's Synaptic, reset_delay=True)
Late rules look at v > threshold at the start of the tick, so they need no state of their own.

Integer: the gain folds into the unit of the state, which has 6 bits below it as Lava's LIF has; decays are 12-bit codes
and truncate towards zero; current and voltage saturate at 24 bits and count:
    u <- sat24(decay(u, 4096 - du) + (x << 6));  v <- sat24(decay(v, 4096 - dv) + u + bias);  s = [v > vth]
vth = floor(threshold / unit) is exact for whole-unit states, since both compares are strict.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from ..ir.fixed import flag, saturate, select
from ..ir.neuron_model import NeuronModel, Params, Quantized, Scale, StateVar, Values
from ..ir.types import BINARY, Code
from ..ir.widths import STATE_BITS
from ._membrane import current_limit, decay_codes, in_units, integrated, state_unit

RULES = ("value", "subtract", "subtract, late", "value, late")


class GeneralLif(NeuronModel):
    """LIF with current, bias, reset potential or subtraction, all per neuron."""

    name = "general_lif"
    state = (StateVar("u", STATE_BITS), StateVar("v", STATE_BITS))
    float_params = ("alpha", "beta", "gain", "bias", "threshold", "v_reset", "rule")
    int_params = ("du", "dv", "bias", "vth", "v_reset", "rule")
    thresholds = ("vth",)
    example: ClassVar = {
            "alpha": 0.5, "beta": 0.75, "gain": 0.5, "bias": 0.0, "threshold": 1.0, "v_reset": -0.25, "rule": 0,
        }  # fmt: skip
    stock = False
    monotone = True
    grade = ("plausible", "add, multiply, shift and compare of Loihi 2 microcode; not shown on silicon")
    input_limit = 1 << 17

    @staticmethod
    def float_step(
        x: Any,
        u: Any,
        v: Any,
        alpha: Any,
        beta: Any,
        gain: Any,
        bias: Any,
        threshold: Any,
        v_reset: Any,
        rule: Any,
    ) -> Values:
        """One Euler step, current before voltage."""
        late = np.where(rule >= 2, 1.0, 0.0) * np.where(v > threshold, 1.0, 0.0)
        u = alpha * u + gain * x
        v = beta * v + u + bias
        v = np.where(rule == 2, v - late * threshold, np.where(late > 0, v_reset, v))
        s = np.where(v > threshold, 1.0, 0.0)
        after = np.where(rule == 0, v_reset, np.where(rule == 1, v - threshold, v))
        return s, u, np.where(s > 0, after, v)

    @staticmethod
    def int_step(
        x: Any, u: Any, v: Any, du: Any, dv: Any, bias: Any, vth: Any, v_reset: Any, rule: Any
    ) -> Values:
        """The same on 24-bit states with 6 bits below the unit of the input."""
        late = flag(rule >= 2) * flag(v > vth)
        u, raw, clipped = integrated(x, u, v, du, dv, bias)
        raw = select(rule == 2, raw - late * vth, select(late > 0, v_reset, raw))
        v = saturate(raw, STATE_BITS)
        s = flag(v > vth)
        after = select(rule == 0, v_reset, select(rule == 1, v - vth, v))
        return s, u, select(s > 0, after, v), np.maximum(clipped, flag(raw != v))

    def code(self, params: Params) -> Code:
        """Binary."""
        return BINARY

    def quantize(self, params: Params, in_scale: Scale, observed: float) -> Quantized:
        """Decay codes; threshold, reset and bias in state units. Raises ValueError if one needs over 24 bits."""
        unit = state_unit(params, in_scale)
        ints = {
            "du": decay_codes(params["alpha"]),
            "dv": decay_codes(params["beta"]),
            "bias": in_units(params["bias"], unit, "bias"),
            "vth": in_units(params["threshold"], unit, "threshold", np.floor),
            "v_reset": in_units(params["v_reset"], unit, "reset potential"),
            "rule": int(params["rule"]),
        }
        return Quantized(ints, BINARY, 1.0)

    def finest_unit(self, params: Params) -> float:
        """The unit at which the largest of threshold, reset and bias fills 24 bits."""
        largest = [np.abs(np.asarray(params[name])) for name in ("threshold", "v_reset", "bias")]
        return float(
            np.max(np.maximum.reduce(np.broadcast_arrays(*largest)) / np.asarray(params["gain"]))
        ) / (1 << 17)

    def quantized_limit(self, params: Params) -> int | None:
        """The largest input that the current sums up without saturating, for ever."""
        return current_limit(params["alpha"])

    def operations(self, params: Params) -> int:
        """Two decays (multiply, shift), three adds, two clips, one compare, one reset."""
        return 11


MEMBER = GeneralLif()
