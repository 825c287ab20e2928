"""The summary on the console, made from the report's data alone."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from ..config import INTEGER
from . import units

TOP_LAYERS = 5
MISSING = "-"

Row = tuple[str, Text | str]


def summary(report: dict[str, Any], report_path: str = "") -> Group:
    """The summary as a rich renderable; colours appear on a terminal only."""
    blocks: list[RenderableType] = [
        _grid(_head(report)),
        _text(f"Per inference  nominal [low .. high]{_label(report, '  ')}", style="bold"),
        _grid(_costs(report), indent=2),
    ]
    layers = top_layers(report)
    if layers:
        blocks += [_text(f"Top layers by energy{_label(report, '  ')}", style="bold"), _layers(layers)]
    blocks.append(_grid(_tail(report, report_path)))
    return Group(*blocks)


def text(report: dict[str, Any], report_path: str = "", width: int = 110) -> str:
    """The summary as plain text without control codes."""
    buffer = io.StringIO()
    Console(file=buffer, width=width, color_system=None, force_terminal=False).print(
        summary(report, report_path)
    )
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines()) + "\n"


def _grid(rows: Iterable[Row], indent: int = 0) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="cyan", no_wrap=True)
    table.add_column(overflow="fold")
    for label, value in rows:
        table.add_row(" " * indent + label, value)
    return table


def _head(report: dict[str, Any]) -> Iterable[Row]:
    yield "Network", _text(f"{report['model']} ({report['system']})  {how_made(report)}")
    target = report["target"]
    yield "Target", _text(f"{target['name']} ({kind(report)})")
    if synthetic(report):
        yield (
            "Input",
            _text(f"{synthetic(report)}: {report['input']['text']}; no data were given", style="yellow"),
        )
    yield "Fits", _fits(report)
    yield "Spike-driven", _text(spike_driven(report) + _label(report))
    yield "Accuracy", _text(accuracy(report))
    yield "Bit-true", _bit_true(report)
    yield "Silicon", _text(silicon(report) + _label(report))
    if lava(report):
        yield "Lava", _text(lava(report) + _label(report))


def synthetic(report: dict[str, Any]) -> str:
    """What every number that depends on activity is called, empty where the network ran on data."""
    found = report.get("input") or {}
    return str(found.get("label") or "") if found.get("kind") == "synthetic" else ""


def _label(report: dict[str, Any], gap: str = "   ") -> str:
    """The mark behind numbers that depend on activity."""
    return f"{gap}({synthetic(report)})" if synthetic(report) else ""


def how_made(report: dict[str, Any]) -> str:
    """Method and time steps in words."""
    method = report["method"]
    ways = {"native": "natively trained", INTEGER: "integers as in the file"}
    made = ways.get(method, f"converted by {method}")
    bits = sorted({row["weight_bits"] for row in report["layers"] if row["weight_bits"]})
    return f"{made}, T={report['timesteps']}" + (f", weights up to {bits[-1]} bits" if bits else "")


def kind(report: dict[str, Any]) -> str:
    """What the target is, and that its numbers are estimates."""
    words = {"simulated": "simulated: estimates, not hardware", "software": "software: no prices"}
    return words.get(report["target"]["kind"], "hardware description: estimates, not measurements")


def _fits(report: dict[str, Any]) -> Text:
    mapping = report["mapping"]
    if mapping["fits"] is None:
        return _text(f"{MISSING}   {why(report, 'mapping.fits')}")
    used, whole = mapping["cores_used"], mapping["cores_total"]
    share = f" ({units.percent(used / whole)})" if whole else ""
    verdict = _text("yes", style="bold green") if mapping["fits"] else _text("no", style="bold red")
    more = f"   {chips(report)}" if chips(report) else ""
    return verdict.append(
        f"   cores {used}/{whole}{share}{more}   limiting resource:"
        f" {units.words(mapping['limiting_resource'])}{_label(report) if weighed(report) else ''}",
        style="default not bold",
    )


def chips(report: dict[str, Any]) -> str:
    """How many chips are in use or, where the cores do not suffice, would be needed; empty for one that does."""
    used, given = report["mapping"]["chips"] or 1, report["target"]["chips"]
    if used > given:
        return f"{used} chips are needed, {given} given"
    return f"chips {used}" if used > 1 else ""


def weighed(report: dict[str, Any]) -> bool:
    """Whether the cut into cores depends on activity."""
    return "mapping.cores_used" in (report.get("input") or {}).get("affects", ())


def spike_driven(report: dict[str, Any]) -> str:
    """Share of synaptic work that spikes drive, and the dense operators left."""
    purity = report["purity"]
    if purity["spike_driven"] is None:
        return f"{MISSING}   {why(report, 'purity.spike_driven')}"
    left = ", ".join(f"{count} {units.words(op)}" for op, count in purity["operators"].items())
    tail = f"dense operators left: {left} (on-core microcode)" if left else "no dense operators left"
    return f"{units.percent(purity['spike_driven'])} of synaptic work; {tail}"


def accuracy(report: dict[str, Any]) -> str:
    """Accuracy at the three levels."""
    found = report["accuracy"]
    near = report.get("agreement")
    if found["integer"] is None and near:
        kept = near["integer"]
        return (
            f"{MISSING}   agreement with the float model: cosine {kept['cosine']:.4f}, "
            f"rank {kept['rank']:.4f}   (n = {near['samples']})"
        )
    if found["integer"] is None and found["float"] is None:
        return f"{MISSING}   {why(report, 'accuracy.float')}"
    known = [level for level in ("float", "spiking", "integer") if found[level] is not None]
    levels = "  ->  ".join(f"{level} {units.percent(found[level])}" for level in known)
    return f"{levels}   (n = {found['samples']})"


def _bit_true(report: dict[str, Any]) -> Text:
    found = report["bit_true"]
    if found["equal"] is None:
        return _text(f"{MISSING}   {why(report, 'bit_true.equal')}")
    if found["equal"]:
        return _text(f"{' = '.join(found['backends'])} on {found['samples']} samples", style="green")
    return _text(f"NO   {found['divergence'] or 'backends differ'}", style="bold red")


def silicon(report: dict[str, Any]) -> str:
    """Share of work per grade of evidence."""
    if report["silicon"] is None:
        return f"{MISSING}   {why(report, 'silicon')}"
    shares = "   ".join(f"{grade} {units.percent(s)}" for grade, s in report["silicon"].items() if s)
    return f"{shares}   of operations" if shares else MISSING


def lava(report: dict[str, Any]) -> str:
    """How much of the synaptic work processes of Lava do; empty where nobody asked."""
    found = report.get("lava") or {}
    if found.get("share") is None:
        return ""
    own = [row["layer"] for row in found["layers"] if "own" in row["processes"].split(" + ")]
    tail = f"{len(own)} of {len(found['layers'])} layers have own ones as well" if own else "no own ones"
    return f"{units.percent(found['share'])} of synaptic events on its stock processes; {tail}"


def _costs(report: dict[str, Any]) -> Iterable[Row]:
    counts, label = report["counts"], _label(report, "").strip()
    operations = _added(counts["synaptic_ops"], counts["product_ops"])
    products = (
        f"of which products of spikes {units.percent(counts['product_ops'] / operations)}"
        if operations
        else ""
    )
    yield "synaptic operations", _pairs(units.count(operations), products, label)
    yield (
        "neuron updates",
        _pairs(
            units.count(counts["neuron_updates"]),
            f"spikes {units.count(counts['spikes'])}",
            f"packets {units.count(counts['packets'])}",
            f"hops {units.count(counts['hops'])}",
            label,
        ),
    )
    yield (
        "microcode operations",
        _pairs(
            units.count(counts["microcode_ops"]), label, f"dense MACs {units.count(counts['dense_macs'])}"
        ),
    )
    yield "energy", _energy(report)
    if references := _references(report):
        yield "", references
    yield (
        "latency",
        _pairs(
            units.span(report["latency_ms"], "ms") or _lacking(report, "latency_ms.nominal"),
            f"throughput {units.rate(report['throughput_per_s'])} (pipelined)"
            if report["throughput_per_s"] is not None
            else "",
            label,
        ),
    )


def _energy(report: dict[str, Any]) -> Text:
    span = units.span(report["energy_uj"], "uJ")
    if not span:
        return _text(_lacking(report, "energy_uj.nominal"))
    parts = sorted(report["energy_breakdown_uj"].items(), key=lambda item: -item[1])
    nominal = report["energy_uj"]["nominal"]
    shares = ", ".join(f"{part} {units.percent(uj / nominal, 0)}" for part, uj in parts[:4] if nominal and uj)
    return _pairs(span + _label(report, " "), shares)


def _references(report: dict[str, Any]) -> Text:
    """What the energy may be compared with, as far as it is known."""
    ratio, shown = report["energy_paper_ratio"], units.quantity
    events, baseline, paper = (
        report["energy_events_uj"]["nominal"],
        report["ann_baseline_uj"],
        report["energy_paper_uj"],
    )
    share = f" ({units.percent(ratio)} of the ANN's by that metric)" if ratio is not None else ""
    label = _label(report, " ")
    return _pairs(
        f"events alone {shown(events, 'uJ')}{label}" if events is not None else "",
        f"ANN baseline {shown(baseline, 'uJ')} (int8 MAC, same technology, dynamic)"
        if baseline is not None
        else "",
        f"paper metric {shown(paper, 'uJ')}{share}{label}" if paper is not None else "",
    )


def top_layers(report: dict[str, Any], most: int = TOP_LAYERS) -> list[dict[str, Any]]:
    """The layers that take the most energy, first one first."""
    rows = [row for row in report["layers"] if row["energy_share"]]
    return sorted(rows, key=lambda row: -row["energy_share"])[:most]


def reason_of(layer: dict[str, Any]) -> str:
    """What most of a layer's energy goes to, in words."""
    causes = {
        "synapse": ("synaptic_ops", "synaptic operations"),
        "product": ("product_ops", "product operations"),
        "neuron": ("neuron_updates", "neuron updates"),
        "microcode": ("microcode_ops", "microcode operations"),
        "network": ("spikes", "spikes sent"),
    }
    part = max(causes, key=lambda name: layer[f"energy_{name}_uj"] or 0.0)
    kind, label = causes[part]
    return f"{units.count(layer[kind])} {label}"


