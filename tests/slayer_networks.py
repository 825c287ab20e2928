"""Small networks of lava-dl's slayer, as its tutorials build them and at random; torch and Lava are imported later."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tests.later import Later, torch

slayer = Later("lava.lib.dl.slayer")
CUBA = {"threshold": 1.25, "current_decay": 0.25, "voltage_decay": 0.03, "tau_grad": 0.03, "scale_grad": 3}
RF = {"threshold": 0.5, "period": 7.3, "decay": 0.1}


def sdnn(**more: Any) -> dict[str, Any]:
    """Parameters of sigma-delta neurons."""
    return {"threshold": 0.1, "activation": torch.nn.functional.relu, **more}


def normed(channels: int, scale: float = 0.3, **more: Any) -> dict[str, Any]:
    """Parameters of CUBA neurons with a norm that has seen data."""

    def norm() -> Any:
        made = slayer.neuron.norm.MeanOnlyBatchNorm(num_features=channels)
        made.running_mean.copy_(scale * torch.randn(channels))
        return made

    return {**CUBA, "norm": norm, **more}


def delayed(block: Any, delays: Any) -> Any:
    """A block with trained delays."""
    block.delay.delay.data, block.delay.init = torch.as_tensor(np.asarray(delays, np.float32)), True
    return block


def nmnist() -> Any:
    """Dense layers with weight norm, dropout and delays, and the event rate as a second result."""

    class Network(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            drop = {**CUBA, "requires_grad": True, "dropout": slayer.neuron.Dropout(p=0.05)}
            make = slayer.block.cuba.Dense
            first = make(drop, 72, 24, weight_norm=True, weight_scale=4, delay=True)
            self.blocks = torch.nn.ModuleList(
                [
                    slayer.block.cuba.Flatten(),
                    delayed(first, 0.4 * np.arange(24)),
                    make(drop, 24, 16, weight_norm=True, weight_scale=4, delay=True),
                    make({**CUBA, "threshold": 0.5}, 16, 4, weight_norm=True, weight_scale=4),
                ]
            )

        def forward(self, spike: Any) -> Any:
            count = []
            for block in self.blocks:
                spike = block(spike)
                count.append(torch.mean(spike).item())
            return spike, torch.FloatTensor(count)

    return Network()


def convolutions() -> Any:
    """Every kind of CUBA block in front of voltages, with kernels that are not square."""
    block, quick = slayer.block.cuba, {**CUBA, "threshold": 0.5}
    return torch.nn.Sequential(
        block.Conv(CUBA, 2, 4, (3, 2), stride=(2, 1), padding=(1, 0), weight_scale=4, delay=True),
        block.Conv(quick, 4, 6, 3, padding=2, dilation=2, groups=2, weight_scale=4),
        block.Pool(quick, (3, 5), weight_scale=0.5),
        block.Flatten(),
        block.Affine(CUBA, 6, 3, weight_scale=3),
    )


def pilotnet() -> Any:
    """Images that charge neurons, norms between them, and an affine read-out."""
    block = slayer.block.cuba
    return torch.nn.Sequential(
        block.Input({**CUBA, "threshold": 0.5}, weight=1, bias=0),
        block.Conv(normed(6), 2, 6, 3, stride=2, weight_scale=3, weight_norm=True),
        block.Flatten(),
        block.Dense(normed(12), 24, 12, weight_scale=3),
        block.Affine(CUBA, 12, 2),
    )


def recurrent() -> Any:
    """Neurons that hear each other, and the sum of currents."""
    block, params = slayer.block.cuba, {**CUBA, "threshold": 0.5}
    made = block.Recurrent(dict(params), 72, 16, weight_scale=4, delay=True)
    return torch.nn.Sequential(
        block.Flatten(), delayed(made, [2.5] * 16), block.Affine(params, 16, 3, dynamics=False)
    )


def undelayed() -> Any:
    """No tick between the layers, a norm at the end, another scale, thresholds from 0 to beyond single precision."""
    block = slayer.block.cuba
    return torch.nn.Sequential(
        block.Flatten(),
        block.Dense({**CUBA, "scale": 32}, 72, 20, weight_scale=4, delay_shift=False),
        block.Dense(
            {**CUBA, "threshold": 0}, 20, 10, weight_scale=3, delay_shift=False, mask=torch.rand(10, 20) < 0.5
        ),
        block.Dense({**CUBA, "threshold": 70}, 10, 6, weight_scale=9, delay_shift=False),
        block.Dense(normed(4), 6, 4, weight_scale=9, delay_shift=False),
    )


def resonators(kind: str) -> Any:
    """Complex weights, decays of each neuron in the first layer."""
    block = getattr(slayer.block, kind)
    several = {**RF, "shared_param": False, "period": (5.0, 9.0), "decay": (0.1, 0.2)}
    made = torch.nn.Sequential(
        block.Flatten(),
        block.Dense(several, 72, 16, weight_scale=4),
        block.Dense(RF, 16, 4, weight_scale=8, weight_norm=True),
    )
    made(torch.zeros(1, 2, 6, 6, 2))
    return made


def sigma_delta(first: bool = True) -> Any:
    """Changes of images, or of what is sent, and their sum as the read-out."""
    block = slayer.block.sigma_delta
    entry = [block.Input(sdnn())] if first else []
    return torch.nn.Sequential(
        *entry,
        block.Conv(sdnn(), 2, 3, 3, stride=2, padding=1, weight_scale=2, delay_shift=True),
        block.Flatten(),
        block.Dense(sdnn(threshold=0.25), 27, 10, weight_scale=2, weight_norm=True),
        block.Output(sdnn(), 10, 2, weight_scale=2),
    )


@dataclass(frozen=True)
class Case:
    """A network on (2, 6, 6), and what its raw inputs are worth and reach."""

    make: Callable[[], Any]
    scale: float = 1.0
    high: int = 1


CASES = {
    "nmnist": Case(nmnist),
    "convolutions": Case(convolutions),
    "pilotnet": Case(pilotnet, 1 / 32, 32),
    "recurrent": Case(recurrent),
    "undelayed": Case(undelayed),
    "rf": Case(lambda: resonators("rf")),
    "rf_iz": Case(lambda: resonators("rf_iz")),
    "sigma_delta": Case(sigma_delta, 1 / 32, 32),
    "changes": Case(lambda: sigma_delta(False), 1 / 4096, 4096),
}


def random_network(seed: int) -> Case:
    """Three to five CUBA or sigma-delta layers of random sizes, decays, thresholds, delays and norms."""
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    changes = rng.random() < 0.3
    block = slayer.block.sigma_delta if changes else slayer.block.cuba

    def params(channels: int) -> dict[str, Any]:
        if changes:
            return sdnn(threshold=int(rng.integers(1, 40)) / 64)
        own = {
            "threshold": float(rng.integers(0, 200)) / 64,
            "current_decay": float(rng.choice([0, 0.1, 0.5, 1])),
            "voltage_decay": float(rng.choice([0, 0.02, 0.3, 1])),
        }
        return normed(channels, **own) if rng.random() < 0.3 else own

    channels = int(rng.integers(2, 6))
    shift = {"delay_shift": bool(rng.random() < 0.5)}
    layers = [block.Conv(params(channels), 2, channels, 3, padding=1, stride=2, weight_scale=3, **shift)]
    layers.append(block.Flatten())
    size = 9 * channels
    for _ in range(int(rng.integers(1, 3))):
        out = int(rng.integers(3, 12))
        made = params(out)
        late = "norm" not in made and rng.random() < 0.5
        dense = block.Dense(made, size, out, weight_scale=4, weight_norm=bool(rng.random() < 0.5), delay=late)
        layers.append(delayed(dense, rng.random(out) * 5) if late else dense)
        size = out
    layers.append(block.Output(sdnn(), size, 3) if changes else block.Affine(CUBA, size, 3))
    return Case(lambda: torch.nn.Sequential(*layers), 1 / 4096 if changes else 1.0, 255 if changes else 1)
