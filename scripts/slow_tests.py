"""Runs the slow tests under a deadline and says which of them have no result.

    python scripts/slow_tests.py SECONDS COMMAND...     such as 2100 make test-slow

The tests are collected first. While COMMAND runs, this file is a plugin of the pytest inside it and records every
test that ends. The exit status is COMMAND's, and 1 where a test did not end.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

RECORD = "SLOW_TESTS_RECORD"
#: seconds that pytest has to print its summary after it was interrupted
GRACE = 30
NONE_COLLECTED = 5


class Report(Protocol):
    """What is read of pytest's report on one phase of a test."""

    nodeid: str
    when: str
    outcome: str


def pytest_runtest_logreport(report: Report) -> None:
    """Append "outcome id" when a test ends or fails; the processes of xdist leave that to the one that started them."""
    if report.when == "teardown" or report.outcome == "failed":
        if RECORD in os.environ and "PYTEST_XDIST_WORKER" not in os.environ:
            with Path(os.environ[RECORD]).open("a", encoding="utf-8") as record:
                record.write(f"{report.outcome} {report.nodeid}\n")


def collected() -> tuple[list[str], int]:
    """The ids of the slow tests, and pytest's exit status; what pytest says is printed where it fails."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-n", "0", "-m", "slow"]
    found = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if found.returncode not in (0, NONE_COLLECTED):
        print(found.stdout)
    return [line for line in found.stdout.splitlines() if "::" in line], found.returncode


def run(command: Sequence[str], seconds: float, environment: Mapping[str, str]) -> int | None:
    """The exit status of a command; None if it was cut off: interrupted as by Ctrl-C, then killed."""
    process = subprocess.Popen(command, env=environment, start_new_session=True)
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGINT)
    try:
        process.wait(GRACE)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return None


def main(seconds: float, command: Sequence[str]) -> int:
    """Run the slow tests by ``command``; the exit status."""
    tests, status = collected()
    if status:
        print(
            "no test is marked slow" if status == NONE_COLLECTED else "the slow tests could not be collected"
        )
        return 0 if status == NONE_COLLECTED else status
    with tempfile.TemporaryDirectory() as folder:
        record, began = Path(folder) / "record", time.monotonic()
        record.touch()
        environment = {
            **os.environ,
            RECORD: str(record),
            "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]),
            "PYTEST_ADDOPTS": f"{os.environ.get('PYTEST_ADDOPTS', '')} -p {Path(__file__).stem}",
        }
        ended = run(command, seconds, environment) if seconds > 0 else None
        lines = [line.split(" ", 1) for line in record.read_text(encoding="utf-8").splitlines()]
    results = {name for _, name in lines}
    missing = [name for name in tests if name not in results]
    for name in sorted({name for outcome, name in lines if outcome == "failed"}):
        print(f"FAILED     {name}")
    for name in missing:
        print(f"NO RESULT  {name}")
    how = f"exit status {ended}" if ended is not None else "CUT OFF"
    took = time.monotonic() - began
    print(f"slow tests: {len(tests) - len(missing)} of {len(tests)} have a result, {how}, {took:.0f} s")
    return ended or int(bool(missing) or ended is None)


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]), sys.argv[2:]))
