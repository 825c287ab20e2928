"""CIFAR-10 folders as distributed by its authors: the binary version is read, the pickled one refused.

A record of the binary version is one label byte and 3072 pixel bytes (red, green, blue planes, rows first).
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from . import _checks
from ._base import DataFormat
from ._types import DataSet, Facts, Split, array_split

FORMAT = "a folder cifar-10-batches-bin (data_batch_1.bin .. data_batch_5.bin, test_batch.bin)"

_SHAPE = (3, 32, 32)
_RECORD = 1 + 3 * 32 * 32
_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
#: folder of a version, and how its files end
_BINARY, _PICKLED = ("cifar-10-batches-bin", ".bin"), ("cifar-10-batches-py", "")


def _folder(spec: str, name: str, suffix: str) -> Path | None:
    """The folder itself or the one of that name inside it, if it holds a batch."""
    folders, batches = (Path(spec), Path(spec) / name), ("data_batch_1", "test_batch")
    files = (folder / f"{batch}{suffix}" for batch in batches for folder in folders)
    return next((file.parent for file in files if file.is_file()), None)


def accepts(spec: str) -> bool:
    """A folder with either version: the pickled one is accepted in order to be refused with advice."""
    return _folder(spec, *_BINARY) is not None or _folder(spec, *_PICKLED) is not None


def facts(spec: str) -> Facts:
    """The same for every folder of this format; ND928 for the pickled version."""
    _readable(spec)
    return Facts(_SHAPE, 255, spec)


def load(spec: str) -> DataSet:
    """All training batches that are there, in order, and the test batch.

    Raises UsageError: ND928 for the pickled version, ND920 for a missing batch, ND921, ND922 and ND925 for empty
    or truncated ones and labels above 9.
    """
    folder = _readable(spec)
    digest = hashlib.sha256()
    batches = sorted(folder.glob("data_batch_*.bin"))
    train = _split(batches or [folder / "data_batch_1.bin"], digest)
    test = _split([folder / "test_batch.bin"], digest)
    return DataSet("cifar10", train, test, _CLASSES, _SHAPE, 255, digest.hexdigest(), spec)


def _readable(spec: str) -> Path:
    folder = _folder(spec, *_BINARY)
    if folder is None:
        where, limit = str(_folder(spec, *_PICKLED)), f"the binary version, folder {_BINARY[0]}"
        fix = "download CIFAR-10's binary version and give its folder"
        raise _checks.refuse("ND928", "a pickle is never executed", where, _PICKLED[0], limit, fix)
    return folder


def _split(paths: list[Path], digest: hashlib._Hash) -> Split:
    records = np.concatenate([_records(path) for path in paths])
    digest.update(records.tobytes())
    return array_split(records[:, 1:].reshape(-1, *_SHAPE), records[:, 0])


def _records(path: Path) -> NDArray[np.uint8]:
    _checks.require_content(path)
    try:
        raw = np.fromfile(path, np.uint8)
    except OSError as error:
        raise _checks.truncated(str(path), str(error)) from error
    if len(raw) % _RECORD:
        raise _checks.truncated(str(path), f"{len(raw)} bytes", f"a multiple of {_RECORD} bytes")
    records = raw.reshape(-1, _RECORD)
    _checks.checked_labels(records[:, 0], len(_CLASSES), str(path))
    return records


MEMBER = DataFormat("cifar_binary", FORMAT, accepts, load, facts)
