"""The dataflow graph by modules: a drawing of what a module holds, top to bottom, and under it those of its modules.

Names of nodes are paths of modules. In each drawing a module is one box, whatever it holds, and what it reads from
outside stands dashed above it. A line that skips rows gets a place of its own in every row it crosses, so that it
passes between the boxes; what feeds back swings beside them.

The layout stays our own: what is drawn stands in the page without a script, at 40 kB for a network of 59 layers. dagre
(MIT) would put 49 kB of script into each page, elkjs (EPL or GPL) 1.6 MB, and graphviz is no package that pip installs;
a page without a script would show nothing of the first two.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count

from .svg import Safe, drawing, rect, shorten, tag, text, title
from .words import Json

Point = tuple[float, float]
#: a box in the row of its rank, or the line from a box on its way through a later row
Stop = tuple[str, int]

WIDTH, HEIGHT, COLUMN, ROW, EDGE = 132, 36, 156, 62, 10
DEEPEST = 24  # modules in modules
MOST_NODES = 600  # of all drawings together; modules beyond are boxes that do not open


@dataclass(frozen=True)
class Box:
    """A node, or a module with the nodes that it holds; ``code`` is what its last node sends."""

    name: str
    op: str
    code: str
    nodes: tuple[str, ...]
    reads: tuple[str, ...] = ()
    outside: bool = False

    @property
    def module(self) -> bool:
        """Whether there is more inside."""
        return len(self.nodes) > 1 and not self.outside


@dataclass(frozen=True)
class Module:
    """What a module holds, as a drawing, and the modules in it; ``number`` names its place on the page."""

    number: int
    name: str
    nodes: int
    drawing: Safe
    modules: list[Module] = field(default_factory=list)


def dataflow(report: Json) -> Module | None:
    """The whole network; None where there is none."""
    nodes = {node["name"]: node for node in report["network"]}
    if not nodes:
        return None
    return _Drawing(nodes).module("", grouped("", tuple(nodes), nodes))


class _Drawing:
    """Numbers the modules of a network, and counts the boxes that are drawn."""

    def __init__(self, nodes: Mapping[str, Json]) -> None:
        self.nodes, self.numbers, self.boxes = nodes, count(), 0

    def module(self, name: str, boxes: Mapping[str, Box]) -> Module:
        """A module, and the modules in it for whose boxes there is room."""
        self.boxes += len(boxes)
        number, inner = next(self.numbers), []
        for box in boxes.values():
            inside = grouped(box.name, box.nodes, self.nodes) if box.module else {}
            if inside and self.boxes + len(inside) <= MOST_NODES:
                inner.append(self.module(box.name, inside))
        held = sum(len(box.nodes) for box in boxes.values() if not box.outside)
        opened = {module.name: module.number for module in inner}
        return Module(number, name, held, _drawn(name, boxes, opened), inner)


def grouped(module: str, inside: Sequence[str], nodes: Mapping[str, Json]) -> dict[str, Box]:
    """The boxes of a module, in the order of the network: those that it reads from outside, then nodes and modules."""
    parts: dict[str, list[str]] = defaultdict(list)
    for name in inside:
        parts[_part(module, name)].append(name)
    if len(parts) == 1 and len(inside) > 1:  # nothing but one module: what that holds
        ((only, _),) = parts.items()
        if only != module:
            return grouped(only, inside, nodes)
    owner = {name: part if len(names) > 1 else name for part, names in parts.items() for name in names}
    found: dict[str, list[str]] = defaultdict(list)
    for name in inside:
        found[owner[name]].append(name)
    reads = {
        box: dict.fromkeys(owner.get(source, source) for name in names for source in nodes[name]["reads"])
        for box, names in found.items()
    }
    outside = dict.fromkeys(source for sources in reads.values() for source in sources if source not in found)
    boxes = {
        name: Box(name, nodes[name]["op"], nodes[name]["code"], (name,), outside=True) for name in outside
    }
    for box, names in found.items():
        said = nodes[names[0]]["op"] if len(names) == 1 else f"{len(names)} nodes"
        sources = tuple(source for source in reads[box] if source != box)
        boxes[box] = Box(box, said, nodes[names[-1]]["code"], tuple(names), sources)
    return boxes


def _part(module: str, name: str) -> str:
    """The next module on the path of a name; a node of the module's own name is its own."""
    rest = name[len(module) + 1 :] if module else name
    head = rest.partition(".")[0] if module.count(".") < DEEPEST else ""
    return name if not head else f"{module}.{head}" if module else head


