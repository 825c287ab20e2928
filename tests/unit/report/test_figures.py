"""The tables of figures and columns: one entry is all that it takes, and one word is one number."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from neurodeploy import cost, report
from neurodeploy.errors import ReportError
from neurodeploy.ir.nodes import Neuron
from neurodeploy.program import Program
from neurodeploy.report import columns, data, figures, files, html, schema, words
from neurodeploy.report.columns import TABLES, Column
from neurodeploy.report.figure import NUMBER, PARTS, RANGE, TEXT, Card, Figure, Need
from tests import fake_build
from tests.unit.test_docs import builder


@cache
def full() -> str:
    return json.dumps(data.build(fake_build.inputs("ecmt")))


def fresh() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(full())
    return found


@pytest.fixture
def toys(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A figure and a column that nothing but their tables knows."""
    energy = figures.GROUPS["energy"]
    toy = Figure(
        "toy.power_w", "toy power", "a toy of the tests", get=lambda i: 1234.5, formula="energy x toys",
        needs=figures.RUN, depends="activity", line="toy line", card=Card("Toy card"),
    )  # fmt: skip
    gone = Figure(
        "toy.gone", "toy gone", "never there", get=lambda i: None, needs=Need("toys", "no toys were bought")
    )
    monkeypatch.setitem(figures.GROUPS, "energy", replace(energy, figures=(*energy.figures, toy, gone)))
    column = Column(
        "toy_col",
        "a toy column",
        lambda r: len(r.node.name),
        formula="letters",
        depends="activity",
        first=True,
    )
    monkeypatch.setitem(TABLES, "layers", (*TABLES["layers"], column))
    yield


@pytest.mark.usefixtures("toys")
def test_one_entry_makes_a_figure(tmp_path: Path) -> None:
    found = data.build(fake_build.synthetic())
    assert found["toy"] == {"power_w": 1234.5, "gone": None}
    assert found["reasons"]["toy.gone"] == "no toys were bought"
    assert "toy.power_w" in found["input"]["affects"]
    assert "toy.power_w" in {figure["key"] for figure in found["figures"]}
    line = next(line for line in report.text(found).splitlines() if "toy line" in line)
    assert "1.23 k" in line and "synthetic input" in line
    page = html.page(found)
    for text in (
        "Toy card",
        "toy power",
        "1.23 k",
        "a toy of the tests: energy x toys",
        "no toys were bought",
    ):
        assert text in page
    assert "| `toy.power_w` | toy power |" in builder().figures()
    report.write(found, tmp_path)
    assert report.read(tmp_path) == found


@pytest.mark.usefixtures("toys")
def test_one_entry_makes_a_column(tmp_path: Path) -> None:
    found = data.build(fake_build.synthetic())
    assert all(row["toy_col"] == len(row["name"]) for row in found["layers"])
    assert "layers.toy_col" in found["input"]["affects"]
    assert ",toy_col" in files.table_csv(found, "layers").splitlines()[0]
    assert "a toy column: letters" in html.page(found) and 'data-label="toy col"' in html.page(found)
    assert "| `toy_col` |" in builder().columns()
    report.write(found, tmp_path)
    assert report.read(tmp_path) == found


def test_a_report_from_before_a_figure_was_added_is_still_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report.write(fresh(), tmp_path)
    toy = Figure("toy", "toy", "added later", get=lambda i: 1.0, needs=figures.RUN, line="toy")
    notes = figures.GROUPS["notes"]
    monkeypatch.setitem(figures.GROUPS, "notes", replace(notes, figures=(*notes.figures, toy)))
    monkeypatch.setitem(TABLES, "links", (*TABLES["links"], Column("toy", "added later", lambda r: 1)))
    found = report.read(tmp_path)
    assert "toy" in report.text(found) and html.page(found)
    assert files.table_csv(found, "links").splitlines()[1].endswith(",")


# --- the table itself --------------------------------------------------------------------------------------------


def test_every_figure_is_named_once_and_documented() -> None:
    keys = [figure.key for figure in figures.figures()]
    assert len(keys) == len(set(keys))
    for figure in figures.figures():
        assert figure.label and figure.help and "  " not in figure.help
        assert not figure.fields or figure.kind.name == "rows"
        assert figure.depends in ("", "activity", "cut")


