"""``.npz`` with one-dimensional arrays t, x, y and p, as SpikingJelly writes them; other arrays are not looked at."""

from __future__ import annotations

from pathlib import Path

from ...archives import opened
from .. import _checks
from .._archives import array, typed
from .._events import Events, made
from ._base import Recording

FORMAT = ".npz with arrays t, x, y, p"


def read(path: str) -> Events:
    """All events; UsageError ND922, ND923, ND924 for another archive."""
    with typed(Path(path)), opened(Path(path)) as archive:
        held = archive.namelist()
        missing = [name for name in "txyp" if f"{name}.npy" not in held]
        if missing:
            fix = "give the folder of events (of SpikingJelly: events_np), not that of frames"
            found = ", ".join(sorted(held))[:120] or "nothing"
            raise _checks.foreign(path, found, "arrays t, x, y, p", fix)
        columns = [array(archive, f"{name}.npy") for name in "txyp"]
    return made(columns, path)


MEMBER = Recording("npz", FORMAT, (".npz",), read)
