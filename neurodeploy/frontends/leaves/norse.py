"""Neurons of Norse 1.1, forward Euler, current before voltage; their state is handed on by the caller.

LIF:        I <- I + X;  V <- V + dt tau_mem_inv (v_leak - V + I);  then I <- I - dt tau_syn_inv I
LIFBox:     V <- V + dt tau_mem_inv (v_leak - V + X)
LI, LIBox:  the same without spikes, V itself is sent
IAF:        V <- V + X
Fires at V > v_th; V is then v_reset, or loses v_th (LIFBox with reset_subtract). V begins at v_leak, that of IAF at
v_reset: states are counted from there.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from ._base import Leaf, SourceLibrary, array_of, compact

_RULES = {"reset_value": 0, "reset_subtract": 1}


def _rate(module: Any, inverse: str) -> Any:
    return float(module.dt) * array_of(getattr(module.p, inverse))


def _leak(module: Any, current: bool) -> dict[str, Any]:
    """u = dt tau_mem_inv I: what is left of I at the next tick is what is left of u."""
    gain = _rate(module, "tau_mem_inv")
    alpha = 1.0 - _rate(module, "tau_syn_inv") if current else 0.0
    return {"alpha": alpha, "beta": 1.0 - gain, "gain": gain, "bias": 0.0}


def _spiking(current: bool, whole: bool, module: Any) -> Leaf:
    return _fires(module, _leak(module, current), array_of(module.p.v_leak), whole, current)


def _counting(whole: bool, module: Any) -> Leaf:
    params = {"alpha": 0.0, "beta": 1.0, "gain": 1.0, "bias": 0.0}
    return _fires(module, params, array_of(module.p.v_reset), whole)


def _fires(module: Any, params: dict[str, Any], rest: Any, whole: bool, current: bool = False) -> Leaf:
    method = getattr(getattr(module.p, "reset_method", None), "__name__", "reset_value")
    rule = _RULES.get(method)
    if rule is None or (rule == 1 and rest.any()):
        what = f"reset_method = {method}" + (f" with v_leak = {compact(rest)}" if rule == 1 else "")
        return Leaf(problem=what, fixes=("train with reset_value, or with reset_subtract and v_leak 0",))
    params |= {"threshold": array_of(module.p.v_th) - rest, "v_reset": array_of(module.p.v_reset) - rest}
    return _leaf("general_lif", {**_compact(params), "rule": rule}, whole, current)


def _reading(current: bool, whole: bool, module: Any) -> Leaf:
    params = {**_leak(module, current), "offset": array_of(module.p.v_leak)}
    return _leaf("leaky_integrator", _compact(params), whole, current)


def _compact(params: dict[str, Any]) -> dict[str, Any]:
    return {name: compact(value) for name, value in params.items()}


def _leaf(model: str, params: dict[str, Any], whole: bool, current: bool) -> Leaf:
    parts = ("v", "i") if current else ("v",)
    return Leaf(model, params, whole_sample=whole, states=("state",), parts=parts, forgets=True)


_MODULES = "norse.torch.module"
_MODELLED: dict[str, Callable[[Any], Leaf]] = {
    "iaf.IAF": partial(_counting, True),
    "iaf.IAFCell": partial(_counting, False),
    "leaky_integrator.LI": partial(_reading, True, True),
    "leaky_integrator.LICell": partial(_reading, True, False),
    "leaky_integrator_box.LIBoxCell": partial(_reading, False, False),
    "lif.LIF": partial(_spiking, True, True),
    "lif.LIFCell": partial(_spiking, True, False),
    "lif_box.LIFBoxCell": partial(_spiking, False, False),
}

#: what keeps the others from being a registered model
_UNMODELLED = {
    "it holds the weights of its own recurrence": ("lif.LIFRecurrent", "lif.LIFRecurrentCell"),
    "it holds the weights in front of it": ("leaky_integrator.LILinearCell",),
    "it charges by a square of its voltage": (
        "izhikevich.Izhikevich", "izhikevich.IzhikevichCell",
        "izhikevich.IzhikevichRecurrent", "izhikevich.IzhikevichRecurrentCell"),
    "it charges by an exponential of its voltage": (
        "lif_ex.LIFEx", "lif_ex.LIFExCell", "lif_ex.LIFExRecurrent", "lif_ex.LIFExRecurrentCell",
        "lif_adex.LIFAdEx", "lif_adex.LIFAdExCell", "lif_adex.LIFAdExRecurrent", "lif_adex.LIFAdExRecurrentCell",
        "lif_adex_refrac.LIFAdExRefracCell", "lif_adex_refrac.LIFAdExRefracRecurrent",
        "lif_adex_refrac.LIFAdExRefracRecurrentCell"),
    "it waits for a refractory time": (
        "lif_refrac.LIFRefracCell", "lif_refrac.LIFRefracRecurrent", "lif_refrac.LIFRefracRecurrentCell"),
    "its threshold follows its spikes": (
        "lsnn.LSNN", "lsnn.LSNNCell", "lsnn.LSNNRecurrent", "lsnn.LSNNRecurrentCell"),
    "its compartments are coupled": (
        "lif_mc.LIFMCRecurrentCell", "lif_mc_refrac.LIFMCRefracRecurrentCell"),
    "its input is a conductance": ("coba_lif.CobaLIFCell",),
    "its weights change as it runs": ("lif_correlation.LIFCorrelation",),
}  # fmt: skip
_FIXES = (
    "use LIFCell, LIFBoxCell, IAFCell or LICell, with layers of weights of your own",
    "feed spikes back in the code of your model: a layer of what was sent a tick ago",
)


def _refusal(name: str, why: str) -> Leaf:
    return Leaf(problem=f"{name.partition('.')[2]}: {why}", fixes=_FIXES)


MEMBER = SourceLibrary(
    "norse",
    {f"{_MODULES}.{name}": read for name, read in _MODELLED.items()},
    {f"{_MODULES}.{name}": _refusal(name, why) for why, names in _UNMODELLED.items() for name in names},
)
