"""The summary on the console, made from the report's data alone: its lines are those that the figures name."""

from __future__ import annotations

import io
from collections.abc import Iterable

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from ..visible import visible
from . import figures, units, words
from .figure import Figure
from .words import Json

TOP_LAYERS = 5
NAME = 42  # letters of a layer's name that stand on one line, whatever the width
GAP = "   "
STYLES = {"good": "bold green", "bad": "bold red", "warn": "yellow", "": ""}


def summary(report: Json, report_path: str = "") -> Group:
    """The summary as a rich renderable; colours appear on a terminal only."""
    mark = f"  ({words.marks(report)})" if words.marks(report) else ""
    said = (
        report["counts"].get("budget"),
        "counted from values and mapping" if report.get("sampled") else "",
    )
    cut = "".join(f"  {text}" for text in said if text)
    blocks: list[RenderableType] = [
        _grid(_lines(report, "verdict")),
        _text(f"Per inference  nominal [low .. high]{mark}{cut}", style="bold"),
        _grid(_lines(report, "costs"), indent=2),
    ]
    layers = top_layers(report)
    if layers:
        blocks += [_text(f"Top layers by energy{mark}", style="bold"), _layers(layers)]
    notes = dict(_lines(report, "notes"))
    blocks.append(_grid((notes | ({"Report": _text(report_path)} if report_path else {})).items()))
    return Group(*blocks)


def text(report: Json, report_path: str = "", width: int = 110) -> str:
    """The summary as plain text without control codes."""
    buffer = io.StringIO()
    console = Console(file=buffer, width=width, color_system=None, force_terminal=False, force_jupyter=False)
    console.print(summary(report, report_path))
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines()) + "\n"


def _grid(rows: Iterable[tuple[str, Text]], indent: int = 0) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="cyan", no_wrap=True)
    table.add_column(overflow="fold")
    for label, value in rows:
        table.add_row(" " * indent + label, value)
    return table


def _lines(report: Json, block: str) -> Iterable[tuple[str, Text]]:
    """Label and text of every line of a block that has something to say."""
    lines: dict[str, list[Figure]] = {}
    for figure in (f for group in figures.GROUPS.values() if group.block == block for f in group.figures):
        if figure.line:
            lines.setdefault(figure.line, []).append(figure)
    reasons: set[str] = set()
    for label, found in lines.items():
        if phrase := found[0].phrase(report):
            yield label, _line(report, phrase, *found)
        elif found[0].needs:  # what has none is on the console only where it has something to say
            reason = words.why(report, found[0].key)
            yield label, _text(units.NONE + (GAP + reason if reason not in reasons else ""))
            reasons.add(reason)


def _line(report: Json, phrase: tuple[str, ...], first: Figure, *others: Figure) -> Text:
    """The first figure and the others that there are; numbers from synthetic input say so."""
    tone = STYLES[first.tone(report) if first.tone else ""]
    said = [(words.label(report, first.key), (GAP.join(phrase[1:]),) if phrase[1:] else ())]
    for figure in others:
        if phrase_of := figure.phrase(report):
            label = "" if figure.say else f"{figure.label} "
            said.append((words.label(report, figure.key), (label + GAP.join(phrase_of),)))
    line = _text(phrase[0], style=tone)
    for place, (label, parts) in enumerate(said):
        ends = place + 1 == len(said) or said[place + 1][0] != label
        rest = (*parts, f"({label})") if label and ends else parts
        line.append_text(_text("".join(GAP + part for part in rest)))
    return line


def top_layers(report: Json, most: int = TOP_LAYERS) -> list[Json]:
    """The layers that take the most energy, first one first."""
    rows = [row for row in report["layers"] if row["energy_share"]]
    return sorted(rows, key=lambda row: -row["energy_share"])[:most]


def reason_of(layer: Json) -> str:
    """What most of a layer's energy goes to, in words."""
    causes = {"synapse": "synaptic_ops", "product": "product_ops", "neuron": "neuron_updates",
              "microcode": "microcode_ops", "network": "messages"}  # fmt: skip
    kind = causes[max(causes, key=lambda name: layer[f"energy_{name}_uj"] or 0.0)]
    return f"{units.count(layer[kind])} {units.words(kind).replace('ops', 'operations')}"


def _layers(rows: list[Json]) -> Table:
    table = Table.grid(padding=(0, 2))
    longest = max((len(row["name"]) for row in rows), default=0)
    table.add_column(overflow="fold", no_wrap=longest + 2 <= NAME)
    table.add_column(justify="right")
    table.add_column(justify="right")
    table.add_column()
    for row in rows:
        cause = _text(f"{row['op']}: {reason_of(row)}")
        energy = units.quantity(row["energy_nominal_uj"], "uJ")
        table.add_row(_text("  " + row["name"]), energy, units.percent(row["energy_share"]), cause)
    return table


def _text(content: str, style: str = "") -> Text:
    """Text as it is: names of a model are neither markup nor control codes of a terminal."""
    return Text(visible(content, ""), style=style)
