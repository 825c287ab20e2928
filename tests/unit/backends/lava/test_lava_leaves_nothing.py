"""However a run ends, nothing of it stays: no process, no shared memory, no folder; errors arrive typed."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from neurodeploy import interrupts
from neurodeploy.backends.lava import MEMBER, guard, supervise
from neurodeploy.errors import EnvironmentProblem, SimulateError
from neurodeploy.ir.graph import Graph
from neurodeploy.ir.nodes import Neuron, Synapse
from neurodeploy.program import Program
from tests.fast import fast, in_turn
from tests.tiny import chain

pytestmark = pytest.mark.needs("lava.magma")
SOON = 5.0  # seconds; two tenths on a machine that has nothing else to do
MULTI = {"base_p": 2, "base_n": 2, "unit_p": 1, "unit_n": 1, "levels": 2, "rule": 0}


def graph(ticks: int = 2) -> Graph:
    """A Dense of Lava and an own process."""
    return chain(
        (2,),
        (Synapse(name="d", inputs=("x",), weight=np.array([[1, 2]])), (1,)),
        (Neuron(name="n", inputs=("d",), model="multi_threshold", params=MULTI), (1,)),
        ticks=ticks,
    )


def failing() -> Graph:
    """A parameter of its neuron is missing: it fails in its first tick."""
    good = graph()
    params = {k: v for k, v in MULTI.items() if k != "levels"}
    return Graph({**good.nodes, "n": replace(good.nodes["n"], params=params)}, good.values, good.header)  # type: ignore[call-arg]


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other tests may be running Lava at the same time: look only at what lies in a folder of this test."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


@pytest.fixture(name="seen")
def _seen(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, str, subprocess.Popen]]:
    """(process group, prefix, guard) of every run."""
    runs: list[tuple[int, str, subprocess.Popen]] = []
    end = supervise._end

    def noted(process: subprocess.Popen, folder: Path, prefix: str) -> None:
        group = int((folder / guard.STARTED).read_text())
        assert members(group) or (folder / guard.ENDED).exists()
        runs.append((group, prefix, process))
        end(process, folder, prefix)

    monkeypatch.setattr(supervise, "_end", noted)
    return runs


def members(group: int) -> list[int]:
    """Processes of a group, by the tables of the system; those that nobody has waited for yet do not count."""
    return [pid for pid, (state, _, own) in processes().items() if own == group and state != "Z"]


def processes() -> dict[int, tuple[str, int, int]]:
    """(state, parent, group) by process."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, parent, group = entry.read_text().rpartition(")")[2].split()[:3]
            found[int(entry.parent.name)] = (state, int(parent), int(group))
    return found


def nothing_stays(seen: list, folder: Path, status: int = 0) -> None:
    assert seen, "no run was started"
    for group, prefix, process in seen:
        assert members(group) == []
        assert not list(Path("/dev/shm").glob(f"{prefix}*"))
        assert process.returncode == status, "how the guard ended"
    assert list(folder.glob("neurodeploy-lava-*")) == []


def test_a_run_that_ends_well(seen: list, tmp_path: Path) -> None:
    trace, events = MEMBER.run(Program(graph()), np.array([[1, 2], [3, 4]]), ["n"])
    assert trace.values["n"].shape == (2, 2, 1) and events is None
    nothing_stays(seen, tmp_path)


def test_a_process_model_that_raises(seen: list, tmp_path: Path) -> None:
    start = time.monotonic()
    with pytest.raises(SimulateError, match=r"ND740(.|\n)*where: d.cell(.|\n)*KeyError: 'levels'"):
        MEMBER.run(Program(failing()), np.array([[1, 2]]))
    assert time.monotonic() - start < 60
    nothing_stays(seen, tmp_path)


def test_a_process_that_is_killed(seen: list, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system may kill a process that takes too much memory; Lava would wait for it for ever."""
    progress = supervise._progress

    def killing(folder: Path) -> int:
        done = progress(folder)
        leader = int((folder / guard.STARTED).read_text()) if done > 3 else 0
        if others := [pid for pid in members(leader) if pid != leader and done > 3]:
            os.kill(max(others), signal.SIGKILL)
        return done

    monkeypatch.setattr(supervise, "_progress", killing)
    with pytest.raises(SimulateError, match="ND740"):
        MEMBER.run(Program(graph(200)), np.tile([1, 2], (200, 1)))
    nothing_stays(seen, tmp_path)


def test_a_run_that_does_not_move(seen: list, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervise, "_progress", lambda folder: 7)
    monkeypatch.setattr(supervise, "STALL", 2.0)
    with pytest.raises(SimulateError, match="ND741"):
        MEMBER.run(Program(graph(200)), np.tile([1, 2], (500, 1)))
    nothing_stays(seen, tmp_path)


def test_a_guard_that_is_killed(seen: list, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then this process does its work."""
    progress = supervise._progress

    def killing(folder: Path) -> int:
        done = progress(folder)
        if done > 3:
            leader = int((folder / guard.STARTED).read_text())
            os.kill(processes()[leader][1], signal.SIGKILL)
        return done

    monkeypatch.setattr(supervise, "_progress", killing)
    with pytest.raises(SimulateError, match=r"ND740(.|\n)*guard"):
        MEMBER.run(Program(graph(200)), np.tile([1, 2], (200, 1)))
    nothing_stays(seen, tmp_path, -signal.SIGKILL)


def test_a_signal_whose_exception_was_dropped_ends_the_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interrupts, "_come", [signal.SIGTERM])
    with subprocess.Popen(["sleep", "60"]) as guarding, pytest.raises(interrupts.Terminated):
        try:
            supervise._wait(tmp_path, guarding)
        finally:
            guarding.kill()


