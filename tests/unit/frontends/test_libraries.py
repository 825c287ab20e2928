"""Models by the name of a library: options, weights from files, what is refused; with the library where it is there."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from neurodeploy import passes
from neurodeploy.errors import EnvironmentProblem, ImportModelError, NeurodeployError, UsageError
from neurodeploy.frontends.libraries import _weights, huggingface
from neurodeploy.frontends.libraries._base import LIBRARIES, constructing, fetching
from neurodeploy.inputs import samples
from neurodeploy.ir import interp, levels
from neurodeploy.ir.graph import Graph
from neurodeploy.ir.nodes import Input
from neurodeploy.sources import resolve
from tests.fast import fast
from tests.later import modules, safetensors, torch

NAMES = ("hf", "timm", "torchvision")
TEXT = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32, "vocab_size": 50,
        "max_position_embeddings": 32}  # fmt: skip


def problems(kind: type[NeurodeployError], call: Any, *args: Any, **kwargs: Any) -> list[tuple[str, str]]:
    with pytest.raises(kind) as caught:
        call(*args, **kwargs)
    return [(p.code, p.found) for p in caught.value.problems]


def source(text: str, **reader: Any) -> Graph:
    return resolve.source_graph(resolve.resolve(text, reader=reader))


def test_all_libraries_are_found_and_none_is_imported() -> None:
    assert tuple(LIBRARIES) == NAMES
    for name in NAMES:
        model = resolve.resolve(f"{name}:anything", reader={"pretrained": False})
        assert (model.kind, model.system) == ("library", name)


@pytest.mark.parametrize("name", NAMES)
def test_an_absent_library_names_its_extra(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    library = LIBRARIES[name]
    monkeypatch.setitem(sys.modules, library.package, None)
    with pytest.raises(EnvironmentProblem) as caught:
        resolve.source_graph(resolve.resolve(f"{name}:anything"))
    (problem,) = caught.value.problems
    assert problem.code == "ND115" and f"neurodeploy[{library.extra}]" in problem.fixes[0]


def test_options_are_checked_with_the_nearest_name() -> None:
    with pytest.raises(UsageError) as caught:
        resolve.resolve("timm:vit", reader={"pretraned": False, "seed": -1})
    assert {p.code for p in caught.value.problems} == {"ND120"} and len(caught.value.problems) == 2
    assert any("pretrained" in fix for p in caught.value.problems for fix in p.fixes)
    assert problems(UsageError, resolve.resolve, "py:a:b", reader={"seed": 1})[0][0] == "ND120"


def test_a_folder_with_a_config_is_one_of_hugging_face(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    assert resolve.resolve(str(tmp_path)).system == "hf"


def test_what_libraries_raise_is_typed() -> None:
    def fail(context: Any) -> None:
        with context:
            raise OSError("no route\nto host")

    assert problems(ImportModelError, fail, fetching("x")) == [("ND116", "OSError: no route")]
    assert problems(ImportModelError, fail, constructing("x")) == [("ND117", "OSError: no route")]


# --- weights -----------------------------------------------------------------------------------------------------


def stored() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    shapes = {"table.weight": (5, 3), "norm.weight": (3,), "norm.bias": (3,)}
    return {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}


def write(path: Path, tensors: dict[str, Any]) -> Path:
    if path.suffix == ".safetensors":
        safetensors.save_file(tensors, path)
    elif path.suffix == ".h5":
        with h5py.File(path, "w") as file:
            for name, value in tensors.items():
                file[name.replace(".", "/")] = value.numpy()
    else:
        torch.save({"state_dict": tensors, "epoch": 3} if path.suffix == ".pth" else tensors, path)
    return path


@pytest.mark.parametrize("suffix", [".safetensors", ".h5", ".pt", ".pth", ".bin"])
@pytest.mark.parametrize("prefix", ["", "module.", "bert."])
def test_weights_of_every_form_are_read(suffix: str, prefix: str, tmp_path: Path) -> None:
    tensors, network = stored(), modules.Tied()
    path = write(tmp_path / f"w{suffix}", {prefix + name: value for name, value in tensors.items()})
    _weights.fill(network, path, ("bert",))
    assert torch.equal(network.head.weight, tensors["table.weight"])
    assert torch.equal(network.norm.bias, tensors["norm.bias"])


def test_all_misfits_are_named_at_once(tmp_path: Path) -> None:
    bad = {
        "table.weight": torch.zeros(4, 3),
        "norm.bias": torch.tensor([1.0, float("nan"), 0.0]),
        "nrm.weight": torch.ones(3),
    }
    found = problems(ImportModelError, _weights.fill, modules.Tied(), write(tmp_path / "w.safetensors", bad))
    assert sorted(found) == [
        ("ND193", "(4, 3)"), ("ND193", "missing"), ("ND193", "nrm.weight"), ("ND194", "1 values"),
    ]  # fmt: skip


@pytest.mark.parametrize("kind", ["complex64", "int8"])
def test_weights_of_another_type_are_named_and_not_copied(kind: str, tmp_path: Path) -> None:
    network, tensors = modules.Tied(), stored()
    path = write(tmp_path / "w.pt", {**tensors, "norm.bias": tensors["norm.bias"].to(getattr(torch, kind))})
    with pytest.raises(ImportModelError) as caught:
        _weights.fill(network, path)
    (problem,) = caught.value.problems
    assert problem.code == "ND195" and "norm.bias" in problem.cause and problem.found == f"torch.{kind}"
    assert not torch.equal(network.table.weight, tensors["table.weight"])


class Evil:
    def __reduce__(self) -> Any:
        return print, ("executed",)


def test_damaged_hostile_and_foreign_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("w.safetensors", "w.h5", "w.pt"):
        (tmp_path / name).write_bytes(b"nonsense" * 9)
        assert problems(ImportModelError, _weights.read, tmp_path / name)[0][0] == "ND192"
    torch.save({"a": Evil()}, tmp_path / "evil.pt")
    assert problems(ImportModelError, _weights.read, tmp_path / "evil.pt")[0][0] == "ND113"
    assert "executed" not in capsys.readouterr().out
    assert problems(ImportModelError, _weights.read, tmp_path / "none.pt") == [("ND191", "nothing")]
    (tmp_path / "w.npz").write_bytes(b"x")
    assert problems(ImportModelError, _weights.read, tmp_path / "w.npz") == [("ND191", ".npz")]


# --- the libraries themselves ------------------------------------------------------------------------------------


def graph_of(text: str, **reader: Any) -> Graph:
    graph = resolve.source_graph(resolve.resolve(text, reader={"pretrained": False, **reader}))
    assert not levels.verify(graph, "source")
    return graph


def built(text: str, **reader: Any) -> Any:
    prefix, _, name = text.partition(":")
    library = LIBRARIES[prefix]
    return library.build(name, library.configure({"pretrained": False, **reader}))


def check(text: str, **reader: Any) -> Graph:
    """The graph equals the module that the library builds, and every node has the module's path."""
    found, graph = built(text, **reader), graph_of(text, **reader)
    generator = np.random.default_rng(0)
    if found.spec.tokens:
        ids = generator.integers(0, samples.tokens(graph)[1], (2, *found.spec.shape))
        raw, x = samples.one_hot(graph, ids), torch.tensor(ids)
    else:
        raw = generator.integers(0, 256, (2, *found.spec.shape))
        scale, offset = (
            np.broadcast_to(v, found.spec.shape[0])[:, None, None]
            for v in (found.spec.scale, found.spec.offset)
        )
        x = torch.tensor(raw * scale + offset, dtype=torch.float32)
    with torch.no_grad():
        expected = found.module(x).numpy()
    simple = passes.simplify(graph)
    for form in (graph, simple):
        got = interp.run(form, raw).outputs[0]
        np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-4 * max(1e-3, np.abs(expected).max()))
    inner = found.module.get_submodule(found.inside)
    paths = {path for path, _ in inner.named_modules()}
    for node in simple:
        if not isinstance(node, Input):
            assert node.origin and all(o.path in paths for o in node.origin), node.name
    return simple


