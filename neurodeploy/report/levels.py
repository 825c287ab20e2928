"""Drawings of a network beside itself: float source, spiking network and integers, layer by layer and tick by tick."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby, pairwise
from math import floor
from typing import Any

from . import units
from .svg import Frame, Safe, drawing, framed, heights, line, rect, tag, text, ticks, title, within
from .words import Json, at

#: level -> what it is called here
NAMES = {"source": "float", "spiking": "spiking", "integer": "integer"}
#: the two noises of a layer, and between which levels each is
NOISES = {
    "noise_db": ("spiking", "spiking against float"),
    "quantised_db": ("integer", "integer against spiking"),
}
EQUAL = 200.0  # dB: no difference at all
MOST_DB = 80.0  # what lies beyond is drawn at this end
FIRST = 8  # layers that are drawn at once: those of the most noise; a drawer holds the others
MOST_CLASSES = 24  # of a table of confusions; of more classes the most frequent confusions are listed
MOST_PAIRS = 24
SIDE = 108  # of a histogram and a scatter
MOST_SIDE = 64  # of a picture
CODES = "0123456789abcdefghijklmnopqrstuv"


def accuracy(report: Json) -> Safe | None:
    """Accuracy after each tick of all levels, on an axis that ends close to them."""
    found = reversed(
        at(report, "accuracy.by_level") or ()
    )  # the float source, which is dashed, over the others
    rows = {row["level"]: row["by_timestep"] for row in found if row["by_timestep"]}
    if not rows:
        return None
    width, height, left, right, base, top = 420, 200, 58, 66, 168, 12
    values = [value for found in rows.values() for value in found]
    # some room below as well: where all are right at once, the axis still has a length
    least, most = max(0.0, floor((min(values) - 0.004) * 50) / 50), min(1.0, max(values) + 0.004)
    marks = [least + mark for mark in ticks(most - least, 4) if least + mark <= 1 + 1e-9]
    scale, count = (base - top) / (max(most, marks[-1]) - least), max(map(len, rows.values()))
    pitch = (width - left - right) / max(count - 1, 1)
    fine = 0 if (marks[1] - marks[0] if len(marks) > 1 else 1) >= 0.01 else 1
    parts = heights([mark - least for mark in marks], left, width - right + 8, base, scale,
                    lambda value: units.percent(least + value, fine))  # fmt: skip
    ends: list[float] = []
    for level, found in rows.items():
        places = [(left + i * pitch, base - (value - least) * scale, value) for i, value in enumerate(found)]
        where = [f"{x:.1f},{y:.1f}" for x, y, _ in places]
        if len(found) == 1:  # a network without ticks
            where.append(f"{width - right},{places[0][1]:.1f}")
        parts.append(tag("polyline", points=" ".join(where), class_=f"over-ticks level-{level}"))
        for i, (x, y, value) in enumerate(places):
            hint = f"{NAMES.get(level, level)}, tick {i + 1}: {units.percent(value, 2)}"
            parts.append(tag("circle", title(hint), cx=x, cy=y, r=3, class_=f"level-{level}"))
        y = _free(places[-1][1], ends)
        parts.append(text(width - right + 8, y + 4, NAMES.get(level, level), "value"))
    for i in range(count):
        if count <= 12 or (i + 1) % 8 == 0:
            parts.append(text(left + i * pitch, base + 18, str(i + 1), "axis", "middle"))
    parts.append(text((left + width - right) / 2, height - 2, "tick", "axis", "middle"))
    return drawing(width, height, "accuracy after each tick by level", *parts, min_width=300)


def _free(y: float, taken: list[float]) -> float:
    """The nearest height at which a name covers none of the others."""
    steps = (y + sign * step for step in range(0, 200, 2) for sign in (-1, 1))
    found = next((place for place in steps if all(abs(place - other) >= 13 for other in taken)), y)
    taken.append(found)
    return found


def noise(report: Json) -> Safe | None:
    """Signal to noise of every layer in the order of the network, and the tick at which its integers part."""
    rows = at(report, "beside.layers") or ()
    if not rows:
        return None
    known = [row[key] for row in rows for key in NOISES if row[key] is not None and row[key] < EQUAL]
    least, most = min([0.0, *known]), min(MOST_DB, max([10.0, *known]))
    marks = [mark + 10 * floor(least / 10) for mark in ticks(most - 10 * floor(least / 10))]
    return framed(lambda frame: _noise(rows, marks, frame))


def _noise(rows: Sequence[Json], marks: Sequence[float], frame: Frame) -> Safe:
    high = 18 + frame.above
    scale = (frame.width - frame.label - (16 if frame.above else 190)) / (marks[-1] - marks[0])
    height = len(rows) * high + 30

    def place(db: float) -> float:
        return float(frame.label + (min(db, marks[-1]) - marks[0]) * scale)

    parts: list[Safe] = []
    for mark in marks:
        x = place(mark)
        parts += [
            line(x, 2, x, height - 24, "grid"),
            text(x, height - 8, f"{mark:g} dB", "axis", frame.anchor(x)),
        ]
    for i, row in enumerate(rows):
        y = 10 + i * high + frame.above
        hint = f"{row['name']}: " + ", ".join(f"{said} {_db(row[key])}" for key, (_, said) in NOISES.items())
        parts += [
            frame.name(y - 8 - frame.above, row["name"], hint),
            frame.noted(y - 8 - frame.above, parting(row)),
        ]
        dots = [(place(row[key]), level, f"{said}: {_db(row[key])}") for key, (level, said) in NOISES.items()
                if row[key] is not None and row[key] < EQUAL]  # fmt: skip
        parts += [line(a[0], y, b[0], y, "between") for a, b in pairwise(dots)]
        parts += [
            tag("circle", title(said), cx=x, cy=y, r=4, class_=f"level-{level}") for x, level, said in dots
        ]
    return within(frame, height, "signal to noise along the depth", *parts)


def _db(value: float | None) -> str:
    return "not known" if value is None else "no difference" if value >= EQUAL else f"{value:.1f} dB"


def parting(row: Json) -> str:
    """Where a population sends something else as integers; empty for what is none."""
    if row["tick"] is None:
        return ""
    return f"parts at tick {row['tick']}: {units.percent(row['parted'], 2)}" if row["tick"] else "never parts"


def layers(report: Json) -> tuple[list[Json], list[Json]]:
    """Layers with their drawings: those of the most noise, and the others, each in the order of the network."""
    rows = at(report, "beside.layers") or []
    worst = {row["name"] for row in sorted(rows, key=lambda row: min(_noises(row)))[:FIRST]}
    shown = [{"name": row["name"], "noises": [_db(row[key]) for key in NOISES], "parting": parting(row),
              "drawing": layer(row), "first": row["name"] in worst} for row in rows]  # fmt: skip
    return [row for row in shown if row["first"]], [row for row in shown if not row["first"]]


def _noises(row: Json) -> list[float]:
    return [row[key] for key in NOISES if row[key] is not None] or [MOST_DB]


def layer(row: Json) -> Safe:
    """Histograms of a layer at all levels, and its spiking and integer values over those of the float source."""
    low, high, side, gap = row["low"], row["high"], SIDE, 16
    most = max([1, *(n for counts in row["counts"].values() for n in counts)])
    parts = [rect(0, 0, side, side, "lane"), rect(side + gap, 0, side, side, "lane")]
    parts += [_steps(counts, most, level) for level, counts in row["counts"].items()]
    across = row["points"].get("source") or row["points"].get("spiking") or ()
    parts.append(line(side + gap, side, 2 * side + gap, 0, "grid"))
    for level in ("spiking", "integer"):
        found = row["points"].get(level) or ()
        if found is not across:
            where = [(round(side + gap + _share(a, low, high) * side), round(side - _share(b, low, high) * side))
                     for a, b in zip(across, found, strict=False)]  # fmt: skip
            parts.append(tag("path", d="".join(f"M{x} {y}h0" for x, y in dict.fromkeys(where)) or None,
                             class_=f"dots level-{level}"))  # fmt: skip
    parts += [
        text(0, side + 13, units.digits(low), "axis"),
        text(side, side + 13, units.digits(high), "axis", "end"),
    ]
    parts.append(text(2 * side + gap, side + 13, "over " + NAMES["source" if "source" in row["points"] else "spiking"],
                      "axis", "end"))  # fmt: skip
    label = f"values of {row['name']} by level"
    return drawing(2 * side + gap, side + 18, label, *parts, min_width=0)


def _share(value: float, low: float, high: float) -> float:
    return min(1.0, max(0.0, (value - low) / (high - low))) if high > low else 0.5


def _steps(counts: Sequence[int], most: int, level: str) -> Safe:
    """A histogram as a line of steps; heights are square roots, so that rare values are seen."""
    pitch = SIDE / max(len(counts), 1)
    tops = [round(SIDE - (max(n, 0) / most) ** 0.5 * (SIDE - 4)) for n in counts]
    path = "".join(f"V{y}H{round((i + 1) * pitch, 1):g}" for i, y in enumerate(tops))
    return tag("path", d=f"M0 {SIDE}{path}", class_=f"steps level-{level}")


# --- answers -----------------------------------------------------------------------------------------------------


def name(report: Json, label: int) -> str:
    """What a class is called."""
    classes = at(report, "accuracy.classes") or ()
    return classes[label] if 0 <= label < len(classes) else str(label)


def confusion(report: Json) -> Json:
    """How often the integers gave which answer: ``classes`` and ``rows`` of a table, or the most frequent ``pairs``."""
    found = at(report, "accuracy.confusion") or ()
    used = sorted({row[key] for row in found for key in ("label", "said")})
    if len(used) > MOST_CLASSES:
        wrong = [row for row in found if row["label"] != row["said"] and row["counts"].get("integer")]
        wrong.sort(key=lambda row: -row["counts"]["integer"])
        pairs = [{"label": name(report, row["label"]), "said": name(report, row["said"]), "counts": row["counts"]}
                 for row in wrong[:MOST_PAIRS]]  # fmt: skip
        return {"classes": [], "rows": [], "pairs": pairs}
    counts, ran = {(row["label"], row["said"]): row["counts"] for row in found}, _ran(found)
    rows = [
        {"label": name(report, a), "cells": [_cell(counts.get((a, b), {}), ran, a == b) for b in used]}
        for a in used
    ]
    return {"classes": [name(report, label) for label in used], "rows": rows, "pairs": []}


def _ran(rows: Sequence[Json]) -> list[str]:
    """The levels that gave answers."""
    return [level for level in NAMES if any(level in row["counts"] for row in rows)]


def _cell(counts: Json, ran: Sequence[str], right: bool) -> Json:
    found = {level: counts.get(level, 0) for level in ran}
    said = ", ".join(f"{NAMES[level]} {count}" for level, count in found.items())
    return {
        "count": counts.get("integer", 0),
        "right": right,
        "said": said,
        "apart": len(set(found.values())) > 1,
    }


def wrong(report: Json) -> list[Json]:
    """The samples that the integers get wrong, or answer as another level does not, with their pictures."""
    return [
        {"sample": row["sample"], "label": name(report, row["label"]), "text": row["text"],
         "said": [{"level": NAMES[level], "class": name(report, row["said"][level]),
                   "right": row["said"][level] == row["label"]} for level in NAMES if level in row["said"]],
         "picture": picture(row["picture"]) if row["picture"] else ""}
        for row in at(report, "accuracy.wrong") or ()
    ]  # fmt: skip


def seen(report: Json) -> Json | None:
    """The sample of the raster: picture or text, what it is, and what the integers answer."""
    for row in at(report, "raster.seen") or ():
        if not (row["picture"] or row["text"] or row["label"] is not None):
            return None
        label, said = (None if row[key] is None else name(report, row[key]) for key in ("label", "said"))
        return {
            "label": label, "said": said, "right": row["label"] == row["said"], "text": row["text"],
            "picture": picture(row["picture"]) if row["picture"] else "",
        }  # fmt: skip
    return None


def picture(found: Json) -> Safe:
    """A picture as one path of each colour; ValueError where it is none."""
    width, codes, palette = found["width"], found["codes"], found["palette"]
    if not 0 < width <= MOST_SIDE or len(codes) != width * found["height"]:
        raise ValueError("a picture of another size than it says")
    runs: dict[str, list[str]] = {}
    for y in range(found["height"]):
        x = 0
        for code, run in groupby(codes[y * width : (y + 1) * width]):
            size = len(list(run))
            runs.setdefault(_colour(palette, code), []).append(f"M{x} {y}.5h{size}")
            x += size
    paths = [tag("path", d="".join(parts), stroke=colour) for colour, parts in runs.items()]
    return tag("svg", *paths, viewBox=f"0 0 {width} {found['height']}", class_="picture", role="img",
               aria_label="the sample")  # fmt: skip


def _colour(palette: Any, code: str) -> str:
    colour = palette[CODES.index(code)]
    if not re.fullmatch("#[0-9a-f]{6}", colour):
        raise ValueError(f"{colour!r} is no colour")
    return str(colour)
