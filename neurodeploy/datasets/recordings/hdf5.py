"""HDF5 with events, as tonic and others write them: a data set of records, or a group of columns, called t, x, y and p.

They are looked for in ``data/0`` (tonic's cache on disk, which keeps the label in ``target/0``), in ``events``, in
``CD/events``, and at the root. External, soft and virtual links are not followed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ...limits import most_unpacked
from .. import _checks
from .._events import Events, made
from ._base import Recording

FORMAT = "HDF5 with t, x, y, p"
_PLACES = ("data/0", "events", "CD/events", "")
_LIMIT = "t, x, y, p in data/0, events, CD/events or at the root"


def read(path: str) -> Events:
    """All events; UsageError ND923 where none are found."""
    import h5py

    with h5py.File(path, "r") as file:
        place = next((place for place in _PLACES if _member(file, place) is not None), "")
        held = _member(file, place)
        if isinstance(held, h5py.Dataset):
            records = _content(held, path)
            names = records.dtype.names or ()
            columns: dict[str, Any] = {name: records[name] for name in names if name in "txyp"}
        else:
            found = ((name, _member(held, name)) for name in "txyp")
            columns = {name: _content(d, path) for name, d in found if isinstance(d, h5py.Dataset)}
    if len(columns) != 4:
        raise _checks.foreign(path, ", ".join(columns) or "none of these", _LIMIT)
    return made((columns[name] for name in "txyp"), path)


def label(path: str) -> int | None:
    """``target/0``, if it is one whole number."""
    import h5py

    with h5py.File(path, "r") as file:
        held = _member(file, "target/0")
        if not isinstance(held, h5py.Dataset) or held.size != 1 or held.dtype.kind not in "iu":
            return None
        return int(_content(held, path).reshape(-1)[0])


def _member(parent: Any, place: str) -> Any:
    """What lies below a group behind hard links alone, or None."""
    import h5py

    for name in filter(None, place.split("/")):
        if not isinstance(parent, h5py.Group) or not isinstance(
            parent.get(name, getlink=True), h5py.HardLink
        ):
            return None
        parent = parent.get(name)
    return parent


def _content(held: Any, path: str) -> Any:
    """The numbers of a data set that lies in the file itself, and is no larger than such a file may unpack to."""
    most = most_unpacked(Path(path).stat().st_size)
    kinds = [held.dtype[name] for name in held.dtype.names or ()] or [held.dtype]
    if (
        held.is_virtual
        or held.external
        or held.nbytes > most
        or any(kind.kind not in "iub" for kind in kinds)
    ):
        found = f"{held.nbytes} bytes of type {held.dtype} in {held.name}"
        raise _checks.foreign(path, found[:160], f"whole numbers, at most {most} bytes")
    return np.asarray(held[...])


MEMBER = Recording("hdf5", FORMAT, (".h5", ".hdf5"), read, label=label)
