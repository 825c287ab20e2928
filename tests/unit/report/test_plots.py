"""Matplotlib figures of a report: the numbers of its data, the colours of its page."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from neurodeploy.cost.types import PARTS
from neurodeploy.errors import EnvironmentProblem
from neurodeploy.report import data, plots
from neurodeploy.report.plots import Plots, palette
from tests import fake_build

NAMES = ("energy", "layers", "latency", "accuracy", "noise", "spikes")


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    return data.build(fake_build.inputs("ecmt"))


@pytest.mark.needs("matplotlib")
def test_bars_are_the_energies_in_the_colours_of_the_page(report: dict[str, Any]) -> None:
    from matplotlib.colors import to_hex

    (axes,) = Plots(report).energy().axes
    first = axes.patches[: len(PARTS)]
    assert [bar.get_width() for bar in first] == pytest.approx(
        [report["energy_breakdown_uj"][p] for p in PARTS]
    )
    assert [to_hex(bar.get_facecolor()) for bar in first] == [palette()[part] for part in PARTS]
    ends = axes.lines[0].get_xdata()
    assert list(ends) == [report["energy_uj"]["low"], report["energy_uj"]["high"]]
    assert palette()["synapse"] == "#0072b2"


@pytest.mark.needs("matplotlib")
def test_lines_are_the_accuracies_and_noises(report: dict[str, Any]) -> None:
    (axes,) = Plots(report).accuracy().axes
    drawn = {line.get_label(): [*line.get_ydata()] for line in axes.lines}
    by_level = {row["level"]: row["by_timestep"] for row in report["accuracy"]["by_level"]}
    assert drawn["integer"] == pytest.approx([100 * value for value in by_level["integer"]])
    assert drawn["float"] == pytest.approx(2 * [100 * by_level["source"][0]])
    (axes,) = Plots(report).noise().axes
    known = [row["quantised_db"] for row in report["beside"]["layers"]]
    assert [*axes.lines[1].get_xdata()] == known and len(axes.get_yticklabels()) == len(known)


@pytest.mark.needs("matplotlib")
@pytest.mark.parametrize("name", NAMES)
def test_every_figure_can_be_drawn(report: dict[str, Any], name: str) -> None:
    figure = getattr(Plots(report), name)()
    assert figure._repr_png_().startswith(b"\x89PNG")
    assert figure.axes[0].patches or figure.axes[0].lines


@pytest.mark.needs("matplotlib")
@pytest.mark.parametrize("name", ["energy", "latency", "accuracy", "noise"])
def test_a_figure_says_why_there_is_nothing(name: str) -> None:
    inputs = fake_build.synthetic()
    bare = data.build(type(inputs)(model=inputs.model, target=inputs.target, method="native", timesteps=1))
    (axes,) = getattr(Plots(bare), name)().axes
    (said,) = axes.texts
    assert said.get_text() in bare["reasons"].values()


def test_without_matplotlib_the_extra_is_named(
    report: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    plots._kind.cache_clear()
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(EnvironmentProblem, match=r"(?s)ND115.*neurodeploy\[plots\]"):
        Plots(report).energy()
