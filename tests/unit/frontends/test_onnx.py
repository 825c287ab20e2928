"""Files of ONNX: what comes in equals the module that was exported and onnxruntime; what does not says why."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neurodeploy import cli, sources
from neurodeploy.config import BuildConfig
from neurodeploy.errors import EnvironmentProblem, ImportModelError, NeurodeployError
from neurodeploy.frontends.onnx import read
from neurodeploy.inputs import samples
from neurodeploy.ir import interp
from neurodeploy.ir.graph import Graph
from neurodeploy.sources import resolve
from tests import onnx_files
from tests.fuzz.readers import CORPUS, read_onnx
from tests.later import Later, functional, nn, torch

onnx = Later("onnx")
pytestmark = pytest.mark.needs("torch", "onnx", "onnxruntime")
Nodes = list[onnx_files.Written]
F = np.float32
X = {"x": (F, ("batch", 4))}


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", os.environ.get("NUMBA_CACHE_DIR", str(tmp_path / "numba")))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def loaded(path: Path, **reader: Any) -> sources.Source:
    """Imported and compared, as a build imports it."""
    return sources.load(BuildConfig(model=str(path), target="loihi-sim", reader=reader))


def read_alone(path: Path, **reader: Any) -> Graph:
    """Imported and not compared."""
    return resolve.source_graph(resolve.resolve(str(path), reader=reader))


def problems(path: Path, **reader: Any) -> list[tuple[str, str]]:
    with pytest.raises(NeurodeployError) as caught:
        loaded(path, **reader)
    return [
        (p.code, f"{p.cause} | {p.where} | {p.found} | {' '.join(p.fixes)}") for p in caught.value.problems
    ]


def exported(
    path: Path, network: nn.Module, *given: Any, dynamo: bool = False, opset: int = 17, **more: Any
) -> Path:
    """A module in a file, by one of torch's two exporters."""
    later = tuple(map(int, torch.__version__.split(".")[:2])) >= (2, 5)
    more = {**more, **({"dynamo": dynamo} if later else {})}
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        torch.onnx.export(network.eval(), given, str(path), opset_version=opset, **more)
    return path


def said(graph: Any, raw: np.ndarray) -> np.ndarray:
    return interp.run(graph, samples.one_hot(graph, raw) if samples.tokens(graph) else raw).outputs[0]


def equal(graph: Any, network: nn.Module, raw: np.ndarray, *more: Any) -> None:
    """The module itself is a third that has to say the same."""
    x = torch.as_tensor(raw) if samples.tokens(graph) else torch.as_tensor(raw, dtype=torch.float64)
    with torch.no_grad():
        wanted = network.double()(x, *more).numpy()
    np.testing.assert_allclose(said(graph, raw).reshape(wanted.shape), wanted, rtol=1e-5, atol=1e-5)


# --- networks ----------------------------------------------------------------------------------------------------


def test_a_file_equals_its_module(tmp_path: Path) -> None:
    torch.manual_seed(0)
    conv = nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU(), nn.MaxPool2d(2))
    network = nn.Sequential(conv, nn.Flatten(), nn.Linear(48, 5)).eval()
    conv[1].running_mean.uniform_(), conv[1].running_var.uniform_(1, 2)
    open_batch = {"input_names": ["x"], "dynamic_axes": {"x": {0: "batch"}}}
    path = exported(tmp_path / "net.onnx", network, torch.zeros(2, 1, 8, 8), **open_batch)
    source = loaded(path)
    assert source.check.precision == "float32 of onnxruntime" and source.check.tolerance == 1e-5
    assert source.check.largest_difference < 1e-6 and source.check.samples >= 8
    assert source.graph.nodes["0.0.conv"].origin[0].path == "0.0"
    equal(source.graph, network, np.random.default_rng(0).integers(0, 9, (3, 1, 8, 8)))


def test_a_fixed_batch_is_what_the_file_takes(tmp_path: Path) -> None:
    source = loaded(onnx_files.perceptron(tmp_path / "net.onnx", batch=1))
    assert source.graph.shape("input") == (8,) and source.check.largest_difference < 1e-6


