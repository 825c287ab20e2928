"""LIF and ternary LIF against Lava's fixed-point equations, written here one scalar at a time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurodeploy.ir.neuron_model import NEURONS
from neurodeploy.neurons import lif

LIF, TERNARY = NEURONS["lif"], NEURONS["ternary_lif"]
LIMIT = 2**23


def lava_decay(x: int, factor: int) -> int:
    magnitude = (abs(x) * factor) // 4096
    return magnitude if x >= 0 else -magnitude


def lava_integrate(a: int, u: int, v: int, du: int, dv: int) -> tuple[int, int]:
    u = lava_decay(u, 4096 - (du + 1)) + a * 64
    if u > LIMIT:
        u -= 2 * LIMIT
    elif u <= -LIMIT:
        u += 2 * LIMIT
    v = lava_decay(v, 4096 - dv) + u
    return u, max(-LIMIT + 1, min(LIMIT - 1, v))


def lava_lif(inputs: list[int], du: int, dv: int, vth: int) -> list[tuple[int, int, int]]:
    trace, u, v = [], 0, 0
    for a in inputs:
        u, v = lava_integrate(a, u, v, du, dv)
        s = int(v > vth * 64)
        v = 0 if s else v
        trace.append((s, u, v))
    return trace


def lava_ternary(inputs: list[int], du: int, dv: int, hi: int, lo: int) -> list[tuple[int, int, int]]:
    trace, u, v = [], 0, 0
    for a in inputs:
        u, v = lava_integrate(a, u, v, du, dv)
        s = 1 if v > hi * 64 else -1 if v < lo * 64 else 0
        v = 0 if s else v
        trace.append((s, u, v))
    return trace


def run(model: object, inputs: list[int], *params: int) -> list[tuple[int, int, int]]:
    trace, state = [], (np.int64(0), np.int64(0))
    for a in inputs:
        s, *state, _ = model.int_step(np.int64(a), *state, *params)
        trace.append((int(s), int(state[0]), int(state[1])))
    return trace


INPUTS = st.lists(
    st.one_of(
        st.integers(-300, 300), st.integers(-(2**18), 2**18), st.sampled_from([2**17, -(2**17), 2**17 + 1])
    ),
    min_size=1,
    max_size=12,
)
CODE = st.integers(0, 4095)


@given(
    inputs=INPUTS,
    du=st.one_of(CODE, st.just(-1), st.just(4095)),
    dv=st.integers(0, 4096),
    vth=st.integers(0, 2**17 - 1),
)
def test_lif_equals_lava_on_random_streams(inputs: list[int], du: int, dv: int, vth: int) -> None:
    assert run(LIF, inputs, du, dv, vth) == lava_lif(inputs, du, dv, vth)


@given(
    inputs=INPUTS,
    du=CODE,
    dv=st.integers(0, 4096),
    hi=st.integers(0, 2**17 - 1),
    lo=st.integers(-(2**17) + 1, 0),
)
def test_ternary_equals_lava_on_random_streams(inputs: list[int], du: int, dv: int, hi: int, lo: int) -> None:
    assert run(TERNARY, inputs, du, dv, hi, lo) == lava_ternary(inputs, du, dv, hi, lo)


@pytest.mark.parametrize(
    ("a", "u"),
    [(2**17, LIMIT), (2**17 + 1, LIMIT + 64 - 2 * LIMIT), (-(2**17), LIMIT), (-(2**17) + 1, -LIMIT + 64)],
)
def test_lif_current_wraps_once_past_24_bits(a: int, u: int) -> None:
    assert int(LIF.int_step(np.int64(a), np.int64(0), np.int64(0), 4095, 0, 2**17 - 1)[1]) == u


@pytest.mark.parametrize(("vth", "spike"), [(99, 1), (100, 0), (101, 0)])
def test_lif_threshold_is_strict(vth: int, spike: int) -> None:
    assert int(LIF.int_step(np.int64(100), np.int64(0), np.int64(0), 4095, 0, vth)[0]) == spike


@pytest.mark.parametrize(("a", "spike"), [(100, 0), (101, 1), (-100, 0), (-101, -1)])
def test_ternary_thresholds_are_strict_on_both_sides(a: int, spike: int) -> None:
    assert int(TERNARY.int_step(np.int64(a), np.int64(0), np.int64(0), 4095, 0, 100, -100)[0]) == spike


def test_lif_voltage_decay_truncates_negatives_toward_zero() -> None:
    _, _, v, _ = LIF.int_step(np.int64(0), np.int64(0), np.int64(-3), 4095, 2048, 100)
    assert int(v) == -1


def test_lif_clips_the_voltage_and_counts_it() -> None:
    inputs, state = [-(2**16)] * 3, [np.int64(0), np.int64(0)]
    clips = []
    for a in inputs:
        _, *state, clipped = LIF.int_step(np.int64(a), *state, 4095, 0, 2**17 - 1)
        clips.append(int(clipped))
    assert int(state[1]) == -LIMIT + 1 and clips == [0, 1, 1]


def test_lif_float_step_fires_at_equality_and_resets_to_zero() -> None:
    s, _, v = LIF.float_step(np.array([1.0, 2.0, 2.5]), 0.0, np.zeros(3), 0.5, 0.5, 1.0)
    assert s.tolist() == [0.0, 1.0, 1.0] and v.tolist() == [0.5, 0.0, 0.0]


def test_ternary_float_step_is_symmetric() -> None:
    x = np.array([-1.0, -0.5, -0.25, 0.25, 0.5, 1.0])
    s, _, v = TERNARY.float_step(x, 0.0, np.zeros(6), 0.25, 1.0, 0.5)
    assert s.tolist() == [-1, -1, 0, 0, 1, 1] and v.tolist() == [0, 0, -0.25, 0.25, 0, 0]


@pytest.mark.parametrize(("beta", "dv"), [(0.5, 2048), (0.25, 3072), (1.0, 0), (0.0, 4096)])
def test_decay_code_is_exact_for_common_leaks(beta: float, dv: int) -> None:
    assert lif.decay_code(beta) == dv


def test_threshold_folds_gain_and_unit_per_channel() -> None:
    q = LIF.quantize({"beta": 0.5, "gain": 0.5, "threshold": 1.0}, np.array([0.25, 0.3, 1.0]), 1.0)
    assert q.params["vth"].tolist() == [7, 6, 1] and q.params["vth"].dtype == np.int64


@pytest.mark.parametrize(("scale", "threshold"), [(2.0**-17, 1.0), (1.0, -1.0)])
def test_threshold_outside_17_bits_is_refused(scale: float, threshold: float) -> None:
    with pytest.raises(ValueError, match="threshold mantissa"):
        LIF.quantize({"beta": 0.5, "gain": 0.5, "threshold": threshold}, scale, 1.0)


def test_a_threshold_inside_the_first_unit_lets_every_positive_state_fire() -> None:
    params = LIF.quantize({"beta": 0.5, "gain": 0.5, "threshold": 1.0}, 4.0, 1.0).params
    fired = [int(LIF.int_step(np.int64(x), np.int64(0), np.int64(0), **params)[0]) for x in (-1, 0, 1)]
    assert fired == [0, 0, 1]


@given(xs=st.lists(st.integers(-40, 40), min_size=1, max_size=7), numerator=st.integers(3, 400))
def test_integer_lif_equals_float_lif_with_room_for_every_halving(xs: list[int], numerator: int) -> None:
    """tau 2 and 7 ticks: with inputs scaled by 2^7 every state is whole, so >= and strict > agree off the ties."""
    unit, threshold = 2.0**-7, numerator / 7 + 1e-3  # never a multiple of 2^-7
    params = LIF.quantize({"beta": 0.5, "gain": 1.0, "threshold": threshold}, unit, 1.0).params
    fu, fv, state = 0.0, 0.0, [np.int64(0), np.int64(0)]
    for x in xs:
        expected, fu, fv = LIF.float_step(float(x), fu, fv, 0.5, 1.0, threshold)
        s, *state, _ = LIF.int_step(np.int64(x) << 7, *state, params["du"], params["dv"], params["vth"])
        assert int(s) == int(expected)
        assert int(state[1]) * unit / 64 == float(fv)


@given(
    xs=st.lists(st.integers(-40, 40), min_size=1, max_size=12),
    threshold=st.integers(1, 60),
    unit=st.sampled_from([1.0, 0.1, 1 / 3, float(np.float32(0.7)) / 7, 2.0**-7]),
)
def test_integer_lif_without_leak_fires_at_every_tie_as_the_float_one(
    xs: list[int], threshold: int, unit: float
) -> None:
    """Exact sums reach the threshold exactly, in rationals; floats of the unit may miss it either way."""
    params = LIF.quantize({"beta": 1.0, "gain": 1.0, "threshold": threshold * unit}, unit, 1.0).params
    fv, state = 0.0, [np.int64(0), np.int64(0)]
    for x in xs:
        expected, _, fv = LIF.float_step(float(x), 0.0, fv, 1.0, 1.0, float(threshold))
        s, *state, _ = LIF.int_step(np.int64(x), *state, params["du"], params["dv"], params["vth"])
        assert int(s) == int(expected)


def test_a_leaked_state_less_than_a_unit_below_a_whole_threshold_fires_early() -> None:
    """The recorded difference: a mantissa of whole units cannot tell 7.5 from 8, and ties count more."""
    params = LIF.quantize({"beta": 0.5, "gain": 1.0, "threshold": 8.0}, 1.0, 1.0).params
    fired, state = [], [np.int64(0), np.int64(0)]
    for x in (7, 4):  # 7, then 3.5 + 4 = 7.5
        s, *state, _ = LIF.int_step(np.int64(x), *state, params["du"], params["dv"], params["vth"])
        fired.append(int(s))
    assert fired == [0, 1] and LIF.float_step(4.0, 0.0, 7.0, 0.5, 1.0, 8.0)[0] == 0.0


@given(
    st.lists(st.integers(-3000, 3000), min_size=1, max_size=24), st.integers(0, 4096), st.integers(-9999, 9999),
    st.integers(-50000, 50000), st.integers(1, 10**5), st.sampled_from((0, 1)),
)  # fmt: skip
def test_rectified_lif_is_its_equation(
    inputs: list[int], dv: int, bias: int, floor: int, vth: int, rule: int
) -> None:
    v, step = 0, NEURONS["rectified_lif"].int_step
    state = np.zeros(1, np.int64)
    for a in inputs:
        h = min(max(lava_decay(v, 4096 - dv) + a * 64 + bias, floor), LIMIT - 1)
        s, state, clipped = step(np.array([a]), state, dv, bias, floor, vth, vth, rule)
        v = h if h < vth else h - vth if rule else 0
        assert (int(s[0]), int(state[0]), int(clipped[0])) == (int(h >= vth), v, 0)
