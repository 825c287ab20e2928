"""iniVation's ``.aedat4``, by the package ``aedat``: the one stream of events of a file, no frames, no IMU data."""

from __future__ import annotations

from typing import Any

import numpy as np

from ... import extras
from .. import _checks
from .._events import Events, made
from ._base import Recording

FORMAT = "iniVation .aedat4 (extra events)"


def read(path: str) -> Events:
    """All events of the stream; EnvironmentProblem ND115 without the package, UsageError ND923 for other streams."""
    number, _ = _stream(decoder := _decoder(path), path)
    parts = [packet["events"] for packet in decoder if packet["stream_id"] == number and "events" in packet]
    if not parts:
        raise _checks.refuse("ND921", "a recording holds no event", path, "0 events", "at least one")
    t, x, y, on = (np.concatenate([part[name] for part in parts]) for name in ("t", "x", "y", "on"))
    return made((t.astype(np.int64), x, y, on), path)


def size(path: str) -> tuple[int, int]:
    """From the description of the stream."""
    _, stream = _stream(_decoder(path), path)
    return int(stream["height"]), int(stream["width"])


def _decoder(path: str) -> Any:
    other = "save the events as .npz with arrays t, x, y, p"
    return extras.require("events", "files .aedat4", other).Decoder(path)


def _stream(decoder: Any, path: str) -> tuple[int, dict[str, Any]]:
    streams = {number: told for number, told in decoder.id_to_stream().items() if told["type"] == "events"}
    if len(streams) != 1:
        raise _checks.foreign(path, f"{len(streams)} streams of events", "one")
    return next(iter(streams.items()))


MEMBER = Recording("aedat4", FORMAT, (".aedat4",), read, size, distributions=("aedat",))
