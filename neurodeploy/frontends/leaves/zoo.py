"""Neurons of our own models (``models/spiking.py``).

BinaryLif, TernaryLif:   H = state + X, leak after the reset, input not scaled
Lif:                     H = V + (X - V) / tau, reset to zero or by subtraction
Sign, Step:              a compare without state
Lookup:                  a table of bits for each neuron (``models/lut.py``)
"""

from __future__ import annotations

from functools import partial
from typing import Any

from ...neurons._words import words
from ._base import Leaf, SourceLibrary


def _lif(model: str, module: Any) -> Leaf:
    """beta, gain 1 and the threshold; only a reset to zero is known."""
    if module.v_reset != 0:
        return Leaf(problem=f"it resets to {module.v_reset}", fixes=("train with v_reset = 0",))
    return Leaf(model, {"beta": float(module.beta), "gain": 1.0, "threshold": float(module.v_threshold)})


def _tau(module: Any) -> Leaf:
    """beta = 1 - 1/tau, gain = 1/tau."""
    params = {
        "beta": 1.0 - 1.0 / float(module.tau),
        "gain": 1.0 / float(module.tau),
        "threshold": float(module.v_threshold),
    }
    if module.soft:
        return Leaf("inclusive_lif", {**params, "bias": 0.0, "v_reset": 0.0, "rule": 1})
    return Leaf("lif", params)


def _lookup(module: Any) -> Leaf:
    """Tables of bits, one where an entry is 0 or more."""
    return Leaf("lookup_table", words(module.table.detach().cpu().numpy() >= 0))


MEMBER = SourceLibrary(
    "zoo",
    {
        "neurodeploy_models.spiking.BinaryLif": partial(_lif, "lif"),
        "neurodeploy_models.spiking.TernaryLif": partial(_lif, "ternary_lif"),
        "neurodeploy_models.spiking.Lif": _tau,
        "neurodeploy_models.spiking.GradedReLU": lambda module: Leaf("graded_relu"),
        "neurodeploy_models.spiking.Sign": lambda module: Leaf("sign", {"threshold": 0.0}),
        "neurodeploy_models.spiking.Step": lambda module: Leaf(
            "threshold", {"threshold": float(module.threshold)}
        ),
        "neurodeploy_models.lut.Lookup": _lookup,
    },
)
