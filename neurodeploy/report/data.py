"""ReportInputs -> one JSON-able dict, the only thing that the console, the files and the page are made from.

Counts, energy and latency are means per inference over ``counts.samples``; accuracies and shares are fractions;
energy is in uJ and time in ms unless a key says otherwise. A value that is missing is null, and ``reasons`` says why
under its dotted key (rows of a table share one key: ``layers.sqnr_db``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ..cost.types import LEVELS, PARTS, Definition, Range
from ..errors import Problem
from ..ir.trace import EVENT_KINDS
from ..target import Target
from . import views
from .columns import DEPENDENT, TABLES, UJ_PER_PJ, Column
from .inputs import ReportInputs
from .network import network

SCHEMA_VERSION = 1
MS_PER_NS = 1e-6
#: limits of a target that say how wide its numbers are
WIDTHS = ("message_bits", "state_bits", "register_bits")

Json = dict[str, Any]


def build(inputs: ReportInputs) -> Json:
    """The report of one build; every key is always there."""
    report: Json = {
        "schema_version": SCHEMA_VERSION,
        **_identity(inputs),
        "input": _input(inputs),
        "accuracy": _accuracy(inputs),
        "agreement": dict(inputs.agreement) or None,
        "bit_true": _bit_true(inputs),
        "counts": _counts(inputs),
        **_energy(inputs),
        **_time(inputs),
        "mapping": _mapping(inputs),
        **_audit(inputs),
        "lava": _lava(inputs),
        "warnings": [problem_dict(p) for p in inputs.warnings],
        "uncounted": _uncounted(inputs),
        "layers": _table(TABLES["layers"], views.layers(inputs)),
        "cores": _table(TABLES["cores"], views.cores(inputs)),
        "links": _table(TABLES["links"], views.links(inputs)),
        "network": network(inputs),
        "ticks": _ticks(inputs),
        "raster": _raster(inputs),
        "definitions": _definitions(inputs),
        "columns": _columns(),
        "stages": [{"name": s.name, "seconds": s.seconds, "fact": s.fact} for s in inputs.stages],
        "reproducibility": plain({**inputs.provenance, "config": dict(inputs.config)}),
    }
    report = plain(report)
    report["reasons"] = _reasons(inputs, report)
    return report


def _identity(inputs: ReportInputs) -> Json:
    model, target = inputs.model, inputs.target
    return {
        "model": model.name,
        "system": model.system,
        "method": inputs.method,
        "timesteps": inputs.timesteps,
        "model_info": {
            "title": model.title,
            "source": model.source,
            "parameters": model.parameters,
            "dataset": model.dataset,
            "dataset_sha256": model.dataset_sha256,
        },
        "target": _target(target),
    }


#: dotted keys whose numbers depend on activity, and so on what the network ran on
ACTIVITY = (
    "counts.synaptic_ops", "counts.product_ops", "counts.spikes", "counts.packets", "counts.hops",
    "counts.microcode_ops", "counts.state_accesses", "energy_uj", "energy_breakdown_uj", "energy_breakdown_range_uj",
    "energy_terms", "energy_shared_uj", "energy_events_uj", "energy_pipelined_uj", "energy_paper_uj",
    "energy_paper_ratio", "energy_paper_three_products_uj", "energy_paper_three_products_ratio", "latency_ms",
    "throughput_per_s", "throughput_range_per_s", "steps", "mapping.hops_mean", "purity.spike_driven", "purity.work",
    "silicon", "ticks", "raster", "lava.share", "lava.layers",
)  # fmt: skip
#: and the cut, where the mapper weighs messages by their activity
CUT = ("mapping.cores_used", "mapping.groups", "layers.layout", "layers.cores")


def _input(inputs: ReportInputs) -> Json:
    """What the network ran on; ``affects`` names every key and column whose numbers depend on it."""
    facts = {key: value for key, value in inputs.stimulus.items() if value is not None}
    columns = [f"{table}.{name}" for table, names in DEPENDENT.items() for name in names]
    cut = CUT if inputs.config.get("optimise") != "cores" else ()
    return {"kind": "", "label": "", "text": "", **facts, "affects": [*ACTIVITY, *cut, *columns]}


def _target(target: Target) -> Json:
    chip = target.chip
    return {
        "name": target.name,
        "kind": target.kind,
        "title": target.title,
        "description": target.description,
        "sha256": target.sha256,
        "priced": target.priced,
        "chips": target.chips,
        "cores_per_chip": chip.cores_per_chip,
        "routers_x": chip.routers_x,
        "routers_y": chip.routers_y,
        "cores_per_router": chip.cores_per_router,
        "source": chip.source,
        "widths": {key: getattr(target.limits, key).value for key in WIDTHS},
    }


def _accuracy(inputs: ReportInputs) -> Json:
    found = inputs.accuracy
    return {
        "float": found.source if found else None,
        "spiking": found.spiking if found else None,
        "integer": found.integer if found else None,
        "samples": found.samples if found else None,
        "by_timestep": list(found.by_timestep) if found and found.by_timestep else None,
    }


def _bit_true(inputs: ReportInputs) -> Json:
    found = inputs.bit_true
    return {
        "equal": found.equal if found else None,
        "samples": found.samples if found else None,
        "backends": list(found.backends) if found else None,
        "divergence": found.divergence if found else "",
    }


def _counts(inputs: ReportInputs) -> Json:
    events, counts = inputs.assessment.events, inputs.assessment.counts
    totals: dict[str, float | None] = dict.fromkeys(EVENT_KINDS)
    if counts is not None:
        totals |= {k: counts.total(k) for k in ("synaptic_ops", "product_ops", "neuron_updates", "spikes")}
    if events is not None:
        totals |= {kind: events.total(kind) for kind in events.kinds}
    hops = None if events is None else events.total("hops_x") + events.total("hops_y")
    return {
        "samples": events.samples if events else counts.samples if counts else None,
        "synaptic_ops": totals["synaptic_ops"],
        "product_ops": totals["product_ops"],
        "neuron_updates": totals["neuron_updates"],
        "spikes": totals["spikes"],
        "packets": totals["packets_out"],
        "hops": hops,
        "microcode_ops": totals["microcode_ops"],
        "state_accesses": totals["state_accesses"],
        "dense_macs": inputs.assessment.dense_macs,
    }


def _energy(inputs: ReportInputs) -> Json:
    assessment = inputs.assessment
    # A target without prices would show a network that runs for nothing.
    estimate = assessment.estimate if inputs.target.priced else None
    baseline = assessment.baseline if inputs.target.costs.ann_baseline.int8_mac_pj.priced else None
    paper = assessment.paper if inputs.target.costs.paper_metric.ac_pj.priced else None
    parts = estimate.parts_pj if estimate else {}
    in_uj = lambda pj: None if pj is None else pj * UJ_PER_PJ
    return {
        "energy_uj": _range(estimate.energy_pj if estimate else None, UJ_PER_PJ),
        "energy_breakdown_uj": {p: in_uj(parts[p].nominal) if p in parts else None for p in PARTS},
        "energy_breakdown_range_uj": {p: _range(parts.get(p), UJ_PER_PJ) for p in PARTS},
        "energy_terms": _terms(inputs) if estimate else None,
        "energy_shared_uj": _range(estimate.shared_pj if estimate else None, UJ_PER_PJ),
        "energy_events_uj": _range(estimate.events_pj if estimate else None, UJ_PER_PJ),
        "energy_pipelined_uj": _range(estimate.pipelined_pj if estimate else None, UJ_PER_PJ),
        "energy_paper_uj": in_uj(paper.energy_pj if paper else None),
        "energy_paper_ratio": paper.ratio if paper else None,
        "energy_paper_three_products_uj": in_uj(paper.three_products_pj if paper else None),
        "energy_paper_three_products_ratio": paper.three_products_ratio if paper else None,
        "ann_baseline_uj": in_uj(baseline.energy_pj.nominal if baseline else None),
        "ann_baseline_range_uj": _range(baseline.energy_pj if baseline else None, UJ_PER_PJ),
        "ann_baseline_macs": baseline.macs if baseline else None,
        "ann_baseline_bytes": baseline.bytes if baseline else None,
    }


def _terms(inputs: ReportInputs) -> list[Json]:
    estimate = inputs.assessment.estimate
    return [
        {
            "key": term.key,
            "part": term.part,
            "count": term.count,
            "coefficient": term.coefficient.as_dict(),
            "energy_uj": term.energy_pj.as_dict(UJ_PER_PJ),
            "assumed": term.assumed,
            "priced": term.priced,
        }
        for term in (estimate.terms if estimate else ())
    ]


def _time(inputs: ReportInputs) -> Json:
    estimate = inputs.assessment.estimate
    timing = estimate.timing if estimate and inputs.target.costs.time_ns.barrier.priced else None
    throughput = timing.throughput_per_s if timing else None
    steps = range(timing.step_ns.shape[1]) if timing else ()
    return {
        "latency_ms": _range(timing.latency_ns if timing else None, MS_PER_NS),
        "throughput_per_s": throughput.nominal if throughput else None,
        "throughput_range_per_s": _range(throughput, 1.0),
        "steps": [
            {
                "step": s + 1,
                **{f"{level}_ns": timing.step_ns[i, s] for i, level in enumerate(LEVELS)},
                "bound": timing.bound[s],
                "core": _core_index(inputs, timing.busiest[s]),
            }
            for s in steps
        ]
        if timing
        else None,
        "depth": inputs.mapping.depth if inputs.mapping else None,
    }


def _core_index(inputs: ReportInputs, position: int) -> int | None:
    cores = inputs.mapping.cores if inputs.mapping else ()
    return cores[position].index if position < len(cores) else None


def _mapping(inputs: ReportInputs) -> Json:
    mapping, events = inputs.mapping, inputs.assessment.events
    packets = events.total("packets_out") if events else 0.0
    hops = events.total("hops_x") + events.total("hops_y") if events else 0.0
    limiting = Counter(core.limiting for core in mapping.cores) if mapping else None
    return {
        "fits": mapping.fits if mapping else None,
        "cores_used": len(mapping.cores) if mapping else None,
        "cores_total": mapping.cores_total if mapping else None,
        "chips": len({core.chip for core in mapping.cores}) if mapping else None,
        "limiting_resource": limiting.most_common(1)[0][0] if limiting else None,
        "hops_mean": hops / packets if packets else None,
        "problems": [problem_dict(p) for p in mapping.problems] if mapping else [],
        "groups": [
            {
                "name": g.name,
                "nodes": list(g.nodes),
                "depth": g.depth,
                "layout": g.layout,
                "limiting": g.limiting,
                "alternatives": list(g.alternatives),
            }
            for g in (mapping.groups if mapping else ())
        ],
    }


def _audit(inputs: ReportInputs) -> Json:
    found, grades = inputs.assessment.purity, inputs.assessment.silicon
    return {
        "purity": {
            "spike_driven": found.spike_driven if found else None,
            "edges": dict(found.edges) if found else None,
            "work": dict(found.work) if found else None,
            "operators": dict(found.operators) if found else {},
        },
        "silicon": dict(grades) if grades else None,
    }


def _lava(inputs: ReportInputs) -> Json:
    return {key: inputs.lava.get(key) for key in ("processes", "share")} | {
        "layers": inputs.lava.get("layers", [])
    }


def _uncounted(inputs: ReportInputs) -> list[str]:
    estimate = inputs.assessment.estimate
    return [*(estimate.uncounted if estimate else ()), *inputs.uncounted]


def problem_dict(problem: Problem) -> Json:
    """A Problem as data."""
    return {
        "code": problem.code,
        "cause": problem.cause,
        "where": problem.where,
        "found": problem.found,
        "limit": problem.limit,
        "fixes": list(problem.fixes),
        "severity": problem.severity,
    }


def _table(columns: tuple[Column[Any], ...], rows: Iterator[Any]) -> list[Json]:
    return [{column.name: column.get(row) for column in columns} for row in rows]


def _ticks(inputs: ReportInputs) -> Json:
    counts = inputs.assessment.counts
    return {
        "spikes": counts.spikes_by_tick.tolist() if counts else None,
        "operations": counts.operations_by_tick.tolist() if counts else None,
    }


def _raster(inputs: ReportInputs) -> Json:
    return {
        "sample": inputs.raster_sample,
        "populations": [
            {"name": row.name, "size": row.size, "ticks": [tick.tolist() for tick in row.ticks]}
            for row in inputs.raster
        ],
    }


def _definitions(inputs: ReportInputs) -> Json:
    return {d.key: _definition(d, inputs.target) for d in inputs.assessment.definitions}


def _definition(definition: Definition, target: Target) -> Json:
    return {
        "title": definition.title,
        "formula": definition.formula,
        "notes": list(definition.notes),
        "sources": list(definition.sources),
        "coefficients": [_coefficient(key, target) for key in dict.fromkeys(definition.coefficients)],
    }


def _coefficient(key: str, target: Target) -> Json:
    table, name = key.split(".")
    cost = getattr(getattr(target.costs, table), name)
    return {
        "key": key,
        **cost.model_dump(include={"low", "nominal", "high", "unit", "source", "note", "assumed", "priced"}),
    }


def _columns() -> Json:
    return {
        table: [
            {"name": c.name, "unit": c.unit, "formula": c.formula, "help": c.help, "measured": c.measured}
            for c in columns
        ]
        for table, columns in TABLES.items()
    }


def _range(value: Range | None, factor: float) -> Json:
    return value.as_dict(factor) if value else dict.fromkeys(LEVELS)


# --- plain JSON, and a reason for every null ------------------------------------------------------------------------


def plain(value: Any) -> Any:
    """Only dicts, lists, strings, finite numbers, booleans and None; what is not a number becomes None."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    return value if isinstance(value, (str, int)) or value is None else str(value)


