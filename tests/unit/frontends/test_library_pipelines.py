"""Models of Hugging Face against their library's own pipeline: its processor on raw images, its call on padded texts.

Small networks with random weights, saved to a folder with what their library prepares them with, and read from there.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neurodeploy import verbs
from neurodeploy.config import BuildConfig
from neurodeploy.errors import ImportModelError
from neurodeploy.frontends.libraries import _texts
from neurodeploy.frontends.libraries._base import LIBRARIES
from neurodeploy.frontends.proof.types import ImportCheck
from neurodeploy.inputs import masks, samples
from neurodeploy.ir import interp
from neurodeploy.ir.graph import Graph
from neurodeploy.ir.nodes import Synapse
from neurodeploy.sources import load, preparation, resolve
from tests.fast import fast
from tests.later import torch, transformers

pytestmark = pytest.mark.needs("transformers")

SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
VISION = {**SMALL, "image_size": 32, "patch_size": 8}
SQUARE = {"size": {"height": 32, "width": 32}}
CROPPED = {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}
IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
PYRAMID = {"hidden_sizes": [8, 16, 16, 16], "depths": [1, 1, 1, 1], "num_attention_heads": [1, 2, 2, 2],
           "decoder_hidden_size": 16, "num_labels": 5, "image_size": 32}  # fmt: skip

#: model, its settings, what prepares its images, the settings of that
IMAGES: dict[str, tuple[str, dict[str, Any], str, dict[str, Any]]] = {
    "ViT": ("ViTModel", VISION, "ViTImageProcessor", SQUARE),
    "ViT, levels as they are": ("ViTModel", VISION, "ViTImageProcessor", {**SQUARE, "do_rescale": False}),
    "DINOv2": ("Dinov2Model", {k: v for k, v in VISION.items() if k != "intermediate_size"},
               "BitImageProcessor", {**CROPPED, **IMAGENET}),
    "CLIP": ("CLIPVisionModel", VISION, "CLIPImageProcessor", CROPPED),
    "CLIP, projected": ("CLIPVisionModelWithProjection", {**VISION, "projection_dim": 8}, "CLIPImageProcessor",
                        CROPPED),
    "SigLIP": ("SiglipVisionModel", VISION, "SiglipImageProcessor", SQUARE),
    "SegFormer": ("SegformerForImageClassification", PYRAMID, "SegformerImageProcessor", SQUARE),
    "SegFormer without a head": ("SegformerModel", PYRAMID, "SegformerImageProcessor", SQUARE),
    "ResNet": ("ResNetModel", {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "layer_type": "basic"},
               "ConvNextImageProcessor", {"size": {"shortest_edge": 32}, "crop_pct": 1.0, **IMAGENET}),
    "BEiT": ("BeitForImageClassification", {**VISION, "num_labels": 5}, "BeitImageProcessor",
             {**SQUARE, "do_center_crop": False}),
    "ViT, blue first": ("ViTModel", VISION, "MobileViTImageProcessor",
                        {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}),
}  # fmt: skip
FAST = ("CLIP",)


def saved(folder: Path, model: str, settings: dict[str, Any], seed: int = 0) -> Any:
    """A network with random weights, of order one so that answers differ, in a folder."""
    kind = getattr(transformers, model)
    torch.manual_seed(seed)
    network = kind(kind.config_class(**settings)).eval()
    with torch.no_grad():
        for name, value in network.named_parameters():
            if value.ndim > 1 and "embed" not in name:
                value.mul_(3.0)
    network.save_pretrained(folder)
    return network


def source(folder: Path, **reader: Any) -> Graph:
    return resolve.source_graph(resolve.resolve(str(folder), reader=reader))


def compared(folder: Path, **reader: Any) -> tuple[Graph, ImportCheck]:
    """The graph and its import check, which holds it against the library's own call."""
    found = load(BuildConfig(model=str(folder), reader=reader))
    assert found.check is not None
    return found.graph, found.check


def reference(folder: Path, **reader: Any) -> Any:
    library = LIBRARIES["hf"]
    return library.build(str(folder), library.configure(reader)).reference


def code(folder: Path, **reader: Any) -> str:
    with pytest.raises(ImportModelError) as caught:
        source(folder, **reader)
    return "".join(sorted({problem.code for problem in caught.value.problems}))


