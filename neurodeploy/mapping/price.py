"""What a way of cutting a network would cost, before anything runs: the mapper's estimate of latency and energy.

The coefficients and the shape are the cost model's (a step lasts as long as its slowest core, plus the barrier; static
power flows all the while; a message costs its axons and a hop per core); the counts are expectations from measured
activity, so the numbers rank alternatives and appear in no report.
"""

from __future__ import annotations

from collections.abc import Mapping as MappingABC
from collections.abc import Sequence

import numpy as np

from ..ir.graph import Graph
from ..target import Target
from .groups import Population
from .tiling import Tiling
from .traffic import Traffic

UNKNOWN_ACTIVITY = 0.5  # share of inputs that arrive in a tick where nothing was measured
HOPS = 2.0  # routers a message passes, on a mesh where neighbours mostly talk to neighbours


def energy_pj(
    graph: Graph,
    target: Target,
    groups: Sequence[Population],
    tilings: MappingABC[str, Tiling],
    flows: Traffic,
) -> float:
    """Expected energy of one inference that depends on the cut: static power, barriers, messages; in pJ."""
    cost, ticks = target.costs.energy_pj, graph.header.timesteps
    cores = sum(len(t.tiles) for t in tilings.values())
    steps = ticks + max((g.depth for g in groups), default=0)
    message = (
        cost.axon_in.nominal
        + cost.axon_out.nominal
        + HOPS * (cost.packet_hop_x.nominal + cost.packet_hop_y.nominal) / 2
    )
    static_pj_per_ns = 1000 * target.costs.power_w.static_per_chip.nominal * target.chips
    return (
        static_pj_per_ns * latency_ns(graph, target, groups, tilings)
        + cost.barrier_per_core.nominal * cores * steps
        + ticks * message * float(flows.messages.sum())
    )


def latency_ns(
    graph: Graph, target: Target, groups: Sequence[Population], tilings: MappingABC[str, Tiling]
) -> float:
    """Expected duration of one inference: per step the slowest of the groups at work, plus the barrier; in ns."""
    time, ticks = target.costs.time_ns, graph.header.timesteps
    depth = max((g.depth for g in groups), default=0)
    known = [v.activity.mean for v in graph.values.values() if v.activity]
    active = float(np.mean(known)) if known else UNKNOWN_ACTIVITY
    slowest = np.zeros(ticks + depth + 1)
    for group in groups:
        if group.name in tilings:
            steps = slice(group.depth + 1, group.depth + ticks + 1)
            work = tilings[group.name].cut.work * active * time.synaptic_op.nominal
            slowest[steps] = np.maximum(slowest[steps], work)
    return float(slowest.sum() + time.barrier.nominal * (ticks + depth))
