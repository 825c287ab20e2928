"""Weights that are whole multiples of one number keep their ratios: then a sum of them meets a threshold exactly.

Where only the signs of a layer's weights differ, each row's own number times a power of two that all rows share is
kept: a chip then stores one bit for each weight.

Networks with binary, ternary or otherwise quantised weights lie on such a grid, and so do weights set by hand. The
finest unit of a row, its largest weight over 127, would round 0.3 and 0.7 to 54 and 127, whose sum is no longer 1.
"""

from __future__ import annotations

import numpy as np

from ..array import Array

PROBES = 8  # weights of a row that are looked at first: trained rows are done with after these
SAME = 1e-5  # relative difference of weights in float32 that are meant to be one
NEAR = 2e-5  # steps by which a multiple of up to 127 in float32 misses a whole number, and some more


def signs(rows: Array, units: Array) -> Array | None:
    """Units (O,) in which all weights (O, F) are plus or minus one power of two; None where they differ by more."""
    size = np.abs(rows)
    peaks = size.max(axis=1, initial=0.0)
    if not rows.size or not (peaks > 0).all() or not (size >= peaks[:, None] * (1 - SAME)).all():
        return None
    count = 2.0 ** np.floor(np.log2((peaks / units).min() * (1 + 1e-9)))
    return peaks / count if count >= 1 else None


def on_grid(rows: Array, units: Array) -> Array:
    """Units (O,) in which the weights (O, F) are whole numbers, larger by less than 2 than those given; else these.

    Of a row that lies on a grid it is the finest such unit.
    """
    peaks = np.maximum(rows.max(axis=1, initial=0.0), -rows.min(axis=1, initial=0.0))
    most = np.floor(peaks / units * (1 + 1e-9)).astype(np.int64)
    counts = np.arange(1, most.max(initial=0) + 1)
    scale = np.where(peaks > 0, peaks, 1.0)[:, None]
    probes = rows[:, :: max(1, rows.shape[1] // PROBES)] / scale
    fits = _whole(probes[:, :, None] * counts).all(axis=1) & (counts <= most[:, None]) & (peaks > 0)[:, None]
    found, left = units.copy(), np.flatnonzero(fits.any(axis=1))
    for count in counts[::-1]:
        tried = left[fits[left, count - 1]]
        exact = tried[_whole(rows[tried] / scale[tried] * count).all(axis=1)]
        found[exact] = peaks[exact] / count
        left = np.setdiff1d(left, exact, assume_unique=True)
    return found


def _whole(steps: Array) -> Array:
    near: Array = np.abs(steps - np.rint(steps)) <= NEAR
    return near
