"""Latency: what every step of a frame lasts and waits for, and what a pipeline of samples delivers."""

from __future__ import annotations

import numpy as np

from ..array import Array
from ..ir.trace import Events
from ..price import LEVELS, PRICED, Range, barrier_ns, lasting, stages, traffic_ns
from ..target import Target
from .links import busiest, packets
from .types import Definition, Timing

#: coefficients of what the network does
NETWORK = ("mesh_bit", "chip_bit", "host_packet", "packet_hop_x", "packet_hop_y")
BARRIER = ("barrier", "barrier_doubling")

LATENCY = Definition(
    "latency_ms",
    "Frame latency",
    "sum over the T + depth steps;  a step = largest + serial_share x (sum - largest) of its terms, taken for the core"
    " that makes it longest;  programs = sum of (neuron updates, operations, spikes, packets sent, ...) x time;"
    "  synapses = synaptic operations x time;  memory = words read x time + packets received x time;  traffic = bits of"
    " the fullest link x time + longest mean path;  barrier = barrier + barrier_doubling x log2(chips);  mean over"
    " samples",
    (
        *(f"time_ns.{key}" for key in dict.fromkeys(price.key for price in PRICED.values() if price.stage)),
        *(f"time_ns.{key}" for key in (*NETWORK, *BARRIER)),
        "step.serial_share",
    ),
    (
        "low: the terms of a step overlap and the largest is what it lasts;  high: nothing overlaps;  nominal: the"
        " share in between that measured steps ask for",
        "a message is taken in during the step that sends it, so that step pays for its synapses too",
        "link loads are means over samples; the cores' work is taken sample by sample",
        "time of the host itself is not included",
    ),
    ("Timcheck et al. 2026 (arXiv:2601.10035): a step lasts at least as long as the largest of these terms",),
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
    frame, steady = [], []
    for level in LEVELS:
        work, net = stages(_counts(events), events.kinds, target, level), network_ns(events, target, level)
        frame.append(lasting([*work, net, barrier_ns(target, level)], target, level))
        folded, net = fold(work, period), fold(net, period)
        steady.append(lasting([*folded, net, barrier_ns(target, level)], target, level).max(axis=1))
    step, every = np.stack([cores.max(axis=1) for cores in frame]), np.stack(steady)
    slowest = frame[1].mean(axis=0).argmax(axis=0)
    return Timing(
        step_ns=step.mean(axis=1),
        terms_ns=_terms(events, target, slowest),
        busiest=tuple(slowest.tolist()),
        latency_ns=Range(*step.sum(axis=2).mean(axis=1).tolist()),
        period_ns=Range(*every.sum(axis=2).mean(axis=1).tolist()),
        steady_ns=every.mean(axis=1),
    )


def _counts(events: Events) -> Array:
    """(samples, cores, steps, kinds); a run without any mapped core still has steps, in which one core idles."""
    counts = events.core_counts
    return counts if counts.shape[1] else np.zeros((counts.shape[0], 1, *counts.shape[2:]))


def _terms(events: Events, target: Target, slowest: Array) -> Array:
    """Nominal nanoseconds of each term in each step, those of a core for the slowest one."""
    counts = _counts(events)[:, slowest, np.arange(events.steps)].mean(axis=0)
    work = stages(counts, events.kinds, target, "nominal")
    barrier = np.full(events.steps, barrier_ns(target, "nominal"))
    return np.stack([*work, network_ns(events, target, "nominal"), barrier])


def network_ns(events: Events, target: Target, level: str) -> Array:
    """Nanoseconds the network needs in each step, (steps,): the fullest link, then the longest mean path."""
    mesh, chip = (busiest(events.link_bits, kind, events.steps) for kind in ("mesh", "chip"))
    x, y = (getattr(getattr(target.costs.time_ns, key), level) for key in ("packet_hop_x", "packet_hop_y"))
    return traffic_ns(mesh, chip, packets(events, "host"), target, level) + _path_ns(events, x, y)


def _path_ns(events: Events, hop_x_ns: float, hop_y_ns: float) -> Array:
    """Longest mean path of the packets of any core, (steps,): mean hops x time per hop."""
    if not events.core_counts.shape[1]:
        return np.zeros(events.steps)
    x, y, sent = (
        events.core_counts[..., events.kinds.index(kind)].mean(axis=0)
        for kind in ("hops_x", "hops_y", "packets_out")
    )
    travel = x * hop_x_ns + y * hop_y_ns
    longest: Array = np.divide(travel, sent, out=np.zeros_like(travel), where=sent > 0).max(axis=0)
    return longest


def fold(x: Array, period: int) -> Array:
    """Sum of all steps (last axis) with the same remainder modulo ``period``."""
    missing = -x.shape[-1] % period
    padded = np.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, missing)])
    folded: Array = padded.reshape(*x.shape[:-1], padded.shape[-1] // period, period).sum(axis=-2)
    return folded
