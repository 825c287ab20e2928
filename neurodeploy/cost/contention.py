"""A step's time by events: packets leave cores one after the other, queue for links, and wait where buffers are full.

Beside the analytic form of :mod:`.latency`, which takes the slowest core and the fullest link, this one lets packets
meet. A packet passes *stages*, each of which serves one packet at a time, first come first served:

* ``program``: its core gives off its packets evenly over the time that its programs take, in their order;
* ``mesh``, ``chip``: the links of its route, each in its own serial time, with a hop's latency behind one of the mesh;
* ``host``: the one interface that all packets from and to the host pass;
* ``receive``: its core's receiving half, which works beside the programs. What of the two does not overlap, by the
  serial share of the target, makes both slower (:func:`works`).

A stage has room for so many packets, the one in service included. A packet that finds the next stage full waits and
blocks the stage that it is in; a blocked core gives off its next packet later. Routes along x first, then y, and
receivers that never wait for anything cannot block each other in a circle. Routes over the chips of a board could, as
they enter and leave each at ports on all sides; there the interfaces between chips have room for all that waits.

Where packets are multicast, one is copied behind a stage from which its ways part: copy after copy goes on, in the
order of the receivers, and the stage is free when the last one has.

Packets of one (sender, receiver) pair travel in *trains*. A train is served as a whole; its first packet goes on at
once and its last one not before it came. With a packet per train the result is exact. Longer trains lose two things:
packets of others do not pass between those of a train, which moves the end of a step by up to one train's service, and
every stage has room for at least three trains, since a network with room for one alone blocks far more than one of
packets. For digits-a2os2a and digits-vit, two packets per train moved a frame by 1 % and a pipeline's period by 1 %,
four by 2 % and 9 %; sixteen and more, where there is room for more than a buffer holds, by -13 % and -22 %.
Very long trains come to what buffers without limit give.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain, pairwise
from math import inf
from typing import Literal, NamedTuple

import numpy as np
from scipy.sparse import csr_array

from ..array import Array
from ..ir.trace import Events, Flows, Link, Router
from ..mapping.routes import route
from ..mapping.topology import DIRECT, Topology
from ..price import barrier_ns, lasting, stages
from ..target import Target
from .latency import fold
from .types import Contended, Definition

ROOM = 3  # trains that every stage has room for
BUDGET = 200_000  # trains x stages in all steps; about 0.4 us each

CONTENTION = Definition(
    "latency_contended_ms",
    "Latency with contention",
    "every step by events: cores give off their packets evenly while their programs run, links and receiving halves"
    " serve one packet at a time, first come first served, and a packet that finds the next buffer full blocks the one"
    " that it is in;  with the barrier as in the frame latency;  nominal",
    notes=(
        "a buffer holds chip.link_buffer_packets",
        "what of a core's programs and receiving does not overlap, by the serial share, makes both slower",
        "packets of a pair of cores travel in trains where there are very many",
        "the analytic latency, which the ranges and the mapper use, knows no waiting",
    ),
)


@dataclass(frozen=True)
class Wires:
    """Nanoseconds by which a packet occupies a link, latency of a hop, the room of a stage in packets, and the ways."""

    mesh_ns: float
    chip_ns: float
    host_ns: float
    hop_x_ns: float
    hop_y_ns: float
    buffer: float
    topology: Topology = DIRECT

    @classmethod
    def of(cls, target: Target, bits: float, level: str = "nominal", buffer: float = 0) -> Wires:
        """Those of a target at one level of its coefficients, for packets of so many bits; ``buffer``: not its own."""
        keys = ("mesh_bit", "chip_bit", "host_packet", "packet_hop_x", "packet_hop_y")
        mesh, chip, host, x, y = (getattr(getattr(target.costs.time_ns, key), level) for key in keys)
        room = buffer or target.chip.link_buffer_packets or inf
        return cls(mesh * bits, chip * bits, host, x, y, room, Topology.of(target))


class Stage(NamedTuple):
    """What packets pass: one half of the core at this position, or a link; ``idle`` where a step does nothing."""

    kind: Literal["program", "mesh", "chip", "host", "receive", "idle"]
    core: int = -1
    link: Link | None = None


@dataclass(frozen=True, eq=False)
class Contention:
    """Steps without their barrier; arrays are (steps,).

    ``step_ns``: until the last core has finished. ``critical``: the stage that takes most of the chain of services,
    each waiting for the one before, which ends the step; ``share`` of the step's time that it takes. ``train``:
    packets of the longest train.
    """

    step_ns: Array
    critical: tuple[Stage, ...]
    share: Array
    train: float


def works(work_ns: Array, target: Target, level: str = "nominal") -> tuple[Array, Array]:
    """Nanoseconds of each stage (stages, ...) -> those of the programs and of the receiving half of a core.

    Both are stretched alike, so that the longer of them lasts as long as the core takes for both.
    """
    programs, *receiving = work_ns
    received = lasting(receiving, target, level)
    longer, core = np.maximum(programs, received), lasting([programs, *receiving], target, level)
    slower = np.divide(core, longer, out=np.ones_like(longer), where=longer > 0)
    return programs * slower, received * slower


def contended(events: Events, places: Sequence[Router], target: Target, period: int) -> Contended:
    """A frame and the steady pipeline by events, nominal, barriers included; ``places``: routers of the cores."""
    flows, work = events.flows, stages(events.core_counts, events.kinds, target, "nominal").mean(axis=1)
    packets, bits = events.total("packets_out"), events.total("message_bits")
    wires = Wires.of(target, bits / packets if packets else target.chip.packet_header_bits)
    frame = step_times(flows, places, *works(work, target), wires)
    folded = replace(flows, packets=fold(flows.packets.reshape(len(flows.reached), events.steps), period))
    steady = step_times(folded, places, *works(fold(work, period), target), wires)
    barrier = barrier_ns(target, "nominal")
    steps, period_ns = (lasting([found.step_ns, barrier], target, "nominal") for found in (frame, steady))
    return Contended(steps, float(steps.sum()), float(period_ns.sum()), max(frame.train, steady.train))


def step_times(
    flows: Flows,
    places: Sequence[Router],
    program_ns: Array,
    receive_ns: Array,
    wires: Wires,
    budget: int = BUDGET,
) -> Contention:
    """Time of every step in nanoseconds, without the barrier, and what it waits for.

    ``places``: the router of each core, in the order of the positions in ``flows``; ``program_ns`` and ``receive_ns``
    (cores, steps): all work of the two halves, the second in the step in which the packets are sent that cause it.
    ``budget``: trains x stages in all steps, to which the length of the trains is chosen; a pair and step has at
    least one, so that many thousand pairs take longer. Look at ``train`` before you trust a result.
    """
    plan = _Plan.of(flows, places, wires)
    steps = program_ns.shape[1]
    halves = np.concatenate([program_ns, np.zeros((1, steps)), receive_ns]).T.astype(np.float64, order="C")
    # The shape is said also where nothing was ever sent.
    packets = np.ascontiguousarray(flows.packets.reshape(len(plan.stages), steps).T)
    step, rows = np.nonzero(packets > 0)
    amount = packets[step, rows].astype(np.float64)
    cuts = np.searchsorted(step, np.arange(1, steps))
    longest = _longest(amount, plan.stages[rows], budget)
    rooms = plan.rooms(longest)
    sent = zip(np.split(rows, cuts), np.split(amount, cuts), strict=True) if steps else ()
    found = [_step(plan, *given, half, rooms, longest) for given, half in zip(sent, halves, strict=True)]
    times, numbers, shares = zip(*found, strict=True) if found else ((), (), ())
    return Contention(np.array(times), tuple(plan.stage(n) for n in numbers), np.array(shares), longest)


def _longest(amount: Array, stages: Array, budget: int) -> float:
    """Packets of the longest train with which all trains x stages stay in the budget, a power of two."""
    longest = 1.0
    while float((np.ceil(amount / longest) * stages).sum()) > max(budget, float(stages.sum())):
        longest *= 2.0
    return longest


# --- stages ----------------------------------------------------------------------------------------------------------


_Passed = tuple["Link | None", int]  # a link, if any, and the number of its stage


@dataclass(frozen=True, eq=False)
class _Plan:
    """Numbers of all stages: programs of the cores and of the host, receiving halves, links.

    ``trees``: as :func:`.queues.served` takes them; ``halves`` (halves of cores, rows): 1 where a row's packets pass
    one; ``each`` and ``transit``: nanoseconds per packet and behind it, by number of the link less ``first``; the
    halves of cores take a different time in every step.
    """

    cores: int
    spans: Array
    trees: tuple[Array, Array, Array, Array]
    halves: csr_array
    links: list[Stage]
    each: Array
    transit: Array
    wires: Wires

    @property
    def first(self) -> int:
        """Number of the first link."""
        return 2 * self.cores + 1

    @property
    def stages(self) -> Array:
        """Stages of each row."""
        return np.diff(self.trees[3])

    @classmethod
    def of(cls, flows: Flows, places: Sequence[Router], wires: Wires) -> _Plan:
        """Stages and routes of all rows."""
        cores, numbers, made = len(places), dict[Stage, int](), []
        known: dict[tuple[Router | None, Router | None], list[_Passed]] = {}
        for source, targets in flows.reached:
            paths = []
            for target in targets:
                ends = _router(places, source), _router(places, target)
                if ends not in known:
                    ways = [(link, _stage(link)) for link in route(*ends, wires.topology)]
                    known[ends] = [(w, 2 * cores + 1 + numbers.setdefault(s, len(numbers))) for w, s in ways]
                paths.append([*known[ends], *([] if target < 0 else [(None, cores + 1 + target)])])
            made.append(_tree(source if source >= 0 else cores, paths))
        starts = np.cumsum([0, *(len(tree) for tree in made)])
        flat, down, beside = np.array([*chain.from_iterable(made)], dtype=np.int64).reshape(-1, 3).T.copy()
        own, row = flat < 2 * cores + 1, np.repeat(np.arange(len(made)), np.diff(starts))
        halves = csr_array((np.ones(own.sum()), (flat[own], row[own])), shape=(2 * cores + 1, len(made)))
        each, transit = np.array([_times(stage, wires) for stage in numbers]).reshape(-1, 2).T
        trees = flat, down, beside, starts
        return cls(cores, _spans(flows, len(made)), trees, halves, [*numbers], each, transit, wires)

    def rooms(self, longest: float) -> Array:
        """Packets that each stage has room for, given those of the longest train."""
        # Blocking between few long trains is not that between many packets: measured, see the head of this file.
        room = self.wires.buffer if longest <= 1.0 else max(self.wires.buffer, ROOM * longest)
        stores = "chip" if self.wires.topology.sides else None
        return np.array([room] * self.first + [inf if link.kind == stores else room for link in self.links])

    def stage(self, number: int) -> Stage:
        """What has this number; -1 is nothing."""
        if number < 0:
            return Stage("idle")
        if number >= self.first:
            return self.links[number - self.first]
        if number == self.cores:
            return Stage("host")
        return Stage("receive", number - self.cores - 1) if number > self.cores else Stage("program", number)


def _stage(link: Link) -> Stage:
    """All links of the host are one."""
    return Stage(link.kind) if link.kind == "host" else Stage(link.kind, link=link)


def _times(stage: Stage, wires: Wires) -> tuple[float, float]:
    """Nanoseconds by which a packet occupies a link, and until it is behind it."""
    link = stage.link
    if link is None:
        return wires.host_ns, 0.0
    if stage.kind == "chip":
        return wires.chip_ns, 0.0
    return wires.mesh_ns, wires.hop_x_ns if link.start.x != link.end.x else wires.hop_y_ns


def _tree(program: int, paths: Sequence[Sequence[_Passed]]) -> list[tuple[int, int, int]]:
    """Stages of a row, each with the places to the first that it leads to and to the next beside it; 0: none.

    Links of the host are one stage, which a packet passes once for each of them.
    """
    stages, children = [program], list[dict[_Passed, int]]([{}])
    for path in paths:
        at = 0
        for step in path:
            if step not in children[at]:
                children[at][step] = len(stages)
                stages.append(step[1])
                children.append({})
            at = children[at][step]
    beside = [0] * len(stages)
    for places in children:
        for place, following in pairwise(places.values()):
            beside[place] = following - place
    down = [next(iter(places.values()), at) - at for at, places in enumerate(children)]
    return [*zip(stages, down, beside, strict=True)]


def _spans(flows: Flows, rows: int) -> Array:
    """Spans of all rows; where nothing is known, all of a sender's packets are mixed."""
    return flows.spans if len(flows.spans) == rows else np.tile([0.0, 1.0], (rows, 1))


