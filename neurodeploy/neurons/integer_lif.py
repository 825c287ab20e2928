"""Integer LIF of networks that are trained at one tick: a quantiser with a residue that rounds halves to even counts.

    m = v + x;   k = clip(round(m / step), -negative, positive);   v = m - step * k
Spike-driven Transformer V3 (E-SpikeFormer, TPAMI 2025) writes ``round(clamp(x, 0, D)) / D`` and, with ticks, the
same with what is left over. Torch rounds halves to the even number: products of spikes with round scales meet halves
often, where :mod:`multi_spike` would go up. The first tick is the quantiser itself. No leak.

Integer: as of :mod:`multi_spike`, but an odd count that a half has reached gives way to the even one below it.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from ..ir.neuron_model import Values
from ._counting import Counting, counted, searched


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
        """The same in integers; out is the signed count."""
        return counted(x, v, theta, positive, negative, 1)

    @staticmethod
    def searched_step(x: Any, v: Any, theta: Any, positive: int, negative: int) -> Values:
        """:meth:`int_step` by compares."""
        return searched(x, v, theta, positive, negative, 1)


MEMBER = IntegerLif()
