"""Stage 9, report: what the other stages found, as one value that page, tables and console are made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from .. import evaluation, report
from ..array import Array
from ..backends import described
from ..errors import Problem
from ..inputs.samples import tokens
from ..inputs.texts import spelling
from ..mapping.grades import grades
from ..sampled import Sampled, counted
from ..target import Target
from .answered import LETTERS, picture
from .converted import Converted
from .evaluated import Evaluated
from .imported import Imported
from .mapped import Mapped
from .priced import Priced
from .result import Results
from .verified import Verified


def report_inputs(
    results: Results, target: Target, stages: Sequence[report.Stage], provenance: Mapping[str, object]
) -> report.ReportInputs:
    """What the report reads, of a build whose stages all ran."""
    found, mapped, evaluated = results[Imported], results[Mapped], results[Evaluated]
    verified, priced = results[Verified], results[Priced]
    in_lava, reasons = _in_lava(mapped)
    sample = report.raster(mapped.graph, priced.trace)
    drawn = "synthetic" if found.synthetic else "test"
    return report.ReportInputs(
        model=found.model, target=target, method=found.config.method, timesteps=mapped.graph.header.timesteps,
        config=found.config.decisive(), source=found.graph, spiking=results[Converted].graph, integer=mapped.graph,
        mapping=mapped.mapping, assessment=priced.assessment, accuracy=evaluated.accuracy,
        agreement=evaluated.agreement, images=evaluated.images, bit_true=verified.bit_true, beside=verified.beside,
        classes=found.data.classes if found.data else (),
        sampled=verified.sampled or _unverified(mapped),
        saturations=evaluated.saturations, grades=grades(mapped.graph, target), raster=sample,
        raster_sample=f"first {drawn} sample of the estimate" if sample else "",
        raster_seen=seen(found, priced) if sample else None, stimulus=found.stimulus.facts(),
        import_check=found.check.as_dict() if found.check else {}, unchecked=found.unchecked,
        lava=in_lava, warnings=results.warnings, stages=tuple(stages), provenance=provenance,
        reasons={**results.reasons, **reasons},
    )  # fmt: skip


def seen(found: Imported, priced: Priced) -> report.Seen | None:
    """The sample of the raster: the first of the estimate."""
    counts = priced.assessment.counts
    if counts is None:
        return None
    images, labels = found.stimulus.measurement(counts.samples)
    shown = _shown(found, images[0])
    each = found.data is not None and found.data.sequence  # an answer for each token
    if labels is None or each or evaluation.pictured(found.graph, found.data):
        return shown
    said = evaluation.predictions(priced.trace.outputs[:, :1])[-1, 0]
    return replace(shown, label=int(labels[0]), said=int(said))


def _shown(found: Imported, raw: Array) -> report.Seen:
    """What a raw input looks like, or reads like."""
    if tokens(found.graph) is not None:
        return report.Seen(text=spelling(found.tokenizer)(raw)[:LETTERS])
    if found.data and found.data.sequence:
        return report.Seen(text="".join(found.data.classes[i] for i in raw.argmax(axis=-1))[:LETTERS])
    return report.Seen(picture=picture(raw, found.data.levels if found.data else int(raw.max(initial=1))))


def _unverified(mapped: Mapped) -> str:
    """What stands beside the numbers of a network that was not simulated whole, if no core of it was executed."""
    if not mapped.program.unimaged:
        return ""
    return str(Sampled((), len(mapped.mapping.cores), counted(mapped.graph, mapped.mapping)))


def _in_lava(mapped: Mapped) -> tuple[dict[str, object], dict[str, str]]:
    """What every layer becomes in Lava, or why nothing does; needs no Lava."""
    found = described(mapped.program).get("lava")
    if found is None:
        return {}, {}
    if isinstance(found, Problem):
        return {}, dict.fromkeys(("lava", "layers.lava"), found.cause)
    rows = [{"layer": row.layer, "processes": str(row), "events": row.events, "stock_events": row.stock_events,
             "own": row.reason} for row in found.rows]  # fmt: skip
    return {"layers": rows, "nodes": dict(found.nodes)}, {}
