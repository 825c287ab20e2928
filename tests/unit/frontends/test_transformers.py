"""Families of transformers: float graph against torch, then every stage down to integers on ``cpu``."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest

from neurodeploy import calibrate, compare, passes
from neurodeploy.convert._base import METHODS
from neurodeploy.errors import ImportModelError, SimulateError
from neurodeploy.frontends._torch import inference
from neurodeploy.frontends.input_spec import InputSpec
from neurodeploy.image import encode
from neurodeploy.inputs import samples
from neurodeploy.inputs.fitting import with_range
from neurodeploy.ir import interp, levels
from neurodeploy.ir.graph import Graph
from neurodeploy.ir.nodes import Input, Micro, Neuron, Output, Product, Synapse
from neurodeploy.mapping.mapper import map_graph, prepared
from neurodeploy.passes.balance import lag, turns
from neurodeploy.passes.leave_out import leave_out
from neurodeploy.program import Program
from neurodeploy.quantize import quantize
from neurodeploy.sources import resolve
from neurodeploy.target import load
from tests import transformers_small as small
from tests.fast import fast
from tests.later import Tensor, modules, nn, torch, torch_export, torch_fx
from tests.later import transformer_modules as parts


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> None:
    torch.set_num_threads(1)


def imported(network: nn.Module, **more: Any) -> Graph:
    length = getattr(network, "input_tokens", None)
    if length is not None:
        return torch_export.import_module(network, InputSpec((length,), tokens=True), **more)
    return torch_export.import_module(network, InputSpec(network.input_shape, 1 / 64, -2.0), **more)


@cache
def simplified(name: str) -> Graph:
    """The graph of a family: exporting takes most of the time of these tests."""
    return passes.simplify(imported(small.family(name)))


def drawn(graph: Graph, count: int = 3, stream: int = 0) -> np.ndarray:
    graph = graph if samples.tokens(graph) else with_range(graph, 255)
    return samples.Synthetic(graph, seed=stream).calibration(count)


def expected(network: nn.Module, graph: Graph, raw: np.ndarray) -> np.ndarray:
    ids = samples.tokens(graph) is not None
    x = torch.tensor(raw.argmax(-1)) if ids else torch.tensor(raw / 64 - 2.0)
    with inference():
        return network(x).numpy()


#: one of every kind of attention, mask, position and pooling; the others differ from these in one detail
FEW = (
    "timm DeiT, distilled", "timm ViT, mean, norms of q and k", "BERT, padded", "GPT-2",
    "TransformerEncoder, pre-norm, padded", "BERT, fused attention, hides what its ids say", "LLaMA",
)  # fmt: skip


@pytest.mark.parametrize("name", fast(small.FAMILIES, *FEW))
def test_float_graph_equals_torch_and_every_node_names_a_module(name: str) -> None:
    network = small.family(name).double()
    graph = imported(network)
    raw = drawn(graph)
    for form in (graph, passes.simplify(graph)):
        assert not levels.verify(form, "source")
        np.testing.assert_allclose(
            interp.run(form, raw).outputs[0], expected(network, graph, raw), rtol=1e-6, atol=3e-6
        )
    assert torch.backends.mha.get_fastpath_enabled()
    modules = {path for path, _ in network.named_modules()}
    for node in passes.simplify(graph):
        if not isinstance(node, Input):
            places = [o.path in modules and o.file and o.line for o in node.origin]
            assert places and all(places), node.name


def test_torch_own_layers_are_named_by_their_parameters() -> None:
    graph = simplified("TransformerEncoder, post-norm")
    paths = {o.path for node in graph.of(Synapse, Micro) for o in node.origin}
    for layer in ("encoder.layers.0", "encoder.layers.1"):
        assert {
            f"{layer}.{part}" for part in ("self_attn", "self_attn.out_proj", "linear1", "norm2")
        } <= paths
        assert layer in paths  # its activation has no parameters


ROTARY = [name for name in small.FAMILIES if name.startswith(("LLaMA", "GPT-NeoX"))]


@pytest.mark.parametrize(
    ("name", "by"),
    fast(
        [*((name, "ecmt") for name in small.FAMILIES), *((name, "pmsm") for name in ROTARY)],
        *(("timm DeiT III, layer scale", "ecmt"), ("TransformerEncoder, ReLU", "ecmt"), ("LLaMA", "pmsm")),
    ),
)
def test_converted_and_quantized_runs_like_the_interpreter(name: str, by: str) -> None:
    graph = simplified(name)
    graph = graph if samples.tokens(graph) else with_range(graph, 255)
    method = METHODS[by]
    calibrated = {"base_scale": 0.3, "rule": "nearest", "softmax_base": None, "gelu_base": None}
    _, options = method.configure(calibrated if by == "ecmt" else {})
    spiking = method.rewrite(graph, options, drawn(graph, 6), 4 if by == "ecmt" else 1)
    assert spiking.of(Neuron)
    integer = quantize(spiking, calibrate.measure(spiking, drawn(graph, 6)), lambda node: 8)
    assert not levels.verify(integer, "integer")
    raw = drawn(graph, 3, stream=1)
    assert compare.verify(Program(integer), raw, ("cpu",)).equal
    found = compare.usable("cpu").run(Program(integer), raw)[0].outputs[-1]
    near = compare.agreement(interp.run(graph, raw, timesteps=1).outputs[-1], found)
    assert near["cosine"] > 0.9, near


@pytest.mark.parametrize(
    ("act", "op", "params"),
    [
        ("NewGelu", "gelu", {"approximate": "tanh"}),
        ("ErfGelu", "gelu", {"approximate": "none"}),
        ("QuickGelu", "quick_gelu", {}),
    ],
)
def test_spelled_out_functions_are_one_operator(act: str, op: str, params: dict) -> None:
    graph = imported(parts.Bert(act=getattr(parts, act), depth=1))
    (node,) = (n for n in graph.of(Micro) if n.op not in ("layer_norm", "softmax"))
    assert (node.op, dict(node.params)) == (op, params)
    assert node.origin[0].path == "layer.0.act"


def _by_deviation(x: Tensor) -> Tensor:
    mean = x.mean(-1, keepdim=True)
    return (x - mean) / torch.sqrt((x - mean).pow(2).mean(-1, keepdim=True) + 1e-6)


NORMS: dict[str, tuple[Callable[[Tensor], Tensor], str, float]] = {
    "mean of squares": (lambda x: x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-3), "rms_norm", 1e-3),
    "power of a square": (
        lambda x: x * (1e-2 + (x * x).mean(dim=-1, keepdim=True)) ** -0.5,
        "rms_norm",
        1e-2,
    ),
    "deviation": (_by_deviation, "layer_norm", 1e-6),
    "variance": (
        lambda x: (
            (x - x.mean(-1, keepdim=True)) * (x.var(dim=-1, unbiased=False, keepdim=True) + 1e-5).rsqrt()
        ),
        "layer_norm",
        1e-5,
    ),
}


@pytest.mark.parametrize("front_end", ["fx", "export"])
@pytest.mark.parametrize("name", NORMS)
def test_spelled_out_norms_are_one_operator(name: str, front_end: str) -> None:
    function, op, eps = NORMS[name]
    network = modules.Spelled(function).double().eval()
    graph = (
        torch_fx.import_module(network, InputSpec(network.input_shape, 0.25))
        if front_end == "fx"
        else torch_export.import_module(network, InputSpec(network.input_shape, 0.25))
    )
    (node,) = graph.of(Micro)
    assert (node.op, node.params["eps"]) == (op, eps)
    raw = np.random.default_rng(1).integers(0, 9, (4, *network.input_shape))
    found = interp.run(graph, raw, timesteps=1).outputs[-1]
    with torch.no_grad():
        expected = network(torch.tensor(raw, dtype=torch.float64) * 0.25).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


def test_a_norm_by_the_unbiased_variance_is_refused() -> None:
    network = modules.Spelled(
        lambda x: (x - x.mean(-1, keepdim=True)) / torch.sqrt(x.var(-1, keepdim=True) + 1e-5)
    )
    with pytest.raises(ImportModelError) as caught:
        torch_export.import_module(network.eval(), InputSpec(network.input_shape))
    assert {p.code for p in caught.value.problems} == {"ND101"}


def test_a_function_that_is_nearly_a_gelu_is_taken_for_none() -> None:
    class Near(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x * torch.sigmoid(1.71 * x)

    network = parts.Bert(act=Near)
    graph = imported(network)
    assert {"gelu", "quick_gelu", "silu"}.isdisjoint(node.op for node in graph.of(Micro))
    raw = drawn(graph)
    np.testing.assert_allclose(
        interp.run(graph, raw).outputs[0], expected(network, graph, raw), rtol=1e-6, atol=3e-6
    )


def test_a_part_that_is_read_elsewhere_is_not_swallowed() -> None:
    class Shared(nn.Module):
        input_shape = (3, 4, 4)

        def forward(self, x: Tensor) -> Tensor:
            gate = torch.sigmoid(1.702 * x)
            return x * gate + gate

    network = Shared().eval()
    graph = imported(network)
    raw = drawn(graph)
    np.testing.assert_allclose(
        interp.run(graph, raw).outputs[0], expected(network, graph, raw), rtol=1e-6, atol=1e-6
    )


@pytest.mark.parametrize("name", fast(ROTARY, "LLaMA"))
def test_rotary_positions_are_two_gates_whose_factors_all_heads_share(name: str) -> None:
    network = small.family(name)
    graph = passes.simplify(imported(network))
    own = network.layers[0].attn
    gates = [n for n in graph.of(Synapse) if n.op == "conv" and n.origin[-1].path == "layers.0.attn"]
    assert (
        len(gates) == 4
    )  # cosines and sines of q and of k; the sign of the half that is swapped is in the sines
    assert {n.weight.size for n in gates} == {small.TOKENS * own.rotary}
    assert [graph.shape(n.name)[1] for n in gates] == [own.heads] * 2 + [own.groups] * 2


@pytest.mark.parametrize("name", fast(ROTARY, "LLaMA"))
def test_every_layer_of_a_rotary_decoder_but_the_head_reads_spikes(name: str) -> None:
    graph = simplified(name)
    method = METHODS["pmsm"]
    spiking = method.rewrite(graph, method.configure({})[1], drawn(graph, 6), 1)
    integer = quantize(spiking, calibrate.measure(spiking, drawn(graph, 6)), lambda node: 8)
    driven = lambda node: all(integer.values[i].code.spiking for i in node.inputs)
    assert [node.name for node in integer.of(Synapse, Product) if not driven(node)] == ["head"]


DECODERS = [name for name in small.FAMILIES if name.startswith(("GPT-2", "LLaMA", "GPT-NeoX"))]


@pytest.mark.parametrize("name", fast(DECODERS, "GPT-2"))
def test_what_a_decoder_hides_is_left_out_and_no_token_waits_for_a_later_one(name: str) -> None:
    graph, method = simplified(name), METHODS["ecmt"]
    calibrated = {"base_scale": 0.3, "rule": "nearest", "softmax_base": None, "gelu_base": None}
    spiking = method.rewrite(graph, method.configure(calibrated)[1], drawn(graph, 6), 4)
    whole = quantize(spiking, calibrate.measure(spiking, drawn(graph, 6)), lambda node: 8)
    less, raw = leave_out(whole), drawn(graph, 3, stream=1)
    hidden = {n.name: n.shown[1] for n in less.of(Product) if n.shown}
    assert len(hidden) == 3  # all but the last: the last token alone is read out, and sees all
    assert all(np.array_equal(table, np.tril(np.ones_like(table))) for table in hidden.values())
    target = load("loihi-sim")
    turned = prepared(less, target, 1)
    wanted = interp.run(turned, raw).outputs
    assert np.array_equal(wanted, interp.run(whole, raw).outputs)
    mapping = encode(turned, map_graph(turned, target), target)
    assert compare.verify(Program(turned, mapping), raw, ("cpu", "loihi-sim")).equal
    if name.startswith("GPT-2"):  # gates of rotary positions put queries and keys in space, where they wait
        late = turns(turned)
        products = [n for n in turned.of(Product) if n.name in hidden]
        assert {late.wait(n, i) for n in products for i in range(2)} == {0}
        assert lag(turned) < lag(prepared(whole, target, 1))


def test_token_ids_enter_as_one_spike_each() -> None:
    network = small.family("BERT")
    graph = imported(network)
    note = {"length": small.TOKENS, "vocabulary": small.VOCABULARY, "hidden": []}
    assert graph.header.notes["tokens"] == note
    assert graph.shape("input") == (small.TOKENS, small.VOCABULARY)
    table = graph.nodes["word_embeddings"].weight
    np.testing.assert_array_equal(table, network.word_embeddings.weight.detach().numpy().T)
    raw = drawn(graph, 5)
    assert ((raw == 1).sum(axis=-1) == 1).all() and set(np.unique(raw)) == {0, 1}
    np.testing.assert_array_equal(samples.one_hot(graph, raw.argmax(-1)), raw)
    with pytest.raises(SimulateError) as caught:
        samples.one_hot(graph, np.array([[0, small.VOCABULARY]]))
    assert caught.value.problems[0].code == "ND603"


def test_ids_used_as_numbers_are_refused_with_every_place() -> None:
    class Positions(nn.Module):
        """RoBERTa's positions, counted from the ids; and ids that are compared with their places."""

        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(9, 4)

        def forward(self, ids: Tensor) -> Tensor:
            same = ids.eq(torch.arange(6)).unsqueeze(-1)
            return self.embedding(ids) * same + torch.cumsum(ids, 1).unsqueeze(-1)

    with pytest.raises(ImportModelError) as caught:
        torch_export.import_module(Positions(), InputSpec((6,), tokens=True))
    assert {p.found for p in caught.value.problems} >= {"eq", "cumsum"}
    assert all("token ids" in p.cause and "test_transformers.py" in p.where for p in caught.value.problems)


