"""The drawings of the page, each a function of the report's data; None where there is nothing to draw.

They stay our own (:mod:`.svg`): a page is read without a script, printed, and asks nothing of a network. A library
would put its script into each page (Chart.js 210 kB on a canvas, d3 281 kB, Vega-Lite with Vega 832 kB, plotly's
basic bundle 1.2 MB), and show nothing without it; matplotlib, which draws :mod:`.plots` in sessions, is an extra.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Any

from ..cost.types import PARTS
from ..price import OVERHEAD
from . import units
from .inputs import SHADES
from .svg import (
    LABEL,
    WIDTH,
    Bar,
    Frame,
    Log,
    Safe,
    bars,
    drawing,
    framed,
    heights,
    line,
    named,
    rect,
    tag,
    text,
    ticks,
    title,
    within,
)
from .words import Json

MOST_ROWS = 24
MOST_POPULATIONS = 400
MOST_BITS = 1024
RASTER_COLUMNS, LANE = 512, 5
#: of graded spikes, whose runs are short: columns of all lanes together, and of one at least
MOST_CELLS, LEAST_COLUMNS = 20_000, 40
IMAGE_GAP = 8
#: which steps bear their number, by the room that one takes
EVERY, ROOM_OF_A_NUMBER = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000), 22


def breakdown(report: Json) -> Safe | None:
    """Energy of one inference by part, with its range; the baselines below on the same scale."""
    whole = report["energy_uj"]
    if whole["nominal"] is None:
        return None
    parts = [_segment(part, report["energy_breakdown_uj"][part]) for part in PARTS]
    piped = report["energy_pipelined_uj"]
    events = [_segment(part, uj) for part, uj in event_parts(report).items()]
    flowing = f"static, when a new inference starts every {report['period_steps']} steps"
    idle = (piped["nominal"] or 0.0) - sum(uj for _, uj, _ in events)
    steady = [*events, ("part-static", max(0.0, idle), f"{flowing}: {_uj(max(0.0, idle))}")]
    rows = [
        Bar("this network", parts, *_ends(whole)),
        Bar("its events alone", events, *_ends(report["energy_events_uj"])),
        Bar("in steady pipeline", steady, *_ends(piped)),
    ]
    for label, key in (
        ("ANN baseline (lower bound)", "ann_baseline_uj"),
        ("paper metric", "energy_paper_uj"),
    ):
        if report[key] is not None:
            share = f", 1/{whole['nominal'] / report[key]:,.0f}" if report[key] else ""
            rows.append(Bar(label, [("neutral", report[key], label)], note=_uj(report[key]) + share))
    return bars(rows, "energy per inference by part", _uj)


def _uj(value: float | None) -> str:
    return units.quantity(value, "uJ")


def _ends(values: Json) -> tuple[float, float, str]:
    """Whisker and note of a range."""
    return values["low"], values["high"], _uj(values["nominal"])


def event_parts(report: Json) -> dict[str, float]:
    """Nominal energy by part in uJ, without what flows when nothing happens."""
    terms = [t for t in report["energy_terms"] if t["key"] not in OVERHEAD]
    return {part: sum(t["energy_uj"]["nominal"] for t in terms if t["part"] == part) for part in PARTS}


def _segment(part: str, uj: float | None) -> tuple[str, float, str]:
    return f"part-{part}", uj or 0.0, f"{part}: {_uj(uj)}"


def layer_energy(report: Json) -> Safe | None:
    """Energy of each layer's own events, stacked by part, with the range of the sum; largest first."""
    rows = [r for r in report["layers"] if r["energy_nominal_uj"]]
    if not rows:
        return None
    rows.sort(key=lambda r: -r["energy_nominal_uj"])
    shown = [_layer_bar(row) for row in rows[:MOST_ROWS]]
    rest = rows[MOST_ROWS:]
    if rest:
        keys = [key for key in rest[0] if key.startswith("energy_")]
        sums = {key: sum(row[key] or 0.0 for row in rest) for key in keys}
        shown.append(_layer_bar({"name": f"{len(rest)} other layers", **sums}))
    return bars(shown, "energy by layer", _uj)


def _layer_bar(row: Json) -> Bar:
    segments = [_segment(part, row[f"energy_{part}_uj"]) for part in PARTS if part != "static"]
    return Bar(row["name"], segments, *_ends({k: row[f"energy_{k}_uj"] for k in ("low", "nominal", "high")}))


