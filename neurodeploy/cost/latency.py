"""Latency: the slowest core or link of every step, plus the barrier; and what a pipeline of samples delivers."""

from __future__ import annotations

import numpy as np

from ..array import Array
from ..ir.trace import Events
from ..target import Target
from .energy import PRICED
from .links import busiest, packets
from .types import LEVELS, Definition, Range, Timing

#: event kind -> time coefficient; hops are not serial work of a core and enter with the network
CORE_WORK = {kind: key for kind, (key, _) in PRICED.items() if kind not in ("hops_x", "hops_y")}
#: coefficients of what the network does
NETWORK = ("link_packet", "packet_chip_hop", "host_packet", "packet_hop_x", "packet_hop_y")

LATENCY = Definition(
    "latency_ms",
    "Frame latency",
    "sum over the T + depth steps of (barrier + max(slowest core, network));  core = sum of (events x time per"
    " event);  network = fullest link x time per packet + longest mean path;  mean over samples",
    tuple(f"time_ns.{key}" for key in (*dict.fromkeys(CORE_WORK.values()), *NETWORK, "barrier")),
    (
        "one event after the other on a core, all cores at once: no overlap inside a core is assumed",
        "link loads are means over samples; the cores' work is taken sample by sample",
        "time of the host itself is not included",
    ),
)
THROUGHPUT = Definition(
    "throughput_per_s",
    "Pipelined throughput",
    "1 / (sum of P steady steps);  in steady operation a new sample enters every P steps, so step p of a period"
    " holds the work of all steps s of a frame with s mod P = p",
    LATENCY.coefficients,
    (
        "P is T, or as much more as keeps what a delayed connection brings after the last tick of a sample out of the"
        " ticks of others: with a longest delay of d ticks at most T + d",
        "assumes that the host delivers inputs in time and that samples are alike: each core's work is added up over"
        " the steps of the same sample",
    ),
)


def timing(events: Events, target: Target, period: int) -> Timing:
    """Step times of a frame and of the steady pipeline, in which a sample enters every ``period`` steps."""
    works = [core_work(events, target, level) for level in LEVELS]
    nets = [network_ns(events, target, level) for level in LEVELS]
    floors = [getattr(target.costs.time_ns.barrier, level) for level in LEVELS]
    levels = [*zip(works, nets, floors, strict=True)]
    step = np.stack([_slowest(*level) for level in levels])
    steady = np.stack([_slowest(fold(w, period), fold(n, period), f) for w, n, f in levels])
    mean = works[1].mean(axis=0)
    return Timing(
        step_ns=step.mean(axis=1),
        bound=_bounds(works[1].max(axis=1).mean(axis=0), nets[1]),
        busiest=tuple(int(i) for i in mean.argmax(axis=0)),
        latency_ns=Range(*step.sum(axis=2).mean(axis=1).tolist()),
        period_ns=Range(*steady.sum(axis=2).mean(axis=1).tolist()),
        steady_ns=steady.mean(axis=1),
    )


def core_work(events: Events, target: Target, level: str) -> Array:
    """Nanoseconds of serial work by sample, core and step."""
    costs = [getattr(target.costs.time_ns, CORE_WORK[k]) if k in CORE_WORK else None for k in events.kinds]
    weights = np.array([getattr(cost, level) if cost else 0.0 for cost in costs])
    work = events.core_counts @ weights
    # A run without any mapped core still has steps; its cores are all idle.
    return work if work.shape[1] else np.zeros((work.shape[0], 1, work.shape[2]))


def network_ns(events: Events, target: Target, level: str) -> Array:
    """Nanoseconds the network needs in each step, (steps,)."""
    mesh, chip, host, x, y = (getattr(getattr(target.costs.time_ns, key), level) for key in NETWORK)
    # The host is one interface that all its packets pass; links of the mesh and between chips work side by side.
    loads = busiest(events, "mesh") * mesh, busiest(events, "chip") * chip, packets(events, "host") * host
    serial: Array = np.max(loads, axis=0)
    return serial + _path_ns(events, x, y)


def _path_ns(events: Events, hop_x_ns: float, hop_y_ns: float) -> Array:
    """Longest mean path of the packets of any core, (steps,): mean hops x time per hop."""
    if not events.core_counts.shape[1]:
        return np.zeros(events.steps)
    column = events.kinds.index
    counts = events.core_counts.mean(axis=0)
    travel = counts[..., column("hops_x")] * hop_x_ns + counts[..., column("hops_y")] * hop_y_ns
    sent = counts[..., column("packets_out")]
    longest: Array = np.divide(travel, sent, out=np.zeros_like(travel), where=sent > 0).max(axis=0)
    return longest


def _slowest(work: Array, network: Array, floor: float) -> Array:
    """Step times by sample and step: the slowest core or the network, behind the barrier."""
    return floor + np.maximum(work.max(axis=1), network[None])


def fold(x: Array, period: int) -> Array:
    """Sum of all steps (last axis) with the same remainder modulo ``period``."""
    missing = -x.shape[-1] % period
    padded = np.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, missing)])
    folded: Array = padded.reshape(*x.shape[:-1], -1, period).sum(axis=-2)
    return folded


def _bounds(core: Array, network: Array) -> tuple[str, ...]:
    pairs = zip(core, network, strict=True)
    return tuple("barrier" if max(c, n) <= 0 else "core" if c >= n else "network" for c, n in pairs)
