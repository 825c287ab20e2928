"""Files that are whole or absent: written under a temporary name, flushed to the disk, then renamed."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import EnvironmentProblem, Problem, nearest

_FREE = "free some space, or write elsewhere with --out"
_PERMIT = "check the permissions, or write elsewhere with --out"
#: errno -> (code, cause, fix); anything else is ND903
_CAUSES = {
    errno.ENOSPC: ("ND901", "no space is left on the device", _FREE),
    errno.EDQUOT: ("ND901", "the disk quota is used up", _FREE),
    **dict.fromkeys((errno.EACCES, errno.EPERM), ("ND902", "the file may not be opened", _PERMIT)),
    errno.EROFS: ("ND902", "the file system is read-only", "write elsewhere with --out"),
}


def io_problem(error: OSError, path: Path | str = "") -> EnvironmentProblem:
    """The typed error for what the operating system said about a file."""
    code, cause, fix = _CAUSES.get(error.errno or 0, ("ND903", "a file operation failed", ""))
    where = str(path or error.filename or "")
    text = error.strerror or str(error) or type(error).__name__
    return EnvironmentProblem(Problem(code, cause, where, found=text, fixes=(fix,) if fix else ()))


@contextmanager
def typed(path: Path | str = "") -> Iterator[None]:
    """Inside, an OSError becomes an EnvironmentProblem that names the file."""
    try:
        yield
    except OSError as error:
        raise io_problem(error, path) from error


def alike(path: Path) -> tuple[str, ...]:
    """Fixes for a path that is not there: what lies in its folder under a name that looks like it."""
    try:
        near = nearest(path.name, (one.name for one in path.parent.iterdir()), 0.7)
    except OSError:
        return ()
    return tuple(f"use {path.parent / name}" for name in near)


def digest(path: Path) -> str:
    """SHA-256 of a file, read piece by piece; EnvironmentProblem where it cannot be read."""
    found = hashlib.sha256()
    with typed(path), path.open("rb") as file:
        while piece := file.read(1 << 20):
            found.update(piece)
    return found.hexdigest()


def cache_folder() -> Path:
    """Where the package keeps what is safe to delete: ``neurodeploy`` in $XDG_CACHE_HOME, or in ``~/.cache``."""
    base = os.environ.get("XDG_CACHE_HOME") or ""
    root = Path(base) if os.path.isabs(base) else Path.home() / ".cache"
    return root / "neurodeploy"


def write_bytes(path: Path, data: bytes | memoryview) -> None:
    """Put ``data`` at ``path`` atomically: what lay there before stays until the new content is on the disk.

    A symbolic link stays and its target is replaced; a device or pipe is written to, never replaced.
    """
    path = Path(os.path.realpath(path))
    if path.exists() and not path.is_file() and not path.is_dir():
        with typed(path):
            path.write_bytes(data)
        return
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with typed(path):
        try:
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:  # an interruption as well: nothing half-written stays behind
            temporary.unlink(missing_ok=True)
            raise


def write_text(path: Path, text: str) -> None:
    """:func:`write_bytes` for UTF-8 text; what a name that is not UTF-8 left in it is escaped."""
    write_bytes(path, text.encode("utf-8", "backslashreplace"))
