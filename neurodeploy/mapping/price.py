"""What a way of cutting a network would cost, before anything runs: the mapper's estimate of latency and energy.

The coefficients and the shape are the cost model's (a step lasts as long as its slowest core, plus the barrier; static
power flows all the while; a message costs its axons and a hop per core); the counts are expectations from measured
activity, so the numbers rank alternatives and appear in no report.
"""

from __future__ import annotations

import numpy as np

from .plan import Plan

UNKNOWN_ACTIVITY = 0.5  # share of inputs that arrive in a tick where nothing was measured
HOPS = 2.0  # routers a message passes, on a mesh where neighbours mostly talk to neighbours


def energy_pj(plan: Plan) -> float:
    """Expected energy of one inference that depends on the cut: static power, barriers, messages; in pJ."""
    costs, ticks = plan.target.costs, plan.graph.header.timesteps
    cost = costs.energy_pj
    steps = ticks + max((g.depth for g in plan.groups), default=0)
    hop = (cost.packet_hop_x.nominal + cost.packet_hop_y.nominal) / 2
    message = cost.axon_in.nominal + cost.axon_out.nominal + HOPS * hop
    static_pj_per_ns = 1000 * costs.power_w.static_per_chip.nominal * plan.target.chips
    barriers = cost.barrier_per_core.nominal * plan.cores * steps
    return static_pj_per_ns * latency_ns(plan) + barriers + ticks * message * float(plan.flows.messages.sum())


def latency_ns(plan: Plan) -> float:
    """Expected duration of one inference: per step the slowest of the groups at work, plus the barrier; in ns."""
    time, ticks = plan.target.costs.time_ns, plan.graph.header.timesteps
    depth = max((g.depth for g in plan.groups), default=0)
    known = [v.activity.mean for v in plan.graph.values.values() if v.activity]
    active = float(np.mean(known)) if known else UNKNOWN_ACTIVITY
    slowest = np.zeros(ticks + depth + 1)
    for group in plan.groups:
        if group.name in plan.tilings:
            steps = slice(group.depth + 1, group.depth + ticks + 1)
            work = plan.tilings[group.name].cut.work * active * time.synaptic_op.nominal
            slowest[steps] = np.maximum(slowest[steps], work)
    return float(slowest.sum() + time.barrier.nominal * (ticks + depth))
