"""Zip archives from strangers: what one says of itself is held against its size before anything is unpacked."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from .array import Array
from .limits import most_unpacked

#: what a damaged or foreign archive makes Python's reader raise
ERRORS = (
    zipfile.BadZipFile, OSError, EOFError, KeyError, ValueError, RuntimeError, MemoryError, OverflowError,
    zlib.error, struct.error,
)  # fmt: skip
MOST_MEMBERS = 100_000
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def opened(source: Path | bytes) -> zipfile.ZipFile:
    """An archive whose members have different names, are stored or deflated, and unpack to a bounded size together.

    Raises one of :data:`ERRORS`: ValueError for an archive that breaks a limit.
    """
    size = len(source) if isinstance(source, bytes) else source.stat().st_size
    archive = zipfile.ZipFile(io.BytesIO(source) if isinstance(source, bytes) else source)
    try:
        _check(archive.infolist(), size)
    except ValueError:
        archive.close()
        raise
    return archive


def packed(arrays: Mapping[str, Array]) -> bytes:
    """Arrays as a deflated .npz without times of writing."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, array in arrays.items():
            content = io.BytesIO()
            np.save(content, array, allow_pickle=False)
            member = zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0))
            archive.writestr(member, content.getvalue(), zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def _check(members: list[zipfile.ZipInfo], size: int) -> None:
    if len(members) > MOST_MEMBERS:
        raise ValueError(f"{len(members)} members, more than {MOST_MEMBERS}")
    if len({member.filename for member in members}) < len(members):
        raise ValueError("two members of one name")
    odd = next((m for m in members if m.compress_type not in _METHODS or m.flag_bits & 1), None)
    if odd is not None:
        raise ValueError(f"{odd.filename[:80]} is encrypted or compressed by a method that is not read")
    packed = sum(member.compress_size for member in members)
    if packed > size:  # Python's reader makes room for what it is told to read
        raise ValueError(f"{packed} bytes packed in an archive of {size}")
    unpacked = sum(member.file_size for member in members)
    if unpacked > most_unpacked(size):
        raise ValueError(f"{unpacked} bytes unpacked from {size}, more than {most_unpacked(size)}")
