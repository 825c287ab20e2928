"""HDF5 from strangers: a file is walked and checked before anything is read, then held as plain arrays.

What is refused: links that are not hard, groups that contain themselves, data outside the file or computed on access,
filters that load code, types other than numbers and short text, and sizes that the file cannot hold. Attributes are
never read. All problems are collected; what could be read is there.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from pathlib import Path

import h5py
import numpy as np

from ... import guarded
from ...array import Array
from ...files import io_problem
from ...limits import most_unpacked
from . import stored
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
    OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError, OverflowError, MemoryError,
)  # fmt: skip

TRIAL_SECONDS = 20.0
TRIAL_RATE = 10e6  # bytes per second, at least


def read_tree(path: Path, trial: bool = True) -> Tree:
    """Everything in the file; problems of single datasets are noted in the tree, not raised.

    A damaged file can hang or crash the HDF5 library itself, so a copy of this process reads it (``trial``).
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
    if not trial:
        return _filled(tree, size)
    seconds, memory = TRIAL_SECONDS + size / TRIAL_RATE, guarded.MEMORY // 2 + most_unpacked(size)
    try:
        found = guarded.call(lambda: _filled(tree, size).plain(), seconds=seconds, memory=memory)
    except guarded.Stopped as error:
        cause = "the file is so damaged that it cannot be read"
        tree.problem("ND121", cause, "", str(error), "", "copy it again")
        tree.check()
    return Tree.of(tree.path, found)


def _filled(tree: Tree, size: int) -> Tree:
    """The tree with what is in its file of ``size`` bytes."""
    try:
        file = h5py.File(tree.path, "r", locking=False)
    except H5_ERRORS as error:
        tree.problem("ND121", "the file is truncated or not HDF5", "", _text(error), "", "copy it again")
        tree.check()
    with file:
        try:
            budget = min(most_unpacked(size), MAX_BYTES)
            for place, dataset in _walk(tree, file):
                budget -= _read(tree, place, dataset, size, budget)
        except H5_ERRORS as error:
            tree.problem("ND121", "the file is damaged", "", _text(error), "", "copy it again")
    return tree


def _walk(tree: Tree, file: h5py.File) -> Iterator[tuple[str, h5py.Dataset]]:
    """Every dataset with its path; notes what is neither a dataset nor a group reached by one hard link."""
    stack: list[tuple[str, h5py.Group, int]] = [("", file, 0)]
    seen, count = {_address(file)}, 0
    while stack:
        prefix, group, depth = stack.pop()
        for name in group:
            place = f"{prefix}/{name}" if prefix else str(name)
            count += 1
            if count > MAX_OBJECTS or len(tree.problems) > MAX_PROBLEMS:
                tree.problem("ND123", "too many parts", place, f"more than {min(count, MAX_OBJECTS)}")
                return
            item = _item(tree, group, name, place)
            if isinstance(item, h5py.Dataset):
                yield place, item
            elif item is not None and (address := _address(item)) in seen:
                tree.refuse("ND123", "a group that is reached twice, or in a circle", place)
            elif item is not None and depth >= MAX_DEPTH:
                tree.refuse("ND123", "groups that are nested too deeply", place, f"more than {MAX_DEPTH}")
            elif item is not None:
                seen.add(address)
                tree.groups.add(place)
                stack.append((place, item, depth + 1))


def _item(tree: Tree, group: h5py.Group, name: str | bytes, place: str) -> h5py.Group | h5py.Dataset | None:
    """A group or dataset that lies in the file itself under a name that is text; None, and the problem noted, else."""
    if not isinstance(name, str) or not name.isprintable():  # h5py gives bytes for what is not UTF-8
        tree.problem(
            "ND123", "a name that is not text", ascii(place)[1:-1], "", "printable characters in UTF-8"
        )
        return None
    link = group.get(name, getlink=True)
    if not isinstance(link, h5py.HardLink):
        kind = "external" if isinstance(link, h5py.ExternalLink) else "soft"
        tree.refuse("ND123", "a link in place of the data itself", place, f"{kind} link", "data")
        return None
    try:
        item = group[name]
    except H5_ERRORS as error:
        tree.refuse("ND121", "a damaged part of the file", place, _text(error))
        return None
    if not isinstance(item, (h5py.Group, h5py.Dataset)):
        tree.refuse("ND123", "neither a group nor a dataset", place, type(item).__name__)
        return None
    return item


