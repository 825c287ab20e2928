"""Builds that are killed at any point, alone and beside another: the folder is of one build, the rerun the same."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


def campaign(place: Path, *often: int) -> dict:
    """The summary of :mod:`tests.faults`."""
    command = [sys.executable, "-m", "tests.faults", str(place / "faults"), *map(str, often)]
    environment = {**os.environ, "PYTHONPATH": os.getcwd(), "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def require(found: dict, points: int) -> None:
    assert found["problems"] == []
    assert sum(found["points"]) >= points
    for total, olds in zip(found["points"], found["old"], strict=True):
        assert 0 < olds < total, "the points lie on both sides of the moment at which the folder changes"


@pytest.mark.slow
def test_a_folder_is_of_one_build_at_900_points(tmp_path: Path) -> None:
    require(campaign(tmp_path, 12, 60, 8), points=900)
