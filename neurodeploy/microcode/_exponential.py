"""Exponentials of what lies below a top, e = exp(-d) for d >= 0: 2^-frac(z) >> int(z) with z = d * unit * log2(e).

z has unit 2^-20 and is cut at 30, where e is 0. 2^-frac is a table of 128 entries over [0, 1], unit 2^-28, linear
between. Widths: z < 2^25; e <= 2^28.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..array import Array
from ..ir.fixed import rescale
from ._table import INTERPOLATE_OPS, POSITION_OPS, interpolate, position, position_params, tabulate

Z_BITS = 20  # fraction of the exponent
Z_TOP = 30 << Z_BITS
ENTRIES = 128
FRACTION_BITS = Z_BITS - 7
E_BITS = 28  # fraction of an exponential
EXPONENTIAL_OPS = POSITION_OPS + 2 + INTERPOLATE_OPS + 2


def exponential_params(scale: Any) -> dict[str, Any]:
    """Integer parameters of :func:`exponentials` for distances of which 1 is worth ``scale``."""
    ints = position_params(np.asarray(scale) * np.log2(np.e) * 2.0**Z_BITS, Z_TOP)
    table = tabulate(lambda z: np.exp2(-z), 0.0, 1.0, ENTRIES, 2.0**-E_BITS)
    return ints | {"exp_table": table, "fraction_bits": FRACTION_BITS}


def exponentials(d: Array, params: Mapping[str, Any]) -> Array:
    """2^(-d * unit * log2 e), unit 2^-28, of non-negative distances."""
    z = position(d, params, Z_TOP)
    fraction = interpolate(params["exp_table"], z & ((1 << Z_BITS) - 1), params["fraction_bits"])
    y: Array = rescale(fraction, 1, z >> Z_BITS)
    return y
