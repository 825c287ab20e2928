"""MODEL strings, and files that are missing, empty, truncated, foreign or hostile."""

from __future__ import annotations

import io
import json
import pickle
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from neurodeploy.errors import ImportModelError, NeurodeployError, UsageError
from neurodeploy.formats._base import FORMATS
from neurodeploy.ir import interp
from neurodeploy.sources import resolve, zoo
from tests import fake_format
from tests.later import torch


def problem_of(text: str, load: bool = False, **options: object) -> tuple[type, str, str]:
    with pytest.raises(NeurodeployError) as caught:
        model = resolve.resolve(text, **options)
        if load:
            resolve.source_graph(model)
    first = caught.value.problems[0]
    return type(caught.value), first.code, str(first)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network with an open batch axis in a .pt2 file."""

    class Tiny(torch.nn.Module):
        """A convolution and a linear layer (torch 2.3 cannot read back an exported Sequential)."""

        def __init__(self) -> None:
            super().__init__()
            self.conv, self.head = torch.nn.Conv2d(1, 2, 2, stride=2), torch.nn.Linear(32, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.conv(x).flatten(1))

    path = tmp_path_factory.mktemp("export") / "tiny.pt2"
    torch.manual_seed(0)
    program = torch.export.export(
        Tiny().eval(), (torch.zeros(4, 1, 8, 8),), dynamic_shapes=({0: torch.export.Dim("batch", min=2)},)
    )
    torch.export.save(program, path)
    return path


@pytest.mark.parametrize("name", zoo.names())
def test_zoo_name_carries_the_defaults_of_its_entry(name: str) -> None:
    model, entry = resolve.resolve(name), zoo.entry(name)
    assert (model.kind, model.system, model.dataset) == ("zoo", entry.system, entry.dataset)
    assert (model.method, model.timesteps) == (entry.method, entry.timesteps)
    assert model.fingerprint == resolve.resolve(name).fingerprint != ""


def test_unknown_names_come_with_the_nearest() -> None:
    kind, code, text = problem_of("digits-vitt")
    assert (kind, code) == (UsageError, "ND110")
    assert "use model 'digits-vit'" in text


@pytest.mark.parametrize(
    "text", ["no/such/file.pt2", "no/such/file.onnx", "nothing.h5", "some/folder/", "py:module", "py::f"]
)
def test_nothing_there(text: str) -> None:
    assert problem_of(text)[:2] == (UsageError, "ND110")


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".safetensors"])
def test_foreign_kinds_say_what_to_do(suffix: str) -> None:
    kind, code, text = problem_of(f"weights{suffix}")
    assert (kind, code) == (UsageError, "ND106")
    assert "fix:" in text


# --- files of other tools ----------------------------------------------------------------------------------------


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    fake_format.install(monkeypatch)
    return fake_format.write(tmp_path / "net.toy")


def test_a_suffix_finds_its_reader(toy: str) -> None:
    model = resolve.resolve(toy, timesteps=7)
    assert (model.name, model.kind, model.system) == ("net", "format", "toy")
    assert resolve.source_graph(model).header.timesteps == 7
    assert resolve.source_graph(resolve.resolve(toy)).header.timesteps == fake_format.TICKS


def test_every_reader_has_a_suffix_of_its_own() -> None:
    assert len(resolve.formats()) == sum(member.reader is not None for member in FORMATS.values())


def test_what_decides_the_graph_decides_its_fingerprint(toy: str) -> None:
    first = resolve.resolve(toy)
    assert resolve.resolve(toy).fingerprint == first.fingerprint != ""
    fake_format.write(Path(toy), seed=1)
    others = [
        resolve.resolve(toy),
        resolve.resolve(toy, timesteps=3),
        resolve.resolve(toy, reader={"gain": 2}),
    ]
    assert len({first.fingerprint, *(m.fingerprint for m in others)}) == 4


def test_reader_options_reach_the_reader(toy: str) -> None:
    plain, doubled = (
        resolve.source_graph(resolve.resolve(toy, reader=options)).nodes["conv"]
        for options in ({}, {"gain": 2})
    )
    assert np.array_equal(2 * plain.weight, doubled.weight)


@pytest.mark.parametrize(
    "reader, hint", [({"gian": 2}, "use key of the toy reader 'gain'"), ({"gain": "much"}, "gain")]
)
def test_wrong_reader_options(toy: str, reader: dict, hint: str) -> None:
    kind, code, text = problem_of(toy, reader=reader)
    assert (kind, code) == (UsageError, "ND120") and hint in text


@pytest.mark.parametrize("text", ["digits-vit", "folder/"])
def test_reader_options_of_a_model_that_no_reader_reads(text: str) -> None:
    kind, code, said = problem_of(text, reader={"skip_layers": 1})
    assert (kind, code) == (UsageError, "ND120") and "--set reader.skip_layers" in said


@pytest.mark.parametrize("text", ["py:module:factory", "net.pt2", "net.onnx"])
def test_torch_code_takes_options_of_texts_alone(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        resolve.resolve(text, reader={"skip_layers": 1, "tokenizer": 3})
    assert {(p.code, p.where) for p in caught.value.problems} == {
        ("ND120", "reader.skip_layers"),
        ("ND120", "reader.tokenizer"),
    }


def test_files_of_other_tools_that_are_not_there(toy: str, tmp_path: Path) -> None:
    assert problem_of(str(tmp_path / "none.toy"))[:2] == (UsageError, "ND110")
    (tmp_path / "folder.toy").mkdir()
    assert "a folder" in problem_of(str(tmp_path / "folder.toy"))[2]


def test_all_problems_of_a_file_come_at_once(toy: str) -> None:
    Path(toy).write_text("cut o")
    with pytest.raises(ImportModelError) as caught:
        resolve.source_graph(resolve.resolve(toy))
    assert [p.code for p in caught.value.problems] == ["ND121", "ND122"]


def test_export_file_is_read_with_its_open_batch(exported: Path) -> None:
    model = resolve.resolve(str(exported), scale=0.125)
    assert (model.name, model.kind) == ("tiny", "export")
    graph = resolve.source_graph(model)
    raw = np.random.default_rng(0).integers(0, 9, (5, 1, 8, 8))
    expected = torch.export.load(exported).module()(torch.tensor(raw, dtype=torch.float32) * 0.125)
    np.testing.assert_allclose(interp.run(graph, raw).outputs[0], expected.detach().numpy(), atol=1e-5)
    assert model.fingerprint != resolve.resolve(str(exported), scale=0.5).fingerprint


@pytest.mark.parametrize("damage", ["empty", "text", "half", "other archive"])
def test_damaged_files(exported: Path, tmp_path: Path, damage: str) -> None:
    path, whole = tmp_path / "damaged.pt2", exported.read_bytes()
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as other:
        other.writestr("readme.txt", "hello")
    content = {
        "empty": b"",
        "text": b"hello" * 99,
        "half": whole[: len(whole) // 2],
        "other archive": archive.getvalue(),
    }
    path.write_bytes(content[damage])
    assert problem_of(str(path), load=True)[:2] == (ImportModelError, "ND106")


def rewritten(source: Path, target: Path, **members: bytes) -> Path:
    """A copy of an archive; members whose name ends in a key (with a dot for '__') are replaced."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            content = next(
                (c for key, c in members.items() if name.endswith(key.replace("__", "."))), old.read(name)
            )
            new.writestr(name, content)
    return target