def latency(report: Json) -> Safe | None:
    """Time of every hardware step of a frame, coloured by what it waits for, with its range."""
    return framed(lambda frame: _latency(report["steps"], frame)) if report["steps"] else None


def _latency(steps: list[Json], frame: Frame) -> Safe:
    width, height, left, bottom = frame.width, 240, 60, 30
    marks = ticks(max(step["high_ns"] for step in steps), 4)
    pitch, scale = (width - left - 8) / len(steps), (height - bottom - 8) / marks[-1]
    base, every = height - bottom, next(n for n in EVERY if n * pitch >= ROOM_OF_A_NUMBER or n == EVERY[-1])
    parts = heights(marks, left, width, base, scale, lambda ns: units.quantity(ns * 1e-3, "us"))
    for index, step in enumerate(steps):
        parts += _step(step, left + index * pitch, pitch, base, scale)
        if step["step"] % every == 0:
            parts.append(text(left + (index + 0.5) * pitch, height - 12, str(step["step"]), "axis", "middle"))
    return within(frame, height, "time of each step", *parts)


def _step(step: Json, x: float, pitch: float, base: float, scale: float) -> list[Safe]:
    nominal = step["nominal_ns"]
    hint = (
        f"step {step['step']}: {units.quantity(nominal * 1e-3, 'us')}"
        f" [{units.digits(step['low_ns'] * 1e-3)} .. {units.digits(step['high_ns'] * 1e-3)}], waits for the"
        f" {step['bound']}, slowest core {step['core']}"
    )
    middle, high = x + pitch / 2, nominal * scale
    return [
        rect(x + pitch * 0.14, base - high, pitch * 0.72, high, f"bound-{step['bound']}", hint),
        line(middle, base - step["low_ns"] * scale, middle, base - step["high_ns"] * scale, "whisker"),
    ]


def floorline(report: Json) -> Safe | None:
    """Layers and steps by what their core reads and how long they last, over the floors of the target."""
    points = [(row, "step", f"step {row['step']}") for row in report["steps"] or ()]
    points += [(row, "layer", row["layer"]) for row in report["floorline"] or ()]
    times = [row["nominal_ns"] for row, _, _ in points if row["nominal_ns"]]
    if not times:
        return None
    floors, (left, right, top, base) = report["floors"], (70, WIDTH - 16, 12, 250)
    x = Log.over(
        [row["memory_reads"] for row, _, _ in points if row["memory_reads"] >= 1] or [1.0], left, right
    )
    y = Log.over([*times, floors["barrier"] or times[0]], base, top)
    parts = [
        part
        for mark in x.marks
        for part in (
            line(x.at(mark), top, x.at(mark), base, "grid"),
            text(x.at(mark), base + 16, units.count(mark), "axis", "middle"),
        )
    ]
    for mark in y.marks:
        parts += [
            line(left, y.at(mark), right, y.at(mark), "grid"),
            text(left - 6, y.at(mark) + 4, units.quantity(mark * 1e-3, "us"), "axis", "end"),
        ]
    parts += _floors(floors, x, y)
    parts += [_point(row, kind, name, x, y) for row, kind, name in points if row["nominal_ns"]]
    words = "words of synapse memory that the core reads in a step"
    parts.append(text((left + right) / 2, base + 34, words, "axis", "middle"))
    return drawing(WIDTH, base + 40, "bounds of layers and steps", *parts)


def _floors(floors: Json, x: Log, y: Log) -> list[Safe]:
    """The barrier, and the memory that is read."""
    lines = (
        [line(x.start, y.at(floors["barrier"]), x.end, y.at(floors["barrier"]), "limit")]
        if floors["barrier"]
        else []
    )
    each = floors["memory_read"]
    first, last = (max(x.low, y.low / each), min(x.high, y.high / each)) if each else (1.0, 0.0)
    if first < last:
        lines.append(line(x.at(first), y.at(first * each), x.at(last), y.at(last * each), "limit"))
    return lines


def _point(row: Json, kind: str, name: str, x: Log, y: Log) -> Safe:
    terms = ", ".join(f"{term} {units.quantity(ns * 1e-3, 'us')}" for term, ns in row["terms_ns"].items())
    where = f" of {row['layer']}" if kind == "step" and row["layer"] else ""
    lasts = units.quantity(row["nominal_ns"] * 1e-3, "us")
    hint = (
        f"{name}: {lasts} on core {row['core']}{where}, {row['bound']} ({terms}). Moves with: {row['change']}"
    )
    at = x.at(max(row["memory_reads"], x.low)), y.at(row["nominal_ns"])
    if kind == "step":
        return tag("circle", title(hint), cx=at[0], cy=at[1], r=4.5, class_=f"bound-{row['bound']} over")
    return rect(at[0] - 4, at[1] - 4, 8.0, 8.0, f"bound-{row['bound']} over", hint)


