"""Hyperbolic tangent: y = sign(x) * t(|x|), with one table of t for both signs; program and error in :mod:`._odd`."""

from __future__ import annotations

import numpy as np

from ._odd import Odd

MEMBER = Odd("tanh", np.tanh, reach=8)
