"""Small pieces of SVG: escaped tags, scales with round ticks, and a chart of horizontal bars. Colours come from CSS."""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..visible import visible


class Safe(str):
    """Markup that a template inserts as it is; everything in it went through :func:`tag`."""

    def __html__(self) -> str:
        return self


def tag(name: str, *children: str, **attributes: object) -> Safe:
    """One element; text and attributes are escaped. ``class_`` is class, other underscores become hyphens."""
    pairs = (
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(visible(_number(value)))}"'
        for key, value in attributes.items()
        if value is not None
    )
    inner = "".join(child if isinstance(child, Safe) else html.escape(visible(child)) for child in children)
    return Safe(f"<{name}{''.join(pairs)}>{inner}</{name}>")


def _number(value: object) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def text(x: float, y: float, content: str, class_: str = "", anchor: str = "start") -> Safe:
    """A line of text."""
    where = None if anchor == "start" else anchor
    return tag("text", content, x=x, y=y, class_=class_ or None, text_anchor=where)


def named(y: float, name: str, hint: str) -> Safe:
    """The name of a row, to the left of where its drawing begins."""
    shown = shorten(name, 28)
    return tag("text", shown, title(hint), x=LABEL - PAD, y=y, class_="label", text_anchor="end")


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Safe:
    """A straight line."""
    return tag("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def rect(
    x: float, y: float, width: float, height: float, class_: str, hint: str = "", /, **more: object
) -> Safe:
    """A rectangle; ``hint`` as for :func:`title`."""
    inner, width = (title(hint),) if hint else (), max(width, 0.0)
    return tag("rect", *inner, x=x, y=y, width=width, height=height, class_=class_, **more)


def title(content: str) -> Safe:
    """What a pointer shows when it rests on the element around it."""
    return tag("title", content)


#: below this width a drawing scrolls rather than become unreadable
NARROW = 820


def drawing(width: float, height: float, label: str, *children: str, min_width: float = NARROW) -> Safe:
    """A whole picture that scales down to ``min_width`` and scrolls below it."""
    box, size = f"0 0 {width:.0f} {height:.0f}", f"{width:.0f}"
    narrowest = f"min-width:{min_width:.0f}px"
    return tag("svg", *children, viewBox=box, width=size, role="img", aria_label=label, style=narrowest)


def shorten(name: str, most: int) -> str:
    """A long name with its middle cut out: the ends of a path tell it apart."""
    return name if len(name) <= most else f"{name[: most // 2 - 1]}…{name[-(most - most // 2) :]}"


#: below it a scale would divide by nothing
SMALLEST = 1e-100


def ticks(top: float, count: int = 5) -> list[float]:
    """Round numbers from 0 to at least ``top``."""
    if top <= SMALLEST:
        return [0.0, 1.0]
    raw = top / count
    size = 10 ** math.floor(math.log10(raw))
    step = next(size * m for m in (1, 2, 2.5, 5, 10) if size * m >= raw * (1 - 1e-9))
    return [step * i for i in range(math.ceil(top / step - 1e-9) + 1)]


def heights(
    marks: list[float], left: float, width: float, base: float, scale: float, show: Callable[[float], str]
) -> list[Safe]:
    """Horizontal lines at marks of an upward axis, with their numbers to the left."""
    parts: list[Safe] = []
    for mark in marks:
        y = base - mark * scale
        parts += [line(left, y, width, y, "grid"), text(left - 6, y + 4, show(mark), "axis", "end")]
    return parts


@dataclass(frozen=True)
class Log:
    """A logarithmic axis from 1, 2 or 5 times a power of ten to another, drawn from ``start`` to ``end``."""

    low: float
    high: float
    start: float
    end: float

    @classmethod
    def over(cls, values: Sequence[float], start: float, end: float) -> Log:
        """The narrowest one that holds some positive values."""
        known = cls._marks(max(min(values), SMALLEST) / 10, max(*values, SMALLEST) * 10)
        low = max(mark for mark in known if mark <= min(values) * (1 + 1e-9))
        high = min(mark for mark in known if mark > max(low, *values) * (1 - 1e-9) and mark > low)
        return cls(low, high, start, end)

    @staticmethod
    def _marks(low: float, high: float) -> list[float]:
        decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        return [m * 10.0**k for k in decades for m in (1, 2, 5) if low * 0.999 <= m * 10.0**k <= high * 1.001]

    @property
    def marks(self) -> list[float]:
        """Round numbers from end to end."""
        return self._marks(self.low, self.high)

    def at(self, value: float) -> float:
        """Where a positive value lies."""
        share = math.log(value / self.low) / math.log(self.high / self.low)
        return self.start + share * (self.end - self.start)


@dataclass(frozen=True)
class Bar:
    """One row of a bar chart: stacked ``segments`` (class, size, hint), a whisker from low to high, a note."""

    label: str
    segments: Sequence[tuple[str, float, str]]
    low: float | None = None
    high: float | None = None
    note: str = ""


#: a drawing as wide as the page; height of a row, room for its label and its note, space between label and bar
WIDTH, ROW, LABEL, NOTE, PAD = 1100, 22, 200, 110, 8


def bars(rows: Sequence[Bar], label: str, show: Callable[[float], str]) -> Safe:
    """Horizontal stacked bars on one scale; ``show`` formats the numbers of the axis."""
    top = max([sum(s[1] for s in row.segments) for row in rows] + [row.high or 0 for row in rows] + [0.0])
    marks = ticks(top)
    scale = (WIDTH - LABEL - NOTE) / marks[-1]
    height = len(rows) * ROW + 28
    parts: list[Safe] = []
    for mark in marks:
        x = LABEL + mark * scale
        parts += [line(x, 2, x, height - 22, "grid"), text(x, height - 6, show(mark), "axis", "middle")]
    for index, row in enumerate(rows):
        parts += _bar(row, index * ROW + 4, scale)
    return drawing(WIDTH, height, label, *parts)


def _bar(row: Bar, y: float, scale: float) -> list[Safe]:
    parts = [named(y + 12, row.label, row.label)]
    x = float(LABEL)
    for class_, size, hint in row.segments:
        parts.append(rect(x, y, size * scale, ROW - 7, class_, hint))
        x += size * scale
    if row.low is not None and row.high is not None:
        x1, x2, middle = LABEL + row.low * scale, LABEL + row.high * scale, y + (ROW - 7) / 2
        parts.append(line(x1, middle, x2, middle, "whisker"))
        parts += [line(x, middle - 3, x, middle + 3, "whisker") for x in (x1, x2)]
    parts.append(text(WIDTH - 2, y + 12, row.note, "note", "end"))
    return parts
