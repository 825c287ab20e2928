"""Layer norm and RMS norm of a row: one integer program, with or without the mean.

    y = gamma * c / sqrt(mean(c^2) + eps) + beta,   c = x - mean(x)  (layer norm)  or  c = x  (RMS norm)
1. Range: layer norm subtracts the middle of minimum and maximum (the result does not change); the largest magnitude R
   is shifted to B bits, up or down, so the program is equally exact at any scale of the stream. sqrt(eps) takes part
   in that choice, so that eps too fits the registers.
2. Mean: sum * (1/D) by a 16-bit multiplier, then once more for the remainder: within 1/2 + 2^-9 of a unit.
3. Squares: 64-bit products, split at bit k; both halves are summed in a register of their own, so nothing is lost.
4. u = c / sqrt(sum c^2 + D eps): table and one Newton step; |u| <= 1 with unit 2^-24.
5. y = rescale(u, gamma sqrt(D) / out unit) + beta, per channel with its own 16-bit multiplier and shift; saturated.
Widths (L = ceil(log2 D), B = min(20, 30 - L), k = 2B + L - 29): |c| <= 2^(B+1); |sum c| <= 2^30; sum of high parts
<= 2^29, of low parts < 2^31; eps <= 2^29; c times the root is at most 2^51 before its shift.
In parts: the range (layer norm: both ends), of which all are told the shift (and the middle); the sum, of which they
are told the mean (layer norm); the sum of squares, of which they are told the root. Where inputs are proven to fit the
B bits, so that none is rounded as it is shifted, sums of c and c^2 follow exactly from those of x and x^2: all at once.
A constant row has c = 0 and a sum of at least 1: y = beta.
Error: |y - y_float| <= 1 output unit + 4e-5 |y_float - beta| + max|gamma| * 2^-14.4 * sqrt(D / 1024) for D <= 1024;
from there on, to 16,384, the last term is max|gamma| * 2^-13.4 * (D / 1024)^1.5, as B shrinks.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..array import Array
from ..ir.fixed import held, multiplier_of, multipliers_of, rescale, saturate
from ..ir.micro_op import Level, Numbers, Params, QuantizedMicro
from ..ir.rows import DIGIT_BITS, RowOp
from ..ir.types import Fixed, Interval
from ._program import check_reach, out_bits, out_scale, row_scale
from ._table import BIT_LENGTH_OPS, ROOT_OPS, UNIT_BITS, bit_length, bits_of, inverse_root, root_table

WIDTH_MAX = 1 << 14
U_BITS = 24  # fraction of the normalised value
U_MAX = (1 << U_BITS) + (1 << 8)  # 1 and what the rounding of small sums may add
SUM_MAX = (1 << 30) - 1
EPS_BITS = 15


class Norm(RowOp):
    """Normalisation of the last axis to unit variance (``centred``) or unit mean square."""

    affine = True

    def __init__(self, name: str, centred: bool) -> None:
        self.name = name
        self.centred = centred

    def float_apply(self, x: Array, params: Params) -> Array:
        """Biased variance, eps inside the root, as torch does."""
        x = np.asarray(x, dtype=np.float64)
        c = x - x.mean(axis=-1, keepdims=True) if self.centred else x
        y: Array = c / np.sqrt((c * c).mean(axis=-1, keepdims=True) + params["eps"])
        gamma, beta = affine(params)
        return y * gamma + beta

    def whole(self, x: Array, params: Params) -> tuple[Array, Array | int]:
        """The integer program; second: 1 where the output saturated. Raises ValueError for a row of another width."""
        if x.shape[-1] != params["width"]:
            raise ValueError(f"a row of {x.shape[-1]} meets a norm of width {params['width']}")
        if self.centred:
            c, shift = centre(x, params)
            c = held(c - mean(c, params), params["row_bits"] + 2)
        else:
            c, shift = fit(x, np.abs(x).max(axis=-1, keepdims=True), params)
        square, split = c * c, params["split"]
        total = (square >> split).sum(axis=-1, keepdims=True)
        total = total + ((square & ((1 << split) - 1)).sum(axis=-1, keepdims=True) >> split)
        return output(c, *root(total, shift, params), params)

    def result(self, x: Array, told: Numbers, params: Params) -> tuple[Array, Array | int]:
        """The centred elements once more, times the root, gamma and beta."""
        *_, high, low, half = told
        return output(self._centred(x, told, params), (high << DIGIT_BITS) + low, half, params)

    def _centred(self, x: Array, told: Numbers, params: Params) -> Array:
        return shifted(x - told[0], told[1]) - told[2] if self.centred else shifted(x, told[0])

    def _squares(self, x: Array, told: Numbers, params: Params) -> Numbers:
        c = self._centred(x, told, params)
        return (c * c,)

    def _root(self, statistics: Numbers, told: Numbers, params: Params) -> Numbers:
        """1 / sqrt of the sum of squares: two halves of its mantissa, and its exponent."""
        r, half = root(statistics[0] >> params["split"], told[int(self.centred)], params)
        return r >> DIGIT_BITS, r & ((1 << DIGIT_BITS) - 1), half

    def _moments(self, statistics: Numbers, told: Numbers, params: Params) -> Numbers:
        """All scalars at once from sums of x and x^2, where nothing is rounded on the way to c."""
        if not self.centred:
            (shift,) = _reach(statistics[:1], (), params)
            return shift, *self._root((statistics[1] << (-2 * shift),), (shift,), params)
        middle, shift = _middle(statistics[:2], (), params)
        total, squares, n = *statistics[2:], params["width"]
        around = (total - n * middle) << -shift  # the sum of c
        square = (squares - 2 * middle * total + n * middle * middle) << (-2 * shift)
        mean = mean_of(around, params)
        square = square - 2 * mean * around + n * mean * mean
        return middle, shift, mean, *self._root((square,), (middle, shift), params)

    def levels(self, params: Params, reach: int) -> tuple[Level, ...]:
        """Range, sum and squares one after the other; all at once where no element is rounded as it is shifted."""
        once = BIT_LENGTH_OPS + 5 + 5 * self.centred
        if reach.bit_length() <= params["row_bits"] and params["eps_bits"] <= params["row_bits"]:
            terms, tells, maxima, sums = (
                (_powers, 6, 2, (2, 4)) if self.centred else (_magnitude_square, 4, 1, (4,))
            )
            once += 15 + ROOT_OPS + (9 + 15 if self.centred else 1)
            return (Level(terms, self._moments, tells, 2, once, maxima, sums),)
        squares = Level(self._squares, self._root, 3, 4 + 2 * self.centred, 15 + ROOT_OPS, sums=(4,))
        if not self.centred:
            return Level(_magnitude, _reach, 1, 1, once, maxima=1), squares
        ends = Level(_ends, _middle, 2, 1, once, maxima=2)
        return ends, Level(_shifted, _mean, 1, 4, 9, sums=(2,)), squares

    def quantize(self, params: Params, fixed: Fixed, interval: Interval, options: Params) -> QuantizedMicro:
        """Default unit: the bound sqrt(D) |gamma| + |beta| just fits ``out_bits``, so nothing saturates."""
        check_reach(fixed, interval)
        width, bits = int(params["width"]), out_bits(options)
        gamma, beta = affine(params)
        bound = float(np.max(np.sqrt(width) * np.abs(gamma) + np.abs(beta))) or 1.0
        scale = out_scale(options, bound * (1 + 2.0**-14) / ((1 << (bits - 1)) - 3))
        ints = register_params(width) | eps_params(float(params["eps"]), width, row_scale(fixed))
        ints |= affine_params(gamma, beta, np.asarray(scale), ints) | {"bits": bits}
        lo, hi = limits(ints)
        reach = Interval(int(np.min(lo)), int(np.max(hi)), True)
        return QuantizedMicro(ints, Fixed(bits, True, scale), reach)

    def range(self, params: Params, lo: Array, hi: Array) -> tuple[Array, Array]:
        """beta -+ sqrt(D) |gamma|, per channel, whatever the input."""
        least, most = limits(params)
        return np.broadcast_to(least, lo.shape), np.broadcast_to(most, hi.shape)

    def whole_operations(self, params: Params, width: int) -> int:
        """22 per element and 93 per row (layer norm), 19 and 79 (RMS norm).

        Element: range (two compares and a subtract; or magnitude and a compare), shift up, round and shift down, mean
        (add, subtract), square, its split (shift, mask) and two adds, u (multiply, add, shift), output (multiply, add,
        shift, add, two compares). Row: middle and reach of the range, mean with remainder; leading bit and shift of the
        range; carry, eps, clip; inverse root; shift of u.
        """
        element = (3 + 2 if self.centred else 2) + 3 + 5 + 3 + 6
        row = (5 + 9 if self.centred else 0) + BIT_LENGTH_OPS + 5 + 15 + ROOT_OPS + 2
        return element * width + row

    def result_operations(self, params: Params, width: int) -> int:
        """14 per element (layer norm) or 12 (RMS norm), for c is made anew, and the mantissa from its halves."""
        return (3 + 2 * self.centred + 3 + 6) * width + 2

    def example(self, width: int) -> Params:
        """gamma from 0.5 to 2.5, beta from -1 to 1, eps of torch."""
        ramp = np.linspace(-1.0, 1.0, width)
        return {"width": width, "eps": 1e-5, "gamma": 1.5 - ramp, "beta": ramp}

    def table_bits(self, params: Params) -> int:
        """The inverse root."""
        return bits_of(params["root_table"])


def limits(ints: Params) -> tuple[Array, Array]:
    """Smallest and largest output of every channel, saturated."""
    u_max = np.int64(np.ceil(U_MAX / odd_half(ints["split"])))
    reach = rescale(u_max, np.abs(ints["multiplier"]), ints["shift"])
    return saturate(ints["beta"] - reach, ints["bits"]), saturate(ints["beta"] + reach, ints["bits"])


def affine(params: Params) -> tuple[Array, Array]:
    """gamma and beta of the row's width; ones and zeros where the model has none."""
    width = int(params["width"])
    gamma, beta = params.get("gamma"), params.get("beta")
    gamma = np.ones(width) if gamma is None else np.broadcast_to(np.asarray(gamma, np.float64), (width,))
    beta = np.zeros(width) if beta is None else np.broadcast_to(np.asarray(beta, np.float64), (width,))
    return gamma, beta


