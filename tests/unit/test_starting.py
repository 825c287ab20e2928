"""A first config for what lies in a folder, and the schemas by which editors complete it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from neurodeploy import bundled, cli, config, schemas, starting, verbs
from neurodeploy.config import BuildConfig, read_toml
from neurodeploy.errors import UsageError
from neurodeploy.sources import factories

MODEL = """
import torch
from torch import nn
raise SystemExit("this file is read, and not run")

class Block(nn.Module):
    def __init__(self, width): ...

class Whole(torch.nn.Module):
    def __init__(self, width=8): ...

class Other: ...

def vit():
    return Block(8)

def sized(width):
    return Whole(width)

def said() -> nn.Module: ...

def number():
    return int(3)

def _hidden() -> nn.Module: ...
"""


#: factories without a class of their own
PLAIN = """
def chain():
    return torch.nn.Sequential(nn.Linear(2, 3), nn.ReLU())

def loaded():
    net = nn.Sequential(nn.Linear(2, 3))
    net.load_state_dict(torch.load("net.pt"))
    return net.eval()

def kept():
    net = nn.Sequential()
    net.add_module("head", nn.Linear(2, 3))
    return net

def told() -> nn.Sequential:
    return chain()

def numbers():
    return np.zeros(3)
"""


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def valid(kind: str, value: Any) -> bool:
    jsonschema = pytest.importorskip("jsonschema")
    found = schemas.schema(kind)
    jsonschema.Draft202012Validator.check_schema(found)
    return bool(jsonschema.Draft202012Validator(found).is_valid(value))


def test_factories_are_found_without_running_anything() -> None:
    Path("net.py").write_text(MODEL)
    assert [*factories.candidates(Path("net.py"))] == ["vit", "said", "Whole"]
    Path("plain.py").write_text(PLAIN)
    assert [*factories.candidates(Path("plain.py"))] == ["chain", "loaded", "kept", "told"]
    Path("broken.py").write_text("def x(:")
    assert [*factories.candidates(Path("broken.py"))] == []


def test_the_first_config_names_what_lies_there_and_every_key(capsys: pytest.CaptureFixture[str]) -> None:
    built = ("out/build.toml", "out/layers.csv", "out/cores.csv", "out/data.npz")  # of a build of any name
    for name in ("b.net", "a.nir", "x.npz", "sub/c.net", ".hidden.net", "build/d.net", *built):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text("")
    Path("net.py").write_text(MODEL)
    found = verbs.init()
    assert found.models == ("b.net", "sub/c.net", "a.nir", "py:net:vit", "py:net:said", "py:net:Whole")
    assert found.data == ("x.npz",)
    resolved = config.resolve({}, found.file)
    assert (resolved.model, resolved.data, resolved.target) == ("b.net", "x.npz", "loihi-sim")
    text = found.file.read_text()
    assert all(
        f"{key} = " in text or f"[{key}]" in text for key in BuildConfig.model_fields if key != "wanted"
    )
    lines = [
        line[2:]
        for line in text.splitlines()
        if line.startswith("# ") and " = " in line and "..." not in line
    ]
    Path("all.toml").write_text("\n".join(line for line in lines if not line.startswith("model")))
    assert (
        config.resolve({}, "all.toml") == BuildConfig()
    )  # what is commented out is what holds without a word
    with pytest.raises(UsageError, match="ND900"):
        verbs.init()
    assert cli.call(["init", "digits-vit", "--force"]) == 0
    assert read_toml(found.file)["model"] == "digits-vit"
    assert "neurodeploy check --config neurodeploy.toml" in capsys.readouterr().out


def test_a_folder_without_a_model_is_told_what_to_give() -> None:
    with pytest.raises(UsageError, match=r"(?s)ND900.*digits-vit"):
        verbs.init()
    assert not Path(starting.FILE).exists()


def test_the_schema_of_a_config_takes_what_a_build_takes() -> None:
    assert set(schemas.schema("config")["properties"]) == set(BuildConfig.model_fields)
    rules = {"layers": {"*.fc1": {"weight_bits": 4}}}
    for given in (
        {},
        {"model": "digits-vit", "method": "ecmt", "weight_bits": 4},
        {"convert": {"levels": 3}},
        rules,
    ):
        config.validate(given)
        assert valid("config", given)
    replayed = config.dump(BuildConfig(model="digits-vit", timesteps=2))
    Path("build.toml").write_text(replayed)
    assert valid("config", read_toml(Path("build.toml")))
    wrong: list[dict[str, Any]] = [
        {"wieght_bits": 4}, {"weight_bits": 9}, {"method": "ecm"}, {"optimise": "speed"}, {"timesteps": 0},
        {"layers": {"a": {"bits": 3}}}, {"lookups": "chip"},
    ]  # fmt: skip
    assert [valid("config", given) for given in wrong] == [False] * len(wrong)


@pytest.mark.parametrize(
    "file", sorted(bundled.path("hw_targets").glob("*.toml")), ids=lambda file: file.stem
)
def test_the_schema_of_a_target_takes_every_target(file: Path) -> None:
    found = read_toml(file)
    assert valid("target", found)
    assert not valid("target", {**found, "chip": {"cores": 3}})
    assert not valid("target", {**found, "chips": "many"}) and not valid(
        "target", {**found, "costs": {"x": 1}}
    )


def test_a_schema_is_printed_or_written(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.call(["schema", "config"]) == 0
    assert json.loads(capsys.readouterr().out) == schemas.schema("config")
    assert cli.call(["schema", "target", "--out", "t.json"]) == 0
    assert json.loads(Path("t.json").read_text()) == schemas.schema("target")
    assert cli.call(["schema", "confg"]) == 2
    assert "config" in capsys.readouterr().err
