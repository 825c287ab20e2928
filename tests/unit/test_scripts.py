"""The scripts around the suite: a slow test without a result is named, and fails the run."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.fast import TURN, TURNS, fast, in_turn

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
SUITE = """
import pytest
slow = pytest.mark.slow

@slow
def test_good(): pass

@slow
@pytest.mark.parametrize("x", ["a b", "c::d"])
def test_each(x): assert EXPECTED

@slow
def test_skipped(): pytest.skip("not here")

def test_quick(): raise ValueError
"""
PYTEST = [sys.executable, "-m", "pytest", "-q", "-m", "slow"]
#: a command that records one test as the script does inside pytest
ONE = "echo passed test_suite.py::test_good > $SLOW_TESTS_RECORD"


@pytest.fixture(name="slow_tests")
def _slow_tests() -> ModuleType:
    spec = importlib.util.spec_from_file_location("slow_tests", SCRIPTS / "slow_tests.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(name="suite")
def _suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with four slow tests, which the script is run in."""
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = slow\n")
    monkeypatch.chdir(tmp_path)
    for name in ("PYTEST_XDIST_WORKER", "PYTEST_ADDOPTS"):
        monkeypatch.delenv(name, raising=False)
    path = tmp_path / "test_suite.py"
    path.write_text(SUITE.replace("EXPECTED", "True"))
    return path


@pytest.mark.parametrize("workers", fast(["0", "1"], "0"))
def test_finished_tests_have_a_result(
    slow_tests: ModuleType, suite: Path, capfd: pytest.CaptureFixture[str], workers: str
) -> None:
    assert slow_tests.main(60, [*PYTEST, "-n", workers]) == 0
    out = capfd.readouterr().out
    assert "3 passed, 1 skipped" in out
    assert "slow tests: 4 of 4 have a result, exit status 0" in out and "NO RESULT" not in out


def test_failing_tests_are_named_and_keep_the_exit_status(
    slow_tests: ModuleType, suite: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    suite.write_text(SUITE.replace("EXPECTED", "x != 'c::d'"))
    assert slow_tests.main(60, [*PYTEST, "-n", "0"]) == 1
    out = capfd.readouterr().out
    assert "1 failed, 2 passed, 1 skipped" in out
    assert "FAILED     test_suite.py::test_each[c::d]" in out and "4 of 4" in out and "NO RESULT" not in out


@pytest.mark.parametrize(
    ("after", "seconds", "left", "how"),
    fast(
        [
            ("sleep 60", 1.0, 3, "CUT OFF"),  # interrupted
            ("trap '' INT; sleep 60", 1.0, 3, "CUT OFF"),  # killed
            ("true", -5.0, 4, "CUT OFF"),  # no time left: not even started
            ("true", 60.0, 3, "exit status 0"),  # pytest lost some, and was content
            ("exit 7", 60.0, 3, "exit status 7"),
        ],
        "true",
        by=0,
    ),
)
def test_tests_without_a_result_are_named_and_fail_the_run(
    slow_tests: ModuleType,
    suite: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    after: str,
    seconds: float,
    left: int,
    how: str,
) -> None:
    monkeypatch.setattr(slow_tests, "GRACE", 0.5)
    assert slow_tests.main(seconds, ["sh", "-c", f"{ONE}; {after}"]) == (7 if "7" in how else 1)
    out = capfd.readouterr().out
    assert out.count("NO RESULT") == left and f"slow tests: {4 - left} of 4 have a result, {how}" in out
    assert ("NO RESULT  test_suite.py::test_good\n" in out) == (left == 4)
    assert "NO RESULT  test_suite.py::test_each[a b]\n" in out


def test_nothing_slow_is_no_failure_and_what_cannot_be_collected_is_one(
    slow_tests: ModuleType, suite: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    suite.write_text("def test_quick(): pass")
    assert slow_tests.main(60, PYTEST) == 0 and "no test is marked slow" in capfd.readouterr().out
    suite.write_text("import nothing_of_that_name")
    assert slow_tests.main(60, PYTEST) != 0 and "nothing_of_that_name" in capfd.readouterr().out


def test_every_case_has_its_day(monkeypatch: pytest.MonkeyPatch) -> None:
    """Within so many days all are run, those of ``always`` on each."""
    cases = list("abcdefgh")
    monkeypatch.delenv(TURN, raising=False)
    assert in_turn(cases, "b") == cases
    seen = []
    for day in range(20_000, 20_000 + TURNS):
        monkeypatch.setenv(TURN, str(day))
        seen.append(in_turn(cases, "b"))
    assert all("b" in found and len(found) < 5 for found in seen)
    assert sorted({case for found in seen for case in found}) == cases
