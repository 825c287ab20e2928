"""Guards a Lava run: ``python guard.py CALLER FOLDER PREFIX COMMAND ...`` sees to it that nothing of the run stays.

It makes the folder, starts the command in a process group of its own when a byte comes in, and waits until its standard
input closes or its caller is gone, which happens even if that is killed. Then it kills the group, waits for every
process in it, and removes its shared memory and the folder. It needs nothing but the standard library, so it is there
at once, and no signal but SIGKILL ends it before its work is done. It runs as a script: it imports nothing of the
package.
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


def main(caller: int, folder: Path, prefix: str, command: list[str]) -> None:
    """Guard one run of the process ``caller``.

    A line on standard output says that the folder is there, by 0, or the errno why it is not.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: None)  # a command starts with the defaults again
    _adopt()
    group = 0
    try:
        folder.mkdir(mode=0o700)
        os.write(1, b"0\n")
        if os.read(0, 1):
            log = os.open(folder / "log", os.O_WRONLY | os.O_CREAT, 0o600)
            group = _start(folder, log, command)
            _wait(folder, group, caller)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.write(1, f"{error.errno}\n".encode())
    finally:
        clear(group, prefix, folder)


def _adopt() -> None:
    """Orphans of the group become children of this process, which waits for them; without Linux, of init."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(SUBREAPER, 1, 0, 0, 0)


def _start(folder: Path, log: int, command: list[str]) -> int:
    """Start the command as the leader of a group; what it prints goes to ``log``."""
    child = os.fork()
    if child == 0:
        try:
            os.setpgid(0, 0)
            (folder / STARTED).write_text(str(os.getpid()))
            for place, handle in enumerate((os.open(os.devnull, os.O_RDONLY), log, log)):
                os.dup2(handle, place)
            os.execv(command[0], command)
        finally:
            os._exit(127)
    with contextlib.suppress(OSError):  # the one of both who comes first; the other may be refused
        os.setpgid(child, child)
    return child


def _wait(folder: Path, child: int, caller: int) -> None:
    """Until standard input closes or brings another byte, or the caller is no longer the parent of this process."""
    running = True
    while not select.select([0], [], [], LOOK)[0] and os.getppid() == caller:
        done, status = os.waitpid(child, os.WNOHANG) if running else (0, 0)
        if done:
            running = False
            (folder / ENDED).write_text(str(os.waitstatus_to_exitcode(status)))


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
    main(int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], sys.argv[4:])
