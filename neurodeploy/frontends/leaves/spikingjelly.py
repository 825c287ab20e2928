"""Neurons of SpikingJelly, of releases 2.0 and 0.0.0.0.14 (activation_based) and of those before (clock_driven).

LIF:                H = V + (X - (V - R)) / tau   with decay_input,   H = V - (V - R) / tau + X   without
ParametricLIF:      the same with 1/tau = sigmoid(w)
IF:                 H = V + X
Fires at H >= v_threshold. V begins at R = v_reset and returns to it: counted from there it is a LIF that resets to
zero. With v_reset None, R is 0 and the threshold is subtracted.

SimpleLIF, SimpleIF:    the same, but V begins at 0
TernaryLIF, TernaryIF:  the same, and S = -1 at H <= -v_threshold
OTTTLIF, SLTTLIF:       LIF, trained in another way
KLIF:                   F = ReLU(k H) of the H of a LIF fires; V is then F, or F / k with scale_reset, and as above
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ._base import Leaf, SourceLibrary

Read = Callable[[Any], Leaf]

_LIF = ("train with LIFNode, ParametricLIFNode or IFNode",)


def _rate(module: Any) -> float:
    """What is lost of the voltage in a tick: nothing without a time constant."""
    return 1.0 / float(getattr(module, "tau", math.inf))


def _gain(module: Any, rate: float) -> float:
    return rate if rate and getattr(module, "decay_input", True) else 1.0


def _leaky(module: Any) -> Leaf:
    return _read(module, _rate(module))


def _parametric(module: Any) -> Leaf:
    return _read(module, 1.0 / (1.0 + math.exp(-module.w.item())))


def _read(module: Any, rate: float) -> Leaf:
    """beta = 1 - rate, gain = rate or 1, and the threshold as it is seen from where the voltage rests."""
    rest = 0.0 if module.v_reset is None else float(module.v_reset)
    params = {"beta": 1.0 - rate, "gain": _gain(module, rate), "threshold": float(module.v_threshold) - rest}
    if module.v_reset is None:
        soft = {**params, "bias": 0.0, "v_reset": 0.0, "rule": 1}
        return Leaf("inclusive_lif", soft, whole_sample=_whole(module))
    return Leaf("lif", params, whole_sample=_whole(module))


def _scaled(module: Any) -> Leaf:
    """KLIF as a LIF with a floor: with scale_reset its voltage is F / k, else F, counted from where it rests."""
    k, rate = module.k.item(), _rate(module)
    if k <= 0:
        return Leaf(problem=f"k = {k}: a spike for what inhibits", fixes=_LIF)
    rest = 0.0 if module.v_reset is None else float(module.v_reset)
    inside, ahead = (1.0, k) if module.scale_reset else (k, 1.0)
    params = {
        "beta": inside * (1.0 - rate), "gain": inside * _gain(module, rate), "bias": (inside - 1.0) * rest,
        "floor": -rest, "threshold": float(module.v_threshold) / ahead - rest, "rule": int(module.v_reset is None),
    }  # fmt: skip
    if params["beta"] > 1.0:
        return Leaf(
            problem=f"k = {k}: its voltage grows by itself, {params['beta']} times a tick", fixes=_LIF
        )
    return Leaf("rectified_lif", params, whole_sample=_whole(module))


def _simple(module: Any) -> Leaf:
    """Its voltage leaks towards v_reset, and begins elsewhere."""
    if not module.v_reset:
        return _leaky(module)
    rate, rest = _rate(module), float(module.v_reset)
    params = {"beta": 1.0 - rate, "gain": _gain(module, rate), "bias": rate * rest,
              "threshold": float(module.v_threshold), "v_reset": rest, "rule": 0}  # fmt: skip
    return Leaf("inclusive_lif", params, whole_sample=_whole(module))


def _ternary(module: Any) -> Leaf:
    """Both thresholds are as far from 0, and so is only a rest at 0 from both."""
    if module.v_reset != 0:
        return Leaf(problem=f"v_reset = {module.v_reset}", fixes=("train with v_reset = 0.0",))
    rate = _rate(module)
    params = {"beta": 1.0 - rate, "gain": _gain(module, rate), "threshold": float(module.v_threshold)}
    return Leaf("ternary_lif", params, whole_sample=_whole(module))


def _whole(module: Any) -> bool:
    old = any(cls.__name__.startswith("MultiStep") for cls in type(module).__mro__)
    return old or getattr(module, "step_mode", "s") == "m"


_NO_STEP = Leaf(
    problem="its surrogate function is no step from 0 to 1 when it fires",
    fixes=("use a surrogate of spikingjelly with spiking=True", "train with spikes, not with counts of them"),
)


def _steps(module: Any) -> bool:
    """Whether it fires 1 at its threshold and above, and nothing below."""
    fire = getattr(module, "surrogate_function", None)
    if fire is None:
        return True
    import torch

    apart = torch.tensor((-1e3, -1.0, -(2.0**-30), 0.0, 2.0**-30, 1.0, 1e3), dtype=torch.float64)
    with torch.no_grad():
        return bool(torch.equal(fire(apart).double(), (apart >= 0).double()))


def _spiking(read: Read) -> Read:
    """The same reader for modules whose surrogate function is a step; the problem of others."""
    return lambda module: read(module) if _steps(module) else _NO_STEP


#: neurons by the file of release 2.0 that has them
_MODELLED: dict[str, Read] = {
    "integrate_and_fire.IFNode": _leaky,
    "integrate_and_fire.SimpleIFNode": _simple,
    "lif.LIFNode": _leaky,
    "lif.SimpleLIFNode": _simple,
    "lif_variants.KLIFNode": _scaled,
    "online_learning.OTTTLIFNode": _leaky,
    "online_learning.SLTTLIFNode": _leaky,
    "plif.ParametricLIFNode": _parametric,
    "ternary.TernaryIFNode": _ternary,
    "ternary.TernaryLIFNode": _ternary,
}

#: what keeps others from being a registered model; CUBALIFNode and ActivationAwareIFNode are found by running them
_UNMODELLED = {
    "it charges by a square of its voltage": ("nonlinear_if.QIFNode",),
    "it charges by an exponential of its voltage": ("nonlinear_if.EIFNode",),
    "it charges by a square of its voltage, which an adaptation current follows": ("adapt.IzhikevichNode",),
    "it sends a function of its voltage, and no spikes": ("lif_variants.LIAFNode",),
    "its voltage oscillates": ("resonate.RAFNode",),
    "learned gates mix its ways to leak, to charge and to reset": ("lif_variants.GatedLIFNode",),
    "a second potential, a sigmoid of its first, takes part in its reset": ("lif_variants.ComplementaryLIFNode",),
    "its voltage begins at half of what its reset subtracts": ("integrate_and_fire.HalfThresholdIFNode",),
    "it returns voltages of all ticks, and begins each call at 0": (
        "integrate_and_fire.NonSpikingIFNode", "lif.NonSpikingLIFNode"),
    "it sends counts that leave a rest in its voltage": ("ilif.ILIFNode",),
    "its voltage is a weighted sum over ticks": ("psn.PSN", "psn.MaskedPSN", "psn.SlidingPSN"),
    "its ticks are digits of one number": (
        "few_spike.FewSpikeNode", "few_spike.HGNode", "few_spike.OutlierAwareThresholdNode"),
    "its spikes are worth its scale, and their running sum is bounded": ("spikezip.STBIFNode",),
    "it clamps the mean over ticks": ("dsr.DSRIFNode", "dsr.DSRLIFNode"),
    "a convolution takes its spikes to its neighbours": (
        "inter_layer_connection.ILCIFNode", "inter_layer_connection.ILCLIFNode",
        "inter_layer_connection.ILCCUBALIFNode"),
    "a batch norm takes part in its charge": ("mpbn.MPBNLIFNode",),
    "it draws random numbers": (
        "noisy.NoisyCUBALIFNode", "noisy.NoisyILCCUBALIFNode", "noisy.NoisyNonSpikingIFNode"),
}  # fmt: skip

#: those that releases before 2.0 have
_OLD = frozenset({
    "IFNode", "LIFNode", "ParametricLIFNode", "QIFNode", "EIFNode", "IzhikevichNode", "LIAFNode", "KLIFNode",
})  # fmt: skip


def _places(name: str) -> tuple[str, ...]:
    """Where releases have a class: a file for each family, one for all, and one in the package before."""
    kind = name.partition(".")[2]
    now, before = "spikingjelly.activation_based.neuron", "spikingjelly.clock_driven.neuron"
    old = (f"{now}.{kind}", f"{before}.{kind}", f"{before}.MultiStep{kind}") if kind in _OLD else ()
    return (f"{now}.{name}", *old)


def _refusal(name: str, why: str) -> Leaf:
    return Leaf(problem=f"{name.partition('.')[2]}: {why}", fixes=_LIF)


MEMBER = SourceLibrary(
    "spikingjelly",
    {place: _spiking(read) for name, read in _MODELLED.items() for place in _places(name)},
    {
        place: _refusal(name, why)
        for why, names in _UNMODELLED.items()
        for name in names
        for place in _places(name)
    },
    every_machine="torch",
    backend_checks=(
        "spikingjelly.activation_based.base.check_backend_library",
        "spikingjelly.clock_driven.neuron.check_backend",
    ),
)
