"""Builds of many chips: the page stays small and holds every core, the files keep every digit, the console is short."""

from __future__ import annotations

import base64
import csv
import json
import re
import shutil
import subprocess
import zlib
from functools import cache
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neurodeploy import report
from neurodeploy.report import chipmap, data, files, html, packed, perchip
from tests import fake_build, large_build
from tests.unit.report.test_report_page import Checker

CHIPS, CORES = 1152, 140_544
MOST_BYTES = 5_000_000
CHROMIUM = shutil.which("chromium")


@cache
def whole() -> tuple[dict[str, Any], str]:
    """The report of a build on all cores of Hala Point, and its page."""
    found = large_build.report(CHIPS)
    return found, html.page(found)


@cache
def thirty() -> tuple[dict[str, Any], str]:
    """The same on thirty chips."""
    found = data.build(large_build.inputs(30))
    return found, html.page(found)


@pytest.mark.parametrize("board, places", [
    ((0, 0), {0: (0, 0), 1: (1, 0), 5: (5, 0)}),
    ((2, 0), {0: (0, 0), 1: (1, 0), 5: (1, 2)}),
    ((2, 2), {0: (0, 0), 1: (1, 0), 5: (1, 3)}),
])  # fmt: skip
def test_chips_are_drawn_where_they_lie_on_their_board(
    board: tuple[int, int], places: dict[int, tuple[int, int]]
) -> None:
    """Layer below layer, with a line between; traffic between neighbours is drawn, that between layers is not."""
    target = {**thirty()[0]["target"], "chips_x": board[0], "chips_y": board[1]}
    row = {**perchip.chips(thirty()[0])[0]}
    links = [
        {**thirty()[0]["links"][0], "from": f"chip{a} (7,1)", "to": f"chip{b} (0,1)"}
        for a, b in ((0, 1), (1, 0), (1, 5))
    ]
    drawn = chipmap.overview(
        {"target": target, "links": links}, [{**row, "chip": n} for n in (0, 1, 3, 5, 29)]
    )
    spots = dict(zip((0, 1, 3, 5, 29), re.findall(r'<rect x="([\d.]+)" y="([\d.]+)"', drawn), strict=True))
    pitch = chipmap.CORE + (chipmap.GAP if board[0] else chipmap.SEAM)
    if board[0]:
        found = {n: ((float(x) - chipmap.MARGIN) / pitch, float(y) / pitch) for n, (x, y) in spots.items()}
        assert {n: found[n] for n in places} == places
    assert drawn.count('class="wire"') == (2 if board[0] else 0)
    named = chipmap.label({"target": target}, 5)
    assert named == {(0, 0): "chip 5", (2, 0): "chip 5 (x1 y2)", (2, 2): "chip 5 (x1 y0 z1)"}[board]


def unpacked(page: str, name: str) -> dict[str, list[Any]]:
    """The columns of a table as the script finds them, by the names of their headers."""
    start = page.index(f'data-packed="{name}"')
    columns = re.findall(r'<th [^>]*data-name="(\w+)"', page[start : page.index("</thead>", start)])
    (text,) = re.findall(rf'<template id="data-{name}">([^<]*)</template>', page)
    coded = json.loads(zlib.decompress(base64.b64decode(text)))
    return dict(zip(columns, map(_decoded, coded), strict=True))


def _decoded(column: dict[str, Any]) -> list[Any]:
    if "steps" in column:
        return list(accumulate(column["steps"]))
    return column.get("numbers") or [column["words"][code] for code in column["codes"]]


def test_the_page_of_a_whole_system_is_small_and_has_every_chip() -> None:
    _, page = whole()
    assert len(page.encode()) < MOST_BYTES
    found = Checker(page)
    assert not found.wrong and not found.stack
    chips = [a["data-chip"] for tag, a in found.elements if tag == "g" and "data-chip" in a]
    assert chips == [str(number) for number in range(CHIPS)]
    assert [tag for tag, _ in found.elements].count("tr") < 1000


def test_the_page_of_a_whole_system_knows_every_core() -> None:
    rows, columns = whole()[0]["cores"], unpacked(whole()[1], "cores")
    for name in ("core", "chip", "x", "y", "neurons_used", "synapse_words_used", "limiting", "layers"):
        assert columns[name] == [row[name] for row in rows], name
    digits = 0.5 * 10 ** (1 - packed.DIGITS)
    for name in ("fill", "packets_in_mean", "energy_nominal_uj"):
        assert np.allclose(columns[name], [row[name] for row in rows], atol=0, rtol=digits), name


