"""Imported .net files against lava-dl's own netx under Lava: every spike of every layer at every step, bit for bit.

The interpreter, the cpu backend and loihi-sim run the imported graph; netx 0.6.0 runs the file under Lava's fixed-point
process models.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neurodeploy.backends.cpu import MEMBER as CPU
from neurodeploy.backends.loihi_sim import MEMBER as LOIHI_SIM
from neurodeploy.formats.netx import MEMBER as NETX
from neurodeploy.formats.netx import READER
from neurodeploy.image import encode
from neurodeploy.ir import interp
from neurodeploy.ir.graph import Graph
from neurodeploy.mapping.mapper import map_graph
from neurodeploy.passes.balance import balance
from neurodeploy.program import Program
from neurodeploy.target import load
from tests.fast import fast
from tests.netx_files import CUBA, FLATTEN, RF, SDNN, conv, dense, run_netx, spikes, weights, write_net

pytestmark = pytest.mark.needs("lava.lib.dl.netx.hdf5")
TICKS = 24


def ours(
    path: Path, x: np.ndarray, mapped: bool = True, **options: Any
) -> tuple[Graph, dict[str, np.ndarray], dict[str, int]]:
    """The graph, and the values of its neurons at every tick, after the three runners agreed on all of them."""
    graph = READER.load(path, NETX.configure(options), len(x))
    names = list(graph.nodes)
    wanted = interp.run(graph, x[None], names)
    program, target = Program(balance(graph)), load("loihi-sim")
    if mapped:
        program = replace(program, mapping=encode(program.graph, map_graph(program.graph, target), target))
    for backend in (CPU, LOIHI_SIM) if mapped else (CPU,):
        found, _ = backend.run(program, x[None], names)
        for name in names:
            assert np.array_equal(found.values[name], wanted.values[name]), (backend.name, name)
        assert np.array_equal(found.outputs, wanted.outputs)
    return graph, {n: v[:, 0] for n, v in wanted.values.items()}, wanted.saturations


def agree(path: Path, x: np.ndarray, bias: np.ndarray | None = None, **options: Any) -> dict[str, np.ndarray]:
    """Ours equal netx's; a layer that never fires equals netx's voltage. Every other layer has to be active."""
    shared = {k: v for k, v in options.items() if k not in ("readout", "input_range", "mapped", "truncate")}
    graph, values, saturations = ours(
        path, x if bias is None else np.tile(bias, (len(x), *[1] * bias.ndim)), **options
    )
    # Lava clips voltages too; it does not clip messages, so nothing may have been cut off there
    clipped = {graph.nodes[name].model for name, count in saturations.items() if count}
    assert not clipped & {"delta", "sigma", "sigma_delta"}
    layers = [n for n in graph.nodes.values() if n.kind == "neuron"]
    theirs = run_netx(path, x, bias, **shared)
    assert len(layers) == len(theirs)
    for node, record in zip(layers, theirs, strict=True):
        voltage = node.model == "cuba_voltage"
        assert np.array_equal(values[node.name], record["v" if voltage else "s"]), node.name
        assert values[node.name].any(), f"{node.name} is silent: nothing was compared"
    return values


@pytest.fixture(name="rng")
def _rng() -> np.random.Generator:
    return np.random.default_rng(5)


@pytest.mark.slow
def test_dense_layers_with_bias_decays_of_each_neuron_and_weights_at_the_edges(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    each = {**CUBA, "type": "LOIHI", "iDecay": rng.integers(0, 4097, 20), "vDecay": rng.integers(0, 4097, 20)}
    layers = [
        dense(weights(rng, 20, 30, low=-255, high=255), each, bias=rng.integers(-60, 60, 20)),
        dense(np.abs(weights(rng, 12, 20)) // 2, {**CUBA, "iDecay": 0, "vDecay": 0, "vThMant": 9000}),
        dense(weights(rng, 9, 12, low=-8, high=40)),
        dense(-np.abs(weights(rng, 6, 9, high=255, low=-254)), bias=np.full(6, 90.7)),
    ]
    # 255 beside negative weights takes nine bits, which Lava computes with and no core of the target holds
    agree(write_net(tmp_path / "a.net", layers), spikes(rng, TICKS, 30), mapped=False, truncate=True)


def test_recurrent_layer(tmp_path: Path, rng: np.random.Generator) -> None:
    rec = {**dense(weights(rng, 14, 10), {**CUBA, "vThMant": 200}), "type": "dense_rec"}
    layers = [
        {**rec, "weight_rec": weights(rng, 14, 14, low=-250, high=126), "bias": rng.integers(-9, 20, 14)}
    ]
    layers.append(dense(weights(rng, 4, 14)))
    agree(write_net(tmp_path / "a.net", layers), spikes(rng, TICKS, 10), reset_interval=9, reset_offset=4)


@pytest.mark.slow
def test_recurrent_layer_with_delays_keeps_netx_forgotten_shift(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    rec = {**dense(weights(rng, 8, 8, low=-30, high=28), {**CUBA, "vThMant": 900}), "type": "dense_rec"}
    delay = rng.integers(0, 7, (8, 8))
    path = write_net(
        tmp_path / "a.net", [{**rec, "weight_rec": weights(rng, 8, 8, low=-30, high=28), "delay": delay}]
    )
    agree(path, spikes(rng, TICKS, 8))


@pytest.mark.slow
def test_delays_of_all_shapes_and_their_clamp(tmp_path: Path, rng: np.random.Generator) -> None:
    high = {**CUBA, "vThMant": 20}
    layers = [
        dense(weights(rng, 9, 12), high, delay=np.float32(2.9)),
        dense(weights(rng, 7, 9), high, delay=rng.integers(0, 5, 9).astype(np.float32)),
        dense(weights(rng, 6, 7), high, delay=rng.integers(0, 4, 6)),
        dense(weights(rng, 6, 6), high, delay=np.array([0, 1, 2, 3, 4, 5])),
        dense(weights(rng, 3, 6), high, delay=np.where(np.eye(3, 6) > 0, 80, rng.integers(0, 3, (3, 6)))),
    ]
    agree(write_net(tmp_path / "a.net", layers), spikes(rng, 75, 12))


def test_convolutions_flatten_affine_readout_resets_and_a_skipped_input(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    two = {"stride": np.array([2, 1]), "padding": np.array([0, 1]), "dilation": np.array([1, 2]), "groups": 2}
    layers: list[dict[str, Any]] = [
        {"type": "input", "shape": np.array([2, 9, 8]), "neuron": CUBA, "weight": 64, "bias": 0},
        conv(weights(rng, 4, 1, 3, 2), (4, 4, 8), bias=rng.integers(-20, 30, 4), **two),
        conv(weights(rng, 6, 4, 2, 3), (6, 3, 6), bias=rng.integers(-20, 30, (6, 3, 6)), padding=0),
        FLATTEN,
        dense(weights(rng, 9, 108), bias=rng.integers(-9, 9, 9)),
        dense(weights(rng, 5, 9), None),
    ]
    path = write_net(tmp_path / "a.net", layers)
    agree(path, spikes(rng, TICKS, 2, 9, 8), skip_layers=1, reset_interval=8, reset_offset=3)


@pytest.mark.slow
def test_input_layer_takes_its_input_through_the_bias(tmp_path: Path, rng: np.random.Generator) -> None:
    layers: list[dict[str, Any]] = [
        {"type": "input", "shape": np.array([2, 5, 4]), "neuron": {**CUBA, "iDecay": 1000, "vThMant": 300}},
        conv(weights(rng, 3, 2, 3, 3), (3, 3, 2)),
        FLATTEN,
        dense(weights(rng, 5, 18)),
    ]
    path = write_net(tmp_path / "a.net", layers)
    image = rng.integers(-300, 600, (2, 5, 4))
    agree(path, np.zeros((TICKS, 2, 5, 4), int), bias=image, reset_interval=10)


@pytest.mark.parametrize("spike_exp", fast([6, 4], 6))
def test_sigma_delta_layers(tmp_path: Path, rng: np.random.Generator, spike_exp: int) -> None:
    layers = [
        {"type": "input", "shape": np.array([2, 6, 6]), "neuron": SDNN},
        conv(weights(rng, 4, 2, 3, 3, low=-60, high=60), (4, 4, 4), SDNN, bias=rng.integers(-40, 40, 4)),
        FLATTEN,
        dense(weights(rng, 8, 64, low=-60, high=60), SDNN, bias=rng.integers(-90, 90, 8)),
        dense(weights(rng, 3, 8, low=-60, high=60), {**SDNN, "sigma_output": True}),
    ]
    path = write_net(tmp_path / "a.net", layers)
    x = rng.integers(-200, 200, (TICKS, 2, 6, 6)) * (rng.random((TICKS, 2, 6, 6)) < 0.3)
    agree(path, x, skip_layers=1, spike_exp=spike_exp)


@pytest.mark.parametrize("kind", fast(["RF_PHASE", "RF"], "RF_PHASE"))
def test_resonate_and_fire_with_complex_weights(tmp_path: Path, rng: np.random.Generator, kind: str) -> None:
    def layer(out: int, into: int, **more: Any) -> dict[str, Any]:
        both = {"real": weights(rng, out, into), "imag": weights(rng, out, into, low=-90, high=200)}
        return {
            "type": "dense",
            "shape": np.array([out]),
            "weight": both,
            "neuron": {**RF, "type": kind, **more},
        }

    layers = [layer(12, 10), layer(8, 12, sinDecay=2500, cosDecay=-2900), dense(weights(rng, 4, 8))]
    agree(write_net(tmp_path / "a.net", layers), spikes(rng, 40, 10), reset_interval=12)


@pytest.mark.slow
def test_some_layers_only(tmp_path: Path, rng: np.random.Generator) -> None:
    layers = [
        dense(weights(rng, 9, 7)),
        dense(weights(rng, 6, 9)),
        dense(weights(rng, 5, 6)),
        dense(weights(rng, 2, 5)),
    ]
    path = write_net(tmp_path / "a.net", layers)
    values = agree(path, spikes(rng, TICKS, 9), skip_layers=1, num_layers=3, reset_interval=5)
    assert {"layer1", "layer2"} <= set(values) and not {"layer0", "layer3"} & set(values)


def test_graded_input_whose_sums_wrap_in_cuba_neurons(tmp_path: Path, rng: np.random.Generator) -> None:
    """Sums far beyond 2^17, where Loihi's 24-bit current ends; Lava goes on in int32, which wraps."""
    layers = [dense(weights(rng, 12, 90), {**CUBA, "vThMant": 131_000}), dense(weights(rng, 5, 12))]
    x = rng.integers(-32_767, 32_768, (TICKS, 90)) * (rng.random((TICKS, 90)) < 0.6)
    agree(write_net(tmp_path / "a.net", layers), x, input_message_bits=16)
