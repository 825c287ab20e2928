"""Packets on the links of one kind, per step."""

from __future__ import annotations

import numpy as np

from ..array import Array
from ..ir.trace import Events


def packets(events: Events, kind: str) -> Array:
    """Packets per step over all links of one kind, (steps,), mean per inference."""
    chosen = [np.asarray(load) for link, load in events.links.items() if link.kind == kind]
    return np.sum(chosen, axis=0) if chosen else np.zeros(events.steps)


def busiest(events: Events, kind: str) -> Array:
    """Packets per step on the fullest link of one kind, (steps,), mean per inference."""
    chosen = [np.asarray(load) for link, load in events.links.items() if link.kind == kind]
    return np.max(chosen, axis=0) if chosen else np.zeros(events.steps)
