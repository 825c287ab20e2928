"""Softmax against float64 at every unit and row length, with masks, at its stated three output units."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurodeploy.errors import QuantizeError
from neurodeploy.ir.micro_op import MICROCODE
from neurodeploy.ir.types import Fixed, Interval
from tests.later import torch

SOFTMAX = MICROCODE["softmax"]
LIMIT = 2**23 - 1
FULL = Interval(-LIMIT, LIMIT, True)
LENGTHS = (1, 2, 17, 64, 768, 1024)
UNITS = (*(2.0**-k for k in range(30, -3, -2)), 1.37e-5, 3e-3, 0.1, 50.0, 1e6)
BOUND = 3.0  # output units, rows up to 1024


def edge_rows(n: int) -> np.ndarray:
    """All equal, one-hot extremes of either sign, both ends of 24 bits, noise at every size, one high among equals."""
    rng = np.random.default_rng(n)
    rows = [np.full((1, n), value) for value in (0, 1, LIMIT, -LIMIT)]
    for size in (1 << k for k in range(24)):
        one_hot = np.zeros((1, n), np.int64)
        one_hot[0, n // 2] = min(size, LIMIT)
        rows += [one_hot, -one_hot, rng.integers(-min(size, LIMIT), min(size, LIMIT) + 1, (3, n))]
    one_hot = np.full((1, n), -LIMIT)
    one_hot[0, -1] = LIMIT
    return np.concatenate([*rows, one_hot, -one_hot])


def error_in_units(x: np.ndarray, scale: float, params: dict | None = None) -> float:
    q = SOFTMAX.quantize(params or {}, Fixed(24, True, scale), FULL, {})
    y, clipped = SOFTMAX.int_apply(x, q.params)
    assert clipped == 0 and y.min() >= 0 and y.max() <= q.interval.hi == 2**15
    return float(np.abs(y - SOFTMAX.float_apply(x * scale, params or {}) / q.fixed.scale).max())


@pytest.mark.parametrize("n", LENGTHS)
def test_softmax_error_on_edge_rows(n: int) -> None:
    rows = edge_rows(n)
    assert max(error_in_units(rows, scale) for scale in UNITS) <= BOUND


@settings(deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(1, 1024),
    scale=st.floats(-30, 10).map(np.exp2),
    spread=st.floats(0.01, 40.0),
)
def test_softmax_error_on_random_rows(seed: int, n: int, scale: float, spread: float) -> None:
    """Logits of any spread, which is where rounding of the exponent's multiplier shows."""
    logits = np.random.default_rng(seed).normal(0.0, spread, (4, n))
    x = np.clip(np.rint(logits / scale), -LIMIT, LIMIT).astype(np.int64)
    assert error_in_units(x, scale) <= BOUND


@pytest.mark.parametrize("depth", np.linspace(0.5, 16.0, 32))
def test_softmax_error_where_the_multiplier_hurts_most(depth: float) -> None:
    """One maximum above 1023 equals at depth z: the sum weighs the error of z most near 2^z = 1023."""
    for scale in (2.0**-16 * k for k in (1.0, 1.1, 1.3, 1.4, 1.7)):
        x = np.zeros((1, 1024), np.int64)
        x[0, 0] = round(depth * np.log(2.0) / scale)
        assert error_in_units(x, scale) <= BOUND


@pytest.mark.parametrize("n", [1025, 2048, 5000, 65536])
def test_softmax_error_of_long_rows(n: int) -> None:
    """What the sum has fewer bits for adds an error that doubles with the row."""
    rng = np.random.default_rng(n)
    rows = [np.zeros((1, n)), np.full((1, n), -20.0), rng.normal(0, 3, (1, n)), rng.normal(0, 0.1, (1, n))]
    rows[1][0, 5] = 0.0
    x = np.rint(np.concatenate(rows) / 2.0**-16).astype(np.int64)
    spare = max((n - 1).bit_length() - 10, 0)
    assert error_in_units(x, 2.0**-16) <= BOUND + 2.0 ** (spare - 5)


def test_float_softmax_equals_torch() -> None:
    x = np.random.default_rng(0).normal(0, 5, (4, 3, 17))
    np.testing.assert_allclose(
        SOFTMAX.float_apply(x, {}), torch.softmax(torch.tensor(x), -1).numpy(), rtol=1e-13
    )
    mask = np.random.default_rng(1).random((3, 17)) < 0.4
    filled = torch.tensor(x).masked_fill(torch.tensor(mask), float("-inf"))
    np.testing.assert_allclose(
        SOFTMAX.float_apply(x, {"mask": mask}), torch.softmax(filled, -1).numpy(), rtol=1e-13
    )


