"""Writes the ``.nir`` files of this folder with snnTorch and Norse, and beside each what the library itself computes.

Not run by the tests: the libraries are not dependencies. Made with Python 3.10, torch 2.3.1, nir 1.0.8, nirtorch 2.6,
snntorch 1.0.0 and norse 1.1.0, by ``python make.py``. ``NAME.npz`` holds ``x`` (T, *input), ``y`` (T, *output):
spikes or voltages of the last layer at every tick, and, as text, the ``options`` that the reader needs.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import nir
import norse.torch as norse
import numpy as np
import snntorch as snn
import torch
from norse.torch.utils.export_nir import to_nir
from snntorch.export_nir import export_to_nir

HERE = Path(__file__).parent
TICKS = 24


def keep(name: str, graph: nir.NIRGraph, x: torch.Tensor, y: torch.Tensor, options: dict) -> None:
    """One file with its recording."""
    nir.write(HERE / f"{name}.nir", graph)
    np.savez_compressed(
        HERE / f"{name}.npz",
        x=x.numpy().astype(np.uint8),
        y=y.detach().numpy().astype(np.float32),
        options=np.array(json.dumps(options)),
    )
    print(f"{name}: mean output {float(y.mean()):.3f}, {len(graph.nodes)} nodes")


def spikes(*shape: int, rate: float = 0.4) -> torch.Tensor:
    return (torch.rand(TICKS, *shape) < rate).float()


def scaled(module: torch.nn.Module, gain: float) -> torch.nn.Module:
    """Weights large enough that neurons fire."""
    with torch.no_grad():
        module.weight *= gain
    return module


# --- snnTorch ----------------------------------------------------------------------------------------------------


def run_snntorch(net: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
    """Output of the last layer at each tick, states reset first."""
    for module in net.modules():
        for reset in ("reset_mem",):
            if hasattr(module, reset):
                getattr(module, reset)()
    out = []
    for frame in x:
        y = net(frame[None])
        out.append((y[0] if isinstance(y, tuple) else y)[0])
    return torch.stack(out)


def snntorch(name: str, make: Callable[[], torch.nn.Module], x: torch.Tensor, **options: object) -> None:
    torch.manual_seed(1)
    net = make()
    y = run_snntorch(net, x)
    graph = export_to_nir(net, x[0][None], ignore_dims=[0])
    at_once = {"reset": "value", "reset_delay": False}
    keep(f"snntorch_{name}", graph, x, y, {"dt": 1e-4, "readout": "last", **at_once, **options})


def dense(*neurons: torch.nn.Module, gain: float = 2.0) -> torch.nn.Module:
    first, last = neurons
    fc1, fc2 = scaled(torch.nn.Linear(8, 12), gain), scaled(torch.nn.Linear(12, 5), gain)
    return torch.nn.Sequential(fc1, first, fc2, last)


def ones(size: int, factor: float = 1.0) -> torch.Tensor:
    return factor * torch.ones(size)


def write_snntorch() -> None:
    torch.manual_seed(0)
    x, image = spikes(8), spikes(2, 8, 8)

    def leaky(size: int, **kw: object) -> torch.nn.Module:
        return snn.Leaky(beta=torch.linspace(0.6, 0.9, size), threshold=ones(size), init_hidden=True, **kw)

    def synaptic(size: int, **kw: object) -> torch.nn.Module:
        return snn.Synaptic(
            alpha=ones(size, 0.5), beta=ones(size, 0.8), threshold=ones(size), init_hidden=True, **kw
        )

    at_once = {"reset_mechanism": "zero", "reset_delay": False}
    snntorch("leaky", lambda: dense(leaky(12, **at_once), leaky(5, **at_once)), x)
    snntorch("leaky_default", lambda: dense(leaky(12), leaky(5)), x, reset="subtract", reset_delay=True)
    # gentle enough that no voltage stays above the threshold after the subtraction: snnTorch then tests it one lower
    snntorch(
        "leaky_subtract",
        lambda: dense(leaky(12, reset_delay=False), leaky(5, reset_delay=False), gain=1.25),
        x,
        reset="subtract",
    )
    snntorch("synaptic", lambda: dense(synaptic(12, **at_once), synaptic(5, **at_once)), x)
    snntorch(
        "synaptic_default", lambda: dense(synaptic(12), synaptic(5)), x, reset="subtract", reset_delay=True
    )
    late = {"reset_mechanism": "zero"}
    snntorch("synaptic_late", lambda: dense(synaptic(12, **late), synaptic(5, **late)), x, reset_delay=True)
    snntorch(
        "rleaky",
        lambda: dense(
            snn.RLeaky(beta=0.8, linear_features=12, init_hidden=True, **at_once), leaky(5, **at_once)
        ),
        x,
    )
    snntorch(
        "rsynaptic",
        lambda: dense(
            snn.RSynaptic(alpha=0.5, beta=0.8, linear_features=12, init_hidden=True), leaky(5)
        ),
        x, reset="subtract", reset_delay=True,
    )  # fmt: skip

    def convolution() -> torch.nn.Module:
        shape = (4, 6, 6)
        first = snn.Leaky(
            beta=0.7 * torch.ones(shape), threshold=torch.ones(shape), init_hidden=True, **at_once
        )
        conv = scaled(torch.nn.Conv2d(2, 4, 3), 2.0)
        fc = scaled(torch.nn.Linear(36, 5), 4.0)
        return torch.nn.Sequential(
            conv, first, torch.nn.AvgPool2d(2), torch.nn.Flatten(), fc, leaky(5, **at_once)
        )

    snntorch("conv_pool", convolution, image)


# --- Norse -------------------------------------------------------------------------------------------------------


def run_norse(net: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
    state, out = None, []
    for frame in x:
        y, state = net(frame[None], state)
        out.append(y[0])
    return torch.stack(out)


def with_norse(
    name: str, make: Callable[[], torch.nn.Module], x: torch.Tensor, export_dt: float, **options: object
) -> None:
    """``export_dt``: dt of the export; the networks run with Norse's own step, 1e-3."""
    torch.manual_seed(2)
    net = make()
    graph = to_nir(net, x[0] if x.ndim == 4 else x[0][None], dt=export_dt)
    if x.ndim == 4:
        graph.infer_types()  # kernels get their input_shape, without which they cannot be written
    keep(f"norse_{name}", graph, x, run_norse(net, x), {"readout": "last", **options})


