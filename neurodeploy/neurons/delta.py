"""Delta encoder: sends what its input changed by, once the change is large enough (Lava's Delta).

Float (Lava's floating model):
    d = x - act + residue;  s = d where |d| >= threshold, else 0;  residue <- d - s;  act <- x
With ``cum_error`` the sum of d since the last spike is compared instead of d.
Integer: Lava 0.10.0 ``PyDeltaModelFixed`` to the bit, int32 registers included:
    a = wrap32(x << (spike_exp + state_exp));  d, s, residue as above with vth = threshold << (spike_exp + state_exp)
    out = s >> state_exp, saturated at ``message_bits``
The last is not Lava's, whose messages have no width: 16 bits unless the parameters say so; each clipped message is
counted.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from ..ir.fixed import flag, saturate, wrap
from ..ir.neuron_model import NeuronModel, Params, Quantized, Scale, StateVar, Values
from ..ir.types import Code, graded
from ..ir.widths import REGISTER_BITS, STATE_BITS
from ._delta import MESSAGE_BITS, delta_rule, float_delta_rule, shift_for


class Delta(NeuronModel):
    """Lava's Delta."""

    name = "delta"
    state = tuple(StateVar(name, REGISTER_BITS, declared=STATE_BITS) for name in ("act", "residue", "error"))
    float_params = ("threshold", "cum_error")
    int_params = ("vth", "spike_exp", "state_exp", "cum_error", "message_bits")
    thresholds = ("vth",)
    example: ClassVar = {"threshold": 0.25, "cum_error": 0}
    stock = True
    grade = ("documented", "sigma-delta neurons with graded spikes ship with Lava for Loihi 2")

    @staticmethod
    def float_step(x: Any, act: Any, residue: Any, error: Any, threshold: Any, cum_error: Any) -> Values:
        """Lava's floating Delta."""
        spike, residue, error = float_delta_rule(x, act, residue, error, threshold, cum_error)
        return spike, x, residue, error

    @staticmethod
    def int_step(
        x: Any,
        act: Any,
        residue: Any,
        error: Any,
        vth: Any,
        spike_exp: int,
        state_exp: int,
        cum_error: int,
        message_bits: int,
    ) -> Values:
        """Lava's fixed-point Delta, messages saturated."""
        new = wrap(x << (spike_exp + state_exp), 32)
        spike, residue, error = delta_rule(new, act, residue, error, vth, cum_error)
        raw = spike >> state_exp
        out = saturate(raw, message_bits)
        return out, new, residue, error, flag(raw != out)

    def code(self, params: Params) -> Code:
        """Graded, ``message_bits`` wide."""
        return graded((1 << (int(params.get("message_bits", MESSAGE_BITS)) - 1)) - 1)

    def quantize(self, params: Params, in_scale: Scale, observed: float) -> Quantized:
        """State in input units; only what does not fit a message of 16 bits is shifted out."""
        shift = shift_for(observed, in_scale)
        ints = {
            "vth": np.rint(np.asarray(params["threshold"]) / np.asarray(in_scale)).astype(np.int64),
            "spike_exp": -shift,
            "state_exp": shift,
            "cum_error": int(params["cum_error"]),
            "message_bits": int(params.get("message_bits", MESSAGE_BITS)),
        }
        return Quantized(ints, self.code(ints), np.asarray(in_scale) * 2.0**shift)

    def operations(self, params: Params) -> int:
        """Two shifts, three adds, a magnitude, a compare, a select, a clip."""
        return 9


MEMBER = Delta()
