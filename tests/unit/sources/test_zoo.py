"""The zoo's files, their schema, and what a broken weights file is answered with."""

from __future__ import annotations

import hashlib
import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomlkit

from neurodeploy import bundled, datasets
from neurodeploy.codes import CODES
from neurodeploy.errors import ImportModelError, UsageError
from neurodeploy.sources import zoo
from tests.later import Tensor, safetensors, torch
from tests.zoo_data import model_data

NAMES = zoo.names()
#: What a file of weights may weigh: models on data that ship with the project are small.
SMALL, LARGE = 1 << 20, 8_000_000


def codes(error: UsageError | ImportModelError) -> list[str]:
    assert all(p.code in CODES for p in error.problems)
    return [p.code for p in error.problems]


def test_names_holds_the_digits_models() -> None:
    assert {"digits-vit", "digits-a2os2a", "cifar10-vit"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_entry_names_itself_and_its_files(name: str) -> None:
    entry = zoo.entry(name)
    assert entry.name == name
    limit = SMALL if entry.dataset in datasets.names() else LARGE
    assert entry.weights_path.is_file() and entry.weights_path.stat().st_size < limit
    assert hashlib.sha256(entry.weights_path.read_bytes()).hexdigest() == entry.weights.sha256


@pytest.mark.parametrize("name", NAMES)
def test_entry_agrees_with_the_training_log(name: str) -> None:
    entry = zoo.entry(name)
    log = json.loads(entry.weights_path.with_suffix(".log.json").read_text())
    weights = entry.weights.model_dump()
    assert {key: log["test"][key] for key in weights} == weights
    # A log may be older than an option: then the option has its default.
    assert zoo.TrainTable(**log["train"]) == entry.train and log["model"] == entry.model.model_dump()
    assert len(log["epochs"]) == entry.train.epochs
    assert entry.weights.accuracy == pytest.approx(entry.weights.correct / entry.weights.tested, abs=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_training_log_names_the_data(name: str) -> None:
    log = json.loads(zoo.entry(name).weights_path.with_suffix(".log.json").read_text())
    assert log["dataset"]["hash"] == model_data(name).hash


@pytest.mark.parametrize("name", NAMES)
def test_load_gives_the_trained_network_in_eval_mode(name: str) -> None:
    entry, network = zoo.entry(name), zoo.load(name)
    assert not any(module.training for module in network.modules())
    assert sum(p.numel() for p in network.parameters()) == entry.weights.parameters
    assert network(torch.zeros(2, *entry.input.shape)).shape == (2, 10)


@pytest.mark.parametrize("name", NAMES)
def test_dataset_fits_the_input(name: str) -> None:
    data = model_data(name)
    assert data.shape == zoo.entry(name).input.shape and data.class_count == 10


@pytest.mark.parametrize("scale", [(0.5,), (0.5, 0.25, 2.0)])
def test_input_apply_scales_and_shifts_each_channel(scale: tuple[float, ...]) -> None:
    table = zoo.InputTable(shape=(3, 2, 2), scale=scale, offset=(1.0, 0.0, -1.0))
    pixels = np.arange(24, dtype=np.uint8).reshape(2, 3, 2, 2)
    seen = table.apply(pixels)
    assert seen.dtype == np.float32
    for channel in range(3):
        expected = pixels[:, channel] * scale[channel % len(scale)] + table.offset[channel]
        np.testing.assert_array_equal(seen[:, channel], expected)


def test_names_and_entries_need_no_torch() -> None:
    code = "import sys, neurodeploy.sources.zoo as z; [z.entry(n) for n in z.names()]; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("call", [zoo.entry, zoo.load, zoo.dataset])
def test_unknown_name_offers_the_nearest(call: Callable[[str], object]) -> None:
    with pytest.raises(UsageError) as caught:
        call("digit-vit")
    assert codes(caught.value) == ["ND908"]
    assert "digits-vit" in caught.value.problems[0].fixes[0]


# --- model files ------------------------------------------------------------------------------------------------


def changed_file(folder: Path, old: str, new: str) -> Path:
    text = (zoo.models_folder() / "digits-vit.toml").read_text()
    assert old in text
    path = folder / "digits-vit.toml"
    path.write_text(text.replace(old, new, 1))
    return path


@pytest.mark.parametrize(
    ("old", "new", "word"),
    [
        ("timesteps =", "timestep =", "timesteps"),
        ("epochs =", "epoch =", "epochs"),
        ("kind = ", "kind = 'gnn' #", "kind"),
        ("scale = 0.0625", "scale = 'small'", "scale"),
        ("offset = 0.0", "offset = [0.0, 0.0]", "channels"),
        ("module = ", "module = '../evil' #", "module"),
        ("timesteps = 2", "timesteps = 0", "timesteps"),
        ("[model]", "[model", ""),
        ("[train]", "[trains]", "train"),
    ],
)
def test_read_entry_refuses(tmp_path: Path, old: str, new: str, word: str) -> None:
    with pytest.raises(UsageError) as caught:
        zoo.read_entry(changed_file(tmp_path, old, new))
    assert set(codes(caught.value)) == {"ND909"}
    assert word in str(caught.value)


def test_read_entry_unknown_key_offers_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        zoo.read_entry(changed_file(tmp_path, "weight_decay =", "weigth_decay ="))
    assert caught.value.problems[0].fixes[0] == "use key 'weight_decay'"
    assert caught.value.problems[0].where.endswith("train.weigth_decay")


def test_read_entry_not_text(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_bytes(b"\xff\xfe\x00")
    for spec in (path, tmp_path / "none.toml"):
        with pytest.raises(UsageError) as caught:
            zoo.read_entry(spec)
        assert codes(caught.value) == ["ND909"]


def test_read_entry_keeps_free_form_convert_table(tmp_path: Path) -> None:
    document = tomlkit.parse((zoo.models_folder() / "digits-vit.toml").read_text())
    document["convert"] = {"levels": 8, "sites": {"fc2": [0.25, 0.08]}}
    path = tmp_path / "digits-vit.toml"
    path.write_text(tomlkit.dumps(document))
    assert zoo.read_entry(path).convert == {"levels": 8, "sites": {"fc2": [0.25, 0.08]}}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("module", "nothing_here"),
        ("factory", "Nothing"),
        ("arguments", {"colour": 3}),
        ("arguments", {"image_size": 7}),
    ],
)
def test_build_that_cannot_be_built(field: str, value: object) -> None:
    entry = zoo.entry("digits-vit")
    broken = entry.model_copy(update={"model": entry.model.model_copy(update={field: value})})
    with pytest.raises(ImportModelError) as caught:
        zoo.build(broken)
    assert codes(caught.value) == ["ND190"]


# --- weights ----------------------------------------------------------------------------------------------------


Change = Callable[[dict[str, Any]], dict[str, Any]]


def _edit(key: str, value: list[float] | None) -> Change:
    def change(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        kept = {k: v for k, v in tensors.items() if k != key}
        return kept if value is None else {**kept, key: torch.tensor(value)}

    return change


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (_edit("head.bias", None), ["ND193"]),
        (_edit("head.biass", [0.0] * 10), ["ND193"]),
        (_edit("head.bias", [0.0] * 11), ["ND193"]),
        (_edit("head.bias", [math.nan] * 10), ["ND194"]),
        (_edit("head.bias", [math.inf] * 10), ["ND194"]),
        (lambda t: {"head.bias": torch.full((10,), math.nan)}, None),
    ],
)
def test_load_weights_refuses_tensors(tmp_path: Path, change: Change, expected: list[str] | None) -> None:
    entry = zoo.entry("digits-vit")
    path = tmp_path / "w.safetensors"
    safetensors.save_file(change(safetensors.load_file(entry.weights_path)), path)
    with pytest.raises(ImportModelError) as caught:
        zoo.load_weights(zoo.build(entry), path)
    assert codes(caught.value) == expected or (expected is None and len(caught.value.problems) > 10)


