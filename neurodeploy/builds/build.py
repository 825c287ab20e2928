"""A finished build as an object of a Python session: a path, a line, a summary, tables, a picture in a notebook."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import report
from ..array import Array
from ..errors import MappingError, NeurodeployError, Problem
from ..report import PAGE, html, units
from ..report.plots import Plots
from . import traces
from .traces import LayerTrace

Report = Mapping[str, Any]
Table = Any  # a pandas frame, or a list of rows


@dataclass(frozen=True, eq=False, repr=False)
class Build:
    """A finished build: its folder, the report's data, and what kept it from fitting or agreeing.

    It stands for its folder wherever a path is taken, so that it can be given to ``run``, ``verify`` and the others.
    """

    folder: Path
    report: Report
    errors: tuple[NeurodeployError, ...] = ()
    warnings: tuple[Problem, ...] = ()
    written: tuple[str, ...] = ()

    @property
    def fits(self) -> bool:
        """True if the network fits its target."""
        return not any(isinstance(e, MappingError) for e in self.errors)

    @property
    def layers(self) -> Table:
        """A row for each layer: a pandas frame where pandas is there, else dictionaries."""
        return _table(self.report.get("layers", ()))

    @property
    def cores(self) -> Table:
        """A row for each core, as :attr:`layers`."""
        return _table(self.report.get("cores", ()))

    @property
    def links(self) -> Table:
        """A row for each link of the mesh, as :attr:`layers`."""
        return _table(self.report.get("links", ()))

    @property
    def plot(self) -> Plots:
        """Drawings as matplotlib figures, such as ``plot.energy()``."""
        return Plots(self.report)

    def trace(
        self, name: str, x: Array | str | Path | None = None, samples: int = traces.SAMPLES
    ) -> LayerTrace:
        """What a layer says at every level; arguments as those of :func:`neurodeploy.builds.traces.trace`."""
        return traces.trace(self.folder, name, x, samples)

    def __fspath__(self) -> str:
        return str(self.folder)

    def __repr__(self) -> str:
        return f"<Build {', '.join(self._facts())}; {self.folder}>"

    def __str__(self) -> str:
        return report.text(dict(self.report)) if self.report else repr(self)

    def _repr_html_(self) -> str | None:
        return html.inline(dict(self.report), str(self.folder / PAGE)) if self.report else None

    def _facts(self) -> list[str]:
        found = self.report
        if not found:
            return ["stopped before its report"]
        correct, energy, time = found["accuracy"]["integer"], found["energy_uj"], found["latency_ms"]
        facts = [f"{found['model']} on {found['target']['name']}", "fits" if self.fits else "does not fit"]
        facts += (
            [f"{units.percent(correct)} of {found['accuracy']['samples']}"] if correct is not None else []
        )
        known = ((energy["nominal"], "uJ"), (time["nominal"], "ms"))
        facts += [units.quantity(value, unit) for value, unit in known if value is not None]
        codes = " ".join(dict.fromkeys(problem.code for problem in self.warnings))
        return facts + [f"warnings {codes}"] * bool(codes)


def _table(rows: Sequence[Report]) -> Table:
    try:
        import pandas
    except ImportError:
        return list(rows)
    return pandas.DataFrame(rows)
