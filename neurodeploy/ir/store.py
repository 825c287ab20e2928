"""The artifact file: named sections of frozen values, each a JSON text that refers to plain HDF5 datasets.

Layout: ``/header`` (JSON: format, schema, sections with the hash of their text, sha256 of these), a text ``/SECTION``
for each, and ``/arrays/ADDRESS``, each array once, under the hash of what it holds. So ``sha256`` stands for all of it,
and a section is read and checked without the others. Every dataset is contiguous and uncompressed, so a reader can
bound what it allocates by the size of the file. A reader trusts nothing: links must be hard, types plain numbers, sizes
real, hashes true, classes on a list, fields of their declared types.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import h5py
import numpy as np

from .. import guarded
from ..array import Array
from ..errors import Problem, UsageError
from ..files import alike, write_bytes
from . import codec

Found = TypeVar("Found")

FORMAT = "neurodeploy-program"
SCHEMA = 4

HEADER, ARRAYS = "header", "arrays"
ADDRESS = re.compile(rb'"([0-9a-f]{64})"')

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
    buffer, digests = (
        io.BytesIO(),
        {},
    )  # complete in memory first: a full disk then shows as an ordinary OSError
    with h5py.File(buffer, "w") as file:
        held = file.create_group(ARRAYS)
        for name, value in sections.items():
            text, arrays = codec.encode(value)
            digests[name] = _write_text(file, name, text)
            while arrays:  # each is let go when it is written
                address, array = arrays.popitem()
                if address not in held:
                    held.create_dataset(address, data=array)
        digest = whole(digests)
        _write_text(file, HEADER, {"format": FORMAT, "schema": SCHEMA, "sections": digests, "sha256": digest})
    # Released where the writing fails too: collectors of Python up to 3.12.1 crash on a view that an error keeps alive.
    with buffer.getbuffer() as content:
        write_bytes(Path(path), content)
    _own.add(_identity(Path(path)))
    return digest


def whole(digests: Mapping[str, str]) -> str:
    """The content hash of an artifact whose sections have these."""
    return hashlib.sha256(json.dumps(dict(digests), sort_keys=True).encode()).hexdigest()


def _identity(path: Path) -> tuple[int, ...]:
    """What a file keeps when it is moved, and loses when it is changed."""
    found = path.stat()
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size


def _write_text(file: h5py.File, name: str, value: Any) -> str:
    """A JSON text as a dataset; returns its hash."""
    text = json.dumps(value, separators=(",", ":")).encode("utf-8")
    file.create_dataset(name, data=np.frombuffer(text, dtype=np.uint8))
    return hashlib.sha256(text).hexdigest()


class Stored(NamedTuple):
    """What an artifact holds: its sections by name, and its content hash."""

    sections: dict[str, Any]
    hash: str


def read(path: Path, classes: Mapping[str, type], sections: Collection[str] | None = None) -> Stored:
    """The sections of an artifact, of those asked for (None: all) what it holds, and nothing of the others.

    ``classes`` are the dataclasses that it may hold. Raises UsageError: ND940 missing or empty, ND941 truncated or not
    HDF5, ND942 foreign, ND943 other schema, ND944 changed after it was written, ND945 a part is missing, ND946 unusable
    dataset, ND947 unusable content.
    """
    path = Path(path)
    digest, texts, arrays = _guarded(path, partial(_proven, sections=sections))
    return Stored({name: _decoded(path, name, text, arrays, classes) for name, text in texts.items()}, digest)


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


def _proven(path: Path, sections: Collection[str] | None) -> tuple[str, dict[str, Array], dict[str, Array]]:
    """The stated hash, texts by section and arrays by address, each with the hash under which it is known."""
    with _open(path) as file:
        try:
            held = _datasets(path, file)
            header = _header(path, file)
            asked = {n: d for n, d in header["sections"].items() if sections is None or n in sections}
            texts = {name: _text(path, held, name, digest) for name, digest in asked.items()}
            named = {address for text in texts.values() for address in ADDRESS.findall(text.tobytes())}
            return str(header["sha256"]), texts, dict(_arrays(path, held, named))
        except (OSError, RuntimeError, KeyError, ValueError) as error:
            raise _refuse("ND941", "the artifact is damaged", path, "/", str(error)) from error


def _datasets(path: Path, file: h5py.File) -> dict[str, h5py.Dataset]:
    """Every dataset by its place, once all that is known of the file says that it may be read."""
    found, size = {}, path.stat().st_size
    for place, dataset in _walk(path, file):
        _check_dataset(path, place, dataset, size)
        found[place] = dataset
    return found


def _text(path: Path, held: Mapping[str, h5py.Dataset], name: str, digest: str) -> Array:
    if (place := f"/{name}") not in held:
        raise _refuse("ND945", "a section has no text", path, place, "missing", "a dataset")
    text = np.asarray(held[place][()])
    _require(path, place, hashlib.sha256(text.tobytes()).hexdigest(), digest)
    return text


def _arrays(path: Path, held: Mapping[str, h5py.Dataset], named: set[bytes]) -> Iterator[tuple[str, Array]]:
    for address in sorted(name.decode() for name in named):
        if (place := f"/{ARRAYS}/{address}") in held:  # a text may hold other hashes
            array = np.ascontiguousarray(held[place][()]).reshape(held[place].shape)
            _require(path, place, codec.address(array), address)
            yield address, array


def _require(path: Path, place: str, found: str, stated: str) -> None:
    if found != stated:
        raise _refuse("ND944", "the artifact was changed after it was written", path, place, found, stated)


def _open(path: Path) -> h5py.File:
    wanted = "a program.h5 that 'build' wrote"
    if not path.is_file():
        fixes = _built(path) or ("neurodeploy build MODEL --out FOLDER",)
        raise UsageError(Problem("ND940", "no such artifact", str(path), "nothing", wanted, fixes))
    if path.stat().st_size == 0:
        raise _refuse("ND940", "the artifact is empty", path, "", "0 bytes", wanted)
    try:
        return h5py.File(path, "r", locking=False)
    except OSError as error:
        cause = "the artifact is truncated or not an HDF5 file"
        raise _refuse("ND941", cause, path, "", str(error)) from error


def _built(path: Path) -> tuple[str, ...]:
    """Fixes for an artifact that is not there: builds in the folder that was named, or folders named alike."""
    inside = sorted(path.parent.glob(f"*/{path.name}"))[:3]
    return tuple(f"use {found.parent}" for found in inside) or alike(path) or alike(path.parent)


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
    sections = header.get("sections")
    if not isinstance(sections, dict) or not all(isinstance(d, str) for d in sections.values()):
        raise refuse(
            "ND947", "the header lists no sections", found=str(sections)[:80], limit="hashes by name"
        )
    _require(path, "/header", whole(sections), str(header.get("sha256")))
    return header


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


def _decoded(
    path: Path, name: str, text: Array, arrays: Mapping[str, Array], classes: Mapping[str, type]
) -> Any:
    def array(address: str) -> Array:
        if address not in arrays:
            raise _refuse("ND945", "a dataset of the artifact is missing", path, f"/{ARRAYS}/{address}")
        return arrays[address]

    try:
        return codec.decode(_json(path, f"/{name}", text), array, classes)
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
