"""The chip as a picture: routers on their grid, four or however many cores each, and the links between them.

Of more cores than can be looked at, one square stands for a chip, and the script draws the cores of the one opened.
"""

from __future__ import annotations

from collections import defaultdict
from math import ceil, prod, sqrt

import numpy as np

from ..ir.trace import Link, Router
from ..mapping.topology import Topology
from . import units
from .svg import Safe, drawing, line, rect, tag, text, title
from .words import Json

CORE, SEAM, GAP, EDGE = 21, 3, 24, 22
MOST_CORES = 1 << 16
#: of the map of chips: room for the number of the first chip of a row, and most chips in a row, as wide as the page
MARGIN, MOST_COLUMNS = 44, 44

#: what cores can be coloured by -> column of the core table, and of that of chips
MEASURES = {"fill": "fill", "energy": "energy_nominal_uj", "packets": "packets_in_mean"}
OF_CHIPS = {**MEASURES, "fill": "fill_mean"}


def drawable(report: Json) -> bool:
    """False for chips that are too large for a picture."""
    mesh = [report["target"][key] or 0 for key in ("routers_x", "routers_y", "cores_per_router")]
    return max(*mesh, prod(mesh)) <= MOST_CORES


def chips(report: Json) -> list[tuple[str, Safe]]:
    """One drawing per chip in use, by its name; cores carry their numbers as data for the script."""
    if not drawable(report):
        return []
    used: dict[int, list[Json]] = defaultdict(list)
    for row in report["cores"]:
        used[row["chip"]].append(row)
    tops = _tops(report["cores"], MEASURES)
    return [(label(report, chip), _chip(report, chip, used[chip], tops)) for chip in sorted(used)]


def overview(report: Json, rows: list[Json]) -> Safe:
    """One square for each chip in use, where it lies on its board; ``rows`` as :mod:`.perchip` makes them.

    Without a board they follow each other in the order of their numbers.
    """
    tops, topology = _tops(rows, OF_CHIPS), _topology(report)
    pitch = CORE + (GAP if topology.sides else SEAM)
    places, marks = _squares(rows, topology)
    parts: list[Safe] = _crossings(report, places, pitch) if topology.sides else []
    for y, mark in marks.items():
        parts.append(text(MARGIN - 6, y * pitch + CORE / 2 + 4, mark, "axis", "end"))
    for row in rows:
        x, y = places[row["chip"]]
        square = _square(MARGIN + x * pitch, y * pitch, _levels(row, tops, OF_CHIPS))
        hint = (
            f"{label(report, row['chip'])}: {row['cores']} cores, {units.percent(row['fill_mean'])} full, the fullest"
            f" {units.percent(row['fill_max'])}, {units.quantity(row['energy_nominal_uj'], 'uJ')}"
        )
        parts.append(
            tag("g", title(hint), square, class_="used", tabindex=0, role="button", data_chip=row["chip"])
        )
    columns, lines = (max(at) + 1 for at in zip(*places.values(), strict=True))
    width, height = MARGIN + columns * pitch, lines * pitch
    return drawing(width, height, "chips", *parts, min_width=min(width, 640), role="group")


def label(report: Json, chip: int) -> str:
    """The number of a chip and, on a board, where it lies."""
    topology = _topology(report)
    place = topology.spots(np.array(chip)).tolist() if topology.sides else []
    where = " ".join(f"{axis}{n}" for axis, n in zip("xyz", place, strict=False))
    return f"chip {chip} ({where})" if where else f"chip {chip}"


def _topology(report: Json) -> Topology:
    sides = (report["target"][key] for key in ("chips_x", "chips_y"))
    return Topology(tuple(side for side in sides if side))


