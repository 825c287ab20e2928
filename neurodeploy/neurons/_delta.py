"""When a change is sent, bit for bit as Lava decides it, and the unit of what is sent."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..ir.fixed import flag, select, wrap
from ..ir.neuron_model import Scale, Values

MESSAGE_BITS = 16  # lava-dl's default


def delta_rule(act: Any, last: Any, residue: Any, error: Any, vth: Any, cum_error: Any) -> Values:
    """(spike, residue, error) in int32: the change of ``act`` is sent where it, or its sum, reaches ``vth``."""
    delta = wrap(act - last + residue, 32)
    total = wrap(error + delta, 32) * cum_error
    key = select(cum_error != 0, total, delta)
    spike = delta * flag(wrap(np.abs(key), 32) >= vth)  # |-2^31| is -2^31 in int32
    error = total * (1 - flag(wrap(np.abs(spike), 32) > 0))
    return spike, delta - spike, error


def float_delta_rule(act: Any, last: Any, residue: Any, error: Any, threshold: Any, cum_error: Any) -> Values:
    """(spike, residue, error) in real numbers."""
    delta = act - last + residue
    total = (error + delta) * cum_error
    spike = np.where(np.abs(np.where(cum_error, total, delta)) >= threshold, delta, 0.0)
    return spike, delta - spike, total * np.where(spike == 0, 1.0, 0.0)


def shift_for(observed: float, in_scale: Scale) -> int:
    """Bits to drop from a state so that changes up to twice ``observed`` fit a message of MESSAGE_BITS bits."""
    units = 2.0 * max(observed, 0.0) / float(np.min(in_scale))
    return max(0, int(np.ceil(np.log2(max(units, 1.0)))) - (MESSAGE_BITS - 1))
