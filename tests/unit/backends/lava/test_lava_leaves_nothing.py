"""However a run ends, nothing of it stays: no process, no shared memory, no folder; errors arrive typed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from neurodeploy.backends.lava import MEMBER, supervise
from neurodeploy.backends.lava.child import members
from neurodeploy.errors import SimulateError
from neurodeploy.ir.graph import Graph
from neurodeploy.ir.nodes import Neuron, Synapse
from neurodeploy.program import Program
from tests.tiny import chain

pytestmark = pytest.mark.needs("lava.magma")
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
def _seen(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, str]]:
    """(process group, prefix) of every run."""
    runs: list[tuple[int, str]] = []
    end = supervise._end

    def noted(process: subprocess.Popen, prefix: str) -> None:
        assert len(members(process.pid)) > 0 or process.poll() is not None
        runs.append((process.pid, prefix))
        end(process, prefix)

    monkeypatch.setattr(supervise, "_end", noted)
    return runs


def nothing_stays(seen: list[tuple[int, str]], folder: Path) -> None:
    assert seen, "no run was started"
    for group, prefix in seen:
        assert members(group) == []
        assert not list(Path("/dev/shm").glob(f"{prefix}*"))
        with pytest.raises(ProcessLookupError):
            os.kill(group, 0)
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
        if done > 3:
            leader = next(pid for pid in _children(os.getpid()) if members(pid))
            others = [pid for pid in members(leader) if pid != leader]
            os.kill(max(others), signal.SIGKILL)
        return done

    monkeypatch.setattr(supervise, "_progress", killing)
    with pytest.raises(SimulateError, match="ND740"):
        MEMBER.run(Program(graph(200)), np.tile([1, 2], (200, 1)))
    nothing_stays(seen, tmp_path)


def _children(parent: int) -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == parent:
            found.append(int(entry.parent.name))
    return found


def test_a_run_that_does_not_move(seen: list, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervise, "_progress", lambda folder: 7)
    monkeypatch.setattr(supervise, "STALL", 2.0)
    with pytest.raises(SimulateError, match="ND741"):
        MEMBER.run(Program(graph(200)), np.tile([1, 2], (500, 1)))
    nothing_stays(seen, tmp_path)


INTERRUPTED = """
import sys
import numpy as np
from neurodeploy.backends.lava import MEMBER
from neurodeploy.program import Program
from tests.unit.backends.lava.test_lava_leaves_nothing import graph
try:
    MEMBER.run(Program(graph(200)), np.tile([1, 2], (2000, 1)))
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGKILL])
def test_ctrl_c_and_a_killed_caller(sent: int, tmp_path: Path) -> None:
    """In the middle of a run: nothing stays, even if the caller cannot do anything any more."""
    environment = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": os.getcwd()}
    caller = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED], stdout=subprocess.PIPE, text=True, env=environment
    )
    jobs: list[Path] = []
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        jobs = list(tmp_path.glob("neurodeploy-lava-*/progress"))
        if jobs and np.fromfile(jobs[0], dtype=np.int64)[0] > 3:
            break
        time.sleep(0.05)
    [leader] = _children(caller.pid)
    prefix = jobs[0].with_name("job.json").read_text().split('"prefix": "')[1].split('"')[0]
    assert len(members(leader)) > 4 and list(Path("/dev/shm").glob(f"{prefix}*"))
    caller.send_signal(sent)
    out, _ = caller.communicate(timeout=60)
    if sent == signal.SIGINT:
        assert "interrupted" in out
    while members(leader) and time.monotonic() < deadline + 30:
        time.sleep(0.05)
    assert members(leader) == [] and not list(Path("/dev/shm").glob(f"{prefix}*"))
    while list(tmp_path.glob("neurodeploy-lava-*")) and time.monotonic() < deadline + 30:
        time.sleep(0.05)
    assert list(tmp_path.glob("neurodeploy-lava-*")) == []
