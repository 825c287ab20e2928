"""Layer norm and RMS norm against float64 at every stream scale, row length and eps, at their stated bound."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from neurodeploy.ir.micro_op import MICROCODE
from neurodeploy.ir.types import Fixed, Interval
from tests.later import torch

LAYER, RMS = MICROCODE["layer_norm"], MICROCODE["rms_norm"]
BOTH = pytest.mark.parametrize("op", [LAYER, RMS], ids=["layer_norm", "rms_norm"])
LIMIT = 2**23 - 1
FULL = Interval(-LIMIT, LIMIT, True)
LENGTHS = (1, 2, 3, 17, 64, 197, 768, 1024)
UNITS = (*(2.0**-k for k in range(30, -3, -4)), 1.37e-5, 3e-3, 50.0)
EPS = (1e-12, 1e-6, 1e-5, 1e-2)


def source(n: int, eps: float, seed: int = 0) -> dict:
    rng = np.random.default_rng(seed)
    return {"width": n, "eps": eps, "gamma": rng.normal(0, 1, n), "beta": rng.normal(0, 1, n)}


def bound(y: np.ndarray, params: dict, unit: float) -> np.ndarray:
    """The error bound of the program's docstring."""
    ratio = params["width"] / 1024
    drift = 2.0**-14.4 * ratio**0.5 if ratio <= 1 else 2.0**-13.4 * ratio**1.5
    return unit + 4e-5 * np.abs(y - params["beta"]) + drift * np.abs(params["gamma"]).max()


def edge_rows(n: int) -> np.ndarray:
    """Constant rows, extremes, and at every size noise and one-hots around zero, around an offset and at the rails."""
    rng = np.random.default_rng(n)
    rows = [np.full((1, n), value) for value in (0, 1, -1, LIMIT, -LIMIT)]
    for size in (min(1 << k, LIMIT) for k in range(24)):
        one_hot = np.zeros((1, n), np.int64)
        one_hot[0, n // 2] = size
        noise = rng.integers(-size, size + 1, (3, n))
        offset = rng.integers(-LIMIT, LIMIT + 1)
        rows += [one_hot, -one_hot, noise, np.clip(noise + offset, -LIMIT, LIMIT), LIMIT - one_hot]
    return np.concatenate(rows)


def excess(op: object, x: np.ndarray, scale: float, params: dict) -> float:
    """Largest error as a share of the bound; checks that nothing saturates and the interval holds."""
    q = op.quantize(params, Fixed(24, True, scale), FULL, {})
    y, clipped = op.int_apply(x, q.params)
    assert not clipped.any() and q.interval.lo <= y.min() and y.max() <= q.interval.hi
    exact = op.float_apply(x * scale, params)
    return float((np.abs(y * q.fixed.scale - exact) / bound(exact, params, q.fixed.scale)).max())


@BOTH
@pytest.mark.parametrize("n", LENGTHS)
def test_norm_error_on_edge_rows(op: object, n: int) -> None:
    rows = edge_rows(n)
    worst = max(excess(op, rows, scale, source(n, eps)) for scale in UNITS for eps in EPS)
    assert worst <= 1.0


@BOTH
@pytest.mark.parametrize("n", [1025, 3072, 16384])
def test_norm_error_on_wider_rows(op: object, n: int) -> None:
    rows = edge_rows(n)[::7]
    assert max(excess(op, rows, scale, source(n, 1e-6)) for scale in (2.0**-20, 3e-3)) <= 1.0


@BOTH
@settings(deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(1, 1024),
    scale=st.floats(-30, 6).map(np.exp2),
    size=st.floats(0, 23).map(np.exp2),
    eps=st.one_of(st.sampled_from(EPS), st.floats(-40, 4).map(np.exp2)),
)
def test_norm_error_on_random_rows(
    op: object, seed: int, n: int, scale: float, size: float, eps: float
) -> None:
    assume(np.sqrt(eps) / scale < 2**30)  # a larger one is refused
    rng = np.random.default_rng(seed)
    noise = rng.normal(0, size, (4, n)) + rng.normal(0, 4 * size, (4, 1))
    x = np.clip(np.rint(noise), -LIMIT, LIMIT).astype(np.int64)
    assert excess(op, x, scale, source(n, eps, seed)) <= 1.0


@pytest.mark.parametrize("scale", [2.0**-20, 1e-3, 7.0])
def test_constant_rows_give_beta_and_divide_by_nothing(scale: float) -> None:
    for eps in (0.0, 1e-5):
        params = source(64, eps)
        q = LAYER.quantize(params, Fixed(24, True, scale), FULL, {})
        y, _ = LAYER.int_apply(np.array([[0], [LIMIT], [-LIMIT], [12345]]) * np.ones(64, np.int64), q.params)
        assert (y == np.rint(params["beta"] / q.fixed.scale)).all()


@settings(deadline=None)
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(2, 300), shift=st.integers(-(2**22), 2**22))
def test_layer_norm_does_not_see_a_common_offset(seed: int, n: int, shift: int) -> None:
    """Equal to the bit: the middle of the range is taken out before anything rounds."""
    x = np.random.default_rng(seed).integers(-(2**20), 2**20, (3, n)) * 2
    q = LAYER.quantize(source(n, 1e-5), Fixed(24, True, 2.0**-12), FULL, {})
    assert np.array_equal(LAYER.int_apply(x, q.params)[0], LAYER.int_apply(x + shift, q.params)[0])


