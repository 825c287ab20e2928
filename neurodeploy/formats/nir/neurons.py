"""The neurons of NIR, both ways: their differential equations, and the registered models that tick.

    I <- I + dt/tau_syn (w_in x - I);   v <- v + dt/tau (v_leak - v + r I)
is u <- alpha u + gain x;  v <- beta v + u + bias, in floats. Integers count in units of the input, LIF states in 64ths.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...array import Array
from ...ir.nodes import Neuron
from .file import STREAM, Item, Made, Sizes, step
from .options import NirOptions

DT = float(NirOptions.model_fields["dt"].default)
STATE = 64.0  # state units in a unit of the input: LIF states have 6 bits below it
ONE = 4096.0  # of decay codes
#: where a current keeps more per tick, the saturating LIF is used: bounds of the stock one would be too tight
MOST_KEPT = 0.97

#: (reset, reset_delay) -> rule of general_lif
RESETS = {("value", False): 0, ("subtract", False): 1, ("subtract", True): 2, ("value", True): 3}

Keys = dict[str, float | None]
#: parameters of the equation, with their defaults, of the kinds that spike and of those that do not
PLAIN: Keys = {"r": None}
LEAKY: Keys = {"tau": None, "r": None, "v_leak": None}
CURRENT: Keys = {"tau_mem": None, "tau_syn": None, "r": None, "v_leak": None, "w_in": 1.0}
SPIKING = {"IF": PLAIN, "LIF": LEAKY, "CubaLIF": CURRENT}
INTEGRATING = {"I": PLAIN, "LI": LEAKY, "CubaLI": CURRENT}
KINDS = (*SPIKING, *INTEGRATING, "Threshold")


@dataclass(frozen=True, eq=False)
class Dynamics:
    """u <- alpha u + gain x;  v <- beta v + u + bias, v counted from offset: numbers, or arrays of the population."""

    alpha: Array
    beta: Array
    gain: Array
    bias: Array
    offset: Array

    @classmethod
    def read(cls, item: Item, p: Mapping[str, Array], options: NirOptions) -> Dynamics | None:
        """From the parameters of a node, None after noting which of them make no sense."""
        zero, one = np.asarray(0.0), np.asarray(1.0)
        offset = _first(p, options)
        if "v_leak" not in p:
            found = cls(zero, one, options.integrator_dt * p["r"], zero, offset)
        else:
            tau = "tau" if "tau" in p else "tau_mem"
            rate = _rate(item, tau, p[tau], options)
            fading = _rate(item, "tau_syn", p["tau_syn"], options) if "tau_syn" in p else one
            if rate is None or fading is None:
                return None
            arriving = p.get("w_in", one) * (fading if options.synapse == "euler" else 1.0)
            bias = rate * (p["v_leak"] - offset)
            found = cls(1.0 - fading, 1.0 - rate, rate * p["r"] * arriving, bias, offset)
        if (found.gain <= 0).any():
            key = "r" if (p["r"] <= 0).any() else "w_in"
            cause = "a resistance or input weight that is not positive"
            item.problem("ND124", cause, key, float(p[key].min()), "above 0")
            return None
        return found

    def parameters(self) -> dict[str, Array] | None:
        """Those of a NIR node for dt = DT that starts from 0, None where it has none."""
        if not self.alpha.any() and (self.beta == 1).all() and not self.bias.any():
            return {"r": self.gain}
        if (self.beta >= 1).any() or (self.alpha >= 1).any():
            return None
        rate = 1.0 - self.beta
        found = {"r": self.gain / rate, "v_leak": self.bias / rate}
        if not self.alpha.any():
            return {"tau": DT / rate, **found}
        fading = 1.0 - self.alpha
        return {"tau_mem": DT / rate, "tau_syn": DT / fading, "w_in": 1.0 / fading, **found}


# --- reading ---------------------------------------------------------------------------------------------------------


def _parameters(item: Item, sizes: Sizes, keys: Keys) -> dict[str, Array] | None:
    """All parameters, each one number or of the population's shape."""
    numbers = {key: item.numbers(key, default) for key, default in keys.items()}
    found = {key: item.spread(key, array, sizes) for key, array in numbers.items() if array is not None}
    whole = {key: array for key, array in found.items() if array is not None}
    return whole if len(whole) == len(keys) else None


def _first(p: Mapping[str, Array], options: NirOptions) -> Array:
    """The voltage before tick 1; a neuron that never resets starts at rest instead."""
    zero = np.asarray(0.0)
    rest = p.get("v_leak", zero)
    return {"zero": zero, "rest": rest, "reset": p.get("v_reset", rest)}[options.start]


def _rate(item: Item, key: str, tau: Array, options: NirOptions) -> Array | None:
    """What a tick forgets."""
    if (tau <= 0).any():
        item.problem("ND124", "a time constant that is not positive", key, float(tau.min()), "above 0")
        return None
    rate: Array = options.dt / tau
    if options.decay == "exponential":
        rate = -np.expm1(-rate)
    if (rate > 1 + 1e-6).any():
        cause, limit = "a time constant shorter than the time step", f"at least dt = {options.dt:g}"
        fix = "--set reader.dt=STEP, the step that the network was trained with"
        item.problem("ND124", cause, key, f"{float(tau.min()):g}", limit, fix)
        return None
    return np.minimum(rate, 1.0)


def _made(item: Item, sizes: Sizes, model: str, **params: Any) -> Made:
    """The population; numbers as floats, arrays as they are."""
    plain = {k: float(v) if np.ndim(v) == 0 and not isinstance(v, int) else v for k, v in params.items()}
    return [step(Neuron(name=item.name, inputs=(STREAM,), model=model, params=plain), sizes)]


