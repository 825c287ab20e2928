"""The quantizer keeps the function, the widths and the rules; what it cannot keep it refuses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest

from neurodeploy import calibrate
from neurodeploy.convert import ecmt, native
from neurodeploy.errors import QuantizeError
from neurodeploy.ir import codes, interp, intervals, levels
from neurodeploy.ir.graph import Builder, Graph, Header
from neurodeploy.ir.nodes import Const, Input, Micro, Neuron, Node, Output, Product, Sum, Synapse, View
from neurodeploy.ir.types import Interval, Shape, Value
from neurodeploy.quantize import quantize
from tests.networks import images, mini_snn, mini_vit


def spiking_vit(timesteps: int = 4, seed: int = 0) -> tuple[Graph, calibrate.Ranges]:
    graph = mini_vit(seed)
    samples = images(graph, 64)
    spiking = ecmt.MEMBER.rewrite(graph, ecmt.EcmtConfig(base_scale=0.5), samples, timesteps)
    return spiking, calibrate.measure(spiking, samples)


def spiking_snn(seed: int = 0) -> tuple[Graph, calibrate.Ranges]:
    graph = mini_snn(seed)
    samples = images(graph, 64)
    spiking = native.MEMBER.rewrite(graph, None, samples, 4)
    return spiking, calibrate.measure(spiking, samples)


def _all(bits: int, node: Node) -> int:
    """The same width for every node."""
    return bits


@pytest.mark.parametrize("make", [spiking_vit, spiking_snn])
def test_integer_graph_is_legal_and_keeps_the_node_names(
    make: Callable[[], tuple[Graph, calibrate.Ranges]],
) -> None:
    spiking, ranges = make()
    integer = quantize(spiking, ranges)
    assert levels.verify(integer, "integer") == []
    # the bounds that the walk carried along are those of the finished graph
    assert intervals.propagate(integer).content_hash() == integer.content_hash()
    assert set(spiking.nodes) <= set(integer.nodes)
    added = set(integer.nodes) - set(spiking.nodes)
    assert all(isinstance(integer.nodes[n], Micro) and integer.nodes[n].op == "rescale" for n in added)


def logits(graph: Graph, x: np.ndarray) -> np.ndarray:
    scale = graph.values[graph.output.name].fixed.scale if graph.header.level == "integer" else 1.0
    return interp.run(graph, x).outputs[-1] * scale


@pytest.mark.parametrize("seed", range(3))
def test_integers_follow_the_spiking_floats(seed: int) -> None:
    spiking, ranges = spiking_vit(8, seed)
    x = images(spiking, 32, seed=5)
    truth = logits(spiking, x) / 8
    error = {}
    for bits in (4, 8):
        error[bits] = np.abs(logits(quantize(spiking, ranges, partial(_all, bits)), x) / 8 - truth).mean()
    assert error[8] < 0.1 * truth.std()
    assert error[8] < error[4]


def test_native_spikes_follow_the_floats() -> None:
    spiking, ranges = spiking_snn()
    integer = quantize(spiking, ranges)
    x = images(spiking, 64, seed=5)
    names = ["stem.sn", "s0", "q.sn", "v.sn"]
    a, b = (interp.run(g, x, record=names).values for g in (spiking, integer))
    for name in names:
        assert np.mean(a[name] != b[name]) < 0.1, name  # states close to the threshold
        assert np.mean(a[name] != 0) > 0.02, name  # a silent population would agree trivially


def test_weights_use_the_whole_range_of_their_bits_per_channel() -> None:
    spiking, ranges = spiking_vit()
    for bits in (2, 4, 8):
        integer = quantize(spiking, ranges, partial(_all, bits))
        for node in integer.of(Synapse):
            rows = np.abs(node.weight).reshape(len(node.weight), -1).max(axis=1)
            assert rows.max() == 2 ** (bits - 1) - 1
            if node.name != "head":  # the read-out has one scale for all classes
                assert np.all(rows == rows.max())


def test_residual_stream_has_one_power_of_two_unit() -> None:
    spiking, ranges = spiking_vit()
    integer = quantize(spiking, ranges)
    units = {integer.values[n.name].fixed.scale for n in integer.of(Sum, Const)}
    assert len(units) == 1
    assert np.log2(units.pop()) % 1 == 0


def test_thresholds_fold_the_channel_scale() -> None:
    spiking, ranges = spiking_vit()
    integer = quantize(spiking, ranges)
    base = integer.nodes["b0.q.mt"].params["base_p"]
    scale = integer.values["b0.q"].fixed.scale
    grain = integer.values["b0.q.mt"].fixed.scale
    unit = integer.nodes["b0.q.mt"].params["unit_p"]
    assert len(np.unique(base)) > 1
    np.testing.assert_allclose(base * scale, unit * grain, rtol=0.02)
    assert np.all(base % 2 == 0)


def test_cumulative_products_divide_by_t_in_their_rescale() -> None:
    spiking, ranges = spiking_vit(4)
    for node in quantize(spiking, ranges).of(Product):
        multiplier, shift = node.rescale
        np.testing.assert_allclose(
            multiplier / 2.0**shift * np.arange(1, 5), multiplier[0] / 2.0 ** shift[0], rtol=1e-4
        )


def test_a_dead_channel_does_not_break_the_threshold() -> None:
    spiking, ranges = spiking_snn()
    q: Any = spiking.nodes["q"]
    weight = q.weight.copy()
    weight[0] = 1e-9
    nodes = {**spiking.nodes, "q": replace(q, weight=weight, bias=np.zeros(len(weight)))}
    integer = quantize(Graph(nodes, spiking.values, spiking.header), ranges)
    vth = integer.nodes["q.sn"].params["vth"]
    assert vth.max() <= (1 << 17) - 1


def test_widths_outside_two_to_eight_are_refused_for_every_layer_at_once() -> None:
    spiking, ranges = spiking_vit()
    with pytest.raises(QuantizeError) as caught:
        quantize(spiking, ranges, lambda node: 9)
    assert {p.code for p in caught.value.problems} == {"ND402"}
    assert len(caught.value.problems) == len(spiking.of(Synapse))


def test_no_float_takes_part_in_arithmetic() -> None:
    for make in (spiking_vit, spiking_snn):
        spiking, ranges = make()
        integer = quantize(spiking, ranges)
        trace = interp.run(integer, images(spiking, 2), record=list(integer.nodes))
        assert all(v.dtype.kind in "iu" for v in trace.values.values())
        for node in integer.of(Neuron):
            assert all(np.asarray(v).dtype.kind in "iu" for v in node.params.values())


def test_a_node_without_integer_form_is_named_and_its_readers_are_not_blamed() -> None:
    spiking, ranges = spiking_snn()
    q: Any = spiking.nodes["q.sn"]
    nodes = {**spiking.nodes, "q.sn": replace(q, params={**q.params, "threshold": -1.0})}
    with pytest.raises(QuantizeError) as caught:
        quantize(Graph(nodes, spiking.values, spiking.header), ranges)
    assert [(p.code, p.where) for p in caught.value.problems] == [("ND401", "q.sn")]
    assert all(p.fixes for p in caught.value.problems)


def test_the_reciprocal_of_a_large_sum_keeps_its_digits() -> None:
    """A unit of the sum is worth thousands of times what its reciprocal is."""
    value = Value(Shape(("C",), (1,)))
    builder = Builder(Header(level="spiking", timesteps=1))
    builder.add(Input(name="x", scale=1.0), replace(value, interval=Interval(0, 255, True)))
    builder.add(Synapse(name="a", inputs=("x",), weight=np.full((1, 1), 10.0)), value)
    builder.add(
        Micro(name="r", inputs=("a",), op="reciprocal", params={"floor": 0.01}, timing="instant"), value
    )
    builder.add(Output(name="y", inputs=("r",)), value)
    x = np.arange(100, 256)[:, None]
    spiking = builder.build()
    integer = quantize(spiking, calibrate.measure(spiking, x))
    found = interp.run(integer, x, ["r"]).values["r"][0, :, 0] * integer.values["r"].fixed.scale
    np.testing.assert_allclose(found, 1 / (10.0 * x[:, 0]), rtol=0.02)


def two_layers(first: np.ndarray, second: np.ndarray, bias: np.ndarray | None, neuron: bool) -> Graph:
    """Weights behind weights with nothing between, then a LIF or the read-out: wide sums meet full weights."""
    value = Value(Shape(("C",), (4,)), contract="instant")
    builder = Builder(Header(level="spiking", timesteps=4))
    builder.add(Input(name="x", scale=1 / 255), replace(value, interval=Interval(0, 255, True)))
    builder.add(Synapse(name="a", inputs=("x",), weight=first), value)
    builder.add(Synapse(name="b", inputs=("a",), weight=second, bias=bias), value)
    last = "b"
    if neuron:
        lif = {"beta": 0.5, "gain": 1.0, "threshold": 1.0}
        last = builder.add(Neuron(name="s", inputs=("b",), model="lif", params=lif), value)
    builder.add(Output(name="y", inputs=(last,)), value)
    return codes.infer(builder.build())


def integers(graph: Graph) -> Graph:
    return quantize(graph, calibrate.measure(graph, images(graph, 64)))


@pytest.mark.parametrize("neuron", [True, False])
def test_weights_behind_a_wide_sum_keep_their_bits(neuron: bool) -> None:
    draw = np.random.default_rng(0)
    graph = two_layers(draw.normal(size=(4, 4)), draw.normal(size=(4, 4)), None, neuron)
    integer = integers(graph)
    assert np.abs(integer.nodes["b"].weight).max(axis=1).min() > 40
    x = images(graph, 32, seed=5)
    found = interp.run(integer, x, record=["b"]).values["b"] * np.asarray(integer.values["b"].fixed.scale)
    truth = interp.run(graph, x, record=["b"]).values["b"]
    assert np.abs(found - truth).max() < 0.05 * np.abs(truth).max()


def test_a_bias_far_above_tiny_weights_fits_its_register() -> None:
    draw = np.random.default_rng(0)
    weights = draw.normal(size=(4, 4))
    integer = integers(two_layers(weights, 1e-12 * weights, np.ones(4), neuron=False))
    assert integer.values["b"].interval.magnitude < 1 << 23
    assert integer.nodes["b"].bias * integer.values["y"].fixed.scale == pytest.approx(1.0, rel=1e-3)


def test_layers_of_zeros_have_an_integer_form() -> None:
    zeros = np.zeros((4, 4))
    integer = integers(two_layers(zeros, zeros, None, neuron=True))
    assert not interp.run(integer, images(integer, 4)).outputs.any()


def test_a_sum_with_joined_streams_of_another_range_keeps_both() -> None:
    rng, builder = np.random.default_rng(4), Builder(Header(level="spiking", timesteps=1))
    value = lambda width: Value(Shape(("N", "C"), (3, width)), contract="instant")
    builder.add(Input(name="x"), replace(value(4), interval=Interval(0, 16, True)))
    for name, rows, factor in (("a", 4, 1.0), ("b", 4, 1.0), ("far", 4, 300.0), ("wide", 8, 1.0)):
        weight = factor * rng.normal(size=(rows, 4))
        builder.add(Synapse(name=name, inputs=("x",), weight=weight), value(rows))
    builder.add(Sum(name="near", inputs=("a", "b"), signs=(1, 1)), value(4))
    builder.add(View(name="both", inputs=("near", "far"), op="concat", args=(1,)), value(8))
    builder.add(Sum(name="total", inputs=("both", "wide"), signs=(1, 1)), value(8))
    builder.add(Micro(name="relu", inputs=("total",), op="relu", timing="instant"), value(8))
    builder.add(Output(name="out", inputs=("relu",)), value(8))
    graph = codes.infer(builder.build())
    x, integer = images(graph, 32), integers(graph)
    found, truth = (interp.run(g, x, record=["total"]).values["total"] for g in (integer, graph))
    found = found * np.asarray(integer.values["total"].fixed.scale)
    assert np.abs(found - truth).max() < 0.01 * np.abs(truth).max()
