"""Cores in lockstep: every step each takes the messages of the step before, runs what is due, and sends.

Cores that do the same run side by side (:mod:`.stacks`), and so do streams of samples. A stream has cores of its own,
and its samples follow each other on them, a period apart: the next ones enter while the first is still on its way.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import prod
from typing import Any, NamedTuple

import numpy as np

from ...array import Array
from ...errors import MappingError, Problem, SimulateError
from ...image import HOST, CoreImage, Export, Receiver, exports, places, receiver
from ...ir.trace import Events, Trace
from ...mapping.topology import Topology
from .events import Recorder
from .execute import Frame, State, Step, entering, initial, load, run
from .gather import add, span
from .kinds import Kind, kinds
from .ledgers import Bookkeeper, Ledger
from .network import Network
from .outbox import Outbox, Said, Voice
from .stacks import Intake, Recorded, intake, programs, records

BATCH = 64  # streams that run side by side: bounds memory, changes nothing


@dataclass(frozen=True, eq=False)
class Stack:
    """Units that are alike, ready to run: by turn their instructions, where these are recorded, and what is counted.

    ``rows``: of their cores among the counts, None for the host; ``cells``: who is counted apart, by node.
    """

    name: str
    depth: int
    intake: Intake
    turns: tuple[tuple[Step, ...], ...]
    records: tuple[tuple[Recorded | None, ...], ...]
    ledgers: tuple[tuple[Ledger, ...], ...]
    voices: tuple[tuple[int, Voice], ...]
    rows: slice | Array | None
    cells: Mapping[str, Array]

    @property
    def delays(self) -> list[Step]:
        """Instructions that take something in at every step."""
        return [step for step in self.turns[0] if step.item.op == "delay" and not step.keeps]


@dataclass
class Running:
    """What changes in a stack during a run."""

    state: list[State] = field(default_factory=list)
    #: delay lines, by instruction
    lines: dict[int, deque[Array]] = field(default_factory=dict)
    #: what ports keep of every other sample, or of all, (ticks, slots, streams), by port
    kept: list[dict[int, Array]] = field(default_factory=list)
    #: sums that wait for a later step, by step
    waiting: dict[int, Array] = field(default_factory=dict)


class At(NamedTuple):
    """What a unit does in a step: which sample of its stream, which turn, and which tick of that."""

    sample: int
    turn: int
    tick: int


class Machine:
    """All images of a mapping, decoded; or, where it is not ``whole``, a core and a host that speaks for the others."""

    def __init__(self, images: Sequence[CoreImage], whole: bool = True) -> None:
        images = tuple(images)  # all are held, decoded
        self.header = _host_header(images)
        self.stores = self.header.get("stores", 1)
        self.nodes = {name: prod(shape) for name, shape in self.header["shapes"].items()}
        _check_probes(images, self.nodes, whole)
        receivers, at = [receiver(image) for image in images], places(images)
        self.network = Network(images, Topology.read(self.header))
        sent = [exports(image, at, receivers) for image in images]
        for site, image in enumerate(images):
            for export in (e for unit in range(len(image.units)) for e in sent[site] if e.unit == unit):
                self.network.order(export, site)
        alike = kinds(images)
        self.outbox = Outbox.of(alike, sent, receivers)
        self.stacks = [self._stack(number, kind, receivers, sent) for number, kind in enumerate(alike)]
        self.states = {name: node for name, node in self._states() if name not in self.nodes}

    def _states(self) -> Iterator[tuple[str, str]]:
        """Names under which states can be recorded, and their node."""
        for step in (step for stack in self.stacks for step in stack.turns[0]):
            if step.item.op == "neuron":
                yield from (
                    (f"{step.item.node}.{variable.name}", step.item.node) for variable in step.member.state
                )

    def _stack(
        self, number: int, kind: Kind, receivers: Sequence[Receiver], sent: Sequence[Sequence[Export]]
    ) -> Stack:
        images, network = self.network.images, self.network
        received, recorded = intake(kind, images, receivers, self.outbox), records(kind)
        mine = [[e for e in sent[site] if e.unit == unit] for site, unit in kind.places]
        runs = [[there is not None for there in turn] for turn in recorded]
        book = Bookkeeper(network, receivers, kind.sites, kind.numbers, mine)
        counted = [site for site in kind.sites if site in network.row]
        nodes = dict.fromkeys(item.node for item in kind.units[0].program)
        cells = {node: np.array([network.cell(node, site) for site in counted]) for node in nodes if counted}
        return Stack(
            name=", ".join(images[site].name for site in kind.sites),
            depth=kind.units[0].depth,
            intake=received,
            turns=programs(kind, images, received),
            records=recorded,
            ledgers=book.ledgers(runs),
            voices=tuple((n, voice) for n, voice in enumerate(self.outbox.singles) if voice.stack == number),
            rows=span(np.array([network.row[site] for site in counted])) if counted else None,
            cells=cells,
        )

    def run(
        self,
        x: Array,
        record: Iterable[str] = (),
        period: int = 0,
        begin: Mapping[str, Array] | None = None,
    ) -> tuple[Trace, Events]:
        """Raw inputs (samples, *input shape) -> read-outs, recorded values and events.

        ``begin``: states (samples, *shape) with which populations are loaded instead of their initial ones.

        Each sample is a stream of its own or, with a ``period``, all are one: then the events are those of one run of
        all samples, in whose steps several of them are in flight. Raises ValueError for a period of fewer steps than
        the turns of any unit take.
        """
        record = tuple(dict.fromkeys(record))
        self._check(x, record)
        ticks, samples = self.header["timesteps"], len(x)
        flat = x.reshape(samples, prod(self.header["input"]))
        streams = flat[:, :, None] if period else flat.T[None]
        least = ticks * max((len(stack.turns) for stack in self.stacks), default=1)
        period = period or least
        if period < least:
            raise ValueError(f"a unit does one tick in a step: {period} steps are too few for {least} ticks")
        steps = (len(streams) - 1) * period + max(self.header["steps"], period)
        recorder = Recorder(steps, streams.shape[2], self.network)
        trace = Trace(np.zeros((ticks, samples, prod(self.header["output"])), dtype=np.int64))
        nodes = {name: self.states.get(name, name) for name in record}
        trace.values = {
            name: np.zeros((ticks, samples, self.nodes[node]), dtype=np.int64) for name, node in nodes.items()
        }
        for start in range(0, streams.shape[2], BATCH):
            part = np.ascontiguousarray(streams[..., start : start + BATCH], dtype=np.int64)
            recorder.begin(start, part.shape[2])
            _Run(self, part, period, start, trace, recorder, begin or {}).go()
        trace.outputs = trace.outputs.reshape(ticks, samples, *self.header["output"])
        shapes = self.header["shapes"]
        trace.values = {
            name: v.reshape(ticks, samples, *shapes[nodes[name]]) for name, v in trace.values.items()
        }
        trace.saturations = dict(recorder.saturations)
        return trace, recorder.events()

    def _check(self, x: Array, record: tuple[str, ...]) -> None:
        cause, unknown = (
            "a value that no core holds cannot be recorded",
            {*record} - {*self.nodes} - {*self.states},
        )
        problems = [Problem("ND611", cause, name) for name in record if name in unknown]
        expected = tuple(self.header["input"])
        if x.shape[1:] != expected:
            limit = f"(batch, {', '.join(map(str, expected))})"
            problems.append(Problem("ND601", "the input has the wrong shape", "input", str(x.shape), limit))
        if problems:
            raise SimulateError(problems)


def _host_header(images: Sequence[CoreImage]) -> Mapping[str, Any]:
    """What the host says of the whole run; raises MappingError ND580 unless one host says so and all cores agree."""
    hosts = [image for image in images if image.chip == HOST]
    if len(hosts) != 1 or not {"input", "output", "shapes"} <= set(hosts[0].header):
        raise _contradiction("a run needs one complete image of the host", "images", len(hosts), 1)
    header = hosts[0].header
    ends = (unit.depth + (unit.turns - 1) * header["timesteps"] for image in images for unit in image.units
            if image.chip != HOST)  # fmt: skip
    last = max(ends, default=0)
    for image in images:
        found = [image.header.get(key, 1) for key in ("timesteps", "steps", "stores")]
        agreed = [header.get(key, 1) for key in ("timesteps", "steps", "stores")]
        if found != agreed or header["steps"] < header["timesteps"] + last:
            limit = f"{header['timesteps']} ticks, {header['timesteps'] + last} steps"
            raise _contradiction("images disagree about the length of a run", image.name, found, limit)
    return header


def _check_probes(images: Sequence[CoreImage], sizes: Mapping[str, int], whole: bool) -> None:
    """MappingError ND580 unless probes name elements that exist and, of a ``whole``, all elements have one."""
    known: Counter[str] = Counter()
    for image in images:
        for item in (i for unit in image.units for i in unit.program if i.node):
            flat = image.elements(item).ravel()
            flat = flat[flat >= 0] if item.probe.size > item.size else flat
            known[item.node] += len(flat)
            if len(flat) and not 0 <= int(flat.min()) <= int(flat.max()) < sizes.get(item.node, 0):
                cause, limit = "a probe lies outside its node", sizes.get(item.node, "an unknown node")
                raise _contradiction(cause, f"{image.name}: elements", item.node, limit)
    for name, size in sizes.items():
        if whole and known[name] < size:
            raise _contradiction("a node has elements on no core", name, known[name], size)


def _contradiction(cause: str, where: str, found: object, limit: object) -> MappingError:
    return MappingError(Problem("ND580", cause, where, str(found), str(limit)))


class _Run:
    """One batch of streams from the first step to the last: ``x`` is (samples of a stream, elements, streams)."""

    def __init__(
        self,
        machine: Machine,
        x: Array,
        period: int,
        start: int,
        trace: Trace,
        recorder: Recorder,
        begin: Mapping[str, Array],
    ) -> None:
        self.machine, self.x, self.period, self.start, self.begun = machine, x, period, start, begin
        self.trace, self.recorder = trace, recorder
        self.samples = x.shape[2]
        self.said = Said(machine.outbox, self.samples)
        self.total: Array | int = 0
        self.running = [self._begin(stack) for stack in machine.stacks]

    def _begin(self, stack: Stack) -> Running:
        lines = {step.number: deque(initial(step, self.samples)) for step in stack.delays}
        shape = self.machine.header["timesteps"], self.samples
        kept = [
            {k.port: np.zeros((shape[0], k.size, shape[1]), dtype=np.int64) for k in stack.intake.keeps}
            for _ in range(self.machine.stores)
        ]
        return Running(lines=lines, kept=kept)

    def go(self) -> None:
        """All steps; after the last one only the host still listens."""
        both = list(zip(self.machine.stacks, self.running, strict=True))
        for step in range(1, self.recorder.steps + 2):
            self.recorder.begin_step()
            due = [self._at(stack, step) for stack in self.machine.stacks]
            inboxes = [self._receive(*pair, step, at is not None) for pair, at in zip(both, due, strict=True)]
            for (stack, running), at, inbox in zip(both, due, inboxes, strict=True):
                delayed = {}
                for delay in stack.delays:  # lines move at every step, whether or not the unit is due
                    running.lines[delay.number].append(entering(delay, inbox))
                    delayed[delay.number] = running.lines[delay.number].popleft()
                if at is None:
                    for number, _ in stack.voices:
                        self.said.say(number)
                else:
                    self._send(stack, step, at, self._compute(stack, running, step, at, inbox, delayed))
            self.said.settle()
            self.recorder.end_step(step)

    def _at(self, stack: Stack, step: int) -> At | None:
        """What a stack does in this step; None out of the ticks of all samples."""
        at = self._when(step - stack.depth, len(stack.turns))
        running = at is not None and any(there is not None for there in stack.records[at.turn])
        return at if running else None

    def _when(self, step: int, turns: int) -> At | None:
        """What is done in a step, counted from the first of a unit (1), by a unit of so many turns."""
        sample, rest = divmod(step - 1, self.period)
        turn, tick = divmod(rest, self.machine.header["timesteps"])
        return At(sample, turn, tick + 1) if 0 <= sample < len(self.x) and turn < turns else None

    def _receive(self, stack: Stack, running: Running, step: int, due: bool) -> Array:
        """The inbox of a stack in this step, to be read only."""
        self._keep(stack, running, step)
        plan, said = stack.intake, self.said
        waited = running.waiting.pop(step, None)
        heard = said.heard(plan.voices) > 0 and (due or running.lines or plan.waits)
        inbox = np.broadcast_to(plan.start[:, None], (len(plan.start), self.samples))
        if not heard and waited is None:
            return inbox
        inbox = inbox.copy() if waited is None else inbox + waited
        if heard:
            rows, address, once = plan.operands
            add(inbox, address, said.rows[rows].astype(np.int64), once)
            for delivery in plan.deliveries:
                into = inbox
                if delivery.wait:
                    into = running.waiting.setdefault(step + delivery.wait, np.zeros_like(inbox))
                if largest := said.heard(delivery.voices):
                    add(into, delivery.address, delivery.sums(said.rows, largest), delivery.once)
        return inbox

    def _keep(self, stack: Stack, running: Running, step: int) -> None:
        """Ports that keep what arrives take in what was sent in the step before, or that nothing was."""
        for keep in stack.intake.keeps:
            at = self._when(step - 1 - keep.since, len(keep.turns))
            if at is not None:
                rows, address, once = keep.turns[at.turn]
                into = running.kept[at.sample % self.machine.stores][keep.port][at.tick - 1]
                into[address] = 0
                add(into, address, self.said.rows[rows].astype(np.int64), once)

    def _rows(self, at: At) -> slice:
        """Where the trace keeps what the streams yield of one of their samples each."""
        first = self.start + at.sample * self.samples
        return slice(first, first + self.samples)

    def _compute(
        self, stack: Stack, running: Running, step: int, at: At, inbox: Array, delayed: dict[int, Array]
    ) -> list[Array]:
        """The vectors of all instructions in this step; what is asked for is recorded."""
        tally = partial(self._tally, stack, step)
        steps, recorded = stack.turns[at.turn], stack.records[at.turn]
        if at.tick == 1:
            running.state = [
                initial(s, self.samples)
                if there is None
                else self._first(s, at, there) or load(s, self.samples, tally)
                for s, there in zip(steps, recorded, strict=True)
            ]
        x, saturations = self.x[at.sample], self.recorder.saturations
        frame = Frame(
            stack.name,
            x,
            at.tick,
            inbox,
            [],
            running.state,
            tally,
            saturations,
            delayed,
            at.turn,
            running.kept[at.sample % self.machine.stores],
        )
        for item, there in zip(steps, recorded, strict=True):
            if there is None:  # this turn has none of its elements
                frame.vectors.append(np.zeros((item.cores * item.item.size, self.samples), dtype=np.int64))
                continue
            vector = run(item, frame)
            frame.vectors.append(vector)
            self._record(item, vector, at, there)
            if item.item.op == "neuron":
                self._record_states(item, running.state[item.number], at, there)
        return frame.vectors

    def _first(self, step: Step, at: At, there: Recorded) -> list[Array]:
        """The states that a population is given instead of its initial ones."""
        if step.item.op != "neuron" or not self.begun:
            return []
        names = [f"{step.item.node}.{variable.name}" for variable in step.member.state]
        given = [self.begun[name] for name in names if name in self.begun]
        size = step.cores * step.item.size
        return [there.take(part[self._rows(at)].reshape(self.samples, -1), size) for part in given]

    def _tally(self, stack: Stack, step: int, node: str, kind: str, amounts: Any) -> None:
        if stack.rows is not None:
            self.recorder.add(stack.rows, stack.cells[node], step, kind, amounts)

    def _record(self, step: Step, vector: Array, at: At, there: Recorded) -> None:
        item, rows = step.item, self._rows(at)
        if item.op == "output":
            first = at.tick == 1 or item.texts["readout"] == "last"
            self.total = vector if first else self.total + vector
            vector = np.asarray(self.total)
            there.put(self.trace.outputs[at.tick - 1, rows], vector)
        if item.node in self.trace.values:
            there.put(self.trace.values[item.node][at.tick - 1, rows], vector)

    def _record_states(self, step: Step, state: State, at: At, there: Recorded) -> None:
        for variable, kept in zip(step.member.state, state, strict=False):
            name = f"{step.item.node}.{variable.name}"
            if name in self.trace.values and name in self.machine.states:
                there.put(self.trace.values[name][at.tick - 1, self._rows(at)], kept)

    def _send(self, stack: Stack, step: int, at: At, vectors: list[Array]) -> None:
        for number, voice in stack.voices:
            self.said.say(number, vectors[voice.instruction] if voice.speaks(at.turn) else 0)
        for ledger in stack.ledgers[at.turn]:
            self.recorder.heard(step, ledger, vectors[ledger.instruction])