def _router(places: Sequence[Router], position: int) -> Router | None:
    return places[position] if position >= 0 else None


# --- one step --------------------------------------------------------------------------------------------------------


def _step(
    plan: _Plan, rows: Array, amount: Array, halves: Array, rooms: Array, longest: float
) -> tuple[float, int, float]:
    """Time of one step, the number of its critical stage, and the share of the time that this stage takes."""
    alone = int(halves.argmax())
    # Whatever packets do, no half is faster than its work.
    found = float(halves[alone]), alone if halves[alone] > 0 else -1, 1.0
    if not len(rows):
        return found
    sent = np.zeros(len(plan.stages))
    sent[rows] = amount
    moved = plan.halves @ sent
    each = np.divide(halves, moved, out=np.zeros_like(halves), where=moved > 0)
    transit = np.concatenate([np.zeros_like(each), plan.transit])
    trains = _trains(rows, plan.spans[rows], amount, longest)
    from .queues import served  # machine code, which a check has no use for

    arrived: tuple[float, int, float] = served(
        plan.trees, *trains, rooms, np.concatenate([each, plan.each]), transit
    )
    return max(found, arrived, key=lambda ending: ending[0])


def _trains(rows: Array, spans: Array, amount: Array, longest: float) -> tuple[Array, Array]:
    """(row, packets) of all trains in the order in which their senders give them off: evenly inside their span."""
    number = np.ceil(amount / longest).astype(np.int64)
    row = np.repeat(np.arange(len(rows)), number)
    index = np.arange(len(row)) - np.repeat(np.cumsum(number) - number, number)
    first, last = spans[row].T
    order = np.lexsort((row, first + (last - first) * (index + 0.5) / number[row]))
    return rows[row[order]], (amount / number)[row[order]]
