"""Text encoders on cores: texts of many lengths, whose masks hold no rows together, and a large vocabulary."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import neurodeploy as nd
from neurodeploy import artifact
from neurodeploy.mapping.outcome import ON_CORES
from tests.later import torch
from tests.unit.inputs.test_texts import WORDS, sentences, tokenizer

pytestmark = [pytest.mark.slow, pytest.mark.needs("transformers")]

#: 48 neurons a core: a row of scores has 10, one of a norm 32
SMALL = """extends = "loihi-sim"
title = "small cores"
[limits.neurons_per_core]
value = 48
unit = "neurons"
source = "assumed: small enough to cut every group of the test"
"""


def test_a_masked_encoder_on_cores_of_a_few_rows(tmp_path: Path) -> None:
    """Every group of rows is cut, and each text, however short, means what it means on one core."""
    import transformers

    torch.manual_seed(3)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}
    network = transformers.BertModel(transformers.BertConfig(vocab_size=30, **sizes)).eval()
    network.save_pretrained(tmp_path / "model")
    place = tokenizer(tmp_path / "model", WORDS)
    (tmp_path / "t.txt").write_text("\n".join(sentences(40, 1, 9)))
    (tmp_path / "small.toml").write_text(SMALL)
    nd.build(
        str(place), str(tmp_path / "small.toml"), data=str(tmp_path / "t.txt"), method="pmsm", timesteps=1, chips=4,
        out=str(tmp_path / "build"), verify=4, calib=8, optimise="cores", settings=["reader.tokens=10"],
    )  # fmt: skip
    report = json.loads((tmp_path / "build" / "report.json").read_text())
    assert report["bit_true"]["equal"]
    mapping = artifact.load(tmp_path / "build" / "program.h5").program.mapping
    layout = {group.name: group.layout for group in mapping.groups}
    scores = [cut for name, cut in layout.items() if name.endswith("attention.self.product")]
    assert scores == ["heads/1 x tokens/5 x tokens/1"] * 2


def test_a_vocabulary_of_25000_words_and_four_layers_fit_two_chips(tmp_path: Path) -> None:
    """20 s and 1.1 GB: 32 tokens, any of them hidden, 4 layers of 256 channels."""
    import transformers

    sizes = {"hidden_size": 256, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 1024}
    transformers.BertConfig(vocab_size=25_000, architectures=["BertModel"], **sizes).save_pretrained(tmp_path)
    settings = ["reader.pretrained=false", "reader.tokens=32", "reader.mask=true"]
    found = nd.check(f"hf:{tmp_path}", "loihi2", chips=2, settings=settings)
    assert not found.blocked and found.cores is not None and found.cores[0] <= 208
    hosted = nd.check(f"hf:{tmp_path}", "loihi2", chips=2, settings=settings, lookups="host")
    assert not hosted.blocked and hosted.cores is not None and hosted.cores[0] <= 155
    (other,) = (row for row in hosted.search["plans"] if row["plan"] == ON_CORES)
    assert other["cores"] == found.cores[0]


def test_a_small_encoder_whose_tables_the_host_looks_up(tmp_path: Path) -> None:
    """Built, executed by all backends, told, and laid out again by its own mapping file."""
    one, two = str(tmp_path / "one"), str(tmp_path / "two")
    asked = {"timesteps": 2, "calib": 8, "verify": 2, "estimate": 2, "method": "ecmt", "settings": ["eval=4"]}
    nd.build("py:tests.transformers_small:hides", "loihi-sim", out=one, lookups="host", **asked)
    nd.build(
        "py:tests.transformers_small:hides", "loihi-sim", out=two, mapping=f"{one}/mapping.toml", **asked
    )
    report = json.loads(Path(one, "report.json").read_text())
    assert report["bit_true"]["equal"] and "lava" not in report["bit_true"]["backends"]
    layers = {row["layer"]: row["reads"] for row in report["mapping"]["lookups"]}
    assert layers["word_embeddings"] == 10 * 16 and len(layers) == 2
    assert "looking up word_embeddings" in report["uncounted"][0]
    assert "looking up word_embeddings" in Path(one, "report.html").read_text()
    assert {row["op"] for row in report["layers"] if row["name"] in layers} == {"lookup"}
    assert Path(one, "mapping.toml").read_text() == Path(two, "mapping.toml").read_text()