def test_the_page_has_the_numbers_of_the_csv() -> None:
    found, page = thirty()
    columns = unpacked(page, "cores")
    rows = list(csv.DictReader(files.table_csv(found, "cores").splitlines()))
    assert len(rows) == 30 * 122 and set(rows[0]) == set(columns)
    for name, values in columns.items():
        written = [row[name] for row in rows]
        if any(isinstance(value, float) for value in values):
            assert np.allclose(values, np.array(written, float), atol=0, rtol=1e-4), name
        else:
            assert ["" if v is None else str(files._cell(v)) for v in values] == written, name


def test_chips_are_the_sums_and_means_of_their_cores() -> None:
    found, page = thirty()
    table = unpacked(page, "chips") if 'data-packed="chips"' in page else None
    assert table is None  # thirty rows stand in the page
    chips, cores = perchip.chips(found), [row for row in found["cores"] if row["chip"] == 17]
    row = chips[17]
    assert row["cores"] == len(cores) == 122
    assert row["fill_max"] == max(core["fill"] for core in cores)
    assert row["fill_mean"] * 122 == pytest.approx(sum(core["fill"] for core in cores))
    for name in ("neurons_used", "packets_in_mean", "energy_nominal_uj"):
        assert row[name] == pytest.approx(sum(core[name] for core in cores))
    assert row["layers"] == len({name for core in cores for name in core["layers"]})


def test_a_mapping_that_did_not_run_has_its_map_without_energy() -> None:
    found = data.build(large_build.inputs(30, ran=False))
    page = html.page(found)
    assert page.count("data-chip=") == 30
    assert perchip.chips(found)[3]["energy_nominal_uj"] is None
    assert set(unpacked(page, "cores")["packets_in_mean"]) == {None}


def test_small_builds_are_drawn_core_by_core() -> None:
    for name in ("ecmt", "native"):
        found = data.build(fake_build.inputs(name))
        page = html.page(found)
        assert page.count('data-core="') == len(found["cores"])
        assert "<template" not in page and 'id="opened"' not in page and "data-chip=" not in page


def test_the_console_of_a_whole_system_is_as_long_as_that_of_a_chip() -> None:
    few, many = (
        report.text(found).splitlines() for found in (data.build(fake_build.inputs("native")), whole()[0])
    )
    assert len(many) <= len(few) + 3


def test_a_report_from_before_the_search_was_told_has_a_page(tmp_path: Path) -> None:
    found = data.build(fake_build.inputs("native"))
    for key in ("plans", "expected", "objective"):
        del found["mapping"][key]
    files.write(found, tmp_path)
    assert "What the mapper weighed" not in html.page(files.read(tmp_path))
    assert "What the mapper weighed" in html.page(data.build(fake_build.inputs("native")))


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
def test_a_browser_opens_a_chip_and_pages_through_the_cores(tmp_path: Path) -> None:
    found, page = thirty()
    # A second script, which the policy would not let run: it does what a hand would do.
    acts = """<script>addEventListener("load", () => {
      document.querySelector('g[data-chip="17"]').dispatchEvent(new Event("click"));
      document.getElementById("cores").open = true;
      setTimeout(() => document.querySelectorAll("#cores .pages button")[1].click(), 2000);
    });</script></body>"""
    page = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page).replace("</body>", acts)
    (tmp_path / "page.html").write_text(page)
    command = [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=5000",
               "--dump-dom", f"file://{tmp_path / 'page.html'}"]  # fmt: skip
    dom = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    assert dom.count('aria-label="core ') == sum(row["chip"] == 17 for row in found["cores"])
    rows = re.findall(r'<tr id="core-(\d+)">(.*?)</tr>', dom, re.DOTALL)
    assert [int(core) for core, _ in rows] == list(range(100, 200))
    for core, cells in rows:
        shown = re.findall(r"<td[^>]*>([^<]*)</td>", cells)
        row, columns = found["cores"][int(core)], found["columns"]["cores"]
        for text, column in zip(shown, columns, strict=True):
            value, unit = row[column["name"]], column["unit"]
            near = [value * x for x in (1, 1 - 2e-5, 1 + 2e-5)] if isinstance(value, float) else [value]
            assert text in [html.cell(x, unit) for x in near], (core, column["name"])
