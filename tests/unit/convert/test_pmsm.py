"""PMSM-compatible conversion: the first tick is the quantised ANN, the residue is carried on."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import ndtr, softmax

from neurodeploy import calibrate, quantize
from neurodeploy.convert import _quantisers as quantisers
from neurodeploy.convert import pmsm
from neurodeploy.convert._sites import sites
from neurodeploy.ir import interp
from neurodeploy.ir.graph import Graph
from neurodeploy.ir.nodes import Micro, Neuron, Product
from tests.networks import images, mini_vit

METHOD = pmsm.MEMBER


def convert(graph: Graph, timesteps: int = 1, **options: object) -> Graph:
    _, config = METHOD.configure(options)
    return METHOD.rewrite(graph, config, images(graph, 64), timesteps)


def quantised_ann(graph: Graph, layers: dict[str, dict], x: np.ndarray) -> np.ndarray:
    """Logits of the mini ViT with fake quantisation, written out by hand: no graph is run."""
    nodes = graph.nodes

    def q(name: str, a: np.ndarray) -> np.ndarray:
        p = layers[name]
        return p["step"] * np.clip(np.floor(a / p["step"] + 0.5), -p["negative"], p["positive"])

    def linear(name: str, a: np.ndarray) -> np.ndarray:
        return a @ nodes[name].weight.T + nodes[name].bias

    def norm(name: str, a: np.ndarray) -> np.ndarray:
        p, mean = nodes[name].params, a.mean(axis=-1, keepdims=True)
        variance = ((a - mean) ** 2).mean(axis=-1, keepdims=True)
        return (a - mean) / np.sqrt(variance + p["eps"]) * p["gamma"] + p["beta"]

    kernel = nodes["patch"].weight[:, 0]
    u = np.zeros((len(x), 5, 8))
    for i in range(4):
        patch = x[:, 0, i // 2 * 2 : i // 2 * 2 + 2, i % 2 * 2 : i % 2 * 2 + 2] / 16
        u[:, i + 1] = np.einsum("bij,oij->bo", patch, kernel) + nodes["patch"].bias
    u = u + nodes["pos"].value
    split = lambda a: a.reshape(len(x), 5, 2, 4).transpose(0, 2, 1, 3)
    a = q("b0.norm1", norm("b0.norm1", u))
    qkv = [split(q(f"b0.{part}", linear(f"b0.{part}", a))) for part in "qkv"]
    scores = np.einsum("bhnc,bhmc->bhnm", qkv[0], qkv[1]) * 4**-0.5
    weights = q("b0.softmax", softmax(scores, axis=-1))
    mixed = q("b0.mix", np.einsum("bhnm,bhmc->bhnc", weights, qkv[2])).transpose(0, 2, 1, 3)
    u = u + linear("b0.proj", mixed.reshape(len(x), 5, 8))
    hidden = linear("b0.fc1", q("b0.norm2", norm("b0.norm2", u)))
    u = u + linear("b0.fc2", q("b0.gelu", hidden * ndtr(hidden)))
    return linear("head", norm("norm", u[:, :1]))[:, 0]


@pytest.mark.parametrize("init", ["mse", "entropy"])
def test_first_tick_is_the_quantised_ann(init: str) -> None:
    graph = mini_vit(seed=4)
    spiking = convert(graph, preset="mse", init=init)
    layers = {n.inputs[0]: n.params for n in spiking.of(Neuron)}
    x = images(graph, 40, seed=3)
    np.testing.assert_allclose(
        interp.run(spiking, x).outputs[0], quantised_ann(graph, layers, x), rtol=0, atol=1e-9
    )


def fake_quantised(graph: Graph, layers: dict[str, dict], x: np.ndarray, integer: bool) -> np.ndarray:
    """The network node by node, the quantisation layer in place of every neuron, no state anywhere."""
    tick = interp._Tick(graph, {}, 1, integer, {}, len(x))
    env: dict[str, np.ndarray] = {}
    for node in graph:
        args = [env[i] for i in node.inputs] if node.inputs else [x]
        if isinstance(node, Neuron):
            p = node.params
            if integer:  # floor(m / theta + 1/2) in integers
                k = np.clip((2 * args[0] + p["theta"]) // (2 * p["theta"]), -p["negative"], p["positive"])
                env[node.name] = k
            else:
                k = np.clip(np.floor(args[0] / p["step"] + 0.5), -p["negative"], p["positive"])
                env[node.name] = p["step"] * k
        else:
            env[node.name] = interp.MEANING[type(node)](node, args, tick)
    return env[graph.output.name]


def test_first_tick_is_the_quantised_ann_bit_for_bit_in_floats_and_in_integers() -> None:
    graph = mini_vit(seed=2)
    spiking, x = convert(graph), images(graph, 40, seed=8)
    assert {n.timing for n in spiking.of(Micro, Product)} == {"instant"}
    layers = {n.inputs[0]: n.params for n in spiking.of(Neuron)}
    assert np.array_equal(interp.run(spiking, x).outputs[0], fake_quantised(spiking, layers, x, False))
    whole = quantize.quantize(spiking, calibrate.measure(spiking, images(graph, 64)))
    assert np.array_equal(interp.run(whole, x).outputs[0], fake_quantised(whole, layers, x, True))


def test_error_falls_over_ticks_where_nothing_is_clipped() -> None:
    graph = mini_vit(seed=5)
    x = images(graph, 16, seed=2)
    truth = interp.run(graph, x, timesteps=1).outputs[0]
    spiking = convert(graph, 32, step_scale=2.0)
    outputs = interp.run(spiking, x).outputs
    errors = {t: np.abs(outputs[t - 1] / t - truth).mean() for t in (2, 8, 32)}
    assert errors[8] < errors[2] / 2 and errors[32] < errors[8] / 2


@pytest.mark.parametrize(("levels", "best"), [(1, 1.223), (2, 0.843), (4, 0.532), (8, 0.317), (15, 0.192)])
def test_steps_of_a_gaussian_are_the_known_optima(levels: int, best: float) -> None:
    x = np.random.default_rng(0).normal(size=1 << 18)
    x = np.concatenate([x, -x])  # symmetric: as many counts on either side
    _, config = METHOD.configure({"levels": levels})
    found = quantisers.layer(x, config)
    assert found["step"] == pytest.approx(best, rel=0.06)
    assert found["positive"] == found["negative"] == levels


def test_entropy_is_largest_at_the_known_step() -> None:
    x = np.random.default_rng(0).normal(size=1 << 18)
    _, config = METHOD.configure({"preset": "mse", "levels": 4, "init": "entropy"})
    found = quantisers.layer(np.concatenate([x, -x]), config)
    assert found["step"] == pytest.approx(0.334, rel=0.06)
    assert quantisers.entropy(x, found["step"], 4, 4) == pytest.approx(3.150, abs=0.01)


def test_counts_go_where_values_are() -> None:
    spiking = convert(mini_vit())
    params = {n.inputs[0]: n.params for n in spiking.of(Neuron)}
    assert set(params) == set(sites(mini_vit()))
    assert params["b0.softmax"]["negative"] == 0 and params["b0.softmax"]["positive"] == 30
    assert 0 < params["b0.gelu"]["negative"] < params["b0.gelu"]["positive"]
    assert all(p["negative"] + p["positive"] == 30 for p in params.values())


def test_every_option_is_described() -> None:
    assert all(field.description for field in quantisers.QuantiserConfig.model_fields.values())


def test_values_that_come_in_parts_are_those_that_one_array_gives() -> None:
    x = np.random.default_rng(2).normal(size=(quantisers.VALUES * 3 + 7, 3)).ravel()
    seen = quantisers._Seen(None, len(x))
    for part in np.split(x, [5, 1000, 1001, len(x) // 2]):
        seen.add(part)
    stride = quantisers.spaced(len(x), quantisers.VALUES)
    np.testing.assert_array_equal(np.concatenate(seen.parts).ravel(), x[::stride])
    assert seen.top == np.abs(x).max()
    _, config = METHOD.configure({"levels": 4})
    assert seen.layer(config) == quantisers.layer(x, config)


@pytest.mark.parametrize(
    ("count", "wanted"), [(1 << 21, 1 << 16), (3 << 18, 1 << 16), (100, 1 << 16), (7, 3)]
)
def test_chosen_values_are_of_every_channel_and_token(count: int, wanted: int) -> None:
    stride = quantisers.spaced(count, wanted)
    for axis in (n for n in (2, 3, 4, 16, 512) if count % n == 0 and n * stride <= count):
        assert len(set(np.arange(0, count, stride) % axis)) == axis
    assert stride == 1 or count / stride > wanted / 3
