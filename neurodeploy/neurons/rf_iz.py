"""Resonate-and-fire after Izhikevich: a spike where the imaginary part reaches the threshold, then reset.

Lava's RF_IZ. Two inputs and the rotation of :mod:`rf`. Float:
    s = [im' >= threshold];  re = 0, im = threshold - 1e-5 where s
Integer: Lava 0.10.0 ``PyRF_IZModelFixed`` to the bit with netx's state_exp 6 and decay_bits 12: the rotation of
:mod:`rf`;  s = im' >= vth;  re <- 0, im <- vth - 1 where s.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..ir.fixed import flag
from ..ir.neuron_model import Values
from ._resonator import Resonator, float_rotate, rotate

#: how far below the threshold Lava's floating model leaves the imaginary part
BELOW = 1e-5


class RfIz(Resonator):
    """Lava's RF_IZ."""

    name = "rf_iz"
    grade = (
        "plausible",
        "Lava ships a fixed-point RF_IZ; Loihi 2 microcode runs such neurons in published work",
    )

    @staticmethod
    def float_step(
        x: Any, y: Any, re: Any, im: Any, sin_decay: Any, cos_decay: Any, threshold: Any
    ) -> Values:
        """Lava's floating RF_IZ."""
        new_re, new_im = float_rotate(x, y, re, im, sin_decay, cos_decay)
        s = np.where(new_im >= threshold, 1.0, 0.0)
        return s, new_re * (1.0 - s), s * (threshold - BELOW) + (1.0 - s) * new_im

    @staticmethod
    def int_step(x: Any, y: Any, re: Any, im: Any, sin_decay: Any, cos_decay: Any, vth: Any) -> Values:
        """Lava's fixed-point RF_IZ."""
        new_re, new_im, clipped = rotate(x, y, re, im, sin_decay, cos_decay)
        s = flag(new_im >= vth)
        return s, new_re * (1 - s), s * (vth - 1) + (1 - s) * new_im, clipped


MEMBER = RfIz()
