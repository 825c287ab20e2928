"""A way of cutting the whole network, before its tiles have places: what an objective judges, and what it would cost.

The coefficients and the shape are the cost model's (a step lasts as long as its slowest core, plus the barrier; static
power flows all the while; a message costs its axons and a hop per core); the counts are expectations from measured
activity, so the numbers rank alternatives and appear in no report.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..ir.graph import Graph
from ..target import Target
from .groups import Population
from .tiling import Tiling
from .traffic import Traffic

UNKNOWN_ACTIVITY = 0.5  # share of inputs that arrive in a tick where nothing was measured
HOPS = 2.0  # routers a message passes, on a mesh where neighbours mostly talk to neighbours


@dataclass(frozen=True, eq=False)
class Plan:
    """Tiles of every group that lives on cores, by its name, and the traffic between them."""

    graph: Graph
    target: Target
    groups: Sequence[Population]
    tilings: Mapping[str, Tiling]
    flows: Traffic

    @property
    def cores(self) -> int:
        """Cores if each tile has one of its own."""
        return sum(len(t.tiles) for t in self.tilings.values())

    @property
    def energy_pj(self) -> float:
        """Expected energy of one inference that depends on the cut: static power, barriers, messages; in pJ."""
        costs, ticks = self.target.costs, self.graph.header.timesteps
        cost = costs.energy_pj
        steps = ticks + max((g.depth for g in self.groups), default=0)
        hop = (cost.packet_hop_x.nominal + cost.packet_hop_y.nominal) / 2
        message = cost.axon_in.nominal + cost.axon_out.nominal + HOPS * hop
        static = 1000 * costs.power_w.static_per_chip.nominal * self.target.chips * self.latency_ns
        barriers = cost.barrier_per_core.nominal * self.cores * steps
        return static + barriers + ticks * message * float(self.flows.messages.sum())

    @property
    def latency_ns(self) -> float:
        """Expected duration of one inference: per step the slowest of the groups at work, plus the barrier; in ns."""
        time, ticks = self.target.costs.time_ns, self.graph.header.timesteps
        depth = max((g.depth for g in self.groups), default=0)
        known = [v.activity.mean for v in self.graph.values.values() if v.activity]
        active = float(np.mean(known)) if known else UNKNOWN_ACTIVITY
        slowest = np.zeros(ticks + depth + 1)
        for group in self.groups:
            if group.name in self.tilings:
                steps = slice(group.depth + 1, group.depth + ticks + 1)
                work = self.tilings[group.name].cut.work * active * time.synaptic_op.nominal
                slowest[steps] = np.maximum(slowest[steps], work)
        return float(slowest.sum() + time.barrier.nominal * (ticks + depth))