@pytest.mark.needs("timm")
@pytest.mark.parametrize(
    "name",
    fast(
        ["vit_tiny_patch16_224", "deit_tiny_distilled_patch16_224", "deit3_small_patch16_224"],
        "deit3_small_patch16_224",
    ),
)
def test_timm(name: str) -> None:
    graph = check(f"timm:{name}", image=32, classes=7, arguments={"depth": 2})
    assert graph.shape("output") == (7,) and "blocks.1.mlp.fc2" in graph.nodes


@pytest.mark.needs("timm")
def test_timm_weights_and_names(tmp_path: Path) -> None:
    import timm

    torch.manual_seed(9)
    network = timm.create_model("vit_tiny_patch16_224", depth=1, img_size=32, num_classes=3)
    path = tmp_path / "w.safetensors"
    safetensors.save_file(network.state_dict(), path)
    one = {"image": 32, "classes": 3, "arguments": {"depth": 1}}
    loaded = built("timm:vit_tiny_patch16_224", weights=str(path), **one)
    assert torch.equal(loaded.module.head.weight, network.head.weight)
    assert (
        graph_of("timm:vit_tiny_patch16_224", **one).content_hash()
        == graph_of("timm:vit_tiny_patch16_224", **one).content_hash()
    )
    assert problems(ImportModelError, built, "timm:vit_tinny")[0][0] == "ND117"
    wrong = {**one, "classes": 4}
    codes = problems(ImportModelError, built, "timm:vit_tiny_patch16_224", weights=str(path), **wrong)
    assert {code for code, _ in codes} == {"ND193"} and len(codes) == 2


