"""numpy archives of uint8 pixels: ``train_x, train_y, test_x, test_y`` (or ``x, y`` alone, which are split here).

Samples are images or plain vectors, or, where the archive says how many ``ticks`` they have, a frame for each tick.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from ..archives import opened
from ..errors import Problem
from ..limits import MOST_TICKS
from . import _checks
from ._archives import array, header, typed
from ._base import DataFormat
from ._types import DataSet, Facts, Images, Integers, Split, array_split, content_hash, split_once

FORMAT = "a numpy archive .npz with train_x, train_y, test_x, test_y or x, y"

#: Other names under which archives in the wild keep the same four arrays.
_SYNONYMS = {
    "train_x": ("x_train", "train_images"),
    "train_y": ("y_train", "train_labels"),
    "test_x": ("x_test", "test_images"),
    "test_y": ("y_test", "test_labels"),
    "x": ("images", "data"),
    "y": ("labels", "target"),
    "classes": ("class_names",),
    "levels": (),
    "ticks": ("timesteps",),
    "as_is": (),
    "note": (),
}
_NAMES = {alias: name for name, aliases in _SYNONYMS.items() for alias in (name, *aliases)}
Arrays = dict[str, NDArray[np.generic]]


def accepts(spec: str) -> bool:
    """By its suffix."""
    return spec.lower().endswith(".npz")


def facts(spec: str) -> Facts:
    """From the headers of the arrays: no pixel is unpacked."""
    path = Path(spec)
    _checks.require_content(path)
    with typed(path), opened(path) as archive:
        names = {_NAMES[n[:-4]]: n for n in archive.namelist() if n.endswith(".npy") and n[:-4] in _NAMES}
        member = names.get("train_x") or names.get("x")
        shape = header(archive, member) if member else None
        single: Arrays = {}
        for name in ("levels", "ticks", "as_is"):
            if name in names:
                single[name] = array(archive, names[name])
    if shape is None:
        raise _checks.foreign(spec, "no images", "train_x, train_y, test_x, test_y or x, y")
    blank = np.broadcast_to(np.zeros((), np.uint8), shape)  # holds no memory
    levels, ticks, as_is = _options(single, spec)
    return Facts(_arranged(blank, ticks, as_is, spec).shape[1 + bool(ticks) :], levels, spec, ticks)


def load(spec: str) -> DataSet:
    """Images as (N, H, W), (N, H, W, C) or (N, C, H, W) integers in 0 .. 255, or vectors (N, F); labels as integers.

    Optional members: ``classes`` (names), ``levels`` (largest pixel value, 255 unless given), ``ticks``: then samples
    are (N, ticks, ...), a frame for each tick in the shape that the network takes; ``as_is``, if 1: samples are in that
    shape; ``note``, something that whoever uses the data is to be told. Raises UsageError ND920 to ND925.
    """
    _checks.require_content(Path(spec))
    arrays = _read(Path(spec))
    levels, ticks, as_is = _options(arrays, spec)
    pair = partial(_pair, arrays, levels, ticks, as_is, spec)
    if "x" in arrays and "train_x" not in arrays:
        train, test = split_once(*pair("x", "y"))
    else:
        train, test = array_split(*pair("train_x", "train_y")), array_split(*pair("test_x", "test_y"))
    classes = _classes(arrays, train, test)
    for split in (train, test):
        _checks.checked_labels(split.labels, len(classes), spec)
    shape = train.images.shape[1:]
    if shape != test.images.shape[1:]:
        limit, found = str(shape), str(test.images.shape[1:])
        raise _checks.refuse("ND924", "training and test images differ in shape", spec, found, limit)
    digest = content_hash(train.images, train.labels, test.images, test.labels)
    name, told = Path(spec).stem, _noted(arrays, spec)
    return DataSet(
        name, train, test, classes, shape[bool(ticks) :], levels, digest, spec, ticks, warnings=told
    )


def _read(path: Path) -> Arrays:
    with typed(path), opened(path) as archive:
        names = {n[:-4]: n for n in archive.namelist() if n.endswith(".npy") and n[:-4] in _NAMES}
        return {_NAMES[name]: array(archive, member) for name, member in names.items()}


def _options(arrays: Arrays, where: str) -> list[int]:
    """Levels, the frames of a sample, 0 where it is one image, and whether samples are in the network's shape."""
    found = []
    for name, usual, most in (("levels", 255, 255), ("ticks", 0, MOST_TICKS), ("as_is", 0, 1)):
        value = arrays.get(name, np.array(usual))
        whole = value.dtype.kind in "iu" and value.size == 1
        if name in arrays and not (whole and 1 <= int(value.item()) <= most):
            text = str(value.tolist())[:80]
            raise _checks.refuse("ND924", f"{name} is not one integer", where, text, f"1 .. {most}")
        found.append(int(value.item()))
    return found


