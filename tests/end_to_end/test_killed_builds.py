"""A demo that is killed again and again, by all signals, at random times: the next command goes on where it was.

``NEURODEPLOY_KILLS=100`` kills it a hundred times, which takes half an hour.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from neurodeploy import publishing, verbs

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
@pytest.mark.timeout(3600)
def test_a_demo_that_is_killed_again_and_again(tmp_path: Path) -> None:
    print(killed(tmp_path, int(os.environ.get("NEURODEPLOY_KILLS", "9"))))


def killed(place: Path, kills: int) -> str:
    """Kill so many builds of the demo into one folder; says how many came to their end, and the longest wait, s."""
    wanted = []
    for more in ([], ["--verify", "20"]):
        began = time.monotonic()
        assert start(place, *more).wait() == 0
        seconds = time.monotonic() - began
        wanted.append(contents(place / "out"))
    (place / "out" / "notes.txt").write_text("mine")
    generator, finished, waits = random.Random(0), 0, [0.0]
    scratch: set[Path] = set()
    for n in range(kills):
        sent = (signal.SIGTERM, signal.SIGKILL, signal.SIGINT)[n % 3]
        process = start(place)
        with suppress(subprocess.TimeoutExpired):  # at the beginning more than near the end: stages are kept
            process.wait(0.7 * seconds * generator.random() ** 3)
        process.send_signal(sent)
        began = time.monotonic()
        said = process.communicate()[1]
        waits.append(time.monotonic() - began)
        unborn = said.startswith(
            "Fatal Python error: init"
        )  # Python was interrupted before it ran anything of ours
        assert unborn or process.returncode in (0, -sent, 128 + sent), said
        assert "interrupted" in said or process.returncode != 128 + sent, said
        publishing.settle(place / "out")
        assert contents(place / "out") in wanted, f"kill {n}"
        finished += process.returncode == 0
        left = set(place.glob(".*")) - scratch
        assert not left or sent == signal.SIGKILL, f"{sent.name} left {left}"
        scratch |= left
    assert start(place).wait() == 0
    assert contents(place / "out") == wanted[0] and (place / "out" / "notes.txt").read_text() == "mine"
    assert not list(place.glob(".*"))
    assert verbs.report(place / "out")["model"] == "digits-vit"
    return f"{kills} kills, {finished} builds came to their end, the longest end took {max(waits):.1f} s"
