"""What a figure is: its place in ``report.json``, its words, what it needs, and how values of its kind are written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any, Literal

from ..price import LEVELS
from . import units, words
from .inputs import ReportInputs
from .words import Json

Get = Callable[[ReportInputs], Any]
#: words for people: the value first, then what is worth saying beside it; none where there is nothing
Say = Callable[[Json], tuple[str, ...]]
#: what a number changes with: nothing, what the network ran on, or that where the mapper cuts by activity
Depends = Literal["", "activity", "cut"]


@dataclass(frozen=True)
class Need:
    """What a value takes: the ``part`` of an assessment whose reason applies where it is missing, else ``otherwise``.

    ``priced``: nothing is known on a target without prices, and that is then the reason.
    """

    part: str
    otherwise: str
    priced: bool = False

    def reason(self, inputs: ReportInputs) -> str:
        """Why the value is missing in this build."""
        if self.priced and not inputs.target.priced:
            return f"{inputs.target.name} prices nothing: {inputs.target.costs.unpriced}"
        return inputs.assessment.reasons.get(self.part) or self.otherwise


@dataclass(frozen=True)
class Kind:
    """A kind of value: ``fits`` checks its JSON, ``say`` writes it (None: it has a table or drawing of its own)."""

    name: str
    fits: Callable[[Any], bool]
    say: Callable[[Any, str], tuple[str, ...]] | None = None


#: beyond it no figure of a chip lies, and sums and drawings would overflow
LARGEST = 1e100


def number(value: Any) -> bool:
    """Whether a value of a report is a number that can be drawn, or missing."""
    return value is None or (
        isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= LARGEST
    )


def cell(value: Any) -> bool:
    """Whether a value may stand in one cell of a table: a number, a text, true or false, a list of them, or nothing."""
    return (
        isinstance(value, (str, bool)) or number(value) or (isinstance(value, list) and all(map(cell, value)))
    )


def _range(value: Any) -> bool:
    """Three numbers, or none of the three."""
    whole = isinstance(value, dict) and set(value) == set(LEVELS) and all(map(number, value.values()))
    return whole and len({level is None for level in value.values()}) == 1


def _span(value: Any, unit: str) -> tuple[str, ...]:
    if unit != "x":
        return (text,) if (text := units.span(value, unit)) else ()
    low, nominal, high = (value[level] for level in ("low", "nominal", "high"))
    if nominal is None:
        return ()
    return (f"{units.show(nominal, unit)} [{units.count(low)} .. {units.count(high)}]",)


NUMBER = Kind("number", number, lambda value, unit: (units.show(value, unit),))
TEXT = Kind("text", lambda value: isinstance(value, str), lambda value, unit: (value,) if value else ())
FLAG = Kind("flag", lambda value: isinstance(value, bool), lambda value, unit: (units.show(value),))
RANGE = Kind("low, nominal, high", _range, _span)
PARTS = Kind(
    "parts",
    lambda value: isinstance(value, dict) and all(map(number, value.values())),
    lambda value, unit: tuple(f"{units.words(k)} {units.show(v, unit)}" for k, v in value.items() if v),
)
LIST = Kind(
    "list",
    lambda value: isinstance(value, list) and cell(value),
    lambda value, unit: (units.show(value, unit),) if value else (),
)
#: entries that stay out of the listing: a table, a drawing or a block of the page shows them
ROWS = Kind("rows", lambda value: isinstance(value, list) and all(isinstance(row, dict) for row in value))
TEXTS = Kind("texts", lambda value: isinstance(value, list) and all(isinstance(item, str) for item in value))
SERIES = Kind("series", lambda value: isinstance(value, list) and all(map(number, value)))
RECORD = Kind("record", lambda value: isinstance(value, dict))


@dataclass(frozen=True)
class Card:
    """A headline of the page; without ``value`` or ``below`` the figure's own words."""

    title: str
    value: Callable[[Json], str] | None = None
    below: Callable[[Json], str] | None = None


@dataclass(frozen=True)
class Figure:
    """One value of a report.

    ``key`` is its dotted place in ``report.json``; ``unit`` is empty for counts and text, ``%`` for fractions (0 .. 1
    in the data), ``x`` for ratios; ``formula`` says how it is computed where that takes more than ``help``; ``needs``
    is None for what every report has. ``fields`` are the keys of each of its rows. On the console it stands on ``line``
    (empty: nowhere), behind its label unless it is the first there; ``say`` replaces its words, ``tone`` (good, bad,
    warn) colours the first of them.
    """

    key: str
    label: str
    help: str
    _: KW_ONLY
    get: Get
    kind: Kind = NUMBER
    unit: str = ""
    formula: str = ""
    needs: Need | None = None
    depends: Depends = ""
    fields: tuple[str, ...] = ()
    line: str = ""
    say: Say | None = None
    tone: Callable[[Json], str] | None = None
    card: Card | None = None

    def phrase(self, report: Json) -> tuple[str, ...]:
        """Its words for people; none where it is missing."""
        return self.say(report) if self.say else self.plain(report)

    def plain(self, report: Json) -> tuple[str, ...]:
        """Its value as its kind is written."""
        value = words.at(report, self.key)
        return () if value is None or self.kind.say is None else self.kind.say(value, self.unit)

    def fits(self, report: Mapping[str, Any]) -> bool:
        """Whether a report holds it in its shape; what has a need may be missing."""
        value = words.at(dict(report), self.key)
        if value is None:
            return self.needs is not None
        rows = value if self.fields else ()
        return self.kind.fits(value) and all(set(self.fields) <= set(row) for row in rows)

    def described(self) -> Json:
        """Itself as data, for whoever reads the report without this package."""
        return {"key": self.key, "label": self.label, "kind": self.kind.name, "unit": self.unit,
                "formula": self.formula, "help": self.help, "measured": self.depends == "activity"}  # fmt: skip


@dataclass(frozen=True)
class Group:
    """Figures that belong together: the title of their list on the page, and the block of the console they are in."""

    title: str
    block: Literal["verdict", "costs", "notes"]
    figures: tuple[Figure, ...]