def encoder() -> nn.Module:
    """Ids and a mask to one vector for each token."""

    class Text(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words, self.places = nn.Embedding(13, 8), nn.Parameter(torch.randn(6, 8))
            self.qkv, self.out, self.norm = nn.Linear(8, 24), nn.Linear(8, 8), nn.LayerNorm(8)
            self.more, self.less = nn.Linear(8, 16), nn.Linear(16, 4)

        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            x = self.words(input_ids) + self.places
            q, k, v = self.qkv(x).reshape(-1, 6, 3, 2, 4).permute(2, 0, 3, 1, 4).unbind(0)
            hidden = (1 - attention_mask[:, None, None].to(x.dtype)) * -10000.0
            scores = (q @ k.transpose(-2, -1) / 2 + hidden).softmax(-1)
            x = self.norm(x + self.out((scores @ v).transpose(1, 2).reshape(-1, 6, 8)))
            return self.less(nn.functional.gelu(self.more(x)))

    torch.manual_seed(0)
    return Text().eval()


@pytest.mark.parametrize("dynamo, opset", [
    pytest.param(False, 14, marks=pytest.mark.slow),
    pytest.param(True, 18, marks=[pytest.mark.needs("onnxscript"), pytest.mark.slow]),
    pytest.param(True, 20, marks=[pytest.mark.needs("onnxscript"), pytest.mark.slow]),
])  # fmt: skip
def test_texts_with_a_mask(dynamo: bool, opset: int, tmp_path: Path) -> None:
    network, ids = encoder(), torch.ones(2, 6, dtype=torch.int64)
    names = {"input_names": ["input_ids", "attention_mask"], "output_names": ["words"]}
    path = exported(tmp_path / "text.onnx", network, ids, ids.clone(), dynamo=dynamo, opset=opset, **names)
    graph = loaded(path, padding=0).graph
    raw = np.array([[3, 1, 4, 5, 9, 2], [6, 5, 3, 0, 0, 0]])
    assert graph.header.notes["tokens"]["vocabulary"] == 13
    equal(graph, network, raw, torch.as_tensor(raw) != 0)


@pytest.mark.slow
@pytest.mark.parametrize("dynamo", [False, pytest.param(True, marks=pytest.mark.needs("onnxscript"))])
@pytest.mark.needs("timm")
def test_a_vision_transformer(dynamo: bool, tmp_path: Path) -> None:
    import timm

    torch.manual_seed(0)
    sizes = {"img_size": 16, "patch_size": 8, "embed_dim": 16, "depth": 2, "num_heads": 2, "num_classes": 5}
    network = timm.create_model("vit_tiny_patch16_224", **sizes)
    path = exported(tmp_path / "vit.onnx", network, torch.zeros(2, 3, 16, 16), dynamo=dynamo, opset=18)
    equal(loaded(path).graph, network, np.random.default_rng(0).integers(0, 2, (2, 3, 16, 16)))


def quantised(path: Path, zero: Any = None, back: float = 0.05, channels: bool = True) -> Path:
    """A layer between quantisers, its weights stored as integers with a scale for each channel."""
    rng = np.random.default_rng(1)
    constants = {
        "s": F(0.05), "t": F(back), "z": np.uint8(3) if zero is None else zero,
        "w": rng.integers(-127, 128, (5, 4)).astype(np.int8),
        "ws": rng.uniform(0.01, 0.02, 5).astype(F) if channels else F(0.015),
        "wz": np.zeros(5 if channels else (), np.int8),
        "b": rng.integers(-99, 99, 5).astype(np.int32), "bs": F(0.001),
    }  # fmt: skip
    nodes = [
        ("QuantizeLinear", ("x", "s", "z"), ("q",), {}),
        ("DequantizeLinear", ("q", "t", "z"), ("d",), {}),
        ("DequantizeLinear", ("w", "ws", "wz"), ("wd",), {"axis": 0}),
        ("DequantizeLinear", ("b", "bs"), ("bd",), {}),
        ("Gemm", ("d", "wd", "bd"), ("h",), {"transB": 1}),
        ("QuantizeLinear", ("h", "s", "z"), ("r",), {}),
        ("Reshape", ("r", "n"), ("m",), {}),
        ("DequantizeLinear", ("m", "s", "z"), ("y",), {}),
    ]
    return onnx_files.save(path, nodes, X, constants={**constants, "n": np.array([-1, 5])})


@pytest.mark.parametrize("channels", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_quantisers_become_neurons(channels: bool, tmp_path: Path) -> None:
    source = loaded(quantised(tmp_path / "q.onnx", channels=channels))
    assert {node.model for node in source.graph if hasattr(node, "model")} == {"integer_lif"}
    assert source.check.largest_difference < 1e-6


def test_what_undoes_another_quantiser_is_refused(tmp_path: Path) -> None:
    ((code, text),) = problems(quantised(tmp_path / "q.onnx", back=0.1))
    assert code == "ND125" and "another scale" in text
    ((code, text),) = problems(quantised(tmp_path / "q.onnx", zero=np.uint16(3)))
    assert (code, "8 bits" in text) == ("ND125", True)


def test_open_sizes_are_those_of_the_data(tmp_path: Path) -> None:
    nodes: Nodes = [("ReduceMean", ("x",), ("m",), {"axes": [1]}), ("Add", ("x", "m"), ("y",), {})]
    path = onnx_files.save(tmp_path / "net.onnx", nodes, {"x": (F, ("batch", "n", 3))})
    ((code, text),) = problems(path)
    assert code == "ND135" and "--data" in text
    graph, other = (resolve.resolve(str(path), shape=(n, 3)) for n in (5, 6))
    assert resolve.source_graph(graph).shape("input") == (5, 3)
    assert graph.fingerprint != other.fingerprint


def test_results_by_name_and_number(tmp_path: Path) -> None:
    nodes: Nodes = [("Relu", ("x",), ("a",), {}), ("Neg", ("x",), ("b",), {})]
    path = onnx_files.save(tmp_path / "net.onnx", nodes, X, ("a", "b"))
    raw = np.array([[0, 1, 2, 3]])
    first = read_alone(path)
    assert (said(first, raw) == raw).all()
    assert [remark["code"] for remark in first.header.notes["remarks"]] == ["ND156"]
    assert (said(read_alone(path, output="1"), raw) == -raw).all()
    assert (said(loaded(path, output="b").graph, raw) == -raw).all()
    assert problems(path, output="c")[0][0] == "ND179"


def test_numbers_beside_the_file(tmp_path: Path) -> None:
    model = onnx.load(str(onnx_files.perceptron(tmp_path / "one.onnx")))
    kept = {"save_as_external_data": True, "location": "two.weights", "size_threshold": 0}
    onnx.save(model, str(tmp_path / "two.onnx"), **kept)
    raw = np.random.default_rng(0).integers(0, 9, (3, 8))
    one, two = (read_alone(tmp_path / f"{name}.onnx") for name in ("one", "two"))
    assert (said(one, raw) == said(two, raw)).all()
    before = resolve.resolve(str(tmp_path / "two.onnx")).fingerprint
    changed = bytearray((tmp_path / "two.weights").read_bytes())
    changed[3] ^= 1
    (tmp_path / "two.weights").write_bytes(changed)
    assert resolve.resolve(str(tmp_path / "two.onnx")).fingerprint != before
    (tmp_path / "two.weights").rename(tmp_path / "elsewhere")
    (tmp_path / "two.weights").symlink_to(tmp_path / "elsewhere")
    assert problems(tmp_path / "two.onnx")[0][0] == "ND123"


# --- what does not come in ---------------------------------------------------------------------------------------


def test_all_that_is_not_read_is_named_at_once(tmp_path: Path) -> None:
    nodes: Nodes = [
        ("NonMaxSuppression", ("x", "x"), ("a",), {}),
        ("Det", ("x",), ("b",), {}),
        ("Det", ("b",), ("c",), {}),
        ("QLinearMatMul", ("x",) * 8, ("d",), {}),
        ("Slice", ("x", "one", "zero", "one", "back"), ("e",), {}),
        ("Add", ("c", "d"), ("y",), {}),
    ]
    constants = {"one": np.array([1]), "zero": np.array([0]), "back": np.array([-1])}
    found = problems(onnx_files.save(tmp_path / "net.onnx", nodes, X, constants=constants))
    assert {code for code, _ in found} == {"ND125"} and len(found) == 4
    texts = "\n".join(text for _, text in found)
    assert "'Det' is not read | net.onnx: net and 1 more place" in texts
    assert "QDQ" in texts and "on the host" in texts and "a slice 1:0:-1" in texts


def test_operators_of_others_are_refused_by_name(tmp_path: Path) -> None:
    path = onnx_files.save(tmp_path / "n.onnx", [("Relu", ("x",), ("y",), {})], X, domain="com.example")
    ((code, text),) = problems(path)
    assert code == "ND125" and "'com.example:Relu' is none of ONNX's own" in text


@pytest.mark.parametrize("nodes, constants, code, words", [
    ([("Add", ("x", "w"), ("y",), {})], {"w": np.zeros(3, F)}, "ND126", "do not fit"),
    ([("Add", ("x", "w"), ("y",), {})], {}, "ND126", "no node before it"),
    ([("MatMul", ("x", "w"), ("y",), {})], {"w": np.full((4, 2), np.nan, F)}, "ND102", "not finite"),
    ([("Cast", ("x",), ("i",), {"to": 7}), ("Reshape", ("x", "i"), ("y",), {})], {}, "ND125", "depend on"),
    ([("Expand", ("x", "n"), ("y",), {})], {"n": np.array([1 << 40, 2, 4])}, "ND183", "too large"),
    ([("Erf", ("x",), ("y",), {})], {}, "ND101", "erf"),
])  # fmt: skip
def test_what_is_wrong_has_a_code(nodes: Any, constants: Any, code: str, words: str, tmp_path: Path) -> None:
    found = problems(onnx_files.save(tmp_path / "n.onnx", nodes, X, constants=constants))
    assert found[0][0] == code and words in found[0][1]


def test_inputs_that_nobody_makes_are_refused(tmp_path: Path) -> None:
    inputs = {"x": (F, (1, 4)), "other": (F, (1, 4))}
    path = onnx_files.save(tmp_path / "n.onnx", [("Add", ("x", "other"), ("y",), {})], inputs)
    ((code, text),) = problems(path)
    assert code == "ND134" and "x, other" in text


@pytest.mark.parametrize("place", sorted((CORPUS / "onnx").glob("*")), ids=lambda place: place.name)
def test_hostile_files_are_refused(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ImportModelError) as caught:
        read_onnx(place)
    assert {p.code for p in caught.value.problems} <= {"ND106", "ND123", "ND125", "ND126", "ND183"}
    assert not list(tmp_path.glob("EXECUTED"))


def test_cut_files_are_refused(tmp_path: Path) -> None:
    whole = onnx_files.perceptron(tmp_path / "net.onnx").read_bytes()
    for length in (0, 1, 40, len(whole) - 5):
        (tmp_path / "net.onnx").write_bytes(whole[:length])
        with pytest.raises(ImportModelError) as caught:
            read.load(tmp_path / "net.onnx")
        assert [p.code for p in caught.value.problems] == ["ND106"]


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_without_its_library_a_file_says_what_to_install(
    package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = onnx_files.perceptron(tmp_path / "net.onnx")
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(EnvironmentProblem, match=r"(?s)ND115.*neurodeploy\[onnx\]"):
        loaded(path)


def test_a_network_that_onnxruntime_answers_otherwise_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check can fail, by as little as the two forms of a GELU are apart."""
    from neurodeploy.frontends.onnx.ops._base import ONNX

    other = replace(ONNX["Gelu"], build=lambda node, x: functional.gelu(x, approximate="tanh"))
    monkeypatch.setitem(ONNX.members, "Gelu", other)
    weights = {"w": np.random.default_rng(0).normal(size=(4, 3)).astype(F)}
    nodes: Nodes = [("MatMul", ("x", "w"), ("h",), {}), ("Gelu", ("h",), ("y",), {})]
    ((code, _),) = problems(onnx_files.save(tmp_path / "net.onnx", nodes, X, constants=weights, opset=20))
    assert code == "ND140"


@pytest.mark.slow
def test_a_build_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Flatten(), nn.Linear(64, 12), nn.ReLU(), nn.Linear(12, 12), nn.ReLU(), nn.Linear(12, 10)
    )
    exported(Path("net.onnx"), network, torch.zeros(1, 1, 8, 8))
    more = [
        "--data",
        "digits",
        "--method",
        "pmsm",
        "--calib",
        "32",
        "--eval",
        "8",
        "--set",
        "scale=0.0625",
        "-q",
    ]
    assert cli.call(["build", "net.onnx", "--target", "loihi-sim", "--out", "b", *more]) == 0
    assert cli.call(["verify", "b", "-q"]) == 0