class Touch:
    """A pickle of this creates a file when it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return open, (str(self.path), "w")


def graph_text(path: Path) -> tuple[str, str]:
    """Name and text of the member that holds the graph."""
    with zipfile.ZipFile(path) as archive:
        names = [n for n in archive.namelist() if n.endswith(("exported_program.json", "models/model.json"))]
        return names[0].rpartition("/")[2], archive.read(names[0]).decode()


def test_a_pickle_is_never_executed(exported: Path, tmp_path: Path) -> None:
    trap = tmp_path / "executed"
    with zipfile.ZipFile(exported) as archive:
        victims = [n.rpartition("/")[2] for n in archive.namelist() if n.endswith(".pt")]
    for victim in victims:
        hostile = rewritten(
            exported, tmp_path / "h.pt2", **{victim.replace(".", "__"): pickle.dumps(Touch(trap))}
        )
        kind, code, _ = problem_of(str(hostile), load=True)
        assert (kind, code) in ((ImportModelError, "ND113"), (ImportModelError, "ND106"))
    assert victims
    assert not trap.exists()


@pytest.mark.parametrize("what", ["target", "expr_str"])
def test_a_graph_names_no_foreign_code(exported: Path, tmp_path: Path, what: str) -> None:
    name, text = graph_text(exported)
    tree = json.loads(text)
    evil = {"target": "torch.os.system", "expr_str": "__import__('os').getcwd()"}[what]
    assert set_first(tree, what, evil)
    hostile = rewritten(exported, tmp_path / "h.pt2", **{name.replace(".", "__"): json.dumps(tree).encode()})
    assert problem_of(str(hostile), load=True)[:2] == (ImportModelError, "ND113")


def set_first(tree: object, key: str, value: str) -> bool:
    """Overwrite the first entry of that key, signatures aside."""
    if isinstance(tree, dict):
        if isinstance(tree.get(key), str):
            tree[key] = value
            return True
        return any(set_first(v, key, value) for k, v in tree.items() if not k.endswith("_specs"))
    return isinstance(tree, list) and any(set_first(part, key, value) for part in tree)


FACTORIES = """
import torch

