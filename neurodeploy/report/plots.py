"""Drawings of a report as matplotlib figures in the colours of the page; matplotlib is imported by the first."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

from .. import extras
from ..cost.types import PARTS
from .charts import MOST_ROWS, event_parts
from .levels import EQUAL, NAMES, NOISES
from .words import at, why

Figure = Any  # of matplotlib
#: level -> colour of the page
LEVELS = {"source": "ink", "spiking": "graded", "integer": "accent"}
BOUNDS = {"memory": "synapse", "compute": "product", "traffic": "network", "barrier": "static"}


@cache
def palette() -> Mapping[str, str]:
    """Name -> colour of the page in daylight, as its style sheet says it."""
    css = (Path(__file__).parent / "templates" / "page.css").read_text(encoding="utf-8")
    return dict(re.findall(r"--(\w+): (#[0-9a-f]{3,6})", css[: css.index("@media")]))


@dataclass(frozen=True, eq=False)
class Plots:
    """The drawings of one report, each a new matplotlib figure.

    All raise EnvironmentProblem ND115 where matplotlib is absent, and return a figure that says why where a build has
    nothing to draw.
    """

    report: Mapping[str, Any]

    def energy(self) -> Figure:
        """Energy of an inference by part in uJ, with its range: whole, of events alone, and in a steady pipeline."""
        figure, axes = _axes((7, 2.4), "energy per inference (uJ)")
        rows = [("this network", "energy_uj"), ("its events alone", "energy_events_uj"), ("in steady pipeline",
                "energy_pipelined_uj")]  # fmt: skip
        if self._missing(axes, "energy_uj.nominal"):
            return figure
        for place, (_, key) in enumerate(rows):
            found = self.report[key]
            if key == "energy_uj":
                parts = {part: self.report["energy_breakdown_uj"][part] or 0.0 for part in PARTS}
            else:
                parts = event_parts(dict(self.report))
                parts["static"] = max(
                    0.0, found["nominal"] - sum(parts.values())
                )  # flows anyway, in a pipeline
            _stacked(axes, place, [*parts.items()])
            _whisker(axes, place, found)
        _named(axes, [name for name, _ in rows])
        _legend(axes, PARTS)
        return figure

    def layers(self) -> Figure:
        """Energy of the layers that take most, by part, in uJ, with its range."""
        rows = [row for row in self.report["layers"] if row["energy_nominal_uj"]]
        rows = sorted(rows, key=lambda row: -row["energy_nominal_uj"])[:MOST_ROWS]
        figure, axes = _axes((7, 1 + 0.25 * len(rows)), "energy of events (uJ)")
        if not rows and self._missing(axes, "energy_uj.nominal"):
            return figure
        parts = [part for part in PARTS if part != "static"]
        for place, row in enumerate(rows):
            _stacked(axes, place, [(part, row[f"energy_{part}_uj"] or 0.0) for part in parts])
            _whisker(axes, place, {level: row[f"energy_{level}_uj"] for level in ("low", "nominal", "high")})
        _named(axes, [row["name"] for row in rows])
        _legend(axes, parts)
        return figure

    def latency(self) -> Figure:
        """Time of every step of a frame in us, coloured by what it waits for, with its range."""
        figure, axes = _axes((7, 2.6), "step", "time (us)")
        if self._missing(axes, "steps"):
            return figure
        for row in self.report["steps"]:
            low, nominal, high = (row[f"{level}_ns"] * 1e-3 for level in ("low", "nominal", "high"))
            axes.bar(row["step"], nominal, color=palette()[BOUNDS[row["bound"]]])
            axes.plot([row["step"]] * 2, [low, high], color=palette()["ink"], linewidth=0.8)
        _legend(axes, BOUNDS, BOUNDS)
        return figure

    def accuracy(self) -> Figure:
        """Accuracy after each tick, of all levels."""
        figure, axes = _axes((4.2, 2.6), "tick", "accuracy (%)")
        if self._missing(axes, "accuracy.by_level"):
            return figure
        for row in self.report["accuracy"]["by_level"]:
            values, colour = [100 * value for value in row["by_timestep"]], palette()[LEVELS[row["level"]]]
            if len(values) == 1:  # a network without ticks
                axes.axhline(values[0], color=colour, linestyle="--", label=NAMES[row["level"]])
            else:
                places = range(1, len(values) + 1)
                axes.plot(places, values, color=colour, marker="o", label=NAMES[row["level"]])
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.legend(frameon=False)
        return figure

    def noise(self) -> Figure:
        """Signal to noise of every layer in dB, in the order of the network."""
        rows = at(dict(self.report), "beside.layers") or ()
        figure, axes = _axes((7, 1 + 0.22 * len(rows)), "signal to noise (dB)")
        if self._missing(axes, "beside.layers"):
            return figure
        for key, (level, said) in NOISES.items():
            known = [
                (row[key], place)
                for place, row in enumerate(rows)
                if row[key] is not None and row[key] < EQUAL
            ]
            colour = palette()[LEVELS[level]]
            axes.plot([db for db, _ in known], [y for _, y in known], "o", color=colour, label=said)
        _named(axes, [row["name"] for row in rows])
        axes.legend(frameon=False)
        return figure

    def spikes(self) -> Figure:
        """Spikes of one sample: a lane for each population and tick, from the top, its elements from left to right."""
        rows = self.report["raster"]["populations"]
        figure, axes = _axes((7, 1 + 0.35 * len(rows)), "element, as a share of its population")
        for place, row in enumerate(rows):
            count = len(row["ticks"])
            for tick, found in enumerate(row["ticks"]):
                y = place + (tick + 0.5) / count - 0.5
                shares = [index / max(row["size"], 1) for index in found]
                axes.plot(shares, [y] * len(shares), "|", color=palette()["accent"], markersize=18 / count)
        _named(axes, [row["name"] for row in rows])
        return figure

    def _missing(self, axes: Any, key: str) -> bool:
        """Whether a value is missing; the figure then says why."""
        if at(dict(self.report), key) is not None:
            return False
        axes.text(0.5, 0.5, why(dict(self.report), key), ha="center", va="center", transform=axes.transAxes)
        return True


def _axes(size: tuple[float, float], across: str, up: str = "") -> tuple[Figure, Any]:
    figure = _kind()(figsize=size, layout="constrained")
    axes = figure.add_subplot()
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y" if up else "x", color=palette()["line"])
    axes.set_axisbelow(True)
    return figure, axes


@cache
def _kind() -> type[Any]:
    """Matplotlib's figure, which a notebook shows whether pyplot is there or not."""
    extras.require("plots", "figures", package="matplotlib.figure")
    from matplotlib.figure import Figure as Plain

    class Drawn(Plain):
        def _repr_png_(self) -> bytes:
            picture = BytesIO()
            self.savefig(picture, format="png", dpi=100)
            return picture.getvalue()

    return Drawn


def _stacked(axes: Any, place: int, parts: Sequence[tuple[str, float]]) -> None:
    start = 0.0
    for part, size in parts:
        axes.barh(place, size, left=start, color=palette()[part])
        start += size


def _whisker(axes: Any, place: int, found: Mapping[str, Any]) -> None:
    if found["low"] is not None:
        axes.plot(
            [found["low"], found["high"]], [place] * 2, color=palette()["ink"], linewidth=0.8, marker="|"
        )


def _named(axes: Any, names: Sequence[str]) -> None:
    """Rows from the top down."""
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()


def _legend(axes: Any, names: Any, colours: Mapping[str, str] | None = None) -> None:
    from matplotlib.patches import Patch

    drawn = [Patch(color=palette()[colours[name] if colours else name], label=name) for name in names]
    axes.legend(handles=drawn, frameon=False, ncols=3, fontsize="small")
