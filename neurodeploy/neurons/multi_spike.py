"""Signed multi-spike neuron of the PMSM-compatible conversion: a quantiser with a residue.

    m = v + x;   k = clip(floor(m / step + 1/2), -negative, positive);   v = m - step * k
k > 0 is k spikes of positive polarity, k < 0 is |k| spikes of negative polarity, in one tick; sent as one signed count.
The first tick is the quantiser itself: k(1) = clip(floor(x / step + 1/2), -negative, positive). No leak, no offset.
Invariant: step * sum k = sum x - v. What exceeds the largest count stays in v. ``negative`` = 0 is the QCFS quantiser.

Integer: ``theta`` is the step in state units, per channel; k is floor((2 m + theta) / (2 theta)), clipped, which a
core without a division finds by compares: k >= i where 2 m + theta >= 2 i theta. The payload is k; v saturates at 24
bits.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from ..ir.neuron_model import Values
from ._counting import COUNT_MAX, Counting, counted, searched

__all__ = ["COUNT_MAX", "MEMBER", "MultiSpike"]


class MultiSpike(Counting):
    """A quantiser with a residue, several spikes a tick."""

    name = "multi_spike"
    example: ClassVar = {"step": 0.5, "positive": 7, "negative": 5}

    @staticmethod
    def float_step(x: Any, v: Any, step: Any, positive: int, negative: int) -> Values:
        """The quantiser on input plus residue; out in source units."""
        m = v + x
        k = np.clip(np.floor(m / step + 0.5), -negative, positive)
        out = step * k
        return out, m - out

    @staticmethod
    def int_step(x: Any, v: Any, theta: Any, positive: int, negative: int) -> Values:
        """The same in integers; out is the signed count."""
        return counted(x, v, theta, positive, negative, 0)

    @staticmethod
    def searched_step(x: Any, v: Any, theta: Any, positive: int, negative: int) -> Values:
        """:meth:`int_step` by compares."""
        return searched(x, v, theta, positive, negative, 0)


MEMBER = MultiSpike()
