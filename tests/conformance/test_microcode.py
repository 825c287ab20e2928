"""What every registered operator must do; a new operator is tested by being in the registry."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurodeploy.ir.fixed import held, reciprocal, rescale
from neurodeploy.ir.micro_op import MICROCODE, MicroOp, QuantizedMicro
from neurodeploy.ir.types import Fixed, Interval

OPERATORS = MICROCODE
WIDTHS = (1, 2, 17, 64, 768, 1024)
UNITS = (2.0**-20, 1.37e-5, 3e-3, 1.0)
BITS = 24
LIMIT = 2 ** (BITS - 1) - 1
#: error allowed of any operator, in output units and relative to the result; each one's own bound is narrower
UNIT_ERROR, RELATIVE_ERROR = 3.0, 1e-4
REGISTER, PRODUCT = 2**31, 2**63


@pytest.fixture(params=sorted(OPERATORS), name="op")
def _op(request: pytest.FixtureRequest) -> MicroOp:
    return OPERATORS[request.param]


def quantized(op: MicroOp, width: int, scale: float = 2.0**-12, **options: Any) -> QuantizedMicro:
    return op.quantize(op.example(width), Fixed(BITS, True, scale), Interval(-LIMIT, LIMIT, True), options)


def rows(width: int, count: int = 6, seed: int = 0) -> np.ndarray:
    """Random rows of every size, with offsets, constants and one-hots at both rails."""
    rng = np.random.default_rng(seed)
    found = [np.full((1, width), value) for value in (0, LIMIT, -LIMIT)]
    for size in (min(1 << k, LIMIT) for k in range(0, BITS, 3)):
        noise = rng.integers(-size, size + 1, (count, width))
        found += [noise, np.clip(noise + rng.integers(-LIMIT, LIMIT + 1), -LIMIT, LIMIT)]
    one_hot = np.full((1, width), -LIMIT)
    one_hot[0, 0] = LIMIT
    return np.concatenate([*found, one_hot, -one_hot]).astype(np.int64)


def test_integer_parameters_are_integers_or_names(op: MicroOp) -> None:
    for name, value in quantized(op, 16).params.items():
        assert isinstance(value, int | str) or (isinstance(value, np.ndarray) and value.dtype == np.int64), (
            name
        )


def test_says_whether_its_output_may_be_negative(op: MicroOp) -> None:
    y, _ = op.int_apply(rows(16), quantized(op, 16).params)
    assert op.nonnegative == (y.min() >= 0)


def test_registers_hold_the_parameters(op: MicroOp) -> None:
    for width in (1, 1024):
        for scale in (2.0**-30, 1.0):
            for name, value in quantized(op, width, scale).params.items():
                if not isinstance(value, str):
                    assert np.abs(value).max() < REGISTER, name


def test_costs_are_counted(op: MicroOp) -> None:
    costs = [op.operations(quantized(op, width).params, width) for width in WIDTHS]
    assert all(isinstance(cost, int) and cost > 0 for cost in costs) and costs == sorted(costs)
    bits = op.table_bits(quantized(op, 16).params)
    assert isinstance(bits, int) and bits >= 0
    if not op.row:
        assert costs[-1] == 1024 * costs[0], "an elementwise operator costs the same for every element"


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scale", UNITS)
def test_integer_and_float_agree(op: MicroOp, width: int, scale: float) -> None:
    q, x = quantized(op, width, scale), rows(width)
    y, _ = op.int_apply(x, q.params)
    exact = op.float_apply(x * scale, op.example(width))
    allowed = UNIT_ERROR * np.asarray(q.fixed.scale) + RELATIVE_ERROR * np.maximum(np.abs(exact), 1.0)
    assert (np.abs(y * q.fixed.scale - exact) <= allowed).all()


@pytest.mark.parametrize("width", WIDTHS)
def test_stays_inside_interval_and_width_without_saturating(op: MicroOp, width: int) -> None:
    q = quantized(op, width)
    y, clipped = op.int_apply(rows(width), q.params)
    lo, hi = q.fixed.limits
    assert y.dtype == np.int64 and not np.any(clipped)
    assert lo <= q.interval.lo <= y.min() and y.max() <= q.interval.hi <= hi


def test_default_output_fits_a_message_under_expectation_compensation(op: MicroOp) -> None:
    """t * f with t = 64; a plain rescale is linear and never wrapped."""
    if op.name != "rescale":
        assert 64 * quantized(op, 64).interval.magnitude < 2**23


def test_a_wanted_unit_and_width_are_kept(op: MicroOp) -> None:
    q = quantized(op, 16, out_scale=2.0**-4, out_bits=12)
    y, clipped = op.int_apply(rows(16), q.params)
    assert np.all(np.asarray(q.fixed.scale) == 2.0**-4) and q.fixed.bits == 12
    lo, hi = q.fixed.limits
    assert y.min() >= lo and y.max() <= hi and set(np.unique(clipped)) <= {0, 1}


def test_leading_axes_have_no_meaning(op: MicroOp) -> None:
    x, q = rows(16)[:48], quantized(op, 16)
    y, _ = op.int_apply(x, q.params)
    folded, _ = op.int_apply(x.reshape(2, 4, 6, 16), q.params)
    assert np.array_equal(folded.reshape(48, 16), y)
    for row, expected in zip(x, y, strict=True):
        assert np.array_equal(op.int_apply(row[None], q.params)[0][0], expected)


def test_repeats_to_the_bit_and_writes_to_nothing(op: MicroOp) -> None:
    x, q = rows(64), quantized(op, 64)
    kept = {name: np.copy(value) for name, value in q.params.items()} | {"x": x.copy()}
    first, second = op.int_apply(x, q.params)[0], op.int_apply(x, q.params)[0]
    assert np.array_equal(first, second)
    assert all(np.array_equal(kept[name], value) for name, value in (dict(q.params) | {"x": x}).items())


def test_only_declared_row_operators_mix_a_row(op: MicroOp) -> None:
    """Reversing the columns of an elementwise operator reverses its output."""
    if not op.row:
        x, q = rows(16), quantized(op, 16)
        assert np.array_equal(op.int_apply(x[:, ::-1], q.params)[0], op.int_apply(x, q.params)[0][:, ::-1])


def test_units_inside_a_row(op: MicroOp) -> None:
    """Row operators refuse them; elementwise ones absorb them."""
    scale = 2.0**-12 * np.arange(1, 17)
    arguments: tuple[Any, ...] = (op.example(16), Fixed(16, True, scale), Interval(-32767, 32767, True), {})
    if op.row:
        with pytest.raises(ValueError, match="one unit"):
            op.quantize(*arguments)
        return
    q = op.quantize(*arguments)
    x = np.random.default_rng(1).integers(-32767, 32768, (100, 16))
    error = np.abs(op.int_apply(x, q.params)[0] * q.fixed.scale - op.float_apply(x * scale, op.example(16)))
    assert (error <= UNIT_ERROR * np.asarray(q.fixed.scale) + RELATIVE_ERROR * np.abs(x * scale)).all()


class Watched(np.ndarray):
    """An int64 array that recomputes every result in float64 and keeps the largest magnitude per kind of result."""

    peaks: dict[str, float]

    def __array_finalize__(self, source: Any) -> None:
        self.peaks = getattr(source, "peaks", {})

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        plain = [np.asarray(i) for i in inputs]
        result = getattr(ufunc, method)(*plain, **kwargs)
        if result.dtype != np.int64:
            return result
        if ufunc in (np.multiply, np.add, np.subtract):  # these may overflow: check them in float64
            wide = getattr(ufunc, method)(*(i.astype(np.float64) for i in plain), **kwargs)
            self.record("product", wide)
            np.testing.assert_allclose(result, wide, rtol=1e-12)
        if ufunc is np.left_shift and plain[0].ndim == 0:
            return result  # the rounding constant of a rescale belongs to the 64-bit product
        if ufunc is np.left_shift:
            self.record("product", np.abs(plain[0].astype(np.float64)) * np.exp2(plain[1]))
        rounding = (
            ufunc in (np.multiply, np.add, np.left_shift) and method == "__call__"
        )  # before a product's shift
        if not rounding and ufunc is not np.bitwise_and:
            self.record("register", result)
        return self.wrap(result)

    def __array_function__(self, function: Any, kinds: Any, args: Any, kwargs: Any) -> Any:
        result = super().__array_function__(function, kinds, args, kwargs)
        return self.wrap(result) if isinstance(result, np.ndarray) and result.dtype == np.int64 else result

    def wrap(self, result: Any) -> Any:
        return watched(result, self.peaks)

    def record(self, kind: str, value: Any) -> None:
        if np.size(value):
            self.peaks[kind] = max(self.peaks[kind], float(np.abs(value).max()))


def watched(value: Any, peaks: dict[str, float]) -> Watched:
    view = np.asarray(value).view(Watched)
    view.peaks = peaks
    return view


@held.register
def _held(x: Watched, bits: Any) -> Watched:
    limit = 1 << (int(bits) - 1)
    assert -limit <= np.asarray(x).min() and np.asarray(x).max() < limit, (
        "a register holds more than its program says"
    )
    return x


def peaks_of(op: MicroOp, x: np.ndarray, q: QuantizedMicro) -> dict[str, float]:
    """Largest register and product of one evaluation; fails where int64 overflowed."""
    peaks = {"register": 0.0, "product": 0.0}
    params = {k: watched(v, peaks) if isinstance(v, np.ndarray) else v for k, v in q.params.items()}
    y, _ = op.int_apply(watched(x, peaks), params)
    assert np.array_equal(np.asarray(y), op.int_apply(x, q.params)[0])
    return peaks


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scale", [2.0**-30, 2.0**-20, 3e-3, 1e5])
def test_no_register_passes_32_bits_and_no_product_64(op: MicroOp, width: int, scale: float) -> None:
    peaks = peaks_of(op, rows(width, 2), quantized(op, width, scale))
    assert 0 < peaks["register"] <= REGISTER and peaks["product"] < PRODUCT


def test_the_watch_sees_overflow() -> None:
    peaks = {"register": 0.0, "product": 0.0}
    with pytest.raises(AssertionError):
        watched(np.array([2**40]), peaks) * watched(np.array([2**40]), peaks)
    assert float(watched(np.array([2**40]), peaks)[0] >> 1) == 2**39


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**32 - 1), width=st.integers(1, 64), ticks=st.integers(1, 16))
@pytest.mark.parametrize("name", sorted(OPERATORS))
def test_expectation_compensation_telescopes_exactly(name: str, seed: int, width: int, ticks: int) -> None:
    """sum of y(t) = F(T) with F(t) = t f(S(t)/t), and F(T)/T is f at the mean input within the operator's error."""
    op, rng = OPERATORS[name], np.random.default_rng(seed)
    xs = rng.integers(-(2**14), 2**14, (ticks, 1, width))
    q = quantized(op, width)
    total, last, sent = (
        np.zeros((1, width), np.int64),
        np.zeros((1, width), np.int64),
        np.zeros((1, width), np.int64),
    )
    for t, x in enumerate(xs, start=1):
        total = total + x
        whole = t * op.int_apply(rescale(total, *reciprocal(t)), q.params)[0]
        sent = sent + (whole - last)
        last = whole
    assert np.array_equal(sent, last)
    mean = rescale(total, *reciprocal(ticks))
    assert np.array_equal(sent, ticks * op.int_apply(mean, q.params)[0])
