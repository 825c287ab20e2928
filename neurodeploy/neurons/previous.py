"""What was given one tick ago: a state that is read before it is replaced (the token shift of RWKV).

    out = v;   v <- x
Integer: the same in 24 bits; what is given fits a message, so nothing is lost.
"""

from __future__ import annotations

from typing import Any, ClassVar

from ..ir.fixed import flag, saturate
from ..ir.neuron_model import IN_MICROCODE, NeuronModel, Params, Quantized, Scale, StateVar, Values
from ..ir.types import Code, graded
from ..ir.widths import STATE_BITS


class Previous(NeuronModel):
    """Sends its last input."""

    name = "previous"
    state = (StateVar("v", STATE_BITS),)
    thresholds = ()
    example: ClassVar = {}
    stock = False
    grade = ("plausible", f"a register that is sent and then loaded {IN_MICROCODE}")
    keeps_unit = True

    @staticmethod
    def float_step(x: Any, v: Any) -> Values:
        """The state goes out, the input comes in."""
        return v + 0 * x, x

    @staticmethod
    def int_step(x: Any, v: Any) -> Values:
        """The same in 24 bits."""
        kept = saturate(x, STATE_BITS)
        return v, kept, flag(kept != x)

    def code(self, params: Params) -> Code:
        """As wide as the state."""
        return graded((1 << (STATE_BITS - 1)) - 1)

    def quantize(self, params: Params, in_scale: Scale, observed: float) -> Quantized:
        """No parameters; the unit stays."""
        return Quantized({}, self.code({}), in_scale)

    def operations(self, params: Params) -> int:
        """Two moves."""
        return 2


MEMBER = Previous()
