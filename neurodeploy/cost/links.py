"""Packets and bits on the links of one kind, per step."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..array import Array
from ..ir.trace import Events, Link


def packets(events: Events, kind: str) -> Array:
    """Packets per step over all links of one kind, (steps,), mean per inference."""
    chosen = [np.asarray(load) for link, load in events.links.items() if link.kind == kind]
    return np.sum(chosen, axis=0) if chosen else np.zeros(events.steps)


def busiest(loads: Mapping[Link, Array], kind: str, steps: int) -> Array:
    """The load of the fullest link of one kind in each step, (steps,)."""
    chosen = [np.asarray(load) for link, load in loads.items() if link.kind == kind]
    return np.max(chosen, axis=0) if chosen else np.zeros(steps)
