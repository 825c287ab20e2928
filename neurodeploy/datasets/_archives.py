"""Arrays in numpy archives of strangers: what headers declare is held against what is stored before it is read."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..npy import declared
from . import _checks

_NPY: Any = np.lib.format  # untyped


def header(archive: zipfile.ZipFile, member: str) -> tuple[int, ...]:
    """The shape of an array in the archive, which has as many bytes as it declares; ValueError for any other."""
    with archive.open(member) as file:
        dtype, shape, size = declared(file)
        held = archive.getinfo(member).file_size - file.tell()
    if dtype.hasobject or size != held:
        raise ValueError(f"{shape} of {dtype} declared in {member}, {held} bytes stored")
    return shape


def array(archive: zipfile.ZipFile, member: str) -> NDArray[np.generic]:
    """An array of the archive, never unpickled."""
    header(archive, member)
    with archive.open(member) as file:
        found: NDArray[np.generic] = _NPY.read_array(file, allow_pickle=False)
    return found


@contextmanager
def typed(path: Path) -> Iterator[None]:
    """Whatever a damaged or foreign archive provokes, as UsageError."""
    try:
        yield
    except zipfile.BadZipFile as error:
        if not _checks.begins(path, b"PK"):
            raise _checks.foreign(str(path), "no zip signature", "a numpy .npz archive") from error
        raise _checks.truncated(str(path), str(error)) from error
    except ValueError as error:
        # numpy's answer to object arrays (which would need unpickling) and to damaged headers.
        limit = "plain numeric arrays: nothing is unpickled"
        fix = "save the arrays as uint8 pixels and integers"
        raise _checks.foreign(str(path), str(error), limit, fix) from error
    except (OSError, EOFError, KeyError, MemoryError, RuntimeError, zlib.error) as error:
        raise _checks.truncated(str(path), str(error)) from error
