"""Runs a job in a process of its own and makes sure that nothing of it stays: no process, no shared memory, no file.

Lava's runtime may hang when a process model raises, and leaves processes and shared memory behind when its user is
interrupted. So it runs in a watched process that leads its own group: errors arrive as files, progress is looked at,
and a guard (``guard.py``) ends the group and removes its memory and folder, however the wait ends: by a result, an
error, Ctrl-C, or the death of this process.
"""

from __future__ import annotations

import json
import os
import secrets
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
from ...files import io_problem
from ...interrupts import heed, terminable, uninterrupted
from ...ir.trace import Trace
from ...program import Program
from . import guard, job, place
from .plan import Plan, Tap
from .wiring import arranged

STALL = 300.0  # seconds without a step after which a run counts as hung; starting up may take as long
POLL = 0.02
CODE = "code"  # folder of a run that leads to this package


def run(program: Program, plan: Plan, x: Array, record: tuple[str, ...]) -> Trace:
    """Run samples ``x`` and return their trace. SimulateError ND740 if a process fails, ND741 if nothing moves."""
    prefix = f"nd{secrets.token_hex(4)}_"
    folder = Path(tempfile.gettempdir()) / f"neurodeploy-lava-{secrets.token_hex(8)}"
    with terminable(), _guarded(folder, prefix) as process:
        job.put(folder, program, plan, x, prefix)
        place.linked(folder / CODE)
        _say(process, b".")
        _wait(folder, process)
        return _trace(folder, plan, x, record)


@contextmanager
def _guarded(folder: Path, prefix: str) -> Iterator[subprocess.Popen[bytes]]:
    """The guard, once it has made the folder; all that it started ends when the block is left in whatever way."""
    python = place.interpreter()
    environment = {
        **os.environ, **_path(folder, python), "TMPDIR": str(folder), "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1",
    }  # fmt: skip
    watched = (python, "-m", "neurodeploy.backends.lava.child", str(folder))
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", guard.__file__, str(os.getpid()), str(folder), prefix, *watched], bufsize=0,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True,
        env=environment,
    )  # fmt: skip
    try:
        _require_folder(folder, process)
        yield process
    finally:
        with uninterrupted():
            _end(process, folder, prefix)


def _path(folder: Path, python: str) -> dict[str, str]:
    """What another interpreter is told: of all that this one can import, our own code alone fits it."""
    if python == sys.executable:
        return {}
    return {"PYTHONPATH": str(folder / CODE), "PYTHONNOUSERSITE": "1"}


def _require_folder(folder: Path, process: subprocess.Popen[bytes]) -> None:
    """Wait for the guard's first word; EnvironmentProblem ND90x where it could not make the folder."""
    answer = process.stdout.readline() if process.stdout is not None else b""
    if not answer:
        raise _ended("the guard of the run is gone")
    if number := int(answer):
        raise io_problem(OSError(number, os.strerror(number)), folder)


def _say(process: subprocess.Popen[bytes], word: bytes) -> None:
    with suppress(OSError):  # a guard that is gone is found by looking at it
        if process.stdin is not None:
            process.stdin.write(word)


def _end(process: subprocess.Popen[bytes], folder: Path, prefix: str) -> None:
    """Let the guard end the run; do its work where it does not."""
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
    try:
        process.wait(2 * guard.PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.returncode:
        group = _number(folder / guard.STARTED)
        guard.clear(group or 0, prefix, folder)


def _wait(folder: Path, process: subprocess.Popen[bytes]) -> None:
    done, moved = 0, time.monotonic()
    while not (folder / "finished").exists():
        heed()
        if (error := job.load_error(folder)) is not None:
            raise error
        if (status := _number(folder / guard.ENDED)) is not None:
            raise _ended(f"exit {status}: {_tail(folder)}")
        if process.poll() is not None:
            raise _ended("the guard of the run is gone")
        now = _progress(folder)
        if now != done:
            done, moved = now, time.monotonic()
        elif time.monotonic() - moved > STALL:
            raise SimulateError(
                Problem("ND741", "the Lava run does not move", "lava", f"{done} steps, then none in {STALL:g} s",
                        fixes=("run fewer samples", "run it again; Lava prints to a log while it runs"))
            )  # fmt: skip
        time.sleep(POLL)


def _ended(found: str) -> SimulateError:
    return SimulateError(Problem("ND740", "the Lava run ended by itself", "lava", found))


def _number(file: Path) -> int | None:
    """The number in a file; None where there is none yet."""
    try:
        return int(file.read_text())
    except (OSError, ValueError):
        return None


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
