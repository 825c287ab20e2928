"""GELU, x Phi(x): with the error function, or torch's tanh form where ``approximate`` is "tanh".

Table over [0, 6], 384 entries; program, widths and error bound in :mod:`._gated`.
"""

from __future__ import annotations

import numpy as np
from scipy.special import expit, ndtr

from ..array import Array
from ..ir.micro_op import Params
from ._gated import Gated


def gate(x: Array, params: Params) -> Array:
    """Phi(x), or (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) / 2. Raises ValueError for another ``approximate``."""
    form = params.get("approximate", "none")
    if form == "none":
        y: Array = ndtr(x)
    elif form == "tanh":
        y = expit(2.0 * np.sqrt(2.0 / np.pi) * (x + 0.044715 * x**3))  # (1 + tanh a) / 2 = expit(2 a)
    else:
        raise ValueError(f"GELU approximate must be 'none' or 'tanh', not {form!r}")
    return y


MEMBER = Gated("gelu", gate, reach=6, spelled=({"approximate": "none"}, {"approximate": "tanh"}))
