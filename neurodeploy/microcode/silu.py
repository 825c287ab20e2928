"""SiLU (swish), x / (1 + exp(-x)). Table over [0, 18], 1152 entries; program and error bound in :mod:`._gated`."""

from __future__ import annotations

import numpy as np
from scipy.special import expit

from ._base import Params
from ._gated import Gated


def gate(x: np.ndarray, params: Params) -> np.ndarray:
    """The logistic function."""
    return expit(x)


MEMBER = Gated("silu", gate, reach=18)
