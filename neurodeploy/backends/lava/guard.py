"""Guards a Lava run: ``python guard.py FOLDER PREFIX COMMAND ...`` sees to it that nothing of the run stays.

It makes the folder, starts the command in a process group of its own when a byte comes in, and waits until its standard
input closes, which happens even if the caller is killed. Then it kills the group, waits for every process in it, and
removes its shared memory and the folder. It needs nothing but the standard library, so it is there at once, and no
signal but SIGKILL ends it before its work is done. It runs as a script: nothing of the package is imported here.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import shutil
import signal
import sys
import time
from pathlib import Path

LOOK = 0.05  # seconds between looks at the command
PATIENCE = 5.0  # seconds for processes that were killed to go
ENDED = "ended"  # file: the command ended by itself, with that exit status
STARTED = "started"  # file: the process group of the command
SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER of Linux


def main(folder: Path, prefix: str, command: list[str]) -> None:
    """Guard one run; says by a line on standard output that the folder is there, or the errno why it is not."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: None)  # a command starts with the defaults again
    _adopt()
    group = 0
    try:
        folder.mkdir(mode=0o700)
        os.write(1, b"0\n")
        if os.read(0, 1):
            group = _start(folder, command)
            _wait(folder, group)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.write(1, f"{error.errno}\n".encode())
    finally:
        clear(group, prefix, folder)


def _adopt() -> None:
    """Orphans of the group become children of this process, which can wait for them; elsewhere than on Linux of init."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(SUBREAPER, 1, 0, 0, 0)


def _start(folder: Path, command: list[str]) -> int:
    """Start the command as the leader of a group; its word goes to the file ``log``."""
    log = os.open(folder / "log", os.O_WRONLY | os.O_CREAT, 0o600)
    child = os.fork()
    if child == 0:
        try:
            os.setsid()
            for place, handle in enumerate((os.open(os.devnull, os.O_RDONLY), log, log)):
                os.dup2(handle, place)
            os.execv(command[0], command)
        finally:
            os._exit(127)
    os.close(log)
    (folder / STARTED).write_text(str(child))
    return child


def _wait(folder: Path, child: int) -> None:
    """Until standard input closes or brings another byte."""
    running = True
    while not select.select([0], [], [], LOOK if running else None)[0]:
        if running and os.waitpid(child, os.WNOHANG)[0]:
            running = False
            (folder / ENDED).touch()


def clear(group: int, prefix: str, folder: Path) -> None:
    """Kill a process group, 0 for none, and wait for it; remove its shared memory and its folder."""
    deadline = time.monotonic() + PATIENCE
    while group and _killed(group) and time.monotonic() < deadline:
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-group, os.WNOHANG)[0]:
                pass
        time.sleep(0.005)
    for block in Path("/dev/shm").glob(f"{prefix}*"):
        block.unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)


def _killed(group: int) -> bool:
    """Whether there was anybody to kill: each time all members at once, and those that they had started meanwhile."""
    try:
        os.killpg(group, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return False
    return True


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3:])
