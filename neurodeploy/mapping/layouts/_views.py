"""Values as Views show them, for layouts that write Views into a graph."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ...ir.nodes import View
from ...ir.types import Shape, Value


def shown(view: View, value: Value, shape: Shape) -> Value:
    """The value of ``shape`` that a View makes of another one; units that differ by element move with them."""
    spec = value.fixed
    if spec is not None and np.ndim(spec.scale):
        spec = replace(spec, scale=view.apply([np.broadcast_to(spec.scale, value.shape.sizes)]))
    return replace(value, shape=shape, fixed=spec, activity=None)  # it is found from what is read
