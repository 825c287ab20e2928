"""Integer arithmetic against exact fractions and, for the widths and rounding rules, against hand-computed values."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurodeploy.ir import fixed

INT24 = st.integers(-(2**23) + 1, 2**23 - 1)
FACTORS = st.floats(2.0**-40, 2.0**14)


@given(x=st.integers(-(2**46), 2**46), m=st.integers(-(2**15) + 1, 2**15 - 1), s=st.integers(0, 54))
def test_rescale_is_one_rounding_half_up(x: int, m: int, s: int) -> None:
    exact = Fraction(x * m, 2**s)
    expected = math.floor(exact + Fraction(1, 2)) if s else x * m
    assert int(fixed.rescale(np.int64(x), m, s)) == expected


def test_rescale_rounds_ties_up_on_both_sides_of_zero() -> None:
    x = np.array([-6, -5, -3, -2, -1, 0, 1, 2, 3, 5, 6])
    assert fixed.rescale(x, 1, 2).tolist() == [-1, -1, -1, 0, 0, 0, 0, 1, 1, 1, 2]


def test_rescale_broadcasts_multiplier_and_shift_per_channel() -> None:
    x = np.array([[8, 8], [-8, -8]])
    assert fixed.rescale(x, np.array([1, 3]), np.array([2, 3])).tolist() == [[2, 3], [-2, -3]]


@pytest.mark.parametrize("bits", [2, 8, 17, 24, 32])
def test_saturate_clips_to_the_symmetric_range(bits: int) -> None:
    limit = 2 ** (bits - 1) - 1
    x = np.array([-limit - 2, -limit - 1, -limit, 0, limit, limit + 1])
    assert fixed.saturate(x, bits).tolist() == [-limit, -limit, -limit, 0, limit, limit]


@pytest.mark.parametrize(
    ("x", "expected"),
    [
        (2**23, 2**23),  # not greater: stays
        (2**23 + 1, 2**23 + 1 - 2**24),
        (-(2**23), 2**23),  # equal: wraps
        (-(2**23) + 1, -(2**23) + 1),
        (2**25, 2**25 - 2**24),  # once, not modulo
        (-(2**25), -(2**25) + 2**24),
        (0, 0),
    ],
)
def test_wrap_once_24_follows_lava_at_the_edges(x: int, expected: int) -> None:
    assert int(fixed.wrap_once_24(np.int64(x))) == expected


@given(x=INT24, factor=st.integers(0, 4096))
def test_decay_truncates_toward_zero(x: int, factor: int) -> None:
    assert int(fixed.decay(np.int64(x), factor)) == math.trunc(Fraction(x * factor, 4096))


def test_decay_of_small_negatives_reaches_zero() -> None:
    assert fixed.decay(np.array([-3, -1, 1, 3]), 2048).tolist() == [-1, 0, 0, 1]


@given(factor=FACTORS)
def test_multiplier_of_is_within_two_to_the_minus_15(factor: float) -> None:
    m, s = fixed.multiplier_of(factor)
    assert 1 <= m < 2**15 and 0 <= s <= 54
    assert abs(Fraction(m, 2**s) / Fraction(factor) - 1) <= Fraction(1, 2**15)


@pytest.mark.parametrize("exponent", range(-40, 15))
def test_multiplier_of_is_exact_for_powers_of_two(exponent: int) -> None:
    m, s = fixed.multiplier_of(2.0**exponent)
    assert (m, s) == ((1, -exponent) if exponent <= 0 else (2**exponent, 0))


def test_multiplier_of_carries_when_the_mantissa_rounds_to_one() -> None:
    assert fixed.multiplier_of(np.nextafter(0.5, 0)) == (1, 1)
    assert fixed.multiplier_of(np.nextafter(2.0**14, 0)) == (2**14, 0)


@pytest.mark.parametrize("factor", [0.0, -1.0, 2.0**-41, 2.0**14 * 1.01, float("nan"), float("inf")])
def test_multiplier_of_refuses_what_16_bits_cannot_hold(factor: float) -> None:
    with pytest.raises(ValueError, match="outside"):
        fixed.multiplier_of(factor)


def test_multipliers_of_keeps_the_shape() -> None:
    factors = np.array([[0.5, 0.3], [7.0, 1e-9], [1.0, 3.0]])
    m, s = fixed.multipliers_of(factors)
    assert m.shape == s.shape == factors.shape and m.dtype == s.dtype == np.int64
    assert [(int(a), int(b)) for a, b in zip(m.ravel(), s.ravel(), strict=True)] == [
        fixed.multiplier_of(f) for f in factors.ravel()
    ]
    scalar, _ = fixed.multipliers_of(0.25)
    assert scalar.shape == ()


@pytest.mark.parametrize("t", range(1, 65))
def test_reciprocal_is_exact_for_powers_of_two_and_near_otherwise(t: int) -> None:
    m, s = fixed.reciprocal(t)
    error = abs(Fraction(m, 2**s) * t - 1)
    assert error == 0 if t & (t - 1) == 0 else error <= Fraction(1, 2**15)


@pytest.mark.parametrize(
    ("magnitude", "signed", "bits"),
    [(0, True, 2), (1, True, 2), (127, True, 8), (128, True, 9), (255, False, 8), (256, False, 9)],
)
def test_bits_for_counts_the_sign(magnitude: int, signed: bool, bits: int) -> None:
    assert fixed.bits_for(magnitude, signed) == bits


def test_select_and_flag_are_integer_where() -> None:
    condition, a, b = np.array([True, False]), np.array([2**40, 7]), np.array([-3, -(2**40)])
    assert fixed.select(condition, a, b).tolist() == [2**40, -(2**40)]
    assert fixed.flag(condition).dtype == np.int64 and fixed.flag(condition).tolist() == [1, 0]
    assert fixed.select(True, 5, 9) == 5 and fixed.flag(False) == 0
