"""A demo that is killed a hundred times, by all signals, at random times: the next command goes on where it was."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from neurodeploy import publishing, verbs

KILLS = 100
#: all but the page and the log, which hold times; those of the report are left out of its hash in repro.json
SAME = ("program.h5", "build.toml", "repro.json", "layers.csv", "cores.csv", "links.csv")


def start(place: Path, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "neurodeploy", "build", "digits-vit", "--out", "out", "-q", *more]
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    return subprocess.Popen(
        command, cwd=place, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


def contents(out: Path) -> dict[str, bytes]:
    return {name: (out / name).read_bytes() for name in SAME}


@pytest.mark.slow
def test_a_demo_that_is_killed_a_hundred_times(tmp_path: Path) -> None:
    seconds, wanted = 0.0, []
    for more in ([], ["--verify", "20"]):
        began = time.monotonic()
        assert start(tmp_path, *more).wait() == 0
        seconds = time.monotonic() - began
        wanted.append(contents(tmp_path / "out"))
    new, old = wanted
    (tmp_path / "out" / "notes.txt").write_text("mine")
    generator, finished, left = random.Random(0), 0, 0
    for n in range(KILLS):
        sent = (signal.SIGTERM, signal.SIGKILL, signal.SIGINT)[n % 3]
        process = start(tmp_path)
        try:
            process.wait(generator.uniform(0, 0.6 * seconds))
        except subprocess.TimeoutExpired:
            process.send_signal(sent)
        said = process.communicate()[1]
        begun = "interrupted" in said  # before its first line it has no handler, and nothing to clean up
        assert process.returncode in (0, -sent, 128 + sent), said
        assert "Traceback" not in said or not begun, said
        publishing.settle(tmp_path / "out")
        found = contents(tmp_path / "out")
        assert found in (old, new), f"kill {n}"
        finished += process.returncode == 0
        scratch = list(tmp_path.glob(".*"))
        assert not scratch or sent == signal.SIGKILL or left, f"{sent.name} left {scratch}"
        left = len(scratch)
    assert start(tmp_path).wait() == 0
    assert contents(tmp_path / "out") == new and (tmp_path / "out" / "notes.txt").read_text() == "mine"
    assert not list(tmp_path.glob(".*"))
    assert verbs.report(tmp_path / "out")["model"] == "digits-vit"
    print(f"{KILLS} kills, {finished} builds came to their end")
