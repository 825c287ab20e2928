"""Every registered conversion method: a new file is tested by existing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neurodeploy import artifact, calibrate, compare, quantize, target
from neurodeploy.convert._base import METHODS, Method
from neurodeploy.errors import ConvertError, UsageError
from neurodeploy.image import encode
from neurodeploy.ir import interp, levels
from neurodeploy.ir.graph import Builder, Graph
from neurodeploy.ir.nodes import Input, Micro, Neuron, Output, Product, Sum, Synapse, View
from neurodeploy.ir.types import Interval
from neurodeploy.mapping.mapper import map_graph, prepared
from neurodeploy.program import Program
from tests.fast import fast
from tests.networks import images, mini_snn, mini_vit, value

METHODS = METHODS
#: those that make neurons; the other one keeps a network's own
CONVERTERS = [m for m in METHODS.values() if m.metric == "converted"]
#: what makes a method converge in the ticks that a test has, and how small its error is then, relative to the start
CONVERGES: dict[str, tuple[dict[str, Any], tuple[int, int], float]] = {
    "ecmt": ({"preset": "halved"}, (1, 32), 0.25),
    "pmsm": ({"step_scale": 2.0}, (1, 32), 0.25),
    "spikezip": ({"levels": 31, "step_scale": 1.5}, (4, 96), 0.25),
}
USUAL: tuple[dict[str, Any], tuple[int, int], float] = ({}, (1, 32), 0.25)
every = pytest.mark.parametrize("method", CONVERTERS, ids=lambda m: m.name)
whole = pytest.mark.parametrize("method", METHODS.values(), ids=lambda m: m.name)


def convert(method: Method, graph: Graph, timesteps: int = 4, **options: object) -> Graph:
    _, config = method.configure(options)
    return method.rewrite(graph, config, images(graph, 32), timesteps)


def read_out(outputs: np.ndarray, graph: Graph) -> np.ndarray:
    """What the outputs (T, B, K) say in units of the source: mean over ticks, or the last tick's value."""
    return outputs[-1] / (1 if graph.output.readout == "last" else len(outputs))


@whole
def test_method_is_named_titled_and_every_option_is_described(method: Method) -> None:
    assert method.name == method.name.lower() and method.title and method.__doc__
    assert all(field.description for field in method.Config.model_fields.values())
    for preset in method.presets:
        assert method.configure({"preset": preset})[0] == preset


@whole
@pytest.mark.parametrize(
    ("options", "code"),
    [({"preset": "no such"}, "ND302"), ({"no_such_key": 1}, "ND303"), ({"levels": "many"}, "ND303")],
)
def test_wrong_options_are_typed_errors(method: Method, options: dict, code: str) -> None:
    with pytest.raises(UsageError) as caught:
        method.configure(options)
    assert [p.code for p in caught.value.problems] == [code]


@every
def test_networks_that_spike_or_have_no_sites_are_refused(method: Method) -> None:
    assert [p.code for p in method.accept(mini_snn())] == ["ND304"]
    assert [p.code for p in method.accept(convert(method, mini_vit()))] == ["ND304"]
    builder = Builder()
    builder.add(Input(name="x"), value("C", 2))
    builder.add(Output(name="out", inputs=("x",)), value("C", 2))
    assert [p.code for p in method.accept(builder.build())] == ["ND305"]
    assert method.accept(mini_vit()) == []


@every
@pytest.mark.parametrize("timesteps", [1, 3])
def test_conversion_inserts_neurons_and_leaves_no_timing_open(method: Method, timesteps: int) -> None:
    graph = mini_vit(depth=2)
    before = graph.content_hash()
    spiking = convert(method, graph, timesteps)
    assert graph.content_hash() == before
    assert len(spiking.of(Neuron)) >= 16 and not levels.verify(spiking, "spiking")
    assert all(n.timing for n in spiking.of(Product, Micro))
    assert (spiking.header.method, spiking.header.timesteps) == (method.name, timesteps)
    fed = {i for n in spiking if n.kind in ("synapse", "product") for i in n.inputs}
    assert sorted(n for n in fed if spiking.values[n].code.kind == "dense") == ["norm"]  # the head alone
    assert convert(method, graph, timesteps).content_hash() == spiking.content_hash()


@every
def test_error_vanishes_as_ticks_go_on(method: Method) -> None:
    """Against the quantised ANN's own error where a method converges to one: many levels make that small."""
    options, (early, late), factor = CONVERGES.get(method.name, USUAL)
    graph = mini_vit(seed=5)
    x = images(graph, 16, seed=2)
    truth = interp.run(graph, x, timesteps=1).outputs[0]
    spiking = convert(method, graph, late, **options)
    outputs = interp.run(spiking, x).outputs
    errors = [np.abs(read_out(outputs[:t], spiking) - truth).mean() for t in (early, late)]
    assert errors[1] < factor * errors[0] and errors[1] < 0.1 * np.abs(truth).mean()


@every
def test_activations_that_are_not_finite_are_named(method: Method) -> None:
    graph = mini_vit()
    nodes = dict(graph.nodes)
    weight = np.full_like(nodes["b0.fc1"].weight, np.inf)
    nodes["b0.fc1"] = replace(nodes["b0.fc1"], weight=weight)  # type: ignore[call-arg]
    with np.errstate(all="ignore"), pytest.raises(ConvertError, match="ND306"):
        convert(method, Graph(nodes, graph.values, graph.header))


