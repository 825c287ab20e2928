"""What the programs of operators share: wanted width and unit of an output, reach of the registers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..array import Array
from ..ir.types import Fixed, Interval
from ..ir.widths import MESSAGE_BITS, OPERATOR_BITS, REGISTER_BITS

REACH_BITS = REGISTER_BITS - 2  # differences of two inputs must fit a register


def out_bits(options: Mapping[str, Any], default: int = OPERATOR_BITS) -> int:
    """The wanted width of the output; raises ValueError outside 2 .. 24."""
    bits = int(options.get("out_bits", default))
    if not 2 <= bits <= MESSAGE_BITS:
        raise ValueError(f"out_bits {bits} is outside 2 .. {MESSAGE_BITS}")
    return bits


def out_scale(options: Mapping[str, Any], default: float | Array) -> float | Array:
    """The wanted worth of an output unit; raises ValueError unless positive and finite."""
    scale: float | Array = options.get("out_scale", default)
    if not np.all(np.isfinite(scale) & (np.asarray(scale) > 0)):
        raise ValueError(f"out_scale {scale!r} is not positive")
    return scale


def check_reach(fixed: Fixed, interval: Interval) -> None:
    """Raises ValueError unless |x| < 2^30 by proof or by width."""
    reach = interval.magnitude if interval.proven else max(abs(limit) for limit in fixed.limits)
    if reach >= 1 << REACH_BITS:
        raise ValueError(f"inputs reach {reach}, the operator's registers hold |x| < 2^{REACH_BITS}")


def row_scale(fixed: Fixed) -> float:
    """The one unit of a row; raises ValueError where units differ inside it."""
    scale = np.asarray(fixed.scale, dtype=np.float64)
    if scale.size != 1:
        raise ValueError("a row operator needs one unit for the whole row, the input has one per channel")
    return float(scale.reshape(()))


def finest_unit(fixed: Fixed, magnitude: float, bits: int) -> float:
    """The smallest power-of-two multiple of the largest input unit at which ``magnitude`` input units fit ``bits``.

    At most 2^14 times finer than the input, the largest multiplier a rescale has; exact for a single input unit.
    """
    limit = (1 << (bits - 1)) - 1
    exponent = max(-14, int(np.ceil(np.log2(max(magnitude, 1.0) / limit))))
    return float(np.max(fixed.scale) * 2.0**exponent)
