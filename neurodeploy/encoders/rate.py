"""Rate: spikes of full scale whose mean comes nearest to the input, at every tick.

An integrate-and-fire neuron of threshold ``full`` that begins half-way to it and loses ``full`` with each spike
(``multi_spike`` of one spike): after t ticks it has sent round(t x / full) spikes. Nothing is drawn.
"""

from __future__ import annotations

from ..ir.neuron_model import Params
from ._base import Encoder, Full


def neuron(full: Full, levels: int, ticks: int) -> tuple[str, Params]:
    """A quantiser of one step, with what is left over."""
    return "multi_spike", {"step": full, "positive": 1, "negative": 0}


MEMBER = Encoder(
    "rate", "spikes whose mean over the ticks is the value, as near as whole spikes come", neuron
)
