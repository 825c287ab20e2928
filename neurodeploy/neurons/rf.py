"""Resonate-and-fire: a damped rotation of (re, im), a spike where it crosses the positive real axis (Lava's RF).

Two inputs, x into re and y into im. Float (Lava's floating model), with cos, sin the decayed rotation:
    re' = cos re - sin im + x;  im' = sin re + cos im + y;  s = [re' >= threshold][im' >= 0][im < 0]
Integer: Lava 0.10.0 ``PyRFModelFixed`` to the bit with netx's state_exp 6 and decay_bits 12; t(z) = sign(z)(|z| >> 12)
    re' = clip24(t(cos re) - t(sin im) + (x << 6));  im' = clip24(t(sin re) + t(cos im) + (y << 6));  s as above.
There is no reset.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..ir.fixed import flag
from ..ir.neuron_model import Values
from ._resonator import Resonator, float_rotate, rotate


class Rf(Resonator):
    """Lava's RF: spikes at phase zero."""

    name = "rf"
    grade = (
        "plausible",
        "Lava ships a fixed-point RF; Loihi 2 microcode runs such neurons in published work",
    )

    @staticmethod
    def float_step(
        x: Any, y: Any, re: Any, im: Any, sin_decay: Any, cos_decay: Any, threshold: Any
    ) -> Values:
        """Lava's floating RF."""
        new_re, new_im = float_rotate(x, y, re, im, sin_decay, cos_decay)
        s = np.where((new_re >= threshold) & (new_im >= 0) & (im < 0), 1.0, 0.0)
        return s, new_re, new_im

    @staticmethod
    def int_step(x: Any, y: Any, re: Any, im: Any, sin_decay: Any, cos_decay: Any, vth: Any) -> Values:
        """Lava's fixed-point RF."""
        new_re, new_im, clipped = rotate(x, y, re, im, sin_decay, cos_decay)
        s = flag((new_re >= vth) & (new_im >= 0) & (im < 0))
        return s, new_re, new_im, clipped


MEMBER = Rf()
