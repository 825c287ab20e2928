"""Numbers for people: counts with k, M, G; quantities with a fitting prefix; ranges; shares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

NONE = "-"

_LARGE = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
#: unit -> (factor to the next larger one, its name), (factor to the next smaller one, its name)
_NEXT = {"uJ": (1e3, "mJ", 1e3, "nJ"), "ms": (1e3, "s", 1e3, "us")}


def digits(value: float) -> str:
    """Three significant digits, never in exponent notation for everyday sizes."""
    size = abs(value)
    if size == 0:
        return "0"
    if size >= 1e6 or size < 1e-3:
        return f"{value:.2e}"
    places = 0 if size >= 100 else 1 if size >= 10 else 2 if size >= 1 else 3
    return f"{value:,.{places}f}"


def count(value: float | None) -> str:
    """A count such as ``1.23 M``."""
    if value is None:
        return NONE
    for factor, letter in _LARGE:
        if abs(value) >= factor:
            return f"{digits(value / factor)} {letter}"
    return f"{value:.0f}" if float(value).is_integer() else digits(value)


def percent(value: float | None, places: int = 1) -> str:
    """A fraction as percent."""
    return NONE if value is None else f"{100 * value:.{places}f} %"


def decibels(value: float | None) -> str:
    """A ratio of signal to noise; of two that are equal there is none."""
    return "equal" if value is None else f"{value:.1f} dB"


def quantity(value: float | None, unit: str) -> str:
    """A value with its unit, moved to the neighbouring unit where that reads better."""
    if value is None:
        return NONE
    factor, name = _prefix(value, unit)
    return f"{digits(value * factor)} {name}"


def span(values: Mapping[str, float | None], unit: str) -> str:
    """``nominal unit [low .. high]``, all three in the unit that fits the nominal one; empty if it is missing."""
    nominal = values["nominal"]
    if nominal is None:
        return ""
    factor, name = _prefix(nominal, unit)
    low, high = (digits((values[k] or 0.0) * factor) for k in ("low", "high"))
    return f"{digits(nominal * factor)} {name} [{low} .. {high}]"


def within(samples: int, wanted: int, seconds: float) -> str:
    """Why fewer samples ran than were wanted; empty where all did."""
    if samples >= wanted:
        return ""
    return f"{samples} of {wanted} samples within the time budget of {seconds:g} s"


def rate(value: float | None) -> str:
    """A rate per second."""
    return NONE if value is None else f"{count(value)}/s"


def show(value: Any, unit: str = "") -> str:
    """Any single value as it stands in a line or a cell: a number in its unit, a text, yes or no, a list."""
    if value is None:
        return NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(show(item, unit) for item in value)
    if isinstance(value, str):
        return value
    numbers = {"": count, "%": percent, "/s": rate, "x": times}
    if unit in numbers:
        return numbers[unit](value)
    if unit in _NEXT:
        return quantity(value, unit)
    if isinstance(value, int):
        return str(value)
    return count(value) if abs(value) >= 1e6 else digits(value)


def times(value: float | None) -> str:
    """A ratio."""
    return NONE if value is None else f"{count(value)} x"


def words(name: str | None) -> str:
    """A key as words."""
    return NONE if name is None else str(name).replace("_", " ")


def _prefix(value: float, unit: str) -> tuple[float, str]:
    if unit not in _NEXT or not value:
        return 1.0, unit
    up, larger, down, smaller = _NEXT[unit]
    if abs(value) >= 1e3:
        return 1 / up, larger
    return (down, smaller) if abs(value) < 0.1 else (1.0, unit)