@pytest.mark.needs("timm")
def test_levels_enter_as_the_library_or_the_user_says() -> None:
    reader = {"pretrained": False, "image": 32, "classes": 3, "arguments": {"depth": 1}}
    scales = [
        np.asarray(
            resolve.source_graph(
                resolve.resolve("timm:vit_tiny_patch16_224", scale=s, offset=o, reader=reader)
            ).input.scale
        )
        for s, o in ((None, None), (1.0, None), (1.0, 0.0), (None, -0.5))
    ]
    assert scales[0] == pytest.approx(1 / 127.5)
    assert [float(scale) for scale in scales[1:]] == [1.0, 1.0, 1.0]


@pytest.mark.needs("torchvision")
def test_torchvision() -> None:
    sizes = {"patch_size": 8, "num_layers": 2, "num_heads": 2, "hidden_dim": 16, "mlp_dim": 32}
    check("torchvision:VisionTransformer", image=16, classes=4, arguments=sizes)


@pytest.mark.needs("transformers")
@pytest.mark.parametrize(
    ("kind", "reader"),
    fast([
        ("bert", {"arguments": TEXT}),
        ("bert", {"arguments": TEXT, "mask": True}),
        ("bert", {"arguments": TEXT, "output": "pooled"}),
        ("roberta", {"arguments": TEXT}),
        ("distilbert", {"arguments": {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 32, "vocab_size": 50}}),
        ("gpt2", {"arguments": {"n_embd": 16, "n_layer": 2, "n_head": 2, "vocab_size": 50, "n_positions": 32}}),
        ("llama", {"arguments": {**TEXT, "num_key_value_heads": 1}}),
        ("mistral", {"arguments": {**TEXT, "num_key_value_heads": 1}}),
        ("qwen2", {"arguments": {**TEXT, "num_key_value_heads": 1}}),
        ("gpt_neox", {"arguments": {**TEXT, "rotary_pct": 0.5}}),
        ("opt", {"arguments": {**TEXT, "ffn_dim": 32, "word_embed_proj_dim": 16}}),
        ("vit", {"arguments": {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
                               "intermediate_size": 32, "image_size": 32, "patch_size": 8}}),
    ], "gpt_neox", by=0),
)  # fmt: skip
def test_hugging_face(kind: str, reader: dict[str, Any]) -> None:
    more = {} if kind == "vit" else {"tokens": 12}
    graph = check(f"hf:{kind}", **more, **reader)
    assert (samples.tokens(graph) == (12, 50)) == (kind != "vit")
    decoder = kind in ("gpt2", "llama", "mistral", "qwen2", "gpt_neox", "opt")
    assert (graph.shape("output") == (50,)) == decoder  # the head of a decoder, no masked token's


