"""Exact integer arithmetic, the vocabulary of TOSA: every rounding, saturation and wrap of the project is here.

All functions are branch-free expressions over int64, so the same text serves numpy arrays and whatever stands for them.
``>>`` is arithmetic (floor). Sources: TOSA 1.0 (RESCALE, single round), Lava 0.10.0 fixed-point models.
"""

from __future__ import annotations

import math
from functools import singledispatch
from typing import Any

import numpy as np

from ..array import Array

Ints = Any  # int, numpy integer or int64 array

STEEPEST, FAINTEST = 2.0**14, 2.0**-40  # largest and smallest factor of a rescale
MULTIPLIER_BITS = 15  # a positive 16-bit signed multiplier lies in [2^14, 2^15)


def rescale(x: Ints, multiplier: Ints, shift: Ints) -> Ints:
    """(x * multiplier + 2^(shift-1)) >> shift: one rounding, half up; shift 0 multiplies exactly.

    The product needs 64 bits: |x| < 2^47 with a 16-bit multiplier.
    """
    return (x * multiplier + ((np.int64(1) << shift) >> 1)) >> shift


def saturate(x: Ints, bits: int) -> Ints:
    """Clip to the symmetric range +-(2^(bits-1) - 1)."""
    limit = (1 << (bits - 1)) - 1
    return np.minimum(np.maximum(x, -limit), limit)


@singledispatch
def held(x: Ints, bits: Ints) -> Ints:
    """x itself, of which the program shows that a register of ``bits`` bits, sign included, holds it.

    Says to who runs programs on other things than numbers (``simulate.symbols``) what an expression does not.
    """
    return x


def flag(condition: Any) -> Ints:
    """1 where the condition holds, else 0; unlike numpy's ``where``, compiled code keeps scalars scalar."""
    return condition * np.int64(1)


def select(condition: Any, a: Ints, b: Ints) -> Ints:
    """a where the condition holds, else b; exact for integers."""
    return b + (a - b) * flag(condition)


def wrap(x: Ints, bits: int) -> Ints:
    """Two's complement: the low ``bits`` bits as a signed number, what a register of that width keeps of a sum."""
    half = np.int64(1) << (bits - 1)
    return ((x + half) & (2 * half - 1)) - half


def wrap_once_24(x: Ints) -> Ints:
    """Lava's LIF current: x > 2^23 becomes x - 2^24, x <= -2^23 becomes x + 2^24, applied once."""
    return x - (flag(x > (1 << 23)) << 24) + (flag(x <= -(1 << 23)) << 24)


def decay(x: Ints, factor: Ints) -> Ints:
    """sgn(x) * (|x| * factor >> 12): multiply by factor/4096 and truncate toward zero, as Lava's LIF does."""
    return np.sign(x) * ((np.abs(x) * factor) >> 12)


def decay_in_32(x: Ints, factor: Ints) -> Ints:
    """:func:`decay` in 32-bit arithmetic, for |x| <= 2^23 and factors 0 .. 4096: the upper and lower 12 bits apart."""
    sign = np.int32(x >> np.int32(31))
    size = np.int32(np.int32(x ^ sign) - sign)
    low = np.int32(np.int32(np.int32(size & np.int32(4095)) * factor) >> np.int32(12))
    kept = np.int32(np.int32(np.int32(size >> np.int32(12)) * factor) + low)
    return np.int32(np.int32(kept ^ sign) - sign)


def multiplier_of(factor: float) -> tuple[int, int]:
    """The 16-bit multiplier and shift nearest to a positive real factor: factor ~ m * 2^-s.

    Powers of two up to 1 come out exact with m = 1. Raises ValueError outside [2^-40, 2^14].
    """
    if not (math.isfinite(factor) and FAINTEST <= factor <= STEEPEST):
        raise ValueError(f"rescale factor {factor!r} is outside [2^-40, 2^14]")
    mantissa, exponent = math.frexp(factor)  # factor = mantissa * 2^exponent, mantissa in [0.5, 1)
    if mantissa == 0.5 and exponent <= 1:
        return 1, 1 - exponent
    shift = MULTIPLIER_BITS - exponent
    m = round(mantissa * 2**MULTIPLIER_BITS)
    if m == 2**MULTIPLIER_BITS:
        m, shift = m >> 1, shift - 1
    while m % 2 == 0 and shift > 0:
        m, shift = m >> 1, shift - 1
    return m, shift


def multipliers_of(factors: Array | float) -> tuple[Array, Array]:
    """:func:`multiplier_of` for every element; two int64 arrays of the same shape."""
    array = np.asarray(factors, dtype=np.float64)
    pairs = np.array([multiplier_of(float(f)) for f in array.ravel()], dtype=np.int64).reshape(-1, 2)
    return pairs[:, 0].reshape(array.shape), pairs[:, 1].reshape(array.shape)


def reciprocal(t: int) -> tuple[int, int]:
    """Multiplier and shift of 1/t for tick t = 1, 2, ...; exact for powers of two."""
    return multiplier_of(1.0 / t)


def bits_for(magnitude: int, signed: bool = True) -> int:
    """Smallest width that holds +-magnitude (signed) or 0..magnitude."""
    return max(int(magnitude).bit_length(), 1) + int(signed)