@every
@pytest.mark.parametrize("timesteps", fast([1, 4], 4))
def test_integers_agree_on_all_backends_and_follow_the_floats(method: Method, timesteps: int) -> None:
    graph, place = mini_vit(seed=1), target.load("loihi-sim")
    spiking = convert(method, graph, timesteps)
    integer = quantize.quantize(spiking, calibrate.measure(spiking, images(graph, 32)))
    integer = prepared(integer, place)
    program = Program(integer, encode(integer, map_graph(integer, place, place.chips, "cores"), place))
    x = images(graph, 3, seed=4)
    result = compare.verify(program, x, ("cpu", "loihi-sim"))
    assert result.equal, str(result)
    # A coarse neuron sends another level where an integer rounds differently: compared are errors, over more images.
    x, unit = images(graph, 32, seed=4), integer.values[integer.output.name].fixed.scale
    floats = read_out(interp.run(spiking, x).outputs, spiking)
    ints = read_out(interp.run(integer, x).outputs * np.asarray(unit), integer)
    truth = interp.run(graph, x, timesteps=1).outputs[0]
    assert np.abs(ints - truth).mean() < 1.2 * np.abs(floats - truth).mean() + 0.05 * np.abs(truth).mean()


def joined() -> Graph:
    """A dense layer that reads two streams of different range, joined along channels."""
    rng, builder = np.random.default_rng(3), Builder()
    builder.add(Input(name="x", scale=1 / 16), replace(value("NC", 3, 4), interval=Interval(0, 16, True)))
    dense = lambda name, source, rows, columns: builder.add(
        Synapse(name=name, inputs=(source,), weight=rng.normal(size=(rows, columns))), value("NC", 3, rows)
    )
    wide = dense("wide", "x", 4, 4)
    builder.add(Micro(name="relu", inputs=(wide,), op="relu"), value("NC", 3, 4))
    builder.add(Sum(name="far", inputs=(dense("w", "relu", 4, 4), wide), signs=(1, 1)), value("NC", 3, 4))
    builder.add(View(name="both", inputs=("relu", "far"), op="concat", args=(1,)), value("NC", 3, 8))
    builder.add(Micro(name="last", inputs=(dense("mix", "both", 4, 8),), op="relu"), value("NC", 3, 4))
    builder.add(Output(name="out", inputs=(dense("head", "last", 2, 4),)), value("NC", 3, 2))
    return builder.build()


@every
@pytest.mark.parametrize("timesteps", [1, 3])
def test_streams_that_a_view_joins_share_one_population(method: Method, timesteps: int) -> None:
    graph, place = joined(), target.load("loihi-sim")
    spiking = convert(method, graph, timesteps)
    assert {n.inputs[0] for n in spiking.of(Neuron) if n.model != "integrator"} == {"relu", "both"}
    integer = prepared(quantize.quantize(spiking, calibrate.measure(spiking, images(graph, 32))), place)
    fed = {i for n in integer.of(Synapse) if n.name in ("w", "mix") for i in n.inputs}
    assert all(integer.values[name].code.spiking for name in fed)
    program = Program(integer, encode(integer, map_graph(integer, place, place.chips, "cores"), place))
    result = compare.verify(program, images(graph, 3, seed=4), ("cpu", "loihi-sim"))
    assert result.equal, str(result)


@every
def test_spiking_and_integer_graphs_survive_save_and_load(method: Method, tmp_path: Path) -> None:
    graph = mini_vit()
    spiking = convert(method, graph)
    ranges = calibrate.measure(spiking, images(graph, 32))
    integer = quantize.quantize(spiking, ranges)
    artifact.save(tmp_path / "program.h5", artifact.Artifact(integer, None, spiking, graph, ranges))
    loaded = artifact.load(tmp_path / "program.h5")
    assert loaded.integer.content_hash() == integer.content_hash()
    assert loaded.spiking is not None and loaded.spiking.content_hash() == spiking.content_hash()


@pytest.mark.parametrize("name", ["ecmt", "pmsm"])
def test_methods_of_means_are_the_ann_with_every_neuron_bypassed(name: str) -> None:
    graph = mini_vit(seed=3)
    spiking, x = convert(METHODS[name], graph, 3, correct="none"), images(graph, 4, seed=9)
    np.testing.assert_allclose(
        read_out(interp.run(bypassed(spiking, lambda n: True), x).outputs, spiking),
        interp.run(graph, x, timesteps=1).outputs[0],
        atol=1e-9,
    )


def bypassed(graph: Graph, which: Callable[[Neuron], bool]) -> Graph:
    """The graph without some neurons: their readers read what they read."""
    source = {n.name: n.inputs[0] for n in graph.of(Neuron) if which(n)}
    nodes = {
        n.name: replace(n, inputs=tuple(source.get(i, i) for i in n.inputs))
        for n in graph
        if n.name not in source
    }
    return Graph(nodes, {name: graph.values[name] for name in nodes}, graph.header)
