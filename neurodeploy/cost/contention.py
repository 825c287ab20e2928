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

Packets of one (sender, receiver) pair travel in *trains*. A train is served as a whole; its first packet goes on at
once and its last one not before it came. With a packet per train the result is exact. Longer trains lose two things:
packets of others do not pass between those of a train, which moves the end of a step by up to one train's service, and
every stage has room for at least three trains, since a network with room for one alone blocks far more than one of
packets. For digits-a2os2a and digits-vit, two packets per train moved a frame by 1 % and a pipeline's period by 1 %,
four by 2 % and 9 %; sixteen and more, where there is room for more than a buffer holds, by -13 % and -22 %.
Very long trains come to what buffers without limit give.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from heapq import heappop, heappush
from math import inf
from typing import Literal, NamedTuple

import numpy as np

from ..array import Array
from ..ir.trace import Events, Flows, Link, Router
from ..mapping.routes import route
from ..mapping.topology import DIRECT, Topology
from ..price import barrier_ns, lasting, stages
from ..target import Target
from .latency import fold
from .types import Contended, Definition

ROOM = 3  # trains that every stage has room for
BUDGET = 200_000  # trains x stages in all steps; about 3 us each

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
    folded = replace(flows, packets=fold(flows.packets.reshape(len(flows.ends), events.steps), period))
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
    packets = flows.packets.reshape(len(flows.ends), steps)  # also where nothing was ever sent
    longest = _longest(packets, plan.stages, budget)
    halves = [(program_ns[:, s], receive_ns[:, s]) for s in range(steps)]
    found = [_step(plan, packets[:, s], *half, longest) for s, half in enumerate(halves)]
    times, numbers, shares = zip(*found, strict=True) if found else ((), (), ())
    return Contention(np.array(times), tuple(plan.stage(n) for n in numbers), np.array(shares), longest)


def _longest(packets: Array, stages: Array, budget: int) -> float:
    """Packets of the longest train with which all trains x stages stay in the budget, a power of two."""
    active = packets > 0
    least = float((active * stages[:, None]).sum())
    longest = 1.0
    while float((np.ceil(packets / longest) * stages[:, None]).sum()) > max(budget, least):
        longest *= 2.0
    return longest


# --- stages ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Plan:
    """Numbers of all stages: programs of the cores and of the host, receiving halves, links.

    ``paths``: the stages of each pair in order; ``each`` and ``transit``: nanoseconds per packet and behind it, by
    number of the link less ``first``; the halves of cores take a different time in every step.
    """

    cores: int
    ends: Array
    spans: Array
    paths: list[tuple[int, ...]]
    links: list[Stage]
    each: list[float]
    transit: list[float]
    wires: Wires

    @property
    def first(self) -> int:
        """Number of the first link."""
        return 2 * self.cores + 1

    @property
    def stages(self) -> Array:
        """Stages of each pair."""
        return np.array([len(path) for path in self.paths], dtype=np.int64)

    @classmethod
    def of(cls, flows: Flows, places: Sequence[Router], wires: Wires) -> _Plan:
        """Stages and routes of all pairs."""
        plan = cls(len(places), flows.ends, _spans(flows), [], [], [], [], wires)
        numbers: dict[Stage, int] = {}
        known: dict[tuple[Router | None, Router | None], tuple[int, ...]] = {}
        for source, target in flows.ends.tolist():
            ends = _router(places, source), _router(places, target)
            if ends not in known:
                known[ends] = tuple(
                    plan._numbered(link, numbers, wires) for link in route(*ends, wires.topology)
                )
            program = source if source >= 0 else plan.cores
            receive = () if target < 0 else (plan.cores + 1 + target,)
            plan.paths.append((program, *known[ends], *receive))
        return plan

    def rooms(self, longest: float) -> list[float]:
        """Packets that each stage has room for, given those of the longest train."""
        # Blocking between few long trains is not that between many packets: measured, see the head of this file.
        room = self.wires.buffer if longest <= 1.0 else max(self.wires.buffer, ROOM * longest)
        stores = "chip" if self.wires.topology.sides else None
        return [room] * self.first + [inf if link.kind == stores else room for link in self.links]

    def _numbered(self, link: Link, numbers: dict[Stage, int], wires: Wires) -> int:
        """The number of a link's stage; all links of the host are one."""
        kind = link.kind
        stage = Stage(kind) if kind == "host" else Stage(kind, link=link)
        if stage not in numbers:
            numbers[stage] = self.first + len(self.links)
            hop = wires.hop_x_ns if link.start.x != link.end.x else wires.hop_y_ns
            self.links.append(stage)
            self.each.append({"mesh": wires.mesh_ns, "chip": wires.chip_ns, "host": wires.host_ns}[kind])
            self.transit.append(hop if kind == "mesh" else 0.0)
        return numbers[stage]

    def stage(self, number: int) -> Stage:
        """What has this number; -1 is nothing."""
        if number < 0:
            return Stage("idle")
        if number >= self.first:
            return self.links[number - self.first]
        if number == self.cores:
            return Stage("host")
        return Stage("receive", number - self.cores - 1) if number > self.cores else Stage("program", number)


