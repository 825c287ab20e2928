"""HDF5 from strangers: a file is walked and checked before anything is read, then held as plain arrays.

What is refused: links that are not hard, groups that contain themselves, data outside the file or computed on access,
filters that load code, types other than numbers and short text, and sizes that the file cannot hold. Attributes are
never read. All problems are collected; what could be read is there.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, NoReturn

import h5py
import numpy as np

from ...array import Array
from ...files import io_problem
from . import chunks, texts
from .tree import MAX_PROBLEMS, Tree

MAX_BYTES = 4 << 30  # of all datasets together
MAX_OBJECTS = 100_000
MAX_DEPTH = 12
MAX_TEXT = 256  # characters of one text
MAX_TEXTS = 200_000  # texts of one dataset
#: what one byte of a compressed dataset may unpack to; deflate's own limit is 1032
MAX_EXPANSION = 1032
#: what a damaged file makes h5py raise
H5_ERRORS = (
    OSError,
    RuntimeError,
    KeyError,
    ValueError,
    TypeError,
    AttributeError,
    OverflowError,
    MemoryError,
)


TRIAL_SECONDS = 10.0
TRIAL_RATE = 10e6  # bytes per second, at least


def read_tree(path: Path, trial: bool = True) -> Tree:
    """Everything in the file; problems of single datasets are noted in the tree, not raised.

    A damaged file can hang or crash the HDF5 library itself, so a copy of this process reads it first (``trial``).
    Raises ImportModelError ND121 for what is not HDF5, EnvironmentProblem ND90x if it cannot be opened.
    """
    tree = Tree(Path(path))
    try:
        with open(path, "rb") as stream:
            size = stream.seek(0, 2)
    except OSError as error:
        raise io_problem(error, path) from error
    if size == 0:
        tree.problem("ND121", "the file is empty", "", "0 bytes")
        tree.check()
    if trial and (reason := _fails(Path(path), size)):
        tree.problem(
            "ND121", "the file is so damaged that it cannot be read", "", reason, "", "copy it again"
        )
        tree.check()
    try:
        file = h5py.File(path, "r", locking=False)
    except H5_ERRORS as error:
        tree.problem("ND121", "the file is truncated or not HDF5", "", _text(error), "", "copy it again")
        tree.check()
    with file:
        try:
            budget = min(size * MAX_EXPANSION, MAX_BYTES)
            for place, dataset in _walk(tree, file):
                budget -= _read(tree, place, dataset, size, budget)
        except H5_ERRORS as error:
            tree.problem("ND121", "the file is damaged", "", _text(error), "", "copy it again")
    return tree


def _fails(path: Path, size: int) -> str:
    """Why a copy of this process did not get to the end of the file; empty if it did, whatever it thought of it.

    Where the system has no fork, the file is read without a trial.
    """
    if not hasattr(os, "fork"):
        return ""
    limit = TRIAL_SECONDS + size / TRIAL_RATE
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # Python warns of forks beside threads; the copy uses h5py alone, which is ready
        child = os.fork()
    if child == 0:
        _try(path, limit)
    end = time.monotonic() + limit
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return f"HDF5 stops with signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else ""
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return f"HDF5 does not come to an end in {limit:.0f} s"


def _try(path: Path, limit: float) -> NoReturn:
    """The copy's part: read and vanish, without any of the clean-up that belongs to the original."""
    try:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(int(limit) + 2)  # an original that was killed cannot stop its copy
        faulthandler.disable()  # a crash is an answer, not news
        read_tree(path, trial=False)
    finally:
        os._exit(0)


def _walk(tree: Tree, file: h5py.File) -> Iterator[tuple[str, h5py.Dataset]]:
    """Every dataset with its path; notes what is neither a dataset nor a group reached by hard links alone."""
    stack: list[tuple[str, h5py.Group, tuple[int, ...]]] = [("", file, (_address(file),))]
    count = 0
    while stack:
        prefix, group, above = stack.pop()
        for name in group:
            place = f"{prefix}/{name}" if prefix else str(name)
            count += 1
            if count > MAX_OBJECTS or len(tree.problems) > MAX_PROBLEMS:
                tree.problem("ND123", "too many parts", place, f"more than {min(count, MAX_OBJECTS)}")
                return
            link = group.get(name, getlink=True)
            if not isinstance(link, h5py.HardLink):
                tree.refused.add(place)
                kind = "external" if isinstance(link, h5py.ExternalLink) else "soft"
                tree.problem("ND123", "a link in place of the data itself", place, f"{kind} link", "data")
                continue
            try:
                item = group[name]
                if isinstance(item, h5py.Group):
                    address = _address(item)
                    if address in above or len(above) > MAX_DEPTH:
                        tree.refused.add(place)
                        tree.problem("ND123", "groups that are nested too deeply, or in a circle", place)
                        continue
                    tree.groups.add(place)
                    stack.append((place, item, (*above, address)))
                    continue
            except H5_ERRORS as error:
                tree.refused.add(place)
                tree.problem("ND121", "a damaged part of the file", place, _text(error))
                continue
            if isinstance(item, h5py.Dataset):
                yield place, item
            else:
                tree.refused.add(place)
                tree.problem("ND123", "neither a group nor a dataset", place, type(item).__name__)