def _drawn(name: str, boxes: Mapping[str, Box], opened: Mapping[str, int]) -> Safe:
    ranks = ranked(boxes)
    at = places(boxes, ranks)
    edges = [
        tag("path", d=_line(source, box.name, ranks, at), class_=f"edge edge-{boxes[source].code}")
        for box in boxes.values() for source in box.reads
    ]  # fmt: skip
    drawn = [_box(name, box, opened.get(box.name), *at[box.name, ranks[box.name]]) for box in boxes.values()]
    width = max(x for x, _ in at.values()) + WIDTH + EDGE
    height = max(y for _, y in at.values()) + HEIGHT + EDGE
    label = f"dataflow of {name}" if name else "dataflow of the network"
    return drawing(width, height, label, *edges, *drawn, min_width=0, role="group")


def ranked(boxes: Mapping[str, Box]) -> dict[str, int]:
    """The row of each box: one below the lowest that it reads; what feeds back pushes nothing down."""
    ranks: dict[str, int] = {}
    for box in boxes.values():
        ranks[box.name] = 1 + max((ranks[source] for source in box.reads if source in ranks), default=-1)
    return ranks


def places(boxes: Mapping[str, Box], ranks: Mapping[str, int]) -> dict[Stop, Point]:
    """Left upper corner of every stop: rows by rank, columns near the middle of what comes before."""
    before = stops(boxes, ranks)
    rows: dict[int, list[Stop]] = defaultdict(list)
    for stop in before:
        rows[stop[1]].append(stop)
    widest = max(len(row) for row in rows.values())
    slot: dict[Stop, float] = {}
    for rank in sorted(rows):
        ordered = sorted(rows[rank], key=lambda stop: _middle(before[stop], slot))
        start = (widest - len(ordered)) / 2
        slot |= {stop: start + index for index, stop in enumerate(ordered)}
    return {stop: (EDGE + column * COLUMN, EDGE + stop[1] * ROW) for stop, column in slot.items()}


def stops(boxes: Mapping[str, Box], ranks: Mapping[str, int]) -> dict[Stop, list[Stop]]:
    """Every stop with the stops of the row before it that lead there."""
    before: dict[Stop, list[Stop]] = {}
    for box in boxes.values():
        forward = [source for source in box.reads if ranks[source] < ranks[box.name]]
        before[box.name, ranks[box.name]] = [(source, ranks[box.name] - 1) for source in forward]
        for source in forward:
            for rank in range(ranks[source] + 1, ranks[box.name]):
                before[source, rank] = [(source, rank - 1)]
    return before


def _middle(before: list[Stop], slot: dict[Stop, float]) -> float:
    return sum(slot[stop] for stop in before) / len(before) if before else 0.0


def _box(module: str, box: Box, number: int | None, x: float, y: float) -> Safe:
    inside = box.name.removeprefix(f"{module}.") if module else box.name
    hint = f"{box.name}: {box.op}, sends {box.code}" + (", outside of this module" if box.outside else "")
    kind = "outside" if box.outside else "module" if box.module else "leaf"
    parts = (
        title(hint),
        rect(x, y, WIDTH, HEIGHT, "node-back", rx=5),
        rect(x, y, WIDTH, HEIGHT, f"node {kind} code-{box.code}", rx=5),
        text(x + WIDTH / 2, y + 15, shorten(inside if box.module else box.op, 18), "node-op", "middle"),
        text(x + WIDTH / 2, y + 28, shorten(box.op if box.module else inside, 24), "node-name", "middle"),
    )
    return tag("g", *parts) if number is None else tag("a", *parts, href=f"#net-{number}")


def _line(source: str, reader: str, ranks: Mapping[str, int], at: Mapping[Stop, Point]) -> str:
    """The path from a source through the rows between to the box that reads it."""
    x, y = at[source, ranks[source]]
    if ranks[source] >= ranks[reader]:
        x1, y1 = at[reader, ranks[reader]]
        right, middle = max(x, x1) + WIDTH + COLUMN / 4, HEIGHT / 2
        ends = f"{x1 + WIDTH:.0f} {y1 + middle:.0f}"
        return f"M{x + WIDTH:.0f} {y + middle:.0f}C{right:.0f} {y + middle:.0f} {right:.0f} {y1 + middle:.0f} {ends}"
    path = [f"M{x + WIDTH / 2:.0f} {y + HEIGHT:.0f}"]
    for rank in range(ranks[source] + 1, ranks[reader] + 1):
        last = rank == ranks[reader]
        x1, y1 = at[(reader if last else source), rank]
        start, a, b = y + HEIGHT, x + WIDTH / 2, x1 + WIDTH / 2
        bend = (y1 - start) / 2
        path.append(f"C{a:.0f} {start + bend:.0f} {b:.0f} {y1 - bend:.0f} {b:.0f} {y1:.0f}")
        if not last:
            path.append(f"V{y1 + HEIGHT:.0f}")
        x, y = x1, y1
    return "".join(path)
