"""Neurons of snnTorch, whose states are either hidden in the module or handed on by its caller.

Leaky, Lapicque:   V <- beta V + gain X
Synaptic:          I <- alpha I + X;  V <- beta V + I
Fires at V > threshold. A reset by subtraction, or to zero, comes with the next tick: before its input in the releases
from 1.0 on, instead of it in those before. Which one it is, and beta and gain, are found by calling the module: some
are learned, and clamped when they are read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...array import Array
from ._base import Leaf, SourceLibrary

#: a state below any threshold: a power of two, so that dividing by it is exact
_SMALL = 2.0**-10
_RESETS = ("subtract", "zero")
_UNKNOWN = ("train with reset_mechanism 'subtract' or 'zero', reset_delay=True, and no inhibition",)


def _neuron(names: Sequence[str], module: Any) -> Leaf:
    """One with the states ``names``, the membrane last."""
    settings = {
        "reset_mechanism": getattr(module, "reset_mechanism", "") not in _RESETS,
        "inhibition": bool(getattr(module, "inhibition", False)),
        "state_quant": bool(getattr(module, "state_quant", False)),
        "graded_spikes_factor": float(np.max(_array(getattr(module, "graded_spikes_factor", 1.0)))) != 1.0,
        "reset_delay": module.reset_mechanism == "subtract" and not getattr(module, "reset_delay", True),
    }
    wrong = [f"{name} = {getattr(module, name)}" for name, is_wrong in settings.items() if is_wrong]
    if wrong or not _steps(module, names):
        return Leaf(problem=", ".join(wrong) or "its surrogate is no step when it fires", fixes=_UNKNOWN)
    threshold = _array(module.threshold)
    zeros = [np.zeros(1)] * len(names)
    kept = [_probe(module, names, 0.0, _only(zeros, i))[i] / _SMALL for i in range(len(names))]
    gain = _probe(module, names, _SMALL, zeros)[0] / _SMALL
    late = _probe(module, names, _SMALL, [*zeros[:-1], 2 * threshold])[-1]
    rule = 2 if module.reset_mechanism == "subtract" else 3 if not late.any() else 0
    alpha, beta = (0.0, kept[0]) if len(kept) == 1 else kept
    params = {"alpha": alpha, "beta": beta, "gain": gain, "bias": 0.0, "threshold": threshold,
              "v_reset": 0.0}  # fmt: skip
    hidden = getattr(module, "init_hidden", False) and not getattr(module, "output", False)
    compact = {name: _number(value) for name, value in params.items()} | {"rule": rule}
    return Leaf("general_lif", compact, states=() if hidden else tuple(names))


def _only(zeros: Sequence[Array], index: int) -> list[Array]:
    return [np.full_like(zero, _SMALL * (i == index)) for i, zero in enumerate(zeros)]


def _steps(module: Any, names: Sequence[str]) -> bool:
    """Whether it fires 1 above its threshold and 0 at it."""
    import torch

    threshold = module.threshold.detach().double()
    with torch.no_grad():
        above, at = module.spike_grad(0.5 * threshold.abs() + 1.0), module.spike_grad(threshold * 0)
    return bool((above == 1).all()) and not bool(at.any())


def _probe(module: Any, names: Sequence[str], x: float, states: Sequence[Array]) -> list[Array]:
    """The states one tick later."""
    import torch

    from .. import guest

    size = max(_array(getattr(module, name, 0.0)).size for name in ("beta", "alpha", "threshold"))
    with guest.kept(module), torch.no_grad():
        guest.Snapshot(module).to(torch.float64)
        for name, state in zip(names, states, strict=True):
            setattr(module, name, torch.from_numpy(np.broadcast_to(state, (1, size)).copy()))
        module(torch.full((1, size), x, dtype=torch.float64))
        return [_array(getattr(module, name))[0] for name in names]


def _array(value: Any) -> Array:
    array: Array = np.atleast_1d(
        value.detach().double().numpy() if hasattr(value, "detach") else float(value)
    )
    return array


def _number(value: Any) -> Any:
    array = np.asarray(value, np.float64)
    return float(array.flat[0]) if np.all(array == array.flat[0]) else array


_STATES = {"Leaky": ("mem",), "Lapicque": ("mem",), "Synaptic": ("syn", "mem")}


def _read(name: str) -> Any:
    return lambda module: _neuron(_STATES[name], module)


MEMBER = SourceLibrary(
    "snntorch",
    {
        f"snntorch.{room}.{name.lower()}.{name}": _read(name)
        for room in ("_neurons", "neurons")
        for name in _STATES
    },
)
