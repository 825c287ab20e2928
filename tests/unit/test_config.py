"""The build config: sources in order, nearest names for what is unknown, and a dump that replays."""

from __future__ import annotations

from pathlib import Path

import pytest

from neurodeploy import config
from neurodeploy.config import BuildConfig, resolve
from neurodeploy.errors import UsageError


def test_later_sources_win(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text('model = "a"\ntarget = "b"\nweight_bits = 4\ncalib = 7\n')
    found = resolve({"target": "flag", "model": None}, file, ["weight_bits=5", "calib = 9"])
    assert (found.model, found.target, found.weight_bits, found.calib) == ("a", "flag", 5, 9)


@pytest.mark.parametrize(
    "setting, key, value",
    [
        ("timesteps=8", "timesteps", 8),
        ("model=digits-vit", "model", "digits-vit"),
        ('model="3"', "model", "3"),
        ("offset=-0.5", "offset", -0.5),
        ("convert.preset=fine", "convert", {"preset": "fine"}),
        ("convert.gelu_base=[0.25, 0.08]", "convert", {"gelu_base": [0.25, 0.08]}),
        ("convert.softmax_base=null", "convert", {"softmax_base": "null"}),
    ],
)
def test_settings_are_typed(setting: str, key: str, value: object) -> None:
    assert getattr(resolve(settings=[setting]), key) == value


def test_layer_rules_by_glob_last_one_wins() -> None:
    found = resolve(settings=['layers."blocks.*.fc1".weight_bits=4', 'layers."blocks.1.*".weight_bits=3'])
    bits = [found.weight_bits_of([name]) for name in ("head", "blocks.0.fc1", "blocks.1.fc1")]
    assert bits == [8, 4, 3]
    assert found.weight_bits_of(["node7", "blocks.0.fc1"]) == 4


def test_a_rule_that_matches_nothing_is_refused() -> None:
    found = resolve(settings=['layers."blocks.*.fc9".weight_bits=4'])
    problems = found.unmatched(["blocks.0.fc1", "head"])
    assert [p.code for p in problems] == ["ND905"] and "blocks.0.fc1" in problems[0].fixes[0]


@pytest.mark.parametrize(
    "setting, code, hint",
    [
        ("wieght_bits=4", "ND904", "weight_bits"),
        ("layers.x.weigth_bits=4", "ND904", "weight_bits"),
        ("weight_bits=99", "ND904", "outside its range"),
        ("timesteps=0", "ND904", "outside its range"),
        ("timesteps=many", "ND904", "integer"),
        ("model.name=x", "ND904", "string"),
        ("timesteps", "ND900", "key=value"),
        ("=3", "ND900", "key=value"),
    ],
)
def test_wrong_settings_are_typed(setting: str, code: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        resolve(settings=[setting])
    assert caught.value.problems[0].code == code and hint in str(caught.value)


def test_every_problem_at_once() -> None:
    with pytest.raises(UsageError) as caught:
        resolve(settings=["weight_bits=99", "sede=1", "timesteps=0"])
    assert len(caught.value.problems) == 3


@pytest.mark.parametrize("content", [None, b"\xff\xfe", b"x = = 1"])
def test_unusable_files_are_typed(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "c.toml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(UsageError, match="ND906"):
        resolve(file=file)


def test_dump_replays(tmp_path: Path) -> None:
    settings = [
        "model=digits-vit",
        "convert.preset=fine",
        'layers."b.*".weight_bits=4',
        "chips=2",
        "out=x",
        "jobs=2",
    ]
    before = resolve(settings=settings)
    file = tmp_path / "build.toml"
    file.write_text(config.dump(before))
    after = resolve(file=file)
    assert after.decisive() == before.decisive() and after.digest() == before.digest()
    assert (after.out, after.jobs) == ("", 0)  # neither place nor threads decide a number


@pytest.mark.parametrize(
    "model, target, folder",
    [
        ("digits-vit", "loihi-sim", "build/digits-vit-loihi-sim"),
        ("nets/my net.pt2", "own/chip.toml", "build/my-net-chip"),
        ("py:a.b:c", "loihi2", "build/py-a.b-c-loihi2"),
    ],
)
def test_default_folder(model: str, target: str, folder: str) -> None:
    assert str(BuildConfig(model=model, target=target).folder) == folder
