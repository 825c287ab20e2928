"""Sigma-delta neuron: sums up changes, applies ReLU, sends the change of the result (Lava's SigmaDelta).

Float (Lava's floating model):  sigma += x;  act = f(sigma + bias) with f = ReLU (``relu`` 1) or none (0);  then the
rule of :mod:`delta` on act.
Integer: Lava 0.10.0 ``PySigmaDeltaModelFixed`` to the bit, int32 registers that wrap included. ``bias`` and ``vth`` are
already shifted by spike_exp + state_exp; the input is not, its unit is the state's. out = s >> state_exp, saturated
at ``message_bits`` (Lava's messages have no width; each clipped message is counted). ``input_bits`` is the width at
which the sum of the synapse in front wraps in Lava: 24 behind a Conv, 32 behind a Dense.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from ..ir.fixed import flag, saturate, select, wrap
from ..ir.neuron_model import NeuronModel, Params, Quantized, Scale, StateVar, Values
from ..ir.types import Code, graded
from ..ir.widths import REGISTER_BITS, STATE_BITS
from ._delta import MESSAGE_BITS, delta_rule, float_delta_rule, shift_for

INPUT_BITS = 32


class SigmaDelta(NeuronModel):
    """Lava's SigmaDelta."""

    name = "sigma_delta"
    state = tuple(
        StateVar(name, REGISTER_BITS, declared=STATE_BITS) for name in ("sigma", "act", "residue", "error")
    )
    float_params = ("bias", "threshold", "relu", "cum_error")
    int_params = ("bias", "vth", "state_exp", "relu", "cum_error", "message_bits", "input_bits")
    thresholds = ("vth",)
    example: ClassVar = {"bias": 0.0, "threshold": 0.25, "relu": 1, "cum_error": 0}
    modular = True
    stock = True
    grade = ("documented", "sigma-delta neurons with graded spikes ship with Lava for Loihi 2")

    @staticmethod
    def float_step(
        x: Any,
        sigma: Any,
        act: Any,
        residue: Any,
        error: Any,
        bias: Any,
        threshold: Any,
        relu: Any,
        cum_error: Any,
    ) -> Values:
        """Lava's floating SigmaDelta."""
        sigma = sigma + x
        new = np.where(relu, np.maximum(sigma + bias, 0.0), sigma + bias)
        spike, residue, error = float_delta_rule(new, act, residue, error, threshold, cum_error)
        return spike, sigma, new, residue, error

    @staticmethod
    def int_step(
        x: Any,
        sigma: Any,
        act: Any,
        residue: Any,
        error: Any,
        bias: Any,
        vth: Any,
        state_exp: int,
        relu: int,
        cum_error: int,
        message_bits: int,
        input_bits: int,
    ) -> Values:
        """Lava's fixed-point SigmaDelta, messages saturated."""
        sigma = wrap(sigma + wrap(x, input_bits), 32)
        linear = wrap(sigma + bias, 32)
        new = select(relu != 0, np.maximum(linear, 0), linear)
        spike, residue, error = delta_rule(new, act, residue, error, vth, cum_error)
        raw = spike >> state_exp
        out = saturate(raw, message_bits)
        return out, sigma, new, residue, error, flag(raw != out)

    def code(self, params: Params) -> Code:
        """Graded, ``message_bits`` wide."""
        return graded((1 << (int(params.get("message_bits", MESSAGE_BITS)) - 1)) - 1)

    def quantize(self, params: Params, in_scale: Scale, observed: float) -> Quantized:
        """State in input units; only what does not fit a message of 16 bits is shifted out."""
        shift, unit = shift_for(observed, in_scale), np.asarray(in_scale)
        ints = {
            "bias": np.rint(np.asarray(params["bias"]) / unit).astype(np.int64),
            "vth": np.rint(np.asarray(params["threshold"]) / unit).astype(np.int64),
            "state_exp": shift,
            "relu": int(params["relu"]),
            "cum_error": int(params["cum_error"]),
            "message_bits": MESSAGE_BITS,
            "input_bits": INPUT_BITS,
        }
        return Quantized(ints, self.code(ints), unit * 2.0**shift)

    def operations(self, params: Params) -> int:
        """Five adds, a maximum, a magnitude, a compare, a select, a shift, a clip."""
        return 11


MEMBER = SigmaDelta()
