"""A text model through a whole build: no labels, so that it is compared with its float model; ids as raw input."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import neurodeploy as nd
from neurodeploy import calibrate, compare, passes, verbs
from neurodeploy.convert._base import METHODS
from neurodeploy.errors import ConvertError, SimulateError
from neurodeploy.frontends.input_spec import InputSpec
from neurodeploy.inputs import samples
from neurodeploy.ir import interp
from neurodeploy.ir.graph import Graph
from neurodeploy.ir.nodes import Synapse
from neurodeploy.quantize import quantize
from neurodeploy.sources import resolve
from tests import transformers_small as small
from tests.later import torch, torch_export

MODEL = "py:tests.transformers_small:bert"


@pytest.fixture(scope="module", name="folder")
def _folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("text") / "build"
    settings = ["convert.preset=nearest", "convert.softmax_base=null", "convert.gelu_base=null"]
    nd.build(MODEL, "loihi-sim", out=str(folder), calib=8, eval=4, verify=2, settings=settings)
    return folder


def test_agreement_stands_where_accuracy_is_missing(folder: Path) -> None:
    report = json.loads((folder / "report.json").read_text())
    assert report["accuracy"]["integer"] is None and "no labels" in report["reasons"]["accuracy.integer"]
    found = report["agreement"]
    assert found["samples"] == 4 and report["bit_true"]["equal"]
    for level in ("spiking", "integer"):
        assert 0.9 < found[level]["least_cosine"] <= found[level]["cosine"] <= 1.0
        assert 0.8 < found[level]["least_rank"] <= found[level]["rank"] <= 1.0
        assert -1.0 <= found[level]["neighbours"] <= 1.0
    assert f"token ids 0 .. {small.VOCABULARY - 1}" in report["input"]["text"]


@pytest.mark.slow
def test_a_build_without_data_says_how_many_texts_it_drew(tmp_path: Path) -> None:
    settings = ["convert.preset=nearest"]
    nd.build(MODEL, "loihi-sim", out=str(tmp_path / "b"), calib=4, verify=0, settings=settings)
    report = json.loads((tmp_path / "b" / "report.json").read_text())
    assert report["agreement"]["samples"] == samples.DRAWN


def test_token_ids_are_run_as_they_are(folder: Path) -> None:
    ids = np.random.default_rng(0).integers(0, small.VOCABULARY, (2, small.TOKENS))
    from_ids, _ = verbs.run(folder, ids)
    one_hot, _ = verbs.run(folder, np.eye(small.VOCABULARY, dtype=np.int64)[ids])
    np.testing.assert_array_equal(from_ids, one_hot)
    single, _ = verbs.run(folder, ids[0])
    np.testing.assert_array_equal(single, from_ids[:, :1])
    with pytest.raises(SimulateError) as caught:
        verbs.run(folder, ids + small.VOCABULARY)
    assert caught.value.problems[0].code == "ND603" and "tokenizer" in caught.value.problems[0].fixes[0]
    with pytest.raises(SimulateError) as caught:
        verbs.run(folder, ids[:, :-1])
    assert caught.value.problems[0].code == "ND601"


def test_check_needs_no_data() -> None:
    found = verbs.check(MODEL, "loihi2")
    assert not found.blocked and any(v.node == "word_embeddings" for v in found.verdicts)


def test_agreement_is_free_of_scale_and_falls_with_noise() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(6, 50))
    same = compare.agreement(x, 3.0 * x)
    assert all(value == pytest.approx(1.0) for value in same.values()) and set(same) >= {"neighbours"}
    near, far = (compare.agreement(x, x + size * rng.normal(size=x.shape)) for size in (0.1, 1.0))
    assert all(far[key] < near[key] < 1.0 for key in near)
    assert compare.agreement(x, -x)["rank"] == pytest.approx(-1.0)
    assert "neighbours" not in compare.agreement(x[:2], x[:2])
    assert compare.agreement(x, np.zeros_like(x))["cosine"] == 0.0


def test_batches_follow_the_size_of_the_graph_and_no_range_depends_on_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    graph = passes.simplify(resolve.source_graph(resolve.resolve(MODEL)))
    raw = samples.Synthetic(graph).calibration(9)
    held = sum(value.shape.size for value in graph.values.values())
    method = METHODS["ecmt"]
    _, options = method.configure({"preset": "nearest", "softmax_base": None, "gelu_base": None})
    spiking = method.rewrite(graph, options, raw, 2)

    def integers(most: int) -> tuple[int, str]:
        monkeypatch.setattr(calibrate, "MOST_HELD", most)
        integer = quantize(spiking, calibrate.measure(spiking, raw), lambda node: 8)
        return calibrate.batch_size(graph), integer.content_hash()

    (all_at_once, first), (two, second), (one, third) = (integers(n) for n in (held * 64, held * 2, 1))
    assert (all_at_once, two, one) == (64, 2, 1) and first == second == third


def test_activations_that_are_not_finite_are_named_where_they_begin() -> None:
    graph = passes.simplify(resolve.source_graph(resolve.resolve(MODEL)))
    node = next(n for n in graph.of(Synapse) if n.name.endswith("intermediate"))
    weight = node.weight.copy()
    weight[0, 0] = np.inf
    broken = Graph({**graph.nodes, node.name: replace(node, weight=weight)}, graph.values, graph.header)
    with np.errstate(invalid="ignore"), pytest.raises(ConvertError) as caught:
        calibrate.measure(broken, samples.Synthetic(graph).calibration(2))
    (problem,) = caught.value.problems
    assert problem.code == "ND306" and node.name in problem.where


def test_positions_counted_from_constants_are_constants() -> None:
    class Counted(torch.nn.Module):
        """Positions counted from constants."""

        input_tokens = small.TOKENS

        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(1)
            self.words, self.places = torch.nn.Embedding(20, 8), torch.nn.Embedding(20, 8)

        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            seen = torch.ones_like(ids)
            return (self.words(ids) + self.places(torch.cumsum(seen, 1) * seen + 1)).mean(1)

    network = Counted().eval()
    graph = torch_export.import_module(network, InputSpec((small.TOKENS,), tokens=True))
    ids = np.random.default_rng(0).integers(0, 20, (3, small.TOKENS))
    with torch.no_grad():
        expected = network(torch.tensor(ids)).numpy()
    np.testing.assert_allclose(interp.run(graph, samples.one_hot(graph, ids)).outputs[0], expected, atol=1e-6)
