"""A running state whose decay is a stream: what gated linear recurrences keep (MatMul-free, minGRU, HGRN).

Two inputs, what is added and what is kept. Float:
    v <- f v + x;   out = v
Integer: f counts 1/4096, so that 4096 keeps all; as every decay it truncates toward zero, and 6 bits lie below the
unit of x:
    v <- saturate24(sign(f v) (|v| |f| >> 12) + (x << 6));   out = v
With f the same number at every tick it is :mod:`leaky_integrator` without current, to the bit.
Source: S. Qin et al., arXiv 2311.04823, eq. 1; R. Zhu et al., arXiv 2406.02528, section 3.3.
"""

from __future__ import annotations

from typing import Any, ClassVar

from ..ir.fixed import flag, saturate
from ..ir.neuron_model import IN_MICROCODE, NeuronModel, Params, Quantized, Scale, StateVar, Values
from ..ir.types import Code, graded
from ..ir.widths import STATE_BITS
from ._membrane import FRACTION_BITS, STATE_MAX
from ._resonator import DECAY_ONE, turned


class GatedIntegrator(NeuronModel):
    """Keeps a part of its state that a stream says."""

    name = "gated_integrator"
    inputs = 2
    factor_unit = 1 / DECAY_ONE
    state = (StateVar("v", STATE_BITS),)
    thresholds = ()
    example: ClassVar = {}
    stock = False
    grade = ("plausible", f"a multiply and an add in a 24-bit state {IN_MICROCODE}")
    input_limit = 1 << (STATE_BITS - 1 - FRACTION_BITS)
    tolerance = 8.0  # decays truncate in each tick
    keeps_unit = True

    @staticmethod
    def float_step(x: Any, f: Any, v: Any) -> Values:
        """The part that is kept, and what comes."""
        v = f * v + x
        return v, v

    @staticmethod
    def int_step(x: Any, f: Any, v: Any) -> Values:
        """The same in 24 bits."""
        raw = turned(v, f) + (x << FRACTION_BITS)
        v = saturate(raw, STATE_BITS)
        return v, v, flag(raw != v)

    def code(self, params: Params) -> Code:
        """Graded, 24 bits."""
        return graded(STATE_MAX)

    def quantize(self, params: Params, in_scale: Scale, observed: float) -> Quantized:
        """No parameters; the output is in state units."""
        return Quantized({}, graded(STATE_MAX), in_scale / (1 << FRACTION_BITS))

    def operations(self, params: Params) -> int:
        """Sign, magnitude, multiply, two shifts, an add, two clips."""
        return 8


MEMBER = GatedIntegrator()