@pytest.mark.parametrize("scale", [2.0**-20, 2.0**-8, 1.0])
def test_masked_entries_are_exactly_zero_and_count_for_nothing(scale: float) -> None:
    rng = np.random.default_rng(2)
    x = rng.integers(-LIMIT, LIMIT + 1, (5, 16, 16))
    x[:, :, -1] = LIMIT  # the largest entry is masked in every row but the last
    causal = np.triu(np.ones((16, 16), bool), 1)
    q = SOFTMAX.quantize({"mask": causal}, Fixed(24, True, scale), FULL, {})
    y, _ = SOFTMAX.int_apply(x, q.params)
    assert not y[:, causal].any()
    assert np.array_equal(SOFTMAX.hides(q.params), causal) and SOFTMAX.hides({}) is None
    other = np.where(causal, -x, x)
    assert not np.array_equal(other, x) and np.array_equal(SOFTMAX.int_apply(other, q.params)[0], y)
    plain = SOFTMAX.quantize({}, Fixed(24, True, scale), FULL, {})
    for row in range(16):
        alone, _ = SOFTMAX.int_apply(x[:, row, : row + 1], plain.params)
        assert np.array_equal(alone, y[:, row, : row + 1])
    assert error_in_units(x, scale, {"mask": causal}) <= BOUND
    assert SOFTMAX.operations(q.params, 16) > SOFTMAX.operations(plain.params, 16)


def test_a_fully_masked_row_is_a_typed_error() -> None:
    mask = np.zeros((4, 4), bool)
    mask[2] = True
    with pytest.raises(QuantizeError, match="masked everywhere") as caught:
        SOFTMAX.quantize({"mask": mask}, Fixed(24, True, 1.0), FULL, {})
    assert caught.value.problems[0].code == "ND450" and "[2]" in caught.value.problems[0].found


def test_one_hot_is_exactly_one_and_equal_rows_share_evenly() -> None:
    q = SOFTMAX.quantize({}, Fixed(24, True, 0.01), FULL, {})
    one_hot = np.zeros((1, 1024), np.int64)
    one_hot[0, 5] = LIMIT
    assert SOFTMAX.int_apply(one_hot, q.params)[0].max() == 2**15
    for n in (1, 2, 64, 1024):
        assert (SOFTMAX.int_apply(np.full((1, n), -77), q.params)[0] == 2**15 // n).all()


@pytest.mark.parametrize(
    "options", [{"out_bits": 8}, {"out_scale": 2.0**-20, "out_bits": 24}, {"out_scale": 0.003, "out_bits": 9}]
)
def test_softmax_output_unit_is_an_option(options: dict) -> None:
    q = SOFTMAX.quantize({}, Fixed(24, True, 2.0**-10), FULL, options)
    x = np.random.default_rng(3).integers(-5000, 5000, (50, 65))
    y, _ = SOFTMAX.int_apply(x, q.params)
    error = np.abs(y * q.fixed.scale - SOFTMAX.float_apply(x * 2.0**-10, {}))
    assert error.max() <= 0.5 * q.fixed.scale + 9.2e-5
    assert y.max() <= q.interval.hi and q.interval.hi.bit_length() <= q.fixed.bits and not q.fixed.signed


def test_softmax_refuses_what_its_registers_cannot_hold() -> None:
    with pytest.raises(ValueError, match="reach"):
        SOFTMAX.quantize({}, Fixed(32, True, 1.0), Interval(-5, 5, False), {})
    assert SOFTMAX.quantize({}, Fixed(32, True, 1.0), Interval(-5, 5, True), {}).interval.proven
    with pytest.raises(ValueError, match="one unit"):
        SOFTMAX.quantize({}, Fixed(24, True, np.array([1.0, 2.0])), FULL, {})
    with pytest.raises(ValueError, match="output unit"):
        SOFTMAX.quantize({}, Fixed(24, True, 1.0), FULL, {"out_scale": 2.0**-20})
    q = SOFTMAX.quantize({}, Fixed(24, True, 1.0), FULL, {})
    with pytest.raises(ValueError, match="longer than 65536"):
        SOFTMAX.int_apply(np.zeros((1, 65537), np.int64), q.params)
