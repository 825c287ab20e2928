"""The models of the zoo, and other families' block shapes, from torch to a source graph that equals them."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from neurodeploy import passes
from neurodeploy.frontends.input_spec import InputSpec
from neurodeploy.ir import interp, levels
from neurodeploy.ir.graph import Graph
from neurodeploy.ir.nodes import Micro, Neuron, Product, Reduce, Sum, Synapse, View
from neurodeploy.sources import resolve, zoo
from tests.fast import fast
from tests.later import torch, torch_export, torch_fx
from tests.zoo_data import trained

RAW = np.random.default_rng(3).integers(0, 17, (16, 1, 8, 8))


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> None:
    torch.set_num_threads(1)


def random_network(name: str, **arguments: object) -> torch.nn.Module:
    """The zoo's network with random weights and statistics in float64; spikes need larger weights than a fresh one."""
    torch.manual_seed(5)
    entry = zoo.entry(name)
    table = {**entry.model.arguments, **arguments}
    network = getattr(zoo.submodule(entry.model.module), entry.model.factory)(**table).double().eval()
    with torch.no_grad():
        for key, value in network.state_dict().items():
            if value.is_floating_point():
                value.copy_(
                    0.5 + torch.rand_like(value)
                    if "var" in key
                    else value * 2 + 0.2 * torch.randn_like(value)
                )
    return network


def every_tick(network: torch.nn.Module, timesteps: int) -> np.ndarray:
    """Mean logits after each tick, from torch."""
    spiking = zoo.submodule("spiking")
    with torch.no_grad():
        ticks = spiking.run(network, torch.tensor(RAW, dtype=torch.float64) / 16, timesteps).numpy()
    return np.cumsum(ticks, 0) / np.arange(1, timesteps + 1)[:, None, None]


@pytest.mark.parametrize(
    "arguments",
    fast([{}, {"pool": "mean"}, {"fused": True}, {"depth": 1, "heads": 8}], {"pool": "mean"}),
    ids=str,
)
def test_vit_equals_torch(arguments: dict) -> None:
    network = random_network("digits-vit", **arguments)
    graph = torch_export.import_module(network, InputSpec((1, 8, 8), 1 / 16))
    with torch.no_grad():
        expected = network(torch.tensor(RAW, dtype=torch.float64) / 16).numpy()
    for form in (graph, passes.simplify(graph)):
        np.testing.assert_allclose(interp.run(form, RAW).outputs[0], expected, rtol=1e-9, atol=1e-9)


STEM = {"image_size": 16, "patch": 8, "stem": ((4, 2), (6, 1), (12, 2), (16, 2)), "dim": 16, "depth": 2}


def test_convolutional_stem_equals_torch_and_holds_no_batch_norm() -> None:
    network = random_network("cifar10-vit", **STEM)
    raw = np.random.default_rng(7).integers(0, 256, (4, 3, 16, 16))
    graph = torch_export.import_module(network, InputSpec((3, 16, 16), 1 / 256))
    with torch.no_grad():
        expected = network(torch.tensor(raw, dtype=torch.float64) / 256).numpy()
    simple = passes.simplify(graph)
    for form in (graph, simple):
        np.testing.assert_allclose(interp.run(form, raw).outputs[0], expected, rtol=1e-9, atol=1e-9)
    assert [s.op for s in simple.of(Synapse)].count("conv") == 4  # each with its batch norm in it
    assert all(s.op in ("conv", "dense") and s.weight.ndim > 1 for s in simple.of(Synapse))


