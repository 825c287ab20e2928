"""Stage 8, estimate: events of the mapped run, counts of the network, and what they cost."""

from __future__ import annotations

from dataclasses import dataclass

from .. import compare, cost, sampled
from ..array import Array
from ..calibrate import batch_size, batches, unheard
from ..cost import booked
from ..inputs.samples import SYNTHETIC
from ..ir.nodes import Neuron
from ..ir.trace import Events, Trace
from ..mapping.grades import grades
from ..program import Program
from ..report.units import quantity
from ..target import Target
from .imported import Imported
from .paced import Budget
from .result import Progress, Result

#: energy and latency are means over so many test samples, at most as many as are evaluated if drawn
EVENT_SAMPLES = 32


@dataclass(frozen=True, eq=False, kw_only=True)
class Priced(Result):
    """Counts and costs, and the trace of the first samples, every population recorded.

    ``wanted`` is the number of samples that would have run without a budget.
    """

    assessment: cost.Assessment
    trace: Trace
    wanted: int


def estimate(
    found: Imported, program: Program, target: Target, budget: Budget, progress: Progress = unheard
) -> Priced:
    """What an inference costs, by running it core by core where it fits."""
    most = min(EVENT_SAMPLES, found.config.eval or EVENT_SAMPLES) if found.synthetic else EVENT_SAMPLES
    mapping = program.mapping
    mapped = (
        mapping is not None
        and mapping.fits
        and (not program.unimaged or sampled.counted(program.graph, mapping))
    )
    silicon = grades(program.graph, target)

    def assessed(x: Array) -> tuple[cost.Assessment, Trace]:
        events = _events(program, target, x) if mapped else None
        counts, trace = _counts(program, x, progress)
        return cost.assess(program, target, found.graph, events, counts, silicon), trace

    most = found.config.estimate or most
    most = _together(program, most) if program.unimaged else most
    ran = budget.run("estimate", program.graph, found.stimulus.draw, most, assessed)
    assessment, trace = ran.found
    said = (_headline(assessment), SYNTHETIC * found.synthetic, ran.cut)
    fact, reasons = ", ".join(filter(None, said)), dict(assessment.reasons)
    return Priced(assessment=assessment, trace=trace, wanted=ran.wanted, reasons=reasons, fact=fact)


def _events(program: Program, target: Target, x: Array) -> Events:
    """What the cores do: by running them, or from mapping and values where there are too many."""
    if not program.unimaged or program.mapping is None:
        return compare.usable("loihi-sim").run(program, x)[1]  # type: ignore[return-value]  # it counts
    trace, _ = compare.usable("cpu").run(program, x, booked.names(program.graph))
    return booked.booked(program.graph, program.mapping, trace, target)


def _together(program: Program, most: int) -> int:
    """So many samples of which all values are in memory at once."""
    graph, mapping = program.graph, program.mapping
    counted = booked.samples_at_once(graph, mapping) if mapping else most
    return min(most, batch_size(graph, booked.names(graph)), max(counted, 1))


def _counts(program: Program, images: Array, progress: Progress) -> tuple[cost.Counts, Trace]:
    """Counts of the recorded network, in batches that fit memory, and the trace of the first batch."""
    graph, cpu = program.graph, compare.usable("cpu")
    record = tuple(dict.fromkeys([*cost.names_to_record(graph), *(node.name for node in graph.of(Neuron))]))
    each = batches(images, batch_size(graph, record), progress)
    trace, _ = cpu.run(program, next(each), record)
    counts = cost.count(graph, trace)
    for batch in each:
        counts += cost.count(graph, cpu.run(program, batch, record)[0])
    return counts, trace


def _headline(assessment: cost.Assessment) -> str:
    found = assessment.estimate
    if found is None:
        return f"no estimate: {assessment.reasons['estimate']}"
    energy, latency = found.energy_pj.nominal * 1e-6, found.timing.latency_ns.nominal * 1e-6
    return f"{quantity(energy, 'uJ')}, {quantity(latency, 'ms')} per inference"