def test_report_json_holds_the_figures_and_the_tables_and_nothing_else() -> None:
    known = (
        {figure.key.split(".")[0] for figure in figures.figures()} | set(TABLES) | set(schema.DESCRIPTIONS)
    )
    assert set(fresh()) == known | {"schema_version"}


@pytest.mark.parametrize("key", [figure.key for figure in figures.figures()])
def test_a_figure_of_another_shape_is_found_by_its_key(key: str) -> None:
    found = fresh()
    assert schema.wrong(found) == []
    *above, name = key.split(".")
    place = words.at(found, ".".join(above)) if above else found
    place[name] = object()
    assert key in schema.wrong(found)
    figure = figures.figure_of(key)
    place[name] = None
    assert (key in schema.wrong(found)) == (figure is not None and figure.needs is None)


@pytest.mark.parametrize(
    "key", ["energy_terms.count", "steps.bound", "mapping.groups.layout", "warnings.code"]
)
def test_rows_have_all_their_fields(key: str) -> None:
    found = fresh()
    figure, _, name = key.rpartition(".")
    del words.at(found, figure)[0][name]
    assert schema.wrong(found) == [figure]


@pytest.mark.parametrize("table", list(TABLES))
def test_rows_of_a_table_have_all_its_columns(table: str) -> None:
    found = fresh()
    del found[table][-1][TABLES[table][0].name]
    assert schema.wrong(found) == [f"{table}.{TABLES[table][0].name}"]


@pytest.mark.parametrize("value", [3, "text", None, [1], {"nominal": 1}, True])
def test_a_damaged_report_is_refused_by_name(tmp_path: Path, value: Any) -> None:
    found = fresh()
    found["energy_uj"] = value
    (tmp_path / "report.json").write_text(json.dumps(found))
    if value is None:
        assert report.read(tmp_path)["energy_uj"] is None
        return
    with pytest.raises(ReportError) as error:
        report.read(tmp_path)
    (problem,) = error.value.problems
    assert problem.code == "ND811" and "energy_uj" in problem.found


@pytest.mark.parametrize("version", [0, 1, data.SCHEMA_VERSION + 1, None, "2"])
def test_another_version_is_refused_with_both_named(tmp_path: Path, version: Any) -> None:
    (tmp_path / "report.json").write_text(json.dumps(fresh() | {"schema_version": version}))
    with pytest.raises(ReportError) as error:
        report.read(tmp_path)
    (problem,) = error.value.problems
    assert problem.code == "ND812" and problem.fixes
    assert str(version) in problem.found and str(data.SCHEMA_VERSION) in problem.limit


@pytest.mark.parametrize(
    ("figure", "value", "shown"),
    [
        (Figure("k", "k", "h", get=lambda i: 0, kind=NUMBER), 1549287.4, ("1.55 M",)),
        (Figure("k", "k", "h", get=lambda i: 0, kind=NUMBER, unit="%"), 0.25, ("25.0 %",)),
        (Figure("k", "k", "h", get=lambda i: 0, kind=NUMBER), None, ()),
        (Figure("k", "k", "h", get=lambda i: 0, kind=TEXT), "", ()),
        (Figure("k", "k", "h", get=lambda i: 0, kind=PARTS, unit="%"), {"a": 0.5, "b": 0.0, "c": 0.5},
         ("a 50.0 %", "c 50.0 %")),
        (Figure("k", "k", "h", get=lambda i: 0, kind=PARTS), {"a_b": 3, "c": None}, ("a b 3",)),
        (Figure("k", "k", "h", get=lambda i: 0, kind=RANGE, unit="uJ"), {"low": 1, "nominal": 2, "high": 4},
         ("2.00 uJ [1.00 .. 4.00]",)),
        (Figure("k", "k", "h", get=lambda i: 0, kind=RANGE, unit="x"), {"low": 1, "nominal": 2, "high": 4},
         ("2 x [1 .. 4]",)),
        (Figure("k", "k", "h", get=lambda i: 0, kind=RANGE, unit="x"), dict.fromkeys(("low", "nominal", "high")), ()),
    ],
)  # fmt: skip
def test_a_figure_is_written_as_its_kind(figure: Figure, value: Any, shown: tuple[str, ...]) -> None:
    assert figure.plain({"k": value}) == shown


