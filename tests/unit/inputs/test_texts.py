"""Texts as data, and the tokenizers that make ids of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import neurodeploy as nd
from neurodeploy import datasets, verbs
from neurodeploy.errors import NeurodeployError, UsageError
from neurodeploy.frontends.input_spec import InputSpec
from neurodeploy.inputs import samples, texts
from neurodeploy.ir.graph import Graph
from neurodeploy.sources import resolve
from tests import transformers_small as small
from tests.later import torch, torch_export, transformer_modules

WORDS = [
    "the",
    "a",
    "cat",
    "dog",
    "sat",
    "ran",
    "on",
    "mat",
    "hill",
    "fast",
    "slow",
    "red",
    "blue",
    "bird",
    "fish",
]
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")


def sentences(count: int, least: int = small.TOKENS, most: int = small.TOKENS + 4) -> list[str]:
    rng = np.random.default_rng(5)
    return [" ".join(rng.choice(WORDS, rng.integers(least, most))) for _ in range(count)]


def refused(call: Any, *args: Any, **kwargs: Any) -> list[tuple[str, str]]:
    with pytest.raises(NeurodeployError) as caught:
        call(*args, **kwargs)
    return [(p.code, p.where) for p in caught.value.problems]


# --- files of texts ----------------------------------------------------------------------------------------------


def test_a_text_per_line_is_split_and_no_text_is_in_both(tmp_path: Path) -> None:
    lines = sentences(20)
    (tmp_path / "t.txt").write_text("\n".join([*lines, "", lines[3], lines[0]]))
    found = datasets.load(str(tmp_path / "t.txt"))
    train, test = set(found.train.images), set(found.test.images)
    assert found.texts and not found.labelled and found.class_count == 0
    assert (len(found.train), len(found.test)) == (16, 4) and not train & test
    assert train | test == set(lines)
    (tmp_path / "u.txt").write_text("\n".join([*lines[:-1], "another"]))
    assert datasets.load(str(tmp_path / "u.txt")).hash != found.hash


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_labels_stay_with_their_texts(suffix: str, tmp_path: Path) -> None:
    rows = {f'{text}, "quoted"': i % 3 for i, text in enumerate(sentences(30))}
    path = tmp_path / f"t{suffix}"
    if suffix == ".csv":
        quoted = [f'"{text.replace(chr(34), chr(34) * 2)}",{label}' for text, label in rows.items()]
        path.write_text("\n".join(["text,label", *quoted]))
    else:
        path.write_text("\n".join(json.dumps({"text": t, "label": n}) for t, n in rows.items()))
    found = datasets.load(str(path))
    assert found.labelled and found.classes == ("0", "1", "2")
    for split in (found.train, found.test):
        assert {t: int(n) for t, n in zip(split.images, split.labels, strict=True)}.items() <= rows.items()
    assert len(found.train) + len(found.test) == len(rows)


@pytest.mark.parametrize(
    ("name", "content", "codes"),
    [
        ("a.txt", b"one text\n", [("ND921", "")]),
        ("a.txt", b" \n\n", [("ND921", "")]),
        ("a.txt", b"caf\xe9\nb\n", [("ND922", "")]),
        ("a.csv", b"words,label\na,0\n", [("ND923", "")]),
        ("a.csv", b'text\n"open\n', [("ND922", ":2")]),
        ("a.csv", b"text,label\na,0\nb,x\nc,-1\nd,\n", [("ND925", ":3"), ("ND925", ":4"), ("ND925", ":5")]),
        ("a.jsonl", b'{"text": "a"}\n{"text": 3}\n{nope\n["b"]\n',
         [("ND925", ":2"), ("ND925", ":3"), ("ND925", ":4")]),
        ("a.jsonl", b'{"text": "a", "label": 0}\n{"text": "b", "label": true}\n{"text": "c"}\n',
         [("ND925", ":2"), ("ND925", ":3")]),
    ],
)  # fmt: skip
def test_every_bad_row_is_named(
    name: str, content: bytes, codes: list[tuple[str, str]], tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    assert refused(datasets.load, str(path)) == [(code, f"{path}{place}") for code, place in codes]


# --- tokenizers --------------------------------------------------------------------------------------------------


@pytest.mark.needs("tokenizers")
def tokenizer(folder: Path, words: list[str], pad: bool = True) -> Path:
    """A folder with a tokenizer.json of whole words, which frames a text by [CLS] and [SEP]."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    table = {token: i for i, token in enumerate([*SPECIAL[0 if pad else 1 :], *words])}
    made = Tokenizer(models.WordLevel(table, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[(name, table[name]) for name in ("[CLS]", "[SEP]")]
    )
    folder.mkdir(exist_ok=True)
    made.save(str(folder / "tokenizer.json"))
    return folder


@pytest.fixture(scope="module", name="graph")
def _graph() -> Graph:
    return resolve.source_graph(resolve.resolve("py:tests.transformers_small:bert"))


def data_of(folder: Path, lines: list[str]) -> datasets.DataSet:
    (folder / "t.txt").write_text("\n".join(lines))
    return datasets.load(str(folder / "t.txt"))


def test_texts_become_one_hot_ids_cut_to_the_network(graph: Graph, tmp_path: Path) -> None:
    place = str(tokenizer(tmp_path / "tok", WORDS))
    data = data_of(tmp_path, sentences(20))
    found, warnings = texts.tokenised(data, graph, place)
    assert not warnings and found.hash == data.hash and (len(found.train), len(found.test)) == (16, 4)
    raw, _ = found.test.take([1])
    assert raw.dtype == np.uint8 and raw.shape == (1, small.TOKENS, small.VOCABULARY)
    names = [*SPECIAL, *WORDS]
    expected = ["[CLS]", *str(data.test.images[1]).split()[: small.TOKENS - 2], "[SEP]"]
    assert [names[i] for i in raw.argmax(-1)[0]] == expected


def test_short_texts_are_filled_up_where_the_network_hides_padding(tmp_path: Path) -> None:
    graph = torch_export.import_module(
        transformer_modules.Bert(hides=1).eval(), InputSpec((small.TOKENS,), tokens=True)
    )
    data = data_of(tmp_path, sentences(25, 1, small.TOKENS + 4))
    found, warnings = texts.tokenised(data, graph, str(tokenizer(tmp_path / "tok", WORDS)))
    assert not warnings and len(found.train) == len(data.train) > 15 and len(found.test) == len(data.test)
    names = [*SPECIAL, *WORDS]
    for text, row in zip(data.test.images, found.test.images.argmax(-1), strict=True):
        words = ["[CLS]", *str(text).split()[: small.TOKENS - 2], "[SEP]"]
        assert [names[i] for i in row] == [*words, *["[PAD]"] * (small.TOKENS - len(words))]
    note = {**graph.header.notes["tokens"], "hidden": [7]}
    another = graph.with_header(notes={**graph.header.notes, "tokens": note})
    with pytest.raises(UsageError) as caught:
        texts.tokenised(data, another, str(tmp_path / "tok"))
    (problem,) = caught.value.problems
    assert (problem.code, problem.found, problem.limit) == ("ND937", "id 0", "id 7")
    none = str(tokenizer(tmp_path / "none", WORDS, pad=False))
    filled, _ = texts.tokenised(data, another, none)
    assert (filled.test.images.argmax(-1)[:, -1] == 7).any()


def test_texts_that_are_one_when_cut_are_not_tested_on(graph: Graph, tmp_path: Path) -> None:
    start = sentences(1, 20, 21)[0]
    data = data_of(tmp_path, [f"{start} {word}" for word in WORDS] + sentences(20))
    found, (warning,) = texts.tokenised(data, graph, str(tokenizer(tmp_path / "tok", WORDS)))
    rows = [split.images.argmax(-1) for split in (found.train, found.test)]
    trained, tested = ({tuple(row) for row in split} for split in rows)
    assert not trained & tested and len(rows[0]) == len(data.train) > len(trained)
    assert len(rows[1]) < len(data.test) and f" {len(data.test) - len(rows[1])} like" in warning.found


def test_short_texts_are_left_out_and_counted(graph: Graph, tmp_path: Path) -> None:
    place = str(tokenizer(tmp_path / "tok", WORDS))
    data = data_of(tmp_path, [*sentences(20), *sentences(5, 3, 4)])
    found, (warning,) = texts.tokenised(data, graph, place)
    assert (warning.code, warning.severity) == ("ND938", "warning")
    assert warning.found.startswith("5 of 25 ") and "reader.tokens=5 " in warning.fixes[1]
    assert len(found.train) + len(found.test) == 20
    with pytest.raises(UsageError) as caught:
        texts.tokenised(data_of(tmp_path, sentences(9, 3, 6)), graph, place)
    assert caught.value.problems[0].code == "ND938"


def test_a_tokenizer_that_does_not_fit_is_refused_with_layer_and_tokens(graph: Graph, tmp_path: Path) -> None:
    more = [f"more{i}" for i in range(small.VOCABULARY)]
    place = str(tokenizer(tmp_path / "big", more, pad=False))
    data = data_of(tmp_path, sentences(20))
    with pytest.raises(UsageError) as caught:
        texts.tokenised(data, graph, place)
    (beyond,) = caught.value.problems
    assert beyond.code == "ND937"
    assert beyond.where.startswith("word_embeddings") and "'more37' is 40" in beyond.found
    assert beyond.found.startswith("3 of 43")
    image = resolve.source_graph(resolve.resolve("py:tests.transformers_small:timm_vit"))
    assert refused(texts.tokenised, data, image, place)[0][0] == "ND933"


@pytest.mark.needs("transformers")
@pytest.mark.parametrize("content", [None, "", "{", '{"version": "1.0", "model": {"type": "None"}}'])
def test_damaged_and_missing_tokenizers(content: str | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "tokenizer.json").write_text(content)
    assert refused(texts.load, str(tmp_path)) == [("ND929", str(tmp_path))]
    assert refused(texts.load, str(tmp_path / "none"))[0][0] == "ND929"
    assert refused(texts.load, "") == [("ND929", "reader.tokenizer")]


@pytest.mark.needs("transformers")
def test_an_older_tokenizer_is_read_from_its_files(tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_text("\n".join([*SPECIAL, "[MASK]", *WORDS]))
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer"}')
    found = texts.load(str(tmp_path))
    assert found.pad == 0 and found.encode(["The cat sat on a mat"], 5) == [[2, 5, 7, 9, 3]]


def test_who_names_the_tokenizer(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    assert resolve.resolve(str(folder)).tokenizer == ""
    (folder / "vocab.txt").write_text("")
    assert resolve.resolve(f"hf:{folder}").tokenizer == str(folder)
    chosen = {"tokenizer": "other"}
    for model in (f"hf:{folder}", "py:a:b"):
        assert resolve.resolve(model, reader=chosen).tokenizer == "other"
    assert resolve.resolve("hf:bert", reader={"pretrained": False}).tokenizer == ""
    assert resolve.resolve("hf:owner/name").tokenizer == "owner/name"
    assert refused(resolve.resolve, "py:a:b", reader={"tokenzer": "x"}) == [("ND120", "reader.tokenzer")]
    assert refused(resolve.resolve, "digits-vit", reader=chosen)[0][0] == "ND120"


# --- whole builds ------------------------------------------------------------------------------------------------


@pytest.mark.slow  # 10 s
def test_a_build_on_labelled_texts_and_its_verification(tmp_path: Path) -> None:
    place = tokenizer(tmp_path / "tok", WORDS)
    rows = [json.dumps({"text": t, "label": i % 3}) for i, t in enumerate(sentences(30))]
    (tmp_path / "t.jsonl").write_text("\n".join(rows))
    options = ["convert.preset=nearest", "convert.softmax_base=null", "convert.gelu_base=null"]
    where = [f"reader.tokenizer={json.dumps(str(place))}", *options]
    out = tmp_path / "build"
    model = "py:tests.unit.inputs.test_texts:classifier"
    nd.build(
        model, "loihi-sim", data=str(tmp_path / "t.jsonl"), out=str(out), calib=8, verify=2, settings=where
    )
    report = json.loads((out / "report.json").read_text())
    assert report["accuracy"]["samples"] == report["agreement"]["samples"] == 6
    assert 0.9 < report["agreement"]["integer"]["cosine"] <= 1.0
    assert report["input"]["kind"] == "data" and report["bit_true"]["equal"]
    assert verbs.verify(out, samples=2).equal
    (tmp_path / "tok" / "tokenizer.json").unlink()
    assert refused(verbs.verify, out, samples=2)[0][0] == "ND929"
    check = verbs.check
    assert refused(check, model, "loihi2", data=str(tmp_path / "t.jsonl"))[0][0] == "ND929"


@pytest.mark.slow
def test_texts_that_are_run_must_fit(tmp_path: Path) -> None:
    """Each that is too short is named where the network does not hide padding."""
    place = tokenizer(tmp_path / "tok", WORDS)
    out, settings = tmp_path / "build", [f"reader.tokenizer={json.dumps(str(place))}"]
    nd.build(
        "py:tests.unit.inputs.test_texts:classifier", "loihi-sim", method="pmsm", timesteps=1, calib=4, eval=2,
        verify=0, out=str(out), settings=settings,
    )  # fmt: skip
    lines = sentences(2, 10, 11)
    (tmp_path / "t.txt").write_text("\n".join([lines[0], "a cat", "", lines[1], "a dog"]))
    assert refused(verbs.run, out, tmp_path / "t.txt") == [
        ("ND938", f"{tmp_path / 't.txt'}:2"), ("ND938", f"{tmp_path / 't.txt'}:5")
    ]  # fmt: skip
    (tmp_path / "t.txt").write_text("\n".join(lines))
    found, _ = verbs.run(out, tmp_path / "t.txt")
    encoded = texts.load(str(place)).encode(lines, small.TOKENS)
    np.testing.assert_array_equal(found, verbs.run(out, np.array(encoded))[0])
    (tmp_path / "t.csv").write_text("words\na\n")
    assert refused(verbs.run, out, tmp_path / "t.csv")[0][0] == "ND923"
    assert refused(verbs.run, out, tmp_path / "none.txt")[0][0] == "ND920"


@pytest.mark.slow
@pytest.mark.needs("transformers")
def test_a_build_on_texts_of_many_lengths(tmp_path: Path) -> None:
    """A folder of Hugging Face with its tokenizer: integers against the network of the publisher, text by text."""
    import transformers

    torch.manual_seed(3)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}
    network = transformers.BertModel(transformers.BertConfig(vocab_size=30, **sizes)).eval()
    network.save_pretrained(tmp_path / "model")
    place = tokenizer(tmp_path / "model", WORDS)
    (tmp_path / "t.txt").write_text("\n".join(sentences(60, 1, 9)))
    out, settings = tmp_path / "build", ["reader.tokens=10"]
    nd.build(
        str(place), "loihi-sim", data=str(tmp_path / "t.txt"), method="pmsm", timesteps=1, out=str(out), verify=2,
        settings=settings,
    )  # fmt: skip
    report = json.loads((out / "report.json").read_text())
    assert report["agreement"]["samples"] == 12 and report["agreement"]["integer"]["least_cosine"] > 0.97
    assert report["bit_true"]["equal"] and not report["warnings"]
    tested = [str(text) for text in datasets.load(str(tmp_path / "t.txt")).test.images]
    (tmp_path / "test.txt").write_text("\n".join(tested))
    found, _ = verbs.run(out, tmp_path / "test.txt")
    for ids, row in zip(texts.load(str(place)).encode(tested, 10), found[-1], strict=True):
        with torch.no_grad():
            alone = network(torch.tensor([ids]))[0].mean(1).numpy()[0]
        assert np.dot(alone, row) > 0.97 * np.linalg.norm(alone) * np.linalg.norm(row)


def classifier() -> Any:
    """Three logits of a text."""
    return small.family("BERT, pooler")


def test_one_hot_input_is_a_byte_for_each_line(graph: Graph) -> None:
    assert samples.Synthetic(graph).calibration(2).dtype == np.uint8