# --- images ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", fast(IMAGES, *FAST))
def test_images_are_what_the_library_would_show(name: str, tmp_path: Path) -> None:
    model, settings, kind, prepared = IMAGES[name]
    network, processor = saved(tmp_path, model, settings), getattr(transformers, kind)(**prepared)
    processor.save_pretrained(tmp_path)
    raw = np.random.default_rng(1).integers(0, 256, (40, 3, 32, 32)).astype(np.uint8)
    with torch.no_grad():
        given = processor(list(raw), return_tensors="pt", input_data_format="channels_first")
        found = network(**given)
    documented = ("logits", "image_embeds", "pooler_output")
    expected = next((found[key] for key in documented if key in found), None)
    if expected is None:  # a map: its mean
        expected = found.last_hidden_state.flatten(2).mean(-1)
    expected = expected.flatten(1).numpy()
    graph, check = compared(tmp_path)
    assert check.covers(0, 255)
    got = interp.run(graph, raw.astype(np.int64)).outputs[0]
    np.testing.assert_allclose(got, expected, rtol=1e-3, atol=2e-4 * np.abs(expected).max())
    assert (got.argmax(1) == expected.argmax(1)).sum() == 40
    with torch.no_grad():
        again = reference(tmp_path)(
            given["pixel_values"].flip(1) if "blue" in name else given["pixel_values"]
        )
    np.testing.assert_allclose(again.numpy(), expected, rtol=1e-4, atol=1e-5)
    assert not {"preparation", "remarks"} & graph.header.notes.keys()


WRONG: tuple[dict[str, Any], ...] = (
    {"image_mean": ["a"]}, {"image_mean": [0.1, 0.2]}, {"rescale_factor": "x"}, {"image_processor_type": "NoSuch"},
)  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"image_std": [0.5, 0.0, 0.5]}, "ND177"),
        *((wrong, "ND177") for wrong in WRONG),
        ({"size": {"height": 10**9, "width": 10**9}}, "ND178"),
        (
            {"size": {"height": 24, "width": 24}},
            "ND130",
        ),  # what the library makes does not fit its own network
    ],
    ids=str,
)
def test_a_preparation_that_nothing_can_be_made_of(
    changed: dict[str, Any], expected: str, tmp_path: Path
) -> None:
    saved(tmp_path, "ViTModel", {**VISION, "num_hidden_layers": 1})
    transformers.ViTImageProcessor(**SQUARE).save_pretrained(tmp_path)
    file = tmp_path / "preprocessor_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changed}))
    assert code(tmp_path) == expected
    file.write_text("{")
    assert code(tmp_path) == "ND177"


def test_what_levels_cannot_say_is_told(tmp_path: Path) -> None:
    saved(tmp_path, "ViTModel", {**VISION, "num_hidden_layers": 1})
    larger = {"size": {"shortest_edge": 36}, "crop_size": {"height": 32, "width": 32}, "do_center_crop": True}
    transformers.CLIPImageProcessor(**larger).save_pretrained(tmp_path)
    graph = source(tmp_path)
    assert graph.shape(graph.input.name) == (3, 32, 32)
    said = "resize to shortest edge 36 (bicubic), centre crop of 32 x 32"
    assert graph.header.notes["preparation"] == said
    x, y = np.zeros((4, 3, 32, 32), np.uint8), np.zeros(4, int)
    np.savez(tmp_path / "images.npz", train_x=x, train_y=y, test_x=x + 1, test_y=y)
    found = verbs.check(str(tmp_path), "loihi2", data=str(tmp_path / "images.npz"))
    assert [p.limit for p in found.problems if p.code == "ND176"] == [said]
    transformers.ViTImageProcessor(**SQUARE).save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").unlink()
    assert "preparation" not in (silent := source(tmp_path)).header.notes
    assert "missing" in silent.header.notes["remarks"][0] and silent.input.scale == pytest.approx(1 / 127.5)
    (problem,) = preparation(BuildConfig(model=str(tmp_path)), graph, (3, 32, 32))
    assert (problem.code, problem.severity, problem.limit) == ("ND176", "warning", said)


def test_sizes_that_nothing_says_and_two_networks_in_one(tmp_path: Path) -> None:
    sizes = IMAGES["ResNet"][1]
    saved(tmp_path / "map", "ResNetModel", sizes)
    graph = source(tmp_path / "map", image=40)
    assert graph.shape(graph.input.name) == (3, 40, 40)
    for wrong in (0, 10**6):
        assert code(tmp_path / "map", arguments={"image_size": wrong}) == "ND178"
    both = {"text_config": {**SMALL, "vocab_size": 50}, "vision_config": VISION, "projection_dim": 8}
    saved(tmp_path / "two", "CLIPModel", both)
    assert code(tmp_path / "two") == "ND181"


