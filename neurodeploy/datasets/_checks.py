"""The complaints that several formats share: each makes a typed error with a place, a number and a fix."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import Problem, UsageError
from ..files import alike

#: No file may unpack to more than this: a few kilobytes can claim terabytes.
MAX_BYTES = 8 << 30


def refuse(code: str, cause: str, where: str, found: str = "", limit: str = "", *fixes: str) -> UsageError:
    """The error to raise for one problem of a data file."""
    return UsageError([Problem(code, cause, where=where, found=found, limit=limit, fixes=fixes)])


def truncated(where: str, found: str, limit: str = "") -> UsageError:
    """The file ends early or its parts contradict each other."""
    fix = "copy or download it again"
    return refuse("ND922", "the data file is truncated or damaged", where, found, limit, fix)


def foreign(where: str, found: str, limit: str, *fixes: str) -> UsageError:
    """The file is readable but holds something else."""
    cause = "the data file has a layout that this loader does not read"
    return refuse("ND923", cause, where, found, limit, *fixes)


def require_content(path: Path) -> None:
    """Refuse a path that is not there or a file that is empty."""
    if not path.exists():
        fixes = alike(path) or ("check the path or --data",)
        raise refuse("ND920", "no such data file or folder", str(path), "nothing", "", *fixes)
    if path.is_file() and path.stat().st_size == 0:
        raise refuse("ND921", "the data file is empty", str(path), "0 bytes", "at least one image")


def require_text(name: str, where: str) -> None:
    """Refuse a name of a file or of a part of one that cannot be shown or stored as text."""
    if not name.isprintable():
        cause, limit = "a name is not text", "printable characters in UTF-8"
        raise refuse("ND923", cause, where, ascii(name)[1:-1][:120], limit, "rename it")


def begins(path: Path, signature: bytes) -> bool:
    """Whether it is a file that begins with these bytes."""
    if not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            return file.read(len(signature)) == signature
    except OSError:
        return False


def checked_labels(labels: NDArray[Any], classes: int, where: str) -> NDArray[np.int64]:
    """Labels as int64 (N,), after refusing none at all, another shape or type, and any outside 0 .. classes-1."""
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        found = f"{labels.dtype} of shape {labels.shape}"
        fix = "y.argmax(axis=1)" if labels.ndim == 2 else "y.astype(int)" if labels.dtype.kind == "f" else ""
        cause, limit = "labels are not one integer per image", "integers of shape (N,)"
        raise refuse("ND925", cause, where, found, limit, *filter(None, (fix,)))
    if not len(labels):
        raise refuse("ND921", "the split holds no image", where, "0 labels", "at least one image")
    wrong = np.flatnonzero((labels < 0) | (labels >= classes))
    if len(wrong):
        found = f"label {labels[wrong[0]]} at position {wrong[0]}, {len(wrong)} in all"
        cause = "a label is outside the classes of the data set"
        limit = f"0 .. {classes - 1}" if classes < np.iinfo(np.int32).max else "0, 1, 2, ..."
        raise refuse("ND925", cause, where, found, limit)
    return labels.astype(np.int64)


def same_count(images: int, labels: int, where: str) -> None:
    """Refuse a split with more or fewer labels than images."""
    if images != labels:
        found, limit = f"{labels} labels", f"{images} images"
        raise refuse("ND925", "images and labels do not pair up", where, found, limit)


def parsed_shape(value: NDArray[np.generic], where: str) -> tuple[int, int, int]:
    """(H, W, C) from a file's attribute, after refusing what cannot be an image."""
    sizes = [int(v) for v in value.ravel()] if value.dtype.kind in "iu" else []
    if len(sizes) != 3 or min(sizes) < 1 or sizes[2] not in (1, 3) or max(sizes) > 4096:
        limit = "(height, width, channels) with 1 or 3 channels and sides up to 4096"
        raise refuse("ND924", "images do not have a usable shape", where, str(value.tolist()), limit)
    return sizes[0], sizes[1], sizes[2]
