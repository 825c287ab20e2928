"""A network that is cut but not yet placed: what it would cost, by the prices that the report uses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np

from ..array import Array
from ..ir.graph import Graph
from ..ir.trace import EVENT_KINDS
from ..passes.balance import lag, period
from ..price import (
    BOUNDS,
    TERMS,
    Range,
    barrier_ns,
    by_part,
    lasting,
    overhead,
    stages,
    total,
    traffic_ns,
)
from ..target import Target
from .crowding import LEVEL, chips_of, crowded_ns
from .expected import folded_spans, spans
from .groups import Population
from .tiling import Tiling
from .traffic import Traffic, packet_bits


class Cost(NamedTuple):
    """What a plan is expected to cost: that of one inference, and the time between two results of a pipeline."""

    cores: int
    chips: int
    energy_pj: float
    latency_ns: float
    period_ns: float


@dataclass(frozen=True, eq=False)
class Plan:
    """Tiles of every group that lives on cores, by its name, and the traffic between them.

    ``counts``: expected counts of one tick of whole groups, by their names; ``others``: what else was weighed, the next
    best first; ``instead``: by a label what the best plans of other kinds cost, such as those whose tokens are in space
    where these take turns.
    """

    graph: Graph
    target: Target
    groups: Sequence[Population]
    tilings: Mapping[str, Tiling]
    flows: Traffic
    counts: Mapping[str, Array]
    others: Sequence[Cost] = ()
    instead: Mapping[str, Cost] = field(default_factory=dict)

    @property
    def cores(self) -> int:
        """Cores if each tile has one of its own."""
        return sum(t.cut.cores for t in self.tilings.values())

    @property
    def chips(self) -> int:
        """Chips that so many cores fill."""
        return max(-(-self.cores // self.target.chip.cores_per_chip), 1)

    @cached_property
    def cost(self) -> Cost:
        """All that plans are compared by."""
        return Cost(self.cores, self.chips, self.energy_pj, self.latency_ns, self.period_ns)

    @property
    def _barrier_ns(self) -> float:
        return barrier_ns(self.target.model_copy(update={"chips": self.chips}), LEVEL)

    @cached_property
    def steps(self) -> int:
        """Steps of one inference."""
        return self.graph.header.timesteps + lag(self.graph)

    @cached_property
    def expected(self) -> dict[str, Array]:
        """Expected counts of one tick on the busiest tiles of each group (tiles, kinds), by its name."""
        sent = self.flows.packets.sent(self.flows.tiles)
        found, first = {}, 0
        for name, tiling in self.tilings.items():
            numbers, counts = zip(*tiling.busiest, strict=True)
            packets = sent[first + np.array(numbers)] / tiling.accounting.group.turns
            first += tiling.cut.cores
            bits = max(
                packet_bits(self.graph, node.name, self.target) for node in tiling.accounting.group.nodes
            )
            travelling = {"packets_out": 1, "message_bits": bits, "hops_x": 1, "hops_y": 1}
            each = np.array([travelling.get(kind, 0.0) for kind in EVENT_KINDS])
            found[name] = np.array(counts) + np.outer(packets, each)
        return found

    @property
    def energy_pj(self) -> float:
        """Expected energy of one inference in pJ."""
        lasts = Range(*[self.latency_ns] * 3)
        flowing = overhead(self.cores, self.chips, self.steps, lasts, self.target).values()
        return self.events_pj + sum(energy.nominal for _, energy in flowing)

    @cached_property
    def events_pj(self) -> float:
        """Expected energy of the events of one inference in pJ."""
        counts = np.sum([np.zeros(len(EVENT_KINDS)), *self.counts.values()], axis=0)
        packets = self.flows.packets
        taken, sent, hops = float(packets.copies.sum()), float(packets.local.sum()), packets.hops
        travelling = {"packets_in": taken, "packets_out": sent, "hops_x": hops, "hops_y": hops}
        for kind, amount in travelling.items():
            counts[EVENT_KINDS.index(kind)] = amount
        ticks, host_pj = self.graph.header.timesteps, self.target.costs.energy_pj.host_packet.nominal
        hosted = packets.gathered(chips_of(self.flows.tiles, self.target.chip)).hosted
        found = total(by_part(counts * ticks, EVENT_KINDS, self.target, "neuron").values()).nominal
        return found + hosted * ticks * host_pj

    @property
    def latency_ns(self) -> float:
        """Expected duration of one inference in ns: in each step the slowest of the groups at work."""
        return float(self._steps_ns.max(axis=0, initial=self._barrier_ns).sum())

    @cached_property
    def _steps_ns(self) -> Array:
        """(groups, steps) what a step would last if it waited for this group; nothing where it does not work."""
        found, barrier = np.zeros((len(self.tilings), self.steps)), self._barrier_ns
        groups = [group for group in self.groups if group.name in self.tilings]
        for row, group in zip(found, groups, strict=True):
            counts = self.expected[group.name]
            for part, start, stop in spans(group.depth, self.graph.header.timesteps * group.turns):
                row[start:stop] = self._lasts(counts * part.kinds, barrier, self.network_ns[start:stop])
        return found

    @cached_property
    def network_ns(self) -> Array:
        """What the fullest link that many cores share takes in each step (:func:`.crowding.crowded_ns`)."""
        return crowded_ns(self.graph, self.groups, self.tilings, self.flows, self.target, self.steps)

    @property
    def waits(self) -> dict[str, tuple[str, float]]:
        """For each group: the bound of its fullest core, and the ns of an inference that wait for it."""
        barrier, held = self._barrier_ns, dict.fromkeys(self.tilings, 0.0)
        names = [group.name for group in self.groups if group.name in self.tilings]
        for lasts in self._steps_ns.T:
            if lasts.any():
                slowest = int(lasts.argmax())
                held[names[slowest]] += float(lasts[slowest])
        found = {}
        for name, counts in self.expected.items():
            terms = self._terms_ns(counts, barrier)
            busiest = int(lasting(list(terms), self.target, LEVEL).argmax())
            found[name] = BOUNDS[TERMS[int(terms[:, busiest].argmax())]], held[name]
        return found

    @property
    def period_ns(self) -> float:
        """Expected time between two results of a pipeline in ns: in every step the slowest of the groups at work."""
        barrier = self._barrier_ns
        steps, ticks = period(self.graph), self.graph.header.timesteps
        # In a pipeline links and cores do in each step what those of a frame that fall on it do together.
        folded = np.bincount(np.arange(self.steps) % steps, self.network_ns, steps)
        found = np.maximum(barrier, folded)
        for group in (group for group in self.groups if group.name in self.tilings):
            for part, busy in folded_spans(group.depth, ticks * group.turns, steps):
                lasts = self._lasts(self.expected[group.name] * part.kinds, barrier, folded[busy])
                found[busy] = np.maximum(found[busy], lasts)
        return float(found.sum())

    def _lasts(self, counts: Array, barrier: float, network_ns: Array) -> Array:
        """Of steps in which cores do what was counted, beside what the network takes in each: the slowest core's."""
        *work, traffic, end = self._terms_ns(counts, barrier)[..., None]
        lasts = lasting([*work, np.maximum(traffic, network_ns), end], self.target, LEVEL)
        slowest: Array = lasts.max(axis=0)
        return slowest

    def _terms_ns(self, counts: Array, barrier: float) -> Array:
        """Terms of a step in which cores do what was counted, (:data:`~neurodeploy.price.TERMS`, cores)."""
        bits = counts[:, EVENT_KINDS.index("message_bits")]
        none = np.zeros_like(bits)
        traffic = traffic_ns(bits, none, none, self.target, LEVEL)
        return np.array(
            [*stages(counts, EVENT_KINDS, self.target, LEVEL), traffic, np.full_like(bits, barrier)]
        )
