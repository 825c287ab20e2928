"""Tables of bits as words, which is how neurons hold them."""

from __future__ import annotations

import numpy as np

from ..array import Array

WORDS, WORD_BITS = 4, 16
ENTRIES = WORDS * WORD_BITS


def words(table: Array) -> dict[str, Array]:
    """Tables of bits (J, 2^n) as parameters, each (J,).

    Raises ValueError for a number of entries that is no power of two up to 64.
    """
    entries = table.shape[-1]
    if entries & (entries - 1) or not 2 <= entries <= ENTRIES:
        raise ValueError(f"a table of {entries} bits; 2, 4, 8, 16, 32 or 64 are possible")
    whole = np.tile(table.astype(np.int64), ENTRIES // entries).reshape(-1, WORDS, WORD_BITS)
    packed = (whole << np.arange(WORD_BITS)).sum(-1)
    return {f"word{i}": packed[:, i] for i in range(WORDS)}
