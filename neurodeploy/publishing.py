"""A folder whose files are of one build: they change places together, under a lock that dies with its process.

A finished build is moved into the folder as one journal, by a single rename: from then on the folder means the new
build. Its files then take the places of the old ones, one by one. Whoever was killed on the way left the journal, and
the next one who looks into the folder goes on; before the rename nothing was changed. The folder itself stays, with its
permissions and with everything in it that is no file of a build. This needs nothing but renames that are atomic; on a
file system without locks two builds must not be published into one folder in the same moment.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from . import files, handed
from .errors import EnvironmentProblem, Problem, UsageError
from .interrupts import uninterrupted

#: what a build folder holds
FILES = ("program.h5", "build.toml", "report.html", "report.json", "layers.csv", "cores.csv", "links.csv",
         "mapping.toml", "build.log", "repro.json")  # fmt: skip
#: what it may hold
KNOWN = (*FILES, *handed.BESIDE.values())

T = TypeVar("T")

JOURNAL = ".publishing"  # in the folder: the files of the new build that are not yet in their places
NAMES = "names.json"  # in the journal: what the new build consists of; the last to go
LOCK = ".lock"  # in the folder, while somebody works on it
#: what file systems without locks answer
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}


def publish(finished: Path, folder: Path) -> tuple[str, ...]:
    """Make the files in ``finished``, a folder on the same file system, those of the build folder; returns their names.

    Of two builds that end at once the second waits for the renames of the first: the last one stays, whole. Raises
    EnvironmentProblem ND90x where the system refuses, UsageError ND902 where a folder has the name of a file.
    """
    names = tuple(sorted(p.name for p in finished.iterdir()))
    with files.typed(folder):
        if not folder.exists() and _appeared(finished, folder):
            return names
        files.write_text(finished / NAMES, json.dumps(names))
        _sync(finished)
        _require_places(folder, names)
        with locked(folder):
            os.rename(finished, folder / JOURNAL)
            _sync(folder)
            _finish(folder)
    return names


def _appeared(finished: Path, folder: Path) -> bool:
    """Whether the finished files became the folder as a whole; not if another build was faster."""
    with uninterrupted():
        try:
            os.rename(finished, folder)
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
                return False
            raise
        _sync(folder.parent)
    return True


def settle(folder: Path) -> None:
    """Before a build folder is read: go on with what somebody who was killed left unfinished, or wait for who is at it.

    EnvironmentProblem ND970 where that cannot be: then the files in the folder are of two builds.
    """
    if not os.path.lexists(folder / JOURNAL):
        return
    try:
        with locked(folder):
            return
    except OSError as error:
        raise _unfinished(folder, error.strerror or str(error)) from error


def steadily(folder: Path, read: Callable[[], T]) -> T:
    """What ``read`` makes of several files of a folder; again, if it refuses them and they changed places meanwhile."""
    while True:
        before = _changed(folder)
        try:
            return read()
        except UsageError:
            if _changed(folder) == before:
                raise


def _changed(folder: Path) -> int:
    """When a name in the folder changed last, ns; 0 where there is none."""
    try:
        return folder.stat().st_mtime_ns
    except OSError:
        return 0


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Inside, the folder is of one build, nobody else publishes into it, and no signal ends the program."""
    handle = _lock(folder / LOCK)
    try:
        with uninterrupted():
            _finish(folder)
            yield
    finally:
        (folder / LOCK).unlink(
            missing_ok=True
        )  # who waits for this one sees that it is gone, and makes another
        os.close(handle)


def _lock(path: Path) -> int:
    """A descriptor that holds the lock; it dies with the process. OSError where the file cannot be made."""
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
        try:
            with _where_there_are_locks():
                fcntl.flock(handle, fcntl.LOCK_EX)
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(handle), os.stat(path)):
                    return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)


@contextmanager
def _where_there_are_locks() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise


def _require_places(folder: Path, names: tuple[str, ...]) -> None:
    taken = [name for name in names if (folder / name).is_dir() and not (folder / name).is_symlink()]
    if taken:
        cause, fixes = "a folder has the name of a file of the build", ("choose another --out",)
        raise UsageError([Problem("ND902", cause, str(folder / name), fixes=fixes) for name in taken])


def _finish(folder: Path) -> None:
    """Put the files of the journal in their places, remove what the new build does not have, then the journal."""
    journal = folder / JOURNAL
    if not os.path.lexists(journal):
        return
    names = _names(folder, journal)
    for name in names:
        with suppress(FileNotFoundError):  # it is in its place already
            os.replace(journal / name, folder / name)
    for stale in (
        {*KNOWN} - {*names} if names else ()
    ):  # of an earlier, fuller build: it would contradict the new files
        (folder / stale).unlink(missing_ok=True)
    _sync(folder)
    (journal / NAMES).unlink(missing_ok=True)
    shutil.rmtree(journal)


def _names(folder: Path, journal: Path) -> list[str]:
    """What the build in the journal consists of; nothing where the journal is about to go."""
    if journal.is_symlink() or not journal.is_dir():
        raise _unfinished(folder, f"{JOURNAL} is no folder")
    try:
        found = json.loads((journal / NAMES).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    except (ValueError, RecursionError) as error:
        raise _unfinished(folder, f"{JOURNAL}/{NAMES} is damaged") from error
    return [name for name in KNOWN if isinstance(found, list) and name in found]


def _unfinished(folder: Path, why: str) -> EnvironmentProblem:
    cause, fixes = (
        "a build was stopped while it was put in its place",
        ("make the folder writable", "remove the folder and build again"),
    )
    return EnvironmentProblem(Problem("ND970", cause, str(folder), why, fixes=fixes))


def _sync(folder: Path) -> None:
    """Flush the names in a folder to the disk, where the file system can."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
    finally:
        os.close(handle)
