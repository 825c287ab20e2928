"""The table of measured networks against the present target files: its numbers follow from the counts that it holds."""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
ROWS: list[dict[str, Any]] = json.loads((BENCHMARKS / "results" / "validation.json").read_text())["rows"]
DONE = {row["key"]: row for row in ROWS}
BUILT = [row["key"] for row in ROWS if not row["missing"]]


@pytest.fixture(scope="module")
def validation() -> ModuleType:
    """The benchmark, which belongs to no package."""
    sys.path.insert(0, str(BENCHMARKS))
    try:
        spec = importlib.util.spec_from_file_location("validation", BENCHMARKS / "validation.py")
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module
    finally:
        sys.path.remove(str(BENCHMARKS))


def test_every_row_is_in_the_file_in_its_order(validation: ModuleType) -> None:
    assert [row["key"] for row in ROWS] == [row.key for row in validation.ROWS]


def test_what_the_rows_say_is_what_was_kept(validation: ModuleType) -> None:
    for row in validation.ROWS:
        kept = DONE[row.key]
        for key in ("title", "source", "built", "activity", "missing", "shown", "per", "target"):
            assert kept[key] == getattr(row, key), f"{row.key}: run benchmarks/validation.py {row.key}"
        assert kept["notes"] == list(row.notes), row.key
        figures = [
            (q["quantity"], q["low"], q["high"], q["differs"], q["noise"], q["fitted"])
            for q in kept["quantities"]
        ]
        assert figures == [(q.quantity, q.low, q.high, q.differs, q.noise, q.fitted) for q in row.measured], (
            row.key
        )


@pytest.mark.parametrize("key", BUILT)
def test_predictions_follow_from_the_counts_and_the_present_prices(validation: ModuleType, key: str) -> None:
    row = DONE[key]
    assert row["quantities"]
    for kept, now in zip(row["quantities"], validation.judged(row, DONE), strict=True):
        stale = f"{key}, {kept['quantity']}: run benchmarks/validation.py, the prices have changed"
        assert now["predicted"] == pytest.approx(kept["predicted"], rel=1e-9), stale
        assert (now["error"], now["inside"]) == (pytest.approx(kept["error"], rel=1e-9), kept["inside"]), (
            stale
        )


@pytest.mark.parametrize("key", [row["key"] for row in ROWS if row["missing"]])
def test_rows_that_were_not_built_say_what_was_measured_and_what_is_missing(key: str) -> None:
    assert DONE[key]["shown"] and DONE[key]["source"]


def test_another_price_would_be_seen(validation: ModuleType) -> None:
    record = DONE["two-lif"]["record"]
    twice = [{k: v if k == "chip" else f"{v} {v}" for k, v in core.items()} for core in record["cores"]]
    row = {**DONE["two-lif"], "record": {**record, "steps": 2 * record["steps"], "cores": twice, "links": {}}}
    dearer = validation.judged(row, DONE)[0]["predicted"]["nominal"]
    assert dearer > DONE["two-lif"]["quantities"][0]["predicted"]["nominal"]


def test_the_slowest_cores_are_kept(validation: ModuleType) -> None:
    import numpy as np

    points = np.array([[1, 1], [3, 1], [1, 3], [2, 2], [3, 1], [0, 0]])
    assert validation._counted.front(points) == {1, 2, 3}
