"""Several inputs and results: masks made of ids, results by name, one of two networks; beside the module's call."""

from __future__ import annotations

import sys
from collections import namedtuple
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from neurodeploy import sources
from neurodeploy.config import BuildConfig
from neurodeploy.errors import ImportModelError, NeurodeployError
from neurodeploy.frontends import doors
from neurodeploy.inputs import samples
from neurodeploy.ir import interp
from neurodeploy.ir.graph import Graph
from tests.later import Tensor, nn, torch
from tests.later import functional as F

ROWS, TOKENS, WIDTH = 11, 6, 8
#: older versions of torch do not say them in the file
INPUTS = "ids,attention_mask,token_type_ids,position_ids"


def two_headed() -> nn.Module:
    """Ids and their mask to two results."""

    class TwoHeaded(nn.Module):
        input_tokens = TOKENS

        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.words, self.kinds = nn.Embedding(ROWS, WIDTH), nn.Embedding(2, WIDTH)
            self.places = nn.Embedding(TOKENS, WIDTH)
            self.spans, self.label = nn.Linear(WIDTH, 2), nn.Linear(WIDTH, 3)

        def forward(
            self, ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor, position_ids: Tensor
        ) -> dict[str, Tensor]:
            x = self.words(ids) + self.kinds(token_type_ids) + self.places(position_ids)
            x = F.scaled_dot_product_attention(x, x, x, attention_mask.bool()[:, None])
            return {"spans": self.spans(x), "label": self.label(x[:, 0])}

    return TwoHeaded().eval()


@pytest.fixture
def factory(monkeypatch: pytest.MonkeyPatch) -> str:
    """A module that holds the factory, as ``py:`` imports it."""
    module = ModuleType("two_headed_networks")
    module.build = two_headed
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return "py:two_headed_networks:build"


@pytest.fixture
def exported(tmp_path: Path) -> str:
    """The same as a file."""
    ids = torch.ones(2, TOKENS, dtype=torch.int64)
    given = (ids, torch.ones_like(ids), torch.zeros_like(ids), torch.arange(TOKENS).expand(2, -1))
    path = tmp_path / "two.pt2"
    torch.export.save(torch.export.export(two_headed(), given), path)
    return str(path)


def graph_of(model: str, **reader: Any) -> Graph:
    """Imported and compared, as a build imports it."""
    return sources.load(BuildConfig(model=model, target="loihi-sim", reader=reader)).graph


def said(graph: Graph, ids: np.ndarray) -> np.ndarray:
    return interp.run(graph, samples.one_hot(graph, ids)).outputs[0]


def texts() -> np.ndarray:
    """Ids, of which later texts end in padding (0)."""
    ids = np.random.default_rng(0).integers(1, ROWS, (4, TOKENS))
    return np.where(np.arange(TOKENS) < np.array([[6], [5], [3], [1]]), ids, 0)


def own(ids: np.ndarray, padding: int | None) -> dict[str, np.ndarray]:
    """What the module itself says."""
    network, given = two_headed().double(), torch.as_tensor(ids)
    mask = torch.ones_like(given) if padding is None else (given != padding).long()
    with torch.no_grad():
        found = network(given, mask, torch.zeros_like(given), torch.arange(TOKENS).expand(len(ids), -1))
    return {name: value.numpy() for name, value in found.items()}


@pytest.mark.parametrize("padding", [None, 0])
@pytest.mark.parametrize("wanted", ["label", "spans", "spans,label"])
def test_results_by_name_of_ids_and_their_mask(factory: str, padding: int | None, wanted: str) -> None:
    reader = {} if padding is None else {"padding": padding}
    graph, ids = graph_of(factory, output=wanted, **reader), texts()
    expected = own(ids, padding)
    whole = np.concatenate([expected[name].reshape(len(ids), -1) for name in wanted.split(",")], 1)
    np.testing.assert_allclose(said(graph, ids).reshape(whole.shape), whole, rtol=1e-9, atol=1e-9)
    assert samples.hidden(graph) == (() if padding is None else (0,))