@pytest.mark.parametrize(
    "arguments", [{}, {"attn_out_sn": False}, {"attn_proj": False}, {"stages": (8, 16, 32)}], ids=str
)
def test_a2os2a_equals_torch_at_every_tick(arguments: dict) -> None:
    network = random_network("digits-a2os2a", **arguments)
    graph = torch_fx.import_module(network, InputSpec((1, 8, 8), 1 / 16, timesteps=4))
    expected = every_tick(network, 4)
    assert len(np.unique(expected.round(9))) > 100
    for form in (graph, passes.simplify(graph)):
        np.testing.assert_allclose(interp.run(form, RAW).outputs, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", fast(trained(), "digits-a2os2a", "digits-vit"))
def test_committed_weights_give_torch_logits(name: str) -> None:
    entry = zoo.entry(name)
    network = zoo.load(name).double()
    graph = passes.simplify(resolve.source_graph(resolve.resolve(name)))
    frames = entry.input.frames or entry.kind == "sequence"
    lead, levels = (8, entry.timesteps) if frames else (8,), round(1 / entry.input.scale[0])
    raw = np.random.default_rng(4).integers(0, levels + 1, (*lead, *entry.input.shape))
    if entry.kind == "sequence":
        raw = np.eye(entry.input.shape[0], dtype=np.int64)[raw.argmax(-1)]  # one token each
    found = interp.run(graph, raw).outputs[-1]
    x = torch.tensor(raw, dtype=torch.float64) * entry.input.scale[0] + entry.input.offset[0]
    with torch.no_grad():
        if entry.kind == "sequence":
            expected = zoo.submodule("sequences").run(network, x.transpose(0, 1))[-1].numpy()
        elif entry.kind == "snn":
            expected = zoo.submodule("spiking").run(network, x, entry.timesteps).mean(0).numpy()
        else:
            expected = network(x).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def counts(graph: Graph) -> dict[type, int]:
    return {kind: len(graph.of(kind)) for kind in (Synapse, Neuron, Product, Sum, Reduce, Micro)}


def test_simplified_vit_has_the_nodes_of_its_equations() -> None:
    graph = passes.simplify(
        torch_export.import_module(random_network("digits-vit"), InputSpec((1, 8, 8), 1 / 16))
    )
    # per block: q, k, v, out, two of the MLP; two products; two sums; softmax, GELU, two norms. Then patch, head,
    # the sum with the embedding, the last norm.
    assert counts(graph) == {Synapse: 14, Neuron: 0, Product: 4, Sum: 5, Reduce: 0, Micro: 9}
    assert [p.scale for p in graph.of(Product)] == [0.25, 1.0, 0.25, 1.0]
    assert graph.shape("blocks.0.norm2") == (17, 64)
    assert graph.shape("blocks.1.norm2") == (1, 64)  # only the class token is read after the last attention
    assert graph.nodes["concat.pad"].op == "pad"
    for part in range(3):
        reshape, permute = (graph.nodes[f"blocks.0.attn.qkv.{part}.{op}"] for op in ("reshape", "permute"))
        assert (reshape.inputs, permute.inputs) == ((f"blocks.0.attn.qkv.{part}",), (reshape.name,))


def test_simplified_a2os2a_has_no_view_between_synapse_and_neuron() -> None:
    graph = passes.simplify(
        torch_fx.import_module(random_network("digits-a2os2a"), InputSpec((1, 8, 8), 1 / 16, timesteps=4))
    )
    assert counts(graph) == {Synapse: 16, Neuron: 17, Product: 4, Sum: 5, Reduce: 2, Micro: 0}
    for node in graph.of(Neuron, Sum):
        views = [i for i in node.inputs if isinstance(graph.nodes[i], View)]
        assert not views or node.name == "blocks.0.add", node.name  # there the image becomes tokens
    assert all(s.bias is not None for s in graph.of(Synapse))


@pytest.mark.parametrize("name", fast(trained(), "digits-a2os2a", "digits-vit"))
def test_headers_and_edges_are_complete(name: str) -> None:
    model = resolve.resolve(name)
    graph = resolve.source_graph(model)
    header = graph.header
    entry, neurons = zoo.entry(name), header.notes["contains_neurons"]
    # Counts of one tick are found as quantisers, which hold no state.
    assert neurons or not (model.spiking and model.timesteps > 1)
    ticks = model.timesteps if neurons else 1
    assert (header.name, header.level, header.timesteps) == (name, "source", ticks)
    assert graph.output.readout == (entry.readout if neurons else "sum")
    roles, shown = graph.values["output"].shape.roles, graph.values["input"].shape.roles
    assert roles == ("K",) if entry.weights.correct else len(roles) == 3  # an image
    assert shown == ("C", "Y", "X") if len(entry.input.shape) == 3 else len(shown) == len(entry.input.shape)
    assert not levels.verify(graph, "source")
    for node in passes.simplify(graph):
        assert node.origin, node.name
        assert node.name == "input" or all(o.file.endswith(".py") and o.line for o in node.origin), node.name
        assert all("/" not in o.file for o in node.origin)


def test_origin_names_module_operator_and_line() -> None:
    graph = resolve.source_graph(resolve.resolve("digits-a2os2a"))
    (origin,) = graph.nodes["blocks.1.attn.q_proj.0"].origin
    line = (zoo.models_folder() / "a2os2a.py").read_text(encoding="utf-8").splitlines()[origin.line - 1]
    assert (origin.path, origin.op, origin.file) == ("blocks.1.attn.q_proj.0", "conv1d", "a2os2a.py")
    assert "q_proj" in line


def test_offset_that_is_no_whole_number_of_pixels_becomes_a_bias() -> None:
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 2, stride=2), torch.nn.Flatten()).double()
    scale, offset = np.array([0.25, 0.5, 1.0]) / 64, np.array([-0.1, -0.203, 0.3])
    graph = torch_export.import_module(network, InputSpec((3, 4, 4), scale, offset))
    raw = np.random.default_rng(0).integers(0, 256, (2, 3, 4, 4))
    x = raw * scale[:, None, None] + offset[:, None, None]
    for form in (graph, passes.simplify(graph)):
        np.testing.assert_allclose(
            interp.run(form, raw).outputs[0], network(torch.tensor(x)).detach().numpy(), atol=1e-12
        )
    assert graph.input.zero.dtype == np.int64
    assert not passes.simplify(graph).of(Sum)


