"""What a planned node is: a step from its inputs, over all ticks, to its value, beside the counters of the run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from ..array import Array
from ..ir.nodes import Node


@dataclass
class Run:
    """One pass over one chunk of samples: its number of ticks, the saturations seen, and the states that are kept."""

    ticks: int
    saturations: dict[str, int] = field(default_factory=dict)
    #: ticks that went before
    before: int = 0
    #: neuron -> its states (T, B, *shape) after each tick; filled for those that are keys
    states: dict[str, list[Array]] = field(default_factory=dict)
    #: neuron -> its states (B, *shape) before the first tick; others begin at rest
    begin: Mapping[str, Sequence[Array]] = field(default_factory=dict)

    def count(self, node: Node, clipped: int, ticks: int) -> None:
        """Add saturated elements; a value computed for ``ticks`` = 1 stands for every tick."""
        every = self.ticks if ticks == 1 else 1
        self.saturations[node.name] = self.saturations.get(node.name, 0) + int(clipped) * every


Step = Callable[[list[Array], Run], Array]