def _address(group: h5py.Group) -> int:
    return int(h5py.h5o.get_info(group.id).addr)


def _read(tree: Tree, place: str, dataset: h5py.Dataset, file_bytes: int, budget: int) -> int:
    """Read one dataset into the tree if it may be read; the bytes it took."""
    try:
        reason = _odd(dataset) or _odd_size(dataset, file_bytes, budget)
        if reason:
            tree.refuse("ND123", "a dataset that is not read", place, reason)
            return 0
        if _is_text(dataset):
            found = _texts(tree.path, dataset)
            if found.size == 1:
                tree.texts[place] = str(found.flat[0])
            else:
                tree.lists[place] = found
        else:
            chunked = dataset.chunks is not None
            tree.arrays[place] = stored.chunks(tree.path, dataset) if chunked else np.asarray(dataset[()])
        return _declared(dataset)
    except H5_ERRORS as error:
        tree.refuse("ND121", "a damaged dataset", place, _text(error), "", "copy the file again")
    return 0


def _is_text(dataset: h5py.Dataset) -> bool:
    return h5py.check_string_dtype(dataset.dtype) is not None or dataset.dtype.kind == "S"


def _declared(dataset: h5py.Dataset) -> int:
    """Bytes in memory."""
    return prod(map(int, dataset.shape)) * int(dataset.dtype.itemsize)


def _odd(dataset: h5py.Dataset) -> str:
    """Why the type is not read; empty if it is."""
    if dataset.shape is None:
        return "no data space"
    kind, count = dataset.dtype, prod(map(int, dataset.shape))
    if not _is_text(dataset):
        if kind.kind not in "iufb" or kind.itemsize > 8 or kind.subdtype:
            return f"type {str(kind)[:60]}, not a number or a text"
    elif count > MAX_TEXTS or (kind.kind == "S" and kind.itemsize > 4 * MAX_TEXT):
        return f"{count} texts of {kind.itemsize} bytes; short texts are read"
    return "data that lies in other files" if dataset.is_virtual or dataset.external else ""


def _odd_size(dataset: h5py.Dataset, file_bytes: int, budget: int) -> str:
    """Why what is stored is not what is declared, or is packed in a way that is not read; empty if neither."""
    declared, held = _declared(dataset), int(dataset.id.get_storage_size())
    if declared > budget or held > file_bytes:
        return f"{declared} bytes declared in a file of {file_bytes}"
    if dataset.chunks is None:
        # a text of variable length is a reference: it is stored elsewhere in the file
        referred = _is_text(dataset) and dataset.dtype.kind != "S"
        return "" if referred or declared == held else f"{declared} bytes declared, {held} stored"
    plist = dataset.id.get_create_plist()
    if not {plist.get_filter(i)[0] for i in range(plist.get_nfilters())} <= stored.FILTERS:
        return "a filter other than deflate and shuffle"
    largest = max(declared, prod(map(int, dataset.chunks)) * int(dataset.dtype.itemsize))
    return f"{largest} bytes declared, {held} stored" if largest > max(held, 1) * MAX_EXPANSION else ""


def _texts(path: Path, dataset: h5py.Dataset) -> Array:
    """All texts of a dataset, decoded, without trailing zeros and cut."""
    fixed = dataset.dtype.kind == "S"
    raw = np.asarray(dataset[()], dtype=object) if fixed else stored.texts(path, dataset, 4 * MAX_TEXT)
    found = np.full(raw.size, "", dtype=object)
    for place, item in enumerate(raw.ravel()):
        text = item.decode("utf-8", "replace") if isinstance(item, bytes) else str(item)
        found[place] = text.rstrip("\0")[:MAX_TEXT]
    return found.reshape(raw.shape)


def _text(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error)[:150]}"
