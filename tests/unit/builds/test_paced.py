"""Numbers of samples by a budget of time: chosen by a clock that the test moves, told, and replayed without one."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from neurodeploy import cli
from neurodeploy.builds import paced, reuse
from neurodeploy.builds.paced import Budget, Ran
from neurodeploy.builds.verified import runs
from neurodeploy.config import BuildConfig, resolve
from neurodeploy.errors import UsageError
from neurodeploy.ir.graph import Graph
from tests.networks import mini_snn
from tests.netx_files import dense, weights, write_net


class Clock:
    """Time that stands still but for what is told of it."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def ran(
    seconds: float,
    each: float,
    most: int = 64,
    fixed: frozenset[str] = frozenset(),
    often: Callable[[int], int] = lambda samples: samples,
    graph: Graph | None = None,
) -> tuple[Ran[int], float]:
    """What ran where every run of a sample takes so long, and the time that it took."""
    clock = Clock()

    def made(x: np.ndarray) -> int:
        clock.now += each * often(len(x))
        return len(x)

    budget = Budget(seconds, fixed, clock)
    found = budget.run("verify", graph or mini_snn(), lambda n: np.zeros(n), most, made, often)
    assert found.found == found.samples
    return found, clock.now


@pytest.fixture(autouse=True)
def unsure(monkeypatch: pytest.MonkeyPatch) -> None:
    """However small the network is, its first sample is run alone."""
    monkeypatch.setattr(paced, "SURE", 1e-9)


@pytest.mark.parametrize(
    ("each", "samples"),
    [
        (1000.0, 1),  # the first one is over the budget
        (300.0, 1),  # just its length
        (150.0, 1),  # two more would have fitted, had one not been run to know
        (100.0, 2),
        (25.0, 11),
        (4.6875, 63),
        (4.6, 64),
        (0.0, 64),
    ],
)
def test_the_time_of_the_first_sample_decides(each: float, samples: int) -> None:
    found, took = ran(300.0, each)
    assert (found.samples, found.wanted) == (samples, 64)
    assert took <= 300.0 or samples == 1
    assert found.cut == ("" if samples == 64 else f"{samples} of 64 samples within the time budget of 300 s")


def test_what_is_run_again_is_counted() -> None:
    found, took = ran(300.0, 5.0, often=runs)
    assert 1 < found.samples < 64 and took <= 300.0 < took + 5.0 * 3


def test_a_number_that_was_given_is_kept() -> None:
    found, took = ran(1.0, 10.0, most=7, fixed=frozenset({"verify"}))
    assert (found.samples, took, found.cut) == (7, 70.0, "")
    assert ran(1.0, 10.0, most=7, fixed=frozenset({"estimate"}))[0].samples == 1


def test_what_surely_fits_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paced, "SURE", 1e12)
    found, took = ran(300.0, 2.0)
    assert (found.samples, took) == (64, 128.0)


def test_a_tenth_that_surely_fits_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = mini_snn()
    each = float(np.sum([paced.dense_macs(graph, node) for node in graph]))
    for sure, took in ((63.5, 6 + 64), (5.5, 5 + 64), (0.5, 1 + 64), (64.5, 64)):
        monkeypatch.setattr(paced, "SURE", sure * each * mini_snn().header.timesteps / 300.0)
        assert ran(300.0, 1.0)[1] == took


def test_there_are_never_more_than_the_data_have() -> None:
    found = Budget(300.0, clock=Clock()).run("verify", mini_snn(), lambda n: np.zeros(min(n, 3)), 64, len)
    assert (found.samples, found.wanted, found.cut) == (3, 3, "")


# --- the config --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["0", "-3", "inf", "nan", "soon"])
def test_impossible_budgets_are_typed(value: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UsageError, match="ND904"):
        resolve(settings=[f"time_budget={value}"])
    assert cli.call(["build", "digits-vit", f"--time-budget={value}"]) == 2
    assert cli.call(["verify", "nowhere", f"--time-budget={value}"]) == 2
    said = capsys.readouterr().err
    assert said.count("ND900" if value == "soon" else "ND904") == 4 and "Traceback" not in said


