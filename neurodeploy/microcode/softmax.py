"""Softmax over the last axis, on integers with one unit per row.

    d = max(x) - x;   z = d * unit * log2(e);   e = 2^-z = 2^-frac(z) >> int(z);   y = e / sum(e)
z has unit 2^-20 and is cut at 30, where e is 0. 2^-frac is a table of 128 entries over [0, 1], unit 2^-28, linear
between. The sum keeps 20 bits behind the point in one register and the 8 bits below them in a second, so that a row
of 1024 is summed to 2^-19; its reciprocal is a table and one Newton step. Output: unsigned, unit 2^-15 by default.

Widths: d < 2^31 for |x| < 2^30; z < 2^25; e <= 2^28; the sums are at most 2^30 and 2^18 at 1024 elements; e times
the reciprocal is at most 2^58, a 64-bit product before its shift.
Error: |y - softmax| <= 3 units of 2^-15 (9.2e-5) for rows up to 1024; half a unit is the output's rounding, ln(n)/4
units come from the 16-bit multiplier of z.
Masked entries (``mask`` True) are exactly 0 and take part in neither maximum nor sum.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..array import Array
from ..errors import Problem, QuantizeError
from ..ir.fixed import bits_for, multiplier_of, rescale
from ..ir.micro_op import MicroOp, Params, QuantizedMicro
from ..ir.types import Fixed, Interval
from ._program import check_reach, out_bits, out_scale, row_scale
from ._table import (
    INTERPOLATE_OPS,
    POSITION_OPS,
    RECIPROCAL_OPS,
    UNIT_BITS,
    bits_of,
    interpolate,
    position,
    position_params,
    reciprocal,
    reciprocal_table,
    tabulate,
)

ROW_MAX = 1024
Z_BITS = 20  # fraction of the exponent
Z_TOP = 30 << Z_BITS
ENTRIES = 128
FRACTION_BITS = Z_BITS - 7
E_BITS = 28  # fraction of an exponential
SUM_BITS = 20  # fraction of the upper register of the sum
LOW_BITS = E_BITS - SUM_BITS
FLOOR = -(1 << 30)  # below every input


class Softmax(MicroOp):
    """exp(x) / sum(exp(x)) along the last axis."""

    name = "softmax"
    nonnegative = True
    row = True

    def float_apply(self, x: Array, params: Params) -> Array:
        """Softmax in float64, masked entries exactly 0."""
        x = np.asarray(x, dtype=np.float64)
        mask = params.get("mask")
        if mask is not None:
            x = np.where(np.asarray(mask, dtype=bool), -np.inf, x)
        e = np.exp(x - x.max(axis=-1, keepdims=True))
        y: Array = e / e.sum(axis=-1, keepdims=True)
        return y

    def int_apply(self, x: Array, params: Params) -> tuple[Array, Array | int]:
        """The integer program; never saturates. Raises ValueError for rows longer than 1024."""
        if x.shape[-1] > ROW_MAX:
            raise ValueError(f"a softmax row of {x.shape[-1]} is longer than {ROW_MAX}")
        mask = params.get("mask")
        if mask is not None:
            x = np.where(mask, FLOOR, x)
        e = exponentials(x.max(axis=-1, keepdims=True) - x, params)
        if mask is not None:
            e = np.where(mask, 0, e)
        total = (e >> LOW_BITS).sum(axis=-1, keepdims=True)
        total = total + ((e & ((1 << LOW_BITS) - 1)).sum(axis=-1, keepdims=True) >> LOW_BITS)
        r, exponent = reciprocal(total, params["reciprocal_table"])
        r = rescale(r, params["gain"], params["gain_bits"])
        return rescale(e, r, exponent + params["down"]), 0

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
        ints = position_params(row_scale(fixed) * np.log2(np.e) * 2.0**Z_BITS, Z_TOP)
        ints |= {
            "exp_table": tabulate(lambda z: np.exp2(-z), 0.0, 1.0, ENTRIES, 2.0**-E_BITS),
            "fraction_bits": FRACTION_BITS,
            "reciprocal_table": reciprocal_table(),
        }
        ints |= output_params(scale) | mask_params(params.get("mask"))
        return QuantizedMicro(ints, Fixed(bits, False, scale), Interval(0, one, True))

    def bounds(self, params: Params, lo: Array, hi: Array) -> tuple[Array, Array] | None:
        """0 .. 1 in output units."""
        # 1 / unit = gain * 2^(exponent - gain_bits)
        exponent = E_BITS + UNIT_BITS - SUM_BITS - params["down"]
        one = int(np.ceil(float(params["gain"]) * 2.0 ** (exponent - params["gain_bits"])))
        return np.zeros_like(lo), np.full_like(hi, one)

    def operations(self, params: Params, width: int) -> int:
        """28 per element (30 with a mask) and 42 per row.

        Element: maximum, subtract; position; split of z (shift, mask); interpolation; round and shift of e; sum (shift,
        add, mask, add); output (multiply, add, shift); a mask is two selects. Row: reciprocal, carry of the low sum
        (shift, add), gain (multiply, add, shift), shift amount.
        """
        element = 2 + POSITION_OPS + 2 + INTERPOLATE_OPS + 2 + 4 + 3 + (2 if "mask" in params else 0)
        return element * width + RECIPROCAL_OPS + 2 + 3 + 1

    def table_bits(self, params: Params) -> int:
        """Exponential and reciprocal."""
        return bits_of(params["exp_table"]) + bits_of(params["reciprocal_table"])


def exponentials(d: Array, params: Params) -> Array:
    """2^(-d * unit * log2 e), unit 2^-28, of non-negative distances."""
    z = position(d, params, Z_TOP)
    fraction = interpolate(params["exp_table"], z & ((1 << Z_BITS) - 1), params["fraction_bits"])
    y: Array = rescale(fraction, 1, z >> Z_BITS)
    return y


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
