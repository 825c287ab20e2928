"""How long a step lasts: five terms that overlap in part.

A core runs its programs, sums up synapses and reads their memory at the same time as far as it can, while the network
carries the messages and the barrier waits for all. A step lasts at least as long as the largest of these terms, at most
as long as their sum: ``largest + serial_share x (sum - largest)``, with a share of 0 in the low, 1 in the high figure.
Source: the form of Timcheck et al. 2026 (arXiv:2601.10035); the share between them is fitted (docs/validation.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import log2

import numpy as np

from ..array import Array
from ..target import Target
from .events import PRICED

#: stages of a core, then what all cores share
TAKING_IN = ("synapses", "memory")  # in the step in which messages are sent
STAGES = ("programs", *TAKING_IN)
TERMS = (*STAGES, "traffic", "barrier")
BLOCK = (
    1 << 16
)  # cores in steps whose counts are priced at a time: of large networks they fill memory as they are
#: what a step is said to wait for
BOUNDS = {
    "programs": "compute", "synapses": "compute", "memory": "memory", "traffic": "traffic", "barrier": "barrier"
}  # fmt: skip


def stages(counts: Array, kinds: Iterable[str], target: Target, level: str) -> Array:
    """Counts (..., kinds) -> nanoseconds of each stage of the core, (stages, ...)."""
    weights = np.zeros((len(STAGES), counts.shape[-1]))
    for column, kind in enumerate(kinds):
        if kind in PRICED and PRICED[kind].stage:
            cost = getattr(target.costs.time_ns, PRICED[kind].key)
            weights[STAGES.index(PRICED[kind].stage), column] = getattr(cost, level)
    rows = counts.reshape(-1, counts.shape[-1])
    found = np.empty((len(STAGES), len(rows)))
    for start in range(0, len(rows), BLOCK):
        found[:, start : start + BLOCK] = (rows[start : start + BLOCK] @ weights.T).T
    return found.reshape(len(STAGES), *counts.shape[:-1])


def traffic_ns(mesh_bits: Array, chip_bits: Array, host_packets: Array, target: Target, level: str) -> Array:
    """Nanoseconds that the fullest link takes: of the mesh, between chips (bits each), of the host (packets)."""
    time = target.costs.time_ns
    links = ((mesh_bits, time.mesh_bit), (chip_bits, time.chip_bit), (host_packets, time.host_packet))
    # The host is one interface that all its packets pass; links of the mesh and between chips work side by side.
    busy: Array = np.max([np.asarray(load) * getattr(cost, level) for load, cost in links], axis=0)
    return busy


def barrier_ns(target: Target, level: str) -> float:
    """Nanoseconds of a step without any work, on all chips of the target: those that are in use."""
    time = target.costs.time_ns
    floor, doubling = (float(getattr(cost, level)) for cost in (time.barrier, time.barrier_doubling))
    return floor + doubling * log2(target.chips)


def lasting(terms: Sequence[Array | float], target: Target, level: str) -> Array:
    """Nanoseconds of a step from its terms, which broadcast against each other."""
    share = getattr(target.costs.step.serial_share, level)
    every = np.broadcast_arrays(*terms)
    largest: Array = np.max(every, axis=0)
    lasts: Array = largest + share * (np.sum(every, axis=0) - largest)
    return lasts