def test_float_norms_equal_torch() -> None:
    x, params = np.random.default_rng(0).normal(3, 5, (4, 3, 48)), source(48, 1e-5)
    tensors = [torch.tensor(a) for a in (x, params["gamma"], params["beta"])]
    expected = torch.nn.functional.layer_norm(tensors[0], (48,), tensors[1], tensors[2], 1e-5)
    np.testing.assert_allclose(LAYER.float_apply(x, params), expected.numpy(), rtol=1e-12, atol=1e-13)
    root = torch.rsqrt(tensors[0].pow(2).mean(-1, keepdim=True) + 1e-5)
    np.testing.assert_allclose(
        RMS.float_apply(x, params), (tensors[0] * root * tensors[1] + tensors[2]).numpy(), rtol=1e-12
    )


@BOTH
def test_gamma_and_beta_may_be_missing_zero_or_negative(op: object) -> None:
    x = np.random.default_rng(1).integers(-1000, 1000, (5, 32))
    plain = op.quantize({"width": 32, "eps": 1e-5, "gamma": None}, Fixed(24, True, 0.01), FULL, {})
    ones = {"width": 32, "eps": 1e-5, "gamma": np.ones(32), "beta": np.zeros(32)}
    same = op.quantize(ones, Fixed(24, True, 0.01), FULL, {})
    assert np.array_equal(op.int_apply(x, plain.params)[0], op.int_apply(x, same.params)[0])
    mixed = ones | {"gamma": np.where(np.arange(32) % 2, -2.0, 0.0), "beta": np.full(32, 0.5)}
    assert excess(op, x, 0.01, mixed) <= 1.0
    silent = ones | {"gamma": np.zeros(32)}
    q = op.quantize(silent, Fixed(24, True, 0.01), FULL, {})
    assert not op.int_apply(x, q.params)[0].any()


def test_a_chosen_unit_saturates_symmetrically_and_counts() -> None:
    x = np.zeros((2, 64), np.int64)
    x[0, 0], x[1, 0] = 1000, -1000  # normalised to +-7.9
    params = {"width": 64, "eps": 1e-5}
    q = LAYER.quantize(params, Fixed(24, True, 0.01), FULL, {"out_scale": 4 / 127, "out_bits": 8})
    y, clipped = LAYER.int_apply(x, q.params)
    assert (y[0, 0], y[1, 0]) == (127, -127) and clipped.sum() == 2
    assert (q.interval.lo, q.interval.hi, q.fixed.bits) == (-127, 127, 8)
    free = np.abs(y * q.fixed.scale - LAYER.float_apply(x * 0.01, params))[:, 1:]
    assert free.max() <= q.fixed.scale


def test_norm_refuses_what_its_registers_cannot_hold() -> None:
    params = source(8, 1e-5)
    with pytest.raises(ValueError, match="reach"):
        LAYER.quantize(params, Fixed(32, True, 1.0), Interval(-5, 5, False), {})
    with pytest.raises(ValueError, match="one unit"):
        LAYER.quantize(params, Fixed(24, True, np.full(8, 0.1) * np.arange(1, 9)), FULL, {})
    with pytest.raises(ValueError, match="eps"):
        LAYER.quantize(params | {"eps": -1.0}, Fixed(24, True, 1.0), FULL, {})
    with pytest.raises(ValueError, match="eps"):
        LAYER.quantize(params, Fixed(24, True, 1e-13), FULL, {})
    with pytest.raises(ValueError, match="outside 1"):
        LAYER.quantize({"width": 2**15, "eps": 1e-5}, Fixed(24, True, 1.0), FULL, {})
    with pytest.raises(ValueError, match="beta"):
        LAYER.quantize(params | {"gamma": np.zeros(8)}, Fixed(24, True, 1.0), FULL, {"out_scale": 1e-12})
    q = LAYER.quantize(params, Fixed(24, True, 1.0), FULL, {})
    with pytest.raises(ValueError, match="width 8"):
        LAYER.int_apply(np.zeros((1, 9), np.int64), q.params)
