"""The dataflow graph as a layered drawing: one column per rank, coloured by the code that each node sends.

A line that skips ranks gets a place of its own in every column it crosses, so that it passes between the boxes. What
feeds back swings below them.
"""

from __future__ import annotations

from collections import defaultdict

from .svg import Safe, drawing, rect, shorten, tag, text, title
from .words import Json

Point = tuple[float, float]
#: a node in the column of its rank, or the line from a node on its way through a later column
Stop = tuple[str, int]

WIDTH, HEIGHT, COLUMN, ROW, EDGE = 112, 34, 150, 44, 10
MOST_NODES = 600


def dataflow(report: Json) -> Safe | None:
    """The drawing, or None for networks too large to read as a picture."""
    nodes = report["network"]
    if not nodes or len(nodes) > MOST_NODES:
        return None
    ranks = {node["name"]: node["rank"] for node in nodes}
    if not all(0 <= rank < len(nodes) for rank in ranks.values()):
        raise ValueError("a rank beyond the longest path")
    at = places(nodes)
    lines = [_line(source, node, ranks, at) for node in nodes for source in node["reads"]]
    codes = {node["name"]: node["code"] for node in nodes}
    edges = [tag("path", d=path, class_=f"edge edge-{codes[source]}") for source, path in lines]
    boxes = [_box(node, *at[node["name"], node["rank"]]) for node in nodes]
    width = max(x for x, _ in at.values()) + WIDTH + EDGE
    height = max(y for _, y in at.values()) + HEIGHT + EDGE
    return drawing(width, height, "dataflow graph", *edges, *boxes, min_width=width)


def places(nodes: list[Json]) -> dict[Stop, Point]:
    """Left upper corner of every stop: columns by rank, rows near the middle of what comes before."""
    before = stops(nodes)
    columns: dict[int, list[Stop]] = defaultdict(list)
    for stop in before:
        columns[stop[1]].append(stop)
    tallest = max(len(column) for column in columns.values())
    slot: dict[Stop, float] = {}
    for rank in sorted(columns):
        ordered = sorted(columns[rank], key=lambda stop: _middle(before[stop], slot))
        start = (tallest - len(ordered)) / 2
        slot |= {stop: start + index for index, stop in enumerate(ordered)}
    return {stop: (EDGE + stop[1] * COLUMN, EDGE + row * ROW) for stop, row in slot.items()}


def stops(nodes: list[Json]) -> dict[Stop, list[Stop]]:
    """Every stop with the stops of the column before it that lead there."""
    ranks = {node["name"]: node["rank"] for node in nodes}
    before: dict[Stop, list[Stop]] = {}
    for node in nodes:
        forward = [source for source in node["reads"] if ranks[source] < node["rank"]]
        before[node["name"], node["rank"]] = [(source, node["rank"] - 1) for source in forward]
        for source in forward:
            for rank in range(ranks[source] + 1, node["rank"]):
                before[source, rank] = [(source, rank - 1)]
    return before


def _middle(before: list[Stop], slot: dict[Stop, float]) -> float:
    return sum(slot[stop] for stop in before) / len(before) if before else 0.0


def _box(node: Json, x: float, y: float) -> Safe:
    return tag(
        "g",
        title(f"{node['name']}: {node['op']}, sends {node['code']}"),
        rect(x, y, WIDTH, HEIGHT, "node-back", rx=5),
        rect(x, y, WIDTH, HEIGHT, f"node code-{node['code']}", rx=5),
        text(x + WIDTH / 2, y + 14, shorten(node["op"], 16), "node-op", "middle"),
        text(x + WIDTH / 2, y + 27, shorten(node["name"], 20), "node-name", "middle"),
    )


def _line(source: str, node: Json, ranks: dict[str, int], at: dict[Stop, Point]) -> tuple[str, str]:
    """(source, path) from a source through the columns between to the node that reads it."""
    x, y = at[source, ranks[source]]
    if ranks[source] >= node["rank"]:
        x1, y1 = at[node["name"], node["rank"]]
        low, middle = max(y, y1) + HEIGHT + ROW / 2, WIDTH / 2
        curve = f"C{x + middle:.0f} {low:.0f} {x1 + middle:.0f} {low:.0f} {x1 + middle:.0f} {y1 + HEIGHT:.0f}"
        return source, f"M{x + middle:.0f} {y + HEIGHT:.0f}{curve}"
    path = [f"M{x + WIDTH:.0f} {y + HEIGHT / 2:.0f}"]
    for rank in range(ranks[source] + 1, node["rank"] + 1):
        last = rank == node["rank"]
        x1, y1 = at[(node["name"] if last else source), rank]
        start = x + WIDTH
        bend = (x1 - start) / 2
        a, b = y + HEIGHT / 2, y1 + HEIGHT / 2
        path.append(f"C{start + bend:.0f} {a:.0f} {x1 - bend:.0f} {b:.0f} {x1:.0f} {b:.0f}")
        if not last:
            path.append(f"H{x1 + WIDTH:.0f}")
        x, y = x1, y1
    return source, "".join(path)
