"""Cores in lockstep: every step each takes the messages of the step before, runs what is due, and sends.

What runs are streams of samples. A stream has cores of its own, and its samples follow each other on them, a period
apart: the next ones enter while the first is still on its way.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import prod
from typing import Any, NamedTuple

import numpy as np

from ...array import Array
from ...errors import MappingError, Problem, SimulateError
from ...image import EVERY, HOST, CoreImage, Delivery, Export, Receiver, exports, places, receiver
from ...ir.trace import Events, Trace
from ...mapping.topology import Topology
from .contract import EXACT
from .events import Network, Recorder, Sender, Spoken, senders, spoken
from .execute import Frame, Step, entering, load, prepare, run

BATCH = 64  # streams that run side by side: bounds memory, changes nothing
BLOCK = 1 << 22  # messages gathered at once for one matrix product


@dataclass(frozen=True, eq=False)
class Program:
    """A unit ready to run: its steps in each of its turns, what it sends, and who counts as sender, by turn too.

    ``shown``: by turn and step the elements of its node (-1: none), None where it does not run.
    """

    depth: int
    turns: tuple[tuple[Step, ...], ...]
    shown: tuple[tuple[Array | None, ...], ...]
    exports: tuple[Export, ...]
    senders: tuple[Sender, ...]
    spoken: tuple[tuple[Spoken, ...], ...]

    @property
    def steps(self) -> tuple[Step, ...]:
        """Those of the first turn."""
        return self.turns[0]

    @property
    def delays(self) -> list[Step]:
        """Instructions that take something in at every step."""
        return [step for step in self.steps if step.item.op == "delay" and not step.keeps]


@dataclass(frozen=True, eq=False)
class Site:
    """One core or the host: image, receiving half, programs."""

    image: CoreImage
    receiver: Receiver
    programs: tuple[Program, ...]


@dataclass
class Running:
    """What changes on a site during a run; states and delay lines per (unit, instruction)."""

    site: Site
    state: list[list[Array]] = field(default_factory=list)
    lines: dict[tuple[int, int], list[Array]] = field(default_factory=dict)
    #: what ports keep, (ticks, slots, streams), by port
    kept: dict[int, Array] = field(default_factory=dict)
    incoming: Array | None = None
    arriving: Array | None = None
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
        receivers, self.places = [receiver(image) for image in images], places(images)
        self.network = Network(images, Topology.read(self.header))
        self.sites = [self._site(n, image, receivers) for n, image in enumerate(images)]
        self.nodes = {name: prod(shape) for name, shape in self.header["shapes"].items()}
        _check_probes(images, self.nodes, whole)
        self.states = {name: node for name, node in self._states() if name not in self.nodes}

    def _states(self) -> Iterator[tuple[str, str]]:
        """Names under which states can be recorded, and their node."""
        for step in (step for site in self.sites for program in site.programs for step in program.steps):
            if step.item.op == "neuron":
                yield from (
                    (f"{step.item.node}.{variable.name}", step.item.node) for variable in step.member.state
                )

    def _site(self, number: int, image: CoreImage, receivers: list[Receiver]) -> Site:
        every, programs = exports(image, self.places, receivers), []
        for unit, piece in enumerate(image.units):
            steps = tuple(prepare(image, n, item) for n, item in enumerate(piece.program))
            turns = tuple(tuple(step.at(turn) for step in steps) for turn in range(piece.turns))
            shown = tuple(tuple(_shown(image, steps, turn)) for turn in range(piece.turns))
            mine = tuple(e for e in every if e.unit == unit)
            speaking = tuple(s for e in mine for s in senders(self.network, number, e))
            said = tuple(_spoken(image, unit, mine, shown))
            programs.append(Program(piece.depth, turns, shown, mine, speaking, said))
        return Site(image, receivers[number], tuple(programs))

    def run(self, x: Array, record: Iterable[str] = (), period: int = 0) -> tuple[Trace, Events]:
        """Raw inputs (samples, *input shape) -> read-outs, recorded values and events.

        Each sample is a stream of its own or, with a ``period``, all are one: then the events are those of one run of
        all samples, in whose steps several of them are in flight. Raises ValueError for a period of fewer steps than
        the turns of any unit take.
        """
        record = tuple(dict.fromkeys(record))
        self._check(x, record)
        ticks, samples = self.header["timesteps"], len(x)
        flat = x.reshape(samples, prod(self.header["input"]))
        streams = flat[:, :, None] if period else flat.T[None]
        least = ticks * max((len(p.turns) for site in self.sites for p in site.programs), default=1)
        period = period or least
        if period < least:
            raise ValueError(f"a unit does one tick in a step: {period} steps are too few for {least} ticks")
        cores = [n for n, site in enumerate(self.sites) if site.image.chip != HOST]
        steps = (len(streams) - 1) * period + max(self.header["steps"], period)
        recorder = Recorder(cores, steps, streams.shape[2], self.network)
        trace = Trace(np.zeros((ticks, samples, prod(self.header["output"])), dtype=np.int64))
        nodes = {name: self.states.get(name, name) for name in record}
        trace.values = {
            name: np.zeros((ticks, samples, self.nodes[node]), dtype=np.int64) for name, node in nodes.items()
        }
        for start in range(0, streams.shape[2], BATCH):
            part = np.ascontiguousarray(streams[..., start : start + BATCH], dtype=np.int64)
            recorder.begin(start, part.shape[2])
            _Run(self, part, period, start, trace, recorder).go()
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
        found = [image.header[key] for key in ("timesteps", "steps")]
        if found != [header["timesteps"], header["steps"]] or header["steps"] < header["timesteps"] + last:
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
        self, machine: Machine, x: Array, period: int, start: int, trace: Trace, recorder: Recorder
    ) -> None:
        self.machine, self.x, self.period, self.start = machine, x, period, start
        self.trace, self.recorder = trace, recorder
        self.sites = [Running(site, [[] for _ in site.programs]) for site in machine.sites]
        self.samples = x.shape[2]
        self.total: Array | int = 0
        for running in self.sites:
            self._load_lines(running)
            ticks = machine.header["timesteps"]
            for keep in running.site.receiver.keeps:
                running.kept[keep.port] = np.zeros((ticks, keep.size, self.samples), dtype=np.int64)

    def go(self) -> None:
        """All steps; after the last one only the host still listens."""
        for step in range(1, self.recorder.steps + 2):
            self.recorder.begin_step()
            for running in self.sites:
                running.arriving, running.incoming = running.incoming, None
            for number in range(len(self.sites)):
                self._step(number, step)
            self.recorder.end_step(step)

    def _load_lines(self, running: Running) -> None:
        for unit, program in enumerate(running.site.programs):
            for delay in program.delays:
                line = running.site.image.initial(delay.item, self.samples)
                steps = delay.item.numbers["steps"] - 1
                running.lines[unit, delay.number] = list(line.reshape(steps, delay.item.size, self.samples))

    def _step(self, number: int, step: int) -> None:
        running = self.sites[number]
        programs = running.site.programs
        due = {unit: at for unit, program in enumerate(programs) if (at := self._at(program, step))}
        self._keep(running, step)
        if not due and running.arriving is None and not running.lines:
            running.waiting.pop(step, None)
            return
        inbox = self._receive(number, step)
        for unit, program in enumerate(programs):
            delayed = {}
            for delay in program.delays:  # lines move at every step, whether or not the unit is due
                line = running.lines[unit, delay.number]
                line.append(entering(delay, inbox))
                delayed[delay.number] = line.pop(0)
            if unit in due:
                self._run_unit(number, unit, step, due[unit], inbox, delayed)

    def _at(self, program: Program, step: int) -> At | None:
        """What a unit does in this step; None out of the ticks of all samples."""
        at = self._when(step - program.depth, len(program.turns))
        running = at is not None and any(shown is not None for shown in program.shown[at.turn])
        return at if running else None

    def _when(self, step: int, turns: int) -> At | None:
        """What is done in a step, counted from the first of a unit (1), by a unit of so many turns."""
        sample, rest = divmod(step - 1, self.period)
        turn, tick = divmod(rest, self.machine.header["timesteps"])
        return At(sample, turn, tick + 1) if 0 <= sample < len(self.x) and turn < turns else None

    def _keep(self, running: Running, step: int) -> None:
        """Ports that keep what arrives take in what was sent in the step before, or that nothing was."""
        for keep in running.site.receiver.keeps:
            at = self._when(step - 1 - keep.since, len(keep.address))
            if at is not None:
                place = keep.address[at.turn]
                inside = place >= 0
                into = running.kept[keep.port][at.tick - 1]
                into[place[inside]] = 0
                if running.arriving is not None:
                    np.add.at(into, place[inside], running.arriving[keep.slots[inside]])

    def _rows(self, at: At) -> slice:
        """Where the trace keeps what the streams yield of one of their samples each."""
        first = self.start + at.sample * self.samples
        return slice(first, first + self.samples)

    def _receive(self, number: int, step: int) -> Array:
        running = self.sites[number]
        plan, messages = running.site.receiver, running.arriving
        inbox = np.repeat(plan.inbox[:, None], self.samples, axis=1)
        inbox += running.waiting.pop(step, 0)
        if messages is None:
            return inbox
        self._count_arrivals(number, step, messages)
        operands = plan.operands
        add(inbox, operands.address, messages[operands.slots], operands.distinct)
        largest = float(np.abs(messages).max(initial=0))
        for delivery in plan.deliveries:
            later = step + delivery.wait
            if delivery.wait and later not in running.waiting:
                running.waiting[later] = np.zeros_like(inbox)
            deliver(delivery, messages, running.waiting[later] if delivery.wait else inbox, largest)
        return inbox

    def _count_arrivals(self, number: int, step: int, messages: Array) -> None:
        # A message is taken in during the step that sends it; what it adds up to is used in the next.
        plan, add = self.sites[number].site.receiver, partial(self.recorder.add, number, step - 1)
        spikes = messages != 0
        if number not in self.recorder.row:
            return
        met, words = (table @ spikes.astype(np.float64) for table in (plan.fan_out, plan.words))
        for node, name in enumerate(plan.nodes):
            mine = plan.reader == node
            if mine.any():
                add(name, "packets_in", np.count_nonzero(spikes[mine], axis=0))
            if met[node].any():
                add(name, "synaptic_ops", met[node].astype(np.int64))
            if words[node].any():
                add(name, "memory_reads", words[node].astype(np.int64))

    def _run_unit(
        self, number: int, unit: int, step: int, at: At, inbox: Array, delayed: dict[int, Array]
    ) -> None:
        running = self.sites[number]
        image, program = running.site.image, running.site.programs[unit]
        tally = partial(self.recorder.add, number, step)
        steps, every = program.turns[at.turn], program.shown[at.turn]
        if at.tick == 1:
            running.state[unit] = [
                image.initial(s.item, self.samples) if shown is None else load(s, image, self.samples, tally)
                for s, shown in zip(steps, every, strict=True)
            ]
        state, x = running.state[unit], self.x[at.sample]
        saturations = self.recorder.saturations
        frame = Frame(image, x, at.tick, inbox, [], state, tally, saturations, delayed, at.turn, running.kept)
        for item, shown in zip(steps, every, strict=True):
            if shown is None:  # this turn has none of its elements
                frame.vectors.append(np.zeros((item.item.size, self.samples), dtype=np.int64))
                continue
            vector = run(item, frame)
            frame.vectors.append(vector)
            self._record(item, vector, at, shown)
            if item.item.op == "neuron":
                self._record_states(item, state, at, shown)
        self._send(number, step, program, frame.vectors, at.turn)

    def _record(self, step: Step, vector: Array, at: At, flat: Array) -> None:
        item, rows = step.item, self._rows(at)
        if item.op == "output":
            first = at.tick == 1 or item.texts["readout"] == "last"
            self.total = vector if first else self.total + vector
            vector = np.asarray(self.total)
            self.trace.outputs[at.tick - 1, rows][:, flat] = vector.T
        if item.node in self.trace.values:
            self.trace.values[item.node][at.tick - 1, rows, flat] = vector

    def _record_states(self, step: Step, state: list[Array], at: At, flat: Array) -> None:
        rows = self._rows(at)
        names = [f"{step.item.node}.{variable.name}" for variable in step.member.state]
        for name, kept in zip(names, np.split(state[step.number], max(len(names), 1)), strict=False):
            if name in self.trace.values and name in self.machine.states:
                self.trace.values[name][at.tick - 1, rows, flat] = kept

    def _send(self, number: int, step: int, program: Program, vectors: list[Array], turn: int) -> None:
        for export in (e for e in program.exports if e.when in (EVERY, turn)):
            values = vectors[export.instruction]
            for bundle in export.bundles:
                target = self.sites[bundle.target]
                if target.incoming is None:
                    target.incoming = np.zeros((target.site.receiver.slots, self.samples), dtype=np.int64)
                add(target.incoming, bundle.slots, values[bundle.elements], bundle.distinct)
        for sender in (s for s in program.senders if s.when in (EVERY, turn)):
            self.recorder.sent(number, step, sender, vectors[sender.instruction][sender.elements])
        for said in program.spoken[turn]:
            active = np.count_nonzero(vectors[said.instruction][said.elements], axis=0)
            self.recorder.add(number, step, said.node, "spikes", active)


def _shown(image: CoreImage, steps: Sequence[Step], turn: int) -> Iterator[Array | None]:
    """Elements of its node that each step computes in a turn; None where it has none and does not run."""
    here: list[bool] = []
    for step in steps:
        flat, given = image.elements(step.item), [here[operand.source] for operand in step.item.operands]
        # What belongs to no node runs if any of its inputs does; what has one row, of the host, in every turn.
        runs = (
            (any(given) or not given)
            if flat.ndim == 1
            else bool((flat[turn] >= 0).any() or not step.item.size)
        )
        here.append(runs)
        yield (flat if flat.ndim == 1 else flat[turn]) if runs else None


def _spoken(
    image: CoreImage, unit: int, every: Sequence[Export], shown: Sequence[Sequence[Array | None]]
) -> Iterator[tuple[Spoken, ...]]:
    """By turn the elements that leave the core."""
    known: dict[tuple[int, ...], tuple[Spoken, ...]] = {}
    for turn, there in enumerate(shown):
        sent = tuple(
            n for n, e in enumerate(every) if e.when in (EVERY, turn) and there[e.instruction] is not None
        )
        if sent not in known:
            known[sent] = tuple(spoken(image, unit, [every[n] for n in sent]))
        yield known[sent]


def deliver(delivery: Delivery, messages: Array, inbox: Array, largest: float) -> None:
    """Adds the synaptic sums of one group of targets to the inbox, exactly."""
    exact = delivery.reach * largest < EXACT
    weights = delivery.weights.T if exact else delivery.weights.T.astype(np.int64)
    targets, rows = delivery.slots.shape
    block = max(1, BLOCK // max(rows * messages.shape[1], 1))
    for start in range(0, targets, block):
        taken = messages[delivery.slots[start : start + block]]
        sums = np.matmul(weights, taken.astype(weights.dtype)).astype(np.int64)
        add(inbox, delivery.address[start : start + block], sums, delivery.distinct)


def add(inbox: Array, address: Array, amounts: Array, distinct: bool) -> None:
    """Adds amounts in place; ``distinct``: no address occurs twice, which is faster."""
    if distinct:
        inbox[address] += amounts
    else:
        np.add.at(inbox, address, amounts)
