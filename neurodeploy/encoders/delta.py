"""Delta: what an element has changed by since it was sent, from one level on; of a still image that is all at once."""

from __future__ import annotations

from ..ir.neuron_model import Params
from ._base import Encoder, Full


def neuron(full: Full, levels: int, ticks: int) -> tuple[str, Params]:
    """Lava's Delta, whose messages are as wide as the levels are: no change is larger."""
    return "delta", {"threshold": full / levels, "cum_error": 0, "message_bits": levels.bit_length() + 1}


MEMBER = Encoder(
    "delta", "changes alone: of a still image its levels at the first tick, then nothing", neuron
)
