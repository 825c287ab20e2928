"""Networks that were trained with quantisers: imported as such, taken over without loss."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from neurodeploy import calibrate, compare, passes, quantize
from neurodeploy.convert import natural
from neurodeploy.convert._base import METHODS
from neurodeploy.convert._sites import is_quantised, is_quantiser, sites
from neurodeploy.errors import ImportModelError
from neurodeploy.frontends.input_spec import InputSpec
from neurodeploy.ir import interp
from neurodeploy.ir.graph import Graph
from neurodeploy.ir.nodes import Neuron
from neurodeploy.neurons.multi_spike import COUNT_MAX
from neurodeploy.program import Program
from neurodeploy.sources import resolve, zoo
from tests.fast import fast
from tests.later import Later, Tensor, modules, nn, torch, torch_export

prove = Later("neurodeploy.frontends.proof.prove")
quantiser = Later("quantiser", zoo.submodule)
SHAPE = (1, 8, 8)


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> None:
    torch.set_num_threads(1)


def raw(samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 17, (samples, *SHAPE))


def network(levels: int = 3, stem: tuple = ()) -> nn.Module:
    torch.manual_seed(3)
    made = zoo.submodule("vit").VisionTransformer(
        dim=16, depth=1, heads=2, mlp_ratio=2, quantise=True, stem=stem
    )
    made = made.double().eval()
    pixels = torch.tensor(raw(32, seed=9), dtype=torch.float64) / 16
    quantiser.initialise(made, lambda: made(pixels), levels, "mse")
    return made


def imported(made: nn.Module) -> Graph:
    return passes.simplify(torch_export.import_module(made, InputSpec(SHAPE, 1 / 16)))


def convert(method: str, graph: Graph, timesteps: int) -> Graph:
    found = METHODS[method]
    assert not found.accept(graph)
    _, options = found.configure({})
    return found.rewrite(graph, options, raw(32, seed=9), timesteps)


def run(graph: Graph, x: np.ndarray, timesteps: int | None = None) -> np.ndarray:
    return interp.run(graph, x, timesteps=timesteps).outputs[-1]


@pytest.fixture(scope="module")
def made() -> nn.Module:
    return network()


@pytest.fixture(scope="module")
def graph(made: nn.Module) -> Graph:
    return imported(made)


def steps(graph: Graph) -> list[tuple[float, int, int]]:
    return sorted((n.params["step"], n.params["positive"], n.params["negative"]) for n in graph.of(Neuron))


def test_the_source_graph_is_the_quantised_network(made: nn.Module, graph: Graph) -> None:
    x = raw(8)
    with torch.no_grad():
        expected = made(torch.tensor(x, dtype=torch.float64) / 16).numpy()
    np.testing.assert_allclose(run(graph, x, 1), expected, rtol=1e-9, atol=1e-9)
    trained = [m for m in made.modules() if isinstance(m, quantiser.Quantiser)]
    assert len(trained) == 8
    assert steps(graph) == sorted((float(q.step), int(q.high), -int(q.low)) for q in trained)
    assert is_quantised(graph) and natural(graph).name == "pmsm"
    assert all(is_quantiser(graph.nodes[site]) for site in sites(graph))


@pytest.mark.parametrize("method", ["pmsm", "native"])
def test_one_tick_is_the_quantised_network_bit_for_bit(graph: Graph, method: str) -> None:
    x = raw(16)
    spiking = convert(method, graph, 1)
    assert steps(spiking) == steps(graph)
    np.testing.assert_array_equal(run(spiking, x), run(graph, x, 1))


def test_later_ticks_carry_the_residue() -> None:
    made = network(levels=15)
    for module in made.modules():
        if isinstance(module, quantiser.Quantiser):
            module.step.data *= 2  # so that nothing is clipped, which no later tick brings back
    graph, x = imported(made), raw(16)
    exact = run(replace_neurons(graph), x, 1)
    far = lambda ticks: np.abs(run(convert("pmsm", graph, ticks), x) / ticks - exact).mean()
    assert far(8) < 0.4 * far(1)


def replace_neurons(graph: Graph) -> Graph:
    """The network without its quantisers: steps so small and counts so many that nothing is lost."""
    fine = {"step": 1e-9, "positive": 10**12, "negative": 10**12}
    nodes = {n.name: replace(n, params=fine) if isinstance(n, Neuron) else n for n in graph}
    return Graph(nodes, graph.values, graph.header)


def test_spikezip_walks_to_the_quantised_network_and_rests(graph: Graph) -> None:
    x = raw(16)
    spiking = convert("spikezip", graph, 30)
    tracers = [n for n in spiking.of(Neuron) if n.model == "signed_tracer"]
    assert sorted((n.params["step"], n.params["positive"], n.params["negative"]) for n in tracers) == steps(
        graph
    )
    trace = interp.run(spiking, x, record=[n.name for n in tracers])
    assert not any(trace.values[n.name][-1].any() for n in tracers)
    np.testing.assert_allclose(trace.outputs[-1], run(graph, x, 1), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("method", "timesteps"), fast([("pmsm", 1), ("pmsm", 3), ("spikezip", 4)], ("pmsm", 3))
)
def test_integers_agree_with_the_interpreter_and_follow_the_floats(
    graph: Graph, method: str, timesteps: int
) -> None:
    spiking = convert(method, graph, timesteps)
    integer = quantize.quantize(spiking, calibrate.measure(spiking, raw(32, seed=9)), lambda node: 8)
    x = raw(12)
    assert compare.verify(Program(integer), x, ("cpu",)).equal
    a, b = run(spiking, x), run(integer, x)
    assert np.mean([np.corrcoef(p.ravel(), q.ravel())[0, 1] for p, q in zip(a, b, strict=True)]) > 0.95


@pytest.mark.parametrize("method", ["ecmt", "dcgs"])
def test_other_methods_refuse_quantisers_and_name_the_one(graph: Graph, method: str) -> None:
    (problem,) = METHODS[method].accept(graph)
    assert (
        problem.code == "ND304" and "quantisers" in problem.cause and problem.fixes == ("use --method pmsm",)
    )


def test_a_site_without_quantiser_gets_one() -> None:
    made = network()
    made.blocks[0].mlp.hidden_q = nn.Identity()
    graph = imported(made)
    spiking = convert("pmsm", graph, 1)
    assert len(graph.of(Neuron)) == 7 and len(spiking.of(Neuron)) == 8
    assert all(spiking.nodes[n.name].params == n.params for n in graph.of(Neuron))


# --- what is understood as a quantiser ---------------------------------------------------------------------------


def around(function: Callable[[nn.Module, Tensor], Tensor]) -> nn.Module:
    """A dense layer behind whatever ``function`` does to its input."""

    class Around(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.out = nn.Linear(8, 4)
            self.register_buffer("scale", torch.tensor([0.3], dtype=torch.float64))
            self.register_buffer("zero", torch.tensor([0], dtype=torch.int32))

        def forward(self, x: Tensor) -> Tensor:
            return self.out(function(self, x + 0.011))

    return Around()


def straight_through(s: nn.Module, x: Tensor) -> Tensor:
    """The usual way to write LSQ."""
    inside = (x / s.scale).clamp(-4, 3)
    return ((inside.round() - inside).detach() + inside) * s.scale


def pt2e(x: Tensor, scale: float, back: float) -> Tensor:
    """The pair of operators of torch's quantisation of exported programs; they take float32 alone."""
    from torch.ao.quantization.fx import _decomposed  # noqa: F401  registers the operators

    ops = torch.ops.quantized_decomposed
    counts = ops.quantize_per_tensor(x.float(), scale, 0, -4, 3, torch.int8)
    return ops.dequantize_per_tensor(counts, back, 0, -4, 3, torch.int8).double()


