"""SIGTERM and SIGHUP are taken like Ctrl-C, where nobody else handles them; all of them can be held back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from neurodeploy import interrupts
from tests.netx_files import dense, weights, write_net

ALL = [signal.SIGINT, *interrupts.ENDING]


def python(text: str, place: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    command = [sys.executable, "-c", text]
    return subprocess.run(command, capture_output=True, text=True, cwd=place, env=environment, check=False)


@pytest.mark.parametrize("number", interrupts.ENDING)
def test_a_signal_ends_the_process_once_all_is_cleaned_up(number: signal.Signals, tmp_path: Path) -> None:
    done = python(f"""
from neurodeploy.interrupts import terminable
import signal
with terminable():
    try:
        signal.raise_signal({int(number)})
    except KeyboardInterrupt:
        print("cleaned up", flush=True)
        raise
""", tmp_path)  # fmt: skip
    assert (done.returncode, done.stdout) == (-number, "cleaned up\n")


def test_a_signal_whose_exception_is_dropped_is_heeded(tmp_path: Path) -> None:
    """Python drops what is raised in a destructor or in the callback of a weak reference."""
    done = python(
        """
from neurodeploy.interrupts import heed, terminable
import signal
class Dying:
    def __del__(self):
        signal.raise_signal(signal.SIGTERM)
with terminable():
    heed()
    Dying()
    print("dropped", flush=True)
    heed()
    print("went on", flush=True)
""",
        tmp_path,
    )
    assert (done.returncode, done.stdout) == (-signal.SIGTERM, "dropped\n")


def test_who_handles_or_ignores_a_signal_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: seen.append(number))
    hangup = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with interrupts.terminable():
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, before)
        signal.signal(signal.SIGHUP, hangup)
    assert seen == [signal.SIGTERM]


def test_handlers_are_given_back() -> None:
    before = [signal.getsignal(number) for number in ALL]
    with interrupts.terminable(), interrupts.uninterrupted():
        assert [signal.getsignal(number) for number in ALL] != before
    assert [signal.getsignal(number) for number in ALL] == before


@pytest.mark.parametrize("number", ALL)
def test_signals_wait_until_a_block_is_done(number: signal.Signals, tmp_path: Path) -> None:
    """Also if the block fails: what came first is not lost."""
    for failure in ("pass", "raise OSError"):
        done = python(f"""
from neurodeploy.interrupts import terminable, uninterrupted
import signal
with terminable():
    try:
        with uninterrupted():
            signal.raise_signal({int(number)})
            print("done", flush=True)
            {failure}
    except KeyboardInterrupt:
        print("cleaned up", flush=True)
        raise
""", tmp_path)  # fmt: skip
        assert (done.returncode, done.stdout) == (-number, "done\ncleaned up\n")


def test_other_threads_are_left_alone() -> None:
    before = [signal.getsignal(number) for number in ALL]
    inside: list[object] = []

    def work() -> None:
        with interrupts.terminable(), interrupts.uninterrupted():
            inside.extend(signal.getsignal(number) for number in ALL)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert inside == before


def test_a_build_in_a_library_leaves_nothing(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    write_net(tmp_path / "net.net", [dense(weights(rng, 6, 4)), dense(weights(rng, 3, 6))])
    done = python("""
import neurodeploy, os, signal
def listener(event):
    if event.kind == "start" and event.stage == "convert":
        os.kill(os.getpid(), signal.SIGTERM)
neurodeploy.build("net.net", out="deep/out", calib=2, eval=2, verify=2, progress=listener)
""", tmp_path)  # fmt: skip
    assert done.returncode == -signal.SIGTERM and done.stderr == ""
    assert [p.name for p in tmp_path.iterdir()] == ["net.net"]


def test_an_interruption_that_python_made_an_error_of_is_one() -> None:
    """Up to Python 3.11 what falls into a ``__set_name__`` comes out as a RuntimeError."""

    class Field:
        def __set_name__(self, owner: type, name: str) -> None:
            raise KeyboardInterrupt

    try:
        type("Events", (), {"flows": Field()})
    except BaseException as error:
        assert isinstance(interrupts.beneath(error), KeyboardInterrupt)
    bug = RuntimeError("a bug")
    bug.__cause__ = ValueError("another")
    assert interrupts.beneath(bug) is bug
