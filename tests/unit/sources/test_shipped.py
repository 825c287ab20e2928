"""What ships for machines without torch is what torch makes, and damaged files are refused."""

from __future__ import annotations

import io
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from neurodeploy import bundled, extras
from neurodeploy.errors import EnvironmentProblem, ImportModelError
from neurodeploy.ir import interp
from neurodeploy.ir.nodes import Synapse
from neurodeploy.registry import version
from neurodeploy.sources import resolve, shipped, zoo
from tests.fast import fast

TRAINED = [name for name in zoo.names() if zoo.entry(name).trained]
#: one by torch.export, one by torch.fx, one of sequences
QUICK = ("digits-vit", "digits-a2os2a", "documentation-t2r")


@pytest.mark.parametrize("name", fast(TRAINED, *QUICK))
def test_a_shipped_graph_is_what_torch_makes(name: str) -> None:
    entry = zoo.entry(name)
    graph, check = shipped.load(entry)
    today = resolve.by_torch(entry).graph
    if shipped.index()[name]["torch"] == version("torch"):
        assert shipped.alike(graph, today), "run: python models/ship.py"
    else:  # another release may take a view apart in another way; it computes the same, as its processor rounds
        low, high = check.low, check.high
        frames = (graph.header.timesteps,) if graph.input.per_tick else ()
        shape = (2, *frames, *graph.shape(graph.input.name))
        x = np.random.Generator(np.random.PCG64(5)).integers(low, high + 1, shape)
        np.testing.assert_allclose(
            interp.run(graph, x).outputs, interp.run(today, x).outputs, rtol=1e-12, atol=1e-12
        )
    assert check.outputs_compared and check.largest_difference <= check.tolerance


def test_every_trained_model_ships_and_no_other() -> None:
    assert sorted(shipped.index()) == TRAINED
    assert {file.stem for file in shipped.folder().glob("*.npz")} == set(TRAINED)


def test_another_number_or_node_is_seen() -> None:
    """The next number of single precision, in which weights are trained, is another one."""
    graph, _ = shipped.load(zoo.entry("digits-vit"))
    first = graph.of(Synapse)[0]
    weight = first.weight.copy()
    weight.flat[0] = np.nextafter(np.float32(weight.flat[0]), np.float32(1))
    changed = replace(graph, nodes={**graph.nodes, first.name: replace(first, weight=weight)})
    assert shipped.alike(graph, graph) and not shipped.alike(graph, changed)


def test_a_graph_is_that_of_its_description_and_weights() -> None:
    entry = zoo.entry("digits-vit")
    deeper = entry.model.model_copy(update={"arguments": {**entry.model.arguments, "depth": 3}})
    assert shipped.load(entry.model_copy(update={"model": deeper})) is None
    other = entry.weights.model_copy(update={"sha256": "0" * 64})
    assert shipped.load(entry.model_copy(update={"weights": other})) is None


def test_without_torch_the_shipped_graph_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    loaded = resolve.resolve("digits-vit").loader()
    assert loaded.reference is None and loaded.check is not None
    assert shipped.alike(loaded.graph, shipped.load(zoo.entry("digits-vit"))[0])


@pytest.mark.parametrize("text", ["vit-b-16", "py:os:getcwd", "timm:vit"])
def test_without_torch_other_networks_name_its_extra(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    with pytest.raises(EnvironmentProblem, match=r"(?s)ND115.*neurodeploy\[torch\]"):
        resolve.resolve(text).loader()


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("digits-vit.npz", "index.json"):
        (tmp_path / "graphs").mkdir(exist_ok=True)
        shutil.copy(shipped.folder() / name, tmp_path / "graphs")
    monkeypatch.setattr(shipped, "folder", lambda: tmp_path / "graphs")
    return tmp_path / "graphs"


@pytest.mark.parametrize("damage, code", [("gone", "ND191"), ("changed", "ND192"), ("list", "ND191")])
def test_damaged_files_are_refused(copy: Path, damage: str, code: str) -> None:
    file = copy / "digits-vit.npz"
    if damage == "gone":
        file.unlink()
    elif damage == "changed":
        file.write_bytes(file.read_bytes()[:-1] + b"?")
    else:
        (copy / "index.json").write_text("{")
    with pytest.raises(ImportModelError, match=code):
        shipped.load(zoo.entry("digits-vit"))


def test_what_is_written_is_read_and_what_is_the_same_stays(copy: Path) -> None:
    graph, check = shipped.load(zoo.entry("digits-vit"))
    before = (copy / "digits-vit.npz").read_bytes()
    assert not shipped.write("digits-vit", graph, check)
    (copy / "digits-vit.npz").unlink()
    assert shipped.write("digits-vit", graph, check)
    assert shipped.alike(shipped.load(zoo.entry("digits-vit"))[0], graph)
    assert len((copy / "digits-vit.npz").read_bytes()) == pytest.approx(len(before), rel=0.05)
    assert sorted(json.loads((copy / "index.json").read_text())) == TRAINED


def test_the_digits_are_those_of_scikit_learn() -> None:
    from sklearn.datasets import load_digits

    raw = load_digits()
    held = np.load(io.BytesIO((bundled.path("models") / "data" / "digits.npz").read_bytes()))
    assert np.array_equal(held["images"], raw.images) and np.array_equal(held["labels"], raw.target)


@pytest.mark.parametrize("content", [None, b"", b"something else"])
def test_other_digits_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None
) -> None:
    from neurodeploy.datasets import digits

    (tmp_path / "data").mkdir()
    if content is not None:
        (tmp_path / "data" / "digits.npz").write_bytes(content)
    monkeypatch.setattr(bundled, "path", lambda name: tmp_path)
    with pytest.raises(EnvironmentProblem, match="ND927"):
        digits.load("digits")
