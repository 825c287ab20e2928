"""A folder is of one build: parts of another are refused by everything that reads it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import neurodeploy
from neurodeploy import artifact, cli
from neurodeploy.artifact import Artifact
from neurodeploy.builds import parts
from neurodeploy.errors import UsageError
from tests import fake_format

PARTS = ("program.h5", "report.json", "build.toml", "repro.json")
MIXES = [names for count in (1, 2, 3) for names in combinations(PARTS, count)]
Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    yield


@pytest.fixture(scope="module")
def builds(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two builds of small networks that differ."""
    folder = tmp_path_factory.mktemp("builds")
    with pytest.MonkeyPatch.context() as patch:
        fake_format.install(patch)
        for name, ticks in (("a", 5), ("b", 4)):
            network = fake_format.write(folder / f"{name}.toy", vth=40 + ticks)
            neurodeploy.build(network, out=str(folder / name), timesteps=ticks, calib=4, eval=4, verify=2)
    return folder / "a", folder / "b"


def mixed(builds: tuple[Path, Path], *names: str) -> Path:
    """The first build with some files of the second."""
    shutil.copytree(builds[0], "out")
    for name in names:
        shutil.copy(builds[1] / name, "out")
    return Path("out")


def codes(folder: Path) -> set[str]:
    with pytest.raises(UsageError) as caught:
        parts.opened(folder)
    return {problem.code for problem in caught.value.problems}


def test_a_build_is_of_one_build(builds: tuple[Path, Path]) -> None:
    for folder in builds:
        parts.require(folder)
        assert parts.opened(folder).hash == parts.opened(folder / "program.h5").hash


@pytest.mark.parametrize("names", MIXES, ids="+".join)
def test_every_mixture_is_refused(names: tuple[str, ...], builds: tuple[Path, Path]) -> None:
    assert codes(mixed(builds, *names)) == {"ND963"}


@pytest.mark.parametrize("names", [("program.h5",), ("report.json",)], ids="+".join)
def test_every_verb_that_reads_a_folder_refuses(
    names: tuple[str, ...], builds: tuple[Path, Path], capsys: Captured
) -> None:
    folder = str(mixed(builds, *names))
    np.save("x.npy", np.zeros((1, 5, *fake_format.SHAPE), np.uint8))
    for command in (
        ["run", folder, "--input", "x.npy", "--output", "y.npy"],
        ["verify", folder],
        ["export", folder, "--to", "nir", "--out", "x.nir"],
        ["crosscheck", folder, "--python", "python3"],
        ["report", folder],
    ):
        before = {path: path.read_bytes() for path in Path("out").iterdir()}
        assert cli.call([*command, "--format", "json"]) == 2, command
        assert {p["code"] for p in json.loads(capsys.readouterr().out)["problems"]} == {"ND963"}
        assert before == {path: path.read_bytes() for path in Path("out").iterdir()}
    assert not Path("y.npy").exists() and not Path("x.nir").exists()


def test_an_edited_number_is_refused_and_times_are_none(builds: tuple[Path, Path]) -> None:
    folder = mixed(builds)
    found = json.loads((folder / "report.json").read_text())
    found["stages"][0]["seconds"] += 1.0  # of the same build on another day
    (folder / "report.json").write_text(json.dumps(found))
    parts.require(folder)
    found["counts"]["spikes"] += 1
    (folder / "report.json").write_text(json.dumps(found))
    assert codes(folder) == {"ND963"}


@pytest.mark.parametrize(
    "content", ["", "[1]", "{", '{"files_sha256": 3}', '{"graphs_sha256": "x"}', "[" * 99999]
)
def test_a_damaged_record_is_typed(content: str, builds: tuple[Path, Path]) -> None:
    folder = mixed(builds)
    (folder / "repro.json").write_text(content)
    assert codes(folder) == {"ND964"}


@pytest.mark.parametrize("kept", [PARTS[:3], ("program.h5", "report.json"), ("program.h5",)], ids="+".join)
def test_parts_that_are_not_there_are_not_compared(kept: tuple[str, ...], builds: tuple[Path, Path]) -> None:
    folder = mixed(builds)
    for name in {*PARTS} - {*kept}:
        (folder / name).unlink()
    assert parts.opened(folder).hash
    shutil.copy(builds[1] / "program.h5", folder)
    if "report.json" in kept:
        assert codes(folder) == {"ND963"}
        shutil.copy(folder / "program.h5", "elsewhere.h5")  # stands for itself
    assert parts.opened("elsewhere.h5" if "report.json" in kept else folder).hash


def test_a_graph_that_is_not_the_one_of_its_provenance_is_refused(builds: tuple[Path, Path]) -> None:
    one, other = (artifact.load(folder) for folder in builds)
    fields: dict[str, Any] = {name: getattr(one, name) for name in ("mapping", "spiking", "source", "ranges")}
    saved = Artifact(integer=other.integer, provenance=one.provenance, **fields)
    artifact.save(Path("forged.h5"), saved)
    assert codes(Path("forged.h5")) == {"ND963"}