@pytest.mark.needs("transformers")
@pytest.mark.parametrize(
    ("kind", "output"),
    fast([("bert", "mean"), ("bert", "first"), ("roberta", "mean"), ("distilbert", "mean"), ("mpnet", "mean"),
          ("gpt2", "last"), ("gpt2", "mean"), ("llama", "last"), ("opt", "last")],
         ("distilbert", "mean")),
)  # fmt: skip
def test_padding_does_not_change_a_text(kind: str, output: str) -> None:
    """A text that is filled up gives what the publisher's network makes of it alone."""
    sizes = {
        "distilbert": {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 32, "vocab_size": 50},
        "gpt2": {
            "n_embd": 16,
            "n_layer": 2,
            "n_head": 2,
            "vocab_size": 50,
            "n_positions": 32,
            "eos_token_id": 3,
        },
        "llama": {**TEXT, "num_key_value_heads": 1, "eos_token_id": 3},
        "opt": {**TEXT, "ffn_dim": 32, "word_embed_proj_dim": 16},
    }.get(kind, TEXT)
    reader = {"pretrained": False, "arguments": sizes, "output": output, "seed": 1}
    graph = source(f"hf:{kind}", tokens=10, mask=True, **reader)
    (pad,) = samples.hidden(graph)
    for length in (10, 7, 1):
        ids = np.random.default_rng(length).integers(4, 50, (2, length))
        alone = source(f"hf:{kind}", tokens=length, mask=False, **reader)
        filled = np.pad(ids, ((0, 0), (0, 10 - length)), constant_values=pad)
        outputs = [
            interp.run(g, samples.one_hot(g, i)).outputs[0] for g, i in ((alone, ids), (graph, filled))
        ]
        np.testing.assert_allclose(outputs[1], outputs[0], rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.needs("transformers")
def test_who_hides_padding(tmp_path: Path) -> None:
    """The kin of BERT and GPT-2 where a tokenizer is known; nobody else without being asked for."""
    reader = {"pretrained": False, "arguments": TEXT, "tokens": 8}
    assert samples.hidden(source("hf:bert", **reader)) == ()
    assert samples.hidden(source("hf:bert", tokenizer=str(tmp_path), **reader)) == (0,)
    assert samples.hidden(source("hf:bert", tokenizer=str(tmp_path), mask=False, **reader)) == ()
    decoder: dict[str, Any] = {
        "n_embd": 16,
        "n_layer": 1,
        "n_head": 2,
        "vocab_size": 50,
        "n_positions": 32,
        "eos_token_id": 7,
    }
    decoder = {**reader, "arguments": decoder}
    assert samples.hidden(source("hf:gpt2", **decoder)) == ()
    assert samples.hidden(source("hf:gpt2", tokenizer=str(tmp_path), **decoder)) == (7,)
    nothing = {**TEXT, "pad_token_id": None, "eos_token_id": None}
    model = resolve.resolve("hf:bert", reader={**reader, "arguments": nothing, "mask": True})
    assert problems(ImportModelError, resolve.source_graph, model)[0][0] == "ND139"


@pytest.mark.needs("transformers")
@pytest.mark.parametrize(
    "sizes",
    [{"hidden_size": 1 << 20}, {"vocab_size": 10**10}, {"num_hidden_layers": 10**9}],
    ids=["wide", "words", "deep"],
)
def test_a_configuration_asks_for_no_more_than_its_weights_fill(
    sizes: dict[str, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface, "SECONDS", 1.0)
    described = {**TEXT, "model_type": "bert", "architectures": ["BertModel"], **sizes}
    (tmp_path / "config.json").write_text(json.dumps(described))
    assert problems(ImportModelError, built, f"hf:{tmp_path}")[0][0] == "ND183"
    assert problems(ImportModelError, built, f"hf:{tmp_path}", pretrained=True)[0][0] == "ND191"


@pytest.mark.needs("transformers")
def test_a_local_folder_of_hugging_face(tmp_path: Path) -> None:
    import transformers

    torch.manual_seed(4)
    network = transformers.BertModel(transformers.BertConfig(**TEXT)).eval()
    network.save_pretrained(tmp_path)
    model = resolve.resolve(str(tmp_path), reader={"tokens": 9})
    graph = resolve.source_graph(model)
    ids = np.random.default_rng(0).integers(0, 50, (2, 9))
    with torch.no_grad():
        expected = network(torch.tensor(ids))[0].mean(1).numpy()
    np.testing.assert_allclose(
        interp.run(graph, samples.one_hot(graph, ids)).outputs[0], expected, rtol=1e-4, atol=1e-5
    )
    (tmp_path / "model.safetensors").unlink()
    assert problems(ImportModelError, resolve.source_graph, model)[0][0] == "ND191"
    long = resolve.resolve(str(tmp_path), reader={"tokens": 99, "pretrained": False})
    assert problems(ImportModelError, resolve.source_graph, long)[0][0] == "ND138"
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "model_type": "nothing"}))
    assert problems(ImportModelError, resolve.source_graph, long)[0][0] == "ND117"


