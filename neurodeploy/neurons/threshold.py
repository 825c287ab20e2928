"""A threshold without state: s = [x > threshold], strict (NIR: Threshold).

Integer: s = [x > vth] with vth = floor(threshold / unit), exact for whole x.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from ..ir.fixed import flag
from ..ir.neuron_model import NeuronModel, Params, Quantized, Scale, Values
from ..ir.types import BINARY, Code
from ._membrane import STATE_MAX, in_units


class Threshold(NeuronModel):
    """A step function of the input of the same tick."""

    name = "threshold"
    float_params = ("threshold",)
    int_params = ("vth",)
    thresholds = ("vth",)
    example: ClassVar = {"threshold": 0.5}
    stock = True
    monotone = True
    grade = ("documented", "a LIF that forgets current and voltage in each step")

    @staticmethod
    def float_step(x: Any, threshold: Any) -> Values:
        """1 above the threshold."""
        return (np.where(x > threshold, 1.0, 0.0),)

    @staticmethod
    def int_step(x: Any, vth: Any) -> Values:
        """1 above the threshold; nothing to clip."""
        return flag(x > vth), flag(x != x)

    def code(self, params: Params) -> Code:
        """Binary."""
        return BINARY

    def quantize(self, params: Params, in_scale: Scale, observed: float) -> Quantized:
        """The threshold in units of the input. Raises ValueError past 24 bits."""
        vth = in_units(params["threshold"], np.asarray(in_scale), "threshold", np.floor)
        return Quantized({"vth": vth}, BINARY, 1.0)

    def finest_unit(self, params: Params) -> float:
        """The unit at which the threshold fills 24 bits."""
        return float(np.max(np.abs(np.asarray(params["threshold"])))) / STATE_MAX

    def operations(self, params: Params) -> int:
        """One compare."""
        return 1


MEMBER = Threshold()