FORMS: dict[str, tuple[Callable[[nn.Module, Tensor], Tensor], tuple[float, int, int]]] = {
    "torch": (lambda s, x: torch.fake_quantize_per_tensor_affine(x, 0.3, 0, -4, 3), (0.3, 3, 4)),
    "torch with a zero point": (
        lambda s, x: torch.fake_quantize_per_tensor_affine(x, 0.3, 2, 0, 15),
        (0.3, 13, 2),
    ),
    "torch with tensors": (
        lambda s, x: torch.fake_quantize_per_tensor_affine(x, s.scale.float(), s.zero, -4, 3),
        (0.3, 3, 4),
    ),
    "export quantisation": (lambda s, x: pt2e(x, 0.3, 0.3), (0.3, 3, 4)),
    "clamp then round": (straight_through, (0.3, 3, 4)),
    "floor then clamp": (lambda s, x: 0.25 * (x * 4 + 0.5).floor().clamp(min=0, max=15), (0.25, 15, 0)),
    "counts": (lambda s, x: torch.round(x * 4).clamp(-3, 3), (1.0, 3, 3)),
    "minimum and maximum": (
        lambda s, x: torch.round(torch.clamp_max(torch.clamp_min(x, -0.5), 0.5) / 0.125) * 0.125,
        (0.125, 4, 4),
    ),
}


#: torch's own of 8 bits, whose halves are met where the step is a power of two
BYTES: dict[str, Callable[[nn.Module, Tensor], Tensor]] = {
    "signed": lambda s, x: torch.fake_quantize_per_tensor_affine(x, 1 / 64, 0, -128, 127),
    "unsigned": lambda s, x: torch.fake_quantize_per_tensor_affine(x, 1 / 128, 0, 0, 255),
    "affine": lambda s, x: torch.fake_quantize_per_tensor_affine(x, 0.011, 97, 0, 255),
    "affine, most below": lambda s, x: torch.fake_quantize_per_tensor_affine(x, 1 / 64, 120, -128, 127),
    "a scale for each channel": lambda s, x: torch.fake_quantize_per_channel_affine(
        x, torch.linspace(0.005, 0.03, x.shape[1]), torch.zeros(x.shape[1], dtype=torch.int32), 1, -128, 127
    ),
    "a scale for each column": lambda s, x: torch.fake_quantize_per_channel_affine(
        x,
        torch.linspace(0.01, 0.03, x.shape[3]),
        torch.full((x.shape[3],), 100, dtype=torch.int32),
        3,
        0,
        255,
    ),
}


