"""Layers that can pass factors on bring their channels to one size, to the last bit of the floats."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from neurodeploy import beside
from neurodeploy.calibrate import measure
from neurodeploy.convert import named
from neurodeploy.frontends.input_spec import InputSpec
from neurodeploy.ir import interp
from neurodeploy.ir.graph import Builder, Graph
from neurodeploy.ir.nodes import Input, Micro, Output, Product, Sum, Synapse, View
from neurodeploy.passes import simplify
from neurodeploy.passes.equalise import WORTHWHILE, equalise
from neurodeploy.program import Program
from neurodeploy.quantize import quantize
from tests.later import torch, torch_export
from tests.networks import images, mini_vit, value

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


Sizes = dict[str, np.ndarray]

# --- attention ---------------------------------------------------------------------------------------------------


def grouped_queries(normed: bool = False, rotated: bool = False) -> Graph:
    """Scores of four heads of queries and two of keys, perhaps behind norms of each head or with a part added."""
    rng = np.random.default_rng(0)
    b = Builder()
    source = b.add(Input(name="image"), value("NC", 3, 6))
    operands = []
    for part, heads in (("q", 4), ("k", 2)):
        weight, bias = rng.normal(size=(heads * 5, 6)), rng.normal(size=heads * 5)
        name = b.add(
            Synapse(name=part, inputs=(source,), weight=weight, bias=bias), value("NC", 3, heads * 5)
        )
        name = b.add(View(name=f"{part}.h", inputs=(name,), op="reshape", args=(3, heads, 5)),
                     value("NHC", 3, heads, 5))  # fmt: skip
        if rotated:
            name = b.add(Sum(name=f"{part}.sum", inputs=(name, name)), value("NHC", 3, heads, 5))
        if normed:
            params = {"gamma": rng.uniform(0.5, 1.5, 5), "beta": rng.normal(size=5), "eps": 1e-6, "width": 5}
            name = b.add(Micro(name=f"{part}.norm", inputs=(name,), op="layer_norm", params=params),
                         value("NHC", 3, heads, 5))  # fmt: skip
        operands.append(name)
    once = b.add(View(name="k.once", inputs=(operands[1],), op="reshape", args=(3, 2, 1, 5)),
                 value("NHGC", 3, 2, 1, 5))  # fmt: skip
    often = b.add(View(name="k.often", inputs=(once,), op="broadcast", args=(3, 2, 2, 5)),
                  value("NHGC", 3, 2, 2, 5))  # fmt: skip
    keys = b.add(View(name="k.all", inputs=(often,), op="reshape", args=(3, 4, 5)), value("NHC", 3, 4, 5))
    scores = Product(name="scores", inputs=(operands[0], keys), equation="nhc,mhc->hnm")
    out = b.add(scores, value("HNN", 4, 3, 3))
    b.add(Output(name="out", inputs=(out,)), value("HNN", 4, 3, 3))
    return b.build()


def grown(graph: Graph, factors: Sizes, columns: Sizes) -> Graph:
    """Rows of layers, or gammas of norms, times factors, and columns of layers over theirs."""
    nodes: dict[str, Any] = dict(graph.nodes)
    for name, own in factors.items():
        node = nodes[name]
        if isinstance(node, Micro):
            params = {key: node.params[key] * own for key in ("gamma", "beta")}
            nodes[name] = replace(node, params={**node.params, **params})
        else:
            nodes[name] = replace(node, weight=node.weight * own[:, None], bias=node.bias * own)
    for name, own in columns.items():
        nodes[name] = replace(nodes[name], weight=nodes[name].weight / own)
    return Graph(nodes, graph.values, graph.header)


WIDE = np.exp2(np.linspace(-7, 7, 8).round())
KEYS = np.exp2(np.linspace(-7, 7, 10).round())
QUERIES = np.tile(KEYS.reshape(2, 1, 5), (1, 2, 1)).ravel()
NORMED = KEYS[:5]
#: name -> (network, what its layers grow by, what columns shrink by)
ATTENTION: dict[str, tuple[Callable[[], Graph], Sizes, Sizes]] = {
    "queries and keys": (mini_vit, {"b0.q": WIDE, "b0.k": 1 / WIDE}, {}),
    "values": (mini_vit, {"b0.v": WIDE}, {"b0.proj": WIDE}),
    "keys for several queries": (grouped_queries, {"k": KEYS, "q": 1 / QUERIES}, {}),
    "normed": (lambda: grouped_queries(normed=True), {"q.norm": NORMED, "k.norm": 1 / NORMED}, {}),
}  # fmt: skip


@pytest.mark.parametrize("name", ATTENTION)
def test_channels_that_meet_or_pass_a_product_become_even_to_the_bit(name: str) -> None:
    make, factors, columns = ATTENTION[name]
    plain = make()
    wide = grown(plain, factors, columns)
    even = equalise(wide)
    for layer in factors:
        assert spread(even, layer) < WORTHWHILE < spread(wide, layer)
    x = images(plain, 3) if "image" in plain.nodes and plain.shape("image")[0] == 1 else raw_rows(plain)
    np.testing.assert_array_equal(interp.run(even, x).outputs, interp.run(wide, x).outputs)
    assert equalise(plain) is plain


def raw_rows(graph: Graph) -> np.ndarray:
    return np.random.default_rng(1).integers(-8, 9, (3, *graph.shape("image")))


def test_sums_such_as_rotated_queries_keep_their_sizes() -> None:
    graph = grown(grouped_queries(rotated=True), {"q": np.exp2(np.linspace(-9, 9, 20).round())}, {})
    assert equalise(graph) is graph


def test_a_stream_that_meets_itself_keeps_its_sizes() -> None:
    graph = grown(mini_vit(), {"b0.q": WIDE}, {})
    nodes: dict[str, Any] = dict(graph.nodes)
    nodes["b0.scores"] = replace(nodes["b0.scores"], inputs=("b0.q.h", "b0.q.h"))
    itself = Graph(nodes, graph.values, graph.header)
    assert spread(equalise(itself), "b0.q") == spread(itself, "b0.q")
