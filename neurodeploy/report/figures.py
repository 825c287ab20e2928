"""One entry per figure of a report; ``report.json``, its check, the console, the page and the docs are made from these.

To add a figure, add one entry (see :class:`~neurodeploy.report.figure.Figure`): key, label, help, group, and a function
of :class:`~neurodeploy.report.inputs.ReportInputs`. A getter returns None where there is nothing to say, and ``needs``
says why. Counts, energy and latency are means per inference; accuracies and shares are fractions.

The words: a *spike* is a non-zero output of a neuron, a *message* a non-zero value of any node that a population
elsewhere reads, a *packet* a message to one destination core. A *synaptic operation* is a message at a stored weight,
a *product operation* a pair of operands of a product of two streams; both are *event operations*; with neuron updates
and microcode they are *all operations*.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from ..cost import AnnBaseline, Counts, Estimate, PaperEnergy, Timing, audit
from ..cost.types import LEVELS, Range
from ..cost.types import PARTS as ENERGY_PARTS
from ..errors import Problem
from ..ir.trace import Events
from ..mapping import types as mapped
from . import units, words
from .columns import TABLES
from .figure import (
    FLAG,
    LIST,
    PARTS,
    RANGE,
    RECORD,
    ROWS,
    SERIES,
    TEXT,
    TEXTS,
    UJ_PER_PJ,
    Card,
    Depends,
    Figure,
    Get,
    Need,
)
from .inputs import ReportInputs
from .network import network
from .words import Json

T = TypeVar("T")

MS_PER_NS = 1e-6
#: limits of a target that say how wide its numbers are
WIDTHS = ("message_bits", "state_bits", "register_bits")

#: group of figures -> (title on the page, block of the console)
GROUPS = {
    "network": ("Network", "verdict"),
    "target": ("Target", "verdict"),
    "mapping": ("Mapping", "verdict"),
    "evidence": ("Evidence", "verdict"),
    "operations": ("Operations per inference", "costs"),
    "energy": ("Energy per inference", "costs"),
    "time": ("Time", "costs"),
    "notes": ("Notes", "notes"),
}

MODEL = Need("model", "the model does not say")
LIMIT = Need("target", "the target sets no limit")
LABELS = Need("accuracy", "no labelled samples were run")
AGREEMENT = Need("agreement", "only a text model is compared with its float model")
COMPARED = Need("bit_true", "no comparison of backends was made")
RUN = Need("paper", "no recorded run of the network")
CORES = Need("estimate", "the network did not run on mapped cores")
ESTIMATE = Need("estimate", "no estimate was made", priced=True)
PRICE = Need("price", "the target gives no coefficient", priced=True)
PAPER = Need("paper", "no recorded run of the network", priced=True)
THREE = Need("paper", "a convention of converted networks with compensated products only", priced=True)
MAPPED = Need("mapping", "the network was not mapped")
SENT = Need("estimate", "no packet was sent between cores")
WORK = Need("purity", "the network did not run")
GRADED = Need("silicon", "no graded mapping with counted events")
LAVA = Need("lava", "the network was not laid out for Lava, or has no synapses")


# --- where the values are -----------------------------------------------------------------------------------------


def _of(part: Callable[[ReportInputs], T | None], get: Callable[[T], Any]) -> Get:
    """A value of a part of the inputs that may be missing."""
    return lambda inputs: None if (found := part(inputs)) is None else get(found)


def _attribute(part: str, name: str) -> Get:
    return lambda inputs: getattr(getattr(inputs, part), name, None)


def _chip(name: str) -> Get:
    return lambda inputs: getattr(inputs.target.chip, name)


def _counts(get: Callable[[Counts], Any]) -> Get:
    return _of(lambda inputs: inputs.assessment.counts, get)


def _events(get: Callable[[Events], Any]) -> Get:
    return _of(lambda inputs: inputs.assessment.events, get)


def _estimate(inputs: ReportInputs) -> Estimate | None:
    """None where nothing has a price: that would show a network that runs for nothing."""
    return inputs.assessment.estimate if inputs.target.priced else None


def _timing(inputs: ReportInputs) -> Timing | None:
    estimate = inputs.assessment.estimate
    return estimate.timing if estimate and inputs.target.costs.time_ns.barrier.priced else None


def _baseline(inputs: ReportInputs) -> AnnBaseline | None:
    return inputs.assessment.baseline if inputs.target.costs.ann_baseline.int8_mac_pj.priced else None


def _paper(inputs: ReportInputs) -> PaperEnergy | None:
    return inputs.assessment.paper if inputs.target.costs.paper_metric.ac_pj.priced else None


def _mapping(get: Callable[[mapped.Mapping], Any]) -> Get:
    return _of(lambda inputs: inputs.mapping, get)


def _range(part: Callable[[ReportInputs], T | None], get: Callable[[T], Range | None], factor: float) -> Get:
    """A range in the unit that ``factor`` leads to; its three levels are there even where it is missing."""

    def found(inputs: ReportInputs) -> Json:
        value = part(inputs)
        return _spread(None if value is None else get(value), factor)

    return found


def _spread(value: Range | None, factor: float) -> Json:
    return dict.fromkeys(LEVELS) if value is None else {**value.as_dict(factor)}


def _in_uj(pj: float | None) -> float | None:
    return None if pj is None else pj * UJ_PER_PJ


def _parts(inputs: ReportInputs) -> Mapping[str, Range]:
    estimate = _estimate(inputs)
    return estimate.parts_pj if estimate else {}


def _ratio(inputs: ReportInputs) -> Range | None:
    return inputs.assessment.baseline_ratio if _estimate(inputs) and _baseline(inputs) else None


def _terms(estimate: Estimate) -> list[Json]:
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
        for term in estimate.terms
    ]


def _steps(inputs: ReportInputs) -> list[Json] | None:
    timing, cores = _timing(inputs), inputs.mapping.cores if inputs.mapping else ()
    if timing is None:
        return None
    return [
        {
            "step": s + 1,
            **{f"{level}_ns": timing.step_ns[i, s] for i, level in enumerate(LEVELS)},
            "bound": timing.bound[s],
            "core": cores[timing.busiest[s]].index if timing.busiest[s] < len(cores) else None,
        }
        for s in range(timing.step_ns.shape[1])
    ]


def _hops(events: Events) -> float:
    return events.total("hops_x") + events.total("hops_y")


def _mean_hops(events: Events) -> float | None:
    packets = events.total("packets_out")
    return _hops(events) / packets if packets else None


def _limiting(mapping: mapped.Mapping) -> str | None:
    limits = Counter(core.limiting for core in mapping.cores)
    return limits.most_common(1)[0][0] if limits else None


def _groups(mapping: mapped.Mapping) -> list[Json]:
    return [
        {
            "name": group.name,
            "nodes": list(group.nodes),
            "depth": group.depth,
            "layout": group.layout,
            "limiting": group.limiting,
            "alternatives": list(group.alternatives),
        }
        for group in mapping.groups
    ]


def _lava_processes(inputs: ReportInputs) -> dict[str, int] | None:
    if not inputs.lava.get("layers"):
        return None
    names = [name for row in inputs.lava["layers"] for name in row["processes"].split(" + ")]
    own = names.count("own")
    return {"stock": len(names) - own, "own": own}


def _lava_work(inputs: ReportInputs) -> dict[str, float] | None:
    events = inputs.assessment.events
    if events is None or not inputs.lava.get("nodes"):
        return None
    places = {name: "own" if place == "own" else "stock" for name, place in inputs.lava["nodes"].items()}
    return audit.work(events, places, ("stock", "own"), "own")


def _raster(inputs: ReportInputs) -> list[Json]:
    return [
        {"name": row.name, "size": row.size, "ticks": [tick.tolist() for tick in row.ticks]}
        for row in inputs.raster
    ]


def problem(found: Problem) -> Json:
    """A Problem as data."""
    names = ("code", "cause", "where", "found", "limit", "severity")
    return {**{name: getattr(found, name) for name in names}, "fixes": list(found.fixes)}


def _affects(inputs: ReportInputs) -> list[str]:
    """Every key and column whose numbers depend on what the network ran on."""
    on: set[Depends] = {"activity"} if inputs.config.get("optimise") == "cores" else {"activity", "cut"}
    columns = [(f"{table}.{c.name}", c.depends) for table, found in TABLES.items() for c in found]
    return [key for key, depends in [*((f.key, f.depends) for f in FIGURES), *columns] if depends in on]


# --- the table ----------------------------------------------------------------------------------------------------

_VERDICTS = {None: "", True: "good", False: "bad"}


def _verdict(key: str) -> Callable[[Json], str]:
    return lambda report: _VERDICTS[words.at(report, key)]


def _card_fits(report: Json) -> str:
    return {True: "fits", False: "does not fit"}[report["mapping"]["fits"]]


def _card_equal(report: Json) -> str:
    return {True: "equal", False: "differs"}[report["bit_true"]["equal"]]


def _card_warnings(report: Json) -> str:
    return ", ".join(dict.fromkeys(found["code"] for found in report["warnings"])) or "none"


NETWORK: tuple[Figure, ...] = (
    Figure(key="model", label="name", help="the network as the user named it", group="network", kind=TEXT,
           get=lambda i: i.model.name, line="Network", say=words.network),
    Figure(key="system", label="system", help="the published system that it belongs to", group="network", kind=TEXT,
           get=lambda i: i.model.system),
    Figure(key="method", label="method", help="conversion method, native or integer", group="network", kind=TEXT,
           get=lambda i: i.method),
    Figure(key="timesteps", label="ticks T", help="ticks of one inference", group="network",
           get=lambda i: i.timesteps),
    Figure(key="model_info.title", label="title", help="what the network is", group="network", kind=TEXT,
           get=lambda i: i.model.title),
    Figure(key="model_info.source", label="source", help="where it was taken from", group="network", kind=TEXT,
           get=lambda i: i.model.source),
    Figure(key="model_info.parameters", label="parameters", help="trained numbers of the source network",
           group="network", get=lambda i: i.model.parameters, needs=MODEL),
    Figure(key="model_info.dataset", label="data", help="data set", group="network", kind=TEXT,
           get=lambda i: i.model.dataset),
    Figure(key="model_info.dataset_sha256", label="hash of the data", help="SHA-256", group="network", kind=TEXT,
           get=lambda i: i.model.dataset_sha256),
    Figure(key="network", label="dataflow graph", help="the nodes that compute, with what they read", group="network",
           kind=ROWS, fields=("name", "op", "kind", "code", "rank", "reads"), get=network),
)  # fmt: skip

TARGET: tuple[Figure, ...] = (
    Figure(key="target.name", label="name", help="the target", group="target", kind=TEXT,
           get=lambda i: i.target.name, line="Target", say=words.target),
    *(Figure(key=f"target.{name}", label=units.words(name), help=help, group="target", kind=TEXT,
             get=_attribute("target", name))
      for name, help in (("kind", "simulated, hardware or software"), ("title", "what it is"),
                         ("description", "what is known about it"), ("sha256", "hash of the target file"))),
    Figure(key="target.priced", label="has prices", help="whether energies and times can be told", group="target",
           kind=FLAG, get=lambda i: i.target.priced),
    Figure(key="target.chips", label="chips", help="chips given", group="target", get=lambda i: i.target.chips),
    *(Figure(key=f"target.{name}", label=units.words(name), help=help, group="target", needs=LIMIT,
             get=_chip(name))
      for name, help in (("cores_per_chip", "cores of one chip"), ("routers_x", "columns of its mesh"),
                         ("routers_y", "rows of its mesh"), ("cores_per_router", "cores at one router"))),
    Figure(key="target.source", label="source of the mesh", help="who says so", group="target", kind=TEXT,
           get=lambda i: i.target.chip.source, needs=LIMIT),
    Figure(key="target.widths", label="widths", help="bits of messages, state and registers", group="target",
           kind=PARTS, unit="bit", needs=LIMIT,
           get=lambda i: {key: getattr(i.target.limits, key).value for key in WIDTHS}),
    Figure(key="input", label="input", help="what the network ran on", group="target", kind=RECORD,
           get=lambda i: {"kind": "", "label": "", "text": "",
                          **{key: value for key, value in i.stimulus.items() if value is not None}},
           line="Input", say=words.stimulus, tone=lambda report: "warn"),
    Figure(key="input.affects", label="depends on the input", help="keys and columns whose numbers depend on it",
           group="target", kind=TEXTS, get=_affects),
)  # fmt: skip

MAPPING: tuple[Figure, ...] = (
    Figure(key="mapping.fits", label="fits", help="whether the network fits the target", group="mapping", kind=FLAG,
           get=_mapping(lambda m: m.fits), needs=MAPPED, depends="cut", line="Fits", say=words.fits,
           tone=_verdict("mapping.fits"), card=Card("Mapping", _card_fits)),
    Figure(key="mapping.cores_used", label="cores in use", help="cores that hold a part of the network",
           group="mapping", get=_mapping(lambda m: len(m.cores)), needs=MAPPED, depends="cut"),
    Figure(key="mapping.cores_total", label="cores", help="cores given", group="mapping",
           get=_mapping(lambda m: m.cores_total), needs=MAPPED),
    Figure(key="mapping.chips", label="chips in use", help="chips of the cores in use", group="mapping",
           get=_mapping(lambda m: len({core.chip for core in m.cores})), needs=MAPPED),
    Figure(key="mapping.limiting_resource", label="limiting resource", help="the fullest resource of most cores",
           group="mapping", kind=TEXT, get=_mapping(_limiting), needs=MAPPED),
    Figure(key="depth", label="depth", help="steps from the input to the read-out", group="mapping", unit="steps",
           get=_mapping(lambda m: m.depth), needs=MAPPED),
    Figure(key="mapping.problems", label="problems", help="what does not fit, and warnings", group="mapping", kind=ROWS,
           fields=("code", "cause", "where", "found", "limit", "fixes", "severity"),
           get=lambda i: [problem(p) for p in i.mapping.problems] if i.mapping else []),
    Figure(key="mapping.groups", label="population groups", help="what lives on the same indices, and its layouts",
           group="mapping", kind=ROWS, fields=("name", "nodes", "depth", "layout", "limiting", "alternatives"),
           get=lambda i: _groups(i.mapping) if i.mapping else [], depends="cut"),
)  # fmt: skip

EVIDENCE: tuple[Figure, ...] = (
    Figure(key="purity.work", label="work by code", help="event operations by the code of what drives them",
           formula="share of synaptic and product operations", group="evidence", kind=PARTS, unit="%",
           get=lambda i: i.assessment.purity and dict(i.assessment.purity.work), needs=WORK, depends="activity",
           line="Work by code", say=words.work, card=Card("Work by code", words.main_code)),
    Figure(key="purity.edges", label="edges by code", help="inputs of layers and products by the code they carry",
           formula="share of edges", group="evidence", kind=PARTS, unit="%", needs=WORK,
           get=lambda i: i.assessment.purity and dict(i.assessment.purity.edges)),
    Figure(key="purity.operators", label="dense operators", help="non-spiking operators that are left",
           group="evidence", kind=PARTS,
           get=lambda i: dict(i.assessment.purity.operators) if i.assessment.purity else {}),
    *(Figure(key=f"accuracy.{level}", label=f"accuracy, {level}", help=f"of the {level} network",
             formula="correct samples / samples", group="evidence", unit="%", get=_attribute("accuracy", name),
             needs=LABELS)
      for level, name in (("float", "source"), ("spiking", "spiking"))),
    Figure(key="accuracy.integer", label="accuracy, integer", help="of the integer network",
           formula="correct samples / samples", group="evidence", unit="%", get=_attribute("accuracy", "integer"),
           needs=LABELS, line="Accuracy", say=words.accuracy,
           card=Card("Accuracy, integer", lambda r: units.percent(r["accuracy"]["integer"]), words.levels)),
    Figure(key="accuracy.samples", label="samples of the accuracy", help="test samples that were run",
           group="evidence", get=_attribute("accuracy", "samples"), needs=LABELS),
    Figure(key="accuracy.by_timestep", label="accuracy after each tick", help="of the integer network, tick 1 .. T",
           group="evidence", kind=SERIES, unit="%", needs=LABELS,
           get=lambda i: list(i.accuracy.by_timestep) or None if i.accuracy else None),
    Figure(key="agreement", label="agreement", help="of a text model with its float model", group="evidence",
           kind=RECORD, get=lambda i: dict(i.agreement) or None, needs=AGREEMENT),
    Figure(key="bit_true.equal", label="bit-true", help="whether all backends gave the same integers", group="evidence",
           kind=FLAG, get=_attribute("bit_true", "equal"), needs=COMPARED, line="Bit-true", say=words.bit_true,
           tone=_verdict("bit_true.equal"), card=Card("Bit-true", _card_equal)),
    Figure(key="bit_true.samples", label="samples of the comparison", help="samples that all backends ran",
           group="evidence", get=_attribute("bit_true", "samples"), needs=COMPARED),
    Figure(key="bit_true.backends", label="backends", help="ways to run the network that were compared",
           group="evidence", kind=LIST, needs=COMPARED,
           get=lambda i: list(i.bit_true.backends) if i.bit_true else None),
    Figure(key="bit_true.divergence", label="divergence", help="where they first differ", group="evidence", kind=TEXT,
           get=lambda i: i.bit_true.divergence if i.bit_true else ""),
    Figure(key="silicon", label="operations by grade", help="evidence that a chip can do them",
           formula="share of all operations", group="evidence", kind=PARTS, unit="%", depends="activity",
           get=lambda i: i.assessment.silicon and dict(i.assessment.silicon), needs=GRADED, line="Silicon",
           say=words.silicon),
    Figure(key="lava.processes", label="Lava processes", help="stock ones, and own ones where Lava has none",
           group="evidence", kind=PARTS, get=_lava_processes, needs=LAVA),
    Figure(key="lava.work", label="operations in Lava", help="by stock processes, and by own ones",
           formula="share of all operations", group="evidence", kind=PARTS, unit="%", get=_lava_work, needs=LAVA,
           depends="activity"),
    Figure(key="lava.layers", label="layers in Lava", help="the processes of each, and what they expect to do",
           group="evidence", kind=ROWS, fields=("layer", "processes", "events", "stock_events", "own"),
           get=lambda i: list(i.lava.get("layers", [])), depends="activity", line="Lava", say=words.lava),
)  # fmt: skip

OPERATIONS: tuple[Figure, ...] = (
    Figure(key="counts.samples", label="samples", help="samples that the means are taken over", group="operations",
           get=lambda i: _counts(lambda c: c.samples)(i) or _events(lambda e: e.samples)(i), needs=RUN),
    Figure(key="counts.synaptic_ops", label="synaptic operations", help="messages meeting stored non-zero weights",
           group="operations", get=_counts(lambda c: c.total("synaptic_ops")), needs=RUN, depends="activity",
           line="synaptic operations"),
    Figure(key="counts.product_ops", label="product operations", group="operations",
           help="pairs of non-zero operands of products of two streams", get=_counts(lambda c: c.total("product_ops")),
           needs=RUN, depends="activity", line="synaptic operations"),
    Figure(key="counts.event_ops", label="event operations", help="what messages set off", group="operations",
           formula="synaptic + product operations", needs=RUN, depends="activity",
           get=_counts(lambda c: c.total("synaptic_ops") + c.total("product_ops"))),
    Figure(key="counts.neuron_updates", label="neuron updates", help="elements of populations evaluated",
           formula="elements x T", group="operations", get=_counts(lambda c: c.total("neuron_updates")), needs=RUN,
           line="neuron updates"),
    Figure(key="counts.spikes", label="spikes", help="non-zero outputs of neurons", group="operations",
           get=_counts(lambda c: c.total("spikes")), needs=RUN, depends="activity", line="neuron updates"),
    Figure(key="counts.messages", label="messages", group="operations",
           help="non-zero values of any node, the input included, that a population elsewhere reads",
           get=_counts(lambda c: c.total("messages")), needs=RUN, depends="activity", line="messages"),
    Figure(key="counts.packets", label="packets", help="messages times destination cores", group="operations",
           get=_events(lambda e: e.total("packets_out")), needs=CORES, depends="activity", line="messages"),
    Figure(key="counts.hops", label="hops", help="ways of packets from router to router", group="operations",
           get=_events(_hops), needs=CORES, depends="activity", line="messages"),
    Figure(key="mapping.hops_mean", label="hops of a packet", help="its mean way", formula="hops / packets",
           group="operations", get=_events(_mean_hops), needs=SENT, depends="activity"),
    Figure(key="counts.microcode_ops", label="microcode operations", group="operations",
           help="adds, multiplies, shifts, compares and table reads", get=_events(lambda e: e.total("microcode_ops")),
           needs=CORES, depends="activity", line="microcode operations"),
    Figure(key="counts.all_ops", label="all operations", help="what the grades of evidence are shares of",
           formula="synaptic + product + microcode operations + neuron updates", group="operations", needs=CORES,
           depends="activity", get=_events(lambda e: sum(e.total(kind) for kind in audit.WORK_KINDS))),
    Figure(key="counts.state_accesses", label="state accesses", help="64-bit words of state read or written",
           group="operations", get=_events(lambda e: e.total("state_accesses")), needs=CORES, depends="activity"),
    Figure(key="counts.dense_macs", label="dense MACs", help="multiply-accumulates of one pass of the source network",
           group="operations", get=lambda i: i.assessment.dense_macs, needs=RUN, line="microcode operations"),
    *(Figure(key=f"ticks.{kind}", label=f"{name} in each tick", help="mean per inference", group="operations",
             kind=SERIES, needs=RUN, depends="activity", get=_counts(get))
      for kind, name, get in (
          ("spikes", "spikes", lambda c: c.by_tick["spikes"].tolist()),
          ("messages", "messages", lambda c: c.by_tick["messages"].tolist()),
          ("event_ops", "event operations", lambda c: (c.by_tick["synaptic_ops"] + c.by_tick["product_ops"]).tolist()),
      )),
    Figure(key="raster.sample", label="sample of the raster", help="which one", group="operations", kind=TEXT,
           get=lambda i: i.raster_sample),
    Figure(key="raster.populations", label="raster", help="indices of the neurons that spike, tick by tick",
           group="operations", kind=ROWS, fields=("name", "size", "ticks"), get=_raster, depends="activity"),
)  # fmt: skip

ENERGY: tuple[Figure, ...] = (
    Figure(key="energy_uj", label="energy", help="one inference at a time, static power included", group="energy",
           kind=RANGE, unit="uJ", get=_range(_estimate, lambda e: e.energy_pj, UJ_PER_PJ), needs=ESTIMATE,
           depends="activity", line="energy", card=Card("Energy per inference")),
    Figure(key="energy_breakdown_uj", label="energy by part", help="nominal", group="energy", kind=PARTS, unit="uJ",
           get=lambda i: {p: _in_uj(_parts(i)[p].nominal) if p in _parts(i) else None for p in ENERGY_PARTS},
           needs=ESTIMATE, depends="activity", line="energy", say=words.breakdown),
    Figure(key="energy_breakdown_range_uj", label="energy by part, ranges", help="low, nominal, high", group="energy",
           kind=RECORD, needs=ESTIMATE, depends="activity",
           get=lambda i: {p: _spread(_parts(i).get(p), UJ_PER_PJ) for p in ENERGY_PARTS}),
    Figure(key="energy_terms", label="terms", help="every term of the sum", group="energy", kind=ROWS,
           fields=("key", "part", "count", "coefficient", "energy_uj", "assumed", "priced"),
           get=_of(_estimate, _terms), needs=ESTIMATE, depends="activity"),
    Figure(key="energy_shared_uj", label="energy of no layer", group="energy", kind=RANGE, unit="uJ",
           help="barriers, static power and packets that leave the mesh",
           get=_range(_estimate, lambda e: e.shared_pj, UJ_PER_PJ), needs=ESTIMATE, depends="activity"),
    Figure(key="energy_events_uj", label="energy of events", help="without barriers and static power", group="energy",
           kind=RANGE, unit="uJ", get=_range(_estimate, lambda e: e.events_pj, UJ_PER_PJ), needs=ESTIMATE,
           depends="activity", line="events alone"),
    Figure(key="energy_pipelined_uj", label="energy in steady pipeline", help="a new inference every T steps",
           group="energy", kind=RANGE, unit="uJ", get=_range(_estimate, lambda e: e.pipelined_pj, UJ_PER_PJ),
           needs=ESTIMATE, depends="activity"),
    Figure(key="ann_baseline_uj", label="ANN baseline", help="int8 MAC, same technology, dynamic", group="energy",
           unit="uJ", get=_of(_baseline, lambda b: _in_uj(b.energy_pj.nominal)), needs=PRICE, line="ANN baseline",
           say=words.baseline, card=Card("ANN baseline", below=words.baseline_below)),
    Figure(key="ann_baseline_ratio", label="events over the ANN baseline", group="energy", kind=RANGE, unit="x",
           help="how many times the baseline the events of this network take", needs=ESTIMATE, depends="activity",
           formula="energy of events / ANN baseline; low / high and high / low at the ends",
           get=_range(_ratio, lambda ratio: ratio, 1.0), line="ANN baseline", say=words.baseline_ratio),
    Figure(key="ann_baseline_range_uj", label="range of the ANN baseline", help="low, nominal, high", group="energy",
           kind=RANGE, unit="uJ", get=_range(_baseline, lambda b: b.energy_pj, UJ_PER_PJ), needs=PRICE),
    Figure(key="ann_baseline_macs", label="MACs of the baseline", help="of one pass", group="energy",
           get=_of(_baseline, lambda b: b.macs), needs=PRICE),
    Figure(key="ann_baseline_bytes", label="bytes of the baseline", help="weights, inputs and outputs, each once",
           group="energy", get=_of(_baseline, lambda b: b.bytes), needs=PRICE),
    Figure(key="energy_paper_uj", label="paper metric", help="MACs and ACs as published tables count them",
           group="energy", unit="uJ", get=_of(_paper, lambda p: _in_uj(p.energy_pj)), needs=PAPER, depends="activity",
           line="paper metric", card=Card("Paper metric", below=words.paper_below)),
    Figure(key="energy_paper_ratio", label="ratio of the paper metric", help="to the same layers as MACs",
           group="energy", unit="%", get=_of(_paper, lambda p: p.ratio), needs=PAPER, depends="activity",
           line="paper metric", say=words.paper_ratio),
    Figure(key="energy_paper_three_products_uj", label="paper metric, three products", group="energy", unit="uJ",
           help="as released code of ECMT executes products", needs=THREE, depends="activity",
           get=_of(_paper, lambda p: _in_uj(p.three_products_pj))),
    Figure(key="energy_paper_three_products_ratio", label="its ratio", help="to the same layers as MACs",
           group="energy", unit="%", get=_of(_paper, lambda p: p.three_products_ratio), needs=THREE,
           depends="activity"),
)  # fmt: skip

TIME: tuple[Figure, ...] = (
    Figure(key="latency_ms", label="latency", help="one inference through all T + depth steps", group="time",
           kind=RANGE, unit="ms", get=_range(_timing, lambda t: t.latency_ns, MS_PER_NS), needs=ESTIMATE,
           depends="activity", line="latency", card=Card("Latency")),
    Figure(key="throughput_per_s", label="throughput", help="inferences per second, a new one every T steps",
           group="time", unit="/s", get=_of(_timing, lambda t: t.throughput_per_s.nominal), needs=ESTIMATE,
           depends="activity", line="latency", say=words.throughput,
           card=Card("Throughput, pipelined", below=lambda report: "a result every T steps")),
    Figure(key="throughput_range_per_s", label="range of the throughput", help="low, nominal, high", group="time",
           kind=RANGE, unit="/s", get=_range(_timing, lambda t: t.throughput_per_s, 1.0), needs=ESTIMATE,
           depends="activity"),
    Figure(key="steps", label="steps", help="time of every hardware step of a frame", group="time", kind=ROWS,
           fields=("step", "low_ns", "nominal_ns", "high_ns", "bound", "core"), get=_steps, needs=ESTIMATE,
           depends="activity"),
)  # fmt: skip

NOTES: tuple[Figure, ...] = (
    Figure(key="uncounted", label="not counted", help="what no number covers", group="notes", kind=TEXTS,
           get=lambda i: [*(i.assessment.estimate.uncounted if i.assessment.estimate else ()), *i.uncounted],
           line="Not counted", say=lambda report: ("; ".join(report["uncounted"]),) if report["uncounted"] else ()),
    Figure(key="warnings", label="warnings", help="what is worth knowing", group="notes", kind=ROWS,
           fields=("code", "cause", "where", "found", "limit", "fixes", "severity"),
           get=lambda i: [problem(p) for p in i.warnings], line="Warnings", say=words.warnings,
           tone=lambda report: "warn" if report["warnings"] else "",
           card=Card("Warnings", lambda report: str(len(report["warnings"])), _card_warnings)),
    Figure(key="stages", label="stages", help="of the build", group="notes", kind=ROWS,
           fields=("name", "seconds", "fact"),
           get=lambda i: [{"name": s.name, "seconds": s.seconds, "fact": s.fact} for s in i.stages]),
    Figure(key="reproducibility", label="reproducibility", help="versions, seeds, hashes and the configuration",
           group="notes", kind=RECORD, get=lambda i: {**i.provenance, "config": dict(i.config)}),
)  # fmt: skip

#: every figure, in the order of ``report.json`` and of the lines on the console
FIGURES: tuple[Figure, ...] = (
    *NETWORK, *TARGET, *MAPPING, *EVIDENCE, *OPERATIONS, *ENERGY, *TIME, *NOTES,
)  # fmt: skip


def figure_of(key: str) -> Figure | None:
    """The figure that a dotted key belongs to."""
    known = {figure.key: figure for figure in FIGURES}
    return next((known[name] for name in words.above(key) if name in known), None)