@pytest.mark.needs("timm")
@pytest.mark.parametrize(
    "name", ["vit_tiny_patch16_224", "deit_tiny_patch16_224", "vit_base_patch16_clip_224"]
)
def test_images_of_timm_are_what_its_own_transform_makes(name: str) -> None:
    import timm
    from PIL import Image

    library = LIBRARIES["timm"]
    reader = {"pretrained": False, "image": 32, "arguments": {"depth": 1, "embed_dim": 12, "num_heads": 2}}
    built = library.build(name, library.configure(reader))
    own = timm.data.resolve_model_data_config(built.module)
    raw = np.random.default_rng(0).integers(0, 256, (32, 32, 3)).astype(np.uint8)
    transform = timm.data.create_transform(**{**own, "input_size": (3, 32, 32), "crop_pct": 1.0})
    scale, offset = (np.broadcast_to(n, 3)[:, None, None] for n in (built.spec.scale, built.spec.offset))
    expected = transform(Image.fromarray(raw)).numpy()
    np.testing.assert_allclose(raw.transpose(2, 0, 1) * scale + offset, expected, rtol=1e-5, atol=1e-6)
    whole = int(32 / own["crop_pct"])
    said = f"resize to shortest edge {whole} ({own['interpolation']}), centre crop of 32 x 32"
    assert built.preparation == ("" if own["crop_pct"] == 1 else said)


# --- texts -------------------------------------------------------------------------------------------------------

TEXT = {**SMALL, "vocab_size": 50, "max_position_embeddings": 32, "pad_token_id": 1, "eos_token_id": 2}
LLAMA = {**TEXT, "num_key_value_heads": 1}
GPT2 = {"n_embd": 16, "n_layer": 2, "n_head": 2, "vocab_size": 50, "n_positions": 32, "eos_token_id": 2}

#: model and settings of texts whose padding can be hidden, and what is read of them
TEXTS: dict[str, tuple[str, dict[str, Any], str]] = {
    "BERT": ("BertModel", TEXT, "mean"),
    "BERT, pooler": ("BertModel", TEXT, "pooled"),
    "BERT, a head for texts": ("BertForSequenceClassification", TEXT, "logits"),
    "BERT, a head for tokens": ("BertForTokenClassification", TEXT, "tokens"),
    "BERT as a decoder": ("BertLMHeadModel", {**TEXT, "is_decoder": True}, "last"),
    "BERT generation": ("BertGenerationEncoder", TEXT, "mean"),
    "RoBERTa": ("RobertaModel", TEXT, "mean"),
    "RoFormer": ("RoFormerModel", {**TEXT, "embedding_size": 16}, "mean"),
    "MPNet": ("MPNetModel", TEXT, "mean"),
    "ELECTRA": ("ElectraModel", {**TEXT, "embedding_size": 16}, "first"),
    "GPT-2": ("GPT2LMHeadModel", {**GPT2, "pad_token_id": 2}, "last"),
    "GPT-2 without a head": ("GPT2Model", GPT2, "mean"),
    "LLaMA": ("LlamaForCausalLM", LLAMA, "last"),
    "OPT": ("OPTModel", {**TEXT, "ffn_dim": 32, "word_embed_proj_dim": 16}, "last"),
}
FAST_TEXTS = ("BERT generation", "RoFormer")


def padded(pad: int, lengths: tuple[int, ...] = (10, 7, 4, 1), tokens: int = 10) -> np.ndarray:
    ids = np.random.default_rng(len(lengths)).integers(3, 50, (len(lengths), tokens))
    for row, length in zip(ids, lengths, strict=True):
        row[length:] = pad
    return ids


@pytest.mark.parametrize("name", fast(TEXTS, *FAST_TEXTS))
def test_padded_texts_are_what_the_library_makes_of_them(name: str, tmp_path: Path) -> None:
    """By its own call with its own attention mask, text by text; ``auto`` is what is read unless said otherwise."""
    model, settings, output = TEXTS[name]
    network = saved(tmp_path, model, settings)
    said = {} if output in ("logits", "mean", "last") and model != "OPTModel" else {"output": output}
    graph, check = compared(tmp_path, tokens=10, mask=True, **said)
    (pad,) = samples.hidden(graph)
    assert check.samples > 3
    ids = padded(pad)
    got = interp.run(graph, samples.one_hot(graph, ids)).outputs[0]
    for row, text, shown in zip(got, ids, ids != pad, strict=True):
        with torch.no_grad():
            given = {
                "input_ids": torch.tensor(text)[None],
                "attention_mask": torch.tensor(shown)[None].long(),
            }
            found = network(**given)
        y = np.asarray((found.pooler_output if output == "pooled" else found[0])[0])
        wanted, rows = y, shown if output == "tokens" else slice(None)
        if output in ("mean", "last"):
            wanted = y[shown].mean(0) if output == "mean" else y[shown][-1]
        elif output == "first":
            wanted = y[0]
        np.testing.assert_allclose(row[rows], wanted[rows], rtol=1e-3, atol=2e-4 * np.abs(wanted).max())
    with torch.no_grad():
        again = reference(tmp_path, tokens=10, mask=True, **said)(torch.tensor(ids)).numpy()
    np.testing.assert_allclose(got, again, rtol=1e-3, atol=2e-4 * np.abs(got).max())


