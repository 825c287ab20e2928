"""The type of an array of any element type, and how wide its integers are kept; what axes mean stands in docstrings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

SIGNED = ("i1", "i2", "i4")


def narrow(array: Array, types: Sequence[str] = SIGNED) -> Array:
    """Integers in the first of ``types``, from the narrowest on, that holds them all; other arrays as they are.

    numpy wraps in silence: who calculates with them widens them first (:func:`wide`).
    """
    if array.dtype.kind not in "iu" or array.dtype.itemsize == 1 or not array.size:
        return array
    low, high = int(array.min()), int(array.max())
    for name in types:
        limits = np.iinfo(name)
        if limits.min <= low and high <= limits.max:
            return array.astype(name, copy=False)
    return array


def wide(array: Array) -> Array:
    """Integers as int64, in which all arithmetic is exact; other arrays as they are."""
    return array.astype(np.int64, copy=False) if array.dtype.kind in "iu" else array
