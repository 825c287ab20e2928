"""Sigmoid: y = 1/2 + sign(x) * t(|x|), with one table of t for both signs; program and error in :mod:`._odd`."""

from __future__ import annotations

import numpy as np

from ..array import Array
from ._odd import Odd


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)), by the tangent, which never overflows."""
    y: Array = 0.5 + 0.5 * np.tanh(0.5 * x)
    return y


MEMBER = Odd("sigmoid", sigmoid, reach=16, middle=0.5)
