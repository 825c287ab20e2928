"""A copy of the process hands back what a library makes of a file, and takes its crashes, loops and hunger with it."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neurodeploy import guarded
from neurodeploy.errors import ImportModelError, Problem, UsageError


def test_what_is_handed_back_is_what_was_made() -> None:
    made: dict[str, Any] = {
        "float": np.arange(6.0).reshape(2, 3), "turned": np.arange(6, dtype=np.int16).reshape(2, 3).T,
        "empty": np.zeros((0, 3), np.uint8), "scalar": np.array(True), "bytes": b"\0ab", "none": b"",
        "plain": [1, -2.5, None, True, "ä\ud800", (1, (2,)), {"a": []}], "large": 1 << 70,
    }  # fmt: skip
    found = guarded.call(lambda: made)
    assert found.keys() == made.keys() and found["plain"] == made["plain"] and found["large"] == made["large"]
    assert (found["bytes"], found["none"]) == (made["bytes"], made["none"])
    for name in ("float", "turned", "empty", "scalar"):
        assert found[name].dtype == made[name].dtype and np.array_equal(found[name], made[name])
    found["float"][0, 0] = 7  # the reader's own


def test_typed_errors_come_through() -> None:
    def fail() -> None:
        raise ImportModelError([Problem("ND121", "a", "b", "c", "d", ("e",)), Problem("ND123", "f")])

    with pytest.raises(ImportModelError) as caught:
        guarded.call(fail)
    assert caught.value.problems == (Problem("ND121", "a", "b", "c", "d", ("e",)), Problem("ND123", "f"))


class Panic(BaseException):
    """What libraries in Rust raise is no Exception."""


@pytest.fixture
def copies(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The copies that were made."""
    made, fork = [], os.fork

    def noted() -> int:
        child = fork()
        made.append(child)
        return child

    monkeypatch.setattr(os, "fork", noted)
    return made


def gone(copies: list[int]) -> bool:
    """Whether a copy was made, and no process of its number is left, not even as a zombie."""
    return bool(copies) and not any(Path(f"/proc/{child}").exists() for child in copies)


def panic() -> None:
    raise Panic("at the library")


@pytest.mark.parametrize(
    ("function", "text"),
    [
        (lambda: ctypes.string_at(0), "signal 11"),
        (os.abort, "signal 6"),
        (lambda: os.kill(os.getpid(), signal.SIGKILL), "signal 9"),
        (lambda: time.sleep(60), "does not come to an end in 1 s"),
        (lambda: np.ones(1 << 28), "64 MB of memory"),
        (lambda: bytearray(1 << 33), "64 MB of memory"),
        (lambda: 1 // 0, "ZeroDivisionError"),
        (panic, "Panic: at the library"),
        (lambda: sys.exit(0), "SystemExit"),
    ],
)
def test_what_happens_to_the_copy_is_told(function: Callable[[], Any], text: str, copies: list[int]) -> None:
    with pytest.raises(guarded.Stopped, match=text):
        guarded.call(function, seconds=1, memory=64 << 20)
    assert gone(copies)


def test_the_copy_says_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    guarded.call(lambda: os.write(2, b"noise") and None)
    assert capfd.readouterr() == ("", "")


def test_an_interrupted_command_takes_the_copy_with_it(
    monkeypatch: pytest.MonkeyPatch, copies: list[int]
) -> None:
    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(guarded.time, "sleep", interrupt)
    with pytest.raises(KeyboardInterrupt):
        guarded.call(lambda: signal.pause())
    assert gone(copies)


def test_without_copies_the_work_is_done_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "fork")
    with pytest.raises(UsageError):
        guarded.call(lambda: (_ for _ in ()).throw(UsageError(Problem("ND900", "x"))))
    assert guarded.call(len, "abc") == 3
