"""Events (t, x, y, p) as a frame for each tick: what every reader of recordings hands its events to.

Frames are those of SpikingJelly, into which published results bin their events. *by time*: with
d = (t_last - t_first) // T, an event belongs to frame min(T - 1, (t - t_first) // d); *by count*: with d = N // T,
event i belongs to frame min(T - 1, i // d). What does not divide goes to the last frame.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ..limits import MOST_TICKS
from . import _checks
from ._base import DataOptions
from ._types import Images

#: bytes that the frames of one sample may take
MOST_FRAMES = 1 << 28
SIDE = 1 << 14  # of a sensor: 14 bits are the widest coordinates of any format here


class EventOptions(DataOptions):
    """How recordings become frames; the table ``loader`` of a config."""

    ticks: int = Field(4, ge=1, le=MOST_TICKS, description="frames of a sample, T")
    by: Literal["time", "count"] = Field("time", description="what is equal for all frames: time, or events")
    size: tuple[int, int] | None = Field(
        None, description="rows and columns of the sensor; unset: as the files say"
    )
    crop: tuple[int, int, int, int] | None = Field(
        None, description="first row, first column, rows, columns; events outside are left out; unset: all"
    )
    downscale: int = Field(1, ge=1, le=SIDE, description="side of the squares of pixels that become one")
    levels: int = Field(
        1, ge=1, le=255, description="most events of a pixel in a frame; 1: frames are binary"
    )


@dataclass(frozen=True, eq=False)
class Events:
    """Time (int64, us), column x, row y (int32) and polarity p (bool, True is ON) of N events, in order of time."""

    t: NDArray[np.int64]
    x: NDArray[np.int32]
    y: NDArray[np.int32]
    p: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.t)


def made(columns: Iterable[Any], where: str) -> Events:
    """Events of the columns t, x, y and p, sorted by time where they are not (equal times keep their order).

    Raises UsageError ND921 for none, ND924 for columns that do not pair up, are not whole numbers, or hold polarities
    other than 0 and 1, or -1 and 1.
    """
    held = [np.asarray(column) for column in columns]
    for name, column in zip("txyp", held, strict=True):
        kinds = "iub" if name == "p" else "iu"
        if column.ndim != 1 or column.dtype.kind not in kinds or len(column) != len(held[0]):
            found = f"{name} is {column.dtype} of shape {column.shape}"
            limit = f"whole numbers of shape ({held[0].size},)"
            raise _checks.refuse("ND924", "events are not four columns of equal length", where, found, limit)
    if not len(held[0]):
        raise _checks.refuse("ND921", "a recording holds no event", where, "0 events", "at least one")
    lows, highs = zip(*((int(column.min()), int(column.max())) for column in held), strict=True)
    if min(lows[1:3]) < 0 or max(highs[1:3]) >= SIDE:
        found = f"x {lows[1]} .. {highs[1]}, y {lows[2]} .. {highs[2]}"
        raise _checks.refuse(
            "ND924", "coordinates of events leave any sensor", where, found, f"0 .. {SIDE - 1}"
        )
    if highs[0] - lows[0] >= 1 << 62 or abs(highs[0]) >= 1 << 62:
        raise _checks.refuse("ND924", "times of events are out of range", where, f"{lows[0]} .. {highs[0]}")
    if lows[3] < -1 or highs[3] > 1 or (lows[3] < 0 and (held[3] == 0).any()):
        found, limit = f"{lows[3]} .. {highs[3]}", "0 and 1, or -1 and 1"
        raise _checks.refuse("ND924", "polarities of events are not two", where, found, limit)
    times = held[0].astype(np.int64)
    kept = slice(None) if (times[1:] >= times[:-1]).all() else np.argsort(times, kind="stable")
    x, y = (column.astype(np.int32)[kept] for column in held[1:3])
    return Events(times[kept], x, y, (held[3] > 0)[kept])


def unwrapped(t: NDArray[Any], bits: int) -> NDArray[np.int64]:
    """Times of a counter of so many bits without its turns: a step back by more than half of them is one."""
    times = np.asarray(t).astype(np.int64)
    turns = np.cumsum(np.diff(times, prepend=times[:1]) < -(1 << (bits - 1)))
    return times + (turns << bits)


def frame_shape(size: tuple[int, int], options: EventOptions, where: str) -> tuple[int, int, int]:
    """(2, H, W) of frames from a sensor of that size: crop, then downscale; UsageError ND924 where nothing is left.

    Rows and columns that do not fill a square of ``downscale`` are left out.
    """
    top, left, rows, columns = options.crop or (0, 0, *size)
    if min(top, left) < 0 or min(rows, columns) < 1 or top + rows > size[0] or left + columns > size[1]:
        found, limit = f"{options.crop}", f"within {size[0]} rows and {size[1]} columns"
        raise _checks.refuse("ND924", "loader.crop is not a part of the sensor", where, found, limit)
    shape = 2, rows // options.downscale, columns // options.downscale
    if 0 in shape or options.ticks * prod(shape) > MOST_FRAMES:
        found, limit = f"{options.ticks} frames of {shape}", f"1 .. {MOST_FRAMES} bytes for a sample"
        raise _checks.refuse("ND924", "frames of events have no usable size", where, found, limit)
    return shape


def binned(events: Events, size: tuple[int, int], options: EventOptions, where: str) -> Images:
    """Frames (T, 2, H, W) of one recording, OFF before ON; UsageError ND924 for events outside the sensor."""
    shape = frame_shape(size, options, where)
    outside = (events.y >= size[0]) | (events.x >= size[1])
    if outside.any():
        found = f"{int(outside.sum())} of {len(events)}, up to row {events.y.max()}, column {events.x.max()}"
        limit = f"{size[0]} rows, {size[1]} columns"
        fix = "--set loader.size=[rows,columns]"
        raise _checks.refuse("ND924", "events lie outside the sensor", where, found, limit, fix)
    top, left = options.crop[:2] if options.crop else (0, 0)
    row, column = (events.y - top) // options.downscale, (events.x - left) // options.downscale
    kept = (row >= 0) & (column >= 0) & (row < shape[1]) & (column < shape[2])
    place = np.ravel_multi_index(
        (_frames(events, options)[kept], events.p[kept].astype(np.int64), row[kept], column[kept]),
        (options.ticks, *shape),
    )
    counts = np.bincount(place, minlength=options.ticks * prod(shape))
    return np.minimum(counts, options.levels).astype(np.uint8).reshape(options.ticks, *shape)


def _frames(events: Events, options: EventOptions) -> NDArray[np.int64]:
    """The frame that each event belongs to; see the head of the file."""
    along = events.t - events.t[0] if options.by == "time" else np.arange(len(events))
    length = (int(along[-1]) if options.by == "time" else len(events)) // options.ticks
    return np.minimum(along // max(1, length), options.ticks - 1)


def told(options: EventOptions, size: tuple[int, int]) -> str:
    """One line for people: what became of the events."""
    parts = [f"events of {size[0]} x {size[1]} pixels", f"{options.ticks} frames of equal {options.by}"]
    parts[1] = parts[1].replace("equal count", "equally many events")
    if options.crop:
        parts.append("rows {0} to {2} and columns {1} to {3} alone".format(*_ends(options.crop)))
    if options.downscale > 1:
        parts.append(f"{options.downscale} x {options.downscale} pixels as one")
    counted = "0 or 1" if options.levels == 1 else f"event counts up to {options.levels}"
    return ", ".join([*parts, "OFF and ON as channels", f"pixels {counted}"])


def _ends(crop: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    top, left, rows, columns = crop
    return top, left, top + rows - 1, left + columns - 1
