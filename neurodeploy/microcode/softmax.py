"""Softmax over the last axis, on integers with one unit per row.

    d = max(x) - x;   z = d * unit * log2(e);   e = 2^-z = 2^-frac(z) >> int(z);   y = e / sum(e)
z has unit 2^-20 and is cut at 30, where e is 0. 2^-frac is a table of 128 entries over [0, 1], unit 2^-28, linear
between. The sum keeps 20 bits behind the point in one register and the 8 bits below them in a second, so that a row
of 1024 is summed to 2^-19; its reciprocal is a table and one Newton step. Output: unsigned, unit 2^-15 by default.
Of a longer row of n < 2^k elements, to 65,536, k - 10 bits more of the sum are in the second register.

Widths: d < 2^31 for |x| < 2^30; z < 2^25; e <= 2^28; the sums are at most 2^30 and 2^18 at 1024 elements; e times
the reciprocal is at most 2^58, a 64-bit product before its shift.
Error: |y - softmax| <= 3 units of 2^-15 (9.2e-5) for rows up to 1024; half a unit is the output's rounding, ln(n)/4
units come from the 16-bit multiplier of z. Each doubling of the row from there on doubles what the sum's last bit adds:
2^-5 units at 2048, 2 units at 65,536.
Masked entries (``mask`` True) are exactly 0 and take part in neither maximum nor sum.
In parts: the maximum, then the sum of e, of which all are told maximum and reciprocal.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..array import Array
from ..errors import Problem, QuantizeError
from ..ir.fixed import bits_for, held, multiplier_of, rescale
from ..ir.micro_op import Level, Numbers, Params, QuantizedMicro
from ..ir.rows import DIGIT_BITS, MOST, RowOp
from ..ir.types import Fixed, Interval
from ._exponential import E_BITS, EXPONENTIAL_OPS, exponential_params, exponentials
from ._program import check_reach, out_bits, out_scale, row_scale
from ._table import RECIPROCAL_OPS, UNIT_BITS, bits_of, reciprocal, reciprocal_table

ROW_MAX = 1 << 16
ROW_BITS = 10  # of the length of a row whose sum needs no fewer bits behind the point
SUM_BITS = 20  # fraction of the upper register of the sum
LOW_BITS = E_BITS - SUM_BITS
Y_BITS = 25  # 1 is at most 2^23 output units
FLOOR = -(1 << 30)  # below every input
E_OPS = 1 + EXPONENTIAL_OPS
ROW_OPS = RECIPROCAL_OPS + 2 + 3 + 1


def masked(x: Array, told: Numbers, params: Params) -> Numbers:
    """The inputs, masked ones below all others."""
    mask = params.get("mask")
    return (x if mask is None else np.where(mask, -MOST, x),)


def summands(x: Array, told: Numbers, params: Params) -> Numbers:
    """e of each element, given the maximum of the row; 0 of a masked one."""
    e, mask = exponentials(np.maximum(told[0] - x, 0), params), params.get("mask")
    return (e if mask is None else np.where(mask, 0, e),)


def inverse(statistics: Numbers, told: Numbers, params: Params) -> Numbers:
    """1 / sum(e) in output units: two halves of its mantissa, and the shift."""
    low_bits = LOW_BITS + spare(int(params["length"]))
    r, shift = reciprocal_of(statistics[0] >> low_bits, low_bits, params)
    return r >> DIGIT_BITS, r & ((1 << DIGIT_BITS) - 1), shift


class Softmax(RowOp):
    """exp(x) / sum(exp(x)) along the last axis."""

    name = "softmax"
    nonnegative = True

    def float_apply(self, x: Array, params: Params) -> Array:
        """Softmax in float64, masked entries exactly 0."""
        x = np.asarray(x, dtype=np.float64)
        mask = params.get("mask")
        if mask is not None:
            x = np.where(np.asarray(mask, dtype=bool), -np.inf, x)
        e = np.exp(x - x.max(axis=-1, keepdims=True))
        y: Array = e / e.sum(axis=-1, keepdims=True)
        return y

    def whole(self, x: Array, params: Params) -> tuple[Array, Array | int]:
        """The integer program; never saturates. Raises ValueError for rows longer than 65,536."""
        if x.shape[-1] > ROW_MAX:
            raise ValueError(f"a softmax row of {x.shape[-1]} is longer than {ROW_MAX}")
        mask = params.get("mask")
        if mask is not None:
            x = np.where(mask, FLOOR, x)
        e = exponentials(x.max(axis=-1, keepdims=True) - x, params)
        if mask is not None:
            e = np.where(mask, 0, e)
        low_bits = LOW_BITS + spare(x.shape[-1])
        total = (e >> low_bits).sum(axis=-1, keepdims=True)
        total = total + ((e & ((1 << low_bits) - 1)).sum(axis=-1, keepdims=True) >> low_bits)
        return held(rescale(e, *reciprocal_of(total, low_bits, params)), Y_BITS), 0

    def result(self, x: Array, told: Numbers, params: Params) -> tuple[Array, Array | int]:
        """e once more, times the reciprocal."""
        _, high, low, shift = told
        (e,) = summands(x, told, params)
        return rescale(e, (high << DIGIT_BITS) + low, shift), 0

    def hides(self, params: Params) -> Array | None:
        """Masked entries."""
        mask = params.get("mask")
        return None if mask is None else np.asarray(mask, dtype=bool)

    def quantize(self, params: Params, fixed: Fixed, interval: Interval, options: Params) -> QuantizedMicro:
        """Default unit 2^-15 (or 2^-(out_bits - 1)); any unit in [2^-23, 2^-4] is possible.

        Raises QuantizeError (ND450) for a row masked everywhere.
        """
        check_reach(fixed, interval)
        bits = out_bits(options, 16)
        scale = float(out_scale(options, 2.0 ** -(bits - 1)))
        one = round(1.0 / scale)
        if not 2.0**-23 <= scale <= 2.0**-4 or bits_for(one, signed=False) > bits:
            raise ValueError(f"softmax output unit {scale!r} does not fit {bits} bits or [2^-23, 2^-4]")
        ints = exponential_params(row_scale(fixed)) | {"reciprocal_table": reciprocal_table()}
        ints |= output_params(scale) | mask_params(params.get("mask"))
        return QuantizedMicro(ints, Fixed(bits, False, scale), Interval(0, one, True))

    def range(self, params: Params, lo: Array, hi: Array) -> tuple[Array, Array]:
        """0 .. 1 in output units."""
        # 1 / unit = gain * 2^(exponent - gain_bits)
        exponent = E_BITS + UNIT_BITS - SUM_BITS - params["down"]
        one = int(np.ceil(float(params["gain"]) * 2.0 ** (exponent - params["gain_bits"])))
        return np.zeros_like(lo), np.full_like(hi, one)

    def levels(self, params: Params, reach: int) -> tuple[Level, ...]:
        """The maximum, then the sum of e."""
        mask = int("mask" in params)
        return (
            Level(masked, lambda statistics, told, params: statistics, 1, mask, 0, maxima=1),
            Level(summands, inverse, 3, E_OPS + mask, ROW_OPS, sums=(3,)),
        )

    def whole_operations(self, params: Params, width: int) -> int:
        """28 per element (30 with a mask) and 42 per row.

        Element: maximum, subtract; position; split of z (shift, mask); interpolation; round and shift of e; sum (shift,
        add, mask, add); output (multiply, add, shift); a mask is two selects. Row: reciprocal, carry of the low sum
        (shift, add), gain (multiply, add, shift), shift amount.
        """
        return (1 + E_OPS + 4 + 3 + (2 if "mask" in params else 0)) * width + ROW_OPS

    def result_operations(self, params: Params, width: int) -> int:
        """23 per element (24 with a mask), for e is made anew, and the mantissa from its halves."""
        return (E_OPS + 3 + int("mask" in params)) * width + 2

    def table_bits(self, params: Params) -> int:
        """Exponential and reciprocal."""
        return bits_of(params["exp_table"]) + bits_of(params["reciprocal_table"])


def spare(length: int) -> int:
    """Bits by which the sum of a row of this length is coarser than that of 1024."""
    return max((length - 1).bit_length() - ROW_BITS, 0)


def reciprocal_of(total: Array, low_bits: int, params: Params) -> tuple[Array, Array]:
    """Multiplier and shift that take e to output units, given the sum of e less its ``low_bits``."""
    r, exponent = reciprocal(total, params["reciprocal_table"])
    shift: Array = exponent + params["down"] + (low_bits - LOW_BITS)
    return rescale(r, params["gain"], params["gain_bits"]), shift


def output_params(scale: float) -> dict[str, int]:
    """gain * 2^-gain_bits in (1/2, 1] and a shift so that e * r * 2^-(exponent + down) has unit ``scale``."""
    mantissa, exponent = np.frexp(1.0 / scale)
    gain, gain_bits = multiplier_of(float(mantissa))
    return {"gain": gain, "gain_bits": gain_bits, "down": E_BITS + UNIT_BITS - SUM_BITS - int(exponent)}


def mask_params(mask: Any) -> dict[str, Array]:
    """The mask as an array of 0 and 1; raises QuantizeError where a row has no unmasked entry."""
    if mask is None:
        return {}
    array = np.asarray(mask, dtype=bool)
    if array.all(axis=-1).any():
        rows = np.argwhere(array.all(axis=-1))
        cause = "a softmax row is masked everywhere, so its result is undefined"
        found = f"{len(rows)} fully masked rows, first at index {rows[0].tolist()}"
        fixes = ("unmask one entry of the row, such as the token itself", "drop the row from the model")
        limit = "at least one unmasked entry per row"
        raise QuantizeError(Problem("ND450", cause, "softmax mask", found, limit, fixes))
    return {"mask": array.astype(np.int64)}


MEMBER = Softmax()
