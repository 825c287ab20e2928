"""``mapping.toml`` of a build: written, given back, refused; a network of the zoo from end to end."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neurodeploy import artifact, cli
from neurodeploy.config import resolve
from neurodeploy.image import to_arrays
from neurodeploy.mapping.types import Mapping

Captured = pytest.CaptureFixture[str]
BUILD = ["build", "digits-vit", "--calib", "16", "-T", "1", "-q", "--to", "map"]


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    yield


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build up to its mapping; tests copy it before they change it."""
    folder = tmp_path_factory.mktemp("made") / "out"
    assert cli.call([*BUILD, "--out", str(folder)]) == 0
    return folder


def mapping_of(folder: Path) -> Mapping:
    found = artifact.load(folder).mapping
    assert found is not None
    return found


def images(folder: Path) -> list[dict[str, Any]]:
    return [to_arrays(image) for image in mapping_of(folder).images]


def test_a_network_of_the_zoo_replays_to_the_byte(made: Path) -> None:
    file = str(made / "mapping.toml")
    assert cli.call([*BUILD, "--optimise", "cores", "--mapping", file, "--out", "again"]) == 0
    assert Path("again/mapping.toml").read_bytes() == (made / "mapping.toml").read_bytes()
    first, again = mapping_of(made), mapping_of(Path("again"))
    assert [(c.chip, c.x, c.y, c.layers, c.demand) for c in again.cores] == [
        (c.chip, c.x, c.y, c.layers, c.demand) for c in first.cores
    ]
    assert len(first.images) == len(again.images) > 20
    for one, other in zip(images(made), images(Path("again")), strict=True):
        assert one["record"] == other["record"] and one.keys() == other.keys()
        for name in one.keys() - {"record"}:
            assert np.asarray(one[name]).tobytes() == np.asarray(other[name]).tobytes()
    log = Path("again/build.log").read_text()
    assert f"as {file} says" in log and f'mapping = "{file}"' in Path("again/build.toml").read_text()


def test_a_changed_file_continues_from_the_map_stage(made: Path) -> None:
    shutil.copytree(made, "out")
    text = Path("out/mapping.toml").read_text()
    table = re.search(r'\[layer\."head"\]\n[^[]*', text)
    assert table is not None and "layout = { channels = 1 }" in table[0]
    Path("mine.toml").write_text('[layer.head]\nlayout = { channels = 5 }\n[layer."blocks.0.*"]\n')
    again = [*BUILD, "--out", "out", "--from", "map", "--mapping", "mine.toml"]
    assert cli.call(again) == 0
    groups = {g.name: g.layout for g in mapping_of(Path("out")).groups}
    assert groups["head"] == "channels/5"
    record = Path("out/repro.json").read_text()
    assert '"mapping_sha256": "' in record
    assert '"mapping_sha256": null' in (made / "repro.json").read_text()


def test_a_kept_mapping_is_of_the_same_file(made: Path, capsys: Captured) -> None:
    shutil.copytree(made, "out")
    Path("mine.toml").write_text("[layer.head]\nlayout = { channels = 5 }\n")
    late = [word for word in BUILD if word not in ("--to", "map")] + [
        "--to",
        "evaluate",
        "--from",
        "evaluate",
    ]
    assert cli.call([*late, "--out", "out", "--mapping", "mine.toml"]) == 2
    assert "ND949" in capsys.readouterr().err


def test_files_are_refused_before_anything_runs(tmp_path: Path, capsys: Captured) -> None:
    Path("mine.toml").write_text('[layer.head]\nlayout = { channels = 0 }\ncores = ["x"]\n')
    for command in (["build", "digits-vit", "--out", "new"], ["check", "digits-vit"]):
        assert cli.call([*command, "--mapping", "mine.toml"]) == 2
        said = capsys.readouterr().err
        assert "ND523" in said and "ND524" in said and "[1/9] import" not in said
    assert not Path("new").exists()
    assert cli.call(["build", "digits-vit", "--mapping", "none.toml", "--out", "new"]) == 2
    assert "ND521" in capsys.readouterr().err


def test_check_takes_a_mapping(capsys: Captured) -> None:
    Path("mine.toml").write_text("[layer.head]\nlayout = { channels = 11 }\n[layer.nobody]\n")
    assert cli.call(["check", "digits-vit", "--mapping", "mine.toml"]) == 2
    said = capsys.readouterr().err
    assert "ND523" in said and "1 .. 10" in said and "ND522" in said and "nobody" in said


def test_the_config_names_the_file() -> None:
    assert resolve(settings=["mapping=mine.toml"]).mapping == "mine.toml"
    one, other = (resolve(settings=[f"mapping={name}.toml"]) for name in "ab")
    assert one.digest() != other.digest() and one.network_digest() == other.network_digest()
