"""Program + events + target -> Estimate: what one inference costs, with every term that makes it up."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from ..errors import Problem, ReportError
from ..ir.graph import Graph
from ..ir.trace import Events, Router
from ..passes.balance import period
from ..price import OVERHEAD, Range, by_part, total
from ..program import Program
from ..target import Target
from . import contention, energy, floorline, latency
from .counts import looked_up
from .types import PARTS, Estimate, Term

UNCOUNTED = (
    "embedded x86 cores, board, memory and power supply",
    "loading the network onto the chip",
)


def estimate(program: Program, events: Events, target: Target) -> Estimate:
    """Energy and time of one inference, mean over the samples of ``events``, in the ranges of ``target``.

    Raises ReportError ND801 if the counts contradict each other and ND802 if the program was never mapped.
    """
    if program.mapping is None:
        cause = "a network without a mapping has no cost on cores"
        fixes = ("run the map stage first",)
        raise ReportError(Problem("ND802", cause, program.graph.header.name, fixes=fixes))
    energy.check(events)
    mapping, graph = program.mapping, program.graph
    apart = period(graph)
    chips = len({core.chip for core in mapping.cores}) or mapping.chips
    target = target.model_copy(update={"chips": chips})  # the others sleep, and no barrier waits for them
    timing = latency.timing(events, target, apart)
    terms = energy.event_terms(graph, events, target)
    floors = floorline.layers(events, mapping, target, graph.header.timesteps)
    cores, routers = len(mapping.cores), [Router(core.chip, core.x, core.y) for core in mapping.cores]
    extra = energy.overhead(cores, chips, events.steps, timing.latency_ns, target)
    steady = [*terms, *energy.overhead(cores, chips, apart, timing.period_ns, target)]
    whole, shared = [*terms, *extra], _sum(extra)
    nodes = {
        name: by_part(counts, events.kinds, target, energy.own_part(graph, name))
        for name, counts in events.node_counts.items()
    }
    core_pj = [own + shared * (1.0 / cores) for own in energy.core_events(events, target)]
    unpriced = [item.key for item in whole if not item.priced and item.count]
    return Estimate(
        samples=events.samples,
        timesteps=graph.header.timesteps,
        depth=mapping.depth,
        chips=chips,
        energy_pj=_sum(whole),
        parts_pj={part: _sum(whole, parts=(part,)) for part in PARTS},
        terms=tuple(whole),
        node_pj={name: total(parts.values()) for name, parts in nodes.items()},
        node_parts_pj=nodes,
        shared_pj=_sum(whole, keys=(*energy.OFF_CORE, *OVERHEAD)),
        core_pj={core.index: pj for core, pj in zip(mapping.cores, core_pj, strict=True)},
        unplaced_pj=_sum(terms, keys=energy.OFF_CORE),
        pipelined_pj=_sum(steady),
        timing=timing,
        contended=contention.contended(events, routers, target, apart),
        layers=floors,
        steps=floorline.steps(events, mapping, timing, floors),
        events_pj=_sum(terms),
        uncounted=(
            _of_the_host(graph),
            *UNCOUNTED,
            *(f"{key}: counted, no price known for this target" for key in unpriced),
        ),
        definitions=(
            energy.ENERGY,
            energy.PIPELINED,
            latency.LATENCY,
            latency.THROUGHPUT,
            contention.CONTENTION,
            floorline.FLOORLINE,
        ),
    )


def _of_the_host(graph: Graph) -> str:
    """What the host does, of which nothing but its packets is counted."""
    found = looked_up(graph)
    tables = f", looking up {', '.join(found)} ({sum(found.values()):,} numbers read)" if found else ""
    return f"the host: preparing inputs{tables} and reading results (its packets are counted)"


def _sum(terms: Iterable[Term], keys: Collection[str] = (), parts: Collection[str] = PARTS) -> Range:
    """The energy of terms, of all or of those with these keys and parts."""
    return total(t.energy_pj for t in terms if t.part in parts and (not keys or t.key in keys))