def _address(group: h5py.Group) -> int:
    return int(h5py.h5o.get_info(group.id).addr)


def _read(tree: Tree, place: str, dataset: h5py.Dataset, file_bytes: int, budget: int) -> int:
    """Read one dataset into the tree if it may be read; the bytes it took."""
    try:
        if dataset.shape is None:
            reason, stated = "no data space", None
        else:
            stated = _Stated.of(dataset)
            reason = stated.odd() or stated.too_large(file_bytes, budget) or _odd_chunks(dataset, stated)
        if stated is not None and not reason:
            if stated.is_text:
                tree.put_texts(place, _texts(tree.path, dataset))
            else:
                chunked = dataset.chunks is not None
                tree.arrays[place] = chunks.read(tree.path, dataset) if chunked else np.asarray(dataset[()])
            return stated.declared
        tree.problem("ND123", "a dataset that is not read", place, reason)
    except H5_ERRORS as error:
        tree.problem("ND121", "a damaged dataset", place, _text(error), "", "copy the file again")
    tree.refused.add(place)
    return 0


@dataclass(frozen=True)
class _Stated:
    """What a file says of a dataset, before any of it is read; ``stored`` are bytes in the file."""

    dtype: np.dtype[Any]
    count: int
    is_text: bool
    stored: int
    elsewhere: bool

    @classmethod
    def of(cls, dataset: h5py.Dataset) -> _Stated:
        """Of a dataset."""
        is_text = h5py.check_string_dtype(dataset.dtype) is not None or dataset.dtype.kind == "S"
        elsewhere = bool(dataset.is_virtual or dataset.external)
        count = prod(int(side) for side in dataset.shape)
        return cls(dataset.dtype, count, is_text, int(dataset.id.get_storage_size()), elsewhere)

    @property
    def declared(self) -> int:
        """Bytes in memory."""
        return self.count * self.dtype.itemsize

    def odd(self) -> str:
        """Why the type is not read; empty if it is."""
        kind = self.dtype
        if not self.is_text and (kind.kind not in "iufb" or kind.itemsize > 8 or kind.subdtype):
            return f"type {str(kind)[:60]}, not a number or a text"
        if self.is_text and (self.count > MAX_TEXTS or (kind.kind == "S" and kind.itemsize > 4 * MAX_TEXT)):
            return f"{self.count} texts of {kind.itemsize} bytes; short texts are read"
        return "data that lies in other files" if self.elsewhere else ""

    def too_large(self, file_bytes: int, budget: int) -> str:
        """Why a file of this size cannot hold it; empty if it can."""
        if self.declared > budget or self.stored > file_bytes:
            return f"{self.declared} bytes declared in a file of {file_bytes}"
        return ""


def _odd_chunks(dataset: h5py.Dataset, stated: _Stated) -> str:
    """Why what is stored is not what is declared, or is packed in a way that is not read."""
    if dataset.chunks is None:
        # a text of variable length is a reference: it is stored elsewhere in the file
        referred = stated.is_text and stated.dtype.kind != "S"
        if referred or stated.declared == stated.stored:
            return ""
        return f"{stated.declared} bytes declared, {stated.stored} stored"
    plist = dataset.id.get_create_plist()
    filters = {plist.get_filter(i)[0] for i in range(plist.get_nfilters())}
    if not filters <= chunks.FILTERS:
        return "a filter other than deflate and shuffle"
    largest = max(stated.declared, prod(int(side) for side in dataset.chunks) * stated.dtype.itemsize)
    if largest > max(stated.stored, 1) * MAX_EXPANSION:
        return f"{largest} bytes declared, {stated.stored} stored"
    return ""


def _texts(path: Path, dataset: h5py.Dataset) -> Array:
    """All texts of a dataset, decoded and cut."""
    fixed = dataset.dtype.kind == "S"
    raw = np.asarray(dataset[()], dtype=object) if fixed else texts.read(path, dataset, 4 * MAX_TEXT)
    found = np.full(raw.size, "", dtype=object)
    for place, item in enumerate(raw.ravel()):
        found[place] = _decoded(item)
    return found.reshape(raw.shape)


def _decoded(item: Any) -> str:
    """A text without trailing zeros."""
    text = item.decode("utf-8", "replace") if isinstance(item, bytes) else str(item)
    return text.rstrip("\0")[:MAX_TEXT]


def _text(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error)[:150]}"