@pytest.mark.parametrize("wanted", ["1", "0", "0,1"])
def test_an_exported_program_by_numbers(exported: str, wanted: str) -> None:
    graph, ids = graph_of(exported, output=wanted, padding=0, inputs=INPUTS), texts()
    expected = list(own(ids, 0).values())
    whole = np.concatenate([expected[int(k)].reshape(len(ids), -1) for k in wanted.split(",")], 1)
    np.testing.assert_allclose(said(graph, ids).reshape(whole.shape), whole, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("wanted", ["logits", "0", "label,nothing"])
def test_a_result_that_there_is_not_is_named(factory: str, wanted: str) -> None:
    with pytest.raises(ImportModelError, match=r"ND179|ND130|ND103") as caught:
        graph_of(factory, output=wanted)
    assert caught.value.problems[0].where


def test_of_a_program_results_have_numbers_alone(exported: str) -> None:
    for wanted in ("label", "2"):
        with pytest.raises(ImportModelError, match="ND179"):
            graph_of(exported, output=wanted, inputs=INPUTS)


def test_an_input_that_ids_do_not_say_is_named() -> None:
    class Images(nn.Module):
        def forward(self, ids: Tensor, pixels: Tensor) -> Tensor:
            return ids + pixels

    with pytest.raises(ImportModelError, match="pixels"):
        doors.opened(Images(), True, None, "", "here")


def test_results_of_tuples_and_records() -> None:
    a, b = torch.ones(2, 3), torch.zeros(2, 4)
    record = namedtuple("record", ("one", "two"))(a, b)  # type: ignore[call-arg]
    assert doors.chosen((a, b), ["1"], "") is b and doors.chosen(record, ["one"], "") is a
    assert doors.chosen(record, ["two", "0"], "").shape == (2, 7)


CLIP = {
    "text_config": {
        "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16, "vocab_size": 20,
        "max_position_embeddings": 8, "eos_token_id": 19, "bos_token_id": 18, "pad_token_id": 1,
    },
    "vision_config": {
        "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16, "image_size": 8,
        "patch_size": 4,
    },
    "projection_dim": 12,
}  # fmt: skip


def whole_clip() -> Any:
    """Both networks, as a user would call them."""
    import transformers

    torch.manual_seed(0)
    config = transformers.CLIPConfig(**CLIP)
    return transformers.CLIPModel._from_config(config, attn_implementation="eager").eval()


@pytest.mark.needs("transformers")
@pytest.mark.parametrize("part", ["image", "text"])
def test_one_of_two_networks(part: str) -> None:
    """The embedding of texts is the row of the end of the text, wherever that is."""
    reader = {
        "pretrained": False,
        "arguments": CLIP,
        "part": part,
        "output": "pooled",
        "tokens": 8,
        "mask": False,
    }
    graph, model = graph_of("hf:clip", **reader), whole_clip().double()
    if part == "image":
        import transformers

        raw = np.random.default_rng(0).integers(0, 256, (3, 3, 8, 8)).astype(np.uint8)
        usual = transformers.CLIPImageProcessor(do_resize=False, do_center_crop=False)
        pixels = usual([*raw], return_tensors="pt", input_data_format="channels_first")["pixel_values"]
        with torch.no_grad():
            expected = model.get_image_features(pixel_values=pixels.double()).numpy()
        found = interp.run(graph, raw.astype(np.int64)).outputs[0]
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
        return
    ids = np.random.default_rng(0).integers(2, 18, (4, 8))
    for row, ends in zip(ids, ([7], [3], [2, 5], []), strict=True):
        row[ends] = 19
    torch.set_default_dtype(torch.float64)
    try:
        with torch.no_grad():
            expected = model.get_text_features(input_ids=torch.as_tensor(ids)).numpy()
    finally:
        torch.set_default_dtype(torch.float32)
    np.testing.assert_allclose(said(graph, ids), expected, rtol=1e-6, atol=1e-8)


@pytest.mark.needs("transformers")
def test_both_networks_are_refused() -> None:
    with pytest.raises(NeurodeployError, match=r"reader\.part=image"):
        graph_of("hf:clip", pretrained=False, arguments=CLIP)


@pytest.mark.needs("transformers")
@pytest.mark.parametrize("wanted", ["start_logits", "start_logits,end_logits"])
def test_two_heads_of_a_library(wanted: str) -> None:
    small = {
        "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16, "vocab_size": 20,
        "architectures": ["BertForQuestionAnswering"], "pad_token_id": 0,
    }  # fmt: skip
    graph = graph_of("hf:bert", pretrained=False, arguments=small, tokens=6, mask=True, output=wanted)
    assert graph.shape(graph.output.name) == (6 * (1 + wanted.count(",")),)
