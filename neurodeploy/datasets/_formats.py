"""Finds the formats of this folder and asks them, in order of their names, who reads a spec."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from ..errors import Problem, UsageError, unknown_name
from ._checks import foreign, refuse, require_content
from ._types import DataSet, Facts

_PIECES = ("FORMAT", "NAMES", "accepts", "load")


@dataclass(frozen=True)
class Format:
    """One way to store labelled images: who reads it, what it is called, which data sets it knows by name."""

    module: str
    description: str
    names: tuple[str, ...]
    accepts: Callable[[str], bool]
    load: Callable[[str], DataSet]
    facts: Callable[[str], Facts] | None = None


def _format(module_name: str) -> Format:
    members = vars(importlib.import_module(module_name))
    missing = [piece for piece in _PIECES if piece not in members]
    if missing:
        cause = f"the data format lacks {', '.join(missing)}"
        fix = f"define {missing[0]} in it: see the head of neurodeploy/datasets/__init__.py"
        raise UsageError([Problem("ND926", cause, where=f"{module_name.replace('.', '/')}.py", fixes=(fix,))])
    required = {piece.lower(): members[piece] for piece in _PIECES[1:]}
    return Format(module_name, members["FORMAT"], **required, facts=members.get("facts"))


@lru_cache(maxsize=1)
def formats() -> tuple[Format, ...]:
    """All formats, by module name; UsageError naming the file and the piece for one that is incomplete."""
    package = __package__ or "neurodeploy.datasets"
    folder = str(Path(__file__).parent)
    found = sorted(m.name for m in pkgutil.iter_modules([folder]) if not m.name.startswith("_"))
    return tuple(_format(f"{package}.{name}") for name in found)


def names() -> tuple[str, ...]:
    """The data sets that need no path."""
    return tuple(sorted(name for f in formats() for name in f.names))


def _is_path(spec: str) -> bool:
    return Path(spec).exists() or any(mark in spec for mark in "/\\.")


def facts(spec: str) -> Facts:
    """Shape and levels behind a name or a path, from headers where the format can tell; errors as :func:`load`."""
    found = next((f.facts for f in formats() if spec and "\0" not in spec and f.accepts(spec)), None)
    if found is None:
        data = load(spec)
        return Facts(data.shape, data.levels, data.source, data.ticks, data.texts)
    try:
        return found(spec)
    except OSError as error:
        raise refuse("ND920", "the data cannot be read", spec[:200], error.strerror or str(error)) from error


def load(spec: str) -> DataSet:
    """The data set behind a name such as ``digits`` or a path to a file or folder.

    Raises UsageError: ND907 for an unknown name, ND92x for a file that is missing, cannot be read, is empty,
    truncated or of a foreign format, or whose images or labels do not fit.
    """
    try:
        return _load(spec)
    except OSError as error:
        # No permission, a name that the file system cannot hold, a disk that fails: no format's own business.
        raise refuse("ND920", "the data cannot be read", spec[:200], error.strerror or str(error)) from error


def _load(spec: str) -> DataSet:
    if "\0" in spec or not spec:
        raise UsageError([unknown_name("ND907", "data set", spec, names())])
    for candidate in formats():
        if candidate.accepts(spec):
            return candidate.load(spec)
    if not _is_path(spec):
        raise UsageError([unknown_name("ND907", "data set", spec, names())])
    require_content(Path(spec))
    raise foreign(spec, Path(spec).suffix or "no known layout", "; ".join(f.description for f in formats()))
