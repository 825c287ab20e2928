"""Runs a job in a process of its own and makes sure that nothing of it stays: no process, no shared memory, no file.

Lava's runtime may hang when a process model raises, and leaves processes and shared memory behind when its user is
interrupted. So it runs in a watched process that leads its own group: errors arrive as files, progress is looked at,
and however the wait ends (result, error, Ctrl-C) the group is ended and its memory removed.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

from ...array import Array
from ...errors import Problem, SimulateError
from ...ir.trace import Trace
from ...program import Program
from . import job
from .child import members, unlink
from .plan import Plan, Tap
from .wiring import arranged

STALL = 300.0  # seconds without a step after which a run counts as hung; starting up may take as long
POLL = 0.02
PATIENCE = 10.0  # seconds for the watched process to clean up by itself


def run(program: Program, plan: Plan, x: Array, record: tuple[str, ...]) -> Trace:
    """Run samples ``x`` and return their trace. SimulateError ND740 if a process fails, ND741 if nothing moves."""
    prefix = f"nd{secrets.token_hex(4)}_"
    with tempfile.TemporaryDirectory(prefix="neurodeploy-lava-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        job.put(folder, program, plan, x, prefix)
        with _process(folder, prefix) as process:
            _wait(folder, process)
        return _trace(folder, plan, x, record)


@contextmanager
def _process(folder: Path, prefix: str) -> Iterator[subprocess.Popen[bytes]]:
    """The watched process; ended, with all it started, when the block is left in whatever way."""
    environment = {
        **os.environ, "TMPDIR": str(folder), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
    }  # fmt: skip
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "neurodeploy.backends.lava.child", str(folder)],
            stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT, start_new_session=True, env=environment,
        )  # fmt: skip
        try:
            yield process
        finally:
            _end(process, prefix)


def _end(process: subprocess.Popen[bytes], prefix: str) -> None:
    """Ask the watched process to clean up and end; kill its group if it does not."""
    with suppress(OSError):
        if process.stdin is not None:
            process.stdin.write(b".")
            process.stdin.close()
    with suppress(subprocess.TimeoutExpired, KeyboardInterrupt):
        process.wait(PATIENCE)
    deadline = time.monotonic() + PATIENCE
    while (process.poll() is None or members(process.pid)) and time.monotonic() < deadline:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.poll()
        time.sleep(POLL)
    unlink(prefix)


def _wait(folder: Path, process: subprocess.Popen[bytes]) -> None:
    done, moved = 0, time.monotonic()
    while not (folder / "finished").exists():
        if (error := job.load_error(folder)) is not None:
            raise error
        if process.poll() is not None:
            found = f"exit {process.returncode}: {_tail(folder)}"
            raise SimulateError(Problem("ND740", "the Lava run ended by itself", "lava", found))
        now = _progress(folder)
        if now != done:
            done, moved = now, time.monotonic()
        elif time.monotonic() - moved > STALL:
            raise SimulateError(
                Problem("ND741", "the Lava run does not move", "lava", f"{done} steps, then none in {STALL:g} s",
                        fixes=("run fewer samples", "run it again; Lava prints to a log while it runs"))
            )  # fmt: skip
        time.sleep(POLL)


def _progress(folder: Path) -> int:
    try:
        return int(np.fromfile(folder / "progress", dtype=np.int64, count=1)[0])
    except (OSError, IndexError):
        return 0


def _tail(folder: Path) -> str:
    lines = (folder / "log").read_text(errors="replace").strip().splitlines()
    return " ".join(lines[-3:])[-400:]


def _trace(folder: Path, plan: Plan, x: Array, record: tuple[str, ...]) -> Trace:
    samples, ticks = len(x), plan.clock.ticks
    taps = job.watched(plan)
    arrays = job.arrays(folder, plan, samples, "r")
    found = {t.value: job.values(plan, t, a, samples) for t, a in zip(taps[1:], arrays[1:], strict=True)}
    for tap in plan.taps:
        if tap.constant is not None:
            found[tap.value] = np.broadcast_to(tap.constant, (ticks, samples, *tap.shape)).copy()
        elif not tap.live:
            found[tap.value] = _given(plan, tap, x)
    saturations: dict[str, int] = {}
    # Cores count what they share more than once, so only whole layers are counted.
    for counted in _totals(folder) if plan.granularity == "layer" else ():
        for node, number in counted.items():
            saturations[node] = saturations.get(node, 0) + number
    _check_messages(plan, found)
    outputs = job.values(plan, taps[0], arrays[0], samples)
    return Trace(outputs, {name: found[name] for name in record}, saturations)


def _check_messages(plan: Plan, found: dict[str, Array]) -> None:
    """SimulateError ND744 where a process of Lava sent more than the population's messages hold."""
    problems, cause = [], "a message outgrew its width in a process of Lava"
    for name, bits in plan.message_bits.items():
        limit, largest = (1 << (bits - 1)) - 1, int(np.abs(found[name]).max())
        if largest > limit:
            more = str(largest), f"{limit} ({bits} bits)", ("--backend cpu",)
            problems.append(Problem("ND744", cause, name, *more))
    if problems:
        raise SimulateError(problems)


def _given(plan: Plan, tap: Tap, x: Array) -> Array:
    """The input, or a rearrangement of it, at every tick."""
    ticks = plan.clock.ticks
    frames = x.swapaxes(0, 1) if plan.graph.input.per_tick else np.broadcast_to(x, (ticks, *x.shape))
    each = [[arranged(frame, tap.wires[0].ops) for frame in tick] for tick in frames.astype(np.int64)]
    value: Array = np.asarray(each).reshape(ticks, len(x), *tap.shape)
    return value if tap.bias is None else value + tap.bias


def _totals(folder: Path) -> Iterator[dict[str, int]]:
    """The last word of every process (a file each) on its saturations by node."""
    for file in sorted(folder.glob("counts-*.jsonl")):
        whole = [
            line for line in file.read_text().splitlines() if line.endswith("}")
        ]  # the last may be half written
        if whole:
            yield json.loads(whole[-1])