def _pair(
    arrays: Arrays, levels: int, ticks: int, as_is: int, where: str, x: str, y: str
) -> tuple[Images, Integers]:
    missing = [name for name in (x, y) if name not in arrays]
    if missing:
        found = ", ".join(sorted(arrays)) or "no known array"
        raise _checks.foreign(where, found, "train_x, train_y, test_x, test_y or x, y", f"add {missing[0]}")
    labels = arrays[y].reshape(-1) if arrays[y].ndim == 2 and arrays[y].shape[1] == 1 else arrays[y]
    # The classes are not known yet; here only what the labels alone can get wrong is refused.
    labels = _checks.checked_labels(labels, np.iinfo(np.int32).max, f"{where}: {y}")
    images = _images(arrays[x], levels, ticks, as_is, f"{where}: {x}")
    _checks.same_count(len(images), len(labels), where)
    return images, labels


def _images(raw: NDArray[np.generic], levels: int, ticks: int, as_is: int, where: str) -> Images:
    if raw.dtype.kind not in "iu":
        raise _checks.refuse("ND924", "pixels are not integers", where, *_no_levels(raw, levels))
    values = _arranged(raw, ticks, as_is, where)
    if values.size and not 0 <= int(values.min()) <= int(values.max()) <= levels:
        found = f"{values.min()} .. {values.max()}"
        fix = f"store whole levels 0 .. {levels}" + ", or their largest as levels=, at most 255" * (
            levels < 255
        )
        raise _checks.refuse(
            "ND924", "pixels are outside the value range", where, found, f"0 .. {levels}", fix
        )
    return values.astype(np.uint8)


def _no_levels(raw: NDArray[np.generic], levels: int) -> tuple[str, str, str]:
    """What was found, the limit and the fix for pixels of another kind."""
    if raw.dtype.kind != "f" or not raw.size:
        return str(raw.dtype), "uint8", f"store whole pixel levels: (x * {levels}).astype(numpy.uint8)"
    if not np.isfinite(values := raw.astype(np.float64)).all():
        bad = int((~np.isfinite(values)).sum())
        return f"{raw.dtype}, {bad} NaN or infinite", "uint8", "leave out the samples that hold them"
    low, high = float(values.min()), float(values.max())
    scaled = (
        f"x * {levels}"
        if 0 <= low <= high <= 1
        else "x"
        if 0 <= low <= high <= levels
        else "(x - low) / step"
    )
    fix = f"store whole pixel levels: numpy.rint({scaled}).astype(numpy.uint8)"
    return f"{raw.dtype}, {low:.4g} .. {high:.4g}", "uint8", fix


def _arranged(raw: NDArray[np.generic], ticks: int, as_is: int, where: str) -> Integers:
    """Samples as the network takes them: images with channels first, vectors, or (N, ticks, ...) as they are."""
    if as_is and not ticks and raw.ndim >= 2 and 0 not in raw.shape[1:]:
        return cast(Integers, raw)
    if not ticks:
        return _channels_first(raw, where)
    if raw.ndim < 3 or raw.shape[1] != ticks or 0 in raw.shape[2:]:
        limit = f"(N, {ticks}, ...): a frame for each of {ticks} ticks"
        raise _checks.refuse("ND924", "samples do not have a usable shape", where, str(raw.shape), limit)
    return cast(Integers, raw)


def _channels_first(raw: NDArray[np.generic], where: str) -> Integers:
    """(N, C, H, W) from the three layouts; where first and last axis could both be channels, the first is."""
    if raw.ndim == 2 and raw.shape[1]:
        return cast(Integers, raw)
    if raw.ndim == 3 and raw.shape[1] and raw.shape[2]:
        return cast(Integers, raw[:, None])
    if raw.ndim == 4 and raw.shape[1] in (1, 3):
        return cast(Integers, raw)
    if raw.ndim == 4 and raw.shape[3] in (1, 3):
        return cast(Integers, np.moveaxis(raw, 3, 1))
    limit = "(N, H, W), (N, H, W, C) or (N, C, H, W) with 1 or 3 channels, or (N, F);"
    limit += " with a member ticks: (N, ticks, ...), a frame for each tick"
    raise _checks.refuse("ND924", "images do not have a usable shape", where, str(raw.shape), limit)


def _noted(arrays: Arrays, where: str) -> tuple[Problem, ...]:
    """What the archive has to say of its samples."""
    if "note" not in arrays:
        return ()
    text = " ".join(map(str, arrays["note"].ravel()))[:200]
    return (Problem("ND953", "what the data say of themselves", where, text, severity="warning"),)


def _classes(arrays: Arrays, train: Split, test: Split) -> tuple[str, ...]:
    if "classes" in arrays:
        return tuple(str(name) for name in arrays["classes"].ravel())
    return tuple(str(c) for c in range(1 + int(max(train.labels.max(), test.labels.max(initial=0)))))


MEMBER = DataFormat("npz", FORMAT, accepts, load, facts)
