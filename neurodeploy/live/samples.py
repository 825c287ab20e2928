"""Arrays, data sets of torch and texts in memory as files of integer levels.

A network on a chip takes integers. Floats that lie on a grid of at most 256 levels, as pixels do whatever they were
normalised by, become these levels exactly; any others the nearest of 256 between the least and the largest of the
training samples, and a remark says how far off that is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .. import handed
from ..array import Array
from ..errors import Problem, UsageError

TOP = 255  # the largest level
NEAR = 1e-3  # of a level: floats so close to a grid lie on it
MOST_BYTES = 8 << 30  # of arrays that are made of what is handed over
CHANNELS = 16  # images of more have one grid for all
#: under which the notes of a source graph have them
LEVELS = "levels"
KINDS = "arrays (x, y), a pair (training, test) of these, a data set or loader of torch, texts, or (texts, labels)"

Pair = tuple[Array, Array]


@dataclass(frozen=True, eq=False)
class Levels:
    """A float is ``level * scale + offset``: numbers, or one for each leading channel of a sample."""

    scale: float | Array
    offset: float | Array
    #: largest distance of a training sample from its level, in steps
    off: float = 0.0

    @property
    def notes(self) -> dict[str, Any]:
        """As JSON."""
        return {"scale": np.asarray(self.scale).tolist(), "offset": np.asarray(self.offset).tolist()}

    @classmethod
    def told(cls, notes: Mapping[str, Any]) -> Levels:
        """Those of :attr:`notes`."""
        scale, offset = (np.asarray(notes[name], dtype=np.float64) for name in ("scale", "offset"))
        return cls(scale if scale.ndim else float(scale), offset if offset.ndim else float(offset))

    def flags(self) -> dict[str, float]:
        """As options of a build, which have one number each; UsageError ND951 where channels differ."""
        if np.ndim(self.scale) or np.ndim(self.offset):
            cause = "channels were normalised differently, which only a module in memory can be told"
            fixes = ("hand over levels 0 .. 255 as integers, and scale= and offset=",)
            raise UsageError(Problem("ND951", cause, "data", fixes=fixes))
        return {"scale": float(self.scale), "offset": float(self.offset)}

    def of(self, x: Array) -> Array:
        """The nearest levels of some samples, of 0 .. 255."""
        if x.dtype.kind in "iub":  # these are levels
            return np.asarray(x, dtype=np.uint8)
        found: Array = np.clip(self._nearest(x), 0, TOP).astype(np.uint8)
        return found

    def beyond(self, x: Array) -> int:
        """How many numbers of some samples have no level."""
        if x.dtype.kind in "iub":
            return 0
        at = self._nearest(x)
        return int(((at < 0) | (at > TOP)).sum())

    def _nearest(self, x: Array) -> Array:
        scale, offset = (_beside(part, x) for part in (self.scale, self.offset))
        found: Array = np.rint((x - offset) / scale)
        return found


@dataclass(frozen=True, eq=False)
class Kept:
    """What names data, and their levels; None where they are texts, or are levels themselves."""

    spec: str
    levels: Levels | None = None


def kept(data: Any, levels: Levels | None = None) -> Kept:
    """The file of what was handed over. ``levels``: those of the network that is to take it.

    Raises UsageError ND951 for objects of another kind, and for numbers that are no samples.
    """
    if (found := _texts(data)) is not None:
        return Kept(_write_texts(*found))
    parts = _parts(data)
    for x, y in parts:
        _require(x, y)
    own = levels or _levels(parts[0][0])
    arrays: dict[str, Any] = {"as_is": 1}
    names = ("train_x", "train_y", "test_x", "test_y") if len(parts) == 2 else ("x", "y")
    for i, (x, y) in enumerate(parts):
        arrays |= {names[2 * i]: own.of(x), names[2 * i + 1]: y.astype(np.int64)}
    largest = max(int(arrays[name].max()) for name in names[::2])
    arrays["levels"] = max(1, largest)
    notes = [f"floats became the nearest of 256 levels, at most {own.off:.2g} of a step away"] * (
        own.off > NEAR
    )
    if beyond := sum(own.beyond(x) for x, _ in parts):
        notes.append(f"{beyond} numbers beyond the ends of the levels became these")
    if notes:
        arrays["note"] = "; ".join(notes)

    def write(path: Path) -> None:
        with path.open("wb") as file:
            np.savez(file, **arrays)

    levels_already = parts[0][0].dtype.kind in "iub"
    return Kept(handed.keep("data", ".npz", write), None if levels_already else own)


# --- levels ------------------------------------------------------------------------------------------------------


def _levels(x: Array) -> Levels:
    """The grid of training samples: one for all, or, for images on different ones, one for each channel."""
    if x.dtype.kind in "iub":
        return Levels(1.0, 0.0)
    whole = _grid(x)
    if whole.off <= NEAR or x.ndim != 4 or x.shape[1] > CHANNELS:
        return whole
    each = [_grid(x[:, channel]) for channel in range(x.shape[1])]
    scale, offset = (np.array([getattr(grid, name) for grid in each]) for name in ("scale", "offset"))
    return Levels(scale, offset, max(grid.off for grid in each))


def _grid(x: Array) -> Levels:
    """The grid that some numbers lie on, if it has 256 levels at most; else 256 levels between their ends."""
    values = np.unique(x).astype(np.float64)
    low, high = float(values[0]), float(values[-1])
    if low == high:
        return Levels(1.0, low)
    least = float(np.diff(values).min())  # a multiple of the step
    for parts in range(1, int(TOP * least / (high - low) * (1 + NEAR)) + 1):
        step = (high - low) / round((high - low) / least * parts)  # the ends say it more exactly
        at = (values - low) / step
        off = float(np.abs(at - np.rint(at)).max())
        if off <= NEAR:
            return Levels(step, low, off)
    step = (high - low) / TOP
    at = (values - low) / step
    return Levels(step, low, float(np.abs(at - np.rint(at)).max()))


def _beside(part: float | Array, x: Array) -> Any:
    """Numbers of leading channels, so that they meet those of a batch."""
    found = np.asarray(part, dtype=np.float64)
    return found.reshape(-1, *[1] * (x.ndim - 2)) if found.ndim else float(found)


# --- what was handed over ----------------------------------------------------------------------------------------


def _parts(data: Any) -> list[Pair]:
    """(training, test), or all samples alone."""
    if isinstance(data, Mapping):
        wrong = sorted(set(data) - {"train", "test"})
        if wrong or "train" not in data:
            raise _refused(f"keys {', '.join(map(str, data))}"[:80], "keys train and test")
        return [_pair(data[key]) for key in ("train", "test") if key in data]
    if isinstance(data, (tuple, list)):
        if len(data) == 4 and all(_is_array(one) for one in data):
            return [_pair(data[:2]), _pair(data[2:])]
        if len(data) == 2 and not _is_array(data[0]):
            return [_pair(one) for one in data]
    return [_pair(data)]


def _pair(one: Any) -> Pair:
    """Samples and labels of arrays, or of what gives them one by one, or batch by batch."""
    if isinstance(one, (tuple, list)) and len(one) == 2 and _is_array(one[0]):
        return _array(one[0]), _array(one[1]).reshape(-1)
    if isinstance(one, (tuple, list, Mapping, str)) or not hasattr(one, "__len__"):
        raise _refused(type(one).__name__, KINDS)
    batches = hasattr(one, "batch_sampler")
    items = one if batches else (one[i] for i in range(len(one)))
    xs, ys, size = [], [], 0
    for item in items:
        if not isinstance(item, (tuple, list)) or len(item) != 2:
            raise _refused(f"items of {type(item).__name__}", "items of (sample, label), or arrays (x, y)")
        x, y = _array(item[0]), _array(item[1])
        size += x.nbytes
        if size > MOST_BYTES:
            raise _refused(
                f"more than {size >> 30} GiB", f"{MOST_BYTES >> 30} GiB; give larger data as a file"
            )
        xs.append(x)
        ys.append(y)
    if not xs:
        raise _refused("no samples", "at least two")
    if len({x.shape[1:] if batches else x.shape for x in xs}) > 1:
        raise _refused("samples of different shapes", "one shape")
    join = np.concatenate if batches else np.stack
    return join(xs), join([y.reshape(-1) for y in ys]).reshape(-1) if batches else np.array(ys).reshape(-1)


def _is_array(value: Any) -> bool:
    """Whether this is an array, or a plain list of numbers."""
    return hasattr(value, "shape") or (
        isinstance(value, (list, tuple)) and bool(value) and isinstance(value[0], (int, float, list))
    )


def _array(value: Any) -> Array:
    """numpy of an array, a tensor, a number, or a picture."""
    if hasattr(value, "getbands"):  # a picture: its channels come last
        found = np.asarray(value)
        return np.moveaxis(found, -1, 0) if found.ndim == 3 else found[None]
    if hasattr(value, "detach"):
        from ..frontends._torch import to_array

        return to_array(value)
    return np.asarray(value)


def _require(x: Array, y: Array) -> None:
    if x.dtype.kind not in "iufb" or y.dtype.kind not in "iub":
        raise _refused(f"samples of {x.dtype}, labels of {y.dtype}", "numbers, and whole numbers from 0")
    if len(x) != len(y) or not len(x):
        raise _refused(f"{len(x)} samples, {len(y)} labels", "as many labels as samples, and at least one")
    if x.ndim < 2:
        raise _refused(f"samples of shape {x.shape[1:]}", "(N, ...): at least one axis for each sample")
    if x.dtype.kind == "f" and not np.isfinite(x).all():
        raise _refused("NaN or infinite numbers", "finite numbers")
    if x.dtype.kind in "iub" and not 0 <= int(x.min()) <= int(x.max()) <= TOP:
        raise _refused(f"integers {x.min()} .. {x.max()}", f"levels 0 .. {TOP}, or floats")


def _texts(data: Any) -> tuple[list[str], list[int] | None] | None:
    """Texts with their labels, where that is what was handed over."""
    labels = None
    if isinstance(data, tuple) and len(data) == 2 and _are_texts(data[0]):
        data, labels = data[0], [int(label) for label in _array(data[1]).reshape(-1)]
        if len(labels) != len(data):
            raise _refused(f"{len(data)} texts, {len(labels)} labels", "as many labels as texts")
    return ([*map(str, data)], labels) if _are_texts(data) else None


def _are_texts(data: Any) -> bool:
    return (
        isinstance(data, (Sequence, np.ndarray)) and len(data) > 0 and all(isinstance(t, str) for t in data)
    )


def _write_texts(texts: list[str], labels: list[int] | None) -> str:
    rows: list[dict[str, Any]] = [{"text": text} for text in texts]
    for row, label in zip(rows, labels or (), strict=False):
        row["label"] = label
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    return handed.keep("texts", ".jsonl", lambda path: path.write_text(lines, encoding="utf-8"))


def _refused(found: str, limit: str) -> UsageError:
    return UsageError(Problem("ND951", "data in memory cannot be used", "data", found, limit))