WAVE = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32,
        "conv_dim": [8, 8], "conv_stride": [4, 2], "conv_kernel": [8, 3], "num_feat_extract_layers": 2,
        "num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 2}  # fmt: skip
WHISPER = {"d_model": 16, "encoder_layers": 1, "encoder_attention_heads": 2, "encoder_ffn_dim": 32, "num_mel_bins": 6,
           "max_source_positions": 5, "decoder_layers": 1, "decoder_attention_heads": 2, "decoder_ffn_dim": 32,
           "vocab_size": 9, "pad_token_id": 0}  # fmt: skip
SPECTRA = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}


def against_the_library(text: str, **reader: Any) -> Graph:
    """The graph equals what the library's own call makes of noise, in double precision."""
    found, graph = built(text, **reader), graph_of(text, **reader)
    raw = np.random.default_rng(0).integers(0, 256, (2, *found.spec.shape))
    found.module.double()
    with torch.no_grad():
        expected = found.reference(torch.tensor(raw * found.spec.scale + found.spec.offset)).numpy()
    np.testing.assert_allclose(interp.run(graph, raw).outputs[0], expected, rtol=1e-6, atol=1e-6)
    return graph


@pytest.mark.needs("transformers")
@pytest.mark.parametrize(
    ("kind", "reader", "shape"),
    fast([
        ("wav2vec2", {"arguments": WAVE, "length": 64}, (64,)),
        ("whisper", {"arguments": WHISPER}, (6, 10)),
        ("wav2vec2-bert", {"arguments": {**SPECTRA, "feature_projection_input_dim": 6}, "length": 8}, (8, 6)),
        ("audio-spectrogram-transformer", {"arguments": {**SPECTRA, "max_length": 12, "num_mel_bins": 8,
         "patch_size": 4, "frequency_stride": 4, "time_stride": 4}}, (12, 8)),
    ], "whisper", by=0),
)  # fmt: skip
def test_audio_encoders_take_signals_or_features(
    kind: str, reader: dict[str, Any], shape: tuple[int, ...]
) -> None:
    graph = against_the_library(f"hf:{kind}", **reader)
    assert graph.shape("input") == shape and graph.shape("output") == (16,)


@pytest.mark.needs("transformers")
def test_a_signal_of_no_length_is_refused() -> None:
    assert problems(ImportModelError, built, "hf:wav2vec2", arguments=WAVE) == [("ND178", "nothing")]


@pytest.mark.needs("transformers")
def test_t5_is_its_encoder() -> None:
    sizes = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2, "vocab_size": 50}
    graph = graph_of("hf:t5", tokens=6, mask=True, arguments=sizes)
    assert samples.hidden(graph) == (0,) and graph.shape("output") == (16,)


@pytest.mark.needs("timm")
def test_convolutions_of_timm_take_images_of_any_size() -> None:
    sizes = {"depths": [1, 1, 1, 1], "dims": [4, 4, 8, 8]}
    assert built("timm:convnext_atto", image=48, classes=3, arguments=sizes).spec.shape == (3, 48, 48)
