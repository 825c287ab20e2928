"""One entry per figure of a report; ``report.json``, its check, the console, the page and the docs are made from these.

To add a figure, add one entry (see :class:`~neurodeploy.report.figure.Figure`): key, label, help, group, and a function
of :class:`~neurodeploy.report.inputs.ReportInputs`. A getter returns None where there is nothing to say, and ``needs``
says why. Counts, energy and latency are means per inference; accuracies and shares are fractions.

The words: a *spike* is a non-zero output of a neuron, a *message* a non-zero value of any node that a population
elsewhere reads, a *packet* a message to one destination core, or to all where packets are multicast. A *synaptic
operation* is a message at a stored weight, a *product operation* a pair of operands of a product of two streams; both
are *event operations*; with neuron updates and microcode they are *all operations*.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from operator import attrgetter
from typing import Any, TypeVar

from ..cost import AnnBaseline, Counts, Estimate, PaperEnergy, Timing, audit
from ..cost.counts import looked_up
from ..cost.types import MS_PER_NS, UJ_PER_PJ, Floor
from ..cost.types import PARTS as ENERGY_PARTS
from ..ir import levels
from ..ir.trace import Events
from ..mapping import types as mapped
from ..mapping.objectives._base import OBJECTIVES
from ..price import LEVELS, TERMS, Range, barrier_ns
from ..target import Target
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
    Card,
    Figure,
    Get,
    Group,
    Need,
)
from .inputs import ReportInputs
from .network import network
from .words import Json

T = TypeVar("T")

#: limits of a target that say how wide its numbers are
WIDTHS = ("message_bits", "state_bits", "register_bits")

PROBLEM = ("code", "cause", "where", "found", "limit", "fixes", "severity")

CHECKED = Need("import_check", "the model was not compared with what was imported of it")
MODEL = Need("model", "the model does not say")
LIMIT = Need("target", "the target sets no limit")
LABELS = Need("accuracy", "no labelled samples were run")
SEQUENCES = Need("accuracy", "the samples are no sequences of tokens")
AGREEMENT = Need("agreement", "only a text model is compared with its float model")
BESIDE = Need("beside", "no float network was compared layer by layer")
IMAGES = Need("images", "the network does not answer with images")
TRUTH = Need("images", "the data hold no truth beside the images")
COMPARED = Need("bit_true", "no comparison of backends was made")
RUN = Need("paper", "no recorded run of the network")
CORES = Need("estimate", "the network did not run on mapped cores")
ESTIMATE = Need("estimate", "no estimate was made", priced=True)
PRICE = Need("price", "the target gives no coefficient", priced=True)
PAPER = Need("paper", "no recorded run of the network", priced=True)
THREE = Need("paper", "a convention of converted networks with compensated products only", priced=True)
MAPPED = Need("mapping", "the network was not mapped")
SEARCHED = Need("search", "the network was not mapped, or not by prices", priced=True)
IN_SPACE = Need("mapping", "no tokens take turns")
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


def _image(part: str, level: str) -> Get:
    return _of(lambda inputs: inputs.images, lambda images: getattr(images, part).get(level))


def _counts(get: Callable[[Counts], Any]) -> Get:
    return _of(lambda inputs: inputs.assessment.counts, get)


def _ticks(*kinds: str) -> Get:
    return _counts(lambda counts: sum(counts.by_tick[kind] for kind in kinds))


def _cut(inputs: ReportInputs, stage: str, samples: int | None) -> str:
    """What the time budget left of the samples of a stage, where it left any out."""
    wanted = inputs.config.get("wanted", {}).get(stage, 0)
    return units.within(samples, wanted, inputs.config["time_budget"]) if samples and wanted else ""


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


def _travelled(mapping: mapped.Mapping, key: str) -> dict[str, float] | None:
    return mapping.notes.get(key)


def _range(part: Callable[[ReportInputs], T | None], get: Callable[[T], Range | None], factor: float) -> Get:
    """A range in the unit that ``factor`` leads to; its three levels are there even where it is missing."""

    def found(inputs: ReportInputs) -> Json:
        value = part(inputs)
        return _spread(None if value is None else get(value), factor)

    return found


def _table(part: Callable[[ReportInputs], Iterable[object]], *fields: str) -> dict[str, Any]:
    """What makes a figure a table: the fields of dataclasses as its rows."""

    def rows(inputs: ReportInputs) -> list[Json]:
        return [{name: getattr(item, name) for name in fields} for item in part(inputs)]

    return {"get": rows, "kind": ROWS, "fields": fields}


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
        {"key": term.key, "part": term.part, "count": term.count, "coefficient": term.coefficient.as_dict(),
         "energy_uj": term.energy_pj.as_dict(UJ_PER_PJ), "assumed": term.assumed, "priced": term.priced}
        for term in estimate.terms
    ]  # fmt: skip


def _steps(inputs: ReportInputs) -> list[Json] | None:
    estimate = _estimate(inputs)
    if estimate is None:
        return None
    rows = []
    for s, floor in enumerate(estimate.steps):
        times = {f"{level}_ns": estimate.timing.step_ns[i, s] for i, level in enumerate(LEVELS)}
        times["contended_ns"] = estimate.contended.step_ns[s]
        rows.append({"step": s + 1, **times, **_floor(inputs, floor)})
    return rows


def _floors(inputs: ReportInputs) -> list[Json] | None:
    estimate = _estimate(inputs)
    return [{"nominal_ns": f.lasts_ns, **_floor(inputs, f)} for f in estimate.layers] if estimate else None


def _lines(target: Target, estimate: Estimate) -> dict[str, float]:
    used = target.model_copy(update={"chips": estimate.chips})
    return {"barrier": barrier_ns(used, "nominal"), "memory_read": target.costs.time_ns.memory_read.nominal}


def _floor(inputs: ReportInputs, floor: Floor) -> Json:
    cores = inputs.mapping.cores if inputs.mapping else ()
    core = cores[floor.core].index if floor.core < len(cores) else None
    return {"bound": floor.bound, "core": core, "layer": floor.layer, "memory_reads": floor.memory_reads,
            "terms_ns": dict(zip(TERMS, floor.terms_ns, strict=True)), "change": floor.change}  # fmt: skip


def _hops(events: Events) -> float:
    return events.total("hops_x") + events.total("hops_y")


def _mean_hops(events: Events) -> float | None:
    packets = events.total("packets_out")
    return _hops(events) / packets if packets else None


def _lookups(inputs: ReportInputs) -> list[Json]:
    """What the host looks up, by layer."""
    if inputs.integer is None:
        return []
    counts, found = inputs.assessment.counts, looked_up(inputs.integer)
    sent = {name: counts.nodes[name].messages if counts else None for name in found}
    return [{"layer": name, "reads": reads, "messages": sent[name]} for name, reads in found.items()]


def _searched(part: str) -> Get:
    """What the search for a mapping says of its plans or its layers."""

    def found(inputs: ReportInputs) -> list[Json] | None:
        said = inputs.mapping.notes.get("search") if inputs.mapping else None
        return list(said[part]) if said else None

    return found


def _limiting(mapping: mapped.Mapping) -> str | None:
    limits = Counter(core.limiting for core in mapping.cores)
    return limits.most_common(1)[0][0] if limits else None


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


def _input(inputs: ReportInputs) -> Json:
    known = {key: value for key, value in inputs.stimulus.items() if value is not None}
    return {"kind": "", "label": "", "text": "", **known}


def _ticks_by_level(inputs: ReportInputs) -> list[Json] | None:
    found = inputs.accuracy.by_level if inputs.accuracy else {}
    return [
        {"level": level, "by_timestep": found[level]} for level in levels.LEVELS if level in found
    ] or None


def _confusion(inputs: ReportInputs) -> list[Json] | None:
    pairs = inputs.accuracy.answers.pairs if inputs.accuracy else None
    return None if pairs is None else [{"label": a, "said": b, "counts": n} for a, b, n in pairs]


def _wrong(inputs: ReportInputs) -> list[Json] | None:
    """A sample without a picture has an empty one."""
    found = inputs.accuracy.answers.wrong if inputs.accuracy else None
    return None if found is None else [{**vars(row), "picture": row.picture or {}} for row in found]


def _seen(inputs: ReportInputs) -> list[Json]:
    """One sample, or none; a sample without a picture has an empty one."""
    found = inputs.raster_seen
    return [] if found is None else [{**vars(found), "picture": found.picture or {}}]


def _beside(inputs: ReportInputs) -> list[Json] | None:
    return [vars(layer) for layer in inputs.beside.layers] or None


def _affects(inputs: ReportInputs) -> list[str]:
    """Every key and column whose numbers depend on what the network ran on."""
    objective = OBJECTIVES.get(str(inputs.config.get("optimise")))
    on = {"activity"} if objective and not objective.weighs_activity else {"activity", "cut"}
    columns = [(f"{table}.{c.name}", c.depends) for table, found in TABLES.items() for c in found]
    return [key for key, depends in [*((f.key, f.depends) for f in figures()), *columns] if depends in on]


def _follows(inputs: ReportInputs) -> list[str]:
    """Every key of a group of numbers, if the import was not compared."""
    groups = [GROUPS[name] for name in COMPUTED] if inputs.unchecked else []
    return [figure.key for group in groups for figure in group.figures]


#: a range of energies, unless it says otherwise
_ranged = partial(Figure, kind=RANGE, unit="uJ", needs=ESTIMATE, depends="activity")


# --- the table ----------------------------------------------------------------------------------------------------


def _by(key: str, yes: str, no: str) -> Callable[[Json], str]:
    """A word for true or false, empty for what is missing."""
    return lambda report: {None: "", True: yes, False: no}[words.at(report, key)]


def _card_warnings(report: Json) -> str:
    return ", ".join(dict.fromkeys(found["code"] for found in report["warnings"])) or "none"


#: what a row says of the bounds of a layer or a step
FLOOR = ("bound", "core", "layer", "memory_reads", "terms_ns", "change")

NETWORK = (
    Figure("model", "name", "the network as the user named it", get=lambda i: i.model.name, kind=TEXT, line="Network",
           say=words.network),
    Figure("system", "system", "the published system that it belongs to", get=lambda i: i.model.system, kind=TEXT),
    Figure("method", "method", "conversion method, native or integer", get=lambda i: i.method, kind=TEXT),
    Figure("timesteps", "ticks T", "ticks of one inference", get=lambda i: i.timesteps),
    Figure("model_info.title", "title", "what the network is", get=lambda i: i.model.title, kind=TEXT),
    Figure("model_info.source", "source", "where it was taken from", get=lambda i: i.model.source, kind=TEXT),
    Figure("model_info.parameters", "parameters", "trained numbers of the source network",
           get=lambda i: i.model.parameters, needs=MODEL),
    Figure("model_info.dataset", "data", "data set", get=lambda i: i.model.dataset, kind=TEXT),
    Figure("model_info.reading", "reading of the data", "what became of recordings of events: frames, crop, levels",
           get=lambda i: i.model.reading, kind=TEXT),
    Figure("model_info.encoder", "encoder", "neurons that send a still input as spikes; none: its levels at every tick",
           get=lambda i: i.model.encoder, kind=TEXT),
    Figure("model_info.dataset_sha256", "hash of the data", "SHA-256", get=lambda i: i.model.dataset_sha256,
           kind=TEXT),
    Figure("network", "dataflow graph", "the nodes that compute, with what they read", get=network, kind=ROWS,
           fields=("name", "op", "kind", "code", "rank", "reads")),
)  # fmt: skip

TARGET = (
    Figure("target.name", "name", "the target", get=lambda i: i.target.name, kind=TEXT, line="Target",
           say=words.target),
    *(Figure(f"target.{name}", units.words(name), help, get=attrgetter(f"target.{name}"), kind=TEXT)
      for name, help in (("kind", "simulated, hardware or software"), ("title", "what it is"),
                         ("description", "what is known about it"), ("sha256", "hash of the target file"))),
    Figure("target.priced", "has prices", "whether energies and times can be told", get=lambda i: i.target.priced,
           kind=FLAG),
    Figure("target.chips", "chips", "chips given", get=lambda i: i.target.chips),
    *(Figure(f"target.{name}", units.words(name), help, get=attrgetter(f"target.chip.{name}"), needs=LIMIT)
      for name, help in (("cores_per_chip", "cores of one chip"), ("routers_x", "columns of its mesh"),
                         ("routers_y", "rows of its mesh"), ("cores_per_router", "cores at one router"))),
    *(Figure(f"target.{name}", units.words(name), help, get=attrgetter(f"target.board.{name}"))
      for name, help in (("chips_x", "chips in a row of the board; 0: no arrangement of chips is known"),
                         ("chips_y", "rows in a layer of the board; 0: one layer"))),
    Figure("target.source", "source of the mesh", "who says so", get=lambda i: i.target.chip.source, kind=TEXT,
           needs=LIMIT),
    Figure("target.widths", "widths", "bits of messages, state and registers",
           get=lambda i: {key: getattr(i.target.limits, key).value for key in WIDTHS}, kind=PARTS, unit="bit",
           needs=LIMIT),
    Figure("import_check", "import check", "what of the imported network was compared with the model itself",
           get=lambda i: dict(i.import_check) or None, kind=RECORD, needs=CHECKED, line="Import",
           say=words.import_check, tone=lambda report: "" if report["import_check"] else "warn",
           formula="samples from rest over all ticks; differences and tolerance relative to the largest magnitude"),
    Figure("unchecked.label", "import not checked", "what every number is called if the import was not compared",
           get=lambda i: i.unchecked, kind=TEXT, needs=CHECKED),
    Figure("unchecked.affects", "depends on the import", "keys whose numbers follow from what was not compared",
           get=_follows, kind=TEXTS, needs=CHECKED),
    Figure("input", "input", "what the network ran on", get=_input, kind=RECORD, line="Input", say=words.stimulus,
           tone=lambda report: "warn"),
    Figure("input.affects", "depends on the input", "keys and columns whose numbers depend on it", get=_affects,
           kind=TEXTS),
)  # fmt: skip

MAPPING = (
    Figure("mapping.fits", "fits", "whether the network fits the target", get=_mapping(lambda m: m.fits), kind=FLAG,
           needs=MAPPED, depends="cut", line="Fits", say=words.fits, tone=_by("mapping.fits", "good", "bad"),
           card=Card("Mapping", _by("mapping.fits", "fits", "does not fit"))),
    Figure("mapping.cores_used", "cores in use", "cores that hold a part of the network",
           get=_mapping(lambda m: len(m.cores)), needs=MAPPED, depends="cut"),
    Figure("mapping.cores_total", "cores", "cores given", get=_mapping(lambda m: m.cores_total), needs=MAPPED),
    Figure("mapping.chips", "chips in use", "chips of the cores in use",
           get=_mapping(lambda m: len({core.chip for core in m.cores})), needs=MAPPED),
    Figure("mapping.limiting_resource", "limiting resource", "the fullest resource of most cores",
           get=_mapping(_limiting), kind=TEXT, needs=MAPPED),
    Figure("mapping.placement", "placement", "how cores got their places", kind=TEXT, needs=MAPPED,
           get=_mapping(lambda m: m.notes.get("placement"))),
    *(Figure(f"mapping.expected_{key}", f"{name}, expected", f"{what}, by the activity that calibration saw: with"
             " cores in data order on a snake through each chip, and as they are placed", kind=PARTS, needs=MAPPED,
             get=_mapping(partial(_travelled, key=key)), depends="activity")
      for key, name, what in (
          ("hops", "hops in a tick", "ways of messages from router to router"),
          ("peak", "fullest link in a tick", "messages on the fullest link inside a chip"),
          ("crossings", "crossings in a tick", "ways of messages from chip to chip"),
          ("crossing_peak", "fullest link between chips in a tick", "messages on it"))),
    Figure("mapping.streams", "copies of a layer", "copies on which tokens take turns, for each segment between"
           " mixtures of tokens", kind=LIST, get=_mapping(lambda m: m.notes.get("streams")),
           needs=IN_SPACE),
    Figure("mapping.stores", "places for what is kept", "of tokens that take turns; samples of a pipeline use them in"
           " turn", get=_mapping(lambda m: m.notes.get("stores")), needs=IN_SPACE),
    Figure("mapping.lookups", "looked up by the host", "tables of token ids that the host looks up: numbers that it"
           " reads and messages that it sends in an inference; its own energy and time are not counted", kind=ROWS,
           fields=("layer", "reads", "messages"), get=_lookups, depends="activity", line="Host", say=words.lookups),
    Figure("depth", "depth", "steps from the input to the read-out", get=_mapping(lambda m: m.depth), unit="steps",
           needs=MAPPED),
    Figure("mapping.problems", "problems", "what does not fit, and warnings",
           **_table(lambda i: i.mapping.problems if i.mapping else (), *PROBLEM)),
    Figure("mapping.groups", "population groups", "what lives on the same indices, and its layouts", depends="cut",
           **_table(lambda i: i.mapping.groups if i.mapping else (),
                    "name", "nodes", "depth", "turns", "copies", "layout", "limiting", "alternatives")),
    Figure("mapping.objective", "objective", "what the mapper made small",
           get=_mapping(lambda m: str(m.notes.get("optimise", ""))), kind=TEXT, needs=MAPPED),
    Figure("mapping.plans", "plans weighed", "what the mapper took and what it weighed, as it expects them to cost",
           get=_searched("plans"), kind=ROWS, needs=SEARCHED, depends="activity", line="Search", say=words.search,
           fields=("plan", "tiles", "cores", "chips", "energy_uj", "latency_ms", "period_ms")),
    Figure("mapping.expected", "expected bounds of the layers", "what each layer is expected to wait for, its share of"
           " the time of an inference, and its next cut, with the time of a tick on the fullest core",
           get=_searched("layers"), kind=ROWS, needs=SEARCHED, depends="activity", line="Search", say=words.expected,
           fields=("layer", "layout", "cores", "tick_ns", "bound", "share", "next_layout", "next_cores", "next_fill",
                   "next_tick_ns")),
)  # fmt: skip

EVIDENCE = (
    Figure("purity.work", "work by code", "event operations by the code of what drives them",
           get=lambda i: i.assessment.purity and dict(i.assessment.purity.work), kind=PARTS, unit="%",
           formula="share of synaptic and product operations", needs=WORK, depends="activity", line="Work by code",
           say=words.work, card=Card("Work by code", words.main_code, lambda report: ", ".join(words.work(report)))),
    Figure("purity.edges", "edges by code", "inputs of layers and products by the code they carry",
           get=lambda i: i.assessment.purity and dict(i.assessment.purity.edges), kind=PARTS, unit="%",
           formula="share of edges", needs=WORK),
    Figure("purity.operators", "dense operators", "non-spiking operators that are left",
           get=lambda i: dict(i.assessment.purity.operators) if i.assessment.purity else {}, kind=PARTS),
    *(Figure(f"accuracy.{level}", f"accuracy, {level}", f"of the {level} network", get=_attribute("accuracy", name),
             unit="%", formula="correct samples / samples", needs=LABELS)
      for level, name in (("float", "source"), ("spiking", "spiking"))),
    Figure("accuracy.integer", "accuracy, integer", "of the integer network", get=_attribute("accuracy", "integer"),
           unit="%", formula="correct samples / samples", needs=LABELS, line="Accuracy", say=words.accuracy,
           tone=lambda r: "bad" if r["accuracy"]["meaningless"] else "",
           card=Card("Accuracy, integer", words.accuracy_of_integers, words.levels)),
    Figure("accuracy.bits", "bits per token", "-log2 of the probability of each next token, by level",
           get=lambda i: dict(i.accuracy.bits) or None if i.accuracy else None, kind=RECORD,
           formula="mean of -log2 softmax(read-out)", needs=SEQUENCES),
    Figure("accuracy.meaningless", "why the accuracy means nothing", "one label, or outputs that are all equal",
           get=lambda i: i.accuracy.meaningless if i.accuracy else "", kind=TEXT),
    Figure("accuracy.samples", "samples of the accuracy", "test samples that were run",
           get=_attribute("accuracy", "samples"), needs=LABELS),
    Figure("accuracy.by_timestep", "accuracy after each tick", "of the integer network, tick 1 .. T",
           get=lambda i: list(i.accuracy.by_level.get("integer", ())) or None if i.accuracy else None, kind=SERIES,
           unit="%", needs=LABELS),
    Figure("accuracy.by_level", "accuracy after each tick, by level", "of the float source, the spiking network and"
           " the integers, tick 1 .. T of each", get=_ticks_by_level, kind=ROWS, needs=LABELS,
           fields=("level", "by_timestep")),
    Figure("accuracy.classes", "classes", "names of the labels", get=lambda i: list(i.classes), kind=TEXTS),
    Figure("accuracy.confusion", "confusion", "how often each level gave an answer to samples of a label",
           get=_confusion, kind=ROWS, needs=LABELS, fields=("label", "said", "counts")),
    Figure("accuracy.wrong", "wrong samples", "samples that the integers get wrong, or answer as another level does"
           " not: the first of them, small and in few colours, or as text", get=_wrong, kind=ROWS, needs=LABELS,
           fields=("sample", "label", "said", "picture", "text")),
    Figure("beside.samples", "samples beside each other", "test samples whose values were kept of each layer",
           get=lambda i: i.beside.samples or None, needs=BESIDE),
    Figure("beside.layers", "layers beside each other", "what each layer says as float source, as spiking network and"
           " as integers: histograms, values of the same elements, noise, and the first tick at which they part",
           get=_beside, kind=ROWS, needs=BESIDE, formula="means over ticks, in the units of the float model",
           depends="activity",
           fields=("name", "kind", "low", "high", "counts", "points", "noise_db", "quantised_db", "tick", "parted")),
    Figure("agreement", "agreement", "of a text model with its float model", get=lambda i: dict(i.agreement) or None,
           kind=RECORD, needs=AGREEMENT),
    *(Figure(f"images.psnr_truth_db.{name}", f"PSNR, {name}", f"of images of the {name} network beside the true ones",
             get=_image("true", name), unit="dB", formula="10 log10(1 / mean squared difference)",
             needs=TRUTH) for name in ("float", "spiking", "integer")),
    Figure("images.psnr_float_db.spiking", "PSNR of spikes", "of images of the spiking network beside the float ones",
           get=_image("near", "spiking"), unit="dB", formula="10 log10(peak^2 / mean squared difference)",
           needs=IMAGES),
    Figure("images.psnr_float_db.integer", "PSNR of integers", "of images of the integer network beside the float ones",
           get=_image("near", "integer"), unit="dB", formula="10 log10(peak^2 / mean squared difference)",
           needs=IMAGES),
    Figure("images.peak", "peak of the images", "range of the truth, or without one of the float images",
           get=_attribute("images", "peak"), needs=IMAGES),
    Figure("images.samples", "images that were compared", "test samples that were run",
           get=_attribute("images", "samples"), needs=IMAGES),
    Figure("images.examples", "a few images", "of the first samples, whole numbers 0 .. 255, by level",
           get=lambda i: [{"name": k, "images": v} for k, v in i.images.examples.items()] if i.images else [],
           kind=ROWS, fields=("name", "images")),
    Figure("bit_true.equal", "bit-true", "whether all backends gave the same integers",
           get=_attribute("bit_true", "equal"), kind=FLAG, needs=COMPARED, line="Bit-true", say=words.bit_true,
           tone=_by("bit_true.equal", "good", "bad"),
           card=Card("Bit-true", _by("bit_true.equal", "equal", "differs"))),
    Figure("bit_true.samples", "samples of the comparison", "samples that all backends ran",
           get=_attribute("bit_true", "samples"), needs=COMPARED),
    Figure("bit_true.budget", "samples that there was time for", "where the time budget left samples out",
           get=lambda i: _cut(i, "verify", i.bit_true.samples if i.bit_true else None), kind=TEXT),
    Figure("bit_true.backends", "backends", "ways to run the network that were compared",
           get=lambda i: list(i.bit_true.backends) if i.bit_true else None, kind=LIST, needs=COMPARED),
    Figure("bit_true.divergence", "divergence", "where they first differ",
           get=lambda i: i.bit_true.divergence if i.bit_true else "", kind=TEXT),
    Figure("sampled", "cores that ran", "of a network that is too large to simulate whole", get=attrgetter("sampled"),
           kind=TEXT),
    Figure("silicon", "operations by grade", "evidence that a chip can do them",
           get=lambda i: i.assessment.silicon and dict(i.assessment.silicon), kind=PARTS, unit="%",
           formula="share of all operations", needs=GRADED, depends="activity", line="Silicon", say=words.silicon),
    Figure("lava.processes", "Lava processes", "stock ones, and own ones where Lava has none", get=_lava_processes,
           kind=PARTS, needs=LAVA),
    Figure("lava.work", "operations in Lava", "by stock processes, and by own ones", get=_lava_work, kind=PARTS,
           unit="%", formula="share of all operations", needs=LAVA, depends="activity"),
    Figure("lava.layers", "layers in Lava", "the processes of each, and what they expect to do",
           get=lambda i: list(i.lava.get("layers", [])), kind=ROWS, depends="activity", line="Lava", say=words.lava,
           fields=("layer", "processes", "events", "stock_events", "own")),
)  # fmt: skip

OPERATIONS = (
    Figure("counts.samples", "samples", "samples that the means are taken over",
           get=lambda i: _counts(lambda c: c.samples)(i) or _events(lambda e: e.samples)(i), needs=RUN),
    Figure("counts.budget", "samples that there was time for", "where the time budget left samples out",
           get=lambda i: _cut(i, "estimate", _counts(lambda c: c.samples)(i)), kind=TEXT),
    Figure("counts.synaptic_ops", "synaptic operations", "messages meeting stored non-zero weights",
           get=_counts(lambda c: c.total("synaptic_ops")), needs=RUN, depends="activity", line="synaptic operations"),
    Figure("counts.product_ops", "product operations", "pairs of non-zero operands of products of two streams",
           get=_counts(lambda c: c.total("product_ops")), needs=RUN, depends="activity", line="synaptic operations"),
    Figure("counts.event_ops", "event operations", "what messages set off",
           get=_counts(lambda c: c.total("synaptic_ops") + c.total("product_ops")),
           formula="synaptic + product operations", needs=RUN, depends="activity"),
    Figure("counts.neuron_updates", "neuron updates", "elements of populations evaluated",
           get=_counts(lambda c: c.total("neuron_updates")), formula="elements x T", needs=RUN,
           line="neuron updates"),
    Figure("counts.program_ops", "program operations",
           "operations of the programs of neuron models that are not the chip's own",
           get=_counts(lambda c: c.total("program_ops")), formula="neuron updates x operations of the integer step",
           needs=RUN),
    Figure("counts.spikes", "spikes", "non-zero outputs of neurons", get=_counts(lambda c: c.total("spikes")),
           needs=RUN, depends="activity", line="neuron updates"),
    Figure("counts.messages", "messages",
           "non-zero values of any node, the input included, that a population elsewhere reads",
           get=_counts(lambda c: c.total("messages")), needs=RUN, depends="activity", line="messages"),
    Figure("counts.packets", "packets", "messages times destination cores; of a target that multicasts, messages",
           get=_events(lambda e: e.total("packets_out")), needs=CORES, depends="activity", line="messages"),
    Figure("counts.memory_reads", "words read", "64-bit words of synapse memory that messages make cores read",
           get=_events(lambda e: e.total("memory_reads")), needs=CORES, depends="activity"),
    Figure("counts.message_bits", "bits of messages", "bits of all packets that cores send",
           get=_events(lambda e: e.total("message_bits")), formula="packets x (address + payload)", unit="bit",
           needs=CORES, depends="activity"),
    Figure("counts.hops", "hops", "ways of packets from router to router", get=_events(_hops), needs=CORES,
           depends="activity", line="messages"),
    Figure("mapping.hops_mean", "hops of a packet", "its mean way", get=_events(_mean_hops), formula="hops / packets",
           needs=SENT, depends="activity"),
    Figure("counts.microcode_ops", "microcode operations", "adds, multiplies, shifts, compares and table reads",
           get=_events(lambda e: e.total("microcode_ops")), needs=CORES, depends="activity",
           line="microcode operations"),
    Figure("counts.all_ops", "all operations", "what the grades of evidence are shares of",
           get=_events(lambda e: sum(e.total(kind) for kind in audit.WORK_KINDS)),
           formula="synaptic + product + microcode operations + neuron updates", needs=CORES, depends="activity"),
    Figure("counts.state_accesses", "state accesses", "64-bit words of state read or written",
           get=_events(lambda e: e.total("state_accesses")), needs=CORES, depends="activity"),
    Figure("counts.reset_words", "reset words", "64-bit words of state written where a sample starts anew",
           get=_events(lambda e: e.total("reset_words")), needs=CORES),
    Figure("counts.dense_macs", "dense MACs", "multiply-accumulates of one pass of the source network",
           get=lambda i: i.assessment.dense_macs, needs=RUN, line="microcode operations"),
    *(Figure(f"ticks.{key}", f"{name} in each tick", "mean per inference", get=_ticks(*kinds), kind=SERIES, needs=RUN,
             depends="activity")
      for key, name, kinds in (("spikes", "spikes", ("spikes",)), ("messages", "messages", ("messages",)),
                               ("event_ops", "event operations", ("synaptic_ops", "product_ops")))),
)  # fmt: skip

ENERGY = (
    _ranged("energy_uj", "energy", "one inference at a time, static power included",
            get=_range(_estimate, lambda e: e.energy_pj, UJ_PER_PJ), line="energy", card=Card("Energy per inference")),
    Figure("energy_breakdown_uj", "energy by part", "nominal",
           get=lambda i: {p: _in_uj(_parts(i)[p].nominal) if p in _parts(i) else None for p in ENERGY_PARTS},
           kind=PARTS, unit="uJ", needs=ESTIMATE, depends="activity", line="energy", say=words.breakdown),
    Figure("energy_breakdown_range_uj", "energy by part, ranges", "low, nominal, high",
           get=lambda i: {p: _spread(_parts(i).get(p), UJ_PER_PJ) for p in ENERGY_PARTS}, kind=RECORD, needs=ESTIMATE,
           depends="activity"),
    Figure("energy_terms", "terms", "every term of the sum", get=_of(_estimate, _terms), kind=ROWS, needs=ESTIMATE,
           depends="activity", fields=("key", "part", "count", "coefficient", "energy_uj", "assumed", "priced")),
    _ranged("energy_shared_uj", "energy of no layer", "barriers, static power and packets that leave the mesh",
            get=_range(_estimate, lambda e: e.shared_pj, UJ_PER_PJ)),
    _ranged("energy_events_uj", "energy of events", "without barriers and static power",
            get=_range(_estimate, lambda e: e.events_pj, UJ_PER_PJ), line="events alone"),
    _ranged("energy_pipelined_uj", "energy in steady pipeline", "a new inference every P steps",
            get=_range(_estimate, lambda e: e.pipelined_pj, UJ_PER_PJ)),
    Figure("ann_baseline_uj", "ANN baseline", "int8 MAC, same technology, dynamic",
           get=_of(_baseline, lambda b: _in_uj(b.energy_pj.nominal)), unit="uJ", needs=PRICE, line="ANN baseline",
           say=words.baseline, card=Card("ANN baseline", below=words.baseline_below)),
    _ranged("ann_baseline_ratio", "events over the ANN baseline",
            "how many times the baseline the events of this network take",
            get=_range(_ratio, lambda ratio: ratio, 1.0), unit="x", line="ANN baseline", say=words.baseline_ratio,
            formula="energy of events / ANN baseline; low / high and high / low at the ends"),
    _ranged("ann_baseline_range_uj", "range of the ANN baseline", "low, nominal, high",
            get=_range(_baseline, lambda b: b.energy_pj, UJ_PER_PJ), needs=PRICE, depends=""),
    Figure("ann_baseline_macs", "MACs of the baseline", "of one pass", get=_of(_baseline, lambda b: b.macs),
           needs=PRICE),
    Figure("ann_baseline_bytes", "bytes of the baseline", "weights, inputs and outputs, each once",
           get=_of(_baseline, lambda b: b.bytes), needs=PRICE),
    Figure("energy_paper_uj", "paper metric", "MACs and ACs as published tables count them",
           get=_of(_paper, lambda p: _in_uj(p.energy_pj)), unit="uJ", needs=PAPER, depends="activity",
           line="paper metric", card=Card("Paper metric", below=words.paper_below)),
    Figure("energy_paper_ratio", "ratio of the paper metric", "to the same layers as MACs",
           get=_of(_paper, lambda p: p.ratio), unit="%", needs=PAPER, depends="activity", line="paper metric",
           say=words.paper_ratio),
    Figure("paper_macs", "its MACs", "multiply-accumulates of the paper metric", get=_of(_paper, lambda p: p.macs),
           needs=PAPER),
    Figure("paper_acs", "its ACs", "accumulates of the paper metric", get=_of(_paper, lambda p: p.operations),
           needs=PAPER, depends="activity"),
    Figure("energy_paper_three_products_uj", "paper metric, three products",
           "as released code of ECMT executes products", get=_of(_paper, lambda p: _in_uj(p.three_products_pj)),
           unit="uJ", needs=THREE, depends="activity"),
    Figure("energy_paper_three_products_ratio", "its ratio", "to the same layers as MACs",
           get=_of(_paper, lambda p: p.three_products_ratio), unit="%", needs=THREE, depends="activity"),
)  # fmt: skip

TIME = (
    _ranged("latency_ms", "latency", "one inference through all T + depth steps",
            get=_range(_timing, lambda t: t.latency_ns, MS_PER_NS), unit="ms", line="latency", card=Card("Latency")),
    Figure("throughput_per_s", "throughput", "inferences per second, a new one every P steps",
           get=_of(_timing, lambda t: t.throughput_per_s.nominal), unit="/s", needs=ESTIMATE, depends="activity",
           line="latency", say=words.throughput,
           card=Card("Throughput, pipelined", below=lambda report: f"a result every {report['period_steps']} steps")),
    Figure("period_steps", "period", "P: steps after which the next inference enters a pipeline",
           get=_of(_timing, lambda t: t.steady_ns.shape[1]), needs=ESTIMATE),
    _ranged("throughput_range_per_s", "range of the throughput", "low, nominal, high",
            get=_range(_timing, lambda t: t.throughput_per_s, 1.0), unit="/s"),
    Figure("latency_contended_ms", "latency with contention",
           "nominal, with packets that queue for links and receivers and wait where buffers are full",
           get=_of(_estimate, lambda e: e.contended.latency_ns * MS_PER_NS), unit="ms", needs=ESTIMATE,
           depends="activity", line="latency", say=words.contended),
    Figure("period_contended_ms", "period with contention", "the same, between two results of a pipeline",
           get=_of(_estimate, lambda e: e.contended.period_ns * MS_PER_NS), unit="ms", needs=ESTIMATE,
           depends="activity"),
    Figure("steps", "steps", "time of every hardware step of a frame", get=_steps, kind=ROWS, needs=ESTIMATE,
           line="bounds", say=words.bounds,
           depends="activity", fields=("step", "low_ns", "nominal_ns", "high_ns", "contended_ns", *FLOOR)),
    Figure("floorline", "bounds of the layers", "what the fullest core of each layer waits for in a mean tick",
           get=_floors, kind=ROWS, needs=ESTIMATE, depends="activity", fields=("nominal_ns", *FLOOR)),
    Figure("floors", "floors", "what a step lasts at least: the barrier, and each word of memory that is read",
           get=lambda i: _lines(i.target, found) if (found := _estimate(i)) else None, kind=PARTS, unit="ns",
           needs=ESTIMATE),
)  # fmt: skip

NOTES = (
    Figure("uncounted", "not counted", "what no number covers",
           get=lambda i: [*(i.assessment.estimate.uncounted if i.assessment.estimate else ()), *i.uncounted],
           kind=TEXTS, line="Not counted",
           say=lambda report: ("; ".join(report["uncounted"]),) if report["uncounted"] else ()),
    Figure("warnings", "warnings", "what is worth knowing", **_table(lambda i: i.warnings, *PROBLEM), line="Warnings",
           say=words.warnings, tone=lambda report: "warn" if report["warnings"] else "",
           card=Card("Warnings", lambda report: str(len(report["warnings"])), _card_warnings)),
    Figure("raster.sample", "sample of the raster", "which one", get=lambda i: i.raster_sample, kind=TEXT),
    Figure("raster.populations", "raster", "indices of the neurons that spike, tick by tick", depends="activity",
           **_table(lambda i: i.raster, "name", "size", "ticks", "group", "shades")),
    Figure("raster.seen", "what the raster is of", "label, answer of the integers, and picture or text of the sample",
           get=_seen, kind=ROWS, fields=("label", "said", "picture", "text")),
    Figure("stages", "stages", "of the build", **_table(lambda i: i.stages, "name", "seconds", "fact")),
    Figure("reproducibility", "reproducibility", "versions, seeds, hashes and the configuration",
           get=lambda i: {**i.provenance, "config": dict(i.config)}, kind=RECORD),
)  # fmt: skip

#: groups that say what the network does and costs
COMPUTED = ("mapping", "evidence", "operations", "energy", "time")

#: groups of figures in the order of ``report.json``, of the lines on the console and of the listing on the page
GROUPS = {
    "network": Group("Network", "verdict", NETWORK),
    "target": Group("Target", "verdict", TARGET),
    "mapping": Group("Mapping", "verdict", MAPPING),
    "evidence": Group("Evidence", "verdict", EVIDENCE),
    "operations": Group("Operations per inference", "costs", OPERATIONS),
    "energy": Group("Energy per inference", "costs", ENERGY),
    "time": Group("Time", "costs", TIME),
    "notes": Group("Notes", "notes", NOTES),
}


def figures() -> Iterator[Figure]:
    """Every figure."""
    return (figure for group in GROUPS.values() for figure in group.figures)


def figure_of(key: str) -> Figure | None:
    """The figure that a dotted key belongs to."""
    known = {figure.key: figure for figure in figures()}
    return next((known[name] for name in words.above(key) if name in known), None)
