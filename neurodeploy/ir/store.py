"""The artifact file: named sections of frozen values, each as JSON text plus plain HDF5 datasets.

Layout: ``/header`` (JSON: format, schema, sha256) and, per section, ``/SECTION/json`` with ``/SECTION/arrays/...``.
Every dataset is contiguous and uncompressed, so a reader can bound what it allocates by the size of the file.
``sha256`` covers path, type, shape and bytes of every dataset but the header. A reader trusts nothing: links must
be hard, types plain numbers, sizes real, classes on a list, fields of their declared types.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import h5py
import numpy as np

from .. import guarded
from ..array import Array
from ..errors import Problem, UsageError
from ..files import write_bytes
from . import codec

Found = TypeVar("Found")

FORMAT = "neurodeploy-program"
SCHEMA = 4

MAX_OBJECTS = 1_000_000  # groups and datasets of one file
MAX_DEPTH = 16
MAX_BYTES = 16 << 30
MAX_HEADER = 1 << 16
RATE = 10e6  # bytes per second that are read and hashed, at least
#: files that this process has written, as they were then: these are no stranger's
_own: set[tuple[int, ...]] = set()


def write(path: Path, sections: Mapping[str, Any]) -> str:
    """Write sections (name -> anything :mod:`codec` knows) atomically; returns the content hash.

    Raises EnvironmentProblem ND90x where the disk is full or the folder cannot be written.
    """
    buffer = io.BytesIO()  # complete in memory first: a full disk then shows as an ordinary OSError
    with h5py.File(buffer, "w") as file:
        for name, value in sections.items():
            _write_section(file.create_group(name), value)
        digest = content_hash(contents(Path(path), file, MAX_BYTES))
        _write_json(file, "header", {"format": FORMAT, "schema": SCHEMA, "sha256": digest})
    write_bytes(Path(path), buffer.getvalue())
    _own.add(_identity(Path(path)))
    return digest


def _identity(path: Path) -> tuple[int, ...]:
    """What a file keeps when it is moved, and loses when it is changed."""
    found = path.stat()
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size


def _write_section(group: h5py.Group, value: Any) -> None:
    text, arrays = codec.encode(value)
    _write_json(group, "json", text)
    for place, array in arrays.items():
        group.create_dataset(f"arrays/{place}", data=array)


def _write_json(group: h5py.Group, name: str, value: Any) -> None:
    text = json.dumps(value, separators=(",", ":"))
    group.create_dataset(name, data=np.frombuffer(text.encode("utf-8"), dtype=np.uint8))


def content_hash(arrays: Mapping[str, Array]) -> str:
    """SHA-256 over all datasets but the header, in order of their paths."""
    digest = hashlib.sha256()
    for place, array in sorted(arrays.items()):
        if place != "/header":
            digest.update(f"<{place} {array.dtype.str} {array.shape}>".encode())
            digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


class Stored(NamedTuple):
    """What an artifact holds: its sections by name, and its content hash."""

    sections: dict[str, Any]
    hash: str


def read(path: Path, classes: Mapping[str, type], sections: tuple[str, ...] | None = None) -> Stored:
    """The sections of an artifact (all, or those asked for); ``classes`` are the dataclasses it may hold.

    Raises UsageError: ND940 missing or empty, ND941 truncated or not HDF5, ND942 foreign, ND943 other schema,
    ND944 changed after it was written, ND945 a part is missing, ND946 unusable dataset, ND947 unusable content.
    """
    path = Path(path)
    digest, arrays = _guarded(path, _proven)
    held = dict.fromkeys(place.split("/")[1] for place in arrays if place != "/header")
    names = tuple(held) if sections is None else sections
    if missing := [name for name in names if name not in held]:
        cause = "a section of the artifact is missing"
        raise UsageError([_problem("ND945", cause, path, f"/{name}") for name in missing])
    return Stored({name: _read_section(path, name, arrays, classes) for name in names}, digest)


def recorded_hash(path: Path) -> str:
    """The content hash that an artifact states; only :func:`read` checks that it is true."""
    return _guarded(Path(path), _stated)


def _guarded(path: Path, look: Callable[[Path], Found]) -> Found:
    """What ``look`` finds, in a copy of the process: no other opens the file of a stranger."""
    if path.is_file() and _identity(path) in _own:
        return look(path)
    size = path.stat().st_size if path.is_file() else 0
    try:
        seconds, memory = guarded.SECONDS + size / RATE, guarded.MEMORY // 2 + size
        return guarded.call(look, path, seconds=seconds, memory=memory)
    except guarded.Stopped as error:
        raise _refuse("ND941", "the artifact is damaged", path, "/", str(error)) from error


def _stated(path: Path) -> str:
    with _open(path) as file:
        return str(_header(path, file)["sha256"])


def _proven(path: Path) -> tuple[str, dict[str, Array]]:
    """The stated hash, which is that of the content, and the content."""
    with _open(path) as file:
        try:
            arrays = contents(path, file, path.stat().st_size)
            header, found = _header(path, file), content_hash(arrays)
        except (OSError, RuntimeError, KeyError, ValueError) as error:
            raise _refuse("ND941", "the artifact is damaged", path, "/", str(error)) from error
    if found != header["sha256"]:
        cause = "the artifact was changed after it was written"
        raise _refuse("ND944", cause, path, "/", found, header["sha256"])
    return found, arrays


def contents(path: Path, file: h5py.File, size: int) -> dict[str, Array]:
    """Every dataset by its place, once all that is known of a file of ``size`` bytes says that it may be read."""
    found = {}
    for place, dataset in _walk(path, file):
        _check_dataset(path, place, dataset, size)
        found[place] = np.asarray(dataset[()])
    return found


def _open(path: Path) -> h5py.File:
    wanted = "a program.h5 that 'build' wrote"
    if not path.is_file():
        raise _refuse("ND940", "no such artifact", path, "", "nothing", wanted)
    if path.stat().st_size == 0:
        raise _refuse("ND940", "the artifact is empty", path, "", "0 bytes", wanted)
    try:
        return h5py.File(path, "r", locking=False)
    except OSError as error:
        cause = "the artifact is truncated or not an HDF5 file"
        raise _refuse("ND941", cause, path, "", str(error)) from error


def _header(path: Path, file: h5py.File) -> dict[str, Any]:
    refuse = partial(_refuse, path=path, place="/header")
    hard = isinstance(file.get("header", getlink=True), h5py.HardLink)
    if not hard or not isinstance(file["header"], h5py.Dataset):
        raise refuse("ND942", "an HDF5 file of another program", found="missing", limit=FORMAT)
    _check_dataset(path, "/header", file["header"], path.stat().st_size)
    if (size := file["header"].size) > MAX_HEADER:
        raise refuse("ND946", "the header is too long", found=f"{size} bytes", limit=f"{MAX_HEADER} bytes")
    header = _json(path, "/header", file["header"][()])
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise refuse("ND942", "an HDF5 file of another program", found=str(header)[:80], limit=FORMAT)
    if (schema := header.get("schema")) != SCHEMA:
        found, limit = (f"schema version {number}" for number in (schema, SCHEMA))
        raise refuse("ND943", "the artifact has another schema version", found=found, limit=limit)
    return {**header, "sha256": str(header.get("sha256"))}


def _walk(path: Path, file: h5py.File) -> Iterator[tuple[str, h5py.Dataset]]:
    """Every dataset with its place; refuses links that leave the file, cycles, and anything but groups and datasets."""
    stack: list[tuple[str, h5py.Group, int]] = [("", file, 0)]
    seen, count = {h5py.h5o.get_info(file.id).addr}, 0
    while stack:
        prefix, group, depth = stack.pop()
        for name in group:
            place = f"{prefix}/{name}"
            count += 1
            if count > MAX_OBJECTS or depth > MAX_DEPTH:
                raise _refuse("ND946", "the artifact is nested too deeply or has too many parts", path, place)
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                cause, found = "a link that leaves the artifact", "soft or external link"
                raise _refuse("ND946", cause, path, place, found, "plain datasets")
            item = group[name]
            if isinstance(item, h5py.Group):
                address = h5py.h5o.get_info(item.id).addr
                if address in seen:
                    raise _refuse("ND946", "a group of the artifact is reached twice", path, place)
                seen.add(address)
                stack.append((place, item, depth + 1))
            elif isinstance(item, h5py.Dataset):
                yield place, item
            else:
                raise _refuse("ND946", "neither a group nor a dataset", path, place, type(item).__name__)


def _check_dataset(path: Path, place: str, dataset: h5py.Dataset, file_bytes: int) -> None:
    """Refuse what would run code, reach outside the file, or allocate more than the file holds."""
    refuse = partial(_refuse, "ND946", path=path, place=place)
    if dataset.dtype.kind not in "iuf" or dataset.dtype.itemsize > 8:
        found, limit = str(dataset.dtype), "integers or floats"
        raise refuse("a dataset of an unusable type", found=found, limit=limit)
    if dataset.is_virtual or dataset.external or dataset.chunks is not None or dataset.shape is None:
        found, limit = "virtual, external or chunked", "contiguous"
        raise refuse("a dataset that is not stored plainly", found=found, limit=limit)
    declared = int(np.prod([int(s) for s in dataset.shape], dtype=object)) * dataset.dtype.itemsize
    stored = dataset.id.get_storage_size()
    if declared > min(file_bytes, MAX_BYTES) or declared != stored:
        found, limit = f"{declared} bytes declared, {stored} stored", f"at most {file_bytes} bytes"
        raise refuse("a dataset declares another size than it has", found=found, limit=limit)


def _json(path: Path, place: str, text: Array) -> Any:
    try:
        return json.loads(text.tobytes().decode("utf-8"))
    except (ValueError, RecursionError) as error:
        cause, found = "the text of a section is not JSON", str(error)[:120]
        raise _refuse("ND947", cause, path, place, found) from error


def _read_section(path: Path, name: str, arrays: Mapping[str, Array], classes: Mapping[str, type]) -> Any:
    def array(key: str) -> Array:
        if (place := f"/{name}/arrays/{key}") not in arrays:
            raise _refuse("ND945", "a dataset of the artifact is missing", path, place)
        return arrays[place]

    if (text := f"/{name}/json") not in arrays:
        raise _refuse("ND945", "a section has no text", path, text, "missing", "a dataset")
    try:
        return codec.decode(_json(path, text, arrays[text]), array, classes)
    except codec.CodecError as error:
        cause, where = "a section holds something unexpected", f"/{name}: {error.place}"
        raise _refuse("ND947", cause, path, where, error.found, error.limit) from error
    except RecursionError as error:
        raise _refuse("ND947", "a section is nested too deeply", path, f"/{name}") from error


def _problem(code: str, cause: str, path: Path, place: str, found: str = "", limit: str = "") -> Problem:
    fix = "build again with this version" if code == "ND943" else "build again, or copy the file again"
    return Problem(code, cause, f"{path} {place}".rstrip(), found, limit, (fix,))


def _refuse(code: str, cause: str, path: Path, place: str, found: str = "", limit: str = "") -> UsageError:
    return UsageError(_problem(code, cause, path, place, found, limit))
