"""Where events meet the coefficients of a target: what they cost and how long they take."""

from .events import OVERHEAD, PRICED, by_part, overhead
from .ranges import LEVELS, Range, total
from .step import BOUNDS, STAGES, TAKING_IN, TERMS, barrier_ns, lasting, stages, traffic_ns

__all__ = [
    "BOUNDS", "LEVELS", "OVERHEAD", "PRICED", "STAGES", "TAKING_IN", "TERMS", "Range", "barrier_ns", "by_part",
    "lasting", "overhead", "stages", "total", "traffic_ns",
]  # fmt: skip
