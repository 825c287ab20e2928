"""SiLU (swish), x / (1 + exp(-x)). Table over [0, 18], 1152 entries; program and error bound in :mod:`._gated`."""

from __future__ import annotations

from scipy.special import expit

from ..array import Array
from ..ir.micro_op import Params
from ._gated import Gated


def gate(x: Array, params: Params) -> Array:
    """The logistic function."""
    y: Array = expit(x)
    return y


MEMBER = Gated("silu", gate, reach=18, torch=("silu", "silu_"))
