"""Resonate-and-fire after Izhikevich: a spike where the imaginary part reaches the threshold, then reset.

Lava's RF_IZ. Two inputs and the rotation of :mod:`rf`. Float:
    s = [im' >= threshold];  re = 0, im = threshold - 1e-5 where s
Integer: Lava 0.10.0 ``PyRF_IZModelFixed`` to the bit with netx's state_exp 6 and decay_bits 12: the rotation of
:mod:`rf`;  s = im' >= vth;  re <- 0, im <- vth - 1 where s.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from ..ir.fixed import flag
from ..ir.types import BINARY, Code
from ._base import NeuronModel, Quantized, StateVar
from .rf import float_rotate, quantized_rotation, rotate

#: how far below the threshold Lava's floating model leaves the imaginary part
BELOW = 1e-5


class RfIz(NeuronModel):
    """Lava's RF_IZ."""

    name = "rf_iz"
    inputs = 2
    state = (StateVar("re", 24), StateVar("im", 24))
    float_params = ("sin_decay", "cos_decay", "threshold")
    int_params = ("sin_decay", "cos_decay", "vth")
    example = MappingProxyType({"sin_decay": 0.5625, "cos_decay": 0.75, "threshold": 0.5})
    grade = (
        "plausible",
        "Lava ships a fixed-point RF_IZ; Loihi 2 microcode runs such neurons in published work",
    )
    input_limit = 1 << 23

    @staticmethod
    def float_step(x: Any, y: Any, re: Any, im: Any, sin_decay: Any, cos_decay: Any, threshold: Any) -> tuple:
        """Lava's floating RF_IZ."""
        new_re, new_im = float_rotate(x, y, re, im, sin_decay, cos_decay)
        s = np.where(new_im >= threshold, 1.0, 0.0)
        return s, new_re * (1.0 - s), s * (threshold - BELOW) + (1.0 - s) * new_im

    @staticmethod
    def int_step(x: Any, y: Any, re: Any, im: Any, sin_decay: Any, cos_decay: Any, vth: Any) -> tuple:
        """Lava's fixed-point RF_IZ."""
        new_re, new_im, clipped = rotate(x, y, re, im, sin_decay, cos_decay)
        s = flag(new_im >= vth)
        return s, new_re * (1 - s), s * (vth - 1) + (1 - s) * new_im, clipped

    def code(self, params: Mapping[str, Any]) -> Code:
        """Binary."""
        return BINARY

    def quantize(self, params: Mapping[str, Any], in_scale: float | np.ndarray, observed: float) -> Quantized:
        """12-bit decays; the state has 6 bits below the unit of the input."""
        return Quantized(quantized_rotation(params, in_scale), BINARY, 1.0)

    def operations(self, params: Mapping[str, Any]) -> int:
        """Four multiplies and shifts, four adds, two clips, one compare, two selects."""
        return 17


MEMBER = RfIz()