def test_only_what_the_user_gave_is_fixed() -> None:
    assert Budget.of(resolve()) == Budget(300.0)
    found = Budget.of(resolve({"verify": 3, "time_budget": 7}, settings=["estimate=2"]))
    assert found == Budget(7.0, frozenset({"verify", "estimate"}))


def replayed(tmp_path: Path, flags: dict[str, object], settings: list[str]) -> BuildConfig:
    file = tmp_path / "build.toml"
    file.write_text("verify = 4\nestimate = 2\n[wanted]\nverify = 100\nestimate = 32\n")
    return resolve(flags, file, settings)


def test_what_a_budget_left_out_is_forgotten_with_it(tmp_path: Path) -> None:
    same = replayed(tmp_path, {}, [])
    assert (same.verify, same.estimate, same.wanted) == (4, 2, {"verify": 100, "estimate": 32})
    more = replayed(tmp_path, {"verify": 50}, [])
    assert (more.verify, more.estimate, more.wanted) == (50, 2, {"estimate": 32})
    longer = replayed(tmp_path, {}, ["time_budget=600"])
    assert (longer.verify, longer.estimate, longer.wanted) == (100, None, {})
    assert longer.model_fields_set.isdisjoint({"verify", "estimate"})


# --- a build -----------------------------------------------------------------------------------------------------


class Ticking(Clock):
    """Ten seconds pass from each look to the next."""

    def __call__(self) -> float:
        self.now += 10.0
        return self.now


@pytest.fixture
def slow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network of another tool, the first sample of which takes ten seconds."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    write_net(tmp_path / "net.net", [dense(weights(rng, 6, 4)), dense(weights(rng, 3, 6))])
    own = Budget.of
    monkeypatch.setattr(Budget, "of", lambda asked: replace(own(asked), clock=Ticking()))


BUILD = ["build", "net.net", "--timesteps", "3", "--calib", "2", "--eval", "8", "-q"]


@pytest.mark.usefixtures("slow")
def test_a_build_says_what_it_had_no_time_for_and_replays_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.call([*BUILD, "--time-budget", "45", "--out", "first"]) == 0
    said = capsys.readouterr().out
    assert "3 of 8 samples within the time budget of 45 s" in said  # of the estimate: 45 - 10 seconds of 10
    found = json.loads(Path("first/report.json").read_text())
    verified = found["bit_true"]["samples"]
    assert 1 <= verified < 16 and found["bit_true"]["budget"] in said
    assert found["counts"]["budget"] == "3 of 8 samples within the time budget of 45 s"
    assert "3 of 8 samples" in Path("first/report.html").read_text()
    config = Path("first/build.toml").read_text()
    assert f"verify = {verified} " in config and "estimate = 3 " in config and "[wanted]" in config

    own = Budget.of
    monkeypatch.setattr(Budget, "of", lambda asked: replace(own(asked), clock=None))  # nobody looks at it
    assert cli.call(["build", "--config", "first/build.toml", "--out", "again", "-q"]) == 0
    assert capsys.readouterr().out.replace("again", "first") == said
    for name in ("program.h5", "build.toml", "repro.json", "layers.csv", "cores.csv"):
        assert Path("again", name).read_bytes() == Path("first", name).read_bytes(), name


@pytest.mark.usefixtures("slow")
def test_verify_chooses_and_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.call([*BUILD, "--verify", "1", "--out", "out"]) == 0
    capsys.readouterr()
    assert cli.call(["verify", "out", "--time-budget", "75"]) == 0
    said = capsys.readouterr().out
    assert "on 3 samples" in said and "3 of 100 samples within the time budget of 75 s" in said
    assert cli.call(["verify", "out", "--time-budget", "75", "--samples", "5", "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["samples"], found["cut"]) == (5, "")
    assert reuse.verify("out", time_budget=75).samples == 3