def _squares(rows: list[Json], topology: Topology) -> tuple[dict[int, tuple[int, int]], dict[int, str]]:
    """Column and line of each chip, and what stands before a line: its first chip, or its row on the board."""
    chips = [row["chip"] for row in rows]
    if not topology.sides:
        columns = min(MOST_COLUMNS, ceil(sqrt(2 * len(rows))))
        places = {chip: (i % columns, i // columns) for i, chip in enumerate(chips)}
        return places, {i: str(chip) for i, chip in enumerate(chips[::columns])}
    x, y, *deep = topology.spots(np.array(chips)).tolist()
    z = deep[0] if deep else [0] * len(chips)
    order, high = {layer: i for i, layer in enumerate(sorted(set(z)))}, max(y) + 2  # a line between layers
    lines = [order[k] * high + j for j, k in zip(y, z, strict=True)]
    marks = {line: f"y{j} z{k}" if deep else f"y{j}" for line, j, k in zip(lines, y, z, strict=True)}
    return dict(zip(chips, zip(x, lines, strict=True), strict=True)), marks


def _crossings(report: Json, places: dict[int, tuple[int, int]], pitch: float) -> list[Safe]:
    """Traffic between chips that are drawn beside each other."""
    found = []
    for row in report["links"]:
        start, end = Router.parse(row["from"]), Router.parse(row["to"])
        if start and end and start.chip in places and end.chip in places and start.chip != end.chip:
            (x, y), (to_x, to_y) = places[start.chip], places[end.chip]
            if abs(x - to_x) + abs(y - to_y) == 1:
                found.append((x, y, to_x, to_y, row))
    top, parts = max((row["packets"] for *_, row in found), default=0) or 1, []
    for x, y, to_x, to_y, row in found:
        shift = 4 if (to_x, to_y) > (x, y) else -4  # its two directions lie side by side
        aside, below = (0, shift) if x != to_x else (shift, 0)
        left, top_y = MARGIN + CORE / 2 + aside, CORE / 2 + below
        wire = line(left + x * pitch, top_y + y * pitch, left + to_x * pitch, top_y + to_y * pitch, "wire")
        hint = f"{row['from']} → {row['to']}: {units.count(row['packets'])} packets per inference"
        level = row["packets"] / top
        parts.append(
            tag("g", title(hint), wire, stroke_width=1 + 4 * level, stroke_opacity=0.25 + 0.75 * level)
        )
    return parts


def geometry(report: Json) -> str:
    """What the script needs to draw a chip as :func:`chips` does: sizes in pixels, then routers and their cores."""
    target = report["target"]
    sizes = CORE, SEAM, GAP, EDGE, target["routers_x"], target["routers_y"], target["cores_per_router"]
    return " ".join(map(str, sizes))


def scale(rows: list[Json], by_chip: bool) -> dict[str, str]:
    """What the darkest colour stands for, by measure."""
    tops = _tops(rows, OF_CHIPS if by_chip else MEASURES)
    whole = "100 % of the limit, on average" if by_chip else "100 % of the limit"
    return {
        "fill": whole,
        "energy": units.quantity(tops["energy"], "uJ"),
        "packets": units.count(tops["packets"]),
    }


def _tops(rows: list[Json], measures: dict[str, str]) -> dict[str, float]:
    """What the darkest colour stands for: the limit of a resource, else the largest there is."""
    most = {name: max((row[key] or 0 for row in rows), default=0) for name, key in measures.items()}
    return {**most, "fill": 1.0}


def _levels(row: Json, tops: dict[str, float], measures: dict[str, str]) -> dict[str, float]:
    """Each measure as a share of what the darkest colour stands for."""
    return {n: round((row[key] or 0) / tops[n], 3) if tops[n] else 0.0 for n, key in measures.items()}


def _square(x: float, y: float, levels: dict[str, float]) -> Safe:
    told = {f"data_{name}": level for name, level in levels.items()}
    return rect(x, y, CORE, CORE, "core", rx=2, fill_opacity=0.12 + 0.88 * levels["fill"], **told)


def _chip(report: Json, chip: int, rows: list[Json], tops: dict[str, float]) -> Safe:
    target = report["target"]
    across = ceil(sqrt(target["cores_per_router"]))
    side = across * CORE + (across - 1) * SEAM
    pitch = side + GAP
    width = EDGE + target["routers_x"] * pitch + EDGE - GAP
    height = EDGE + target["routers_y"] * pitch
    by_router: dict[tuple[int, int], list[Json]] = defaultdict(list)
    for row in rows:
        by_router[row["x"], row["y"]].append(row)
    parts = _links(report, chip, side, pitch)
    for x in range(target["routers_x"]):
        parts.append(text(EDGE + x * pitch + side / 2, 12, f"x{x}", "axis", "middle"))
        for y in range(target["routers_y"]):
            slots = _slots(by_router[x, y], target["cores_per_router"])
            parts += _router(slots, EDGE + x * pitch, EDGE + y * pitch, across, tops)
    for y in range(target["routers_y"]):
        parts.append(text(EDGE - 5, EDGE + y * pitch + side / 2 + 4, f"y{y}", "axis", "end"))
    return drawing(width, height, f"chip {chip}", *parts, min_width=min(width, 280), role="group")


def _slots(rows: list[Json], size: int) -> list[Json | None]:
    """The cores of one router at their places; by order where their indices do not tell."""
    places = {row["core"] % size: row for row in rows}
    if len(places) < len(rows):
        places = dict(enumerate(rows))
    return [places.get(slot) for slot in range(max(size, len(rows)))]


def _router(
    slots: list[Json | None], left: float, top: float, across: int, tops: dict[str, float]
) -> list[Safe]:
    parts = []
    for slot, row in enumerate(slots):
        x, y = left + slot % across * (CORE + SEAM), top + slot // across * (CORE + SEAM)
        parts.append(rect(x, y, CORE, CORE, "core idle", rx=2) if row is None else _core(row, x, y, tops))
    return parts


def _core(row: Json, x: float, y: float, tops: dict[str, float]) -> Safe:
    hint = (
        f"core {row['core']}: {units.percent(row['fill'])} of {units.words(row['limiting'])},"
        f" {units.quantity(row['energy_nominal_uj'], 'uJ')}, {', '.join(row['layers'][:4])}"
    )
    square = _square(x, y, _levels(row, tops, MEASURES))
    more = {"role": "button", "aria_label": hint, "data_core": row["core"]}
    return tag("g", title(hint), square, class_="used", tabindex=0, **more)


def _links(report: Json, chip: int, side: float, pitch: float) -> list[Safe]:
    """Traffic between neighbours: right or down-going links lie above or left of their opposites."""
    rows = []
    for row in report["links"]:
        start, end = Router.parse(row["from"]), Router.parse(row["to"])
        if start is not None and end is not None and start.chip == end.chip == chip:
            rows.append((Link(start, end), row))
    top = max((row["packets"] for _, row in rows), default=0) or 1
    parts = []
    for link, row in rows:
        level = row["packets"] / top
        hint = f"{row['from']} → {row['to']}: {units.count(row['packets'])} packets per inference, peak {row['peak']}"
        wire, thick = line(*_ends(link, side, pitch), "wire"), 1 + 4 * level
        parts.append(tag("g", title(hint), wire, stroke_width=thick, stroke_opacity=0.25 + 0.75 * level))
    return parts


def _ends(link: Link, side: float, pitch: float) -> tuple[float, float, float, float]:
    """x1, y1, x2, y2 of a link between neighbours; its two directions lie side by side."""
    a, b = link
    along = 1 if a[1] != b[1] else 2
    forward = b[along] > a[along]
    start = EDGE + a[along] * pitch + (side + 2 if forward else -2)
    end = EDGE + b[along] * pitch + (-2 if forward else side + 2)
    across = EDGE + a[3 - along] * pitch + side / 2 + (-4 if forward else 4)
    return (start, across, end, across) if along == 1 else (across, start, across, end)
