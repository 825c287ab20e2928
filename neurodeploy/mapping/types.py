"""The mapping: a side table over the integer graph that says which core does what, and what that costs in limits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from ..array import Array
from ..errors import Problem


@dataclass(frozen=True)
class Demand:
    """What a piece needs of one core; words are 64 bits.

    ``neuron_groups`` takes one word each. ``axon_in``: one word per source element (dense list) or source position;
    ``axon_out``: one per source element or position, consumer node and destination core, or element sent to the host.
    ``fan_in``: most incoming connections of one neuron; ``thresholds``: different threshold settings (counted only for
    targets that limit them). Neither is memory.
    """

    neurons: int = 0
    neuron_words: int = 0
    neuron_groups: int = 0
    synapse_words: int = 0
    axon_in: int = 0
    axon_out: int = 0
    held_words: int = 0
    table_words: int = 0
    fan_in: int = 0
    thresholds: int = 0

    def __add__(self, other: Demand) -> Demand:
        joined = {f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)}
        return Demand(**(joined | {"fan_in": max(self.fan_in, other.fan_in)}))

    @property
    def total_words(self) -> int:
        """All words of the core's memory."""
        messages = self.axon_in + self.axon_out
        kept = self.neuron_words + self.neuron_groups + self.held_words + self.table_words
        return kept + self.synapse_words + messages


@dataclass(frozen=True, eq=False)
class Piece:
    """Part of a population group on one core: for each node of the group, the flat indices of its elements here."""

    group: str
    elements: dict[str, Array]
    demand: Demand


@dataclass(frozen=True, eq=False)
class Core:
    """One used core: where it is, what it hosts, how full it is (``used`` resource -> (used, limit))."""

    index: int
    chip: int
    x: int
    y: int
    pieces: tuple[Piece, ...]
    demand: Demand
    used: dict[str, tuple[float, float]]
    limiting: str

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the groups hosted."""
        return tuple(p.group for p in self.pieces)


@dataclass(frozen=True, eq=False)
class Group:
    """A population group: nodes that live on the same indices, entered through synapses, products or delays.

    ``turns``: tokens that one of its ``copies`` takes one after the other; 0 copies where no tokens take turns, or it
    has none.
    """

    name: str
    nodes: tuple[str, ...]
    depth: int
    layout: str
    alternatives: tuple[dict[str, Any], ...] = ()
    limiting: str = ""
    turns: int = 1
    copies: int = 0


@dataclass(frozen=True, eq=False)
class Mapping:
    """Result of the mapper: groups, cores, and per-core memory images; ``problems`` if it does not fit.

    ``images``: one memory image per core in their order, then the host's, made when asked for
    (:class:`neurodeploy.image.Images`).
    ``depth``: largest lag of any node in its last turn, in steps; a frame takes timesteps + depth steps.
    """

    target: str
    chips: int
    cores_total: int
    groups: tuple[Group, ...]
    cores: tuple[Core, ...]
    depth: int
    images: Sequence[Any] = ()
    problems: tuple[Problem, ...] = ()
    notes: dict[str, Any] = field(default_factory=dict)

    @property
    def fits(self) -> bool:
        """True if every piece found a core within all limits."""
        return not any(p.severity == "error" for p in self.problems)
