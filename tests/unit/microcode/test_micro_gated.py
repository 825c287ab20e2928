"""GELU and SiLU: exact asymptotes, the stated error everywhere else, torch's definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurodeploy.ir.micro_op import MICROCODE
from neurodeploy.ir.types import Fixed, Interval
from tests.later import torch

LIMIT = 2**23 - 1
CASES = {
    "gelu": (MICROCODE["gelu"], {}),
    "gelu_tanh": (MICROCODE["gelu"], {"approximate": "tanh"}),
    "quick_gelu": (MICROCODE["quick_gelu"], {}),
    "silu": (MICROCODE["silu"], {}),
}
ALL = pytest.mark.parametrize("name", CASES)
UNITS = (*(2.0**-k for k in range(30, -3, -3)), 1.37e-5, 3e-3, 0.1, 50.0)


def excess(name: str, x: np.ndarray, scale: float, limit: int = LIMIT, options: dict | None = None) -> float:
    """Largest error as a share of the stated bound."""
    op, params = CASES[name]
    q = op.quantize(params, Fixed(24, True, scale), Interval(-limit, limit, True), options or {})
    y, clipped = op.int_apply(x, q.params)
    assert not clipped.any() and q.interval.lo <= y.min() and y.max() <= q.interval.hi
    error = np.abs(y * q.fixed.scale - op.float_apply(x * scale, params))
    relative = 2.0**-15 * np.maximum(x * scale, 0) if options else 0.0
    return float((error / (q.fixed.scale + 3.6e-5 + relative)).max())


@ALL
@pytest.mark.parametrize("scale", UNITS)
@pytest.mark.parametrize("bits", [10, 16, 24])
def test_error_over_the_whole_range(name: str, scale: float, bits: int) -> None:
    limit = 2 ** (bits - 1) - 1
    near = np.clip(np.rint(np.linspace(-20, 20, 40001) / scale), -limit, limit)
    wide = np.linspace(-limit, limit, 20001)
    assert (
        excess(name, np.concatenate([near, wide, [-limit, -1, 0, 1, limit]]).astype(np.int64), scale, limit)
        <= 1.0
    )


@ALL
@given(x=st.integers(-LIMIT, LIMIT), scale=st.floats(-30, 6).map(np.exp2), finer=st.floats(0.3, 3.0))
def test_error_at_any_unit_and_output_unit(name: str, x: int, scale: float, finer: float) -> None:
    wanted = max(LIMIT * scale, 0.3) / 2**16 * finer * 4
    assert excess(name, np.array([x]), scale, options={"out_scale": wanted}) <= 1.0


@ALL
def test_outside_the_table_the_result_is_exactly_zero_or_x(name: str) -> None:
    op, params = CASES[name]
    q = op.quantize(params, Fixed(24, True, 2.0**-12), Interval(-LIMIT, LIMIT, True), {"out_scale": 2.0**-5})
    x = np.array([19 << 12, 100 << 12, LIMIT - 127])
    y, _ = op.int_apply(np.concatenate([x, -x]), q.params)
    assert y.tolist() == [*((x + 64) >> 7).tolist(), 0, 0, 0]
    assert op.int_apply(np.array([0]), q.params)[0].tolist() == [0]
    assert q.params["table"][-2:].tolist() == [0, 0]


@ALL
def test_channels_of_different_unit_share_one_table(name: str) -> None:
    op, params = CASES[name]
    scale = np.array([2.0**-10, 3e-3, 0.25])
    q = op.quantize(
        params, Fixed(16, True, scale), Interval(-32767, 32767, True), {"out_scale": 2.0**-3, "out_bits": 24}
    )
    x = np.random.default_rng(0).integers(-32767, 32768, (200, 3))
    y, _ = op.int_apply(x, q.params)
    error = np.abs(y * 2.0**-3 - op.float_apply(x * scale, params))
    assert (error <= 2.0**-3 + 3.6e-5 + 2.0**-15 * np.abs(x * scale)).all()
    assert op.table_bits(q.params) == q.params["table"].size * int(q.params["table"].max()).bit_length()


def test_float_forms_equal_torch() -> None:
    x = np.linspace(-12, 12, 4001)
    t = torch.tensor(x)
    functional = torch.nn.functional
    expected = {
        "gelu": functional.gelu(t),
        "gelu_tanh": functional.gelu(t, approximate="tanh"),
        "silu": functional.silu(t),
    }
    for name, value in expected.items():
        op, params = CASES[name]
        np.testing.assert_allclose(op.float_apply(x, params), value.numpy(), rtol=1e-9, atol=1e-15)


def test_unknown_form_is_refused() -> None:
    with pytest.raises(ValueError, match="approximate"):
        CASES["gelu"][0].float_apply(np.zeros(1), {"approximate": "fast"})


@ALL
def test_narrow_output_saturates_and_counts(name: str) -> None:
    op, params = CASES[name]
    q = op.quantize(
        params, Fixed(24, True, 0.01), Interval(-LIMIT, LIMIT, True), {"out_scale": 0.05, "out_bits": 8}
    )
    y, clipped = op.int_apply(np.array([-1000, 0, 600, 700]), q.params)
    assert y[2:].tolist() == [120, 127] and clipped.tolist() == [0, 0, 0, 1]


@ALL
def test_an_output_unit_finer_than_any_rescale_reaches_is_not_asked_for(name: str) -> None:
    scale = 2.0**-45
    assert excess(name, np.array([-LIMIT, 0, LIMIT]), scale, options={"out_scale": scale}) <= 1.0