def nulls(value: Any, key: str = "") -> Iterator[str]:
    """Dotted keys of everything that is None; the rows of a list share their list's key."""
    if value is None:
        yield key
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from nulls(item, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list):
        for item in value:
            yield from nulls(item, key)


#: dotted key, or its first part -> (part of an assessment whose reason applies, what to say if it gives none)
WHY: dict[str, tuple[str, str]] = {
    "accuracy": ("accuracy", "no labelled samples were run"),
    "agreement": ("agreement", "only a text model is compared with its float model"),
    "bit_true": ("bit_true", "no comparison of backends was made"),
    "counts": ("estimate", "the network did not run"),
    "energy_uj": ("estimate", "no estimate was made"),
    "energy_breakdown_uj": ("estimate", "no estimate was made"),
    "energy_breakdown_range_uj": ("estimate", "no estimate was made"),
    "energy_terms": ("estimate", "no estimate was made"),
    "energy_shared_uj": ("estimate", "no estimate was made"),
    "energy_events_uj": ("estimate", "no estimate was made"),
    "energy_pipelined_uj": ("estimate", "no estimate was made"),
    "energy_paper_uj": ("paper", "no recorded run of the network"),
    "energy_paper_ratio": ("paper", "no recorded run of the network"),
    "energy_paper_three_products_uj": (
        "paper",
        "a convention of converted networks with compensated products only",
    ),
    "energy_paper_three_products_ratio": (
        "paper",
        "a convention of converted networks with compensated products only",
    ),
    "ann_baseline_uj": ("price", "the target gives no coefficient"),
    "ann_baseline_range_uj": ("price", "the target gives no coefficient"),
    "ann_baseline_macs": ("price", "the target gives no coefficient"),
    "ann_baseline_bytes": ("price", "the target gives no coefficient"),
    "latency_ms": ("estimate", "no estimate was made"),
    "throughput_per_s": ("estimate", "no estimate was made"),
    "throughput_range_per_s": ("estimate", "no estimate was made"),
    "steps": ("estimate", "no estimate was made"),
    "depth": ("mapping", "the network was not mapped"),
    "mapping": ("mapping", "the network was not mapped"),
    "mapping.hops_mean": ("estimate", "no packet was sent between cores"),
    "purity": ("purity", "the network did not run"),
    "silicon": ("silicon", "no graded mapping with counted events"),
    "lava": ("lava", "the network was not laid out for Lava, or has no synapses"),
    "ticks": ("paper", "no recorded run of the network"),
    "target": ("target", "the target sets no limit"),
    "model_info": ("model", "the model does not say"),
}


def _reasons(inputs: ReportInputs, report: Json) -> dict[str, str]:
    return {key: _reason(inputs, key) for key in dict.fromkeys(nulls(report))}


def _reason(inputs: ReportInputs, key: str) -> str:
    given = inputs.reasons
    parts = key.split(".")
    for length in range(len(parts), 0, -1):
        if ".".join(parts[:length]) in given:
            return given[".".join(parts[:length])]
    if parts[0] in TABLES and len(parts) > 1:
        column = next((c for c in TABLES[parts[0]] if c.name == parts[1]), None)
        return (column.missing if column else "") or "nothing to say in this row"
    part, otherwise = WHY.get(key) or WHY.get(parts[0], ("", "not known in this build"))
    reasons = inputs.assessment.reasons
    if part in ("estimate", "price") and parts[0] != "counts" and not inputs.target.priced:
        return f"{inputs.target.name} prices nothing: {inputs.target.costs.unpriced}"
    return reasons.get(part) or otherwise
