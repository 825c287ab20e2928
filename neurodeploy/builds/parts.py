"""Whether the parts of a build folder are of one build: what ``repro.json`` recorded against what lies there."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from .. import artifact, files
from ..artifact import Artifact
from ..codes import CODES
from ..errors import Problem, UsageError
from ..ir import store
from ..publishing import steadily
from ..report.files import REPORT

RECORD, SETTINGS = "repro.json", "build.toml"
#: files of which ``repro.json`` records a hash; page and tables are drawn from the report again
HASHED = (SETTINGS, REPORT)
#: key of a report that differs between two builds of the same: their times
UNHASHED = "stages"
REBUILD = ("build again: finished stages are taken from the folder",)


@dataclass(frozen=True)
class Part:
    """One hash as a build recorded it in ``stated_in``, and as it is now."""

    where: Path
    stated_in: Path
    stated: object
    found: str

    @property
    def problem(self) -> Problem | None:
        """Nothing where both agree, or where a build recorded none."""
        if self.stated is None or self.stated == self.found:
            return None
        found, limit = f"sha256 {self.found[:12]}", f"sha256 {str(self.stated)[:12]} in {self.stated_in.name}"
        return Problem("ND963", CODES["ND963"][0], str(self.where), found, limit, REBUILD)


def hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of the files of a folder that its record names, as far as they are there; a report without its times."""
    return {name: _sha256(folder / name) for name in HASHED if (folder / name).is_file()}


def opened(place: str | Path) -> Artifact:
    """What it takes to run a build, from the artifact, if its other parts belong to it.

    Errors of :func:`neurodeploy.artifact.load`, and ND963, ND964 (:func:`require`). A program that was copied out of
    its folder, under another name, stands for itself.
    """
    file = artifact.place(place)
    return steadily(file.parent, lambda: _opened(file))


def _opened(file: Path) -> Artifact:
    saved = artifact.load(file, artifact.PROGRAM)
    now = {} if saved.integer is None else {"integer": saved.integer.content_hash()}
    _require(_graphs(file, file, saved.provenance, now))
    if file.name == artifact.FILE:
        require(file.parent, saved.hash, now)
    return saved


def require(folder: Path, program: str = "", graphs: Mapping[str, str] | None = None) -> None:
    """UsageError ND963 with every part of a folder that is not of its build, ND964 for a record that is damaged.

    ``program`` and ``graphs`` are the hashes of its ``program.h5``, where somebody has read it.
    """
    file = folder / artifact.FILE
    program = program or (store.recorded_hash(file) if file.is_file() else "")
    record = _record(folder / RECORD)
    _require(_parts(folder, record, program, graphs or {}))
    if REPORT not in _table(record, "files_sha256", folder / RECORD):
        stated = (_json(_content(folder / REPORT)) or {}).get("reproducibility")
        _require(_program(folder, folder / REPORT, stated if isinstance(stated, Mapping) else {}, program))


def _require(parts: Iterator[Part]) -> None:
    problems = [problem for part in parts if (problem := part.problem) is not None]
    if problems:
        raise UsageError(problems)


def _parts(
    folder: Path, record: Mapping[str, object], program: str, graphs: Mapping[str, str]
) -> Iterator[Part]:
    place = folder / RECORD
    yield from _program(folder, place, record, program)
    yield from _graphs(folder / artifact.FILE, place, record, graphs)
    stated = _table(record, "files_sha256", place)
    for name, found in hashes(folder).items():
        yield Part(folder / name, place, stated.get(name), found)


def _program(folder: Path, stated_in: Path, record: Mapping[str, object], program: str) -> Iterator[Part]:
    if program:
        yield Part(folder / artifact.FILE, stated_in, record.get("program_sha256"), program)


def _graphs(
    file: Path, stated_in: Path, record: Mapping[str, object], found: Mapping[str, str]
) -> Iterator[Part]:
    stated = _table(record, "graphs_sha256", stated_in)
    for name, digest in found.items():
        yield Part(Path(f"{file} /{name}"), stated_in, stated.get(name), digest)


def _table(record: Mapping[str, object], key: str, place: Path) -> Mapping[str, object]:
    """Hashes by name; none where an earlier version wrote none."""
    found = record.get(key, {})
    if not isinstance(found, Mapping):
        raise _damaged(place, f"{key}: {type(found).__name__}", "a table of hashes")
    return found


def _record(path: Path) -> Mapping[str, object]:
    """What ``repro.json`` holds; nothing where there is none."""
    if not path.is_file():
        return {}
    found = _json(_content(path))
    if found is None:
        raise _damaged(path, "no JSON object", "a JSON object")
    return found


def _damaged(path: Path, found: str, limit: str) -> UsageError:
    return UsageError(Problem("ND964", CODES["ND964"][0], str(path), found, limit, REBUILD))


def _content(path: Path) -> bytes:
    with files.typed(path):
        return path.read_bytes() if path.is_file() else b""


def _json(content: bytes) -> dict[str, object] | None:
    """The JSON object that a file holds, or None."""
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _sha256(path: Path) -> str:
    content = _content(path)
    data = _json(content) if path.name == REPORT else None
    if data is not None:
        content = json.dumps({k: v for k, v in data.items() if k != UNHASHED}, sort_keys=True).encode()
    return hashlib.sha256(content).hexdigest()
