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


@dataclass(frozen=True)
class Frame:
    """How wide a drawing of rows is, and what it leaves for names and notes: beside a row, or ``above`` it.

    ``marks`` is how many numbers an axis has, at the least. Of two drawings the page shows the one that fits: ``slim``
    on a phone.
    """

    width: int
    label: int
    note: int
    above: int
    marks: int
    class_: str

    def name(self, y: float, name: str, hint: str) -> Safe:
        """The name of the row that begins at ``y``."""
        if not self.above:
            return named(y + 12, name, hint)
        return tag("text", shorten(name, 34), title(hint), x=0, y=y + 11, class_="label")

    def anchor(self, x: float) -> str:
        """How a number of the axis lies at ``x``, so that the first and the last are whole."""
        return "start" if x < PAD else "end" if x > self.width - 2 * PAD - 1 else "middle"

    def noted(self, y: float, note: str) -> Safe:
        """What stands at the end of the row that begins at ``y``."""
        return text(self.width - 2, y + (11 if self.above else 12), note, "note", "end")


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


def drawing(
    width: float,
    height: float,
    label: str,
    *children: str,
    min_width: float = NARROW,
    class_: str | None = None,
    role: str = "img",
) -> Safe:
    """A whole picture that scales down to ``min_width`` and scrolls below it; one of parts to go to is a ``group``."""
    box, size = f"0 0 {width:.0f} {height:.0f}", f"{width:.0f}"
    shown = {"style": f"min-width:{min_width:.0f}px", "class_": class_}
    return tag("svg", *children, viewBox=box, width=size, role=role, aria_label=label, **shown)


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
#: what a phone shows without scrolling
SLIM_WIDTH = 320
WIDE, SLIM = Frame(WIDTH, LABEL, NOTE, 0, 5, "wide"), Frame(SLIM_WIDTH, 0, 16, 16, 3, "slim")


def framed(draw: Callable[[Frame], Safe]) -> Safe:
    """A drawing twice: as wide as the page, and as narrow as a phone."""
    return Safe(draw(WIDE) + draw(SLIM))


def within(frame: Frame, height: float, label: str, *children: str) -> Safe:
    """A picture in a frame."""
    least = NARROW if frame is WIDE else 0
    return drawing(frame.width, height, label, *children, min_width=least, class_=frame.class_)


def bars(rows: Sequence[Bar], label: str, show: Callable[[float], str]) -> Safe:
    """Horizontal stacked bars on one scale; ``show`` formats the numbers of the axis."""
    return framed(lambda frame: _bars(rows, label, show, frame))


def _bars(rows: Sequence[Bar], label: str, show: Callable[[float], str], frame: Frame) -> Safe:
    top = max([sum(s[1] for s in row.segments) for row in rows] + [row.high or 0 for row in rows] + [0.0])
    marks = ticks(top, frame.marks)
    scale = (frame.width - frame.label - frame.note) / marks[-1]
    height = len(rows) * (ROW + frame.above) + 28
    parts: list[Safe] = []
    for mark in marks:
        x = frame.label + mark * scale
        parts += [
            line(x, 2, x, height - 22, "grid"),
            text(x, height - 6, show(mark), "axis", frame.anchor(x)),
        ]
    for index, row in enumerate(rows):
        parts += _bar(row, index * (ROW + frame.above) + 4, scale, frame)
    return within(frame, height, label, *parts)


def _bar(row: Bar, y: float, scale: float, frame: Frame) -> list[Safe]:
    parts = [frame.name(y, row.label, row.label), frame.noted(y, row.note)]
    x, y = float(frame.label), y + frame.above
    for class_, size, hint in row.segments:
        parts.append(rect(x, y, size * scale, ROW - 7, class_, hint))
        x += size * scale
    if row.low is not None and row.high is not None:
        x1, x2, middle = frame.label + row.low * scale, frame.label + row.high * scale, y + (ROW - 7) / 2
        parts.append(line(x1, middle, x2, middle, "whisker"))
        parts += [line(x, middle - 3, x, middle + 3, "whisker") for x in (x1, x2)]
    return parts