@pytest.mark.parametrize(
    ("model", "settings", "expected"),
    [
        ("BertModel", TEXT, (False, True, 0)),
        ("BertModel", {**TEXT, "is_decoder": True}, (True, True, 0)),
        ("BertGenerationEncoder", TEXT, (False, True, 0)),
        ("BertGenerationDecoder", TEXT, (False, True, 0)),
        ("BertGenerationDecoder", {**TEXT, "is_decoder": True}, (True, True, 0)),
        ("RobertaModel", TEXT, (False, True, 2)),
        ("XLMRobertaModel", TEXT, (False, True, 2)),
        ("LlamaModel", LLAMA, (True, True, 0)),
        ("GPT2Model", GPT2, (True, True, 0)),
        ("FNetModel", TEXT, (False, False, 0)),
    ],
    ids=str,
)
def test_habits_are_found_by_running(
    model: str, settings: dict[str, Any], expected: tuple[bool, bool, int]
) -> None:
    kind = getattr(transformers, model)
    torch.manual_seed(1)
    network = kind(kind.config_class(**settings)).eval()
    network.config.use_cache = False
    found = _texts.habits(network, 10, settings.get("pad_token_id"))
    assert (found.causal, found.hides, found.first) == expected


def test_a_mask_that_is_not_the_models_own_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An encoder that is taken for a decoder is given no mask; its library's own call tells."""
    saved(tmp_path, "BertGenerationEncoder", {**TEXT, "num_hidden_layers": 1})
    monkeypatch.setattr(_texts, "habits", lambda *_: _texts.Habits(causal=True, hides=True))
    with pytest.raises(ImportModelError) as caught:
        compared(tmp_path, tokens=8, mask=True)
    assert [p.code for p in caught.value.problems] == ["ND140"]


@pytest.mark.slow
def test_hidden_scores_far_above_the_others_are_hidden_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scores of hundreds, as of attention without a scale: -128 would not do."""
    network = saved(tmp_path, "BertModel", {**TEXT, "num_hidden_layers": 1})
    with torch.no_grad():
        attention = network.encoder.layer[0].attention.self
        attention.query.weight.mul_(4000.0)
    network.save_pretrained(tmp_path)
    graph, check = compared(tmp_path, tokens=10, mask=True)
    assert check.largest_difference < 1e-6
    depths = {node.weight.min() for node in graph.of(Synapse) if node.weight.shape[0] == 1}
    assert len(depths) == 1 and depths < {-256.0, -512.0, -1024.0, -2048.0}
    monkeypatch.setattr(masks, "deepened", lambda graph, raw: graph)
    with pytest.raises(ImportModelError, match="ND140"):
        compared(tmp_path, tokens=10, mask=True)


def test_padding_is_hidden_where_the_model_can(tmp_path: Path) -> None:
    saved(tmp_path, "FNetModel", {**TEXT, "num_hidden_layers": 1})
    assert code(tmp_path, tokens=8, mask=True) == "ND180"
    assert code(tmp_path, tokens=8, output="pooled", mask=True) == "ND180"
    library = LIBRARIES["hf"]
    options = library.configure({"tokens": 8, "tokenizer": str(tmp_path)})
    assert library.build(str(tmp_path), options).reference is not None  # not hidden, and not refused


def test_what_is_read_follows_the_folder_and_the_model(tmp_path: Path) -> None:
    network = saved(tmp_path, "BertModel", {**TEXT, "num_hidden_layers": 1})
    pooling = tmp_path / "1_Pooling" / "config.json"
    pooling.parent.mkdir()
    ids = padded(1, (8, 8), 8)
    with torch.no_grad():
        y = network(torch.tensor(ids))[0].numpy()
    for key, expected in (("cls_token", y[:, 0]), ("mean_tokens", y.mean(1)), ("lasttoken", y[:, -1])):
        pooling.write_text(json.dumps({"word_embedding_dimension": 16, f"pooling_mode_{key}": True}))
        with torch.no_grad():
            found = reference(tmp_path, tokens=8)(torch.tensor(ids))
        np.testing.assert_allclose(found, expected, atol=1e-6)
    for wrong in ('{"pooling_mode_max_tokens": true}', "{}", "[", "[1]"):
        pooling.write_text(wrong)
        assert code(tmp_path, tokens=8) == "ND179"
        assert reference(tmp_path, tokens=8, output="mean") is not None
    assert code(tmp_path, tokens=8, output="logits") == "ND179"
