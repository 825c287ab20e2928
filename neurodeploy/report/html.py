"""The page: one HTML file without any outside resource, made from the report's data alone."""

from __future__ import annotations

import base64
import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from ..errors import Problem, grouped
from ..files import write_text
from . import charts, chipmap, console, units
from .dataflow import dataflow
from .files import PAGE, read
from .svg import Safe

Json = dict[str, Any]

#: columns shown at first; the others appear with "all columns"
FIRST_COLUMNS = {
    "layers": (
        "name",
        "op",
        "input_code",
        "output_code",
        "shape",
        "parameters",
        "activity",
        "synaptic_ops",
        "product_ops",
        "neuron_updates",
        "microcode_ops",
        "sqnr_db",
        "energy_nominal_uj",
        "energy_share",
        "cores",
        "grade",
    ),
    "cores": (
        "core",
        "x",
        "y",
        "neurons_used",
        "synapse_words_used",
        "total_words_used",
        "limiting",
        "fill",
        "packets_in_mean",
        "packets_out_mean",
        "energy_nominal_uj",
        "layers",
    ),
    "links": ("from", "to", "class", "packets", "peak", "capacity_share"),
}


def page(report: Json) -> str:
    """The whole page as text."""
    template = _environment().get_template("page.html.j2")
    script = _asset("page.js")
    rendered = template.render(
        r=report,
        css=Safe(_asset("page.css")),
        script=Safe(script),
        # The policy names the one script of the page, so nothing that slipped into it could ever run.
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        drawings=drawings(report),
        headlines=headlines(report),
        problems=problems(report),
        first=FIRST_COLUMNS,
        how_made=console.how_made(report),
        synthetic=console.synthetic(report),
        in_lava=console.lava(report),
        kind=console.kind(report),
    )
    return rendered.lstrip()


def write(report: Json, folder: Path) -> Path:
    """Write report.html into a build folder; returns its path."""
    path = Path(folder) / PAGE
    write_text(path, page(report))
    return path


def render(folder: Path) -> Path:
    """Write report.html of a build folder again from its report.json alone; returns its path."""
    return write(read(Path(folder)), Path(folder))


def drawings(report: Json) -> dict[str, Any]:
    """Every drawing by name; None where there is nothing to draw."""
    ticks, accuracy = report["ticks"], report["accuracy"]["by_timestep"]
    return {
        "breakdown": charts.breakdown(report),
        "layers": charts.layer_energy(report),
        "latency": charts.latency(report),
        "accuracy": charts.over_ticks(accuracy, "accuracy after each tick", "percent", 1.0),
        "spikes": charts.over_ticks(ticks["spikes"], "spikes in each tick", "count"),
        "operations": charts.over_ticks(ticks["operations"], "operations in each tick", "count"),
        "raster": charts.raster(report),
        "widths": charts.widths(report),
        "links": charts.link_load(report),
        "chips": chipmap.chips(report),
        "dataflow": dataflow(report),
        "edges": charts.shares(report["purity"]["edges"], "code", "edges by code"),
        "work": charts.shares(report["purity"]["work"], "code", "work by code"),
        "silicon": charts.shares(report["silicon"], "grade", "operations by grade"),
    }


def problems(report: Json) -> list[Problem]:
    """What does not fit, then what is worth knowing: each once, with the first places of the same cause."""
    # Warnings of the mapping are among those of the build, unless that went on from a mapping it found.
    rows = {json.dumps(row): row for row in [*report["mapping"]["problems"], *report["warnings"]]}
    return grouped(Problem(**{**row, "fixes": tuple(row["fixes"])}) for row in rows.values())


def headlines(report: Json) -> list[Json]:
    """The cards of the verdict: label, value, a line below, a tone, and the definition behind it."""
    cards = _headlines(report)
    label = console.synthetic(report)
    for card in cards if label else ():
        card["label"] += f" ({label})" if card["measured"] else ""
    return cards


