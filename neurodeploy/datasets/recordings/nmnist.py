"""``.bin`` of N-MNIST and N-Caltech101: five bytes for each event, most significant first.

Bits 39 .. 32 are the column, 31 .. 24 the row, 23 the polarity (1 is ON), 22 .. 0 the time in us
(garrickorchard.com/datasets/n-mnist). An event in row 240 is no event: from there on time is 2^13 us later, as tools
for the camera read it.
"""

from __future__ import annotations

import numpy as np

from .. import _checks
from .._events import Events, made, unwrapped
from ._base import Recording

FORMAT = "N-MNIST .bin"
SIZE = (34, 34)
_BYTES, _TIME_BITS = 5, 23
_LATER_ROW, _LATER_US = 240, 1 << 13


def read(path: str) -> Events:
    """All events; UsageError ND922 for a part of one."""
    content = np.fromfile(path, np.uint8)
    if len(content) % _BYTES:
        raise _checks.truncated(path, f"{len(content)} bytes", f"a multiple of {_BYTES}")
    x, y, high, middle, low = content.reshape(-1, _BYTES).astype(np.int64).T
    t = unwrapped((high & 127) << 16 | middle << 8 | low, _TIME_BITS)
    later = y == _LATER_ROW
    t += np.cumsum(later) * _LATER_US
    return made((column[~later] for column in (t, x, y, high >> 7)), path)


MEMBER = Recording("nmnist", FORMAT, (".bin",), read, lambda path: SIZE)