@pytest.mark.parametrize(
    ("share", "code"), [(0.0, "ND192"), (0.01, "ND192"), (0.5, "ND192"), (None, "ND191")]
)
def test_load_weights_refuses_files(tmp_path: Path, share: float | None, code: str) -> None:
    entry = zoo.entry("digits-vit")
    path = tmp_path / "w.safetensors"
    if share is not None:
        whole = entry.weights_path.read_bytes()
        path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ImportModelError) as caught:
        zoo.load_weights(zoo.build(entry), path)
    assert codes(caught.value) == [code]


def test_load_weights_refuses_another_hash() -> None:
    entry = zoo.entry("digits-vit")
    with pytest.raises(ImportModelError) as caught:
        zoo.load_weights(zoo.build(entry), entry.weights_path, sha256="0" * 64)
    assert codes(caught.value) == ["ND192"]


# --- where the files lie ----------------------------------------------------------------------------------------


def test_bundled_path_prefers_the_installed_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "neurodeploy"
    monkeypatch.setattr(bundled, "_PACKAGE", package)
    (tmp_path / "models").mkdir(parents=True)
    assert bundled.path("models") == tmp_path / "models"
    (package / "_bundled" / "models").mkdir(parents=True)
    assert bundled.path("models") == package / "_bundled" / "models"


def test_package_is_imported_under_its_own_name() -> None:
    assert zoo.package().__name__ == zoo.PACKAGE == "neurodeploy_models"
    assert zoo.submodule("vit").__name__ == "neurodeploy_models.vit"
    assert zoo.package() is zoo.package()
