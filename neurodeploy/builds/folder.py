"""The folder of a build: whole or untouched, whatever happens while it is written."""

from __future__ import annotations

import os
import shutil
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .. import files
from ..errors import Problem, UsageError

#: what a build folder holds
FILES = ("program.h5", "build.toml", "report.html", "report.json", "layers.csv", "cores.csv", "links.csv", "build.log",
         "repro.json")  # fmt: skip


@contextmanager
def scratch(folder: Path) -> Iterator[Path]:
    """A folder beside the build folder, removed on every way out."""
    if folder.exists() and not folder.is_dir():
        cause, fixes = "the output folder is a file", ("choose another --out",)
        raise UsageError(Problem("ND902", cause, str(folder), fixes=fixes))
    partial = folder.parent / f".{folder.name}.partial-{os.getpid()}"
    made = [parent for parent in folder.parents if not parent.exists()]  # deepest first
    with files.typed(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(folder)
        partial.mkdir()
    try:
        yield partial
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        for parent in made:  # what is empty again goes as well
            with suppress(OSError):
                parent.rmdir()


def _remove_abandoned(folder: Path) -> None:
    """Scratch folders of builds that were killed."""
    for left in folder.parent.glob(f".{folder.name}.partial-*"):
        pid = left.name.rpartition("-")[2]
        if pid.isdigit() and not _alive(int(pid)):
            shutil.rmtree(left, ignore_errors=True)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError as error:
        return not isinstance(error, ProcessLookupError)
    return True


def publish(finished: Path, folder: Path) -> tuple[str, ...]:
    """Move finished files into place: one rename for a new folder, else file by file with interrupts held back."""
    names = tuple(sorted(p.name for p in finished.iterdir()))
    with files.typed(folder), uninterrupted():
        if not folder.exists():
            os.rename(finished, folder)
            return names
        for name in names:
            os.replace(finished / name, folder / name)
        for stale in {*FILES} - {*names}:  # of an earlier, fuller build: it would contradict the new files
            (folder / stale).unlink(missing_ok=True)
    return names


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Ctrl-C waits until the block is done (only the main thread gets signals)."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    waiting: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: waiting.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if waiting:
        raise KeyboardInterrupt
