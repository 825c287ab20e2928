"""The fast bit-true engine: integer graph -> Trace, segment by segment over all ticks at once.

The graph is feed-forward within a tick and all state lives inside nodes, so a segment can process every tick and sample
of its inputs in one go. Results, recorded values and saturation counts equal ``ir.interp`` exactly.
"""

from __future__ import annotations

from .engine import Engine
from .gradual import Gradual

__all__ = ["Engine", "Gradual"]
