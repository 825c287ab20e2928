"""Measured rows of published networks: what was measured, what is built of it, and what differs.

One entry each. A quantity of a row is like-for-like where the source says enough to build what was measured: size,
activity, and what the time or energy is of. What is noise, and what the target file was fitted to, is named here
too: a verdict does not decide it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from _networks import Network

#: quantities and their units
UNITS = {"time_us": "us", "dynamic_uj": "uJ", "total_uj": "uJ", "power_w": "W", "dynamic_w": "W"}


@dataclass(frozen=True)
class Measured:
    """One figure of a source, as a range where it gives several; ``differs`` says why it is not like-for-like."""

    quantity: str
    low: float
    high: float
    differs: str = ""
    noise: str = ""
    fitted: str = ""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row; without ``build`` it could not be built, and ``missing`` says what for.

    Time and energy are of ``per``: ``times`` and ``energies`` say how many of the counted ticks' time and dynamic
    energy make one. ``board`` chips step together, ``chips`` are powered (None: those in use), ``static_w`` is their
    static power where the source gives it; without ``host`` packets of the host are not counted. ``minus``: the row is
    the difference of these two.
    """

    key: str
    title: str
    source: str
    measured: tuple[Measured, ...] = ()
    per: str = "step"
    build: Callable[[], Network] | None = None
    built: str = ""
    activity: str = ""
    missing: str = ""
    shown: str = ""
    target: str = "loihi-sim"
    limits: Mapping[str, int] = field(default_factory=dict)
    optimise: str = "cores"
    times: float = 1.0
    energies: float = 1.0
    board: int = 1
    chips: int | None = None
    static_w: float | None = None
    host: bool = True
    minus: str = ""
    notes: tuple[str, ...] = field(default_factory=tuple)


def exactly(quantity: str, value: float, differs: str = "", noise: str = "", fitted: str = "") -> Measured:
    """A figure without a range."""
    return Measured(quantity, value, value, differs, noise, fitted)
