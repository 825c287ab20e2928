"""Current and voltage of leaky integrators, and their parameters in integers: what LIF-like models share.

Lava's bit-accurate LIF wraps its current once and clips its voltage; 6 bits lie below the unit of a synaptic sum.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..array import Array
from ..ir.fixed import decay, decay_in_32, flag, saturate, wrap, wrap_once_24
from ..ir.neuron_model import Params, Scale, Values
from ..ir.widths import STATE_BITS

VTH_MAX = (1 << 17) - 1
FORGET = 4095  # du: no current memory
#: bits below the unit of a synaptic sum in current and voltage
FRACTION_BITS = 6
STATE_MAX = (1 << (STATE_BITS - 1)) - 1
#: relative distance at which a number counts as whole: a weight in float32 misses its decimal by up to 2^-24
WHOLE = 1e-6
#: relative error of a quotient that stands for a whole number
_ROUNDING = 1e-12


def lava_dynamics(x: Any, u: Any, v: Any, du: Any, dv: Any) -> Values:
    """Current and voltage of Lava's bit-accurate LIF before the threshold; third: 1 where v was clipped."""
    u = wrap_once_24(decay(u, 4096 - (du + 1)) + (x << 6))
    raw = decay(v, 4096 - dv) + u
    v = saturate(raw, STATE_BITS)
    return u, v, flag(raw != v)


def lava_dynamics_in_32(x: Any, u: Any, v: Any, du: Any, dv: Any) -> Values:
    """:func:`lava_dynamics` in 32-bit arithmetic: inputs below 2^17 keep every sum below 2^25."""
    top = np.int32(STATE_MAX)
    u = np.int32(decay_in_32(u, np.int32(np.int32(4095) - du)) + np.int32(x << np.int32(6)))
    u = np.int32(u - np.int32(np.int32(u > np.int32(1 << 23)) << np.int32(24)))
    u = np.int32(u + np.int32(np.int32(u <= np.int32(-(1 << 23))) << np.int32(24)))
    raw = np.int32(decay_in_32(v, np.int32(np.int32(4096) - dv)) + u)
    v = np.int32(min(max(raw, np.int32(-top)), top))
    return u, v, np.int32(raw != v)


def lava_narrow(du: Any, dv: Any, *thresholds: Any) -> bool:
    """Whether :func:`lava_dynamics_in_32` and the compare with these thresholds stay within 32 bits."""
    in_code = np.min(du) >= -1 and np.max(du) <= FORGET and np.min(dv) >= 0 and np.max(dv) <= 4096
    return bool(in_code) and all(np.max(np.abs(vth)) <= VTH_MAX for vth in thresholds)


def cuba_dynamics(x: Any, u: Any, v: Any, du: Any, dv: Any, bias: Any) -> Values:
    """Current and voltage of Lava's bit-accurate LIF before the threshold; third: 1 where v was clipped."""
    u = wrap_once_24(wrap(decay(u, 4096 - (du + 1)) + (x << 6), 32))
    raw = wrap(decay(v, 4096 - dv) + u + bias, 32)
    v = saturate(raw, STATE_BITS)
    return u, v, flag(raw != v)


def integrated(x: Any, u: Any, v: Any, du: Any, dv: Any, bias: Any) -> Values:
    """Saturated current, voltage as it would be without saturation, and 1 where the current was clipped."""
    raw = decay(u, 4096 - du) + (x << 6)
    u = saturate(raw, STATE_BITS)
    return u, decay(v, 4096 - dv) + u + bias, flag(raw != u)


def decay_code(beta: float) -> int:
    """dv = 4096 (1 - beta), the nearest 12-bit code."""
    return round(4096 * (1.0 - float(beta)))


def decay_codes(kept: Any) -> int | Array:
    """The nearest 12-bit codes 4096 (1 - kept) of what a tick keeps of a state."""
    codes = np.rint(4096 * (1.0 - np.asarray(kept, dtype=np.float64))).astype(np.int64)
    return int(codes) if codes.ndim == 0 else codes


def threshold_units(threshold: Any, gain: Any, in_scale: Any) -> Array:
    """The mantissa at which a strict compare of whole units fires as ``>=`` does: ceil(threshold / (gain unit)) - 1.

    int64. A quotient that misses a whole number by the rounding of float32 is that number: weights whose sum is the
    threshold must fire. Raises ValueError outside 0 .. 2^17 - 1.
    """
    quotient = np.asarray(threshold) / (np.asarray(gain) * np.asarray(in_scale))
    whole = np.rint(quotient)
    near = np.abs(quotient - whole) <= WHOLE * np.maximum(np.abs(whole), 1.0)
    vth: Array = np.where(near, whole, np.ceil(quotient)).astype(np.int64) - 1
    if vth.max() > VTH_MAX or vth.min() < 0:
        raise ValueError(f"threshold mantissa {int(vth.max())}, {int(vth.min())} outside 0 .. {VTH_MAX}")
    return vth


def decays_and_bias(params: Params, in_scale: Scale) -> dict[str, Any]:
    """Integer decays and bias for an input whose unit is worth ``in_scale``."""
    unit = np.asarray(in_scale) / (1 << FRACTION_BITS)
    bias = np.rint(np.asarray(params["bias"]) / unit).astype(np.int64)
    return {"du": decay_code(params["alpha"]) - 1, "dv": decay_code(params["beta"]), "bias": bias}


def current_limit(alpha: Any) -> int:
    """The largest |input| for which a current that keeps ``alpha`` per tick stays in 24 bits, but at least 2^12."""
    return max(1 << 12, int((1 << 17) * (1.0 - float(np.max(alpha)))))


def state_unit(params: Params, in_scale: Scale) -> Array:
    """What a unit of current and voltage is worth: the gain folds into it."""
    unit: Array = np.asarray(in_scale) * np.asarray(params["gain"]) / (1 << FRACTION_BITS)
    return unit


def in_units(value: Any, unit: Array, what: str, rounding: Any = np.rint) -> Array:
    """``value`` in whole state units; raises ValueError past 24 bits."""
    units: Array = rounding(np.asarray(value, dtype=np.float64) / unit)
    if np.abs(units).max() > STATE_MAX:
        raise ValueError(f"{what} of {np.abs(units).max():.4g} state units, more than {STATE_MAX}")
    return units.astype(np.int64)


def rounded_up(units: Array) -> Array:
    """The next whole number, but the number itself where rounding alone lies between."""
    whole: Array = np.ceil(units - np.abs(units) * _ROUNDING)
    return whole
