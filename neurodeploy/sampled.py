"""A sample of cores, executed: how a network is checked that is too large to simulate whole.

The sample has, of every kind of layer, the first core, the last one and one in between, each of a layer of that kind
drawn with a seed; layers are of one kind where they are cut alike (:mod:`.mapping.repeats`). A core runs from its own
memory image, fed with the messages that arrive by the values of the cpu backend, which the interpreter proves. Whatever
it computes, and whatever it says to others, is compared with them, tick by tick; what it counts with the book of
mapping and values (:mod:`.cost.booked`), which then speaks for all other cores.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from .array import Array
from .backends.loihi_sim.machine import Machine
from .compare import Divergence, first_divergence, usable
from .cost import booked, dense_macs
from .image import Alone, lone
from .ir.graph import Graph
from .ir.trace import EVENT_KINDS, Events, Trace
from .mapping.groups import populations
from .mapping.repeats import Cutter
from .mapping.types import Core, Mapping
from .program import Program
from .target import Target

#: what an execution of all cores takes for each word of their memory, and for a multiply-accumulate of a tick
WORD_S, WORD_BYTES, MAC_S = 1e-5, 400, 5e-9
STEP_S = 1e-4  # and for each core in each step, where tokens take turns
MOST_BYTES = 8 << 30
#: counts that a core does not know which runs alone: they depend on where its packets go
ELSEWHERE = ("packets_out", "message_bits", "hops_x", "hops_y")


def whole(graph: Graph, mapping: Mapping, seconds: float) -> bool:
    """Whether one sample on all simulated cores is expected to fit so many seconds, and memory; no clock decides."""
    words = sum(core.demand.total_words for core in mapping.cores)
    return expected_s(graph, mapping) <= seconds and WORD_BYTES * words <= MOST_BYTES


def expected_s(graph: Graph, mapping: Mapping) -> float:
    """Seconds that one sample on all simulated cores is expected to take."""
    words = sum(core.demand.total_words for core in mapping.cores)
    macs = graph.header.timesteps * sum(dense_macs(graph, node) for node in graph)
    steps = graph.header.timesteps + mapping.depth if graph.header.copies else 0
    return WORD_S * words + MAC_S * macs + STEP_S * steps * len(mapping.cores)


def counted(graph: Graph, mapping: Mapping) -> bool:
    """Whether there is memory for mapping and values to count what all cores do."""
    return booked.samples_at_once(graph, mapping) > 0


@dataclass(frozen=True)
class Sampled:
    """Positions of the cores that ran, of how many, whether the others are counted, and the first difference."""

    cores: tuple[int, ...]
    total: int
    counted: bool = True
    divergence: Divergence | None = None

    def __str__(self) -> str:
        rest = "the other counts from values and mapping" if self.counted else "and not counted: see ND528"
        return f"sampled: {len(self.cores):,} of {self.total:,} cores executed, {rest}"


def chosen(graph: Graph, mapping: Mapping, target: Target, seed: int = 0) -> tuple[int, ...]:
    """Positions of the cores of the sample, in ascending order."""
    cutter, rng = Cutter(graph, target), np.random.Generator(np.random.PCG64(seed))
    hosts: dict[str, list[int]] = {}
    for position, core in enumerate(mapping.cores):
        for name in dict.fromkeys(core.layers):
            hosts.setdefault(name, []).append(position)
    kinds: dict[object, list[str]] = {}
    for group in populations(graph):
        if group.name in hosts:
            kinds.setdefault(cutter.kind(group), []).append(group.name)
    found: set[int] = set()
    for alike in kinds.values():
        first, between, last = (hosts[alike[i]] for i in rng.integers(0, len(alike), 3))
        found |= {first[0], between[int(rng.integers(0, len(between)))], last[-1]}
    return tuple(sorted(found))


def verify(
    program: Program, target: Target, x: Array, seed: int = 0, cores: Sequence[int] | None = None
) -> Sampled:
    """Run a sample of cores, or the given ``cores``, on raw inputs ``x``; stops at the first that differs."""
    graph, mapping = program.graph, program.mapping
    if mapping is None:
        return Sampled((), 0)
    positions = chosen(graph, mapping, target, seed) if cores is None else tuple(cores)
    hosted = {name for i in positions for piece in mapping.cores[i].pieces for name in piece.elements}
    trace, _ = usable("cpu").run(program, x, [n for n in graph.nodes if n in hosted | {*booked.names(graph)}])
    differs = difference(graph, mapping, target, trace, positions)
    return Sampled(positions, len(mapping.cores), counted(graph, mapping), differs)


def difference(
    graph: Graph, mapping: Mapping, target: Target, trace: Trace, positions: Sequence[int]
) -> Divergence | None:
    """The first place where some cores, each by itself, differ from a trace of all values there or from the book."""
    counts, encoded = booked.alone(graph, mapping, trace, target, positions), lone(graph, mapping, target)
    for position in positions:
        core, alone = mapping.cores[position], encoded.core(position)
        own, events = run(alone, core, trace)
        found = _values(graph, core, alone, own, trace) or next(_counts(core, events, counts[position]), None)
        if found is not None:
            return replace(found, backend=f"core {core.index}")
    return None


def inbox(alone: Alone, trace: Trace) -> Array:
    """What arrives at a core by the values of a trace, in the order in which its host sends it.

    (B, turns, T, elements); where a turn has no such element, nothing arrives.
    """
    turns, ticks, size = alone.images[1].header["input"]
    found = np.zeros((trace.outputs.shape[1], turns, ticks, size), dtype=np.int64)
    start = 0
    for value, shown in alone.fed:
        values = trace.values[value].reshape(*trace.outputs.shape[:2], -1)
        played = np.where(shown < 0, 0, values[..., shown])  # (T, B, turns, elements)
        found[:, : len(shown), :, start : start + shown.shape[1]] = np.moveaxis(played, 0, 2)
        start += shown.shape[1]
    return found


def run(alone: Alone, core: Core, trace: Trace) -> tuple[Trace, Events]:
    """One core by itself, with the values of all that lives on it recorded."""
    machine = Machine(alone.images, whole=False)
    names = [name for piece in core.pieces for name in piece.elements if name in machine.nodes]
    return machine.run(inbox(alone, trace), names)


def _values(graph: Graph, core: Core, alone: Alone, found: Trace, expected: Trace) -> Divergence | None:
    """The first value on a core, or heard from it, that is another than expected."""
    here: dict[str, Array] = {}
    for piece in core.pieces:
        here |= {name: np.append(here.get(name, flat[:0]), flat) for name, flat in piece.elements.items()}
    # The read-out is added up by the host, and a plain vector before.
    (shown,), output = graph.output.inputs, graph.output.name
    here |= {output: alone.heard.get(output, np.zeros(0, dtype=np.int64))}
    order = [name for name in graph.nodes if name in here and name in found.values]
    sources = expected.values | {output: expected.values[shown]}
    own, wanted = (
        Trace(found.outputs, {n: v[n].reshape(*v[n].shape[:2], -1)[..., here[n]] for n in order})
        for v in (found.values, sources)
    )
    first = first_divergence(own, wanted, order)
    if first is None:
        return None
    index = np.unravel_index(here[first.node][first.index[0]], graph.shape(first.node))
    return replace(first, index=tuple(map(int, index)), reference="cpu")


def _counts(core: Core, found: Events, wanted: Array) -> Iterator[Divergence]:
    """Where a core counts something else than mapping and values say, (samples, steps, kinds)."""
    own = found.core_counts[:, 0]
    known = [i for i, kind in enumerate(EVENT_KINDS) if kind not in ELSEWHERE]
    for sample, step, column in np.argwhere(own[..., known] != wanted[..., known]).tolist():
        kind, place = known[column], (sample, step, known[column])
        name = f"{EVENT_KINDS[kind]} of {', '.join(dict.fromkeys(core.layers))}"
        yield Divergence(
            name, step + 1, sample, (), int(own[place]), int(wanted[place]), reference="the second book"
        )
