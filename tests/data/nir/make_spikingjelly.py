"""As ``make.py``, with SpikingJelly 2.0.0, which needs Python 3.11: its networks and what it computes itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from spikingjelly.activation_based import functional, neuron
from spikingjelly.activation_based.nir_exchange import export_to_nir

HERE = Path(__file__).parent
TICKS = 24


def write(name: str, make: Callable[[], torch.nn.Module], x: torch.Tensor, **options: object) -> None:
    """One file with its recording: step mode ``s``, a tick at a time."""
    torch.manual_seed(3)
    net = make().eval()
    export_to_nir(net, x[0][None], HERE / f"spikingjelly_{name}.nir")
    functional.reset_net(net)
    with torch.no_grad():
        y = torch.stack([net(frame[None])[0] for frame in x])
    asked = {"dt": 1e-4, "integrator_dt": 1e-4, "readout": "last", **options}
    np.savez_compressed(
        HERE / f"spikingjelly_{name}.npz",
        x=x.numpy().astype(np.uint8),
        y=y.numpy().astype(np.float32),
        options=np.array(json.dumps(asked)),
    )
    print(f"{name}: mean output {float(y.mean()):.3f}")


def scaled(module: torch.nn.Module, gain: float) -> torch.nn.Module:
    """Weights large enough that neurons fire."""
    with torch.no_grad():
        module.weight *= gain
    return module


def dense(first: torch.nn.Module, last: torch.nn.Module, gain: float = 3.0) -> torch.nn.Module:
    one, two = scaled(torch.nn.Linear(8, 12), gain), scaled(torch.nn.Linear(12, 5), gain)
    return torch.nn.Sequential(one, first, two, last)


def main() -> None:
    torch.manual_seed(0)
    x, image = (torch.rand(TICKS, 8) < 0.4).float(), (torch.rand(TICKS, 2, 8, 8) < 0.4).float()
    write("lif_if", lambda: dense(neuron.LIFNode(tau=2.0), neuron.IFNode()), x)
    low = {"v_reset": -0.25, "v_threshold": 0.75}
    write("lif_reset", lambda: dense(neuron.LIFNode(tau=3.0, decay_input=False, **low), neuron.LIFNode(**low), 8.0), x,
          start="rest")  # fmt: skip
    cuba = lambda v_decay: neuron.CUBALIFNode(c_decay=0.5, v_decay=v_decay)
    write("cuba", lambda: dense(cuba(0.75), cuba(0.5)), x)
    write(
        "conv",
        lambda: torch.nn.Sequential(
            scaled(torch.nn.Conv2d(2, 4, 3, padding="same", dilation=2), 3.0), neuron.IFNode(), torch.nn.AvgPool2d(2),
            torch.nn.Flatten(), scaled(torch.nn.Linear(64, 5), 40.0), neuron.LIFNode(tau=2.0),
        ),
        image,
    )  # fmt: skip


if __name__ == "__main__":
    main()
