"""Bends between straight lines: ELU with SELU and CELU, Softplus, Mish. Program and error bound in :mod:`._bent`."""

from __future__ import annotations

import numpy as np

from ..array import Array
from ..ir.micro_op import MicroOp, Params
from ._bent import Bent, number


class Elu(Bent):
    """ELU, SELU and CELU: scale max(x, 0) + scale alpha (exp(input_scale min(x, 0)) - 1)."""

    name, sides = "elu", "left"

    def curve(self, u: Array) -> Array:
        """exp(u) - 1, and 0 on the right."""
        r: Array = np.expm1(np.minimum(u, 0.0))
        return r

    def lines(self, params: Params) -> tuple[float, float, float]:
        """``scale``, ``scale * alpha``, ``input_scale``."""
        scale = number(params, "scale", 1.0)
        return scale, scale * number(params, "alpha", 1.0), number(params, "input_scale", 1.0)

    def float_apply(self, x: Array, params: Params) -> Array:
        """In float64."""
        gain, height, rate = self.lines(params)
        x = np.asarray(x, dtype=np.float64)
        return gain * np.maximum(x, 0.0) + height * self.curve(rate * x)


class Softplus(Bent):
    """Softplus, log(1 + exp(beta x)) / beta, and x where beta x is above ``threshold``."""

    name, sides, nonnegative = "softplus", "even", True

    def curve(self, u: Array) -> Array:
        """log(1 + exp(-|u|)): what the sum lies above max(u, 0)."""
        r: Array = np.log1p(np.exp(-np.abs(u)))
        return r

    def lines(self, params: Params) -> tuple[float, float, float]:
        """1, 1 / ``beta``, ``beta``."""
        beta = number(params, "beta", 1.0)
        return 1.0, 1.0 / beta, beta

    def float_apply(self, x: Array, params: Params) -> Array:
        """In float64."""
        beta = number(params, "beta", 1.0)
        u = beta * np.asarray(x, dtype=np.float64)
        y = (np.maximum(u, 0.0) + self.curve(u)) / beta
        return np.where(u > number(params, "threshold", 20.0), u / beta, y)


class Mish(Bent):
    """Mish, x tanh(log(1 + exp(x)))."""

    name, reach, torch = "mish", 20, ("mish", "mish_")

    def curve(self, u: Array) -> Array:
        """What it lies above max(u, 0)."""
        r: Array = self.float_apply(u, {}) - np.maximum(u, 0.0)
        return r

    def lines(self, params: Params) -> tuple[float, float, float]:
        """Slope 1, one curve."""
        return 1.0, 1.0, 1.0

    def float_apply(self, x: Array, params: Params) -> Array:
        """In float64."""
        x = np.asarray(x, dtype=np.float64)
        y: Array = x * np.tanh(np.logaddexp(0.0, x))
        return y


MEMBERS: list[MicroOp] = [Elu(), Softplus(), Mish()]
