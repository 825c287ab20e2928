"""What the comparison of an imported graph with its module yields; needs no torch."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

#: what every number is called that follows from an import that was not compared
UNCHECKED = "import not checked"


@dataclass(frozen=True, kw_only=True)
class ImportCheck:
    """The graph equals the module on these inputs.

    ``samples`` raw inputs of ``low`` .. ``high`` over ``ticks`` calls; ``outputs_compared`` numbers of the read-out and
    ``neurons_compared`` of populations, over all samples and ticks. ``largest_difference`` and ``tolerance`` are
    relative to the largest magnitude of what is compared. ``ties``: neurons whose membrane stands so close to a
    threshold that another order of summation moves it across; everything else was then compared on the module's own
    spikes. ``precision`` is the module's in the comparison.
    """

    samples: int
    ticks: int
    outputs_compared: int
    neurons_compared: int
    largest_difference: float
    ties: int
    tolerance: float
    precision: str
    low: int
    high: int
    seconds: float

    def covers(self, low: int, high: int) -> bool:
        """Whether raw inputs of this range were tried."""
        return self.low <= low and high <= self.high

    def as_dict(self) -> dict[str, Any]:
        """Itself as JSON."""
        return asdict(self)

    @classmethod
    def parse(cls, data: Any) -> ImportCheck | None:
        """A check from JSON; None where it is not whole."""
        names = {field.name for field in fields(cls)}
        if not isinstance(data, dict) or set(data) != names:
            return None
        numbers = all(isinstance(v, (int, float)) for k, v in data.items() if k != "precision")
        return cls(**data) if numbers and isinstance(data["precision"], str) else None