def test_masked_scores_feed_a_softmax_alone() -> None:
    class Odd(nn.Module):
        input_shape = (3, 4, 4)

        def forward(self, x: Tensor) -> Tensor:
            return (x + torch.tensor([0.0, -1e9, 0.0, 0.0])).mean(-1)

    with pytest.raises(ImportModelError) as caught:
        imported(Odd())
    assert "softmax" in caught.value.problems[0].cause


def test_one_large_negative_number_is_no_mask() -> None:
    class Shift(nn.Module):
        input_shape = (3, 4, 4)

        def forward(self, x: Tensor) -> Tensor:
            return (x + -20000.0).mean(-1)

    network = Shift()
    graph = imported(network)
    raw = drawn(graph)
    np.testing.assert_allclose(interp.run(graph, raw).outputs[0], expected(network, graph, raw), rtol=1e-6)


def test_every_unsupported_operator_of_a_model_is_listed() -> None:
    class Block(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.sin(x) + torch.cumprod(x, 1)

    network = parts.TimmVit(act=Block)
    with pytest.raises(ImportModelError) as caught:
        imported(network)
    assert {p.found for p in caught.value.problems} == {"sin", "cumprod"}
    for problem in caught.value.problems:
        assert (
            problem.where.startswith("blocks.0.mlp.act [")
            and "1 more place" in problem.where
            and problem.fixes
        )


@pytest.mark.slow  # 7 s
def test_py_and_pt2_forms(tmp_path: Any) -> None:
    model = resolve.resolve("py:tests.transformers_small:bert")
    graph = resolve.source_graph(model)
    assert samples.tokens(graph) == (small.TOKENS, small.VOCABULARY)
    ids = torch.zeros(2, small.TOKENS, dtype=torch.int64)
    with inference():
        program = torch.export.export(small.bert(), (ids,))
    torch.export.save(program, tmp_path / "bert.pt2")
    loaded = resolve.source_graph(resolve.resolve(str(tmp_path / "bert.pt2")))
    raw = drawn(graph)
    np.testing.assert_allclose(
        interp.run(loaded, raw).outputs[0], interp.run(graph, raw).outputs[0], atol=1e-6
    )
    image = resolve.source_graph(resolve.resolve("py:tests.transformers_small:timm_vit"))
    assert len(image.of(Output)) == 1 and image.shape("output") == (5,)
