"""Files in lava-dl's .net format, written with plain h5py, and lava-dl's own netx to run them under Lava."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from neurodeploy.lava import mend

CUBA = {"type": "CUBA", "iDecay": 1024, "vDecay": 128, "vThMant": 80, "refDelay": 1, "gradedSpike": False}
SDNN = {"type": "SDNN", "activation": "relu", "vThMant": 3}
RF = {"type": "RF_PHASE", "sinDecay": 700, "cosDecay": 3900, "vThMant": 60}


def write_net(path: Path, layers: list[dict[str, Any]], simulation: dict[str, Any] | None = None) -> Path:
    """A .net file of these layers: name of a dataset -> value, ``type`` as slayer writes it."""
    with h5py.File(path, "w") as file:
        for index, layer in enumerate(layers):
            group = file.create_group(f"layer/{index}")
            for key, value in _flat(layer):
                if key == "type":
                    group.create_dataset("type", (1,), "S10", [value.encode("ascii")])
                else:
                    group.create_dataset(key, data=value)
        for key, value in (simulation or {}).items():
            file[f"simulation/{key}"] = value
    return path


def _flat(layer: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    found = []
    for key, value in layer.items():
        found += _flat(value, f"{prefix}{key}/") if isinstance(value, dict) else [(prefix + key, value)]
    return found


def weights(rng: np.random.Generator, *shape: int, low: int = -256, high: int = 254) -> np.ndarray:
    """Even whole numbers up to the edges of 8 bits, as float32: what slayer writes."""
    w = 2 * rng.integers(low // 2, high // 2 + 1, shape)
    w.flat[0], w.flat[-1] = low, high
    return w.astype(np.float32)


def dense(weight: np.ndarray, neuron: dict[str, Any] | None = CUBA, **more: Any) -> dict[str, Any]:
    """A dense layer."""
    layer = {"type": "dense", "shape": np.array([len(weight), 1, 1]), "weight": weight, **more}
    return layer if neuron is None else {**layer, "neuron": neuron}


def conv(
    weight: np.ndarray, shape: tuple[int, ...], neuron: dict[str, Any] = CUBA, **more: Any
) -> dict[str, Any]:
    """A convolution of that output shape (C, Y, X)."""
    ones = np.array([1, 1])
    geometry = {"stride": ones, "padding": 0 * ones, "dilation": ones, "groups": 1, **more}
    return {"type": "conv", "shape": np.array(shape), "weight": weight, "neuron": neuron, **geometry}


FLATTEN = {"type": "flatten", "shape": np.array([1, 1, 1])}


def spikes(rng: np.random.Generator, ticks: int, *shape: int, rate: float = 0.4) -> np.ndarray:
    """Random binary input (T, *shape)."""
    return (rng.random((ticks, *shape)) < rate).astype(np.int64)


def run_netx(
    path: Path, x: np.ndarray, bias: np.ndarray | None = None, **options: Any
) -> list[dict[str, np.ndarray]]:
    """Every process of netx's network on ``x`` (T, *shape): ``s`` and, where it has one, ``v``, each (T, *shape).

    Shapes are (C, Y, X) or (N,) on both sides. ``bias`` (*shape) is written into the bias of a CUBA input layer, which
    is how netx takes its input.
    """
    from lava.lib.dl.netx import hdf5
    from lava.magma.core.run_conditions import RunSteps
    from lava.magma.core.run_configs import Loihi2SimCfg
    from lava.proc import io as lava_io
    from lava.proc.monitor.process import Monitor

    mend()
    ticks = len(x)
    with contextlib.redirect_stdout(io.StringIO()):
        net = hdf5.Network(net_config=str(path), **options)
    source = lava_io.source.RingBuffer(data=np.moveaxis(_axes(x), 0, -1).astype(np.int32))
    if bias is None:
        source.s_out.connect(net.inp)
    else:  # the port of an input layer leads nowhere, and Lava refuses to compile one that is connected
        net.in_layer.neuron.bias_mant.init = _axes(bias[None])[0]
    sinks, monitors = [], []
    for layer in net.layers:
        sink = lava_io.sink.RingBuffer(shape=layer.out.shape, buffer=ticks)
        layer.out.connect(sink.a_in)
        sinks.append(sink)
        monitor = None
        if hasattr(layer.neuron, "v"):
            monitor = Monitor()
            monitor.probe(layer.neuron.v, ticks)
        monitors.append(monitor)
    try:
        net.run(condition=RunSteps(num_steps=ticks), run_cfg=Loihi2SimCfg(select_tag="fixed_pt"))
        found = []
        for layer, sink, monitor in zip(net.layers, sinks, monitors, strict=True):
            record = {"s": _axes(np.moveaxis(sink.data.get(), -1, 0).astype(np.int64))}
            if monitor is not None:
                data = monitor.get_data()[layer.neuron.name]["v"]
                record["v"] = _axes(np.asarray(data).reshape(ticks, *layer.out.shape).astype(np.int64))
            found.append(record)
        net.stop()
        return found
    except BaseException:
        _kill(net)  # Lava's own stop waits for ever once a process model has failed
        raise
    finally:
        net.net_config.f.close()


def _kill(net: Any) -> None:
    """End the processes that Lava started for a network."""
    infrastructure = getattr(net.runtime, "_messaging_infrastructure", None)
    for actor in getattr(infrastructure, "actors", []) or []:
        actor.terminate()
    manager = getattr(infrastructure, "smm", None)
    if manager is not None:
        manager.shutdown()


def _axes(x: np.ndarray) -> np.ndarray:
    """(T, X, Y, C) to (T, C, Y, X) and back."""
    return x.transpose(0, *range(x.ndim - 1, 0, -1))