def write_norse() -> None:
    torch.manual_seed(0)
    x, image = spikes(8), spikes(2, 8, 8)

    def two(gain: float, *neurons: torch.nn.Module) -> torch.nn.Module:
        return norse.SequentialState(
            scaled(torch.nn.Linear(8, 12), gain), neurons[0], scaled(torch.nn.Linear(12, 5), gain), neurons[1]
        )

    def box(size: int) -> norse.LIFBoxParameters:
        return norse.LIFBoxParameters(
            tau_mem_inv=torch.full((size,), 200.0), v_leak=torch.full((size,), 0.125),
            v_th=torch.full((size,), 1.0), v_reset=torch.zeros(size),
        )  # fmt: skip

    lif = norse.LIFParameters(
        tau_syn_inv=torch.full((12,), 200.0), tau_mem_inv=torch.full((12,), 100.0), v_leak=torch.zeros(12),
        v_th=torch.ones(12), v_reset=torch.zeros(12),
    )  # fmt: skip
    rest = {"start": "rest"}
    with_norse("lifbox_li", lambda: two(25.0, norse.LIFBoxCell(box(12)), norse.LIBoxCell(norse.LIBoxParameters(
        tau_mem_inv=torch.full((5,), 100.0), v_leak=torch.full((5,), 0.25)))), x, 1.0, dt=1e-3, **rest)  # fmt: skip
    # to_nir without an argument writes dt / tau_mem_inv, a time constant in units of dt
    with_norse("lifbox_default_dt", lambda: two(25.0, norse.LIFBoxCell(box(12)), norse.LIFBoxCell(box(5))), x, 1e-3,
               dt=1e-6, **rest)  # fmt: skip
    with_norse("lif_iaf", lambda: two(12.0, norse.LIFCell(lif), norse.IAFCell(norse.IAFParameters(
        v_th=torch.full((5,), 2.0)))), x, 1.0, dt=1e-3, synapse="jump")  # fmt: skip

    def convolution() -> torch.nn.Module:
        shape = (4, 6, 6)
        first = norse.LIFBoxParameters(
            tau_mem_inv=torch.full(shape, 200.0), v_leak=torch.zeros(shape), v_th=torch.ones(shape),
            v_reset=torch.zeros(shape),
        )  # fmt: skip
        last = norse.LIBoxParameters(tau_mem_inv=torch.full((5, 3, 3), 200.0), v_leak=torch.zeros(5, 3, 3))
        return norse.SequentialState(
            scaled(torch.nn.Conv2d(2, 4, 3), 25.0), norse.LIFBoxCell(first),
            torch.nn.Conv2d(4, 5, 4, stride=2, padding=1, groups=1), norse.LIBoxCell(last),
        )  # fmt: skip

    with_norse("conv", convolution, image, 1.0, dt=1e-3)


if __name__ == "__main__":
    write_snntorch()
    write_norse()