def register_params(width: int) -> dict[str, Any]:
    """Widths of the registers for a row of ``width`` and 1/width; raises ValueError past 2^14."""
    if not 1 <= width <= WIDTH_MAX:
        raise ValueError(f"a norm over {width} elements is outside 1 .. {WIDTH_MAX}")
    log = (width - 1).bit_length()
    row_bits = min(20, 30 - log)
    multiplier, shift = multiplier_of(1.0 / width)
    return {
        "width": width,
        "row_bits": row_bits,
        "split": 2 * row_bits + log - 29,
        "mean_multiplier": multiplier,
        "mean_shift": shift,
        "root_table": root_table(),
    }


def eps_params(eps: float, width: int, scale: float) -> dict[str, int]:
    """D * eps in squared input units as eps * 2^eps_exponent with 15 bits, and the bits of sqrt(eps).

    Raises ValueError for a negative eps or one whose root exceeds 2^30 input units.
    """
    root = np.sqrt(eps) / scale if eps >= 0 else np.inf
    if root >= 2.0**30:
        raise ValueError(f"eps {eps!r} is negative or too large for an input unit of {scale!r}")
    mantissa, exponent = np.frexp(width * root * root)
    return {
        "eps": round(float(mantissa) * 2**EPS_BITS),
        "eps_exponent": int(exponent) - EPS_BITS,
        "eps_bits": int(np.ceil(root)).bit_length(),
    }


