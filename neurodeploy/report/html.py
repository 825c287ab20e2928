"""The page: one HTML file without any outside resource, made from the report's data alone."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from ..errors import Problem, grouped
from ..files import write_text
from ..price import LEVELS
from ..visible import visible
from . import charts, chipmap, figures, levels, perchip, units, words
from .dataflow import dataflow
from .figure import NUMBER, RANGE, Card, Figure
from .files import PAGE, read
from .packed import DIGITS, MOST_ROWS, Table, table
from .svg import Safe
from .words import Json

#: a cell where there is nothing
EMPTY = "\u2013"


def page(report: Json) -> str:
    """The whole page as text."""
    template = _environment().get_template("page.html.j2")
    script = _asset("page.js")
    by_chip = perchip.chips(report) if perchip.many(report) else []
    rendered = template.render(
        r=report,
        css=Safe(_asset("page.css")),
        script=Safe(script),
        # The policy names the one script of the page, so nothing that slipped into it could ever run.
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        drawings=drawings(report),
        headlines=headlines(report),
        beside=levels.layers(report),
        confusion=levels.confusion(report),
        wrong=levels.wrong(report),
        seen=levels.seen(report),
        listing=listing(report),
        problems=problems(report),
        how_made=words.how_made(report),
        synthetic=words.synthetic(report),
        unchecked=words.unchecked(report),
        tables=list(tables(report, by_chip)),
        overview=chipmap.overview(report, by_chip) if by_chip and chipmap.drawable(report) else "",
        geometry=chipmap.geometry(report),
        scale=chipmap.scale(by_chip or report["cores"], bool(by_chip)),
        plans=words.at(report, "mapping.plans"),
        expected={row["layer"]: row for row in words.at(report, "mapping.expected") or ()},
        expects=", ".join(words.expected(report)).removeprefix("longest "),
        most_groups=MOST_ROWS,
        most_populations=charts.MOST_POPULATIONS,
        shaded=any(row["shades"] for row in report["raster"]["populations"]),
        in_lava=", ".join(words.lava(report)),
        kind=words.kind(report),
    )
    return rendered.lstrip()


def inline(report: Json, path: str = "") -> str:
    """Verdict, energy and the first chip as a frame for a notebook, which shares no style with what is around it."""
    template = _environment().get_template("short.html.j2")
    many = perchip.many(report)
    shown = template.render(
        r=report, css=Safe(_asset("page.css")), headlines=headlines(report), kind=words.kind(report), page=path,
        breakdown=charts.breakdown(report), chips=[] if many else chipmap.chips(report)[:1],
    )  # fmt: skip
    style = "width:100%;height:40em;border:0"
    return f'<iframe sandbox title="report" style="{style}" srcdoc="{escape(shown.lstrip())}"></iframe>'


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
    ticks = report["ticks"]
    return {
        "breakdown": charts.breakdown(report),
        "layers": charts.layer_energy(report),
        "latency": charts.latency(report),
        "floorline": charts.floorline(report),
        "accuracy": levels.accuracy(report),
        "noise": levels.noise(report),
        "spikes": charts.over_ticks(ticks["spikes"], "spikes in each tick"),
        "messages": charts.over_ticks(ticks["messages"], "messages in each tick"),
        "event_ops": charts.over_ticks(ticks["event_ops"], "event operations in each tick"),
        "raster": charts.raster(report),
        "images": charts.images(report),
        "widths": charts.widths(report),
        "links": charts.link_load(report),
        "chips": [] if perchip.many(report) else chipmap.chips(report),
        "dataflow": dataflow(report),
        "edges": charts.shares(report["purity"]["edges"], "code", "edges by code"),
        "work": charts.shares(report["purity"]["work"], "code", "event operations by code"),
        "silicon": charts.shares(report["silicon"], "grade", "all operations by grade"),
    }


def tables(report: Json, by_chip: list[Json]) -> Iterator[Table]:
    """The tables; where the cores are many, with one of their chips, whose rows are given."""
    columns = report["columns"]
    yield table("layers", "Layers", columns["layers"], report["layers"])
    yield table("chips", "Chips", [c.described() for c in perchip.COLUMNS], by_chip)
    shown = [{**c, "first": c["first"] or (bool(by_chip) and c["name"] == "chip")} for c in columns["cores"]]
    yield table("cores", "Cores", shown, report["cores"], pack=bool(by_chip))
    yield table("links", "Links", columns["links"], report["links"], whole=False)


def problems(report: Json) -> list[Problem]:
    """What does not fit, then what is worth knowing: each once, with the first places of the same cause."""
    # Warnings of the mapping are among those of the build, unless that went on from a mapping it found.
    rows = {json.dumps(row): row for row in [*report["mapping"]["problems"], *report["warnings"]]}
    return grouped(Problem(**{**row, "fixes": tuple(row["fixes"])}) for row in rows.values())


def headlines(report: Json) -> list[Json]:
    """The cards of the verdict: label, value, a line below, a tone, and the definition behind it."""
    return [_card(report, figure, figure.card) for figure in figures.figures() if figure.card]


def _card(report: Json, figure: Figure, card: Card) -> Json:
    phrase, mark = figure.phrase(report), words.label(report, figure.key)
    value, below = units.NONE, words.why(report, figure.key)
    if phrase and words.at(report, figure.key) is not None:
        value, below = phrase[0], ", ".join(phrase[1:])
        if figure.kind is RANGE:
            low, value, high = (units.show(report[figure.key][level], figure.unit) for level in LEVELS)
            below = f"{low} .. {high}"
        elif figure.kind is NUMBER:
            value = units.show(words.at(report, figure.key), figure.unit)
        value = card.value(report) if card.value else value
        below = card.below(report) if card.below else below or ", ".join(phrase)
    return {
        "label": card.title + (f" ({mark})" if mark else ""),
        "value": value,
        "below": below,
        "tone": figure.tone(report) if figure.tone else "",
        "key": next((name for name in words.above(figure.key) if name in report["definitions"]), ""),
    }


def listing(report: Json) -> dict[str, list[Json]]:
    """Every figure that is a single line, by group: label, value or why it is missing, help and formula."""
    return {
        name: [_listed(report, figure) for figure in group.figures if figure.kind.say]
        for name, group in figures.GROUPS.items()
    }


def _listed(report: Json, figure: Figure) -> Json:
    phrase = figure.plain(report)
    text, why = ", ".join(phrase) or EMPTY, "" if phrase else words.why(report, figure.key)
    help = f"{figure.help}: {figure.formula}" if figure.formula else figure.help
    return {"key": figure.key, "label": figure.label, "value": text, "why": why,
            "mark": words.label(report, figure.key), "help": help}  # fmt: skip


def cell(value: Any, unit: str) -> str:
    """A cell of a table: numbers for people, a dash where there is nothing."""
    return EMPTY if value is None else units.show(value, unit)


def rank(value: Any, shown: str) -> Safe:
    """The attribute of what a cell sorts by, where that is not what it shows."""
    if isinstance(value, float):
        value = f"{value:.{DIGITS + 1}g}"
    found = "" if value is None else ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return Safe("" if found == shown else f' data-sort="{escape(visible(found))}"')


@cache
def _environment() -> Environment:
    loader = PackageLoader("neurodeploy.report", "templates")
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, finalize=_shown)
    environment.trim_blocks = environment.lstrip_blocks = True
    shown = {name: getattr(units, name) for name in ("count", "percent", "quantity", "digits", "words")}
    own = {"cell": cell, "group": lambda name: figures.GROUPS[name].title}
    environment.filters |= shown | own
    environment.globals["rank"] = rank
    return environment


def _shown(value: Any) -> Any:
    """What a template inserts: texts without control codes; markup of our own is what it is."""
    return visible(value) if type(value) is str else value


@cache
def _asset(name: str) -> str:
    return (Path(__file__).parent / "templates" / name).read_text(encoding="utf-8")
