"""Layers corrected on what the spiking network gives them, and units for each channel, against numpy by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from neurodeploy import calibrate, quantize
from neurodeploy.backends.cpu import MEMBER as CPU
from neurodeploy.convert import _fit
from neurodeploy.convert._base import METHODS
from neurodeploy.convert._channels import channels
from neurodeploy.convert._sites import sites
from neurodeploy.errors import UsageError
from neurodeploy.ir import interp
from neurodeploy.ir.graph import Graph
from neurodeploy.ir.nodes import Neuron, Synapse
from neurodeploy.program import Program
from tests.networks import images, mini_vit


def convert(graph: Graph, method: str, timesteps: int, **options: object) -> Graph:
    member = METHODS[method]
    return member.rewrite(graph, member.configure(options)[1], images(graph, 64), timesteps)


def means(graph: Graph, x: np.ndarray, name: str) -> np.ndarray:
    """Mean over ticks of a value, (B, *shape)."""
    record = interp.run(graph, x, record=[name])
    return record.values[name].mean(axis=0)


@pytest.mark.parametrize(("method", "timesteps"), [("pmsm", 1), ("pmsm", 3), ("ecmt", 3)])
def test_nodes_one_by_one_are_ticks_one_by_one(method: str, timesteps: int) -> None:
    spiking = convert(mini_vit(depth=2), method, timesteps)
    x = images(spiking, 5, seed=3)
    trace = interp.run(spiking, x, record=list(spiking.nodes))
    for name, value in interp.run_by_node(spiking, x):
        want = trace.outputs if name == spiking.output.name else trace.values[name]
        np.testing.assert_array_equal(np.broadcast_to(value, want.shape), want)


@pytest.mark.parametrize("correct", ["bias", "weights"])
@pytest.mark.parametrize(("method", "timesteps"), [("pmsm", 1), ("ecmt", 2)])
def test_corrected_layers_have_no_mean_error_where_they_were_fitted(
    method: str, timesteps: int, correct: str
) -> None:
    graph = mini_vit(depth=2)
    x = images(graph, 64)
    off: dict[str, list[float]] = {"none": [], correct: []}
    for chosen, found in off.items():
        spiking = convert(graph, method, timesteps, levels=3, correct=chosen)
        for layer in graph.of(Synapse):
            error = means(spiking, x, layer.name) - means(graph, x, layer.name)
            axis = -1 if layer.op == "dense" else 1
            found.append(np.abs(np.moveaxis(error, axis, -1).reshape(-1, error.shape[axis]).mean(0)).max())
    assert max(off["none"]) > 1e-2 and max(off[correct]) < 1e-9


def test_weights_are_the_ridge_solution_written_out() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 3, 5)) * [1.0, 10.0, 0.1, 1.0, 1.0]
    error = 0.3 * x[..., :2] + 0.05 * rng.normal(size=(40, 3, 2))
    change = _fit.least(x, error)
    flat, target = (x - x.mean((0, 1))).reshape(-1, 5), (error - error.mean((0, 1))).reshape(-1, 2)
    power = flat.T @ flat
    options = [
        np.linalg.solve(power + ridge * np.diag(np.diag(power)), flat.T @ target).T for ridge in _fit.RIDGES
    ]
    assert min(np.abs(change - option).max() for option in options) < 1e-9
    assert np.square(target - flat @ change.T).sum() < 0.05 * np.square(target).sum()


def test_noise_that_inputs_say_nothing_of_is_not_fitted() -> None:
    rng = np.random.default_rng(1)
    change = _fit.least(rng.normal(size=(20, 2, 30)), rng.normal(size=(20, 2, 4)))
    x, error = rng.normal(size=(4000, 30)), rng.normal(size=(4000, 4))
    assert np.square(error - x @ change.T).mean() < 1.1 * np.square(error).mean()
    exact = np.linalg.lstsq(x[:40], error[:40], rcond=None)[0]  # what would be without a ridge
    assert np.square(error - x @ exact).mean() > 2.0 * np.square(error).mean()


@pytest.mark.parametrize(("method", "timesteps"), [("pmsm", 1), ("ecmt", 2)])
def test_correction_brings_images_it_has_not_seen_nearer(method: str, timesteps: int) -> None:
    graph = mini_vit(seed=5, depth=2, dim=16, hidden=32)
    x = images(graph, 64, seed=9)
    truth = interp.run(graph, x, timesteps=1).outputs[0]
    error = {}
    for correct in ("none", "weights"):
        spiking = convert(graph, method, timesteps, levels=3, correct=correct)
        error[correct] = np.abs(interp.run(spiking, x).outputs[-1] / timesteps - truth).mean()
    assert error["weights"] < 0.9 * error["none"]


def test_channels_are_those_of_the_layers_that_read_a_site() -> None:
    graph = mini_vit()
    assert {site for site in sites(graph) if channels(graph, site) is None} == {
        "b0.q", "b0.k", "b0.v", "b0.softmax",
    }  # fmt: skip
    own = channels(graph, "b0.mix")
    assert own is not None and own.of.tolist() == [[[0, 1, 2, 3]], [[4, 5, 6, 7]]]
    weight = graph.nodes["b0.proj"].weight
    np.testing.assert_allclose(own.gram, weight.T @ weight)
    x = np.random.default_rng(0).normal(size=(3, 2, 5, 4))
    np.testing.assert_array_equal(own.rows(x), x.transpose(0, 2, 1, 3).reshape(-1, 8))
    errors = own.rows(x) - own.rows(x).mean(0)
    assert own.cost(own.rows(x)) == pytest.approx(np.square(errors @ weight.T).sum() / len(errors))


def stretched(graph: Graph) -> Graph:
    """The same function with channels of the first norm over a factor of 32."""
    factors = np.exp2(np.linspace(-2.5, 2.5, 8).round())
    nodes: dict[str, Any] = dict(graph.nodes)
    norm = nodes["b0.norm1"]
    scaled = {key: norm.params[key] * factors for key in ("gamma", "beta")}
    nodes["b0.norm1"] = replace(norm, params={**norm.params, **scaled})
    for part in "qkv":
        nodes[f"b0.{part}"] = replace(nodes[f"b0.{part}"], weight=nodes[f"b0.{part}"].weight / factors)
    return Graph(nodes, graph.values, graph.header)


@pytest.mark.parametrize(
    ("method", "timesteps", "options"), [("pmsm", 1, {"steps": "channel"}), ("ecmt", 2, {"bases": "channel"})]
)
def test_units_by_channel_undo_how_channels_are_scaled(
    method: str, timesteps: int, options: dict[str, str]
) -> None:
    graph, further = stretched(mini_vit()), stretched(stretched(mini_vit()))
    x = images(graph, 32, seed=4)
    np.testing.assert_allclose(interp.run(further, x).outputs, interp.run(graph, x).outputs, rtol=1e-12)
    found = [interp.run(convert(g, method, timesteps, **options), x).outputs for g in (graph, further)]
    np.testing.assert_allclose(found[0], found[1], rtol=1e-9)


@pytest.mark.parametrize(
    ("method", "timesteps", "options"),
    [
        ("pmsm", 1, {"steps": "channel", "correct": "weights"}),
        ("spikezip", 8, {"steps": "channel"}),
        ("ecmt", 2, {"bases": "channel", "correct": "weights", "preset": "headline"}),
    ],
)
def test_integers_with_units_by_channel_follow_the_floats_on_every_backend(
    method: str, timesteps: int, options: dict[str, str]
) -> None:
    graph = stretched(mini_vit())
    x = images(graph, 32)
    spiking = convert(graph, method, timesteps, **options)
    integer = quantize.quantize(spiking, calibrate.measure(spiking, x))
    per_channel = [n for n in integer.of(Neuron) if np.ndim(integer.values[n.name].fixed.scale)]
    assert per_channel
    np.testing.assert_array_equal(CPU.run(Program(integer), x, ())[0].outputs, interp.run(integer, x).outputs)
    seen, truth = (interp.run(g, x).outputs[-1] for g in (integer, spiking))
    scale = float(integer.values[integer.output.name].fixed.scale)
    assert np.abs(seen * scale - truth).mean() < 0.1 * np.abs(truth).mean()


def test_channels_that_are_alike_share_a_step() -> None:
    graph = mini_vit()
    shared, own = (convert(graph, "pmsm", 1, preset="mse", steps=steps) for steps in ("tensor", "channel"))
    assert own.content_hash() == shared.content_hash()
    far = convert(stretched(graph), "pmsm", 1, preset="mse", steps="channel")
    assert np.ndim(far.nodes["b0.norm1.ms"].params["step"]) > 0


def test_steps_by_channel_are_of_least_error_only() -> None:
    with pytest.raises(UsageError, match="ND303"):
        METHODS["pmsm"].configure({"steps": "channel", "init": "entropy"})
