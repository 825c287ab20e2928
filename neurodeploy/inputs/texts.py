"""Texts to the token ids of one network, by its tokenizer: cut or filled up to its length, or refused.

The number of tokens of a network is fixed. A text that has more is cut, as its tokenizer cuts. One that has fewer is
filled up where the network hides the tokenizer's padding from attention, and left out and counted where it does not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from .. import extras, guarded
from ..array import Array
from ..datasets import DataSet, Split
from ..errors import NeurodeployError, Problem, UsageError, first_line
from ..ir.graph import Graph
from .samples import hidden, one_hot, tokens

#: what tokenizers call padding where no file says it
PADS = ("[PAD]", "<pad>", "<|endoftext|>")
SHOWN = 3  # tokens that do not fit, by name
DOWNLOAD = 600.0  # seconds for a tokenizer that comes from a hub
RATE = 20e3  # characters per second, at least


@dataclass(frozen=True)
class Tokenizer:
    """``encode(texts, length)`` gives lists of ids, special tokens included, cut to ``length``; ``ids`` by token."""

    encode: Callable[[Sequence[str], int], list[list[int]]]
    ids: Mapping[str, int]
    pad: int | None


@dataclass(frozen=True, eq=False)
class OneHot:
    """The ``read`` of a split of token ids (N, length): raw inputs, made when they are asked for."""

    graph: Graph
    ids: Array

    def __call__(self, indices: Array) -> Array:
        """Raw inputs (B, N, V) of the texts at these positions."""
        return one_hot(self.graph, self.ids[indices])


def tokenised(data: DataSet, graph: Graph, place: str) -> tuple[DataSet, list[Problem]]:
    """The texts as raw inputs of ``graph``, and a warning ND938 where some were too short.

    ``place`` is the tokenizer's file, folder or name. UsageError ND929 (no tokenizer, or none that can be read),
    ND933 (no network of texts), ND937 (ids without an embedding, padding that the network does not hide), ND938 (all
    too short); EnvironmentProblem ND115 without its library.
    """
    tokenizer, length = fitting(data.source, graph, place)
    least = 1 if hidden(graph) else length
    train, test = (tokenizer.encode(list(map(str, s.images)), length) for s in (data.train, data.test))
    whole = [[i for i, row in enumerate(rows) if len(row) >= least] for rows in (train, test)]
    trained = {tuple(train[i]) for i in whole[0]}
    # two texts may be one once they are cut
    kept = (whole[0], [i for i in whole[1] if tuple(test[i]) not in trained])
    again, lengths = len(whole[1]) - len(kept[1]), [len(row) for row in (*train, *test)]
    problem = _left_out(data, lengths, again, [len(rows) for rows in kept], least)
    if problem is not None and problem.severity == "error":
        raise UsageError(problem)

    def ready(split: Split, rows: Sequence[Sequence[int]], chosen: list[int]) -> Split:
        filled = _filled([rows[i] for i in chosen], length, tokenizer, graph)
        return Split(split.labels[chosen], OneHot(graph, filled))

    made = replace(
        data, train=ready(data.train, train, kept[0]), test=ready(data.test, test, kept[1]),
        shape=graph.shape(graph.input.name), levels=1, texts=False,
    )  # fmt: skip
    return made, [problem] if problem is not None else []


def ids(rows: Sequence[tuple[str, str]], source: str, graph: Graph, place: str) -> Array:
    """Token ids (B, N) of texts, each with where it stands.

    UsageError as :func:`tokenised`, ND938 for every text that is too short.
    """
    tokenizer, length = fitting(source, graph, place)
    encoded = tokenizer.encode([text for _, text in rows], length)
    least = 1 if hidden(graph) else length
    cause, fix = "a text has fewer tokens than the network, which does not hide padding", "give longer texts"
    short = [
        Problem("ND938", cause, where, f"{len(row)} tokens", f"{least} tokens", (fix,))
        for (where, _), row in zip(rows, encoded, strict=True)
        if len(row) < least
    ]
    if short:
        raise UsageError(short)
    return _filled(encoded, length, tokenizer, graph)


def _filled(encoded: Sequence[Sequence[int]], length: int, tokenizer: Tokenizer, graph: Graph) -> Array:
    """Rows of ids, filled up with the tokenizer's padding, or what the network hides where there is none."""
    fill = next((i for i in (tokenizer.pad, *hidden(graph)) if i is not None), 0)
    found = np.full((len(encoded), length), fill, np.int64)
    for slot, row in enumerate(encoded):
        found[slot, : len(row)] = row
    return found


