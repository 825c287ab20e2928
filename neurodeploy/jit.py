"""Machine code where numba is installed; where it is not, the same functions as Python runs them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

try:
    from numba import njit
except ImportError:
    njit = None

__all__ = ["SLOWER", "THERE", "kept", "njit"]

#: whether there is machine code
THERE = njit is not None
#: about how many times as long a loop takes without: what searches are given less of
SLOWER = 1 if THERE else 50


def kept(function: Callable[..., Any], **options: Any) -> Any:
    """njit, with the machine code kept on disk where numba finds a place for it."""
    if not THERE:
        return function
    try:
        return njit(function, nogil=True, error_model="numpy", cache=True, **options)
    except RuntimeError:
        return njit(function, nogil=True, error_model="numpy", **options)
