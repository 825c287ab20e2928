"""Where a build is made before it is published: a folder beside that of the build, removed whatever happens."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .. import files
from ..errors import Problem, UsageError
from ..interrupts import terminable, uninterrupted


@contextmanager
def scratch(folder: Path) -> Iterator[Path]:
    """A folder beside the build folder, removed on every way out, signals that end the program included."""
    if folder.exists() and not folder.is_dir():
        cause, fixes = "the output folder is a file", ("choose another --out",)
        raise UsageError(Problem("ND902", cause, str(folder), fixes=fixes))
    partial = folder.parent / f".{folder.name}.partial-{os.getpid()}-{secrets.token_hex(3)}"
    made = [parent for parent in folder.parents if not parent.exists()]  # deepest first
    with terminable():
        try:
            with files.typed(folder):
                folder.parent.mkdir(parents=True, exist_ok=True)
                _remove_abandoned(folder)
                partial.mkdir()
            yield partial
        finally:
            with uninterrupted():
                shutil.rmtree(partial, ignore_errors=True)
                for parent in made:  # what is empty again goes as well
                    with suppress(OSError):
                        parent.rmdir()


def _remove_abandoned(folder: Path) -> None:
    """Scratch folders of builds that were killed."""
    for left in folder.parent.glob(f".{folder.name}.partial-*"):
        pid = left.name.rpartition(".partial-")[2].partition("-")[0]
        if pid.isdigit() and not _alive(int(pid)):
            shutil.rmtree(left, ignore_errors=True)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError as error:
        return not isinstance(error, ProcessLookupError)
    return True
