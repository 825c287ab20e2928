"""Neurons of snnTorch, whose states are either hidden in the module or handed on by its caller.

Leaky, Lapicque:   V <- beta V + gain X
Synaptic:          I <- alpha I + X;  V <- beta V + I
Fires at V > threshold. A reset by subtraction, or to zero, comes with the next tick: to zero before its input in
release 1.0, instead of it in 0.9. Which one it is, and beta and gain, are found by calling the module: some are
learned, and clamped when they are read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...array import Array
from ...errors import first_line
from ._base import Leaf, SourceLibrary, array_of, compact

#: a state below the threshold: a power of two, so that dividing by it is exact
_SMALL = 2.0**-10
#: how far from their threshold membranes are tried
_APART = (2.0**-30, 1.0, 1e3)
_RESETS = ("subtract", "zero")
_UNKNOWN = ("train with reset_mechanism 'subtract' or 'zero', reset_delay=True, and no inhibition",)


def _neuron(names: Sequence[str], module: Any) -> Leaf | None:
    """One with the states ``names``, the membrane last; None of one without a reset, whose membrane is a read-out."""
    if getattr(module, "reset_mechanism", "") == "none":
        return None
    settings = {
        "reset_mechanism": getattr(module, "reset_mechanism", "") not in _RESETS,
        "inhibition": bool(getattr(module, "inhibition", False)),
        "state_quant": bool(getattr(module, "state_quant", False)),
        "graded_spikes_factor": float(np.max(array_of(getattr(module, "graded_spikes_factor", 1.0)))) != 1.0,
        "threshold": bool((array_of(module.threshold) <= 2 * _SMALL).any()),
        "reset_delay": module.reset_mechanism == "subtract" and not getattr(module, "reset_delay", True),
    }
    wrong = [f"{name} = {getattr(module, name)}" for name, is_wrong in settings.items() if is_wrong]
    if wrong or not _steps(module):
        return Leaf(problem=", ".join(wrong) or "its surrogate is no step when it fires", fixes=_UNKNOWN)
    threshold = array_of(module.threshold)
    zeros = [np.zeros(_shape(module))] * len(names)
    kept = [_probe(module, names, 0.0, _only(zeros, i))[i] / _SMALL for i in range(len(names))]
    gain = _probe(module, names, _SMALL, zeros)[0] / _SMALL
    late = _probe(module, names, _SMALL, [*zeros[:-1], 2 * threshold])[-1]
    rule = 2 if module.reset_mechanism == "subtract" else 3 if not late.any() else 0
    alpha, beta = (0.0, kept[0]) if len(kept) == 1 else kept
    params = {"alpha": alpha, "beta": beta, "gain": gain, "bias": 0.0, "threshold": threshold,
              "v_reset": 0.0}  # fmt: skip
    hidden = getattr(module, "init_hidden", False) and not getattr(module, "output", False)
    found = {name: compact(value) for name, value in params.items()} | {"rule": rule}
    return Leaf("general_lif", found, states=() if hidden else tuple(names))


def _only(zeros: Sequence[Array], index: int) -> list[Array]:
    return [np.full_like(zero, _SMALL * (i == index)) for i, zero in enumerate(zeros)]


def _steps(module: Any) -> bool:
    """Whether it fires 1 above its threshold, and nothing at it and below."""
    import torch

    apart = torch.tensor(_APART, dtype=torch.float64)
    with torch.no_grad():
        above, below = module.spike_grad(apart), module.spike_grad(torch.cat((apart * 0, -apart)))
    return bool((above == 1).all()) and not bool(below.any())


def _shape(module: Any) -> tuple[int, ...]:
    """What its parameters have one value for: (1,), (features,), or (channels, 1, 1)."""
    parameters = (array_of(getattr(module, name, 0.0)) for name in ("beta", "alpha", "threshold"))
    return np.broadcast_shapes(*(array.shape for array in parameters))


def _probe(module: Any, names: Sequence[str], x: float, states: Sequence[Array]) -> list[Array]:
    """The states one tick later."""
    import torch

    from .. import guest

    shape = (1, *_shape(module))
    with guest.kept(module), torch.no_grad():
        guest.Snapshot(module).to(torch.float64)
        for name, state in zip(names, states, strict=True):
            setattr(module, name, torch.from_numpy(np.broadcast_to(state, shape).copy()))
        module(torch.full(shape, x, dtype=torch.float64))
        return [array_of(getattr(module, name))[0] for name in names]


_STATES = {"Leaky": ("mem",), "Lapicque": ("mem",), "Synaptic": ("syn", "mem")}


def _read(name: str) -> Any:
    def read(module: Any) -> Leaf | None:
        try:
            return _neuron(_STATES[name], module)
        except Exception as error:  # whatever a release says to a call that it does not know
            return Leaf(
                problem=f"it is called in another way: {first_line(error)}",
                fixes=("use snnTorch 0.9 or later",),
            )

    return read


#: what keeps others from being a registered model; RLeaky and RSynaptic are found by running them
_UNMODELLED = {
    "alpha.Alpha": "its reset multiplies its currents, and the input of the same tick, by its spikes",
    "associative.AssociativeLeaky": "its state is a matrix of products of its inputs",
    "deltaleaky.DeltaLeaky": "it fires where its membrane changes, and never resets",
    "leakyparallel.LeakyParallel": "a torch.nn.RNN computes all of its ticks, without a reset",
    "leakyunroll.LeakyParallel": "a torch.nn.RNN computes all of its ticks, without a reset",
    "linearleaky.LinearLeaky": "a convolution over time computes all of its ticks, without a reset",
    "sconv2dlstm.SConv2dLSTM": "gates multiply its states",
    "slstm.SLSTM": "gates multiply its states",
    "stateleaky.StateLeaky": "a convolution over time computes all of its ticks, without a reset",
}

_KNOWN = ("train with Leaky, Synaptic, RLeaky or RSynaptic",)


MEMBER = SourceLibrary(
    "snntorch",
    {f"snntorch._neurons.{name.lower()}.{name}": _read(name) for name in _STATES},
    {
        f"snntorch._neurons.{place}": Leaf(problem=f"{place.partition('.')[2]}: {why}", fixes=_KNOWN)
        for place, why in _UNMODELLED.items()
    },
)
