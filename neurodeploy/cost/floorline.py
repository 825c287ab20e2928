"""Which bound holds each layer and each step: where it lies over the floors of its target, and what would move it.

A layer is a population group; its terms are those of its fullest core in a mean tick. Source: Yik et al. 2025,
"Floorline" (arXiv:2511.21549): the time of a step follows what its busiest core does, not how much all do together.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..array import Array
from ..ir.trace import Events
from ..mapping.types import Group, Mapping
from ..price import barrier_ns, lasting, stages, traffic_ns
from ..target import Target
from .types import CHANGES, Definition, Floor, Timing

FLOORLINE = Definition(
    "floorline",
    "Bounds of layers and steps",
    "terms of a layer: those of a step, for its fullest core in a mean tick, traffic as the bits that this core sends"
    " over one link;  of a step: those of the core that makes it longest;  bound: the largest term",
    notes=("nominal", *(f"{term}: {change}" for term, change in CHANGES.items())),
    sources=("Yik et al. 2025 (arXiv:2511.21549): run time follows the busiest core",),
)


def layers(events: Events, mapping: Mapping, target: Target, ticks: int) -> tuple[Floor, ...]:
    """One entry for each population group on cores, in order; counts of all its nodes on a core add up."""
    member = {name: group for group in mapping.groups for name in group.nodes}
    by_core: dict[str, dict[int, Array]] = {}
    for (node, core), counts in events.node_core_counts.items():
        if node in member:
            cores = by_core.setdefault(member[node].name, {})
            cores[core] = cores.get(core, 0) + counts / (ticks * member[node].turns)
    order = [group.name for group in mapping.groups if group.name in by_core]
    return tuple(_fullest(name, by_core[name], events, target) for name in order)


def _fullest(name: str, cores: dict[int, Array], events: Events, target: Target) -> Floor:
    counts, column = np.stack(list(cores.values())), events.kinds.index
    bits, none = counts[:, column("message_bits")], np.zeros(len(counts))
    work = stages(counts, events.kinds, target, "nominal")
    barrier = np.full(len(counts), barrier_ns(target, "nominal"))
    terms = np.stack([*work, traffic_ns(bits, none, none, target, "nominal"), barrier])
    lasts = lasting(list(terms), target, "nominal")
    at = int(lasts.argmax())
    reads = float(counts[at, column("memory_reads")])
    return Floor(name, list(cores)[at], reads, tuple(terms[:, at].tolist()), float(lasts[at]))


def steps(events: Events, mapping: Mapping, timing: Timing, known: tuple[Floor, ...]) -> tuple[Floor, ...]:
    """One entry for each step of a frame; ``layer`` is the one that most of it goes to on its slowest core."""
    reads = events.core_counts[..., events.kinds.index("memory_reads")].mean(axis=0)
    found = []
    for step, core in enumerate(timing.busiest):
        here = {group.name for group in _working(mapping, core, step, events.steps - mapping.depth)}
        name = max((floor for floor in known if floor.layer in here), key=lambda f: f.lasts_ns, default=None)
        words = float(reads[core, step]) if reads.shape[0] else 0.0
        terms = tuple(timing.terms_ns[:, step].tolist())
        found.append(Floor(name.layer if name else "", core, words, terms, float(timing.step_ns[1, step])))
    return tuple(found)


def _working(mapping: Mapping, core: int, step: int, ticks: int) -> Iterator[Group]:
    """Groups with a part on a core that run in a step (from 0), or take in messages for the next."""
    hosted = {piece.group for piece in mapping.cores[core].pieces} if core < len(mapping.cores) else set()
    for group in mapping.groups:
        if group.name in hosted and group.depth - 1 <= step < group.depth + ticks * group.turns:
            yield group
