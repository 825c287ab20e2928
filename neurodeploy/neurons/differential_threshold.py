"""Multi-threshold neuron of differential coding (DCGS): sends changes of the running mean, one level over t per tick.

``r`` is what has been sent, the encoded value; x is the current value of the input, t the tick:
    e = t (x - r);   level = +-base * 2^i with the largest i < levels where abs(e) >= 3/4 base 2^i, or 0
    out = level / t;   r <- r + out
In differential coding a silent tick keeps the encoded value, whereas in rate coding it lets the mean decay.
Source: Huang et al., "Differential Coding for Training-Free ANN-to-SNN Conversion", ICML 2025, released code (commit
5e0e4c73): there the wire carries ``level`` and the receiver divides by t. Here the sender divides, rounded to
``grain``-ths of a base, and counts what it sent after the rounding, so sender and receiver agree to the bit:
    out = base / grain * floor(2^i grain / t + 1/2)
Where ``grain`` is a multiple of 1 .. T the division is exact and this is the source's neuron.
Invariant: sum of all outputs = r; at rest abs(x - r) < 3/4 base / t.

Integer: the payload is floor(2^i grain / t + 1/2), computed as (2^(i+1) grain + t) // (2 t); ``base`` is in units of
the input, per channel, and r counts payload units in 24 bits and saturates. The compares are those above times grain:
4 t (grain x - base r) >= 3 base grain 2^i, below 2^52. t counts to 127 and stays there. The division by the tick
number is one of few constants: a table on hardware.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from ..ir.fixed import flag, saturate, select
from ..ir.neuron_model import IN_MICROCODE, NeuronModel, Params, Quantized, Scale, StateVar, Values
from ..ir.types import Code, graded
from ..ir.widths import STATE_BITS

TICK_BITS = 8  # widest tick counter


class DifferentialThreshold(NeuronModel):
    """DCGS's neuron."""

    name = "differential_threshold"
    state = (StateVar("r", STATE_BITS), StateVar("t", TICK_BITS, clock=True))
    float_params = ("base", "levels", "grain")
    int_params = ("base", "levels", "grain")
    thresholds = ("base",)
    example: ClassVar = {"base": 0.5, "levels": 8, "grain": 12}
    stock = False
    grade = ("plausible", f"compares, a table of quotients and graded payloads exist {IN_MICROCODE}")

    @staticmethod
    def float_step(x: Any, r: Any, t: Any, base: Any, levels: int, grain: int) -> Values:
        """One level over t per tick, out in source units."""
        t = t + 1.0
        error = 4.0 * t * (x - r)
        out = error * 0.0
        for i in range(levels):
            sent = base / grain * np.floor(2.0**i * grain / t + 0.5)
            edge = 3.0 * base * 2.0**i
            out = np.where(error >= edge, sent, np.where(-error >= edge, -sent, out))
        return out, r + out, t

    @staticmethod
    def int_step(x: Any, r: Any, t: Any, base: Any, levels: int, grain: int) -> Values:
        """The same in integers; out is the payload."""
        now = saturate(t + 1, 8)
        error = 4 * now * (grain * x - base * r)
        out = r * 0
        for i in range(levels):
            edge = 3 * (grain << i) * base
            sent = ((grain << (i + 1)) + now) // (2 * np.maximum(now, 1))
            out = select(error >= edge, sent, select(-error >= edge, -sent, out))
        raw = r + out
        kept = saturate(raw, STATE_BITS)
        return out, kept, now, flag(raw != kept)

    def code(self, params: Params) -> Code:
        """Graded, the largest level of the first tick."""
        return graded(int(params["grain"]) << (int(params["levels"]) - 1))

    def quantize(self, params: Params, in_scale: Scale, observed: float) -> Quantized:
        """The base in units of the input; all levels stay, since later ticks send the upper ones divided.

        Raises ValueError where the base is below two units of the input or above 2^22.
        """
        base, grain = float(params["base"]), int(params["grain"])
        units = np.rint(base / np.asarray(in_scale)).astype(np.int64)
        if units.min() < 2:
            raise ValueError("a base is smaller than two units of the input")
        if units.max() > 1 << 22:
            raise ValueError("a base does not fit the width of the input")
        ints = {"base": units, "levels": int(params["levels"]), "grain": grain}
        return Quantized(ints, self.code(ints), base / grain)

    def operations(self, params: Params) -> int:
        """Count, two multiplies, subtract, a binary search over 2n levels, a table, add, clip."""
        return 8 + int(np.ceil(np.log2(2 * int(params["levels"]) + 1)))


MEMBER = DifferentialThreshold()
