"""Networks of published shapes as .net files, imported and mapped: fewer cores than Intel's compiler printed.

Print-outs of lava-dl's notebooks for Loihi 2: MNIST 784-128-64-10 and Oxford 200-256-200 took 5 cores, YOLO-KP 574.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neurodeploy.formats.netx import MEMBER as NETX
from neurodeploy.formats.netx import READER
from neurodeploy.ir.graph import Graph
from neurodeploy.mapping.demand import dense_row, kernel_entry, weight_bits
from neurodeploy.mapping.mapper import map_graph
from neurodeploy.passes.balance import balance
from neurodeploy.target import load
from tests.netx_files import SDNN, conv, dense, weights, write_net

LOIHI2 = load("loihi2")
RNG = np.random.default_rng(0)


def imported(path: Path, layers: list[dict[str, Any]], **options: Any) -> Graph:
    return balance(READER.load(write_net(path, layers), NETX.configure(options), 8))


def words_per_axon(graph: Graph, synapse: str, targets: int) -> int:
    """Synapse words that one axon reads on a core of so many targets."""
    bits = weight_bits(graph.nodes[synapse].weight)
    return dense_row(targets, LOIHI2.limits.weight_bits.round_up(bits), LOIHI2)


def test_mnist_perceptron(tmp_path: Path) -> None:
    layers = [dense(weights(RNG, out, into)) for into, out in ((784, 128), (128, 64), (64, 10))]
    graph = imported(tmp_path / "mnist.net", layers)
    mapping = map_graph(graph, LOIHI2, optimise="cores")
    assert mapping.fits and len(mapping.cores) < 5
    printed = {"layer0": (50, 16), "layer1": (64, 21), "layer2": (10, 4)}
    for layer, (targets, words) in printed.items():
        assert words_per_axon(graph, f"{layer}.synapse", targets) == words
    stored = {p.demand.neurons: p.demand.synapse_words for core in mapping.cores for p in core.pieces}
    assert (stored[64], stored[10]) == (128 * 21, 64 * 4)


def test_oxford_network(tmp_path: Path) -> None:
    """Seven bits, which are stored as eight."""
    layers = [dense(weights(RNG, out, into, low=-128, high=126)) for into, out in ((200, 256), (256, 200))]
    graph = imported(tmp_path / "oxford.net", layers)
    mapping = map_graph(graph, LOIHI2, optimise="cores")
    assert mapping.fits and len(mapping.cores) < 5
    assert words_per_axon(graph, "layer0.synapse", 256) == 81
    assert words_per_axon(graph, "layer1.synapse", 200) == 63


#: channels, kernel, stride, weight bits, printed words per (kx, ky, cin) entry for this many channels on a core
YOLO = [
    (16, 3, 2, 5, 2, 16),
    (32, 3, 2, 5, 4, 32),
    (64, 3, 2, 5, 6, 64),
    (128, 3, 2, 5, 11, 128),
    (256, 3, 1, 5, 11, 128),
    (256, 3, 2, 4, 5, 64),
    (512, 3, 1, 5, 6, 64),
    (256, 1, 1, 5, 21, 256),
    (512, 3, 1, 5, 6, 64),
    (48, 1, 1, 6, 6, 48),
]


@pytest.mark.slow
def test_yolo_kp(tmp_path: Path) -> None:
    """A sigma-delta network; 8-bit images come in as changes."""
    layers: list[dict[str, Any]] = [{"type": "input", "shape": np.array([3, 448, 448])}]
    channels, side = 3, 448
    for width, kernel, stride, bits, _, _ in YOLO:
        top = 1 << (bits - 1)
        weight = 2 * RNG.integers(-top, top, (width, channels, kernel, kernel))
        weight.flat[0] = -2 * top
        channels, side = width, side // stride
        geometry = {"stride": np.array([stride, stride]), "padding": np.array([kernel // 2, kernel // 2])}
        layers.append(conv(weight.astype(np.float32), (width, side, side), SDNN, **geometry))
    graph = imported(tmp_path / "yolo.net", layers, input_message_bits=8)
    mapping = map_graph(graph, LOIHI2, chips=13, optimise="cores")
    assert mapping.fits and len(mapping.cores) < 574
    for i, (*_, bits, words, on_core) in enumerate(YOLO, 1):
        found = weight_bits(graph.nodes[f"layer{i}.synapse"].weight)
        assert found == bits
        assert abs(kernel_entry(on_core, found, LOIHI2) - words) <= 1
