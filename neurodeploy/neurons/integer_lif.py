"""Integer LIF of networks that are trained at one tick: a quantiser with a residue that rounds halves to even counts.

    m = v + x;   k = clip(round(m / step), -negative, positive);   v = m - step * k
Spike-driven Transformer V3 (E-SpikeFormer, TPAMI 2025) writes ``round(clamp(x, 0, D)) / D`` and, with ticks, the
same with what is left over. Torch rounds halves to the even number: products of spikes with round scales meet halves
often, where :mod:`multi_spike` would go up. The first tick is the quantiser itself. No leak.

Integer: as of :mod:`multi_spike`, but k >= i where 2 m > (2 i - 1) theta, or meets it and i is even; on the other side
k <= -i where 2 m < (1 - 2 i) theta, or meets it and i is even.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from ..ir.neuron_model import Values
from ._counting import Counting, counted


class IntegerLif(Counting):
    """A quantiser with a residue whose halves go to even counts."""

    name = "integer_lif"
    example: ClassVar = {"step": 1.0, "positive": 4, "negative": 0}

    @staticmethod
    def float_step(x: Any, v: Any, step: Any, positive: int, negative: int) -> Values:
        """The quantiser on input plus residue; out in source units."""
        m = v + x
        out = step * np.clip(np.round(m / step), -negative, positive)
        return out, m - out

    @staticmethod
    def int_step(x: Any, v: Any, theta: Any, positive: int, negative: int) -> Values:
        """The same by compares; out is the signed count."""
        return counted(x, v, theta, positive, negative, 1)


MEMBER = IntegerLif()
