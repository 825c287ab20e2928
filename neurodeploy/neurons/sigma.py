"""Sigma decoder: the running sum of its input, sent at every tick (Lava's Sigma, the read-out of sigma-delta networks).

Float:  sigma += x;  the output is sigma.
Integer: Lava 0.10.0 ``PySigmaModelFixed`` to the bit, a 32-bit register that wraps. What is sent saturates at
``message_bits`` and counts (Lava's messages have no width). ``input_bits`` as in :mod:`sigma_delta`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..ir.fixed import flag, saturate, wrap
from ..ir.neuron_model import NeuronModel, Params, Quantized, Scale, StateVar, Values
from ..ir.types import Code, graded
from ..ir.widths import MESSAGE_BITS, REGISTER_BITS, STATE_BITS

INPUT_BITS = 32


class Sigma(NeuronModel):
    """Lava's Sigma."""

    name = "sigma"
    state = (StateVar("sigma", REGISTER_BITS, declared=STATE_BITS),)
    int_params = ("message_bits", "input_bits")
    thresholds = ()
    modular = True
    stock = True
    grade = ("documented", "sigma-delta neurons with graded spikes ship with Lava for Loihi 2")

    @staticmethod
    def float_step(x: Any, sigma: Any) -> Values:
        """The running sum."""
        return sigma + x, sigma + x

    @staticmethod
    def int_step(x: Any, sigma: Any, message_bits: int, input_bits: int) -> Values:
        """The running sum in 32 bits, sent in ``message_bits``."""
        sigma = wrap(sigma + wrap(x, input_bits), 32)
        out = saturate(sigma, message_bits)
        return out, sigma, flag(sigma != out)

    def code(self, params: Params) -> Code:
        """Graded, ``message_bits`` wide."""
        return graded((1 << (int(params.get("message_bits", MESSAGE_BITS)) - 1)) - 1)

    def quantize(self, params: Params, in_scale: Scale, observed: float) -> Quantized:
        """Nothing to choose: a unit of the sum is one of the input."""
        ints = {"message_bits": MESSAGE_BITS, "input_bits": INPUT_BITS}
        return Quantized(ints, self.code(ints), np.asarray(in_scale))

    def operations(self, params: Params) -> int:
        """One add, one clip."""
        return 2


MEMBER = Sigma()
