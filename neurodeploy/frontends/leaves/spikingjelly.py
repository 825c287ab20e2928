"""Neurons of SpikingJelly, of its current package (activation_based) and of the one before (clock_driven).

LIF, reset to zero:      H = V + (X - V) / tau   with decay_input,   H = V (1 - 1/tau) + X   without
ParametricLIF:           the same with 1/tau = sigmoid(w)
IF:                      H = V + X
Fires at H >= v_threshold.
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
    """beta = 1 - rate, gain = rate or 1; only a hard reset to zero is known."""
    if module.v_reset is None:
        return Leaf(problem="a soft reset (v_reset is None)", fixes=("train with v_reset=0.",))
    if float(module.v_reset) != 0.0:
        return Leaf(problem=f"a reset to {float(module.v_reset)}", fixes=("train with v_reset=0.",))
    gain = rate if decay_input else 1.0
    return Leaf("lif", {"beta": 1.0 - rate, "gain": gain, "threshold": float(module.v_threshold)})


_CLASSES = {"LIFNode": _leaky, "ParametricLIFNode": _parametric, "IFNode": _integrate}
_MODULES = ("activation_based.neuron.", "clock_driven.neuron.", "clock_driven.neuron.MultiStep")
MEMBER = SourceLibrary(
    "spikingjelly",
    {f"spikingjelly.{module}{name}": read for module in _MODULES for name, read in _CLASSES.items()},
)