def _headlines(report: Json) -> list[Json]:
    mapping, truth, accuracy = report["mapping"], report["bit_true"], report["accuracy"]
    why = lambda key: console.why(report, key)
    fits = {None: (units.NONE, ""), True: ("fits", "good"), False: ("does not fit", "bad")}[mapping["fits"]]
    equal = {None: (units.NONE, ""), True: ("equal", "good"), False: ("differs", "bad")}[truth["equal"]]
    return [
        _card(
            "Mapping",
            fits[0],
            f"{mapping['cores_used']} of {mapping['cores_total']} cores, limited by"
            f" {units.words(mapping['limiting_resource'])}"
            + (f"; {console.chips(report)}" if console.chips(report) else "")
            if mapping["cores_used"] is not None
            else why("mapping.cores_used"),
            fits[1],
            measured=console.weighed(report),
        ),
        _card("Bit-true", equal[0], _truth(truth) or why("bit_true.equal"), equal[1]),
        _card(
            "Accuracy, integer",
            units.percent(accuracy["integer"]),
            _levels(accuracy) or why("accuracy.integer"),
        ),
        _card(
            "Spike-driven work",
            units.percent(report["purity"]["spike_driven"]),
            _operators(report) or why("purity.spike_driven"),
            key="purity",
            measured=True,
        ),
        _card(
            "Energy per inference",
            units.quantity(report["energy_uj"]["nominal"], "uJ"),
            _band(report["energy_uj"], "uJ") or why("energy_uj.nominal"),
            key="energy_uj",
            measured=True,
        ),
        _card(
            "Latency",
            units.quantity(report["latency_ms"]["nominal"], "ms"),
            _band(report["latency_ms"], "ms") or why("latency_ms.nominal"),
            key="latency_ms",
            measured=True,
        ),
        _card(
            "Throughput, pipelined",
            units.rate(report["throughput_per_s"]),
            "a result every T steps" if report["throughput_per_s"] else why("throughput_per_s"),
            key="throughput_per_s",
            measured=True,
        ),
        _card(
            "ANN baseline",
            units.quantity(report["ann_baseline_uj"], "uJ"),
            "lower bound: int8 MACs and SRAM, dynamic energy only"
            if report["ann_baseline_uj"] is not None
            else why("ann_baseline_uj"),
            key="ann_baseline_uj",
        ),
        _card(
            "Paper metric",
            units.quantity(report["energy_paper_uj"], "uJ"),
            f"{units.percent(report['energy_paper_ratio'])} of the same layers as MACs"
            if report["energy_paper_ratio"] is not None
            else why("energy_paper_ratio"),
            key="energy_paper_uj",
            measured=True,
        ),
        _card(
            "Warnings",
            str(len(report["warnings"])),
            ", ".join(dict.fromkeys(w["code"] for w in report["warnings"])) or "none",
            "warn" if report["warnings"] else "",
        ),
    ]


def _card(label: str, value: str, below: str, tone: str = "", key: str = "", measured: bool = False) -> Json:
    """``measured``: its numbers depend on activity."""
    return {"label": label, "value": value, "below": below, "tone": tone, "key": key, "measured": measured}


def _truth(found: Json) -> str:
    if found["equal"] is None:
        return ""
    compared = f"{' = '.join(found['backends'])}, {found['samples']} samples"
    return compared if found["equal"] else found["divergence"] or compared


def _levels(found: Json) -> str:
    if found["integer"] is None:
        return ""
    above = [
        f"{level} {units.percent(found[level])}" for level in ("float", "spiking") if found[level] is not None
    ]
    return ", ".join([*above, f"n = {found['samples']}"])


def _operators(report: Json) -> str:
    purity = report["purity"]
    if purity["spike_driven"] is None:
        return ""
    left = ", ".join(f"{count} {units.words(op)}" for op, count in purity["operators"].items())
    return f"dense operators left: {left}" if left else "no dense operators left"


def _band(values: Json, unit: str) -> str:
    if values["nominal"] is None:
        return ""
    return f"{units.quantity(values['low'], unit)} .. {units.quantity(values['high'], unit)}"


def cell(value: Any, unit: str) -> str:
    """A cell of a table: numbers for people, a dash where there is nothing."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, str):
        return value
    if unit == "%":
        return units.percent(value)
    return (
        units.quantity(value, "uJ")
        if unit == "uJ"
        else units.count(value)
        if not unit
        else units.digits(value)
    )


def rank(value: Any) -> str:
    """What a cell sorts by."""
    if value is None:
        return ""
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("neurodeploy.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "count": units.count,
        "percent": units.percent,
        "quantity": units.quantity,
        "digits": units.digits,
        "words": units.words,
        "cell": cell,
        "rank": rank,
    }
    return environment


@cache
def _asset(name: str) -> str:
    return (Path(__file__).parent / "templates" / name).read_text(encoding="utf-8")
