"""The damped rotation of resonate-and-fire neurons, bit for bit Lava's, and what such models have in common."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from ..ir.fixed import decay, flag, saturate
from ..ir.neuron_model import NeuronModel, Params, Quantized, Scale, StateVar, Values
from ..ir.types import BINARY, Code
from ..ir.widths import STATE_BITS

FRACTION_BITS = 6
DECAY_ONE = 1 << 12


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


class Resonator(NeuronModel):
    """State, parameters and quantisation of a neuron on a damped rotation of (re, im)."""

    inputs = 2
    state = (StateVar("re", STATE_BITS), StateVar("im", STATE_BITS))
    float_params = ("sin_decay", "cos_decay", "threshold")
    int_params = ("sin_decay", "cos_decay", "vth")
    thresholds = ("vth",)
    example: ClassVar = {"sin_decay": 0.5625, "cos_decay": 0.75, "threshold": 0.5}
    stock = False
    input_limit = 1 << 23

    def code(self, params: Params) -> Code:
        """Binary."""
        return BINARY

    def quantize(self, params: Params, in_scale: Scale, observed: float) -> Quantized:
        """12-bit decays; the state has 6 bits below the unit of the input."""
        return Quantized(quantized_rotation(params, in_scale), BINARY, 1.0)

    def operations(self, params: Params) -> int:
        """Four multiplies and shifts, four adds, two clips; one compare and two selects, or three compares."""
        return 17
