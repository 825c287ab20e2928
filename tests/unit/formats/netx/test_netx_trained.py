"""Networks trained with lava-dl's slayer and exported by it: ours equal netx under Lava at every layer and step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.netx_files import spikes
from tests.unit.formats.netx.test_netx_equals_lava import agree

pytestmark = pytest.mark.needs("lava.lib.dl.netx.hdf5")
TICKS = 20


def train(network: Any, make: Any, loss: Any, steps: int = 12) -> tuple[float, float]:
    """A few steps of Adam on fresh batches; the first and the last loss."""
    import torch

    optimiser = torch.optim.Adam(network.parameters(), lr=0.01)
    found = []
    for step in range(steps):
        x, target = make(step)
        value = loss(network(x), target)
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
        found.append(float(value))
    return found[0], found[-1]


def exported(blocks: Any, path: Path) -> Path:
    """The file that slayer's own export writes, block by block."""
    import h5py

    with h5py.File(path, "w") as file:
        for index, block in enumerate(blocks):
            block.export_hdf5(file.create_group(f"layer/{index}"))
    return path


def bars(step: int, side: int = 8, samples: int = 16) -> tuple[np.ndarray, np.ndarray]:
    """Images (B, 1, side, side) with a vertical or a horizontal bar, and which it is."""
    rng = np.random.default_rng(step)
    label, place = rng.integers(0, 2, samples), rng.integers(1, side - 1, samples)
    image = np.zeros((samples, 1, side, side), np.float32)
    for i, (kind, p) in enumerate(zip(label, place, strict=True)):
        image[i, 0, p, :] = kind == 0
        image[i, 0, :, p] += kind == 1
    return np.minimum(image, 1), label


def test_cuba_convolution_and_dense(tmp_path: Path) -> None:
    import torch
    from lava.lib.dl import slayer

    torch.manual_seed(3)
    neuron = {"threshold": 1.0, "current_decay": 0.4, "voltage_decay": 0.1, "requires_grad": False}
    blocks = torch.nn.ModuleList(
        [
            slayer.block.cuba.Conv(neuron, 1, 4, 3, stride=2, padding=1, weight_scale=3, delay=False),
            slayer.block.cuba.Flatten(),
            slayer.block.cuba.Dense(neuron, 64, 12, weight_scale=3, weight_norm=True),
            slayer.block.cuba.Dense(neuron, 12, 2, weight_scale=3),
        ]
    )
    network = torch.nn.Sequential(*blocks)

    def make(step: int) -> tuple[Any, Any]:
        image, label = bars(step)
        drawn = np.random.default_rng(step).random((*image.shape, TICKS)) < image[..., None] * 0.8 + 0.05
        return torch.from_numpy(drawn.astype(np.float32)), torch.from_numpy(label)

    def loss(out: Any, target: Any) -> Any:
        return torch.nn.functional.cross_entropy(out.sum(-1), target)

    first, last = train(network, make, loss)
    assert last < first
    path = exported(blocks, tmp_path / "trained.net")
    values = agree(
        path, spikes(np.random.default_rng(1), TICKS, 1, 8, 8), input_shape=(8, 8, 1), reset_interval=16
    )
    assert values["layer0"].shape == (TICKS, 4, 4, 4)


@pytest.mark.slow
def test_sigma_delta(tmp_path: Path) -> None:
    import torch
    from lava.lib.dl import slayer

    torch.manual_seed(4)
    neuron = {
        "threshold": 0.1,
        "tau_grad": 0.1,
        "scale_grad": 0.2,
        "requires_grad": False,
        "shared_param": True,
    }
    params = {**neuron, "activation": torch.nn.functional.relu}
    block = slayer.block.sigma_delta
    blocks = torch.nn.ModuleList(
        [
            block.Conv(params, 1, 3, 3, stride=2, padding=1, weight_scale=2),
            block.Flatten(),
            block.Dense(params, 48, 10, weight_scale=2),
            block.Output(params, 10, 2, weight_scale=2),
        ]
    )
    network = torch.nn.Sequential(*blocks)

    def make(step: int) -> tuple[Any, Any]:
        image, label = bars(step)
        first = torch.zeros(*image.shape, 6)
        first[..., 0] = torch.from_numpy(image)  # what a delta encoder sends for an image that stays
        return first, torch.from_numpy(label)

    def loss(out: Any, target: Any) -> Any:
        return torch.nn.functional.cross_entropy(out[..., -1], target)

    before, after = train(network, make, loss)
    assert after < before
    path = exported(blocks, tmp_path / "trained.net")
    rng = np.random.default_rng(2)
    # slayer's 1.0 is 64 in weights and thresholds, and 64 << spike_exp on the wire
    x = rng.integers(-4096, 4097, (TICKS, 1, 8, 8)) * (rng.random((TICKS, 1, 8, 8)) < 0.2)
    values = agree(path, x, input_shape=(8, 8, 1), input_message_bits=16)
    assert np.unique(values["layer3"][-1]).size == 2
