"""A sign without state: s = 1 if x >= threshold, else -1 (networks of binary activations, such as BHViT).

Never silent: every neuron sends at every tick. Integer: s = 1 if x >= vth with vth = ceil(threshold / unit), exact for
whole x.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from ..ir.fixed import flag
from ..ir.neuron_model import IN_MICROCODE, NeuronModel, Params, Quantized, Scale, Values
from ..ir.types import TERNARY, Code
from ._membrane import STATE_MAX, in_units


class Sign(NeuronModel):
    """Which side of the threshold the input of the same tick is on."""

    name = "sign"
    float_params = ("threshold",)
    int_params = ("vth",)
    thresholds = ("vth",)
    example: ClassVar = {"threshold": 0.5}
    stock = False
    always = True
    grade = ("plausible", f"a compare and a signed payload {IN_MICROCODE}")

    @staticmethod
    def float_step(x: Any, threshold: Any) -> Values:
        """1 from the threshold on, -1 below it."""
        return (np.where(x >= threshold, 1.0, -1.0),)

    @staticmethod
    def int_step(x: Any, vth: Any) -> Values:
        """1 from the threshold on, -1 below it; nothing to clip."""
        return 2 * flag(x >= vth) - 1, flag(x != x)

    def code(self, params: Params) -> Code:
        """Both signs, of ternary the two outer ones."""
        return TERNARY

    def quantize(self, params: Params, in_scale: Scale, observed: float) -> Quantized:
        """The threshold in units of the input. Raises ValueError past 24 bits."""
        vth = in_units(params["threshold"], np.asarray(in_scale), "threshold", np.ceil)
        return Quantized({"vth": vth}, TERNARY, 1.0)

    def finest_unit(self, params: Params) -> float:
        """The unit at which the threshold fills 24 bits."""
        return float(np.max(np.abs(np.asarray(params["threshold"])))) / STATE_MAX

    def operations(self, params: Params) -> int:
        """A compare, a shift, a subtraction."""
        return 3


MEMBER = Sign()
