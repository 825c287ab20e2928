"""Resonate-and-fire: a damped rotation of (re, im), a spike where it crosses the positive real axis (Lava's RF).

Two inputs, x into re and y into im. Float (Lava's floating model), with cos, sin the decayed rotation:
    re' = cos re - sin im + x;  im' = sin re + cos im + y;  s = [re' >= threshold][im' >= 0][im < 0]
Integer: Lava 0.10.0 ``PyRFModelFixed`` to the bit with netx's state_exp 6 and decay_bits 12; t(z) = sign(z)(|z| >> 12)
    re' = clip24(t(cos re) - t(sin im) + (x << 6));  im' = clip24(t(sin re) + t(cos im) + (y << 6));  s as above.
There is no reset.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from ..ir.fixed import decay, flag, saturate
from ..ir.types import BINARY, Code
from ..ir.widths import STATE_BITS
from ._base import NeuronModel, Params, Quantized, Scale, StateVar, Values

FRACTION_BITS = 6
DECAY_ONE = 1 << 12
BELOW = 1e-5  # the threshold: where Lava's floating RF_IZ leaves the imaginary part


def rotate(x: Any, y: Any, re: Any, im: Any, sin_decay: Any, cos_decay: Any) -> Values:
    """(re', im', 1 where either was clipped) of Lava's fixed-point resonator."""
    raw_re = turned(re, cos_decay) - turned(im, sin_decay) + (x << 6)
    raw_im = turned(re, sin_decay) + turned(im, cos_decay) + (y << 6)
    new_re, new_im = saturate(raw_re, STATE_BITS), saturate(raw_im, STATE_BITS)
    return new_re, new_im, flag((raw_re != new_re) | (raw_im != new_im))


def turned(z: Any, factor: Any) -> Any:
    """z * factor / 4096, truncated toward zero; the factor may be negative."""
    return np.sign(factor) * decay(z, np.abs(factor))


def float_rotate(x: Any, y: Any, re: Any, im: Any, sin_decay: Any, cos_decay: Any) -> Values:
    """(re', im') in real numbers."""
    return cos_decay * re - sin_decay * im + x, sin_decay * re + cos_decay * im + y


def quantized_rotation(params: Params, in_scale: Scale) -> dict[str, Any]:
    """Integer decays, truncated as Lava does, and the threshold in state units."""
    unit = np.asarray(in_scale) / (1 << FRACTION_BITS)
    return {
        "sin_decay": int(float(params["sin_decay"]) * DECAY_ONE),
        "cos_decay": int(float(params["cos_decay"]) * DECAY_ONE),
        "vth": np.rint(np.asarray(params["threshold"]) / unit).astype(np.int64),
    }


class Rf(NeuronModel):
    """Lava's RF: spikes at phase zero."""

    name = "rf"
    inputs = 2
    state = (StateVar("re", STATE_BITS), StateVar("im", STATE_BITS))
    float_params = ("sin_decay", "cos_decay", "threshold")
    int_params = ("sin_decay", "cos_decay", "vth")
    thresholds = ("vth",)
    example: ClassVar = {"sin_decay": 0.5625, "cos_decay": 0.75, "threshold": 0.5}
    stock = False
    grade = (
        "plausible",
        "Lava ships a fixed-point RF; Loihi 2 microcode runs such neurons in published work",
    )
    input_limit = 1 << 23

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

    def code(self, params: Params) -> Code:
        """Binary."""
        return BINARY

    def quantize(self, params: Params, in_scale: Scale, observed: float) -> Quantized:
        """12-bit decays; the state has 6 bits below the unit of the input."""
        return Quantized(quantized_rotation(params, in_scale), BINARY, 1.0)

    def operations(self, params: Params) -> int:
        """Four multiplies and shifts, four adds, two clips, three compares."""
        return 17


class RfIz(Rf):
    """After Izhikevich: a spike where the imaginary part reaches the threshold, then reset (Lava's RF_IZ).

    Float:  s = [im' >= threshold];  re = 0, im = threshold - 1e-5 where s
    Integer: Lava 0.10.0 ``PyRF_IZModelFixed`` to the bit, with the same state_exp and decay_bits:
        s = im' >= vth;  re <- 0, im <- vth - 1 where s.
    """

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

    def operations(self, params: Params) -> int:
        """Four multiplies and shifts, four adds, two clips, one compare, two selects."""
        return 17


MEMBERS = [Rf(), RfIz()]
