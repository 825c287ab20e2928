"""Folders of recordings, each of one sample: a subfolder per class, or labels in the files, also below train and test.

A member of this room is a format of recordings (see ``_base.py``). Events become a frame for each tick when they are
asked for, as the options say (``_events.py``); nothing is kept.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ... import guarded
from ...errors import NeurodeployError, first_line
from ...limits import most_unpacked
from .. import _checks, _events, _folders
from .._base import DataFormat
from .._events import EventOptions
from .._types import DataSet, Facts, Images, Split, stratified_indices
from ._base import RECORDINGS, Recording

FORMAT = "a folder of recordings of events in one subfolder per class, or with labels, optionally below train and test"

#: bytes of recordings that are read in a second, and files that are opened, at least
_RATE, _FILES = 5e6, 100
_COUNTS = 10  # bytes that a pixel of a frame takes while its events are counted
Size = tuple[int, int]


def accepts(spec: str) -> bool:
    """A folder with recordings two levels down, or beside each other, or either below train and test."""
    found, folder = _by_suffix(), Path(spec)
    flat = any(_folders.held(root, found) for root in (folder, *_folders.parts(folder)))
    return flat or _folders.accepts(spec, found)


def facts(spec: str, options: EventOptions) -> Facts:
    """From the heads of all files."""
    size = _size(spec, _survey(spec), options)
    shape, said = _events.frame_shape(size, options, spec), _events.told(options, size)
    return Facts(shape, options.levels, spec, options.ticks, told=said)


def load(spec: str, options: EventOptions) -> DataSet:
    """Frames of every recording, read when they are asked for; without train and test the files are split.

    Raises UsageError: ND921 to ND923 for a recording that is none, ND924 for events outside the sensor, or where nobody
    says how large it is, ND925 for labels; EnvironmentProblem ND115 where a library is missing.
    """
    held = _survey(spec)
    size = _size(spec, held, options)
    shape = _events.frame_shape(size, options, spec)
    labels = np.array(held.labels, np.int64)
    frames = partial(_frames, size=size, options=options, shape=shape)
    if held.test_files:
        tested = np.array(held.test_labels, np.int64)
        train, test = (
            Split(labels, partial(frames, held.files)),
            Split(tested, partial(frames, held.test_files)),
        )
    else:
        picks = stratified_indices(labels)
        train, test = (Split(labels[pick], partial(frames, [held.files[i] for i in pick])) for pick in picks)
    for part in (train, test):
        _checks.checked_labels(part.labels, len(held.classes), spec)
    chosen = json.dumps([size, options.model_dump(mode="json")], sort_keys=True)
    digest, name = _folders.digest(Path(spec), held.every, chosen), Path(spec).name
    said = _events.told(options, size)
    return DataSet(
        name, train, test, held.classes, shape, options.levels, digest, spec, options.ticks, told=said
    )


def _by_suffix() -> dict[str, Recording]:
    return {suffix: member for member in RECORDINGS.values() for suffix in member.suffixes}


def _survey(spec: str) -> _folders.Folders:
    """All files with their labels, from subfolders or else from the files."""
    suffixes, folder = _by_suffix(), Path(spec)
    train, test = (_folders.held(root, suffixes) for root in _folders.parts(folder))
    if not (train or test) and _folders.accepts(spec, suffixes):
        return _folders.survey(spec, suffixes, FORMAT)
    files = train or _folders.held(folder, suffixes)
    if not files or bool(train) != bool(test):
        raise _checks.foreign(spec, "only one of train and test", FORMAT, "add the other folder")
    labels = [_guarded(_labels, part, spec) for part in (files, test)]
    least = min(min(part, default=0) for part in labels)
    if least < 0 or max(map(max, filter(None, labels))) > len(files) + len(test):
        fix = "put the files of each class in a folder of its own"
        found = "a file without label" if least < 0 else f"{max(map(max, filter(None, labels)))}"
        raise _checks.refuse("ND925", "recordings have no usable labels", spec, found, "target/0", fix)
    classes = tuple(map(str, range(1 + max(labels[0]))))
    return _folders.Folders(classes, files, labels[0], test, labels[1])


def _size(spec: str, held: _folders.Folders, options: EventOptions) -> Size:
    """Rows and columns of the sensor, by the options or else by every file; UsageError ND924."""
    if options.size is not None:
        return options.size
    sizes: list[Size | None] = _guarded(_sizes, held.every, spec)
    found = set(sizes)
    if None in found:
        path = held.every[sizes.index(None)]
        rows, columns = _guarded(_extent, [path], spec)
        cause, seen = (
            "the files do not say how large the sensor is",
            f"events up to row {rows}, column {columns}",
        )
        fix = f"--set loader.size=[{rows + 1},{columns + 1}], or larger, as the camera is"
        raise _checks.refuse("ND924", cause, str(path), seen, "rows and columns", fix)
    if len(found) > 1:
        seen = ", ".join(f"{rows} x {columns}" for rows, columns in sorted(filter(None, found)))
        fix = "--set loader.size=[rows,columns] of the largest"
        raise _checks.refuse(
            "ND924", "recordings are of sensors of several sizes", spec, seen[:160], "one", fix
        )
    return sizes[0] or (0, 0)


def _frames(
    files: list[Path], indices: NDArray[np.int64], size: Size, options: EventOptions, shape: tuple[int, ...]
) -> Images:
    """Those at these positions, (n, T, 2, H, W)."""
    chosen = [files[int(i)] for i in indices]
    if not chosen:
        return np.empty((0, options.ticks, *shape), np.uint8)
    sample = options.ticks * prod(shape)
    room = (len(chosen) + _COUNTS) * sample
    found: Images = _guarded(
        partial(_binned, size=size, options=options), chosen, str(chosen[0].parent), room
    )
    return found


# --- in a copy of the process ------------------------------------------------------------------------------------


def _guarded(function: Any, files: list[Path], where: str, more: int = 0) -> Any:
    """``function(files)`` in a copy of the process; UsageError ND922 where it does not end well."""
    sizes = [path.stat().st_size for path in files]
    if max(sizes, default=0) > _checks.MAX_BYTES:
        raise _checks.foreign(where, f"{max(sizes)} bytes", f"at most {_checks.MAX_BYTES} in a recording")
    seconds = guarded.SECONDS + sum(sizes) / _RATE + len(files) / _FILES
    memory = guarded.MEMORY // 2 + most_unpacked(max(sizes, default=0)) + more
    try:
        return guarded.call(function, [str(path) for path in files], seconds=seconds, memory=memory)
    except guarded.Stopped as error:
        raise _checks.truncated(where, str(error), "whole recordings") from error


def _each(paths: list[str], ask: str) -> Iterator[tuple[str, Any]]:
    """What the format of every file says, with its path; whatever a damaged one provokes is UsageError ND922."""
    formats = _by_suffix()
    for path in paths:
        try:
            yield path, getattr(formats[Path(path).suffix.lower()], ask)(path)
        except (NeurodeployError, MemoryError):
            raise
        except BaseException as error:  # libraries raise whatever they like
            raise _checks.truncated(path, first_line(error), "a whole recording") from error


def _labels(paths: list[str]) -> list[int]:
    return [-1 if label is None else label for _, label in _each(paths, "label")]


def _sizes(paths: list[str]) -> list[Size | None]:
    return [size for _, size in _each(paths, "size")]


def _extent(paths: list[str]) -> Size:
    ((_, events),) = _each(paths, "read")
    return int(events.y.max()), int(events.x.max())


def _binned(paths: list[str], size: Size, options: EventOptions) -> Images:
    out = np.empty((len(paths), options.ticks, *_events.frame_shape(size, options, "")), np.uint8)
    for slot, (path, events) in enumerate(_each(paths, "read")):
        out[slot] = _events.binned(events, size, options, path)
    return out


MEMBER = DataFormat("recordings", FORMAT, accepts, load, facts, Options=EventOptions)