def test_no_room_for_a_run_is_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    with pytest.raises(EnvironmentProblem, match=r"ND903(.|\n)*nowhere"):
        MEMBER.run(Program(graph()), np.array([[1, 2]]))


CALLER = """
import sys
import numpy as np
from neurodeploy.backends.lava import MEMBER
from neurodeploy.program import Program
from tests.unit.backends.lava.test_lava_leaves_nothing import graph
try:
    print("ready", flush=True)
    MEMBER.run(Program(graph(200)), np.tile([1, 2], (2000, 1)))
finally:
    print("cleaned up")
"""
#: when a caller is killed: what its folder holds by then
MOMENTS = {
    "folder": lambda folder: folder.exists(),
    "job": lambda folder: (folder / "job.json").exists(),
    "started": lambda folder: (folder / guard.STARTED).exists(),
    "running": lambda folder: supervise._progress(folder) > 3,
}


@pytest.mark.parametrize("sent, moment", fast([
    (signal.SIGINT, "running"), (signal.SIGKILL, "running"), (signal.SIGTERM, "started"), (signal.SIGKILL, "folder"),
], (signal.SIGKILL, "running"), (signal.SIGTERM, "started")))  # fmt: skip
def test_a_caller_that_is_killed(sent: signal.Signals, moment: str, tmp_path: Path) -> None:
    """At any moment: nothing stays, even if the caller cannot do anything any more."""
    killed(tmp_path, sent, MOMENTS[moment])


@pytest.mark.slow
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("wait", in_turn(0.25 * n for n in range(16)))
def test_a_caller_that_is_killed_at_any_time(sent: signal.Signals, wait: float, tmp_path: Path) -> None:
    killed(tmp_path, sent, lambda folder: True, wait)


def killed(place: Path, sent: signal.Signals, now: Callable[[Path], bool], wait: float = 0) -> None:
    """Kill a caller of Lava ``wait`` seconds after ``now`` says so of its folder; all must be gone soon after."""
    environment = {**os.environ, "TMPDIR": str(place), "PYTHONPATH": os.getcwd()}
    caller = subprocess.Popen(
        [sys.executable, "-c", CALLER], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    )  # fmt: skip
    assert caller.stdout is not None and caller.stdout.readline() == "ready\n"
    deadline = time.monotonic() + 60
    folder = place / "none"
    while not now(folder) and time.monotonic() < deadline:
        folder = next(place.glob("neurodeploy-lava-*"), folder)
        time.sleep(0.001)
    time.sleep(wait)
    folder = next(place.glob("neurodeploy-lava-*"), folder)
    groups, prefixes = started(folder)
    caller.send_signal(sent)
    begun = time.monotonic()
    out, _ = caller.communicate(timeout=60)
    assert caller.returncode == -sent, out
    assert ("cleaned up" in out) == (sent == signal.SIGINT), out
    assert time.monotonic() - begun < SOON or sent == signal.SIGKILL
    while time.monotonic() < begun + 10 and left(place, groups, prefixes):
        time.sleep(0.01)
    assert not left(place, groups, prefixes)


def started(folder: Path) -> tuple[list[int], list[str]]:
    """(process groups, prefixes of shared memory) of a run, as far as they are known yet."""
    groups, prefixes = [], []
    with contextlib.suppress(OSError, ValueError):
        prefixes.append(str(json.loads((folder / "job.json").read_text())["prefix"]))
        groups.append(int((folder / guard.STARTED).read_text()))
    return groups, prefixes


def left(place: Path, groups: list[int], prefixes: list[str]) -> list[object]:
    """What is still there: members of the groups and whoever works in the folder, shared memory, folders."""
    found: list[object] = [pid for group in groups for pid in members(group)]
    found += [block for prefix in prefixes for block in Path("/dev/shm").glob(f"{prefix}*")]
    found += place.glob("neurodeploy-lava-*")
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if f"{place}/neurodeploy-lava-".encode() in entry.read_bytes():
                found.append(entry)
    return found