# --- one word, one number ----------------------------------------------------------------------------------------

MEASURED_WITHOUT_CORES = ("synaptic_ops", "product_ops", "event_ops", "neuron_updates", "spikes", "messages")


@pytest.mark.parametrize("method", ["ecmt", "native"])
def test_a_network_that_does_not_fit_has_the_same_counts(method: str) -> None:
    base = fake_build.inputs(method)
    other = replace(base, mapping=replace(base.mapping, cores=(), groups=()), assessment=cost.assess(
        Program(base.integer), base.target, base.source, None, base.assessment.counts, base.grades))  # fmt: skip
    first, second = data.build(base), data.build(other)
    for kind in MEASURED_WITHOUT_CORES:
        assert first["counts"][kind] == second["counts"][kind] > 0 or kind == "product_ops"
    assert first["ticks"] == second["ticks"] and first["purity"] == second["purity"]
    assert first["counts"]["packets"] > 0 and second["counts"]["packets"] is None
    for kind in ("spikes", "messages", "synaptic_ops", "product_ops", "neuron_updates"):
        rows = [{row["name"]: row[kind] for row in found["layers"]} for found in (first, second)]
        assert rows[0] == rows[1]


@pytest.mark.parametrize("method", ["ecmt", "native"])
def test_a_word_has_the_same_number_everywhere(method: str) -> None:
    inputs = fake_build.inputs(method)
    found = data.build(inputs)
    counts, ticks, layers = found["counts"], found["ticks"], found["layers"]
    for kind in ("spikes", "messages", "event_ops"):
        assert sum(ticks[kind]) == pytest.approx(counts[kind])
    neurons = {node.name for node in inputs.integer.of(Neuron)}
    assert {row["name"] for row in layers if row["spikes"]} <= neurons
    for kind in ("spikes", "messages"):
        assert sum(row[kind] for row in layers) == pytest.approx(counts[kind])
    assert counts["event_ops"] == counts["synaptic_ops"] + counts["product_ops"]
    parts = ("synaptic_ops", "product_ops", "neuron_updates", "microcode_ops")
    assert counts["all_ops"] == pytest.approx(sum(counts[kind] for kind in parts))
    assert counts["packets"] >= counts["messages"] - next(r["messages"] for r in layers if r["op"] == "input")
    per_sample = sum(len(tick) for row in found["raster"]["populations"] for tick in row["ticks"])
    assert per_sample == sum((row != 0).sum() for row in _first_sample(inputs))


def _first_sample(inputs: report.ReportInputs) -> Iterator[Any]:
    _, graph, x = fake_build.spiking(inputs.method, **SIZES[inputs.method])
    trace = fake_build.run(graph, x)
    return (trace.values[node.name][:, 0] for node in graph.of(Neuron))


SIZES: dict[str, dict[str, int]] = {
    "ecmt": {"tokens": 16, "dim": 32, "heads": 4, "hidden": 64, "depth": 2},
    "native": {},
}


def test_work_by_code_is_on_console_page_and_json() -> None:
    found = fresh()
    assert list(found["purity"]["work"]) == ["binary", "ternary", "multi", "graded", "dense"]
    assert sum(found["purity"]["work"].values()) == pytest.approx(1.0)
    line = next(line for line in report.text(found).splitlines() if line.startswith("Work by code"))
    page = html.page(found)
    for code, share in found["purity"]["work"].items():
        text = f"{code} {share * 100:.1f} %"
        assert (text in line) == (share > 0) and (text in page) == (share > 0)
    assert "Spike-driven" not in report.text(found) + page


def test_the_ratio_to_the_baseline_stands_beside_that_of_the_paper_metric() -> None:
    found = fresh()
    ratio = found["energy_events_uj"]["nominal"] / found["ann_baseline_uj"]
    assert found["ann_baseline_ratio"]["nominal"] == pytest.approx(ratio)
    said = " ".join(report.text(found, width=400).split())
    assert f"events take {ratio / 1e3:.2f} k x" in said
    page = html.page(found)
    assert f"events take {ratio / 1e3:.2f} k x" in page and 'id="def-ann_baseline_ratio"' in page


def test_columns_shown_first_exist_in_every_table() -> None:
    for table in columns.TABLES.values():
        assert any(column.first for column in table) and not all(column.first for column in table)
