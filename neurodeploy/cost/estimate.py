"""Program + events + target -> Estimate: what one inference costs, with every term that makes it up."""

from __future__ import annotations

from collections.abc import Mapping

from ..errors import Problem, ReportError
from ..ir.trace import Events
from ..program import Program
from ..target import Target
from . import energy, latency
from .types import PARTS, Estimate, Range, Term, Timing, total

UNCOUNTED = (
    "the host: preparing inputs and reading results (its packets are counted)",
    "embedded x86 cores, board, memory and power supply",
    "loading the network onto the chip",
)


def estimate(program: Program, events: Events, target: Target) -> Estimate:
    """Energy and time of one inference, mean over the samples of ``events``, in the ranges of ``target``.

    Raises ReportError ND801 if the counts contradict each other and ND802 if the program was never mapped.
    """
    if program.mapping is None:
        cause = "a network without a mapping has no cost on cores"
        raise ReportError(
            [Problem("ND802", cause, program.graph.header.name, fixes=("run the map stage first",))]
        )
    energy.check(events)
    ticks, mapping = program.graph.header.timesteps, program.mapping
    chips = len({core.chip for core in mapping.cores}) or mapping.chips
    timing = latency.timing(events, target, ticks)
    terms = energy.event_terms(program.graph, events, target)
    cores = len(mapping.cores)
    whole = [*terms, *overhead(cores, events.steps, timing.latency_ns, chips, target)]
    steady = [*terms, *overhead(cores, ticks, timing.period_ns, chips, target)]
    nodes = energy.node_parts(program.graph, events, target)
    node_pj = {name: total(parts.values()) for name, parts in nodes.items()}
    core_pj = _cores(events, target, len(mapping.cores), timing, chips)
    energy_pj = total(item.energy_pj for item in whole)
    return Estimate(
        samples=events.samples,
        timesteps=ticks,
        depth=mapping.depth,
        chips=chips,
        energy_pj=energy_pj,
        parts_pj=energy.by_part(whole, PARTS),
        terms=tuple(whole),
        node_pj=node_pj,
        node_parts_pj=nodes,
        shared_pj=_rest(whole, node_pj),
        core_pj={core.index: pj for core, pj in zip(mapping.cores, core_pj, strict=True)},
        unplaced_pj=total(item.energy_pj for item in terms if item.key in _OFF_CORE),
        pipelined_pj=total(item.energy_pj for item in steady),
        timing=timing,
        events_pj=total(item.energy_pj for item in terms),
        uncounted=UNCOUNTED + _unpriced(whole),
        definitions=(energy.ENERGY, energy.PIPELINED, latency.LATENCY, latency.THROUGHPUT),
    )


#: terms that are counted on links, not on cores or nodes
_OFF_CORE = ("energy_pj.packet_chip_hop", "energy_pj.host_packet")


def overhead(cores: int, steps: int, time_ns: Range, chips: int, target: Target) -> list[Term]:
    """What flows whether or not anything happens: barriers of the used cores, static power."""
    barrier = energy.term("barrier_per_core", "network", cores * steps, target)
    return [barrier, energy.static_term(time_ns, chips, target)]


def _cores(events: Events, target: Target, cores: int, timing: Timing, chips: int) -> list[Range]:
    """Energy by core: its events, its barriers and an equal share of the static energy."""
    shared = total(t.energy_pj for t in overhead(cores, events.steps, timing.latency_ns, chips, target))
    return [own + shared * (1.0 / cores) for own in energy.core_events(events, target)]


def _rest(terms: list[Term], nodes: Mapping[str, Range]) -> Range:
    """What belongs to no node: barriers, static power and packets that leave the mesh."""
    outside = (*_OFF_CORE, "energy_pj.barrier_per_core", "power_w.static_per_chip")
    return total(item.energy_pj for item in terms if item.key in outside)


def _unpriced(terms: list[Term]) -> tuple[str, ...]:
    """Terms that were counted but have no coefficient on this target."""
    return tuple(
        f"{t.key}: counted, no price known for this target" for t in terms if not t.priced and t.count
    )
