"""Asks the formats of this folder, in order of their names, who reads a spec."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from .. import handed
from ..errors import UsageError, unknown_name
from ._base import DATASETS
from ._checks import foreign, refuse, require_content
from ._types import DataSet, Facts


def names() -> tuple[str, ...]:
    """The data sets that need no path."""
    return tuple(sorted(name for member in DATASETS.values() for name in member.names))


@contextmanager
def _reading(spec: str) -> Iterator[None]:
    """No permission, a name that the file system cannot hold, a disk that fails: no format's own business."""
    try:
        yield
    except OSError as error:
        raise refuse("ND920", "the data cannot be read", spec[:200], error.strerror or str(error)) from error


def facts(spec: str) -> Facts:
    """Shape and levels behind a name or a path, from headers where the format can tell; errors as :func:`load`."""
    if handed.named(spec):
        return replace(facts(str(handed.place(spec))), source=spec)
    found = next((f.facts for f in DATASETS.values() if spec and "\0" not in spec and f.accepts(spec)), None)
    if found is None:
        data = load(spec)
        return Facts(data.shape, data.levels, data.source, data.ticks, data.texts, data.warnings)
    with _reading(spec):
        return found(spec)


def load(spec: str) -> DataSet:
    """The data set behind a name such as ``digits`` or a path to a file or folder.

    Raises UsageError: ND907 for an unknown name, ND92x for a file that is missing, cannot be read, is empty,
    truncated or of a foreign format, or whose images or labels do not fit.
    """
    if handed.named(spec):
        return replace(load(str(handed.place(spec))), name="handed", source=spec)
    with _reading(spec):
        named = bool(spec) and "\0" not in spec
        reader = next((member for member in DATASETS.values() if named and member.accepts(spec)), None)
        if reader is not None:
            return reader.load(spec)
        if not named or not (Path(spec).exists() or any(mark in spec for mark in "/\\.")):
            raise UsageError(unknown_name("ND907", "data set", spec, names()))
        require_content(Path(spec))
    known = "; ".join(member.title for member in DATASETS.values())
    raise foreign(spec, Path(spec).suffix or "no known layout", known)
