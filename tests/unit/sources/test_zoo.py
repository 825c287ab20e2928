"""The zoo's files, their schema, and what a broken weights file is answered with."""

from __future__ import annotations

import hashlib
import json
import math
import subprocess
import sys
from collections.abc import Callable
from importlib.machinery import PathFinder
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
from tests.zoo_data import classifiers, model_data, shipped, trained

NAMES = trained()
#: networks of random weights at the sizes of their papers, and the parameters that those name, in millions
PUBLISHED = {
    "a2os2a-10-512": 36.01, "care-s0": 7.3, "qkformer-10-768": 64.96, "sdt1-8-512": 29.68, "sdt2-55m": 55.4,
    "spikformer-8-512": 29.68, "spikformer-8-768": 66.34, "spikingformer-8-512": 29.68,
    "matmulfree-370m": 373.9, "rwkv-169m": 169.34, "spikegpt-216m": 216, "spikingresformer-l": 60.38,
    "vit-b-16": 86.57, "vit-l-16": 304.33, "vit-s-16": 22.05,
}  # fmt: skip
#: sizes whose papers name no number of parameters that counts what these do: binary weights, tables
UNNAMED = {"bhvit-small", "quweit-t"}
#: What a file of weights may weigh: models on data that ship with the project are small.
SMALL, LARGE = 3 << 19, 8_000_000


def codes(error: UsageError | ImportModelError) -> list[str]:
    assert all(p.code in CODES for p in error.problems)
    return [p.code for p in error.problems]


def outputs(entry: zoo.ZooEntry) -> int:
    """Classes, or tokens."""
    found = entry.model.arguments
    return int(found.get("classes") or found["vocabulary"])


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
    weights = {key: value for key, value in entry.weights.model_dump().items() if value}
    assert {key: log["test"][key] for key in weights} == weights
    # A log may be older than an option: then the option has its default.
    assert zoo.TrainTable(**log["train"]) == entry.train and log["model"] == entry.model.model_dump()
    assert len(log["epochs"]) == entry.train.epochs + entry.train.pretrain_epochs
    if not entry.weights.correct:  # images
        return
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
    answer = network(torch.zeros(2, *entry.input.shape)).shape
    if entry.weights.correct:
        assert answer == (2, outputs(entry))
    else:  # images
        assert answer[:2] == (2, entry.model.arguments["channels"]) and answer[2] == answer[3]


@pytest.mark.parametrize("name", NAMES)
def test_dataset_fits_the_input(name: str) -> None:
    data = model_data(name)
    entry = zoo.entry(name)
    assert data.shape == entry.input.shape and (
        not entry.weights.correct or data.class_count == outputs(entry)
    )
    assert (entry.kind == "sequence") == data.sequence and data.ticks in (0, entry.timesteps)


def test_what_is_not_trained_is_of_published_size() -> None:
    assert PUBLISHED.keys() | UNNAMED == set(zoo.names()) - set(NAMES)


@pytest.mark.parametrize("name", [*PUBLISHED, *sorted(UNNAMED)])
def test_a_published_size_has_the_parameters_of_its_paper(name: str) -> None:
    with torch.device("meta"):  # no memory, no numbers
        network = zoo.build(zoo.entry(name))
    count = sum(p.numel() for p in network.parameters())
    assert count == zoo.entry(name).weights.parameters
    assert name in UNNAMED or count == pytest.approx(PUBLISHED[name] * 1e6, rel=3e-3)


def small(name: str) -> zoo.ZooEntry:
    """A network without weights that takes no time."""
    described = zoo.read_entry(zoo.models_folder() / f"{name}.toml")
    return described.model_copy(update={"weights": zoo.WeightsTable()})


def test_random_weights_are_those_of_a_seed_and_fire(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zoo, "entry", small)
    before = torch.get_rng_state()
    first, again = (zoo.load("digits-saformer").state_dict() for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(first[key], again[key]) for key in first)
    network = zoo.load("digits-saformer")
    assert not network.training and first["blocks.0.attn.q_proj.1.running_var"].min() < 0.5
    spikes = []
    network.blocks[1].mlp.sn2.register_forward_hook(lambda _module, _given, out: spikes.append(out))
    entry = zoo.entry("digits-saformer")
    zoo.submodule("spiking").run(network, torch.from_numpy(entry.input.noise(4, 0)), 4)
    assert 0.01 < float(spikes[0].mean()) < 0.5


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


def test_weights_that_wheels_leave_out_are_told_where_they_are(tmp_path: Path) -> None:
    path = tmp_path / zoo.APART / "large.safetensors"
    with pytest.raises(ImportModelError, match="left out") as caught:
        zoo.load_weights(zoo.build(zoo.entry("digits-vit")), path)
    (problem,) = caught.value.problems
    assert problem.code == "ND191"
    assert (
        problem.fixes[0].startswith("copy models/weights/apart/large.safetensors")
        and str(path) in problem.fixes[0]
    )


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


def test_a_folder_models_of_a_user_is_found_before_the_zoo(tmp_path: Path) -> None:
    """Published code often has one without ``__init__.py``, which a package behind it on the path would hide."""
    (tmp_path / "models").mkdir()
    found = PathFinder.find_spec("models", [str(tmp_path), str(zoo.models_folder().parent)])
    assert found is not None and found.submodule_search_locations is not None
    assert next(iter(found.submodule_search_locations)) == str(tmp_path / "models")


def test_builds_of_the_zoo_keep_the_accuracy_of_its_networks() -> None:
    """What `benchmarks/zoo.py` measured, over the whole test split, of the weights that are here."""
    rows = json.loads((Path(__file__).parents[3] / "benchmarks/results/zoo.json").read_text())["rows"]
    assert set(shipped()) <= {row["model"] for row in rows} <= set(trained())
    for row in rows:
        entry = zoo.entry(row["model"])
        weights, lost = entry.weights, 0.015 if entry.input.frames else 0.01  # of 360: 5 and 3
        assert row["samples"] == weights.tested and row["bit_true"] and row["cores"] <= 128
        if "psnr_float_db" in row:
            near, true = row["psnr_float_db"], row["psnr_truth_db"]
            assert near["integer"] >= 30 and (true["float"] is None) == (weights.psnr_db is None)
            if weights.psnr_db is not None:
                assert true["float"] == pytest.approx(weights.psnr_db, abs=0.01)
                assert true["integer"] >= true["float"] - 0.3
            continue
        assert row["float"] == pytest.approx(weights.correct / weights.tested)
        assert row["float"] >= 0.95 or row["model"] not in classifiers()
        assert row["integer"] >= row["float"] - lost


def test_integers_of_sequence_models_keep_their_bits() -> None:
    """What `benchmarks/sequences.py` measured, over the whole held-out text, of the weights that are here."""
    rows = json.loads((Path(__file__).parents[3] / "benchmarks/results/sequences.json").read_text())["rows"]
    assert {row["model"] for row in rows} == {n for n in NAMES if zoo.entry(n).kind == "sequence"}
    for row in rows:
        weights = zoo.entry(row["model"]).weights
        assert row["tokens"] == weights.tested and row["clipped"] == 0
        assert row["float_bits"] == pytest.approx(weights.bits, abs=1e-4)
        assert row["float"] == pytest.approx(weights.accuracy, abs=1e-4)
        assert row["integer_bits"] <= 1.02 * row["float_bits"]
