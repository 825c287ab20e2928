"""The watched process: ``python -m neurodeploy.backends.lava.child FOLDER`` carries out the job in that folder.

It leads a process group of its own, which the guard ends.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import secrets
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import connection, shared_memory
from pathlib import Path
from typing import Any

import numpy as np

from . import job
from .wakeups import mend

WATCH = 0.1  # seconds between looks at the processes


def main(folder: Path) -> None:
    """Carry out the job and leave the results, or ``error.json``, in its folder; then wait to be ended."""
    request_prefix = json.loads((folder / "job.json").read_text())["prefix"]
    # Every block gets a name of this run, so that they can be found and removed whatever happens.
    shared_memory._SHM_NAME_PREFIX = f"/{request_prefix}"  # type: ignore[attr-defined]
    shared_memory._SHM_SAFE_NAME_LENGTH = len(request_prefix) + 9  # type: ignore[attr-defined]
    # A socket without a file: the path of one in a deep temporary folder would be too long.
    connection.arbitrary_address = lambda family: f"\0{request_prefix}{secrets.token_hex(4)}"  # type: ignore[attr-defined]
    try:
        _run(folder)
        (folder / "finished").touch()
    except BaseException as error:
        job.save_error(folder, "lava", error, traceback.format_exc())
    signal.pause()


def _run(folder: Path) -> None:
    from lava.magma.core.run_conditions import RunSteps
    from lava.magma.core.run_configs import Loihi2SimCfg

    from .processes import own

    plan, x = job.get(folder)
    progress: Any = np.memmap(folder / "progress", dtype=np.int64, mode="w+", shape=(1,))
    _report_failures(folder)
    mend()
    own.report = lambda where, error: job.save_error(folder, where, error, traceback.format_exc())
    own.count = lambda found: _note(folder, found)
    arrays = job.arrays(folder, plan, len(x), "w+")
    shape, per_tick = plan.graph.shape(plan.graph.input.name), plan.graph.input.per_tick
    runs, each = job.steps(plan, len(x))
    for run in range(runs):
        frames = x if runs == 1 else x[run : run + 1]
        network = own.Network(plan)
        source = own.source(frames, plan.clock, shape, per_tick)
        source.s_out_0.connect(network.s_in)
        own.watch(network, plan, [a[run] for a in arrays], lambda: _done(progress))
        with _guarded(network, folder):
            network.run(RunSteps(num_steps=each), Loihi2SimCfg(select_tag="fixed_pt"))
        if run < runs - 1:
            network.stop()


def _done(progress: Any) -> None:
    progress[0] += 1


def _note(folder: Path, found: dict[str, int]) -> None:
    with (folder / f"counts-{os.getpid()}.jsonl").open("a") as file:
        file.write(json.dumps(found) + "\n")


def _report_failures(folder: Path) -> None:
    """Let every process that Lava starts leave word of what it raises; Lava itself may wait for ever."""
    from lava.magma.runtime.message_infrastructure.multiprocessing import SystemProcess

    def run(self: Any) -> None:
        try:
            multiprocessing.Process.run(self)
            self._cconn.send(None)
        except Exception as error:
            job.save_error(folder, "a process of Lava", error, traceback.format_exc())
            self._cconn.send((error, traceback.format_exc()))

    SystemProcess.run = run


@contextmanager
def _guarded(network: Any, folder: Path) -> Iterator[None]:
    """Inside, a process of Lava that ends is an error: it was killed from outside."""
    over = threading.Event()

    def look() -> None:
        while not over.wait(WATCH):
            infrastructure = getattr(network.runtime, "_messaging_infrastructure", None)
            actors = list(getattr(infrastructure, "actors", None) or [])
            try:
                ended = connection.wait([actor.sentinel for actor in actors], 0)
            except (ValueError, OSError):
                return  # closed
            if ended and not over.is_set():
                time.sleep(WATCH)  # its own word comes first
                job.save_error(folder, "a process of Lava", RuntimeError("it was killed"), "")
                return

    threading.Thread(target=look, daemon=True).start()
    try:
        yield
    finally:
        over.set()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
