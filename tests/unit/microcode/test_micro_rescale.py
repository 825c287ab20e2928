"""Change of unit and the rectifier that shares it."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurodeploy.ir.micro_op import MICROCODE
from neurodeploy.ir.types import Fixed, Interval
from neurodeploy.microcode.rescale import Rescale

RESCALE, RELU = MICROCODE["rescale"], MICROCODE["relu"]
FULL = Interval(-(2**23) + 1, 2**23 - 1, True)


@given(x=st.integers(-(2**23) + 1, 2**23 - 1), factor=st.floats(2.0**-30, 2.0**10))
def test_rescale_error_is_half_a_unit_and_a_multiplier_ulp(x: int, factor: float) -> None:
    y, clipped = RESCALE.int_apply(np.array([x]), Rescale.params(factor, 32))
    exact = Fraction(x) * Fraction(factor)
    if int(np.asarray(clipped)[0]):
        assert abs(exact) * (1 + Fraction(1, 2**15)) >= 2**31 - 1
    else:
        assert abs(int(y[0]) - exact) <= Fraction(1, 2) + abs(exact) / 2**15


def test_rescale_saturates_and_counts() -> None:
    y, clipped = RESCALE.int_apply(np.array([-200, -127, 127, 128]), Rescale.params(1.0, 8))
    assert y.tolist() == [-127, -127, 127, 127] and clipped.tolist() == [1, 0, 0, 1]


def test_rescale_brings_channels_to_one_unit() -> None:
    scale = np.array([2.0**-8, 2.0**-4, 0.3])
    q = RESCALE.quantize({}, Fixed(16, True, scale), Interval(-1000, 1000, True), {"out_scale": 2.0**-6})
    y, _ = RESCALE.int_apply(np.array([[400, 400, 10]]), q.params)
    assert y.tolist() == [[100, 1600, 192]]
    assert q.fixed.scale == 2.0**-6 and q.fixed.bits == 24
    assert (q.interval.lo, q.interval.hi, q.interval.proven) == (-19200, 19200, True)


def test_rescale_default_unit_is_a_power_of_two_of_the_input_and_fits() -> None:
    q = RESCALE.quantize({}, Fixed(24, True, 0.3), FULL, {"out_bits": 16})
    assert q.fixed.scale == 0.3 * 2**8 + 0.0 or q.fixed.scale == 0.3 * 2**9
    assert (
        q.interval.hi <= 2**15 - 1 and not RESCALE.int_apply(np.array([FULL.hi, FULL.lo]), q.params)[1].any()
    )


def test_rescale_keeps_what_is_measured_apart_from_what_is_proven() -> None:
    q = RESCALE.quantize({}, Fixed(24, True, 1.0), Interval(-10, 10, False), {"out_scale": 2.0})
    assert (q.interval.lo, q.interval.hi, q.interval.proven) == (-5, 5, False)


def test_rescale_factor_below_the_multiplier_is_zero_and_above_it_an_error() -> None:
    assert Rescale.params(2.0**-41)["multiplier"] == 0
    for factor in (2.0**15, 0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="factor"):
            Rescale.params(factor)


@pytest.mark.parametrize("bits", [1, 25])
def test_output_width_outside_a_message_is_refused(bits: int) -> None:
    with pytest.raises(ValueError, match="out_bits"):
        RESCALE.quantize({}, Fixed(24, True, 1.0), FULL, {"out_bits": bits})


@pytest.mark.parametrize("scale", [0.0, -1.0, float("inf")])
def test_output_unit_must_be_positive(scale: float) -> None:
    with pytest.raises(ValueError, match="out_scale"):
        RESCALE.quantize({}, Fixed(24, True, 1.0), FULL, {"out_scale": scale})


def test_relu_is_zero_below_and_exact_above() -> None:
    q = RELU.quantize({}, Fixed(16, True, 0.1), Interval(-500, 300, True), {"out_scale": 0.2})
    y, clipped = RELU.int_apply(np.array([-500, -1, 0, 1, 300]), q.params)
    assert y.tolist() == [0, 0, 0, 1, 150] and not clipped.any()
    assert (q.interval.lo, q.interval.hi) == (0, 150)


def test_affine_by_tick_uses_the_numbers_of_each_tick() -> None:
    op, x = MICROCODE["affine_by_tick"], np.array([[100, -100, 7]])
    source = {
        "gain": np.array([[1.0], [-0.5], [0.0]]),
        "offset": np.array([[0.0] * 3, [1.0, 2.0, 3.0], [-4.0] * 3]),
    }
    q = op.quantize(source, Fixed(16, True, 0.5), Interval(-100, 100, True), {"out_scale": 0.25})
    said = [op.int_apply(x, op.at(q.params, t))[0].tolist() for t in (1, 2, 3)]
    assert said == [[[200, -200, 14]], [[-96, 108, 5]], [[-16, -16, -16]]]
    assert (op.ticks(q.params), q.interval.lo, q.interval.hi) == ({3}, -200, 200)


def test_affine_by_tick_makes_a_unit_coarser_that_asks_for_too_steep_a_factor() -> None:
    op = MICROCODE["affine_by_tick"]
    source = {"gain": np.array([3.0, -1.0]), "offset": np.zeros(2)}
    q = op.quantize(
        source, Fixed(4, False, 1.0), Interval(0, 1, True), {"out_scale": 2.0**-20, "out_bits": 24}
    )
    for t, gain in ((1, 3.0), (2, -1.0)):
        y, _ = op.int_apply(np.array([1]), op.at(q.params, t))
        assert y[0] * q.fixed.scale == pytest.approx(gain, rel=2.0**-14)
