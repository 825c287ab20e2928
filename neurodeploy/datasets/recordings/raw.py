"""Prophesee's ``.raw`` of EVT 2.0 and EVT 3.0: words of a camera behind a head of text, least significant byte first.

The four highest bits of a word are its kind (docs.prophesee.ai, data/encoding_formats). Words of 32 bits (2.0):

    0, 1   OFF, ON event: low 6 bits of time, column (11 bits), row (11 bits)
    8      bits 6 .. 33 of time

Words of 16 bits (3.0), each of which changes what is known:

    0      row (11 bits)
    2      event: polarity (1 bit), column (11 bits)
    3      polarity and column of the first pixel of a vector
    4, 5   events of the next 12 (8) pixels whose bits are set, then the column moves on by as many
    6, 8   low, high 12 bits of time; another high part begins at low 0

Words of other kinds (triggers, monitoring) say nothing of events. Events before the first time, and before the row or
the column of a vector is known, have no place and are left out. A counter of time that begins anew goes on.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _checks
from .._events import Events, made, unwrapped
from ._base import Recording
from ._prophesee import head, sides

FORMAT = "Prophesee .raw (EVT 2.0, EVT 3.0)"
_EVT2_HIGH, _EVT2_LOW_BITS, _EVT2_HIGH_BITS = 8, 6, 28
_ROW, _SINGLE, _BASE, _VECTORS, _LOW, _HIGH, _TIME_BITS = 0, 2, 3, {4: 12, 5: 8}, 6, 8, 12
_COLUMN = (1 << 11) - 1


def read(path: str) -> Events:
    """All events; UsageError ND922 for a part of a word, ND923 for another encoding."""
    values, start = head(path)
    kind = _encoding(values)
    if kind not in _DECODERS:
        limit = "% evt 2.0 or 3.0, or % format EVT2 or EVT3, little-endian"
        raise _checks.foreign(path, kind[:80] or "no encoding named", limit, "convert it to .dat")
    dtype, decode = _DECODERS[kind]
    content = np.fromfile(path, np.uint8, offset=start)
    if len(content) % dtype.itemsize:
        raise _checks.truncated(path, f"{len(content)} bytes", f"words of {dtype.itemsize} bytes")
    return made(decode(content.view(dtype)), path)


def size(path: str) -> tuple[int, int] | None:
    """From the head: ``% geometry 640x480``, or fields of ``% format``."""
    values, _ = head(path)
    fields = _fields(values)
    columns, _, rows = values.get("geometry", "").partition("x")
    return sides(fields.get("height", rows) or None, fields.get("width", columns) or None, path)


def _fields(values: dict[str, str]) -> dict[str, str]:
    """Of a line such as ``% format EVT3;height=720;width=1280``."""
    pairs = (part.partition("=") for part in values.get("format", "").split(";")[1:])
    return {key.strip(): value.strip() for key, _, value in pairs}


def _encoding(values: dict[str, str]) -> str:
    """``2.0`` or ``3.0``, or whatever else the head says."""
    if "big" in (values.get("endianness", ""), _fields(values).get("endianness", "")):
        return "big-endian"
    named = values.get("format", "").split(";")[0]
    return values.get("evt") or {"EVT2": "2.0", "EVT3": "3.0"}.get(named, named)


Columns = tuple[NDArray[np.int64], NDArray[Any], NDArray[Any], NDArray[Any]]


def _evt2(words: NDArray[np.uint32]) -> Columns:
    kind, rest = words >> 28, words.astype(np.int64) & ((1 << 28) - 1)
    high = unwrapped(rest[kind == _EVT2_HIGH], _EVT2_HIGH_BITS)
    seen = np.cumsum(kind == _EVT2_HIGH)
    events = (kind <= 1) & (seen > 0)
    found = rest[events]
    t = (high[seen[events] - 1] << _EVT2_LOW_BITS) + (found >> 22)
    return t, found >> 11 & _COLUMN, found & _COLUMN, kind[events].astype(np.int64)


def _evt3(words: NDArray[np.uint16]) -> Columns:
    kind, rest = words >> 12, words.astype(np.int64) & 0xFFF
    t, timed = _times(kind, rest)
    row, rowed = _last(kind == _ROW, rest & _COLUMN)
    single = np.flatnonzero((kind == _SINGLE) & timed & rowed)
    place, bit = _vectors(kind, rest, timed & rowed)
    base, _ = _last(kind == _BASE, rest)
    steps = np.cumsum(sum(width * (kind == code) for code, width in _VECTORS.items()))
    before, _ = _last(kind == _BASE, steps)
    # the word itself has moved on already: its own step is not part of its place
    own = np.where(kind[place] == 4, _VECTORS[4], _VECTORS[5])
    column = (base[place] & _COLUMN) + steps[place] - own - before[place] + bit
    word = np.concatenate((single, place))
    order = np.argsort(word, kind="stable")
    x = np.concatenate((rest[single] & _COLUMN, column))[order]
    p = np.concatenate((rest[single] >> 11, base[place] >> 11))[order]
    return t[word[order]], x, row[word[order]], p


def _vectors(
    kind: NDArray[Any], rest: NDArray[np.int64], known: NDArray[np.bool_]
) -> tuple[NDArray[Any], ...]:
    """Word and bit of every event of a vector whose base is known."""
    based = np.cumsum(kind == _BASE) > 0
    places, bits = [], []
    for code, width in _VECTORS.items():
        words = np.flatnonzero((kind == code) & known & based)
        which, bit = np.nonzero(rest[words, None] >> np.arange(width) & 1)
        places.append(words[which])
        bits.append(bit)
    return np.concatenate(places), np.concatenate(bits)


def _times(kind: NDArray[Any], rest: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The time at every word, and where there is one."""
    is_high = kind == _HIGH
    high = unwrapped(rest[is_high], _TIME_BITS)
    new = np.flatnonzero(is_high)[np.diff(high, prepend=-1) != 0]
    turned = np.zeros(len(kind), np.bool_)
    turned[new] = True
    low, _ = _last((kind == _LOW) | turned, np.where(turned, 0, rest))
    seen = np.cumsum(is_high)
    if not len(high):
        return np.zeros(len(kind), np.int64), np.zeros(len(kind), np.bool_)
    return (high[np.maximum(seen - 1, 0)] << _TIME_BITS) + low, seen > 0


def _last(said: NDArray[np.bool_], values: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """At every word the value of the last one that says it, and whether there was one."""
    place = np.maximum.accumulate(np.where(said, np.arange(len(said)), -1)) if len(said) else np.zeros(0, int)
    return values[np.maximum(place, 0)] if len(said) else values, place >= 0


_DECODERS: dict[str, tuple[np.dtype[Any], Any]] = {
    "2.0": (np.dtype("<u4"), _evt2),
    "3.0": (np.dtype("<u2"), _evt3),
}

MEMBER = Recording("raw", FORMAT, (".raw",), read, size)
