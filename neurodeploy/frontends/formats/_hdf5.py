"""HDF5 from strangers: a file is walked and checked before anything is read, then held as plain arrays.

What is refused: links that are not hard, groups that contain themselves, data outside the file or computed on access,
filters that load code, types other than numbers and short text, and sizes that the file cannot hold. Attributes are
never read. All problems are collected; what could be read is there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ...errors import ImportModelError, Problem
from ...files import io_problem

MAX_BYTES = 4 << 30  # of all datasets together
MAX_OBJECTS = 100_000
MAX_DEPTH = 12
MAX_TEXT = 256  # characters of one text
MAX_TEXTS = 200_000  # texts of one dataset
TEXT_BYTES = 1 << 28  # what texts that are read together may take, were each as long as the file
MAX_PROBLEMS = 200
#: what one byte of a compressed dataset may unpack to; deflate's own limit is 1032
MAX_EXPANSION = 1032
#: filters that HDF5 and h5py bring themselves; others would be loaded from shared libraries
FILTERS = {
    h5py.h5z.FILTER_DEFLATE,
    h5py.h5z.FILTER_SHUFFLE,
    h5py.h5z.FILTER_FLETCHER32,
    h5py.h5z.FILTER_LZF,
}
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


@dataclass
class Tree:
    """A file in memory: ``arrays``, ``texts`` and lists of texts by path without leading slash, all groups, problems.

    ``lists`` are object arrays of str, of the shape that the dataset has. ``refused`` holds paths that are in the
    file and were not read.
    """

    path: Path
    groups: set[str] = field(default_factory=set)
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    lists: dict[str, np.ndarray] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)
    problems: list[Problem] = field(default_factory=list)

    def __contains__(self, place: str) -> bool:
        """Whether something stands at this path, read or refused."""
        return any(place in table for table in (self.arrays, self.texts, self.lists, self.groups, self.refused))

    def children(self, place: str) -> list[str]:
        """Names directly inside a group, sorted."""
        prefix = f"{place}/" if place else ""
        paths = (*self.arrays, *self.texts, *self.lists, *self.groups, *self.refused)
        return sorted({p[len(prefix) :].split("/")[0] for p in paths if p.startswith(prefix) and p != place})

    def problem(
        self, code: str, cause: str, place: str, found: Any = "", limit: Any = "", *fixes: str
    ) -> None:
        """Note a problem at a place of the file."""
        where = f"{self.path.name} /{place}"
        self.problems.append(Problem(code, cause, where, str(found)[:200], str(limit)[:200], fixes))

    def check(self) -> None:
        """Raise ImportModelError with everything found so far, if anything was."""
        if self.problems:
            raise ImportModelError(self.problems[:MAX_PROBLEMS])


def read_tree(path: Path) -> Tree:
    """Everything in the file; problems of single datasets are noted in the tree, not raised.

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
        reason, declared = _unreadable(dataset, file_bytes, budget)
        if not reason:
            if dataset.ndim and dataset.size != 1 and _is_text(dataset):
                tree.lists[place] = _texts(dataset, file_bytes)
                return declared
            value = dataset[()]
            if _is_text(dataset):
                tree.texts[place] = _decoded(value)
            else:
                tree.arrays[place] = np.asarray(value)
            return declared
        tree.problem("ND123", "a dataset that is not read", place, reason)
    except H5_ERRORS as error:
        tree.problem("ND121", "a damaged dataset", place, _text(error), "", "copy the file again")
    tree.refused.add(place)
    return 0


def _unreadable(dataset: h5py.Dataset, file_bytes: int, budget: int) -> tuple[str, int]:
    """Why a dataset is not read (empty: it is), and the bytes it takes in memory."""
    if dataset.shape is None:
        return "no data space", 0
    shape, kind = tuple(int(s) for s in dataset.shape), dataset.dtype
    count = 1
    for side in shape:
        count *= side
    is_text = _is_text(dataset)
    if not is_text and (kind.kind not in "iufb" or kind.itemsize > 8 or kind.subdtype):
        return f"type {str(kind)[:60]}, not a number or a text", 0
    if is_text and (count > MAX_TEXTS or (kind.kind == "S" and kind.itemsize > 4 * MAX_TEXT)):
        return f"{count} texts of {kind.itemsize} bytes; short texts are read", 0
    if dataset.is_virtual or dataset.external:
        return "data that lies in other files", 0
    declared, stored = count * kind.itemsize, int(dataset.id.get_storage_size())
    if declared > budget or stored > file_bytes:
        return f"{declared} bytes declared in a file of {file_bytes}", 0
    if dataset.chunks is None:
        if is_text and kind.kind != "S":  # a reference to the text, which is stored elsewhere in the file
            return "", declared
        if declared != stored:
            return f"{declared} bytes declared, {stored} stored", 0
        return "", declared
    plist = dataset.id.get_create_plist()
    filters = {plist.get_filter(i)[0] for i in range(plist.get_nfilters())}
    if not filters <= FILTERS:
        return "a filter that HDF5 does not bring itself", 0
    chunk = int(np.prod([int(s) for s in dataset.chunks], dtype=object)) * kind.itemsize
    if max(declared, chunk) > max(stored, 1) * MAX_EXPANSION:
        return f"{max(declared, chunk)} bytes declared, {stored} stored", 0
    return "", declared


def _is_text(dataset: h5py.Dataset) -> bool:
    return h5py.check_string_dtype(dataset.dtype) is not None or dataset.dtype.kind == "S"


def _texts(dataset: h5py.Dataset, file_bytes: int) -> np.ndarray:
    """All texts of a dataset, some rows at a time: many entries may point to the same long text of the file."""
    found = np.full(dataset.shape, "", dtype=object)
    rows = max(1, TEXT_BYTES // (file_bytes * max(1, found[:1].size)))
    for start in range(0, len(found), rows):
        block = np.asarray(dataset[start : start + rows], dtype=object)
        found[start : start + rows].flat = [_decoded(item) for item in block.ravel()]
    return found


def _decoded(value: Any) -> str:
    """One text of a scalar or one-element dataset, without trailing zeros."""
    item = np.asarray(value, dtype=object).ravel()[0]
    text = item.decode("utf-8", "replace") if isinstance(item, bytes) else str(item)
    return text.rstrip("\0")[:MAX_TEXT]


def _text(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error)[:150]}"
