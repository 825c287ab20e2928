"""Neurons without state: tables of bits, and signs."""

from __future__ import annotations

import numpy as np
import pytest

from neurodeploy.neurons._words import words
from neurodeploy.neurons.lookup_table import MEMBER
from neurodeploy.neurons.sign import MEMBER as SIGN


@pytest.mark.parametrize("bits", range(1, 7))
def test_every_entry_of_every_table_is_read(bits: int) -> None:
    rng = np.random.default_rng(bits)
    table = rng.integers(0, 2, (20, 1 << bits))
    for scale in (1.0, 0.25, 1 / 3, 0.0123):  # what a unit of the address is worth
        made = MEMBER.quantize(words(table), scale, 1.0)
        for address in range(1 << bits):
            x = np.full(20, round(address / scale))
            sent, clipped = MEMBER.int_step(x, **made.params)
            assert np.array_equal(sent, table[:, address]) and not clipped.any()
            (real,) = MEMBER.float_step(np.full(20, float(address)), **words(table))
            assert np.array_equal(real, table[:, address])


def test_addresses_outside_of_the_table_are_flagged() -> None:
    made = MEMBER.quantize(words(np.arange(64)[None] % 2), 1.0, 1.0)
    sent, clipped = MEMBER.int_step(np.array([-1, 0, 63, 64]), **made.params)
    assert sent.tolist() == [0, 0, 1, 1] and clipped.tolist() == [1, 0, 0, 1]


@pytest.mark.parametrize("entries", [0, 1, 3, 48, 128])
def test_tables_of_other_sizes_are_refused(entries: int) -> None:
    with pytest.raises(ValueError, match="a table of"):
        words(np.zeros((2, entries)))


def test_a_sign_is_never_silent() -> None:
    made = SIGN.quantize({"threshold": 0.3}, 0.25, 1.0)
    sent, _ = SIGN.int_step(np.array([-5, 0, 1, 2, 3]), **made.params)
    assert sent.tolist() == [-1, -1, -1, 1, 1]  # 2 * 0.25 is the first above 0.3
    (real,) = SIGN.float_step(np.array([0.25, 0.3, 0.5]), 0.3)
    assert real.tolist() == [-1, 1, 1]