def fitting(source: str, graph: Graph, place: str) -> tuple[Tokenizer, int]:
    """The tokenizer, proven to fit the network, and the network's number of tokens; errors of :func:`tokenised`."""
    found = tokens(graph)
    if found is None:
        cause, fix = "texts were given to a network that takes none", "give other data with --data"
        raise UsageError(Problem("ND933", cause, source, "texts", str(graph.shape(graph.input.name)), (fix,)))
    tokenizer = load(place)
    problems = misfits(tokenizer, graph, place)
    if problems:
        raise UsageError(problems)
    return tokenizer, found[0]


def spelling(place: str) -> Callable[[Array], str]:
    """What says raw inputs (N, V) as the tokens that they are, or as their ids where there is no tokenizer.

    Tokens that fill a text up are left out.
    """
    tokenizer = load(place) if place else None
    names = {i: token for token, i in tokenizer.ids.items()} if tokenizer else {}
    pad = tokenizer.pad if tokenizer else None

    def spelled(raw: Array) -> str:
        return " ".join(names.get(int(i), str(i)) for i in raw.argmax(axis=-1) if i != pad)

    return spelled


def _left_out(data: DataSet, lengths: list[int], again: int, kept: list[int], least: int) -> Problem | None:
    """ND938: a warning where texts are left out, an error where a split is left without any."""
    short = sum(n < least for n in lengths)
    if not short and not again:
        return None
    cause = "texts with fewer tokens than the network has, or like one of training once they are cut, are left out"
    if not all(kept):
        cause = "no text with as many tokens as the network is left for calibration or for the test"
    shortest, half = min(lengths), sorted(lengths)[len(lengths) // 2]
    fixes: tuple[str, ...] = ()
    if short:
        fixes = (
            "let the network hide padding: --set reader.mask=true (hf: models), or ids != pad in its own code",
            f"--set reader.tokens={shortest} keeps all texts and cuts the longer ones (hf: models)",
        )
    if short and half < least:
        fixes += (f"--set reader.tokens={half} keeps half of them (hf: models)",)
    found = f"{short} of {len(lengths)} texts too short, {again} like one of training; shortest: {shortest}"
    severity = "warning" if all(kept) else "error"
    return Problem("ND938", cause, data.source, found, f"{least} tokens", fixes, severity)


def misfits(tokenizer: Tokenizer, graph: Graph, place: str) -> list[Problem]:
    """ND937 for ids beyond the table of embeddings, which is named, and for padding that the network does not hide."""
    _, vocabulary = tokens(graph) or (0, 0)
    layer = ", ".join(node.name for node in graph if graph.input.name in node.inputs)
    fixes = ("give the tokenizer that the model was trained with: --set reader.tokenizer=FOLDER",)
    problems = []
    beyond = sorted((i, token) for token, i in tokenizer.ids.items() if i >= vocabulary)
    if beyond:
        named = ", ".join(f"{token!r} is {i}" for i, token in beyond[:SHOWN])
        found = f"{len(beyond)} of {len(tokenizer.ids)} tokens: {named}"
        cause = "the tokenizer has ids that the embedding has no row for"
        problems.append(Problem("ND937", cause, f"{layer} ({place})", found, f"{vocabulary} rows", fixes))
    if hidden(graph) and tokenizer.pad not in (None, *hidden(graph)):
        cause = "the tokenizer fills texts up with a token that the network does not hide from attention"
        found = f"id {tokenizer.pad}"
        limit = f"id {', '.join(map(str, hidden(graph)[:SHOWN]))}"
        problems.append(Problem("ND937", cause, f"{layer} ({place})", found, limit, fixes))
    return problems


def load(place: str) -> Tokenizer:
    """A tokenizer from ``tokenizer.json``, a folder that holds it or the files of an older one, or a hub's name.

    Nothing is unpickled and no code of a model is run.
    """
    if not place:
        cause = "texts need a tokenizer, and the model names none"
        raise UsageError(Problem("ND929", cause, "reader.tokenizer", "nothing", "", (_GIVE,)))
    path = Path(place)
    file = path / "tokenizer.json" if path.is_dir() else path
    if not path.exists() and ("/" not in place or place.startswith((".", "/")) or place.count("/") > 1):
        raise UsageError(Problem("ND929", "no tokenizer at this path", place, "nothing", "", (_GIVE,)))
    try:
        return _fast(file) if file.is_file() and file.suffix == ".json" else _other(place)
    except NeurodeployError:
        raise
    except Exception as error:  # each kind of file has its own
        cause, limit = "the tokenizer cannot be read", "tokenizer.json, or a folder that transformers reads"
        raise UsageError(Problem("ND929", cause, place, first_line(error), limit, (_GIVE,))) from error


_GIVE = "--set reader.tokenizer=FOLDER, one that holds tokenizer.json or vocab.txt"


def _fast(file: Path) -> Tokenizer:
    """By the library tokenizers, from one file."""
    extras.require(
        "hf", "tokenizers of texts", package="tokenizers"
    )  # missed here, not in a copy of the process

    return _guarded(str(file), _of_file, guarded.SECONDS)


def _other(place: str) -> Tokenizer:
    """By transformers, from the files that older tokenizers are made of."""
    extras.require("hf", "older tokenizers")  # once, not in every copy of the process

    return _guarded(place, _of_folder, guarded.SECONDS if Path(place).exists() else DOWNLOAD)


#: ids by token, the id of padding, and a function as :attr:`Tokenizer.encode`
Inner = tuple[dict[str, int], int | None, Callable[[Sequence[str], int], list[list[int]]]]


def _guarded(place: str, build: Callable[[str], Inner], seconds: float) -> Tokenizer:
    """A tokenizer that lives in copies of the process: its library trusts what the files say."""
    ids, pad = guarded.call(lambda: build(place)[:2], seconds=seconds)

    def encode(texts: Sequence[str], length: int) -> list[list[int]]:
        work = seconds + sum(map(len, texts)) / RATE
        try:
            return guarded.call(lambda: build(place)[2](texts, length), seconds=work)
        except guarded.Stopped as error:
            cause = "the tokenizer cannot be used on these texts"
            raise UsageError(Problem("ND929", cause, place, str(error), "", (_GIVE,))) from error

    return Tokenizer(encode, ids, pad)


def _of_file(file: str) -> Inner:
    import tokenizers

    inner = tokenizers.Tokenizer.from_file(file)
    padding = inner.padding or {}
    inner.no_padding()

    def encode(texts: Sequence[str], length: int) -> list[list[int]]:
        inner.enable_truncation(length)
        return [found.ids for found in inner.encode_batch(list(texts))]

    ids = dict(inner.get_vocab(with_added_tokens=True))
    return ids, padding.get("pad_id", next((ids[token] for token in PADS if token in ids), None)), encode


def _of_folder(place: str) -> Inner:
    import transformers

    here = Path(place).exists()
    inner = transformers.AutoTokenizer.from_pretrained(place, local_files_only=here, trust_remote_code=False)

    def encode(texts: Sequence[str], length: int) -> list[list[int]]:
        return list(inner(list(texts), truncation=True, max_length=length)["input_ids"])

    return dict(inner.get_vocab()), inner.pad_token_id, encode
