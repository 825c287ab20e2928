"""Prophesee's ``.dat``, version 2: eight bytes for each event behind a head of text, least significant first.

Behind the head stand the type of events (0 or 12: CD) and their size, a byte each. An event is the time in us (32
bits), then column (14 bits), row (14 bits) and polarity (4 bits), the column lowest
(docs.prophesee.ai, data/file_formats/dat).
"""

from __future__ import annotations

import numpy as np

from .. import _checks
from .._events import Events, made, unwrapped
from ._base import Recording
from ._prophesee import head, sides

FORMAT = "Prophesee .dat"
_CD, _BYTES = (0, 12), 8
_EVENT = np.dtype([("t", "<u4"), ("place", "<u4")])


def read(path: str) -> Events:
    """All events; UsageError ND922 for a part of one, ND923 for events of another kind or version."""
    values, start = head(path)
    content = np.fromfile(path, np.uint8, offset=start)
    if values.get("version") != "2" or len(content) < 2 or content[0] not in _CD or content[1] != _BYTES:
        found = f"version {values.get('version', 'not said')}, type and size {content[:2].tolist()}"
        raise _checks.foreign(path, found[:120], f"version 2, type 0 or 12, size {_BYTES}")
    if len(content) % _BYTES != 2:
        raise _checks.truncated(path, f"{len(content) - 2} bytes of events", f"a multiple of {_BYTES}")
    events = content[2:].view(_EVENT)
    place, mask = events["place"].astype(np.int64), (1 << 14) - 1
    return made((unwrapped(events["t"], 32), place & mask, place >> 14 & mask, place >> 28), path)


def size(path: str) -> tuple[int, int] | None:
    """From the head."""
    values, _ = head(path)
    return sides(values.get("height"), values.get("width"), path)


MEMBER = Recording("dat", FORMAT, (".dat",), read, size)
