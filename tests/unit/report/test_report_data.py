"""report.json: every key is there, every null has a reason, and the tables add up to the totals."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from neurodeploy import cost, report
from neurodeploy.cost.types import PARTS
from neurodeploy.ir.nodes import Neuron
from neurodeploy.ir.types import Shape
from neurodeploy.program import Program
from neurodeploy.report import charts, data, inputs
from neurodeploy.report.columns import TABLES
from neurodeploy.target import load
from tests import fake_build

#: what a reader of report.json may rely on
PROMISED = """
model system method timesteps target.name target.kind accuracy.float accuracy.spiking accuracy.integer
accuracy.samples accuracy.by_timestep bit_true.equal bit_true.samples bit_true.backends counts.samples
counts.synaptic_ops counts.product_ops counts.event_ops counts.all_ops counts.neuron_updates counts.spikes
counts.messages counts.packets counts.hops counts.microcode_ops counts.dense_macs ticks.spikes ticks.messages
ticks.event_ops purity.work.binary purity.work.ternary purity.work.multi purity.work.graded purity.work.dense
ann_baseline_ratio.low ann_baseline_ratio.nominal ann_baseline_ratio.high energy_uj.low energy_uj.nominal energy_uj.high
energy_breakdown_uj.synapse energy_breakdown_uj.neuron energy_breakdown_uj.product
energy_breakdown_uj.microcode energy_breakdown_uj.network energy_breakdown_uj.static energy_paper_uj
energy_paper_ratio ann_baseline_uj latency_ms.low latency_ms.nominal latency_ms.high throughput_per_s
mapping.cores_used mapping.cores_total mapping.chips mapping.limiting_resource mapping.hops_mean purity silicon
warnings uncounted layers cores links schema_version reproducibility stages definitions reasons
"""


def at(found: dict[str, Any], key: str) -> Any:
    for part in key.split("."):
        found = found[part]
    return found


@cache
def full(method: str = "ecmt") -> dict[str, Any]:
    return data.build(fake_build.inputs(method))


@cache
def bare(target: str = "loihi-sim") -> dict[str, Any]:
    model = inputs.ModelInfo(name="m", system="s")
    return data.build(inputs.ReportInputs(model=model, target=load(target), method="native", timesteps=4))


@pytest.mark.parametrize("key", PROMISED.split())
def test_promised_key_exists_with_and_without_results(key: str) -> None:
    if not key.startswith("purity.work."):  # without a run there is no split at all
        at(bare(), key)
    value = at(full(), key)
    assert value is not None


@cache
def synthetic() -> dict[str, Any]:
    return data.build(fake_build.synthetic())


@pytest.mark.parametrize("make", [full, bare, synthetic, lambda: full("native"), lambda: bare("cpu-sim")])
def test_every_null_has_a_reason_under_its_dotted_key(make: Any) -> None:
    found = make()
    missing = set(data.nulls({k: v for k, v in found.items() if k != "reasons"}))
    assert missing == set(found["reasons"])
    assert all(found["reasons"].values())


def test_a_target_without_prices_is_the_reason_for_missing_energy() -> None:
    assert "prices nothing" in bare("cpu-sim")["reasons"]["energy_uj.nominal"]
    assert "prices nothing" not in bare()["reasons"]["energy_uj.nominal"]


def test_a_given_reason_wins_and_covers_what_lies_below() -> None:
    given = replace(
        fake_build.inputs("ecmt"), accuracy=None, reasons={"accuracy": "no labels in this data set"}
    )
    assert data.build(given)["reasons"]["accuracy.integer"] == "no labels in this data set"


def test_synthetic_input_is_a_field_that_names_what_it_affects() -> None:
    found = synthetic()["input"]
    assert (found["kind"], found["label"], found["high"]) == ("synthetic", "synthetic input", 15)
    for key in found["affects"]:
        table, _, column = key.partition(".")
        assert (
            column in {c.name for c in TABLES[table]} if table in TABLES else at(synthetic(), key) is not ...
        )
    for key in (
        "energy_uj",
        "latency_ms",
        "counts.spikes",
        "counts.synaptic_ops",
        "layers.activity",
        "ticks.spikes",
    ):
        assert key in found["affects"]
    assert "mapping.cores_used" in found["affects"] and "counts.dense_macs" not in found["affects"]


def test_what_layers_become_in_lava() -> None:
    found = synthetic()
    assert found["lava"]["processes"] == {"stock": 2, "own": 1}
    assert sum(found["lava"]["work"].values()) == pytest.approx(1.0) and found["lava"]["work"]["stock"] > 0
    named = {row["name"]: row["lava"] for row in found["layers"]}
    assert (named["stem"], named["mix"], named["scores"]) == ("Conv", "own", None)
    for key in ("work", "processes"):
        assert full()["lava"][key] is None and "Lava" in full()["reasons"][f"lava.{key}"]


def test_a_cut_that_ignores_activity_is_not_affected() -> None:
    base = fake_build.synthetic()
    found = data.build(replace(base, config={**base.config, "optimise": "cores"}))["input"]["affects"]
    assert "mapping.cores_used" not in found and "energy_uj" in found


@pytest.mark.parametrize("table", list(TABLES))
def test_columns_that_change_with_the_input_are_marked(table: str) -> None:
    """Twice the events of a build change exactly the marked columns (and texts that say nothing about them)."""
    base = fake_build.inputs("native")
    events = base.assessment.events
    doubled = replace(
        events,
        core_counts=events.core_counts * 2,
        node_counts={k: v * 2 for k, v in events.node_counts.items()},
        node_core_counts={k: v * 2 for k, v in events.node_core_counts.items()},
        links={k: v * 3 for k, v in events.links.items()},
        link_peak={k: v * 2 for k, v in events.link_peak.items()},
    )
    program = Program(base.integer, base.mapping)
    other = cost.assess(program, base.target, base.source, doubled, base.assessment.counts, base.grades)
    first, second = (data.build(b)[table] for b in (base, replace(base, assessment=other)))
    key = {"layers": "name", "cores": "core", "links": "from"}[table]
    second_by = {row[key]: row for row in second}
    changed = {c for row in first for c in row if second_by[row[key]][c] != row[c]}
    marked = {c.name for c in TABLES[table] if c.depends == "activity"}
    assert changed - {"neuron_updates"} <= marked  # a count of elements, which the doubling invents


def test_report_is_json_without_nan() -> None:
    odd = replace(
        fake_build.inputs("native"), provenance={"a": float("nan"), "b": np.int64(3), "c": {"d": (1, 2)}}
    )
    found = data.build(odd)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["reproducibility"]["a"] is None and found["reproducibility"]["b"] == 3
    assert "reproducibility.a" in found["reasons"]


@pytest.mark.parametrize("method", ["ecmt", "native"])
@pytest.mark.parametrize(
    "kind", ["synaptic_ops", "product_ops", "neuron_updates", "spikes", "messages", "microcode_ops"]
)
def test_layers_sum_to_the_counts(method: str, kind: str) -> None:
    found = full(method)
    assert sum(row[kind] for row in found["layers"]) == pytest.approx(found["counts"][kind])


@pytest.mark.parametrize("method", ["ecmt", "native"])
def test_layers_parts_terms_and_cores_sum_to_the_energy(method: str) -> None:
    found = full(method)
    whole = found["energy_uj"]["nominal"]
    layers = sum(row["energy_nominal_uj"] for row in found["layers"])
    assert layers + found["energy_shared_uj"]["nominal"] == pytest.approx(whole)
    assert sum(found["energy_breakdown_uj"].values()) == pytest.approx(whole)
    assert sum(term["energy_uj"]["nominal"] for term in found["energy_terms"]) == pytest.approx(whole)
    for level in ("low", "nominal", "high"):
        parts = sum(found["energy_breakdown_range_uj"][part][level] for part in PARTS)
        assert parts == pytest.approx(found["energy_uj"][level])
    off_core = sum(
        t["energy_uj"]["nominal"]
        for t in found["energy_terms"]
        if t["key"].endswith(("host_packet", "chip_hop"))
    )
    assert sum(row["energy_nominal_uj"] for row in found["cores"]) + off_core == pytest.approx(whole)


def test_parts_of_a_layer_sum_to_its_energy() -> None:
    for row in full()["layers"]:
        parts = sum(row[f"energy_{part}_uj"] for part in PARTS if part != "static")
        assert parts == pytest.approx(row["energy_nominal_uj"])


def test_steps_sum_to_the_latency() -> None:
    found = full()
    assert len(found["steps"]) == found["timesteps"] + found["depth"]
    assert sum(step["nominal_ns"] for step in found["steps"]) * 1e-6 == pytest.approx(
        found["latency_ms"]["nominal"]
    )


def test_accuracies_and_shares_are_fractions() -> None:
    found = full()
    values = [found["accuracy"][k] for k in ("float", "spiking", "integer")] + found["accuracy"][
        "by_timestep"
    ]
    values += list(found["silicon"].values()) + list(found["purity"]["work"].values())
    values += [row["activity"] for row in found["layers"] if row["activity"] is not None]
    assert all(0.0 <= value <= 1.0 for value in values)


def test_an_unpriced_target_has_counts_but_no_energy_and_says_why() -> None:
    base = fake_build.inputs("native")
    target = load("cpu-sim")
    program = Program(base.integer, base.mapping)
    events, counts = base.assessment.events, base.assessment.counts
    found = data.build(
        replace(base, target=target, assessment=cost.assess(program, target, base.source, events, counts))
    )
    assert found["energy_uj"]["nominal"] is None and found["latency_ms"]["nominal"] is None
    assert found["counts"]["synaptic_ops"] > 0
    assert "prices nothing" in found["reasons"]["energy_uj.nominal"]
    assert "energy_uj" in found["definitions"]


def test_definitions_carry_formula_coefficients_and_sources() -> None:
    found = full()["definitions"]
    headlines = "energy_uj latency_ms throughput_per_s energy_paper_uj ann_baseline_uj counts purity silicon dense_macs"
    headlines += " ann_baseline_ratio floorline latency_contended_ms"
    assert {*headlines.split(), "energy_pipelined_uj"} == set(found)
    for definition in found.values():
        assert definition["formula"]
        assert all(c["source"] and c["unit"] for c in definition["coefficients"])
    keys = {c["key"] for c in found["energy_uj"]["coefficients"]}
    assert {t["key"] for t in full()["energy_terms"]} <= keys


def test_every_column_is_documented_and_named_once() -> None:
    for columns in TABLES.values():
        names = [c.name for c in columns]
        assert len(set(names)) == len(names)
        assert all(c.help for c in columns)
    described = full()["columns"]
    assert {table: [c["name"] for c in rows] for table, rows in described.items()} == {
        table: [c.name for c in columns] for table, columns in TABLES.items()
    }


def test_columns_that_are_empty_somewhere_say_why() -> None:
    for make in (full, lambda: full("native")):
        for table, columns in TABLES.items():
            empty = {c.name for c in columns for row in make()[table] if row[c.name] is None}
            assert not [c.name for c in columns if c.name in empty and not c.missing]


def test_network_hides_views_and_delays_but_keeps_what_is_connected() -> None:
    found = full()["network"]
    names = {node["name"] for node in found}
    assert not [n for n in found if n["kind"] in ("view", "delay", "const")]
    assert all(set(node["reads"]) <= names for node in found)
    assert {"b0.fc1", "u0"} <= set(next(n for n in found if n["name"] == "b0.u2")["reads"]) | {"b0.fc1", "u0"}
    ranks = {node["name"]: node["rank"] for node in found}
    assert all(ranks[source] < node["rank"] for node in found for source in node["reads"])


def test_raster_holds_the_indices_of_nonzero_elements() -> None:
    _, graph, x = fake_build.spiking("native", 2)
    trace = fake_build.run(graph, x)
    row = next(r for r in report.raster(graph, trace, sample=1) if r.name == "s0")
    for tick, spikes in enumerate(row.ticks):
        assert spikes.tolist() == np.flatnonzero(trace.values["s0"][tick, 1]).tolist()
    assert row.group == "s0" and not row.shades  # a spike is 1, and nothing else


def test_a_raster_shades_graded_spikes_and_groups_them_by_module() -> None:
    node = Neuron(name="blocks.1.attn.mt", inputs=("input",), model="threshold", params={"threshold": 1.0})
    graph = SimpleNamespace(
        of=lambda kind: [node], values={node.name: SimpleNamespace(shape=Shape(("C",), (5,)))}
    )
    trace = SimpleNamespace(values={node.name: np.array([[[0, 8, -1, 2, -8]], [[3, 0, 0, 0, 5]]])})
    (row,) = report.raster(graph, trace)
    assert (row.group, row.size, row.shades) == ("blocks.1", 5, ("4a1d", "23"))
    shown = charts.raster(
        {"raster": {"populations": [{**vars(row), "ticks": [t.tolist() for t in row.ticks]}]}}
    )
    assert [group["name"] for group in shown] == ["blocks.1"]
    assert (
        shown[0]["rows"][0]["drawing"].count("<path") == 6
        and 'class="spike sd"' in shown[0]["rows"][0]["drawing"]
    )