def affine_params(gamma: Array, beta: Array, scale: Array, ints: Params) -> dict[str, Any]:
    """gamma * sqrt(D) as multiplier and shift per channel, beta in output units; raises ValueError past 2^30."""
    root = np.sqrt(ints["width"]) * odd_half(ints["split"])
    factor = np.broadcast_to(gamma * root / scale * 2.0**-U_BITS, gamma.shape)
    seen = np.abs(factor) >= 2.0**-40  # less is below 2^-16 of an output unit
    multiplier, shift = multipliers_of(np.where(seen, np.abs(factor), 1.0))
    offset = np.rint(beta / scale)
    if np.abs(offset).max() >= 2.0**30:
        raise ValueError("beta exceeds 2^30 output units")
    signed = np.where(seen, np.where(factor < 0, -multiplier, multiplier), 0)
    offset = np.broadcast_to(offset, gamma.shape).astype(np.int64)
    return {"multiplier": signed, "shift": shift, "beta": offset}


def odd_half(split: int) -> float:
    """sqrt(2) where the split is odd: what a whole shift by (split + 1) / 2 takes away too much."""
    return float(2.0 ** ((split + 1) // 2 - split / 2))


def centre(x: Array, params: Params) -> tuple[Array, Array]:
    """The row minus the middle of its range, shifted to the register's width; second: the shift."""
    lo, hi = x.min(axis=-1, keepdims=True), x.max(axis=-1, keepdims=True)
    middle = (lo + hi) >> 1
    return fit(x - middle, np.maximum(hi - middle, middle - lo), params)


def fit(x: Array, reach: Array, params: Params) -> tuple[Array, Array]:
    """x * 2^-shift with one rounding, |x| <= reach brought to ``row_bits`` bits; second: the shift (down positive)."""
    shift = range_shift(reach, params)
    return held(shifted(x, shift), params["row_bits"] + 2), shift


def range_shift(reach: Array, params: Params) -> Array:
    """By how many bits numbers up to ``reach`` are shifted down to ``row_bits``."""
    shift: Array = np.maximum(bit_length(reach), params["eps_bits"]) - params["row_bits"]
    return shift


def shifted(x: Array, shift: Array) -> Array:
    """x * 2^-shift with one rounding."""
    y: Array = rescale(x << np.maximum(-shift, 0), 1, np.maximum(shift, 0))
    return y


def mean(c: Array, params: Params) -> Array:
    """Nearest integer to the mean of the row."""
    return mean_of(c.sum(axis=-1, keepdims=True), params)


def mean_of(total: Array, params: Params) -> Array:
    """Nearest integer to the mean, given the sum."""
    first = rescale(total, params["mean_multiplier"], params["mean_shift"])
    rest = total - first * params["width"]
    mean: Array = first + rescale(rest, params["mean_multiplier"], params["mean_shift"])
    return mean


def root(total: Array, shift: Array, params: Params) -> tuple[Array, Array]:
    """1 / sqrt(total + D eps) as :func:`inverse_root` gives it, of the row's high sum of squares."""
    total = np.clip(total + eps_of(shift, params), 1, SUM_MAX)
    return inverse_root(total, params["root_table"])


def output(c: Array, r: Array, half: Array, params: Params) -> tuple[Array, Array | int]:
    """gamma u + beta with u = c r of unit 2^-24 (times sqrt(1/2) where the split is odd), and 1 where it saturated."""
    u = held(rescale(c, r, UNIT_BITS - U_BITS + half + (params["split"] + 1) // 2), U_BITS + 2)
    raw = rescale(u, params["multiplier"], params["shift"]) + params["beta"]
    y = saturate(raw, params["bits"])
    return y, np.where(raw != y, 1, 0)


def _ends(x: Array, told: Numbers, params: Params) -> Numbers:
    return x, -x


def _middle(statistics: Numbers, told: Numbers, params: Params) -> Numbers:
    """The middle of the range, and the shift of what is around it."""
    hi, lo = statistics[0], -statistics[1]
    middle = (lo + hi) >> 1
    return middle, range_shift(np.maximum(hi - middle, middle - lo), params)


def _shifted(x: Array, told: Numbers, params: Params) -> Numbers:
    return (shifted(x - told[0], told[1]),)


def _mean(statistics: Numbers, told: Numbers, params: Params) -> Numbers:
    return (mean_of(statistics[0], params),)


def _powers(x: Array, told: Numbers, params: Params) -> Numbers:
    return x, -x, x, x * x


def _magnitude_square(x: Array, told: Numbers, params: Params) -> Numbers:
    return np.abs(x), x * x


def _magnitude(x: Array, told: Numbers, params: Params) -> Numbers:
    return (np.abs(x),)


def _reach(statistics: Numbers, told: Numbers, params: Params) -> Numbers:
    return (range_shift(statistics[0], params),)


def eps_of(shift: Array, params: Params) -> Array:
    """D * eps in units of the row's high sum."""
    exponent = params["eps_exponent"] - 2 * shift - params["split"]
    y: Array = rescale(params["eps"] << np.clip(exponent, 0, EPS_BITS), 1, np.clip(-exponent, 0, 40))
    return y
