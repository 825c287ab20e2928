"""What running a network yields: read-outs and recorded values (Trace), and what the cores did (Events)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np

from ..array import Array


@dataclass
class Trace:
    """Read-outs after each tick, recorded values per tick, saturation counts per node.

    ``outputs`` (T, B, *output shape): the accumulated read-out after tick 1..T. ``values``: name -> (T, B, *shape).
    """

    outputs: Array
    values: dict[str, Array] = field(default_factory=dict)
    saturations: dict[str, int] = field(default_factory=dict)


class Router(NamedTuple):
    """The router at (x, y) of a chip, or :data:`HOST`."""

    chip: int
    x: int
    y: int

    def __str__(self) -> str:
        return f"chip{self.chip} ({self.x},{self.y})" if self.chip >= 0 else "host"

    @classmethod
    def parse(cls, name: str) -> Router | None:
        """The router of a chip that a report calls by this name; None for the host, and for what is no such name."""
        found = re.fullmatch(r"chip(\d+) \((\d+),(\d+)\)", name)
        return cls(*map(int, found.groups())) if found else None


HOST = Router(-1, 0, 0)  # the interface of the host, on no chip


class Link(NamedTuple):
    """A way from one router to the next."""

    start: Router
    end: Router

    @property
    def kind(self) -> Literal["mesh", "chip", "host"]:
        """``host`` if either end is the host, ``chip`` between two chips, else ``mesh``; each has its own cost."""
        if HOST in self:
            return "host"
        return "mesh" if self.start.chip == self.end.chip else "chip"


#: what a core is seen to do; one column each of the count arrays of Events
EVENT_KINDS = (
    "synaptic_ops",  # delivered spikes meeting stored non-zero weights
    "product_ops",  # adds of a product of two streams on non-zero operands
    "neuron_updates",  # elements of neuron populations evaluated in a tick
    "stock_updates",  # those of the chip's own neuron models
    "program_ops",  # operations of the programs of all other models
    "spikes",  # non-zero values a population sends (each element once per tick, however many destinations)
    "packets_out",  # one per spike and destination core (or host); where packets are multicast, one per spike
    "packets_in",  # packets received
    "memory_reads",  # 64-bit words of synapse memory read for them
    "message_bits",  # bits of the packets sent
    "hops_x",  # router-to-router hops of the packets sent, along x
    "hops_y",  # and along y
    "microcode_ops",  # adds, multiplies, shifts, compares, table reads of microcode, sums and delays
    "state_accesses",  # 64-bit words of state, held operands and delay lines read or written
    "reset_words",  # 64-bit words of state, running sums and held operands written where a sample starts anew
)


@dataclass(frozen=True, eq=False)
class Flows:
    """Who sends packets to whom in which step, mean per inference.

    ``ends`` (pairs, 2): sender and receiver as positions among the cores of the counts, -1 is the host. ``packets``
    (pairs, steps) counts with the step in which they are sent. ``spans`` (pairs, 2): first and last place, among all
    that the sender's programs can send, of what goes to this receiver; it says who comes first, not when. Where packets
    are multicast, ``rows`` (pairs,) says which row of both each pair has: pairs of one row are reached by the same
    packets. Where it is empty, each has its own.
    """

    ends: Array = field(default_factory=lambda: np.zeros((0, 2), dtype=np.int64))
    packets: Array = field(default_factory=lambda: np.zeros((0, 0), dtype=np.float32))
    spans: Array = field(default_factory=lambda: np.zeros((0, 2), dtype=np.float32))
    rows: Array = field(default_factory=lambda: np.zeros(0, dtype=np.int64))

    @property
    def reached(self) -> list[tuple[int, tuple[int, ...]]]:
        """Sender and receivers of each row."""
        if len(self.rows) != len(self.ends):
            return [(source, (target,)) for source, target in self.ends.tolist()]
        found: dict[int, tuple[int, tuple[int, ...]]] = {}
        for row, (source, target) in zip(self.rows.tolist(), self.ends.tolist(), strict=True):
            found[row] = source, (*found.get(row, (source, ()))[1], target)
        return [found[row] for row in sorted(found)]

    @classmethod
    def of(
        cls, reached: Sequence[tuple[int, Sequence[int]]], packets: Array, spans: Array, multicast: bool
    ) -> Flows:
        """Those of rows of a sender and its receivers."""
        ends = [(source, target) for source, targets in reached for target in targets]
        rows = np.repeat(np.arange(len(reached)), [len(targets) for _, targets in reached])
        pairs = np.array(ends, dtype=np.int64).reshape(-1, 2)
        return cls(pairs, packets, spans, rows if multicast else np.zeros(0, dtype=np.int64))


@dataclass
class Events:
    """Counts of a run on mapped cores, one sample's counts separately.

    ``core_counts`` (samples, cores, steps, kinds): by core in the order of ``Mapping.cores`` and by hardware step of a
    single inference (T + depth steps). ``node_counts``: graph node -> (kinds,) mean per inference, summing over
    nodes to the cores' total. ``node_core_counts``: the same as (node, core index) -> (kinds,). ``links``: packets per
    step, (steps,) mean per inference, ``link_bits`` their bits; ``link_peak`` the most packets of any sample and step.
    ``flows`` says between which cores they go. A packet counts, where it is sent and where it is taken in, with the
    step in which it is sent.
    """

    samples: int
    steps: int
    core_counts: Array
    node_counts: dict[str, Array]
    node_core_counts: dict[tuple[str, int], Array]
    links: dict[Link, Array]
    link_bits: dict[Link, Array]
    link_peak: dict[Link, int]
    kinds: tuple[str, ...] = EVENT_KINDS
    flows: Flows = field(default_factory=Flows)

    def total(self, kind: str) -> float:
        """Mean count of one kind per inference, over all cores and steps."""
        return float(self.core_counts[..., self.kinds.index(kind)].sum(axis=(1, 2)).mean())
