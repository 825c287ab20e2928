"""What the page draws of a network beside itself, from the report's data alone."""

from __future__ import annotations

import re
from typing import Any

import pytest

from neurodeploy.report import data, html, levels
from tests import fake_build


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    return data.build(fake_build.inputs("ecmt"))


def test_accuracies_stand_on_an_axis_that_ends_close_to_them(report: dict[str, Any]) -> None:
    rows = [{"level": "source", "by_timestep": [0.991]}, {"level": "integer", "by_timestep": [0.985, 0.9889]}]
    report = {**report, "accuracy": {**report["accuracy"], "by_level": rows}}
    drawn = levels.accuracy(report)
    marks = [float(found) for found in re.findall(r'class="axis" text-anchor="end">([\d.]+) %', drawn)]
    assert marks[0] == 98.0 and max(marks) <= 100 and len(set(marks)) == len(marks)
    flat, rising = re.findall(r'points="([^"]+)" class="over-ticks', drawn)[::-1]
    heights = [float(point.split(",")[1]) for point in flat.split()]
    assert heights[0] == heights[1]  # a network without ticks is a level line
    first, last = (float(point.split(",")[1]) for point in rising.split())
    assert last < first and heights[0] < last
    assert levels.accuracy({**report, "accuracy": {"by_level": None}}) is None


@pytest.mark.parametrize("share", [1.0, 0.0, 0.98])
def test_an_axis_has_a_length_where_all_levels_are_alike(report: dict[str, Any], share: float) -> None:
    rows = [{"level": level, "by_timestep": [share]} for level in ("source", "spiking", "integer")]
    drawn = levels.accuracy({**report, "accuracy": {**report["accuracy"], "by_level": rows}})
    heights = {float(point) for point in re.findall(r'cy="([\d.]+)"', drawn)}
    assert len(heights) == 1 and 12 <= heights.pop() <= 168


def drawings(twice: str) -> list[str]:
    """The one as wide as the page, and the one for a phone."""
    return re.findall(r"<svg.*?</svg>", twice)


def test_noise_has_a_row_for_each_layer_and_says_where_it_parts(report: dict[str, Any]) -> None:
    rows, (drawn, slim) = report["beside"]["layers"], drawings(levels.noise(report))
    assert slim.count("<circle") == drawn.count("<circle") and slim.count('class="label"') == len(rows)
    assert drawn.count('class="label"') == len(rows)
    known = sum(row[key] is not None for row in rows for key in levels.NOISES)
    assert drawn.count("<circle") == known and known < 2 * len(rows)
    assert "never parts" in drawn and "parts at tick 1: 25.00 %" in drawn
    first, others = levels.layers(report)
    assert len(first) == min(levels.FIRST, len(rows)) and len(first) + len(others) == len(rows)


def test_no_difference_at_all_has_no_dot(report: dict[str, Any]) -> None:
    row = {**report["beside"]["layers"][0], "noise_db": levels.EQUAL, "quantised_db": 31.0}
    drawn, _ = drawings(levels.noise({**report, "beside": {"layers": [row]}}))
    assert drawn.count("<circle") == 1 and "no difference" in drawn and "31.0 dB" in drawn


def test_confusions_are_a_table_of_few_classes_and_a_list_of_many(report: dict[str, Any]) -> None:
    found = levels.confusion(report)
    assert found["classes"] == ["zero", "one", "two"] and not found["pairs"]
    (first, second, third) = (row["cells"] for row in found["rows"])
    assert [cell["count"] for cell in first] == [7, 0, 1] and first[0]["right"] and not first[2]["right"]
    assert first[2]["apart"] and first[2]["said"] == "float 0, spiking 0, integer 1"  # float said so never
    assert not third[0]["apart"] and second[1]["count"] == 3
    many = [{"label": i, "said": (i + 1) % 40, "counts": {"integer": i}} for i in range(40)]
    listed = levels.confusion({**report, "accuracy": {**report["accuracy"], "confusion": many}})
    assert len(listed["pairs"]) == levels.MOST_PAIRS and listed["pairs"][0]["counts"]["integer"] == 39


def test_wrong_samples_come_with_picture_or_text(report: dict[str, Any]) -> None:
    pictured, written = levels.wrong(report)
    assert pictured["picture"].count("<path") == 2 and "M1 0.5h1" in pictured["picture"]
    assert written["text"] == "a text" and not written["picture"]
    assert [(said["level"], said["class"], said["right"]) for said in pictured["said"]] == [
        ("float", "zero", True), ("spiking", "zero", True), ("integer", "two", False)]  # fmt: skip
    page = html.page(report)
    assert page.count("<figure>") == 2 + len(report["beside"]["layers"]) and "a text" in page


@pytest.mark.parametrize(
    "broken",
    [{"width": 10**30}, {"codes": "0"}, {"palette": ["red;} *{display:none", "#000000"]}, {"height": 10**9}],
)
def test_a_picture_that_is_none_is_refused(report: dict[str, Any], broken: dict[str, Any]) -> None:
    found = {**report["accuracy"]["wrong"][0]["picture"], **broken}
    with pytest.raises(ValueError, match=r"picture|colour"):
        levels.picture(found)
