"""Asks the formats of this folder, in order of their names, who reads a spec."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from .. import handed
from ..errors import UsageError, unknown_name
from ._base import DATASETS, DataFormat
from ._checks import foreign, refuse, require_content
from ._types import DataSet, Facts

NONE: Mapping[str, Any] = MappingProxyType({})


def names() -> tuple[str, ...]:
    """The data sets that need no path."""
    return tuple(sorted(name for member in DATASETS.values() for name in member.names))


def takes_options(spec: str) -> bool:
    """Whether the format of these data has options."""
    reader = None if handed.named(spec) else _reader(spec)
    return reader is not None and reader.Options is not None


def _usable(spec: str) -> bool:
    return bool(spec) and "\0" not in spec


def _reader(spec: str) -> DataFormat | None:
    return next((member for member in DATASETS.values() if _usable(spec) and member.accepts(spec)), None)


@contextmanager
def _reading(spec: str) -> Iterator[None]:
    """No permission, a name that the file system cannot hold, a disk that fails: no format's own business."""
    try:
        yield
    except OSError as error:
        raise refuse("ND920", "the data cannot be read", spec[:200], error.strerror or str(error)) from error


def facts(spec: str, options: Mapping[str, Any] = NONE) -> Facts:
    """Shape and levels behind a name or a path, from headers where the format can tell; errors as :func:`load`."""
    if handed.named(spec):
        return replace(facts(str(handed.place(spec)), options), source=spec)
    found = _reader(spec)
    if found is None or found.facts is None:
        data = load(spec, options)
        return Facts(data.shape, data.levels, data.source, data.ticks, data.texts, data.warnings, data.told)
    with _reading(spec):
        return found.facts(spec, *found.configured(options))


def load(spec: str, options: Mapping[str, Any] = NONE) -> DataSet:
    """The data set behind a name such as ``digits`` or a path to a file or folder.

    ``options`` are those of its format, the table ``loader`` of a config. Raises UsageError ND904 for options that the
    format does not have, ND907 for an unknown name, ND92x for a file that is missing, cannot be read, is empty,
    truncated or of a foreign format, or whose images or labels do not fit.
    """
    if handed.named(spec):
        return replace(load(str(handed.place(spec)), options), name="handed", source=spec)
    with _reading(spec):
        reader = _reader(spec)
        if reader is not None:
            return reader.load(spec, *reader.configured(options))
        if not _usable(spec) or not (Path(spec).exists() or any(mark in spec for mark in "/\\.")):
            raise UsageError(unknown_name("ND907", "data set", spec, names()))
        require_content(Path(spec))
    if Path(spec).is_dir() and not any(Path(spec).iterdir()):
        raise foreign(spec, "an empty folder", "images or recordings, in a subfolder for each class")
    known = "; ".join(member.title for member in DATASETS.values())
    raise foreign(spec, Path(spec).suffix or "no known layout", known)
