"""What a build does with the import check: it refuses, shows, keeps, and labels what was not compared."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from neurodeploy import cli, datasets, report, sources
from neurodeploy.config import resolve
from neurodeploy.files import cache_folder
from neurodeploy.frontends import lower
from neurodeploy.frontends.ops._base import Operator
from neurodeploy.frontends.proof.types import UNCHECKED, ImportCheck
from neurodeploy.ir.nodes import Micro
from neurodeploy.report import data, figures, html
from tests import fake_build, fake_format
from tests.later import nn, torch

Captured = pytest.CaptureFixture[str]

MODULE = """
import torch

class Net(torch.nn.Module):
    input_shape = (1, 8, 8)
    def __init__(self):
        super().__init__()
        self.body, self.middle, self.head = (torch.nn.Linear(*sizes) for sizes in ((64, 16), (16, 16), (16, 10)))
    def forward(self, x):
        x = torch.relu(self.middle(torch.relu(self.body(x.flatten(1)))))
        return self.head(x)

def make():
    torch.manual_seed(0)
    return Net()
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    name = f"checked_{abs(hash(str(tmp_path)))}"
    (tmp_path / f"{name}.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return name


@pytest.fixture
def imported_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is a ReLU in torch is a GELU in the graph."""
    known = lower.operators()
    wrong = Operator("relu", "toy", lambda lowering, x: lowering.like(x, Micro, op="gelu"))
    monkeypatch.setattr(lower, "operators", lambda: {**known, "relu": wrong})


def command(verb: str, module: str, *more: str) -> int:
    return cli.call([verb, f"py:{module}:make", "--data", "digits", "--set", "scale=0.0625", *more])


@pytest.mark.usefixtures("imported_wrong")
def test_a_difference_is_refused_before_anything_is_built(module: str, capsys: Captured) -> None:
    assert command("build", module, "--out", "out", "-q") == 3
    said = capsys.readouterr().err
    assert "ND140" in said and f"[relu] ({module}.py:" in said
    assert not Path("out").exists()


def test_check_says_what_was_compared(module: str, capsys: Captured) -> None:
    assert command("check", module, "--format", "json") == 0
    found = ImportCheck.parse(json.loads(capsys.readouterr().out)["import_check"])
    assert found is not None and (found.low, found.high) == (0, 16) and found.samples == 10


def test_an_import_that_nobody_compared_is_labelled_everywhere(module: str, capsys: Captured) -> None:
    quick = ("--calib", "16", "--eval", "20", "--verify", "2", "--out", "out", "--no-import-check", "-T", "1")
    assert command("build", module, *quick) == 0
    found = report.read(Path("out"))
    lines = [line.strip() for line in report.text(found, width=300).splitlines()]
    assert f"Import        {UNCHECKED}" in lines and UNCHECKED in capsys.readouterr().out
    for name in ("Fits", "Accuracy", "Bit-true", "energy", "latency", "Per inference"):
        assert UNCHECKED in next(line for line in lines if line.startswith(name)), name
    assert found["import_check"] is None and "--no-import-check" in found["reasons"]["import_check"]
    assert found["unchecked"]["label"] == UNCHECKED and "energy_uj" in found["unchecked"]["affects"]
    assert "ND142" in [warning["code"] for warning in found["warnings"]]
    assert all(UNCHECKED in row["measured_on"] for row in found["layers"] if row["measured_on"])
    assert "import_check = false" in Path("out/build.toml").read_text()
    assert f'<span class="tag synthetic">{UNCHECKED}</span>' in Path("out/report.html").read_text()
    assert command("build", module, *quick, "--strict") == 3


def test_numbers_of_a_compared_import_bear_no_label() -> None:
    found = data.build(fake_build.inputs("native"))
    assert found["import_check"]["samples"] == 10 and found["unchecked"] == {"label": "", "affects": []}
    assert UNCHECKED not in report.text(found) and f'">{UNCHECKED}</span>' not in html.page(found)
    assert "equal to the model on 10 samples over 4 ticks" in report.text(found)
    tied = replace(fake_build.inputs("native"), import_check=fake_build.checked(ties=7).as_dict())
    assert "ties on 7 elements, equal elsewhere" in report.text(data.build(tied), width=300)


def test_the_label_is_on_every_figure_that_follows_from_the_graph() -> None:
    inputs = replace(fake_build.inputs("ecmt"), import_check={}, unchecked=UNCHECKED)
    found = data.build(inputs)
    marked = {f["key"] for group in html.listing(found).values() for f in group if UNCHECKED in f["mark"]}
    groups = {name: {f.key for f in figures.GROUPS[name].figures if f.kind.say} for name in figures.GROUPS}
    assert marked == set().union(*(groups[name] for name in figures.COMPUTED))


def test_a_report_without_the_check_is_still_read(tmp_path: Path) -> None:
    """Of a version before."""
    found = data.build(fake_build.inputs("native"))
    del found["import_check"], found["unchecked"]
    report.write(found, tmp_path)
    assert "the model was not compared" in report.text(report.read(tmp_path)) or report.text(found)


# --- the cache -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A network in a file, which is kept in the cache."""
    path = tmp_path_factory.mktemp("exported") / "net.pt2"
    torch.export.save(torch.export.export(nn.Linear(8, 3).eval(), (torch.rand(2, 8),)), path)
    return str(path)


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_a_check_is_kept_with_its_graph(exported: str, own_cache: Path) -> None:
    asked = {"model": exported, "scale": 1 / 16}
    config, unchecked = resolve(asked), resolve({**asked, "import_check": False})
    none = sources.load(unchecked)
    assert none.check is None and none.label == UNCHECKED and "--no-import-check" in none.unchecked
    first = sources.load(config)  # a graph that was not compared is no graph for whoever asks for that
    assert not first.cached and first.check is not None and first.label == "" and first.check.high == 16
    again = sources.load(config)
    assert again.cached and again.check == first.check
    assert sources.load(unchecked).cached and sources.load(unchecked).label == UNCHECKED
    (kept,) = cache_folder().glob("*.json")
    kept.write_text("{}")
    assert not sources.load(config).cached


def test_a_wider_range_of_inputs_is_compared_again(exported: str, own_cache: Path) -> None:
    config = resolve({"model": exported, "scale": 1 / 16})
    assert sources.load(config).check is not None
    found = sources.load(config, datasets.Facts((8,), 40, "x"))
    assert not found.cached and found.check is not None and found.check.high == 40
    assert sources.load(config, datasets.Facts((8,), 16, "x")).cached


def test_a_file_without_a_reference_says_so(
    tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_format.install(monkeypatch)
    path = fake_format.write(tmp_path / "net.toy")
    found = sources.load(resolve({"model": str(path)}))
    assert found.check is None and found.label == "" and "all that there is" in found.unchecked
