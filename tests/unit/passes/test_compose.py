"""Rows of convolutions and chains of products: when they are composed, and that they then mean the same."""

from __future__ import annotations

import numpy as np
import pytest

from neurodeploy import passes
from neurodeploy.frontends.input_spec import InputSpec
from neurodeploy.ir import interp
from neurodeploy.ir.graph import Graph
from neurodeploy.ir.nodes import Neuron, Product, Synapse, View
from neurodeploy.sources import resolve
from tests.later import Later, modules, nn, torch, torch_fx
from tests.unit.passes.test_simplify import RNG, Net

jelly, published = Later("tests.jelly"), Later("tests.published")
prove = Later("neurodeploy.frontends.proof.prove")
LIF = {"beta": 0.25, "gain": 1.0, "threshold": 0.5}
SIZE = 8

#: (outputs, kernel, stride, padding, groups, bias) of each convolution in a row
Layer = tuple[int, int, int, int, int, bool]


def row(*layers: Layer, spikes: bool = True, shared: bool = False) -> Graph:
    """Convolutions behind a population, or the pixels; ``shared``: the last but one is read a second time."""
    net = Net("CYX", (4, SIZE, SIZE))
    if spikes:
        net.add(Neuron, "lif", ["input"], "CYX", (4, SIZE, SIZE), model="lif", params=LIF)
    last, channels, size = "lif" if spikes else "input", 4, SIZE
    others = []
    for i, (outputs, kernel, stride, padding, groups, bias) in enumerate(layers):
        others.append(last)
        size = (size + 2 * padding - kernel) // stride + 1
        weight = RNG.normal(size=(outputs, channels // groups, kernel, kernel))
        fields = {"stride": (stride,) * 2, "padding": (padding,) * 2, "groups": groups}
        offset = RNG.normal(size=outputs) if bias else None
        made = {"op": "conv", "weight": weight, "bias": offset, **fields}
        last, channels = net.add(Synapse, f"c{i}", [last], "CYX", (outputs, size, size), **made), outputs
    return net.done(last, others[-1]) if shared else net.done(last)


def kernels(graph: Graph) -> list[tuple[int, ...]]:
    return [node.weight.shape for node in graph.of(Synapse)]


def equal(before: Graph, after: Graph) -> None:
    raw = RNG.integers(-8, 9, (3, *before.shape("input")))
    wanted = interp.run(before, raw, timesteps=2).outputs
    error = np.abs(interp.run(after, raw, timesteps=2).outputs - wanted)
    assert error.max() <= 1e-12 * np.abs(wanted).max()


@pytest.mark.parametrize(
    ("layers", "kernel"),
    [
        ([(4, 3, 1, 1, 4, True), (6, 1, 1, 0, 1, True)], (6, 4, 3, 3)),
        ([(6, 1, 1, 0, 1, False), (6, 3, 2, 1, 6, True)], (6, 4, 3, 3)),
        ([(6, 1, 1, 0, 1, True), (6, 3, 1, 0, 6, False), (4, 1, 1, 0, 1, True)], (4, 4, 3, 3)),
        ([(4, 3, 2, 1, 2, True), (4, 3, 1, 0, 2, True)], (4, 2, 7, 7)),
        ([(4, 2, 2, 0, 1, True), (2, 2, 2, 0, 1, False)], (2, 4, 4, 4)),
        ([(4, 3, 1, 1, 4, True), (4, 1, 1, 0, 4, True)], (4, 1, 3, 3)),
    ],
    ids=["depthwise, pointwise", "pointwise, padded", "three", "grouped", "strided", "depthwise alone"],
)
def test_a_row_behind_spikes_is_one_convolution(layers: list[Layer], kernel: tuple[int, ...]) -> None:
    before = row(*layers)
    after = passes.compose_convolutions(before)
    assert kernels(after) == [kernel]
    equal(before, after)
    (made,) = after.of(Synapse)
    assert [origin.path for origin in made.origin] == [f"c{i}" for i in range(len(layers))]


@pytest.mark.parametrize(
    ("layers", "options"),
    [
        ([(4, 7, 1, 3, 4, True), (6, 1, 1, 0, 1, True)], {}),
        ([(4, 3, 1, 1, 4, True), (6, 1, 1, 0, 1, True)], {"spikes": False}),
        ([(4, 3, 1, 1, 4, True), (4, 1, 1, 0, 1, True)], {"shared": True, "spikes": False}),
        ([(6, 1, 1, 0, 1, True), (6, 3, 1, 1, 6, True)], {}),
        ([(4, 3, 1, 1, 1, False), (4, 3, 1, 1, 1, False)], {}),
    ],
    ids=["wide", "behind numbers", "read twice", "an offset meets zeros", "padded twice"],
)
def test_a_row_that_costs_more_or_differs_at_the_borders_stays(
    layers: list[Layer], options: dict[str, bool]
) -> None:
    before = row(*layers, **options)
    assert passes.compose_convolutions(before) is before


def test_a_reparameterised_convolution_is_folded_back() -> None:
    """1x1, norm padded by what it makes of zero, depthwise 3x3, 1x1, norm: one 3x3 with a bias, borders included."""
    torch.manual_seed(3)
    neurons = [modules.spiking.BinaryLif(v_threshold=0.3) for _ in range(2)]
    layers = nn.Conv2d(4, 4, 1), neurons[0], published.reparameterised(4), neurons[1]
    module = nn.Sequential(*layers).double().eval()
    for part in module.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            for tensor in (part.running_mean, part.weight, part.bias):
                tensor.data.normal_()
            part.running_var.uniform_(0.5, 2.0)
    spec = InputSpec((4, 6, 6), 0.0625, timesteps=3, readout="last")
    graph = torch_fx.import_module(module, spec)
    before, after = (passes.simplify(graph, without) for without in (("compose_convolutions",), ()))
    assert kernels(after) == [(4, 4, 1, 1), (4, 4, 3, 3)] and after.of(Synapse)[1].padding == (1, 1)
    assert not after.of(View)
    raw = np.random.default_rng(0).integers(0, 17, (3, 4, 6, 6))
    currents = []
    for made in (before, after):
        name = made.of(Neuron)[-1].inputs[0]
        currents.append(interp.run(made, raw, [name]).values[name])
    assert np.abs(currents[0] - currents[1]).max() <= 1e-12 * np.abs(currents[0]).max()


def attention(tokens: int, width: int, written: str, between: bool = False) -> Graph:
    """Q, K, V of one head, multiplied in the order that is written."""
    net = Net("NC", (tokens, 4))
    q, k, v = (net.dense(name, "input", "NC", (tokens, width), 4) for name in "qkv")
    first, second = {"(qk)v": ("nc,mc->nm", "nm,mc->nc"), "q(kv)": ("mc,md->cd", "nc,cd->nd")}[written]
    pair, rest, sizes = ((q, k), v, (tokens, tokens)) if written == "(qk)v" else ((k, v), q, (width, width))
    net.add(Product, "p", pair, "NG", sizes, equation=first, scale=0.5)
    last = net.add(Neuron, "lif", ["p"], "NG", sizes, model="lif", params=LIF) if between else "p"
    inputs = (last, rest) if written == "(qk)v" else (rest, last)
    return net.done(net.add(Product, "out", inputs, "NC", (tokens, width), equation=second, scale=0.25))


@pytest.mark.parametrize(
    ("tokens", "width", "written", "turned"),
    [
        (9, 3, "(qk)v", True),
        (3, 9, "(qk)v", False),
        (3, 9, "q(kv)", True),
        (9, 3, "q(kv)", False),
        (5, 5, "(qk)v", False),
    ],
)
def test_products_take_the_cheaper_order(tokens: int, width: int, written: str, turned: bool) -> None:
    before = attention(tokens, width, written)
    after = passes.reassociate(before)
    assert (after is not before) == turned
    equal(before, after)
    small = min(tokens, width)
    work = sum(p.einsum.macs(*map(after.shape, p.inputs)) for p in after.of(Product))
    assert work == 2 * tokens * width * small
    assert np.prod([p.scale for p in after.of(Product)]) == 0.125


def test_a_neuron_between_products_keeps_their_order() -> None:
    before = attention(9, 3, "(qk)v", between=True)
    assert passes.reassociate(before) is before


def test_a_border_written_in_single_precision_is_what_the_norm_makes_of_zero() -> None:
    torch.manual_seed(0)
    model = modules.Bordered(jelly.LIFNode(v_threshold=0.2)).eval()
    loaded = resolve.from_torch(model, InputSpec((1, 8, 8), 1 / 16))
    graph = passes.simplify(loaded.graph)
    assert loaded.reference is not None
    assert prove.prove(loaded.reference, loaded.graph, graph, (0, 16)).neurons_compared > 0
    assert len(graph.of(Synapse)) == 2  # the stem, and all of the others
