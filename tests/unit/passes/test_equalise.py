"""Layers that can pass factors on bring their channels to one size, to the last bit of the floats."""

import numpy as np
import pytest

from neurodeploy import beside
from neurodeploy.calibrate import measure
from neurodeploy.convert import named
from neurodeploy.frontends.input_spec import InputSpec
from neurodeploy.ir import interp
from neurodeploy.ir.graph import Graph
from neurodeploy.ir.nodes import Micro, Synapse
from neurodeploy.passes import simplify
from neurodeploy.passes.equalise import WORTHWHILE, equalise
from neurodeploy.program import Program
from neurodeploy.quantize import quantize
from tests.later import torch, torch_export

SHAPE = (2, 8, 8)


def _linear() -> "torch.nn.Module":
    nn = torch.nn
    return nn.Sequential(nn.Flatten(), nn.Linear(128, 16), nn.ReLU(), nn.Linear(16, 5))


def _conv() -> "torch.nn.Module":
    nn = torch.nn
    layers = nn.Conv2d(2, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 8, 3), nn.Flatten()
    return nn.Sequential(*layers, nn.Linear(32, 5))


def _grouped() -> "torch.nn.Module":
    nn = torch.nn
    layers = nn.Conv2d(2, 16, 1), nn.ReLU(), nn.AvgPool2d(2), nn.Conv2d(16, 8, 3, groups=4), nn.Flatten()
    return nn.Sequential(*layers, nn.Linear(32, 5))


def _norm() -> "torch.nn.Module":
    nn = torch.nn
    return nn.Sequential(nn.Flatten(), nn.Linear(128, 16), nn.LayerNorm(16), nn.Linear(16, 5))


#: name -> (module, index of the layer that grows, of that which shrinks)
CHAINS = {
    "linear": (_linear, 1, 3), "conv and max pool": (_conv, 0, 3), "groups and mean pool": (_grouped, 0, 3),
    "norm": (_norm, 2, 3),
}  # fmt: skip


def stretched(name: str, decades: float = 4.0) -> tuple[Graph, Graph]:
    """Source graphs of a network, and of the same function with channels over so many powers of ten."""
    make, first, second = CHAINS[name]
    torch.manual_seed(0)
    module = make().eval()
    plain = torch_export.import_module(module, InputSpec(SHAPE, 1 / 16))
    factors = torch.exp2(torch.linspace(0, round(decades * np.log2(10)), 16).round())[torch.randperm(16)]
    with torch.no_grad():
        grown, shrunk = module[first], module[second]
        grown.weight.mul_(factors.view(-1, *(1,) * (grown.weight.dim() - 1)))
        grown.bias.mul_(factors)
        groups = getattr(shrunk, "groups", 1)
        columns = factors.view(groups, -1).repeat_interleave(len(shrunk.weight) // groups, 0)
        shrunk.weight.div_(columns.view(*columns.shape, *(1,) * (shrunk.weight.dim() - 2)))
    return plain, torch_export.import_module(module, InputSpec(SHAPE, 1 / 16))


def raw(graph: Graph, samples: int = 6) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 17, (samples, *graph.shape("input")))


def spread(graph: Graph, node: str) -> float:
    """How much the channels of a layer or norm differ in size."""
    made = graph.nodes[node]
    if isinstance(made, Micro):
        sizes = np.maximum(np.abs(made.params["gamma"]), np.abs(made.params["beta"]))
    else:
        assert isinstance(made, Synapse)
        sizes = np.abs(made.weight).reshape(len(made.weight), -1).max(1)
    return float(sizes.max() / sizes.min())


@pytest.mark.parametrize("name", CHAINS)
def test_a_stretched_network_becomes_as_even_as_it_was_to_the_bit(name: str) -> None:
    plain, wide = stretched(name)
    layer = str(CHAINS[name][1])
    even = equalise(wide)
    assert spread(wide, layer) > 1e3 and spread(even, layer) < WORTHWHILE
    np.testing.assert_array_equal(interp.run(even, raw(even)).outputs, interp.run(wide, raw(wide)).outputs)
    np.testing.assert_allclose(
        interp.run(even, raw(even)).outputs, interp.run(plain, raw(plain)).outputs, rtol=1e-9
    )


@pytest.mark.parametrize("name", CHAINS)
def test_an_even_network_stays_as_it_is(name: str) -> None:
    plain, _ = stretched(name)
    assert equalise(plain) is plain


def test_a_value_that_something_else_reads_keeps_its_size() -> None:
    class Residual(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = torch.nn.Linear(8, 8), torch.nn.Linear(8, 8)
            with torch.no_grad():
                self.first.weight[0].mul_(1e6)

        def forward(self, x: "torch.Tensor") -> "torch.Tensor":
            y = torch.relu(self.first(x))
            return (y + self.second(y)).mean((1, 2))

    graph = torch_export.import_module(Residual().eval(), InputSpec(SHAPE, 1 / 16))
    assert equalise(graph) is graph


@pytest.mark.parametrize("name", ["linear", "conv and max pool"])
def test_integers_keep_the_channels_that_were_small(name: str) -> None:
    """Signal to noise of the read-out of a network, of its stretched form, and of that without the pass, in dB."""
    plain, wide = stretched(name)

    def decibels(graph: Graph) -> float:
        method = named("pmsm")
        spiking = method.rewrite(graph, method.configure({})[1], raw(graph, 16), 1)
        integer = quantize(spiking, measure(spiking, raw(graph, 16), 0))
        return list(beside.compared(graph, spiking, Program(integer), raw(graph)).sqnr_db.values())[-1]

    usual, without, mended = decibels(simplify(plain)), decibels(wide), decibels(simplify(wide))
    assert without < usual - 8 and mended > usual - 3