def _layers(rows: list[dict[str, Any]]) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True, overflow="ellipsis", max_width=48)
    table.add_column(justify="right")
    table.add_column(justify="right")
    table.add_column()
    for row in rows:
        cause = _text(f"{row['op']}: {reason_of(row)}")
        energy = units.quantity(row["energy_nominal_uj"], "uJ")
        table.add_row(_text("  " + row["name"]), energy, units.percent(row["energy_share"]), cause)
    return table


def _tail(report: dict[str, Any], report_path: str) -> Iterable[Row]:
    if report["uncounted"]:
        yield "Not counted", _text("; ".join(report["uncounted"]))
    codes = list(dict.fromkeys(w["code"] for w in report["warnings"]))
    hint = f"  ->  neurodeploy explain {codes[0]}" if codes else ""
    yield "Warnings", _text(f"{len(report['warnings'])}{hint}", style="yellow" if codes else "")
    if report_path:
        yield "Report", _text(report_path)


def why(report: dict[str, Any], key: str) -> str:
    """The reason why a value is missing."""
    return report["reasons"].get(key, "not known")


def _lacking(report: dict[str, Any], key: str) -> str:
    return f"{MISSING}   {why(report, key)}"


def _added(*values: float | None) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _pairs(*parts: str) -> Text:
    return _text("   ".join(part for part in parts if part))


def _text(content: str, style: str = "") -> Text:
    """Text as it is: names of a model are neither markup nor control codes of a terminal."""
    return Text("".join(c if c.isprintable() else "?" for c in content), style=style)