def over_ticks(values: list[float] | None, label: str) -> Safe | None:
    """A count in each tick: a line with its points named."""
    if not values:
        return None
    width, height, left, right, base = 420, 200, 52, 34, 168
    marks = ticks(max(values), 4)
    pitch, scale = (width - left - 2 * right) / max(len(values) - 1, 1), (base - 22) / marks[-1]
    points = [(left + right + i * pitch, base - v * scale) for i, v in enumerate(values)]
    parts = heights(marks, left, width, base, scale, units.count)
    parts.append(tag("polyline", points=" ".join(f"{x:.1f},{y:.1f}" for x, y in points), class_="curve"))
    sparse = len(values) <= 12
    for i, ((x, y), value) in enumerate(zip(points, values, strict=True)):
        hint = f"tick {i + 1}: {units.count(value)}"
        parts.append(tag("circle", title(hint), cx=x, cy=y, r=3.5, class_="point"))
        if sparse:
            parts.append(text(x, y - 9, units.count(value), "value", "middle"))
        if sparse or (i + 1) % 8 == 0:
            parts.append(text(x, base + 18, str(i + 1), "axis", "middle"))
    parts.append(text((left + width) / 2, height - 2, "tick", "axis", "middle"))
    return drawing(width, height, label, *parts, min_width=300)


