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

from ..array import Array
from ..ir.fixed import decay, flag, saturate, select
from ..ir.types import BINARY, Code, graded
from ..ir.widths import STATE_BITS
from ._base import NeuronModel, Params, Quantized, Scale, StateVar, Values
from .cuba_lif import FRACTION_BITS, current_limit

RULES = ("value", "subtract", "subtract, late", "value, late")
STATE_MAX = (1 << (STATE_BITS - 1)) - 1


def integrated(x: Any, u: Any, v: Any, du: Any, dv: Any, bias: Any) -> Values:
    """Saturated current, voltage as it would be without saturation, and 1 where the current was clipped."""
    raw = decay(u, 4096 - du) + (x << 6)
    u = saturate(raw, STATE_BITS)
    return u, decay(v, 4096 - dv) + u + bias, flag(raw != u)


class GeneralLif(NeuronModel):
    """LIF with current, bias, reset potential or subtraction, all per neuron."""

    name = "general_lif"
    state = (StateVar("u", STATE_BITS), StateVar("v", STATE_BITS))
    float_params = ("alpha", "beta", "gain", "bias", "threshold", "v_reset", "rule")
    int_params = ("du", "dv", "bias", "vth", "v_reset", "rule")
    thresholds = ("vth",)
    example: ClassVar = {"alpha": 0.5, "beta": 0.75, "gain": 0.5, "bias": 0.0, "threshold": 1.0,
                         "v_reset": -0.25, "rule": 0}  # fmt: skip
    stock = False
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
        return finest(params, "threshold", "v_reset", "bias")

    def quantized_limit(self, params: Params) -> int | None:
        """The largest input that the current sums up without saturating, for ever."""
        return current_limit(params["alpha"])

    def operations(self, params: Params) -> int:
        """Two decays (multiply, shift), three adds, two clips, one compare, one reset."""
        return 11


def decay_codes(kept: Any) -> int | Array:
    """The nearest 12-bit codes 4096 (1 - kept) of what a tick keeps of a state."""
    codes = np.rint(4096 * (1.0 - np.asarray(kept, dtype=np.float64))).astype(np.int64)
    return int(codes) if codes.ndim == 0 else codes


def state_unit(params: Params, in_scale: Scale) -> Array:
    """What a unit of current and voltage is worth: the gain folds into it."""
    unit: Array = np.asarray(in_scale) * np.asarray(params["gain"]) / (1 << FRACTION_BITS)
    return unit


def finest(params: Params, *names: str) -> float:
    """The worth of an input unit at which the largest of the named parameters fills 24 bits."""
    largest = np.broadcast_arrays(*(np.abs(np.asarray(params[name])) for name in names))
    return float(np.max(np.maximum.reduce(largest) / np.asarray(params["gain"]))) / (1 << 17)


def in_units(value: Any, unit: Array, what: str, rounding: Any = np.rint) -> Array:
    """``value`` in whole state units; raises ValueError past 24 bits."""
    units: Array = rounding(np.asarray(value, dtype=np.float64) / unit)
    if np.abs(units).max() > STATE_MAX:
        raise ValueError(f"{what} of {np.abs(units).max():.4g} state units, more than {STATE_MAX}")
    return units.astype(np.int64)


class LeakyIntegrator(NeuronModel):
    """A leaky integrator without threshold, current-based or not: the voltage itself is sent (NIR: LI, CubaLI, I).

    Float, forward Euler, current before voltage:
        u <- alpha u + gain x;  v <- beta v + u + bias;  the output is v + offset
    alpha = 0 is an integrator without current, beta = 1 one without leak. ``offset`` lets the state count from a
    resting potential. Integer: current and voltage of :class:`GeneralLif`, saturating at 24 bits; the output is a
    24-bit payload in state units, 6 bits below the unit of the input times the gain.
    """

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
        return finest(params, "bias", "offset")

    def quantized_limit(self, params: Params) -> int | None:
        """The largest input that the current sums up without saturating, for ever."""
        return current_limit(params["alpha"])

    def operations(self, params: Params) -> int:
        """Two decays (multiply, shift), four adds, three clips."""
        return 11


class Threshold(NeuronModel):
    """A threshold without state: s = [x > threshold], strict (NIR: Threshold).

    Integer: s = [x > vth] with vth = floor(threshold / unit), exact for whole x.
    """

    name = "threshold"
    float_params = ("threshold",)
    int_params = ("vth",)
    thresholds = ("vth",)
    example: ClassVar = {"threshold": 0.5}
    stock = True
    grade = ("documented", "a LIF that forgets current and voltage in each step")

    @staticmethod
    def float_step(x: Any, threshold: Any) -> Values:
        """1 above the threshold."""
        return (np.where(x > threshold, 1.0, 0.0),)

    @staticmethod
    def int_step(x: Any, vth: Any) -> Values:
        """1 above the threshold; nothing to clip."""
        return flag(x > vth), flag(x != x)

    def code(self, params: Params) -> Code:
        """Binary."""
        return BINARY

    def quantize(self, params: Params, in_scale: Scale, observed: float) -> Quantized:
        """The threshold in units of the input. Raises ValueError past 24 bits."""
        vth = in_units(params["threshold"], np.asarray(in_scale), "threshold", np.floor)
        return Quantized({"vth": vth}, BINARY, 1.0)

    def finest_unit(self, params: Params) -> float:
        """The unit at which the threshold fills 24 bits."""
        return float(np.max(np.abs(np.asarray(params["threshold"])))) / STATE_MAX

    def operations(self, params: Params) -> int:
        """One compare."""
        return 1


MEMBERS = [GeneralLif(), LeakyIntegrator(), Threshold()]