@pytest.mark.parametrize("name", BYTES)
def test_quantisers_of_torch_of_eight_bits(name: str) -> None:
    """All levels, both ends and halves; torch rounds in single precision, so that numbers are far from other halves."""
    made = modules.Apply(lambda s, x: BYTES[name](s, x.float()).to(x.dtype)).double().eval()
    halves = name in ("signed", "unsigned", "affine, most below")
    scale, offset = (1 / 128, -2.5) if halves else (0.0077137, -2.4931)
    graph = torch_export.import_module(made, InputSpec(SHAPE, scale, offset))
    x = np.random.default_rng(0).integers(0, 641, (40, *SHAPE))
    with torch.no_grad():
        wanted = made(torch.tensor(x, dtype=torch.float64) * scale + offset).numpy()
    np.testing.assert_allclose(run(graph, x, 1), wanted, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(run(passes.simplify(graph), x, 1), wanted, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", FORMS)
def test_quantisers_are_found_however_they_are_written(name: str) -> None:
    function, expected = FORMS[name]
    made = around(function).double().eval()
    graph = torch_export.import_module(made, InputSpec(SHAPE, 1 / 16, -0.7))
    (neuron,) = graph.of(Neuron)
    found = (neuron.params["step"], neuron.params["positive"], neuron.params["negative"])
    assert neuron.model == ("multi_spike" if name == "floor then clamp" else "integer_lif")
    assert found == pytest.approx(expected)
    x = raw(6)
    with torch.no_grad():
        value = made(torch.tensor(x, dtype=torch.float64) / 16 - 0.7).numpy()
    np.testing.assert_allclose(run(graph, x, 1), value, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    "function",
    [
        lambda s, x: torch.round(torch.clamp(x, min=0, max=4)) / 4,
        lambda s, x: torch.fake_quantize_per_tensor_affine(x, 0.5, 0, -4, 3),
        lambda s, x: torch.floor(torch.clamp(x, 0, 4) + 0.5),
    ],
    ids=["rounded", "fake", "floored"],
)
def test_halves_go_where_torch_sends_them(function: Callable[[nn.Module, Tensor], Tensor]) -> None:
    made = modules.Apply(function).double().eval()
    graph = torch_export.import_module(made, InputSpec(SHAPE, 0.25, -2.0))
    x = np.arange(17).repeat(4)[: np.prod(SHAPE)].reshape(1, *SHAPE)
    wanted = made(torch.tensor(x * 0.25 - 2.0)).numpy()
    np.testing.assert_array_equal(run(graph, x, 1), wanted)


@pytest.mark.parametrize(
    "function",
    [
        lambda s, x: torch.fake_quantize_per_tensor_affine(x, 0.001, 0, -COUNT_MAX - 2, COUNT_MAX + 1),
        lambda s, x: torch.fake_quantize_per_channel_affine(
            x, torch.full((8,), 0.3), torch.arange(8, dtype=torch.int32), 3, -4, 9
        ),
        lambda s, x: pt2e(x, 0.3, 0.4),
        lambda s, x: torch.round(x),
        lambda s, x: torch.ceil(torch.clamp(x, 0, 4) - 0.5),
        lambda s, x: -torch.floor(0.5 - torch.clamp(x, 0, 4)),
    ],
    ids=[
        "too many steps",
        "zero points",
        "two scales",
        "without bounds",
        "ceiled",
        "halves down",
    ],
)
def test_other_quantisers_are_refused(function: Callable[[nn.Module, Tensor], Tensor]) -> None:
    with pytest.raises(ImportModelError) as caught:
        torch_export.import_module(around(function).double().eval(), InputSpec(SHAPE, 1 / 16))
    assert {p.code for p in caught.value.problems} == {"ND101"}


def test_quantised_weights_are_weights() -> None:
    class Weights(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(4, 8, dtype=torch.float64))

        def forward(self, x: Tensor) -> Tensor:
            return x @ torch.fake_quantize_per_tensor_affine(self.weight, 0.25, 0, -4, 3).t()

    made = Weights().eval()
    graph = torch_export.import_module(made, InputSpec(SHAPE, 1 / 16))
    assert not graph.of(Neuron)
    x = raw(3)
    with torch.no_grad():
        value = made(torch.tensor(x, dtype=torch.float64) / 16).numpy()
    np.testing.assert_allclose(run(graph, x, 1), value, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("heads", [1, 2])
def test_a_network_of_counts_is_native_whatever_its_heads_read(heads: int) -> None:
    torch.manual_seed(0)
    loaded = resolve.from_torch(modules.Windows(heads).double(), InputSpec(SHAPE, 1 / 16))
    graph = passes.simplify(loaded.graph)
    assert loaded.reference is not None
    assert prove.prove(loaded.reference, loaded.graph, graph, (0, 16)).outputs_compared > 0
    assert len(graph.of(Neuron)) == 2 and natural(graph).name == "native"
