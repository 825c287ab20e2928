"""Masks that a model makes of its token ids: the graph against torch, and what is no function of single tokens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from neurodeploy import calibrate, passes
from neurodeploy.convert._base import METHODS
from neurodeploy.errors import ImportModelError
from neurodeploy.frontends.input_spec import InputSpec
from neurodeploy.inputs import samples
from neurodeploy.ir import interp
from neurodeploy.ir.graph import Graph
from neurodeploy.ir.nodes import Micro, Synapse
from neurodeploy.quantize import quantize
from tests import transformers_small as small
from tests.fast import fast
from tests.later import Tensor, nn, torch, torch_export
from tests.later import functional as F

ROWS, TOKENS, WIDTH, HEADS = 23, 9, 16, 4
LEAST = float(np.finfo(np.float32).min)


def attention(weigh: Callable[[Tensor, Tensor], Tensor]) -> nn.Module:
    """One layer of attention on token ids; ``weigh(ids, scores)`` masks and weighs the scores."""

    class Attention(nn.Module):
        input_tokens = TOKENS

        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.types, self.embedding = nn.Embedding(2, WIDTH), nn.Embedding(ROWS, WIDTH, padding_idx=0)
            self.position = nn.Parameter(torch.randn(1, TOKENS, WIDTH))
            self.q, self.k, self.v = (nn.Linear(WIDTH, WIDTH) for _ in range(3))

        def forward(self, ids: Tensor) -> Tensor:
            x = self.types(torch.zeros_like(ids)) + self.embedding(ids) + self.position
            q, k, v = (
                f(x).view(-1, TOKENS, HEADS, WIDTH // HEADS).transpose(1, 2) for f in (self.q, self.k, self.v)
            )
            return (weigh(ids, q @ k.transpose(-1, -2)) @ v).transpose(1, 2).flatten(2)

    return Attention()


def _fused(ids: Tensor, scores: Tensor) -> Tensor:
    """Fused attention, its result taken for the weights of another."""
    return F.scaled_dot_product_attention(scores, scores, scores, (ids != 0)[:, None, None, :])


def _pairs(ids: Tensor, scores: Tensor) -> Tensor:
    """Scores of pairs of tokens of which one is padding are hidden, and nothing is read of them."""
    shown = (ids != 0).to(scores.dtype)[:, None]
    hidden = ~(shown[:, :, None] * shown[..., None]).to(torch.bool)
    weights = scores.masked_fill(hidden, LEAST).softmax(-1)
    return weights.masked_fill(hidden, 0)


def _turned(ids: Tensor, scores: Tensor) -> Tensor:
    """Tokens in front of samples, as some libraries have them."""
    added = torch.where(ids.t() == 0, LEAST, 0.0)
    return (scores.permute(2, 3, 0, 1) + added[None, :, :, None]).softmax(1).permute(2, 3, 0, 1)


def _in_place(ids: Tensor, scores: Tensor) -> Tensor:
    added = torch.zeros_like(ids, dtype=scores.dtype).masked_fill_(ids.eq(0), float("-inf"))
    return (scores + added.view(-1, 1, 1, TOKENS).expand(-1, HEADS, TOKENS, -1)).softmax(-1)


def _filled(scores: Tensor, mask: Tensor, value: float = -1e9) -> Tensor:
    return scores.masked_fill(mask[:, None, None], value).softmax(-1)


def _added(scores: Tensor, mask: Tensor) -> Tensor:
    return (scores + mask[:, None, None]).softmax(-1)


def _beside_a_causal_one(ids: Tensor, scores: Tensor) -> Tensor:
    causal = scores.masked_fill(torch.ones(TOKENS, TOKENS).triu(1).bool(), -torch.inf)
    return _added(causal, (1 - (ids != 0).float()) * -1e4)


def _added_to_a_constant(ids: Tensor, scores: Tensor) -> Tensor:
    zeros = torch.zeros(1, 1, TOKENS, TOKENS)
    return (scores + zeros.masked_fill((ids == 0)[:, None, None], -torch.inf)).softmax(-1)


#: how models hide padding: what the ids are compared with, how the mask is shaped, and how it reaches the scores
FORMS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "filled": lambda ids, s: _filled(s, ids == 0, float("-inf")),
    "filled, views of views": lambda ids, s: s.masked_fill(
        (ids == 0).view(-1, 1, 1, TOKENS).expand_as(s), LEAST
    ).softmax(-1),
    "added": lambda ids, s: (s + (1.0 - (ids != 0).to(s.dtype)[:, None, None]) * LEAST).softmax(-1),
    "added in place": _in_place,
    "added to a constant": _added_to_a_constant,
    "chosen": lambda ids, s: torch.where((ids > 0).unsqueeze(1).unsqueeze(1), s, torch.tensor(-1e9)).softmax(
        -1
    ),
    "a mask of numbers": lambda ids, s: _filled(s, (ids != 0).long() == 0),
    "inverted": lambda ids, s: _filled(s, ~(ids.ne(0) & ids.ne(3))),
    "beside a causal one": _beside_a_causal_one,
    "a penalty": lambda ids, s: _added(s, -2.5 * (ids < 7).to(s.dtype)),
    "fused": _fused,
    "pairs of tokens": _pairs,
    "tokens before samples": _turned,
}


def imported(weigh: Callable[[Tensor, Tensor], Tensor]) -> tuple[nn.Module, Graph]:
    network = attention(weigh).double().eval()
    return network, torch_export.import_module(network, InputSpec((TOKENS,), tokens=True))


def texts_with_padding() -> np.ndarray:
    """Ids (B, N) of which the last 0 .. N - 1 are 0, and a 3 somewhere."""
    ids = np.random.default_rng(0).integers(1, ROWS, (TOKENS, TOKENS))
    ids[2, 1] = 3
    return np.where(np.arange(TOKENS) < np.arange(TOKENS, 0, -1)[:, None], ids, 0)


@pytest.mark.parametrize("name", FORMS)
def test_a_mask_of_ids_equals_torch(name: str) -> None:
    network, graph = imported(FORMS[name])
    ids = texts_with_padding()
    with torch.no_grad():
        expected = network(torch.tensor(ids)).numpy()
    np.testing.assert_allclose(
        interp.run(graph, samples.one_hot(graph, ids)).outputs[0], expected, rtol=1e-9, atol=1e-9
    )
    assert samples.hidden(graph) == {"inverted": (0, 3), "a penalty": ()}.get(name, (0,))
    masks = [node for node in graph.of(Synapse) if len(node.weight) == 1]
    lowest = min(float(mask.weight.min()) for mask in masks)
    assert len(masks) == (3 if name == "pairs of tokens" else 1)
    assert lowest == (-2.5 if name == "a penalty" else -128)


def test_ids_that_no_operator_changes_are_ids() -> None:
    class Kept(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.embedding = nn.Embedding(ROWS, WIDTH)

        def forward(self, ids: Tensor) -> Tensor:
            x = self.embedding(ids.reshape(-1, TOKENS)[:, :TOKENS].to(torch.int32))
            return (x + self.embedding(ids.clamp(min=0) * 1)).mean(1)

    network = Kept().double().eval()
    graph = torch_export.import_module(network, InputSpec((TOKENS,), tokens=True))
    ids = texts_with_padding()
    with torch.no_grad():
        expected = network(torch.tensor(ids)).numpy()
    np.testing.assert_allclose(
        interp.run(graph, samples.one_hot(graph, ids)).outputs[0], expected, rtol=1e-12
    )


def test_what_padding_puts_in_is_of_no_token() -> None:
    """1 - pad(f) is 1 where pad put its zeros, which a function of single tokens could not be."""
    network, graph = imported(lambda ids, s: _added(s, 1.0 - F.pad((ids != 0).to(s.dtype)[:, 1:], (0, 1))))
    ids = texts_with_padding()
    with torch.no_grad():
        expected = network(torch.tensor(ids)).numpy()
    np.testing.assert_allclose(interp.run(graph, samples.one_hot(graph, ids)).outputs[0], expected, rtol=1e-9)


def _of_pairs(ids: Tensor, scores: Tensor) -> Tensor:
    shown = (ids != 0).to(scores.dtype)
    return (scores + ((1.0 - shown[:, None, :] * shown[:, :, None]) * -1e9)[:, None]).softmax(-1)


#: what depends on more than one token at a time, or would be read as a number
REFUSED: dict[str, tuple[Callable[[Tensor, Tensor], Tensor], str]] = {
    "counted": (lambda ids, s: _filled(s, (ids != 0).cumsum(1) > 3), "no spikes"),
    "by its place": (lambda ids, s: _filled(s, ids == torch.arange(TOKENS)), "token ids"),
    "moved": (lambda ids, s: _filled(s, ids.flip(1) == 0), "token ids"),
    "cut": (lambda ids, s: _filled(s, ids[:, :1] == 0), "token ids"),
    "another value": (lambda ids, s: _filled(s, ids == 0, 0.5), "depends on the input"),
    "read as a number": (
        lambda ids, s: (s + (ids == 0)[:, None, None].float() * -1e9).relu(),
        "something else",
    ),
    "scaled": (
        lambda ids, s: torch.add(s, s.masked_fill((ids == 0)[:, None, None], -1e9), alpha=2.0).softmax(-1),
        "scaled",
    ),
    "not finite": (lambda ids, s: _added(s, (ids == 0).float() / 0.0), "not finite"),
    "of pairs": (_of_pairs, "several tokens at once"),
    "of constant keys": (
        lambda ids, s: F.scaled_dot_product_attention(s, torch.ones_like(s), s),
        "keys or values are constants",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_mask_of_single_tokens_is_refused(name: str) -> None:
    weigh, cause = REFUSED[name]
    with pytest.raises(ImportModelError) as caught:
        imported(weigh)
    problem = caught.value.problems[0]
    assert problem.code == "ND101" and cause in problem.cause and "test_lookups.py" in problem.where


@pytest.mark.parametrize(
    ("method", "ticks", "options"),
    fast([("pmsm", 1, {}), ("ecmt", 3, {"preset": "headline"}), ("dcgs", 3, {})], "pmsm", by=0),
)
def test_integers_see_nothing_of_hidden_tokens(method: str, ticks: int, options: dict[str, Any]) -> None:
    """Every softmax is exactly 0 there, and what the hidden tokens are does not show in the result."""
    graph = passes.simplify(
        torch_export.import_module(
            small.family("BERT, hides what its ids say"), InputSpec((small.TOKENS,), tokens=True)
        )
    )
    member, raw = METHODS[method], samples.Synthetic(graph).calibration(16)
    spiking = member.rewrite(graph, member.configure(options)[1], raw, ticks)
    integer = quantize(spiking, calibrate.measure(spiking, raw), lambda node: 8)
    ids = samples.Synthetic(graph).measurement(12)[0].argmax(-1)
    ids[:, 0] = 30
    hidden = ids < 12
    names = [node.name for node in integer.of(Micro) if node.op == "softmax"]
    trace = interp.run(integer, samples.one_hot(integer, ids), names)
    for name in names:
        weights = trace.values[name]
        keys = hidden.reshape(1, len(ids), *(1,) * (weights.ndim - 3), -1)
        assert not weights[np.broadcast_to(keys, weights.shape)].any() and weights.any()
    others = np.where(hidden, (ids + 5) % 12, ids)
    assert (others != ids).any()
    again = interp.run(integer, samples.one_hot(integer, others)).outputs
    np.testing.assert_array_equal(again, trace.outputs)


def test_texts_that_were_calibrated_without_padding_hide_it_all_the_same() -> None:
    """The range of masked scores does not come from the lengths of the texts that happen to be there."""
    graph = passes.simplify(imported(FORMS["filled"])[1])
    member = METHODS["pmsm"]
    full = np.random.default_rng(1).integers(1, ROWS, (8, TOKENS))
    raw = samples.with_padding(graph, samples.one_hot(graph, full))
    spiking = member.rewrite(graph, member.configure({})[1], raw, 1)
    integer = quantize(spiking, calibrate.measure(spiking, raw), lambda node: 8)
    ids = texts_with_padding()
    (name,) = (node.name for node in integer.of(Micro) if node.op == "softmax")
    trace = interp.run(integer, samples.one_hot(integer, ids), (name,))
    hidden = np.broadcast_to((ids == 0)[None, :, None, None], trace.values[name].shape)
    assert hidden.any() and not trace.values[name][hidden].any() and not any(trace.saturations.values())


def test_calibration_sees_padding_whatever_the_texts_are() -> None:
    graph = imported(FORMS["filled"])[1]
    raw = samples.one_hot(graph, np.full((2, TOKENS), 5))
    ids = samples.with_padding(graph, raw).argmax(-1)
    assert ids.tolist() == [[5] * 4 + [0] * 5, [5] * 9] and raw.argmax(-1).min() == 5
    plain = imported(lambda ids, scores: scores.softmax(-1))[1]
    assert samples.hidden(plain) == () and samples.with_padding(plain, raw) is raw
