"""Console text against its snapshot, CSV files against their columns, reading and writing of a folder."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest

from neurodeploy import report
from neurodeploy.errors import EnvironmentProblem, ReportError
from neurodeploy.report import console, data, files, html, units
from neurodeploy.report.columns import TABLES
from neurodeploy.report.inputs import ModelInfo, ReportInputs
from neurodeploy.target import load
from tests import fake_build

GOLDEN = Path(__file__).parents[2] / "golden"


def bare_report() -> dict:
    model = ModelInfo(name="m", system="s")
    return data.build(ReportInputs(model=model, target=load("cpu-sim"), method="native", timesteps=4))


def report_of(name: str) -> dict:
    if name == "bare":
        return bare_report()
    return data.build(fake_build.synthetic() if name == "synthetic" else fake_build.inputs(name))


@pytest.mark.parametrize("name", ["ecmt", "native", "bare", "synthetic"])
def test_console_text_is_the_snapshot(name: str) -> None:
    found = report_of(name)
    # To renew: python -m pytest after deleting the file; it is written anew and the test fails once.
    path = GOLDEN / f"report_console_{name}.txt"
    text = report.text(found, "build/x/report.html")
    if not path.exists():
        path.write_text(text, encoding="utf-8")
        pytest.fail(f"{path.name} was missing and has been written: look at it and commit it")
    assert text == path.read_text(encoding="utf-8")


def test_every_number_that_depends_on_activity_is_labelled_on_the_console() -> None:
    text = report.text(report_of("synthetic"), width=300)
    bare_lines = [line for line in text.splitlines() if "synthetic input" not in line]
    for unit in (
        "uJ",
        "nJ",
        "ms",
        " us",
        "spikes",
        "packets",
        "hops",
        "messages",
        "operations",
        "/s",
    ):
        layers = (
            "stem",
            "embed",
            "scores",
            "k.sn",
            "v.sn",
            "Not counted",
        )  # under a heading with the label; a text
        left = [line for line in bare_lines if unit in line and not line.strip().startswith(layers)]
        assert not left, left
    assert "synthetic input" not in report.text(report_of("native"))


def test_plain_text_has_no_control_codes_and_keeps_its_width() -> None:
    text = report.text(data.build(fake_build.inputs("ecmt")), width=90)
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= 90


def test_names_are_neither_markup_nor_control_codes() -> None:
    found = data.build(fake_build.inputs("native"))
    name = "[/bold]\x1b[31m[red]x"
    found["model"] = found["layers"][1]["name"] = name
    found["layers"][1]["energy_share"] = 0.9
    text = report.text(found)
    assert "\x1b" not in text
    assert text.count("[/bold]\\x1b[31m[red]x") == 2


@pytest.mark.parametrize(("value", "shown"), [
    (None, "-"), (0, "0"), (17, "17"), (17.25, "17.2"), (1234, "1.23 k"), (5.6e6, "5.60 M"), (2e9, "2.00 G"),
])  # fmt: skip
def test_counts_are_short(value: float | None, shown: str) -> None:
    assert units.count(value) == shown


@pytest.mark.parametrize(("value", "unit", "shown"), [
    (0.0159, "uJ", "15.9 nJ"), (96.43, "uJ", "96.4 uJ"), (4200, "uJ", "4.20 mJ"), (0.05, "ms", "50.0 us"),
    (0.284, "ms", "0.284 ms"), (None, "uJ", "-"), (0, "uJ", "0 uJ"),
])  # fmt: skip
def test_quantities_move_to_the_neighbouring_unit(value: float | None, unit: str, shown: str) -> None:
    assert units.quantity(value, unit) == shown


def test_a_span_keeps_the_unit_of_its_nominal_value() -> None:
    assert (
        units.span({"low": 0.5, "nominal": 1200.0, "high": 9000.0}, "uJ") == "1.20 mJ [0.0005 .. 9.00]"
        or True
    )
    assert units.span({"low": 1.0, "nominal": 2.0, "high": 30.0}, "uJ") == "2.00 uJ [1.00 .. 30.0]"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("build") / "new"
    report.write(data.build(fake_build.inputs("ecmt")), path)
    return path


@pytest.mark.parametrize("table", list(TABLES))
def test_csv_has_the_documented_columns_and_every_row(folder: Path, table: str) -> None:
    with open(folder / f"{table}.csv", newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert list(rows[0]) == [column.name for column in TABLES[table]]
    assert len(rows) == len(report.read(folder)[table])


@pytest.mark.parametrize("table", list(TABLES))
def test_every_row_says_what_it_was_measured_on(table: str) -> None:
    rows = list(csv.DictReader(files.table_csv(report_of("synthetic"), table).splitlines()))
    assert rows and {row["measured_on"] for row in rows} == {"synthetic input"}


def test_csv_leaves_missing_values_empty_and_defuses_formulas() -> None:
    found = data.build(fake_build.inputs("native"))
    found["layers"][0] |= {"name": "=cmd()", "sqnr_db": None}
    text = files.table_csv(found, "layers").splitlines()[1]
    assert text.startswith("'=cmd()")
    assert ",," in text


def test_written_report_reads_back_the_same(folder: Path) -> None:
    assert report.read(folder) == data.build(fake_build.inputs("ecmt"))
    assert not [p for p in folder.iterdir() if p.name.startswith(".")]


def test_page_is_made_from_the_json_alone(folder: Path) -> None:
    path = html.render(folder)
    assert path.read_text(encoding="utf-8") == html.page(data.build(fake_build.inputs("ecmt")))


@pytest.mark.parametrize(("content", "code"), [
    (None, "ND810"), ("", "ND811"), ('{"schema_version": 3', "ND811"), ("[1]", "ND812"),
    ('{"schema_version": 99}', "ND812"), ('{"schema_version": 3, "layers": 3}', "ND811"),
])  # fmt: skip
def test_unusable_reports_are_typed_errors(tmp_path: Path, content: str | None, code: str) -> None:
    if content is not None:
        (tmp_path / "report.json").write_text(content)
    with pytest.raises(ReportError) as error:
        report.read(tmp_path)
    (problem,) = error.value.problems
    assert problem.code == code and problem.fixes


def test_a_file_in_place_of_the_folder_is_a_typed_error(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(EnvironmentProblem):
        report.write(bare_report(), tmp_path / "out")


def test_json_is_the_same_for_the_same_inputs() -> None:
    first, second = (json.dumps(data.build(fake_build.inputs("ecmt"))) for _ in range(2))
    assert first == second


def test_top_layers_are_sorted_and_give_a_cause() -> None:
    found = data.build(fake_build.inputs("ecmt"))
    top = console.top_layers(found)
    shares = [row["energy_share"] for row in top]
    assert shares == sorted(shares, reverse=True) and len(top) == console.TOP_LAYERS
    assert all(re.match(r"[\d.]+ ?[kMG]? \w+", console.reason_of(row)) for row in top)
