"""Sums of 32 bits in two state variables, since chips keep 24 bits of each: 16 bits below, the sign above."""

from __future__ import annotations

from typing import Any

from ..ir.neuron_model import StateVar

HALF_BITS = 17  # 0 .. 2^16 - 1, and -2^15 .. 2^15 - 1
TICK_BITS = 8  # widest tick counter
#: a sum, and the tick
STATE = (StateVar("high", HALF_BITS), StateVar("low", HALF_BITS), StateVar("t", TICK_BITS, clock=True))


def joined(high: Any, low: Any) -> Any:
    """The sum."""
    return (high << 16) + low


def below(whole: Any) -> Any:
    """What of a sum stands in the lower variable."""
    return whole & ((1 << 16) - 1)