def raster(report: Json) -> list[Json]:
    """Spikes of one sample, module by module: per population one lane per tick, a mark for each non-zero element."""
    shown = report["raster"]["populations"][:MOST_POPULATIONS]
    graded = sum(len(row["ticks"]) for row in shown if row["shades"])
    columns = min(RASTER_COLUMNS, max(LEAST_COLUMNS, MOST_CELLS // max(graded, 1)))
    groups: dict[str, list[Json]] = {}
    for row in shown:
        groups.setdefault(row["group"], []).append(_band(row, columns if row["shades"] else RASTER_COLUMNS))
    return [{"name": name, "rows": rows} for name, rows in groups.items()]


def _band(row: Json, columns: int) -> Json:
    """A population: its name, what it sent in words, and its lanes as wide as there is room."""
    high, cells = LANE * len(row["ticks"]), max(1, min(columns, row["size"]))
    count = sum(len(tick) for tick in row["ticks"])
    said = f"{row['name']}: {count:,} spikes of {row['size']:,} elements in {len(row['ticks'])} ticks"
    drawn = tag("svg", *_spikes(row, cells), viewBox=f"0 0 {cells} {high}", preserveAspectRatio="none",
                style=f"height:{high}px", role="img", aria_label=said)  # fmt: skip
    return {"name": row["name"], "said": said, "drawing": drawn}


def _spikes(row: Json, cells: int) -> Iterator[Safe]:
    """A path for each shade, as high as the lanes; of the elements that share a cell the largest counts."""
    paths: dict[str, str] = {}
    for index, tick in enumerate(row["ticks"]):
        found: dict[int, str] = {}
        shades = row["shades"][index] if row["shades"] else " " * len(tick)
        for element, shade in zip(tick, shades, strict=True):
            cell = element * cells // max(row["size"], 1)
            found[cell] = max(found.get(cell, shade), shade, key=_strength)
        for shade in sorted(set(found.values())):
            path, at = f"M0 {(index + 0.5) * LANE:g}", 0
            places = sorted(cell for cell, own in found.items() if own == shade)
            for _, run in groupby(enumerate(places), lambda item: item[1] - item[0]):
                first, *more = (place for _, place in run)
                path += f"m{first - at} 0h{len(more) + 1}"
                at = first + len(more) + 1
            paths[shade] = paths.get(shade, "") + path
    for shade, path in sorted(paths.items()):
        yield tag("path", d=path, class_="spike" if shade == " " else f"spike s{shade}")


def _strength(shade: str) -> int:
    return SHADES.find(shade) % (len(SHADES) // 2)


def widths(report: Json) -> Safe | None:
    """Bits that each layer's range needs, widest first, against the widths that the target has."""
    rows = [r for r in report["layers"] if r["bits"] is not None and r["range_bits"] is not None]
    rows = sorted(rows, key=lambda r: (-r["range_bits"], -r["bits"]))[:MOST_ROWS]
    if not rows:
        return None
    limits = {key: bits for key, bits in report["target"]["widths"].items() if bits}
    top = max([r["bits"] for r in rows] + list(limits.values()))
    if not 0 < top <= MOST_BITS:
        raise ValueError(f"{top} bits")
    return framed(lambda frame: _widths(rows, limits, top, frame))


def _widths(rows: list[Json], limits: dict[str, int], top: int, frame: Frame) -> Safe:
    high = 20 + frame.above
    scale, height = (
        (frame.width - frame.label - 16 - (0 if frame.above else 134)) / top,
        len(rows) * high + 44,
    )
    parts: list[Safe] = []
    for bits in sorted({*range(0, top + 1, 8), *limits.values()}):
        x = frame.label + bits * scale
        names = ", ".join(
            units.words(k).removesuffix(" bits") for k, value in limits.items() if value == bits
        )
        parts += [
            line(x, 2, x, height - 36, "limit" if names else "grid"),
            text(x, height - 22, f"{bits} bit", "axis", frame.anchor(x)),
            text(min(x, frame.width - 2.0), height - 7, names, "axis", "end" if frame.above else "middle"),
        ]
    for index, row in enumerate(rows):
        parts += _width(row, 4 + index * high, scale, frame)
    return within(frame, height, "range against bits", *parts)


def _width(row: Json, y: float, scale: float, frame: Frame) -> list[Safe]:
    how = "proven" if row["range_proven"] else "measured"
    hint = f"{row['name']}: needs {row['range_bits']} of {row['bits']} bits ({how})"
    return [
        frame.name(y - 1, row["name"], hint),
        frame.noted(y - 1, f"{row['range_bits']} of {row['bits']}, {how}"),
        rect(frame.label, y + frame.above, row["bits"] * scale, 13, "room", hint),
        rect(frame.label, y + frame.above + 3, row["range_bits"] * scale, 7, how, hint),
    ]


def shares(amounts: dict[str, float] | None, prefix: str, label: str) -> Safe | None:
    """One bar of shares, each named below it."""
    if not amounts or not any(amounts.values()):
        return None
    width, x = float(WIDTH), 0.0
    parts: list[Safe] = []
    for key, share in amounts.items():
        if share:
            hint = f"{units.words(key)}: {units.percent(share)}"
            parts.append(rect(x * width, 0, share * width, 18, f"{prefix}-{key}", hint))
        x += share
    return drawing(width, 18, label, *parts, min_width=260)


def link_load(report: Json) -> Safe | None:
    """The fullest links: packets per inference, and how much of their fullest step that takes."""
    rows = [r for r in report["links"] if r["packets"]][:12]
    if not rows:
        return None
    entries = []
    for r in rows:
        hint = f"{r['class']} link, {units.count(r['packets'])} packets, peak {r['peak']} per step"
        bar, note = (f"link-{r['class']}", r["packets"], hint), f"{units.percent(r['capacity_share'])} busy"
        entries.append(Bar(f"{r['from']} → {r['to']}", [bar], note=note))
    return bars(entries, "fullest links", units.count)


def images(report: Json) -> Safe | None:
    """A few images of every level, one row for each: a square for each pixel, equal neighbours in one."""
    rows = report["images"]["examples"]
    if not rows:
        return None
    width = (WIDTH - LABEL) / max(len(row["images"]) for row in rows)
    parts: list[Safe] = []
    for place, row in enumerate(rows):
        top = place * width
        parts.append(named(top + width / 2, row["name"], row["name"]))
        for column, image in enumerate(row["images"]):
            parts += _pixels(image, LABEL + column * width, top, width - IMAGE_GAP)
    return drawing(WIDTH, len(rows) * width, "images of every level", *parts)


def _pixels(image: list[Any], left: float, top: float, width: float) -> Iterator[Safe]:
    """An image (C, H, W) of whole numbers 0 .. 255."""
    grey = len(image) == 1
    size = width / len(image[0][0])
    for y, lines in enumerate(zip(*image, strict=True)):
        x = 0
        for colour, run in groupby(zip(*(lines * 3 if grey else lines), strict=True)):
            count = len(list(run))
            fill = "#" + "".join(f"{int(part) & 255:02x}" for part in colour)
            yield rect(left + x * size, top + y * size, count * size, size, "pixel", fill=fill)
            x += count
