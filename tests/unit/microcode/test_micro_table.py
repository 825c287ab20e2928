"""The shared pieces: leading bit, positions, interpolation, reciprocal and inverse root, at their stated errors."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurodeploy.microcode import _table as table

REGISTER = st.integers(1, 2**31 - 1)


def registers(bits: int) -> np.ndarray:
    """Values around every power of two up to ``bits`` bits, and 200,000 spread evenly over their logarithm."""
    powers = 2 ** np.arange(bits)
    near = np.concatenate([powers - 1, powers, powers + 1, [2**bits - 1]])
    spread = np.exp2(np.random.default_rng(0).uniform(0, bits, 200_000)).astype(np.int64)
    return np.unique(np.clip(np.concatenate([near, spread]), 1, 2**bits - 1))


@given(x=st.integers(0, 2**32 - 1))
def test_bit_length_equals_python(x: int) -> None:
    assert int(table.bit_length(np.array([x]))[0]) == x.bit_length()


def test_reciprocal_is_within_two_to_the_minus_25() -> None:
    x = registers(31)
    r, exponent = table.reciprocal(x, table.reciprocal_table())
    error = np.abs(r * 2.0**-30 * np.exp2(-exponent) * x - 1.0)
    assert error.max() < 2.0**-25
    assert r.min() >= 2**29 and r.max() <= 2**30


def test_inverse_root_is_within_two_to_the_minus_25() -> None:
    x = registers(30)
    r, exponent = table.inverse_root(x, table.root_table())
    error = np.abs(r * 2.0**-30 * np.exp2(-exponent) * np.sqrt(x) - 1.0)
    assert error.max() < 2.0**-25
    assert r.min() >= 2**29 and r.max() <= 2**30


def test_reciprocal_and_root_of_powers_are_exact() -> None:
    r, exponent = table.reciprocal(2 ** np.arange(31), table.reciprocal_table())
    assert (r == 2**30).all() and exponent.tolist() == list(range(31))
    r, exponent = table.inverse_root(4 ** np.arange(15), table.root_table())
    assert (r == 2**30).all() and exponent.tolist() == list(range(15))


def test_interpolate_meets_the_entries_and_rounds_half_up_between() -> None:
    entries = np.array([0, 10, 5])
    assert table.interpolate(entries, np.array([0, 1, 2, 3, 4, 5, 6, 7]), 2).tolist() == [
        0,
        3,
        5,
        8,
        10,
        9,
        8,
        6,
    ]


@given(
    log_factor=st.floats(-39, 40),
    top_bits=st.integers(4, 25),
    a=st.one_of(st.integers(0, 2**31 - 2), st.integers(0, 999)),
)
def test_position_is_the_cut_product_within_its_error(log_factor: float, top_bits: int, a: int) -> None:
    factor, top = 2.0**log_factor, 2**top_bits - 1
    params = table.position_params(factor, top)
    exact = min(a * factor, top)
    assert abs(int(table.position(np.int64(a), params, top)) - exact) <= 0.5 + exact * 2.0**-15
    assert params["cut"] << params["up"] < 2**31


def test_position_takes_one_factor_per_channel() -> None:
    factors = np.array([0.5, 3.0, 1e6])
    params = table.position_params(factors, 1 << 20)
    assert all(np.asarray(value).dtype == np.int64 for value in params.values())
    assert table.position(np.array([100, 100, 1]), params, 1 << 20).tolist() == [50, 300, 1000000]


def test_position_refuses_a_vanishing_factor() -> None:
    with pytest.raises(ValueError, match="outside"):
        table.position_params(2.0**-41, 1 << 20)


def test_bits_of_counts_entries_times_width() -> None:
    assert table.bits_of(np.array([0, 1, 255])) == 24 and table.bits_of(np.array([-255, 0])) == 18
