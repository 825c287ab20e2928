"""Neurons of our own models (``models/spiking.py``): H = state + X, leak after the reset, input not scaled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ._base import Leaf, SourceLibrary


def _lif(model: str) -> Callable[[Any], Leaf]:
    def read(module: Any) -> Leaf:
        """beta, gain 1 and the threshold; only a reset to zero is known."""
        if module.v_reset != 0:
            return Leaf(problem=f"it resets to {module.v_reset}", fixes=("train with v_reset = 0",))
        params = {"beta": float(module.beta), "gain": 1.0, "threshold": float(module.v_threshold)}
        return Leaf(model, params)

    return read


MEMBER = SourceLibrary(
    "zoo",
    {
        "neurodeploy_models.spiking.BinaryLif": _lif("lif"),
        "neurodeploy_models.spiking.TernaryLif": _lif("ternary_lif"),
        "neurodeploy_models.spiking.GradedReLU": lambda module: Leaf("graded_relu"),
    },
)
