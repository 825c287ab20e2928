"""Neurons of SpikingJelly, of its current package (activation_based) and of the one before (clock_driven).

LIF:                H = V + (X - (V - R)) / tau   with decay_input,   H = V - (V - R) / tau + X   without
ParametricLIF:      the same with 1/tau = sigmoid(w)
IF:                 H = V + X
Fires at H >= v_threshold. V begins at R = v_reset and returns to it: counted from there it is a LIF that resets to
zero. With v_reset None, R is 0 and the threshold is subtracted.
"""

from __future__ import annotations

import math
from typing import Any

from ._base import Leaf, SourceLibrary


def _leaky(module: Any) -> Leaf:
    return _read(module, 1.0 / float(module.tau), bool(getattr(module, "decay_input", True)))


def _parametric(module: Any) -> Leaf:
    rate = 1.0 / (1.0 + math.exp(-float(module.w)))
    return _read(module, rate, bool(getattr(module, "decay_input", True)))


def _integrate(module: Any) -> Leaf:
    return _read(module, 0.0, False)


def _read(module: Any, rate: float, decay_input: bool) -> Leaf:
    """beta = 1 - rate, gain = rate or 1, and the threshold as it is seen from where the voltage rests."""
    soft = module.v_reset is None
    rest = 0.0 if soft else float(module.v_reset)
    gain, threshold = (rate if decay_input else 1.0), float(module.v_threshold) - rest
    params = {"beta": 1.0 - rate, "gain": gain, "threshold": threshold}
    old = any(cls.__name__.startswith("MultiStep") for cls in type(module).__mro__)
    whole = old or getattr(module, "step_mode", "s") == "m"
    if soft:
        return Leaf("inclusive_lif", {**params, "bias": 0.0, "v_reset": 0.0, "rule": 1}, whole_sample=whole)
    return Leaf("lif", params, whole_sample=whole)


_CLASSES = {"LIFNode": _leaky, "ParametricLIFNode": _parametric, "IFNode": _integrate}
_MODULES = ("activation_based.neuron.", "clock_driven.neuron.", "clock_driven.neuron.MultiStep")
MEMBER = SourceLibrary(
    "spikingjelly",
    {f"spikingjelly.{module}{name}": read for module in _MODULES for name, read in _CLASSES.items()},
)
