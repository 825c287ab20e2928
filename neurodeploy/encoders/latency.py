"""Latency: one spike of full scale for each element, the sooner the larger it is; the smallest send none."""

from __future__ import annotations

from ..ir.neuron_model import Params
from ._base import Encoder, Full


def neuron(full: Full, levels: int, ticks: int) -> tuple[str, Params]:
    """Time to first spike."""
    return "first_spike", {"full": full, "ticks": ticks}


MEMBER = Encoder("latency", "one spike, sooner for larger values, none for less than 1 / (T + 1)", neuron)