def _spans(flows: Flows) -> Array:
    """Spans of all pairs; where nothing is known, all of a sender's packets are mixed."""
    mixed = np.tile([0.0, 1.0], (len(flows.ends), 1))
    return flows.spans if len(flows.spans) == len(flows.ends) else mixed


def _router(places: Sequence[Router], position: int) -> Router | None:
    return places[position] if position >= 0 else None


# --- one step --------------------------------------------------------------------------------------------------------


def _step(
    plan: _Plan, packets: Array, program_ns: Array, receive_ns: Array, longest: float
) -> tuple[float, int, float]:
    """Time of one step, the number of its critical stage, and the share of the time that this stage takes."""
    halves = np.concatenate([program_ns, [0.0], receive_ns]).astype(np.float64)
    alone = int(halves.argmax())
    # Whatever packets do, no half is faster than its work.
    found = float(halves[alone]), alone if halves[alone] > 0 else -1, 1.0
    pairs = np.flatnonzero(packets > 0)
    if not len(pairs):
        return found
    amount = packets[pairs].astype(np.float64)
    source, target = plan.ends[pairs].T
    sent = np.bincount(np.where(source < 0, plan.cores, source), amount, plan.cores + 1)
    taken = np.bincount(target[target >= 0], amount[target >= 0], plan.cores)
    moved = np.concatenate([sent, taken])
    each = np.divide(halves, moved, out=np.zeros_like(halves), where=moved > 0)
    run = _Run(plan.rooms(longest), [*each.tolist(), *plan.each], [*[0.0] * len(each), *plan.transit])
    for pair, size in zip(*_trains(pairs, plan.spans[pairs], amount, longest), strict=True):
        run.depart(plan.paths[pair], size)
    run.go()
    return max(found, (run.end, *run.critical()), key=lambda ending: ending[0])


def _trains(pairs: Array, spans: Array, amount: Array, longest: float) -> tuple[list[int], list[float]]:
    """(pair, packets) of all trains in the order in which their senders give them off: evenly inside their span."""
    number = np.ceil(amount / longest).astype(np.int64)
    row = np.repeat(np.arange(len(pairs)), number)
    index = np.arange(len(row)) - np.repeat(np.cumsum(number) - number, number)
    first, last = spans[row].T
    order = np.lexsort((row, first + (last - first) * (index + 0.5) / number[row]))
    return pairs[row[order]].tolist(), (amount / number)[row[order]].tolist()


@dataclass(slots=True)
class _Train:
    """Packets on their way: the stage they are in, when the first and the last of them came there.

    ``service``: the number of its latest service.
    """

    path: tuple[int, ...]
    size: float
    at: int = 0
    head_ns: float = 0.0
    tail_ns: float = 0.0
    service: int = -1


