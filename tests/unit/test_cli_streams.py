"""What a command writes where: one JSON object in every case, nothing that steers a terminal, and quiet pipes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from neurodeploy import cli, report, verbs
from neurodeploy.builds.log import Log
from neurodeploy.cli.screen import Format, Screen
from neurodeploy.errors import Problem, UsageError
from neurodeploy.report import data, files, html
from neurodeploy.visible import visible
from tests import fake_build
from tests.fast import fast
from tests.unit.test_cli import MISTAKES

Captured = pytest.CaptureFixture[str]
COMMAND = (sys.executable, "-m", "neurodeploy")
#: colours, the title of a window, a bell, C1, text that runs backwards, a byte that is not UTF-8
EVIL = "x\x1b[31m\x1b]0;t\x07\x9b2J\u202e\udcff"


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    yield


def answer(capsys: Captured, *arguments: str, code: int) -> dict[str, Any]:
    """The one JSON object that a command printed."""
    assert cli.call([*arguments, "--format", "json"]) == code
    found = json.loads(capsys.readouterr().out)
    assert isinstance(found, dict)
    return found


def fail_with(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def fail(*_: object) -> None:
        print("something by the way")
        raise error

    monkeypatch.setattr(verbs, "models", fail)


# --- one JSON object ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "case", ["verb", "flag", "no model", "stage", "config", "code", "artifact", "report", "target"]
)
def test_a_mistake_is_one_object(case: str, capsys: Captured) -> None:
    arguments, exit_code, code, _ = MISTAKES[case]
    found = answer(capsys, *arguments, code=exit_code)
    problems = found["problems"]
    assert code in {p["code"] for p in problems}
    assert found.get("exit_code", exit_code) == exit_code


@pytest.mark.parametrize("arguments", [
    ["models"], ["targets", "list"], ["targets", "show", "loihi1"], ["targets", "validate", "loihi1"], ["ops"],
    ["doctor"], ["explain", "ND910"],
])  # fmt: skip
def test_a_result_is_one_object(arguments: list[str], capsys: Captured) -> None:
    assert answer(capsys, *arguments, code=0)


@pytest.mark.parametrize("arguments", [["--help"], ["build", "--help"]])
def test_help_goes_beside_the_object(arguments: list[str], capsys: Captured) -> None:
    assert answer(capsys, *arguments, code=0 if len(arguments) > 1 else 2).keys() == {"exit_code", "problems"}


class Panic(BaseException):
    """What bindings to another language raise."""


@pytest.mark.parametrize("error, exit_code, code, found", [
    (ZeroDivisionError("oops"), 1, "ND960", "ZeroDivisionError: oops"), (Panic("line 3"), 1, "ND960", "Panic: line 3"),
    (RecursionError("deep"), 1, "ND960", "RecursionError: deep"), (SystemExit(0), 2, "ND962", "SystemExit: 0"),
    (KeyboardInterrupt(), 130, "ND961", ""), (BrokenPipeError(32, "Broken pipe"), 2, "ND903", "Broken pipe"),
    (MemoryError(), 2, "ND934", ""), (OSError(28, "No space left on device"), 2, "ND901", "space"),
])  # fmt: skip
def test_whatever_ends_a_command_is_one_object(
    error: BaseException,
    exit_code: int,
    code: str,
    found: str,
    capsys: Captured,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fail_with(monkeypatch, error)
    said = answer(capsys, "models", code=exit_code)
    (problem,) = said["problems"]
    assert (said["exit_code"], problem["code"]) == (exit_code, code) and found in problem["found"]


def test_numbers_that_json_lacks_are_null(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verbs, "doctor", lambda: {"a": [float("nan"), float("inf"), 1.5], "b": {1: (2,)}})
    assert answer(capsys, "doctor", code=0) == {"a": [None, None, 1.5], "b": {"1": [2]}}


def test_a_model_that_prints_or_exits_spoils_no_object(
    tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "noisy_one.py").write_text("print('noise')\nraise SystemExit(0)\ndef net(): ...\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert cli.call(["check", "py:noisy_one:net", "--format", "json"]) == 2
    said = capsys.readouterr()
    assert json.loads(said.out)["problems"][0]["code"] == "ND962"
    assert "noise" in said.err


# --- terminals ---------------------------------------------------------------------------------------------------


def steers(text: str) -> list[str]:
    return [c for c in text if not c.isprintable() and c != "\n"]


def test_visible_keeps_what_can_be_printed() -> None:
    assert visible("é 日本 ─\n") == "é 日本 ─\n" and visible("a\nb", "") == "a\\nb"
    assert visible(EVIL) == "x\\x1b[31m\\x1b]0;t\\x07\\x9b2J\\u202e\\udcff"


@pytest.mark.parametrize("arguments", [
    ["build", f"{EVIL}.net"], ["check", f"py:{EVIL}:net"], ["build", "digits-vit", "--data", f"{EVIL}.npz"],
    ["run", EVIL, "--input", EVIL, "--output", EVIL], ["report", EVIL], ["explain", EVIL], [EVIL],
    ["build", f"--{EVIL}"],
    ["build", "digits-vit", "--set", f"{EVIL}=3"], ["targets", "validate", f"{EVIL}.toml"], ["build", "--config", EVIL],
    ["export", EVIL, "--to", EVIL, "--out", EVIL],
])  # fmt: skip
@pytest.mark.parametrize("form", ["plain", "json"])
def test_no_argument_reaches_the_terminal_as_it_is(arguments: list[str], form: str, capsys: Captured) -> None:
    assert cli.call([*arguments, "--format", form]) in (2, 3)
    said = capsys.readouterr()
    assert "Traceback" not in said.err and not steers(said.err + said.out) and "x" in said.err + said.out


@pytest.mark.parametrize("form", ["plain", "rich"])
def test_neither_tables_nor_problems_steer(form: str, capsys: Captured) -> None:
    screen = Screen()
    screen.configure(Format(form))
    screen.table(("name",), [(EVIL + "\nrow",)])
    screen.problems(UsageError(Problem("ND900", EVIL, EVIL, f"a\nerror: {EVIL}", EVIL, (EVIL,))))
    screen.out(EVIL)
    said = capsys.readouterr()
    assert not steers(said.out + said.err)
    assert not [line for line in said.err.splitlines() if line.startswith("error: x")], "a line of its own"


def test_files_of_a_build_do_not_steer_either(tmp_path: Path) -> None:
    found = data.build(fake_build.inputs("native"))
    found["model"] = found["layers"][1]["name"] = found["network"][1]["name"] = found["warnings"][0][
        "cause"
    ] = EVIL
    found["layers"][1]["energy_nominal_uj"] = 1e6  # so that it is drawn
    for node in found["network"]:
        node["reads"] = []
    log = Log(tmp_path / "build.log")
    log.begin([("model", EVIL)])
    log.close()
    texts = [html.page(found), report.text(found), files.table_csv(found, "layers"), log.path.read_text()]
    for text in texts:
        assert not steers(text) and "\\x1b" in text


# --- pipes -------------------------------------------------------------------------------------------------------


def command(*arguments: str, **how: Any) -> subprocess.Popen[bytes]:
    return subprocess.Popen([*COMMAND, *arguments], stderr=subprocess.PIPE, **how)


def test_a_reader_who_leaves_is_no_error() -> None:
    read, write = os.pipe()
    os.close(read)
    with command("ops", stdout=write) as process:
        os.close(write)
        assert process.stderr.read() == b""
    assert process.returncode == 141


def test_stdout_that_was_closed_before_is_no_error() -> None:
    shell = subprocess.run(["sh", "-c", f"{' '.join(COMMAND)} models >&-"], capture_output=True, check=False)
    assert (shell.returncode, shell.stderr) == (0, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full device here")
def test_a_full_disk_behind_stdout_is_typed() -> None:
    with open("/dev/full", "wb") as full, command("models", stdout=full) as process:
        assert b"ND901" in process.stderr.read()
    assert process.returncode == 2


@pytest.mark.parametrize("number", fast([signal.SIGINT, signal.SIGTERM], signal.SIGTERM))
def test_a_signal_is_one_object(number: int, tmp_path: Path) -> None:
    said = "import os, sys, time\nprint('noise')\nos.system('echo noise')\nprint('here', file=sys.stderr, flush=True)\n"
    (tmp_path / "slow_one.py").write_text(said + "time.sleep(60)\ndef net(): ...\n")
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]),
    }
    arguments = ("check", "py:slow_one:net", "--format", "json")
    with command(*arguments, stdout=subprocess.PIPE, env=environment, start_new_session=True) as process:
        assert {process.stderr.readline() for _ in range(3)} == {b"noise\n", b"here\n"}
        process.send_signal(number)
        found = json.loads(process.stdout.read())
        assert (found["exit_code"], found["problems"][0]["code"]) == (128 + number, "ND961")
    assert process.returncode == 128 + number
