"""A look-up table of single bits: s = table[x] of 2^n of them, n <= 6, for a whole address 0 <= x < 2^n; no state.

With a layer in front whose weights are the powers of two, it is a layer of look-up tables, as weightless networks have
them. The table is held as four words of 16 bits. Integer: the address is a = clip(rescale(x, multiplier, shift), 0, 63)
and s = bit a mod 16 of word a div 16; exact, as addresses are whole. A smaller table repeats to 64 bits.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from ..ir.fixed import flag, multipliers_of, rescale, select
from ..ir.neuron_model import IN_MICROCODE, NeuronModel, Params, Quantized, Scale, Values
from ..ir.types import BINARY, Code
from ._words import ENTRIES, WORD_BITS


class LookupTable(NeuronModel):
    """One bit of each neuron's own table."""

    name = "lookup_table"
    float_params = ("word0", "word1", "word2", "word3")
    int_params = ("word0", "word1", "word2", "word3", "multiplier", "shift")
    thresholds = ()
    example: ClassVar = {"word0": 0xA5C2, "word1": 0x0FF0, "word2": 0x1234, "word3": 0xFFFE}
    stock = False
    grade = ("plausible", f"shifts, masks and selects of four words {IN_MICROCODE}")

    @staticmethod
    def float_step(x: Any, word0: Any, word1: Any, word2: Any, word3: Any) -> Values:
        """The bit at the nearest whole address."""
        address = np.clip(np.floor(np.asarray(x) + 0.5), 0, ENTRIES - 1).astype(np.int64)
        words = np.broadcast_arrays(
            address, *(np.asarray(w, np.int64) for w in (word0, word1, word2, word3))
        )[1:]
        word = np.choose(address // WORD_BITS, words)
        return (((word >> (address % WORD_BITS)) & 1).astype(np.float64),)

    @staticmethod
    def int_step(
        x: Any, word0: Any, word1: Any, word2: Any, word3: Any, multiplier: Any, shift: Any
    ) -> Values:
        """Two selects of words, a shift, a mask; clipped is 1 outside of the table."""
        raw = rescale(x, multiplier, shift)
        a = np.minimum(np.maximum(raw, 0), ENTRIES - 1)
        low, high = select((a & 16) > 0, word1, word0), select((a & 16) > 0, word3, word2)
        return (select(a >= 32, high, low) >> (a & 15)) & 1, flag(raw != a)

    def code(self, params: Params) -> Code:
        """Binary."""
        return BINARY

    def quantize(self, params: Params, in_scale: Scale, observed: float) -> Quantized:
        """The words as they are; the address in units of the input."""
        multiplier, shift = multipliers_of(np.asarray(in_scale, dtype=np.float64))
        words = {name: np.asarray(params[name], dtype=np.int64) for name in self.float_params}
        return Quantized({**words, "multiplier": multiplier, "shift": shift}, BINARY, 1.0)

    def operations(self, params: Params) -> int:
        """Rescale (3), clip (2), three selects of two words each and their masks (5), shift, two masks."""
        return 13


MEMBER = LookupTable()