@dataclass(slots=True)
class _Run:
    """Trains in the stages of a step: all lists by number of the stage, or of the service that it does.

    A service begins at ``begin`` because of ``cause``, the service without whose end it could not have begun.
    """

    room: list[float]
    each: list[float]
    transit: list[float]
    queue: defaultdict[int, deque[_Train]] = field(default_factory=lambda: defaultdict(deque))
    load: defaultdict[int, float] = field(default_factory=lambda: defaultdict(float))
    waiting: defaultdict[int, deque[int]] = field(default_factory=lambda: defaultdict(deque))
    latest: dict[int, int] = field(default_factory=dict)
    heap: list[tuple[float, int, int, bool]] = field(default_factory=list)
    stage: list[int] = field(default_factory=list)
    begin: list[float] = field(default_factory=list)
    cause: list[int] = field(default_factory=list)
    pushed: int = 0
    end: float = 0.0
    last: int = -1

    def depart(self, path: tuple[int, ...], size: float) -> None:
        """A train waits at its sender, which has room for all of its own."""
        self.queue[path[0]].append(_Train(path, size))

    def go(self) -> None:
        """Until every train has arrived."""
        for stage in list(self.queue):
            self._serve(stage, 0.0, -1)
        while self.heap:
            now, _, stage, whole = heappop(self.heap)
            if whole:
                self._leave(stage, now)
            else:
                self._first(stage, now)

    def _at(self, time: float, stage: int, whole: bool) -> None:
        self.pushed += 1  # equal times: first come, first served
        heappush(self.heap, (time, self.pushed, stage, whole))

    def _serve(self, stage: int, now: float, cause: int) -> None:
        """Service of the first train in the queue begins, once it is there; it has waited for ``cause``."""
        train = self.queue[stage][0]
        late = train.head_ns > now
        begin = train.head_ns if late else now
        self.cause.append(train.service if late else cause)
        self.begin.append(begin)
        self.stage.append(stage)
        train.service = self.latest[stage] = len(self.begin) - 1
        self._at(begin + min(train.size, 1.0) * self.each[stage], stage, False)

    def _first(self, stage: int, now: float) -> None:
        """The first packet of a train is served: it goes on, arrives, or waits for room."""
        train = self.queue[stage][0]
        if train.at + 1 == len(train.path):
            self._arrive(train, stage, now)
        elif self.load[train.path[train.at + 1]] >= self.room[train.path[train.at + 1]]:
            self.waiting[train.path[train.at + 1]].append(stage)
        else:
            self._advance(stage, now)

    def _arrive(self, train: _Train, stage: int, now: float) -> None:
        finish = self._rest(train, stage, now)
        if finish >= self.end:
            self.end, self.last = finish, train.service

    def _rest(self, train: _Train, stage: int, now: float) -> float:
        """The other packets follow; when the last of them is served."""
        head = min(train.size, 1.0)
        done = now + (train.size - head) * self.each[stage]
        if train.size > 1.0:
            self._at(done, stage, True)
        else:
            self._leave(stage, now)
        return max(done, train.tail_ns + head * self.each[stage])

    def _advance(self, stage: int, now: float) -> None:
        """A train enters its next stage, which has room."""
        train = self.queue[stage][0]
        head, train.at = now + self.transit[stage], train.at + 1
        following = train.path[train.at]
        queue = self.queue[following]
        queue.append(train)
        self.load[following] += train.size
        tail = self._rest(train, stage, now)
        train.head_ns, train.tail_ns = head, tail + self.transit[stage]
        if len(queue) == 1:
            self._serve(following, now, train.service)

    def _leave(self, stage: int, now: float) -> None:
        """All of a train has left a stage: the next one is served, and who waited for room comes in."""
        queue, waiting = self.queue[stage], self.waiting[stage]
        self.load[stage] -= queue.popleft().size
        if queue:
            self._serve(stage, now, self.latest[stage])
        else:
            self.load[stage] = 0.0  # without the rounding of many sums
        while waiting and self.load[stage] < self.room[stage]:
            blocked = waiting.popleft()
            # What this train and its stage do next has waited for this stage.
            self.latest[blocked] = self.queue[blocked][0].service = self.latest[stage]
            self._advance(blocked, now)

    def critical(self) -> tuple[int, float]:
        """The stage with most of the chain of services that ends last, and its share of the time."""
        spent: defaultdict[int, float] = defaultdict(float)
        now, service = self.end, self.last
        while service >= 0:
            spent[self.stage[service]] += now - self.begin[service]
            now, service = self.begin[service], self.cause[service]
        worst = max(spent, key=lambda stage: spent[stage], default=-1)
        return worst, spent[worst] / self.end if self.end > 0 else 0.0
