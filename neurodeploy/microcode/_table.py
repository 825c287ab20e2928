"""The pieces tables are read with: positions, linear interpolation, leading bit, reciprocal and 1/sqrt of a register.

A table holds ``entries + 1`` values of a function at equal distances; position p with ``f`` fraction bits reads
table[p >> f] and its successor and interpolates linearly, one rounding half up. All registers are 32 bits, products
64 bits before their shift. Reciprocal and inverse root take the leading bit out, read a table of 64 or 96 entries and
do one Newton step, which squares the table's error: relative errors below 2^-25 (tested).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..array import Array
from ..ir.fixed import held, multipliers_of, rescale
from ..ir.widths import REGISTER_BITS

UNIT_BITS = 30  # mantissas and their reciprocals have unit 2^-30
REGISTER_MAX = (1 << (REGISTER_BITS - 1)) - 1
ROOT_BITS = 28  # the mantissa under a root lies in [1, 4) and has unit 2^-28

RECIPROCAL_ENTRIES = 64  # over [1, 2)
RECIPROCAL_FRACTION = UNIT_BITS - 6
ROOT_ENTRIES = 96  # over [1, 4)
ROOT_FRACTION = ROOT_BITS - 5

#: Operations of the helpers below, add, multiply, shift, mask, compare and table read each 1
INTERPOLATE_OPS = 9  # shift, mask, two reads, subtract, multiply, round, shift, add
POSITION_OPS = 6  # compare, shift, multiply, round, shift, compare
BIT_LENGTH_OPS = 17  # five times compare, shift, add; then compare, add
RECIPROCAL_OPS = BIT_LENGTH_OPS + 4 + INTERPOLATE_OPS + 6  # mantissa, table, Newton
ROOT_OPS = BIT_LENGTH_OPS + 6 + INTERPOLATE_OPS + 8  # likewise

Function = Callable[[Array], Array]


def tabulate(function: Function, lo: float, hi: float, entries: int, unit: float) -> Array:
    """The function at entries + 1 equidistant points of [lo, hi] as int64 multiples of ``unit``."""
    y: Array = np.rint(function(np.linspace(lo, hi, entries + 1)) / unit).astype(np.int64)
    return y


def interpolate(table: Array, position: Array, fraction_bits: int) -> Array:
    """table at position * 2^-fraction_bits, linear between entries; 0 <= position < entries << fraction_bits."""
    index = position >> fraction_bits
    low = table[index]
    y: Array = low + rescale(table[index + 1] - low, position & ((1 << fraction_bits) - 1), fraction_bits)
    return y


def position_params(factor: float | Array, top: int) -> dict[str, Any]:
    """Integer parameters that take a >= 0 to min(a * factor, top): cut, up, multiplier, shift.

    ``cut`` is the input from which on the result is ``top``, so large inputs never reach the multiply; ``up`` is a
    left shift for coarse inputs whose factor exceeds the 16-bit multiplier. Error: 1/2 + 2^-15 of the result.
    Raises ValueError for a factor below 2^-40.
    """
    capped = np.minimum(np.asarray(factor, dtype=np.float64), float(top))
    up = np.maximum(0, np.ceil(np.log2(capped)).astype(np.int64) - 13)
    multiplier, shift = multipliers_of(capped * np.exp2(-up.astype(np.float64)))
    cut = np.minimum(np.ceil(top / capped) + 1, REGISTER_MAX).astype(np.int64)
    return {"cut": plain(cut), "up": plain(up), "multiplier": plain(multiplier), "shift": plain(shift)}


def position(a: Array, params: Mapping[str, Any], top: int) -> Array:
    """min(a * factor, top) by :func:`position_params`; 0 <= a < 2^31, and the shifted cut fits 32 bits as well."""
    a = np.minimum(a, params["cut"]) << params["up"]
    y: Array = np.minimum(rescale(a, params["multiplier"], params["shift"]), top)
    return y


def magnitude_params(table: Array, scale: Any, steps: int, fraction_bits: int) -> dict[str, Any]:
    """Integer parameters of :func:`of_magnitude` for a table with ``steps`` entries per unit of the argument.

    ``scale``: what 1 of the input is worth.
    """
    factor = np.asarray(scale) * steps * 2.0**fraction_bits
    params = position_params(factor, _top(table, fraction_bits))
    return params | {"table": table, "fraction_bits": fraction_bits}


def of_magnitude(x: Array, params: Mapping[str, Any]) -> Array:
    """The table at |x|, its last value beyond its end."""
    table, fraction_bits = params["table"], params["fraction_bits"]
    return interpolate(table, position(np.abs(x), params, _top(table, fraction_bits)), fraction_bits)


def _top(table: Array, fraction_bits: int) -> int:
    """The last position a table can be read at."""
    return ((table.size - 1) << fraction_bits) - 1


def plain(value: Array) -> int | Array:
    """An int where the array is a scalar."""
    return int(value) if value.ndim == 0 else value


def bit_length(x: Array) -> Array:
    """Bits of 0 <= x < 2^32 (0 for 0), by five compares and shifts."""
    bits = np.zeros_like(x)
    for step in (16, 8, 4, 2, 1):
        big = x >= (1 << step)
        bits = bits + np.where(big, step, 0)
        x = np.where(big, x >> step, x)
    return bits + (x > 0)


def reciprocal_table() -> Array:
    """1/m on [1, 2], unit 2^-30."""
    return tabulate(lambda m: 1.0 / m, 1.0, 2.0, RECIPROCAL_ENTRIES, 2.0**-UNIT_BITS)


def reciprocal(x: Array, table: Array) -> tuple[Array, Array]:
    """(r, e) with 1/x = r * 2^-30 * 2^-e for 1 <= x < 2^31; 2^29 <= r <= 2^30, relative error below 2^-25.

    r' = r + r (1 - m r); the mantissa m has 31 bits, each product at most 62.
    """
    exponent = bit_length(x) - 1
    mantissa = x << (UNIT_BITS - exponent)
    one = 1 << UNIT_BITS
    r = interpolate(table, mantissa - one, RECIPROCAL_FRACTION)
    return held(r + ((r * (one - ((mantissa * r) >> UNIT_BITS))) >> UNIT_BITS), REGISTER_BITS), exponent


def root_table() -> Array:
    """1/sqrt(m) on [1, 4], unit 2^-30."""
    return tabulate(lambda m: 1.0 / np.sqrt(m), 1.0, 4.0, ROOT_ENTRIES, 2.0**-UNIT_BITS)


def inverse_root(x: Array, table: Array) -> tuple[Array, Array]:
    """(r, e) with 1/sqrt(x) = r * 2^-30 * 2^-e for 1 <= x < 2^30; 2^29 <= r <= 2^30, relative error below 2^-25.

    r' = r + r (1 - m r^2) / 2; every product is at most 60 bits.
    """
    half = (bit_length(x) - 1) >> 1
    mantissa = x << (ROOT_BITS - 2 * half)
    r = interpolate(table, mantissa - (1 << ROOT_BITS), ROOT_FRACTION)
    square = (r * r) >> UNIT_BITS
    r = r + ((r * ((1 << UNIT_BITS) - ((mantissa * square) >> ROOT_BITS))) >> (UNIT_BITS + 1))
    return held(r, REGISTER_BITS), half


def bits_of(table: Array) -> int:
    """Bits a core needs for one table: entries times the width of the largest, sign included."""
    signed = int(table.min() < 0)
    return table.size * (max(int(np.abs(table).max()).bit_length(), 1) + signed)