def spiking(item: Item, sizes: Sizes, options: NirOptions) -> Made | None:
    """A LIF: Lava's where reset and leaks allow, since that is what chips have; else the general one."""
    p = _parameters(item, sizes, {"v_threshold": None, "v_reset": 0.0, **SPIKING[item.kind]})
    found = None if p is None else Dynamics.read(item, p, options)
    if p is None or found is None:
        return None
    threshold, v_reset = p["v_threshold"] - found.offset, p["v_reset"] - found.offset
    if options.fires == "reached":
        threshold = np.nextafter(threshold, -np.inf)  # what equals it lies above
    rule = RESETS[options.reset, options.reset_delay]
    if rule == 3 and item.kind != "CubaLIF":
        rule = 0  # without a current, a voltage that starts the next tick from v_reset is the same, early or late
    shared: dict[str, Any] = {"alpha": found.alpha, "beta": found.beta}
    alike = found.alpha.ndim == found.beta.ndim == 0 and float(found.alpha) <= MOST_KEPT
    if rule == 0 and alike and not np.any(v_reset) and bool((threshold >= 0).all()):
        scaled = {"bias": found.bias / found.gain, "threshold": threshold / found.gain}
        return _made(item, sizes, "cuba_lif", **shared, **scaled)
    shared |= {"gain": found.gain, "bias": found.bias, "threshold": threshold}
    return _made(item, sizes, "general_lif", **shared, v_reset=v_reset, rule=rule)


def integrator(item: Item, sizes: Sizes, options: NirOptions) -> Made | None:
    """A voltage that is sent on."""
    p = _parameters(item, sizes, INTEGRATING[item.kind])
    found = None if p is None else Dynamics.read(item, p, options)
    return None if found is None else _made(item, sizes, "leaky_integrator", **vars(found))


def threshold(item: Item, sizes: Sizes, options: NirOptions) -> Made | None:
    """Spikes wherever the input is large enough, without a state."""
    p = _parameters(item, sizes, {"threshold": None})
    return None if p is None else _made(item, sizes, "threshold", **p)


# --- writing ---------------------------------------------------------------------------------------------------------

#: (kind, parameters that broadcast to the population)
Written = tuple[str, dict[str, Any]]
Refuse = Callable[[str, str], None]

#: models whose vth is a threshold that a spike leaves behind
LIFS = ("lif", "cuba_lif", "general_lif")


def limits(node: Neuron, unit: Array) -> Array:
    """Thresholds half a state unit above the last integer that does not fire, so that no rounding of floats matters."""
    vth: Array = np.asarray(node.params["vth"]) * (1.0 if node.model == "general_lif" else STATE)
    return (vth + 0.5) * unit / STATE


def write(node: Neuron, unit: Array, out: Array, even: float | None, refuse: Refuse) -> Written | None:
    """The NIR node of a population; ``unit`` is what one of its input is worth, ``out`` one of its output.

    ``even`` is the threshold where its inputs were scaled so that all are the same.
    """
    rule = MODELS.get(node.model)
    if rule is None:
        refuse(f"neuron model {node.model}", f"one of {', '.join(MODELS)}")
        return None
    if node.reset is not None:
        refuse(f"a reset every {node.reset[0]} ticks", "state that lasts for the sample")
        return None
    return rule(node, unit, out, even, refuse)


def _lif(node: Neuron, unit: Array, out: Array, even: float | None, refuse: Refuse) -> Written | None:
    """Lava's LIFs keep du + 1 of 4096 less of a current; the general one says what it resets to."""
    p, general = node.params, node.model == "general_lif"
    if general and p["rule"] != 0:
        refuse("a spike that subtracts, or resets in the next tick", "a reset to a value at once")
        return None
    alpha = 1.0 - (np.asarray(p["du"]) + (not general)) / ONE
    bias, v_reset = (np.asarray(p.get(key, 0)) * unit / STATE for key in ("bias", "v_reset"))
    found = _equation(SPIKING, node, alpha, np.asarray(1.0), bias, refuse)
    threshold, reset = limits(node, unit) if even is None else even, v_reset if general else 0.0
    return None if found is None else (found[0], {**found[1], "v_threshold": threshold, "v_reset": reset})


def _integrator(node: Neuron, unit: Array, out: Array, even: float | None, refuse: Refuse) -> Written | None:
    p = node.params
    if np.any(p.get("offset", 0)):
        refuse("a voltage that starts from a resting potential", "voltages that start from 0")
        return None
    alpha = 1.0 - (np.asarray(p["du"]) + (node.model == "cuba_voltage")) / ONE
    return _equation(INTEGRATING, node, alpha, STATE * out / unit, np.asarray(p["bias"]) * out, refuse)


def _equation(
    kinds: Mapping[str, Keys], node: Neuron, alpha: Array, gain: Array, bias: Array, refuse: Refuse
) -> Written | None:
    """The kind whose equation this is, and its parameters."""
    beta = 1.0 - np.asarray(node.params["dv"]) / ONE
    found = Dynamics(alpha, beta, gain, bias, np.asarray(0.0)).parameters()
    if found is None:
        refuse("a voltage or current that does not leak, beside a bias, a current or one that does", "leaks")
        return None
    return next(kind for kind, keys in kinds.items() if keys.keys() == found.keys()), found


def _threshold(node: Neuron, unit: Array, out: Array, even: float | None, refuse: Refuse) -> Written | None:
    return "Threshold", {"threshold": (np.asarray(node.params["vth"]) + 0.5) * unit}


MODELS: dict[str, Callable[[Neuron, Array, Array, float | None, Refuse], Written | None]] = {
    **dict.fromkeys(LIFS, _lif), **dict.fromkeys(("leaky_integrator", "cuba_voltage"), _integrator),
    "threshold": _threshold,
}  # fmt: skip
