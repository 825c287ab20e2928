"""ECMT's neuron against a scalar transcription of its released rules, in exact fractions."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurodeploy.ir.neuron_model import NEURONS
from neurodeploy.neurons.multi_threshold import RULES, switch_quarters, wire_ratio

MT = NEURONS["multi_threshold"]
HALF, THREE_QUARTERS = Fraction(1, 2), Fraction(3, 4)


def switch(base: Fraction, i: int, rule: str) -> Fraction:
    if rule == "ecmt_code":
        return base * 2**i - base / 2
    if rule == "nearest" and i == 0:
        return base * HALF
    return base * THREE_QUARTERS * 2**i


def reference(
    x: Fraction, v: Fraction, base_p: Fraction, base_n: Fraction, levels: int, rule: str
) -> tuple[int, Fraction]:
    """Signed level (0: silent, +-(i + 1)) and the remaining membrane, largest level first, at most one."""
    v = v + x
    for i in range(levels - 1, -1, -1):
        if v - switch(base_p, i, rule) >= 0:
            return i + 1, v - base_p * 2**i
        if -v - switch(base_n, i, rule) >= 0:
            return -(i + 1), v + base_n * 2**i
    return 0, v


RULE = st.integers(0, 2)
LEVELS = st.integers(1, 10)
STREAM = st.lists(st.one_of(st.integers(-60, 60), st.integers(-5000, 5000)), min_size=1, max_size=12)


@given(xs=STREAM, p=st.integers(1, 200), n=st.integers(1, 200), levels=LEVELS, rule=RULE)
def test_integer_step_equals_the_exact_rule_and_conserves(
    xs: list[int], p: int, n: int, levels: int, rule: int
) -> None:
    base_p, base_n, unit_p, unit_n = 2 * p, 2 * n, 5, 3
    v, exact, sent = np.int64(0), Fraction(0), 0
    for x in xs:
        out, v, clipped = MT.int_step(np.int64(x), v, base_p, base_n, unit_p, unit_n, levels, rule)
        level, exact = reference(Fraction(x), exact, Fraction(base_p), Fraction(base_n), levels, RULES[rule])
        unit, base = (unit_p, base_p) if level > 0 else (-unit_n, -base_n)
        assert int(out) == (unit << (abs(level) - 1) if level else 0)
        assert int(v) == exact and not clipped
        sent += base << (abs(level) - 1) if level else 0
    assert sent + int(v) == sum(xs)


@given(xs=STREAM, p=st.integers(1, 64), n=st.integers(1, 64), levels=LEVELS, rule=RULE)
def test_float_step_equals_the_exact_rule_on_dyadic_values(
    xs: list[int], p: int, n: int, levels: int, rule: int
) -> None:
    v, exact, total = np.zeros(1), Fraction(0), 0.0
    for x in xs:
        out, v = MT.float_step(np.array([x / 64]), v, p / 32, n / 32, levels, rule)
        before = exact + Fraction(x, 64)
        _, exact = reference(Fraction(x, 64), exact, Fraction(p, 32), Fraction(n, 32), levels, RULES[rule])
        assert Fraction(v.item()) == exact and Fraction(out.item()) == before - exact
        total += out.item()
    assert total + v.item() == sum(xs) / 64


def level_by_level(v: np.ndarray, base_p: float, base_n: float, levels: int, rule: int) -> np.ndarray:
    """What a loop over all switch points sends."""
    out = np.zeros_like(v)
    for i in range(levels):
        c = switch_quarters(i, rule)
        np.copyto(out, base_p * 2.0**i, where=4.0 * v >= c * base_p)
        np.copyto(out, -base_n * 2.0**i, where=4.0 * v <= -c * base_n)
    return out


BASE = st.floats(1e-6, 1e3)


@given(p=BASE, n=BASE, levels=LEVELS, rule=RULE, rest=st.lists(st.floats(-1e6, 1e6), max_size=20))
def test_float_step_equals_the_loop_over_levels_bit_for_bit_at_ties_and_beside_them(
    p: float, n: float, levels: int, rule: int, rest: list[float]
) -> None:
    at = np.array([switch_quarters(i, rule) * base / 4 for i in range(levels + 2) for base in (p, n)])
    near = np.concatenate([at, np.nextafter(at, np.inf), np.nextafter(at, 0)])
    v = np.concatenate([near, -near, rest, [0.0, -0.0, np.inf, -np.inf, np.nan]])
    expected = level_by_level(v, p, n, levels, rule)
    with np.errstate(invalid="ignore"):
        out, left = MT.float_step(0.0, v, p, n, levels, rule)
        assert out.tobytes() == expected.tobytes() and left.tobytes() == (v + 0.0 - expected).tobytes()


@pytest.mark.parametrize("rule", range(3))
@pytest.mark.parametrize("level", range(4))
@pytest.mark.parametrize("sign", [1, -1])
def test_fires_at_equality_and_one_unit_below_does_not_reach_the_level(
    rule: int, level: int, sign: int
) -> None:
    base = 8
    at = int(switch(Fraction(base), level, RULES[rule]))
    out_at = MT.int_step(np.int64(sign * at), np.int64(0), base, base, 1, 1, 4, rule)[0]
    out_below = MT.int_step(np.int64(sign * (at - 1)), np.int64(0), base, base, 1, 1, 4, rule)[0]
    assert int(out_at) == sign * 2**level
    assert abs(int(out_below)) == (2 ** (level - 1) if level else 0)


def test_at_most_one_level_per_tick_and_the_rest_stays() -> None:
    out, v, _ = MT.int_step(np.int64(100), np.int64(0), 8, 8, 1, 1, 3, 0)
    assert (int(out), int(v)) == (4, 68)


@pytest.mark.parametrize("sign", [1, -1])
def test_membrane_saturates_at_24_bits_and_counts(sign: int) -> None:
    _, v, clipped = MT.int_step(np.int64(sign * 1000), np.int64(sign * (2**23 - 10)), 8, 8, 1, 1, 1, 0)
    assert int(clipped) == 1 and int(v) == sign * (2**23 - 1 - 8)
    assert int(MT.int_step(np.int64(sign * 9), np.int64(sign * (2**23 - 10)), 8, 8, 1, 1, 1, 0)[2]) == 0


def test_parameters_broadcast_per_channel() -> None:
    out, v, _ = MT.int_step(np.array([[10, 10]]), np.zeros((1, 2), np.int64), np.array([4, 8]), 8, 1, 1, 2, 0)
    assert out.tolist() == [[2, 1]] and v.tolist() == [[2, 2]]


@given(p=st.floats(1e-3, 1e3), ratio=st.floats(0.07, 15.0))
def test_wire_ratio_has_small_terms_near_the_ratio(p: float, ratio: float) -> None:
    fraction = wire_ratio(p * ratio / p)
    assert 1 <= fraction.numerator <= 16 and 1 <= fraction.denominator <= 16
    assert (
        abs(np.log(float(fraction) / ratio)) <= 0.07
    )  # the widest gap between neighbours in the middle of the range


@pytest.mark.parametrize(
    ("ratio", "expected"),
    [(1.0, (1, 1)), (1.02, (1, 1)), (0.75, (3, 4)), (2.0, (2, 1)), (0.325, (1, 3)), (16.0, (16, 1))],
)
def test_wire_ratio_prefers_the_smallest_terms(ratio: float, expected: tuple[int, int]) -> None:
    fraction = wire_ratio(ratio)
    assert (fraction.numerator, fraction.denominator) == expected


def test_quantize_keeps_one_spare_level_and_even_bases() -> None:
    q = MT.quantize({"base_p": 0.5, "base_n": 0.375, "levels": 8, "rule": 0}, 2.0**-8, 2.0)
    assert q.params["levels"] == 5 and (q.params["unit_p"], q.params["unit_n"]) == (4, 3)
    assert int(q.params["base_p"]) == 128 and int(q.params["base_n"]) == 96
    assert q.scale == 0.125 and q.code.limit == 4 * 16 and q.code.signed


@given(base=st.floats(0.01, 10.0), ratio=st.floats(0.1, 10.0), fine=st.integers(4, 14))
def test_payload_and_membrane_agree_within_one_state_unit(base: float, ratio: float, fine: int) -> None:
    """What a payload is worth downstream and what the membrane loses differ by the rounding of the bases alone."""
    unit = base * min(1.0, ratio) * 2.0**-fine
    q = MT.quantize({"base_p": base, "base_n": base * ratio, "levels": 8, "rule": 0}, unit, base)
    for side in "pn":
        lost, sent = int(q.params[f"base_{side}"]) * unit, q.params[f"unit_{side}"] * q.scale
        assert int(q.params[f"base_{side}"]) % 2 == 0
        assert abs(lost - sent) <= unit * (1 + 1e-9)


def test_quantize_refuses_a_base_below_two_state_units() -> None:
    with pytest.raises(ValueError, match="two units"):
        MT.quantize({"base_p": 0.5, "base_n": 0.5, "levels": 8, "rule": 0}, 1.0, 2.0)