def test_tracing_leaves_the_module_as_it_was() -> None:
    class Noisy(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + torch.ones(8, dtype=x.dtype)

    network = Noisy()
    graph = torch_fx.import_module(network, InputSpec((1, 8, 8)))
    assert set(vars(network)) == set(vars(Noisy().eval()))
    np.testing.assert_array_equal(interp.run(graph, RAW).outputs[0], RAW + 1.0)


def test_torch_own_transformer_layers_are_taken_apart() -> None:
    """They join tokens and batch in one axis, tokens outside."""

    class Encoder(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, activation="gelu")
            self.attention = torch.nn.MultiheadAttention(8, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            tokens = self.layer(x[:, 0]).transpose(0, 1)
            return self.attention(tokens, tokens, tokens, need_weights=False)[0].mean(0)

    torch.manual_seed(0)
    network = Encoder().double().eval()
    graph = torch_export.import_module(network, InputSpec((1, 8, 8), 1 / 16))
    with torch.no_grad():
        expected = network(torch.tensor(RAW, dtype=torch.float64) / 16).numpy()
    for form in (graph, passes.simplify(graph)):
        np.testing.assert_allclose(interp.run(form, RAW).outputs[0], expected, atol=1e-12)
    assert counts(form) == {Synapse: 10, Neuron: 0, Product: 4, Sum: 2, Reduce: 1, Micro: 5}


def test_module_paths_are_kept_behind_a_trace() -> None:
    """Where a trace is what first imports the parts of torch that export uses, they must not keep the trace's calls."""
    program = """if True:
        import torch
        from torch import nn
        from neurodeploy.frontends import torch_export, torch_fx
        from neurodeploy.frontends.input_spec import InputSpec

        class Shifted(nn.Module):
            def __init__(self):
                super().__init__()
                self.register_buffer("shift", torch.ones(8))

            def forward(self, x):
                return x + self.shift.clone()

        torch_fx.import_module(Shifted(), InputSpec((1, 8, 8)))
        inner = nn.Sequential(nn.Flatten(), nn.Linear(64, 4))
        print(*torch_export.import_module(nn.Sequential(inner, nn.ReLU()), InputSpec((1, 8, 8))).nodes)
    """
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["input", "0.0.reshape", "0.1", "1", "output"], done.stdout + done.stderr