def network():
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))

def shaped():
    module = network()
    module.input_shape = (1, 8, 8)
    return module

def spiking():
    from neurodeploy.sources import zoo
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10), zoo.submodule("spiking").BinaryLif())

def number():
    return 3

def broken():
    raise ValueError("no weights here")
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of an importable module with the factories above."""
    (tmp_path / "own_models.py").write_text(FACTORIES, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    sys.modules.pop("own_models", None)
    return "own_models"


def test_python_factory(package: str) -> None:
    graph = resolve.source_graph(resolve.resolve(f"py:{package}:network", shape=(1, 8, 8)))
    assert (graph.header.name, graph.output.readout) == ("network", "sum")
    assert resolve.source_graph(resolve.resolve(f"py:{package}:shaped")).shape("output") == (10,)


def test_python_factory_of_a_spiking_network(package: str) -> None:
    graph = resolve.source_graph(resolve.resolve(f"py:{package}:spiking", shape=(1, 8, 8), timesteps=6))
    assert (graph.header.timesteps, graph.output.readout) == (6, "mean")
    assert graph.header.notes["contains_neurons"]


@pytest.mark.parametrize(
    ("factory", "code", "text"),
    [
        ("number", "ND111", "int"),
        ("broken", "ND111", "no weights here"),
        ("absent", "ND111", "absent"),
        ("network", "ND133", "input shape"),
    ],
)
def test_python_factories_that_do_not_work(package: str, factory: str, code: str, text: str) -> None:
    kind, found, message = problem_of(f"py:{package}:{factory}", load=True)
    assert (kind, found) == (ImportModelError, code)
    assert text in message


def test_missing_module() -> None:
    kind, code, message = problem_of("py:no_such_module_here:f", load=True)
    assert (kind, code) == (ImportModelError, "ND111") and "install" not in message


def test_a_package_that_a_factory_needs_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "needs_another.py").write_text("import no_such_package_here\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert "install 'no_such_package_here'" in problem_of("py:needs_another:network", load=True)[2]


def test_artifact_has_no_source(tmp_path: Path) -> None:
    (tmp_path / "program.h5").write_bytes(b"")
    for text in (str(tmp_path), str(tmp_path / "program.h5")):
        assert resolve.resolve(text).kind == "artifact"
        assert problem_of(text, load=True)[:2] == (ImportModelError, "ND112")
