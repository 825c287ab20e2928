"""What a caller hands over in memory, as files: kept under the hash of what they hold, and copied into the build.

``handed:NAME-HASH.SUFFIX`` names one, as MODEL or as data. It lies in ``handed`` in the cache folder, and, under a name
of its own, beside the ``build.toml`` that names it: who replays a build, or goes on with one, takes it from there.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from .errors import Problem, UsageError
from .files import cache_folder, digest, typed

PREFIX = "handed:"
#: suffix -> name of the copy in a build folder: a source graph, arrays, texts
BESIDE = {".h5": "model.h5", ".npz": "data.npz", ".jsonl": "data.jsonl"}
DIGITS = 32  # of the hash, in names
KEPT = 64  # files that are kept; the oldest go first
_NAME = re.compile(r"handed:[\w.-]*-([0-9a-f]{32})(\.\w+)")


def named(spec: str) -> bool:
    """Whether a MODEL or data string names what was handed over."""
    return spec.startswith(PREFIX)


def keep(name: str, suffix: str, write: Callable[[Path], object]) -> str:
    """Keep the file that ``write`` makes at a path; returns what names it. EnvironmentProblem ND90x."""
    folder = _folder()
    with typed(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            made = Path(scratch) / f"made{suffix}"
            write(made)
            found = digest(made)[:DIGITS]
            os.replace(made, folder / f"{found}{suffix}")
        _trim(folder)
    return f"{PREFIX}{re.sub(r'[^A-Za-z0-9_.]', '_', name)}-{found}{suffix}"


def place(spec: str) -> Path:
    """Where the file lies; UsageError ND952 where it is not here, or is no longer what it was."""
    stated, suffix = _parts(spec)
    path = _folder() / f"{stated}{suffix}"
    if not path.is_file():
        raise _gone(spec, "nothing")
    if (found := digest(path)[:DIGITS]) != stated:
        raise _gone(spec, f"sha256 {found[:12]}")
    return path


def give(folder: Path, specs: Iterable[str]) -> None:
    """Copy into a build folder what these name, as far as they name what was handed over."""
    for spec in filter(named, specs):
        source = place(spec)
        with typed(folder):
            shutil.copyfile(source, folder / BESIDE[source.suffix])


def take(folder: Path, specs: Iterable[str]) -> None:
    """Take from a build folder what these name, where it lies there and is whole."""
    for spec in filter(named, specs):
        stated, suffix = _parts(spec)
        beside, kept = folder / BESIDE[suffix], _folder() / f"{stated}{suffix}"
        if not kept.is_file() and beside.is_file() and digest(beside).startswith(stated):
            keep("", suffix, partial(shutil.copyfile, beside))


def _parts(spec: str) -> tuple[str, str]:
    found = _NAME.fullmatch(spec)
    if found is None or found[2] not in BESIDE:
        limit = f"handed:NAME-HASH with {', '.join(BESIDE)}, as in a build.toml"
        raise UsageError(Problem("ND952", "not a name of what was handed over", spec, spec, limit))
    return found[1], found[2]


def _gone(spec: str, found: str) -> UsageError:
    cause = "what was handed over in memory is not here any more"
    limit = f"a copy beside the build.toml, as {BESIDE[_parts(spec)[1]]}"
    fixes = ("hand it over again", "neurodeploy build --config FOLDER/build.toml")
    return UsageError(Problem("ND952", cause, spec, found, limit, fixes))


def _folder() -> Path:
    return cache_folder() / "handed"


def _trim(folder: Path) -> None:
    files = (path for path in folder.iterdir() if path.suffix in BESIDE)
    for old in sorted(files, key=lambda path: path.stat().st_mtime, reverse=True)[KEPT:]:
        old.unlink(missing_ok=True)
