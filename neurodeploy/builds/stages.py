"""The nine stages of a build: each reads what earlier ones put into the Work, adds its own, and names one fact."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import calibrate as calibration
from .. import compare, cost, registry
from ..array import Array
from ..artifact import Artifact
from ..config import INTEGER, BuildConfig
from ..convert._sites import is_quantiser
from ..errors import Problem, UsageError, unknown_name
from ..inputs import samples, texts
from ..ir import interp
from ..ir.graph import Graph
from ..ir.nodes import Neuron, Node, Synapse
from ..ir.trace import Events, Trace
from ..ir.types import Interval
from ..mapping.types import Mapping
from ..program import Program
from ..report.inputs import Accuracy, BitTrue, ModelInfo
from ..target import Target

if TYPE_CHECKING:
    from ..datasets import DataSet, Facts

SQNR_SAMPLES = 32  # signal and error are sums over many elements: few samples do
EVENT_SAMPLES = (
    32  # energy and latency are means over this many test samples (at most, if the input is synthetic)
)
#: levels at which a network can be run, in the order in which one becomes the next
LEVELS = ("source", "spiking", "integer")
MANY_TESTED = 1000  # a test split of this size is measured alone: it needs no training images to say enough
NO_FLOATS = "the file holds integers: there is no float network"

Progress = Callable[[float], None]


@dataclass
class Work:
    """What a build has learned so far; stages fill it from top to bottom."""

    config: BuildConfig
    target: Target
    source: Graph | None = None
    model: ModelInfo | None = None
    data: DataSet | None = None
    tokenizer: str = ""
    stimulus: samples.Stimulus | None = None
    spiking: Graph | None = None
    preset: str = ""
    ranges: calibration.Ranges | None = None
    integer: Graph | None = None
    mapping: Mapping | None = None
    accuracy: Accuracy | None = None
    evaluation: dict[str, Any] = field(default_factory=dict)
    agreement: dict[str, Any] = field(default_factory=dict)
    bit_true: BitTrue | None = None
    sqnr_db: dict[str, float] = field(default_factory=dict)
    saturations: dict[str, int] = field(default_factory=dict)
    trace: Trace | None = None
    events: Events | None = None
    assessment: cost.Assessment = field(default_factory=cost.Assessment)
    warnings: list[Problem] = field(default_factory=list)
    reasons: dict[str, str] = field(default_factory=dict)

    @property
    def holds_integers(self) -> bool:
        """Whether the model came as integers: then there is no float network to compare with."""
        return self.source is not None and self.source.header.level == "integer"

    @property
    def synthetic(self) -> bool:
        """Whether the network runs on synthetic input, for want of data."""
        return isinstance(self.stimulus, samples.Synthetic)

    @property
    def program(self) -> Program:
        """What backends run."""
        return Program(need(self.integer, "quantize"), self.mapping)

    def artifact(self) -> Artifact:
        """What goes into ``program.h5``."""
        return Artifact(self.integer, self.mapping, self.spiking, self.source, self.ranges)


def need(item: Any, stage: str) -> Any:
    """The result of an earlier stage; UsageError if that stage was skipped."""
    if item is None:
        raise UsageError(
            Problem(
                "ND900", f"the result of stage {stage!r} is missing", "--from", fixes=(f"use --from {stage}",)
            )
        )
    return item


# --- 1 import ----------------------------------------------------------------------------------------------------


def import_model(work: Work, progress: Progress) -> str:
    """The source graph, simplified, and what it is measured on: data, or synthetic input for files that need none."""
    from .. import datasets, sources
    from ..ir import levels

    data = datasets.load(work.config.data) if work.config.data else None
    found = sources.load(work.config, data.shape if data else None)
    work.config = sources.completed(work.config, found)
    if not work.config.data and found.model.kind != "format" and samples.tokens(found.graph) is None:
        raise UsageError(no_data(work.config.model))
    work.data = data or (datasets.load(work.config.data) if work.config.data else None)
    graph, work.tokenizer = found.graph, found.model.tokenizer
    work.warnings += sources.remarks(work.config, graph)
    if work.data and work.data.texts:
        work.data, short = texts.tokenised(work.data, graph, found.model.tokenizer)
        work.warnings += short
    if work.data:
        work.warnings += sources.raw_levels(work.config, found.model, work.data.levels)
        graph = ranged(graph, work.data.levels, found.model.kind)
        check_data(graph, work.data)
    if graph.header.level == "integer":
        levels.require(graph, "integer")
    work.source, work.stimulus = graph, stimulus(graph, work.data, work.config)
    work.model = ModelInfo(
        name=found.model.name, system=found.model.system or found.model.kind, source=found.model.source,
        title=found.model.title, parameters=parameters(graph), dataset=work.data.name if work.data else "",
        dataset_sha256=work.data.hash if work.data else "",
    )  # fmt: skip
    cached = ", cached" if found.cached else ""
    return f"{len(graph.nodes)} nodes, {work.model.parameters:,} parameters{cached}"


def no_data(model: str) -> Problem:
    """ND932: a model that needs data and names none."""
    cause = "the model names no data to calibrate and test on"
    return Problem("ND932", cause, model, fixes=("give a data set or file with --data",))


def stimulus(graph: Graph, data: DataSet | None, config: BuildConfig) -> samples.Stimulus:
    """What the network runs on; UsageError ND932 if there are no data and no range to draw from."""
    if data is not None:
        return samples.Recorded(graph, data, config.seed)
    drawn = samples.Synthetic(graph, config.seed, config.spike_rate)
    drawn.facts()  # asks for the range
    return drawn


def with_range(graph: Graph, levels: int) -> Graph:
    """The graph told that raw inputs are 0 .. ``levels``: widths and thresholds depend on it."""
    name = graph.input.name
    return graph.with_values({name: replace(graph.values[name], interval=Interval(0, levels, True))})


def ranged(graph: Graph, levels: int, kind: str) -> Graph:
    """As :func:`with_range`, but the range that a file of another tool declares stays: its numbers were made for it."""
    declared = graph.values[graph.input.name].interval
    return graph if kind == "format" and declared is not None else with_range(graph, levels)


def parameters(graph: Graph) -> int:
    """Weights and biases of a graph."""
    return sum(n.weight.size + (0 if n.bias is None else n.bias.size) for n in graph.of(Synapse))  # type: ignore[attr-defined]


def check_data(graph: Graph, data: DataSet) -> None:
    """Refuse a data set whose images or classes do not fit the network (ND933)."""
    problems = misfits(graph, data)
    classes = graph.values[graph.output.name].shape.size
    if data.class_count > classes:
        problems.append(
            Problem(
                "ND933",
                "the data set has more classes than the network has outputs",
                data.source,
                str(data.class_count),
                str(classes),
                ("give other data with --data",),
            )
        )
    if problems:
        raise UsageError(problems)


def misfits(graph: Graph, data: DataSet | Facts) -> list[Problem]:
    """ND933 if images have another shape, number of ticks or range than the network's input."""
    node, fixes = graph.input, ("give other data with --data",)
    wanted, ticks = graph.shape(node.name), graph.header.timesteps
    problems = []
    if tuple(data.shape) != wanted:
        cause = "images of the data set do not fit the network's input"
        problems.append(Problem("ND933", cause, data.source, str(tuple(data.shape)), str(wanted), fixes))
    if data.ticks and not node.per_tick:
        cause = "the data hold a frame for each tick, and the network takes one image for all of them"
        problems.append(Problem("ND933", cause, data.source, f"{data.ticks} ticks", "one image", fixes))
    elif data.ticks and data.ticks != ticks:
        cause = "the data hold another number of ticks than the network runs"
        other = (f"--timesteps {data.ticks}",)
        problems.append(Problem("ND933", cause, data.source, f"{data.ticks} ticks", f"{ticks} ticks", other))
    known = samples.raw_range(graph)
    if known is not None and (known[0] > 0 or data.levels > known[1]):
        cause = "levels of the data leave the range that the network takes"
        shown = f"{known[0]} .. {known[1]}"
        more = (
            *fixes,
            "of a .net or .nir file: declare the range with an option of its reader, see docs/formats.md",
        )
        problems.append(Problem("ND933", cause, data.source, f"0 .. {data.levels}", shown, more))
    return problems


# --- 2 convert ---------------------------------------------------------------------------------------------------


def convert(work: Work, progress: Progress) -> str:
    """The spiking graph by the chosen method; a file that holds integers needs none."""
    from ..errors import ConvertError
    from ..ir import levels

    graph, config = need(work.source, "import"), work.config
    if work.holds_integers:
        return f"nothing to convert: the file holds integers, T={config.timesteps}, {populations(graph)} populations"
    method = method_of(config.method)
    obstacles = [p for p in method.accept(graph) if p.severity == "error"]
    if obstacles:
        raise ConvertError(obstacles)
    options = {k: None if v == "null" else v for k, v in config.convert.items()}
    work.preset, options_of_method = method.configure(options)
    images = need(work.stimulus, "import").calibration(config.calib)
    work.spiking = method.rewrite(graph, options_of_method, images, config.timesteps)
    levels.require(work.spiking, "spiking")
    work.warnings += [p for p in method.accept(graph) if p.severity != "error"]
    trained = sum(map(is_quantiser, graph))
    kept = f", {trained} with steps as trained" if trained else ""
    return f"{config.method} ({work.preset}), T={config.timesteps}, {populations(work.spiking)} populations{kept}"


def populations(graph: Graph) -> int:
    """How many neuron populations there are."""
    return len(graph.of(Neuron))


def method_of(name: str) -> Any:
    """The conversion method of that name; UsageError ND307 with the nearest known ones."""
    methods = registry.METHODS
    if name not in methods:
        raise UsageError(unknown_name("ND307", "conversion method", name, methods, "--method"))
    return methods[name]


# --- 3 calibrate, 4 quantize -------------------------------------------------------------------------------------


def calibrate(work: Work, progress: Progress) -> str:
    """Ranges and activity on training samples; of integers the activity alone, since their bounds are proven."""
    images = need(work.stimulus, "import").calibration(work.config.calib)
    if work.holds_integers:
        graph, cpu = need(work.source, "import"), compare.usable("cpu")
        run = lambda x, names: cpu.run(Program(graph), x, names)[0]
        work.ranges = calibration.measure_activity(graph, images, run, work.config.seed)
    else:
        work.ranges = calibration.measure(need(work.spiking, "convert"), images, work.config.seed)
    sent = work.ranges.activity.items()
    rates = [a.mean for name, a in sent if name != need(work.source, "import").input.name]
    activity = f", mean activity {100 * float(np.mean(rates)):.1f} %" if rates else ""
    drawn = f"samples of {samples.SYNTHETIC}" if work.synthetic else "training samples"
    return f"{len(images)} {drawn}{activity}"


def quantize(work: Work, progress: Progress) -> str:
    """The integer graph; per-layer rules choose weight bits, unless a file holds integers already."""
    config = work.config
    if work.holds_integers:
        work.integer = with_activity(need(work.source, "import"), need(work.ranges, "calibrate"))
        return f"nothing to quantize: the file holds integers, {len(work.integer.of(Synapse))} layers"
    work.integer = integers(config, need(work.spiking, "convert"), need(work.ranges, "calibrate"))
    layers = len(work.integer.of(Synapse))
    return f"{layers} layers, {config.weight_bits}-bit weights" + (
        ", rules per layer" if config.layers else ""
    )


def with_activity(graph: Graph, ranges: calibration.Ranges) -> Graph:
    """A graph that came as integers, with its measured activity, by which the mapper prices messages.

    What was once converted keeps the name of the method, which decides how papers count it.
    """
    values = {n: replace(graph.values[n], activity=a) for n, a in ranges.activity.items()}
    return graph.with_values(values).with_header(method=graph.header.method or INTEGER)


def integers(config: BuildConfig, graph: Graph, ranges: calibration.Ranges) -> Graph:
    """The integer graph with the weight bits that the config chooses; UsageError ND905 for a rule without a layer."""
    from ..quantize import quantize as to_integers

    unmatched = config.unmatched(name for node in graph.of(Synapse) for name in layer_names(node))
    if unmatched:
        raise UsageError(unmatched)
    return to_integers(graph, ranges, lambda node: config.weight_bits_of(layer_names(node)))


def layer_names(node: Node) -> list[str]:
    """Names under which a config may know a layer: the node's and those of the modules it came from."""
    return [node.name, *(o.path for o in node.origin if o.path)]


# --- 5 map -------------------------------------------------------------------------------------------------------


def map_to_cores(work: Work, progress: Progress) -> str:
    """Balanced graph, placement on cores, memory images."""
    from ..image import encode
    from ..mapping.mapper import map_graph
    from ..mapping.relay import prepared

    graph = work.integer = prepared(need(work.integer, "quantize"), work.target)
    mapping = map_graph(graph, work.target, work.target.chips, work.config.optimise)
    work.mapping = encode(graph, mapping, work.target) if mapping.fits else mapping
    work.warnings += [p for p in mapping.problems if p.severity != "error"]
    if not mapping.fits:
        wrong = sum(p.severity == "error" for p in mapping.problems)
        return f"{len(mapping.cores)}/{mapping.cores_total} cores: does NOT fit, {wrong} problem{'s' * (wrong > 1)}"
    weighed = work.synthetic and work.config.optimise != "cores"  # messages are priced by their activity
    label = f", cut for {samples.SYNTHETIC}" if weighed else ""
    return f"{len(mapping.cores)}/{mapping.cores_total} cores, depth {mapping.depth} steps{label}"


# --- 6 evaluate --------------------------------------------------------------------------------------------------


def evaluate(work: Work, progress: Progress) -> str:
    """Accuracy as float source, as spiking network and as integers, after each tick; changes over all samples.

    Without labels only saturations are counted.
    """
    stimulus = need(work.stimulus, "import")
    images, labels = stimulus.measurement(work.config.eval)
    if samples.tokens(stimulus.graph) is not None and work.spiking is not None:
        return _agree(work, images, labels)
    runs = _runs(work)
    if labels is None:
        _in_batches(stimulus.graph, runs["integer"], images)
        work.reasons["accuracy"] = f"{samples.SYNTHETIC} has no labels: give labelled data with --data"
        work.evaluation = {samples.SYNTHETIC: {"samples": len(images)}}
        _warn_of_saturations(work)
        return f"no accuracy: {samples.SYNTHETIC}, {len(images)} samples, {sum(work.saturations.values())} saturations"
    answers: dict[str, Array] = {}
    for step, name in enumerate(runs):
        kept = name == "source" and runs["source"] is runs["spiking"]
        answers[name] = (
            answers["spiking"] if kept else _in_batches(stimulus.graph, runs[name], images, name != "integer")
        )
        progress((step + 1) / (len(runs) + 1))
    correct = {name: (answer == labels).sum(axis=1) for name, answer in answers.items()}
    work.evaluation = {"test": {"samples": len(labels), **{n: int(c[-1]) for n, c in correct.items()}}}
    if not work.config.eval and len(labels) < MANY_TESTED:
        work.evaluation["train and test"] = _whole(stimulus, runs, correct, len(labels))
    by_tick = tuple(float(c) / len(labels) for c in correct["integer"])
    fractions = {name: float(c[-1]) / len(labels) for name, c in correct.items()}
    work.accuracy = Accuracy(samples=len(labels), by_timestep=by_tick, **fractions)
    if work.holds_integers:
        work.reasons |= dict.fromkeys(("accuracy.float", "accuracy.spiking"), NO_FLOATS)
    _warn_of_saturations(work)
    shown = " -> ".join(f"{n} {100 * fractions[n]:.1f} %" for n in LEVELS if n in fractions)
    return f"{shown} (n = {len(labels)})"


def _agree(work: Work, raw: Array, labels: Array | None) -> str:
    """How near the embeddings or logits of texts are to those of the float model; accuracy where there are labels."""
    cpu, source, spiking = compare.usable("cpu"), need(work.source, "import"), need(work.spiking, "convert")
    scale = np.asarray(need(work.integer, "quantize").values[work.program.graph.output.name].fixed.scale)
    found: dict[str, list[Array]] = {level: [] for level in LEVELS}
    for batch in calibration.batches(raw, calibration.batch_size(spiking)):
        found["source"].append(interp.run(source, batch, timesteps=1).outputs)
        found["spiking"].append(interp.run(spiking, batch).outputs)
        found["integer"].append(_counted(cpu.run(work.program, batch)[0], work.saturations) * scale)
    outputs = {level: np.concatenate(parts, axis=1) for level, parts in found.items()}  # (T, samples, ...)
    work.agreement = {
        "samples": len(raw),
        **{level: compare.agreement(outputs["source"][-1], outputs[level][-1]) for level in LEVELS[1:]},
    }
    judged: dict[str, Any] = {"samples": len(raw), "agreement": work.agreement}
    size = source.values[source.output.name].shape.size
    without = f"{samples.SYNTHETIC} has no labels" if work.synthetic else "the texts have no labels"
    fact = f"no accuracy: {without}"
    if labels is None:
        work.reasons["accuracy"] = f"{without}: the agreement with the float model is given instead"
    elif work.data is not None and work.data.class_count != size:
        work.reasons["accuracy"] = (
            f"labels 0 .. {work.data.class_count - 1} are no classes of a network with {size} outputs: the "
            "agreement with the float model is given instead"
        )
        fact = f"no accuracy: {work.data.class_count} classes and {size} outputs"
    else:
        right = {level: (predictions(y) == labels).sum(axis=1) for level, y in outputs.items()}
        share = {level: float(count[-1]) / len(labels) for level, count in right.items()}
        by_tick = tuple(float(count) / len(labels) for count in right["integer"])
        work.accuracy = Accuracy(samples=len(labels), by_timestep=by_tick, **share)
        judged |= {level: int(count[-1]) for level, count in right.items()}
        fact = " -> ".join(f"{level} {100 * share[level]:.1f} %" for level in LEVELS)
    work.evaluation = {samples.SYNTHETIC if work.synthetic else "test": judged}
    _warn_of_saturations(work)
    shown = "; ".join(
        f"{level} cosine {work.agreement[level]['cosine']:.4f}, rank {work.agreement[level]['rank']:.4f}"
        for level in LEVELS[1:]
    )
    return f"{fact}; agreement with the float model: {shown} (n = {len(raw)})"


def _runs(work: Work) -> dict[str, Callable[[Array], Array]]:
    """Level -> predictions of raw inputs, in the order in which they are asked for."""
    cpu, program, source, spiking = compare.usable("cpu"), work.program, work.source, work.spiking
    runs: dict[str, Callable[[Array], Array]] = {}
    if spiking is not None and source is not None:
        runs["spiking"] = lambda x: predictions(interp.run(spiking, x).outputs)
    runs["integer"] = lambda x: predictions(_counted(cpu.run(program, x)[0], work.saturations))
    if spiking is not None and source is not None:
        runs["source"] = lambda x: predictions(interp.run(source, x).outputs)
        if work.config.method == "native" and source.header.timesteps == spiking.header.timesteps:
            runs["source"] = runs[
                "spiking"
            ]  # the same network: its neurons and its number of ticks were kept
    return runs


def predictions(outputs: Array) -> Array:
    """(T, B, *classes) read-outs to (T, B) classes; ties go to the lowest index."""
    return outputs.reshape(*outputs.shape[:2], -1).argmax(axis=-1)


def _in_batches(
    graph: Graph, run: Callable[[Array], Array], images: Array, side_by_side: bool = False
) -> Array:
    """Predictions of all images; ``side_by_side`` for a run that does not use the threads itself."""
    from ..simulate import pools

    found = list(calibration.batches(images, calibration.batch_size(graph)))
    if not side_by_side:
        return np.concatenate([run(batch) for batch in found], axis=1)
    with pools.blas_threads(1):
        return np.concatenate(pools.side_by_side(run, found), axis=1)


def _counted(trace: Trace, saturations: dict[str, int]) -> Array:
    for name, count in trace.saturations.items():
        if count:
            saturations[name] = saturations.get(name, 0) + count
    return trace.outputs


def _whole(stimulus: samples.Recorded, runs: Any, correct: dict[str, Array], tested: int) -> dict[str, int]:
    """Correct answers over training and test images together: a change of accuracy with five times less noise."""
    images, labels = stimulus.frames(stimulus.data.train.images), stimulus.data.train.labels
    counts = {
        n: int(
            correct[n][-1] + (_in_batches(stimulus.graph, run, images, n != "integer")[-1] == labels).sum()
        )
        for n, run in runs.items()
        if n != "spiking"
    }
    return {"samples": tested + len(labels), **counts}


def _warn_of_saturations(work: Work) -> None:
    work.warnings += saturated(work.saturations, remedies(work.synthetic, work.holds_integers))


def saturated(saturations: dict[str, int], remedies: tuple[str, ...]) -> list[Problem]:
    """A warning ND602 if anything was clipped."""
    whole = sum(saturations.values())
    if not whole:
        return []
    worst, cause = max(saturations, key=lambda name: saturations[name]), "values were clipped to their width"
    return [Problem("ND602", cause, worst, f"{whole} values", "0", remedies, "warning")]


def remedies(synthetic: bool, integers: bool) -> tuple[str, ...]:
    """What helps against clipped values: nothing where a file fixed the widths."""
    if integers:
        return ()
    if synthetic:
        return ("calibrate on data like those that run: --data SPEC", "calibrate on more samples: --calib N")
    return ("calibrate on more samples: --calib N",)


# --- 7 verify ----------------------------------------------------------------------------------------------------


def verify(work: Work, progress: Progress) -> str:
    """Interpreter, cpu and (if mapped) loihi-sim give the same integers at every node and tick; SQNR per layer."""
    stimulus, program = need(work.stimulus, "import"), work.program
    if not work.config.verify:
        work.reasons["bit_true"] = "no samples were asked for (--verify 0)"
        return "skipped"
    images, _ = stimulus.measurement(work.config.verify)
    others = ("cpu", "loihi-sim") if work.mapping is not None and work.mapping.fits else ("cpu",)
    result = compare.verify(program, images, others)
    work.bit_true = BitTrue(
        equal=result.equal,
        samples=len(images),
        backends=result.backends,
        divergence=str(result.divergence or ""),
    )
    if work.holds_integers:
        work.reasons["layers.sqnr_db"] = NO_FLOATS
    else:
        work.sqnr_db = compare.sqnr(need(work.spiking, "convert"), program, images[:SQNR_SAMPLES])
    return str(result)


# --- 8 estimate --------------------------------------------------------------------------------------------------


def estimate(work: Work, progress: Progress) -> str:
    """Events of the mapped run, counts of the network, and what they cost."""
    from ..mapping.grades import grades as silicon_grades

    program, graph = work.program, need(work.integer, "quantize")
    most = min(EVENT_SAMPLES, work.config.eval or EVENT_SAMPLES) if work.synthetic else EVENT_SAMPLES
    images, _ = need(work.stimulus, "import").measurement(most)
    counts = _counts(work, images)
    if work.mapping is not None and work.mapping.fits:
        _, work.events = compare.usable("loihi-sim").run(program, images)
    grades = silicon_grades(graph, work.target)
    work.assessment = cost.assess(program, work.target, work.source, work.events, counts, grades)
    work.reasons |= dict(work.assessment.reasons)
    return _cost_fact(work.assessment) + (f", {samples.SYNTHETIC}" if work.synthetic else "")


def _counts(work: Work, images: Array) -> cost.Counts:
    """Counts of the recorded network, in batches that fit memory; the trace of the first batch is kept."""
    graph = work.program.graph
    record = tuple(dict.fromkeys([*cost.names_to_record(graph), *(node.name for node in graph.of(Neuron))]))
    found: list[cost.Counts] = []
    for batch in calibration.batches(images, calibration.batch_size(graph, record)):
        trace, _ = compare.usable("cpu").run(work.program, batch, record)
        work.trace = work.trace or trace
        found.append(cost.count(graph, trace))
    return functools.reduce(operator.add, found)


def _cost_fact(assessment: cost.Assessment) -> str:
    from ..report.units import quantity

    found = assessment.estimate
    if found is None:
        return f"no estimate: {assessment.reasons['estimate']}"
    energy, latency = found.energy_pj.nominal * 1e-6, found.timing.latency_ns.nominal * 1e-6
    return f"{quantity(energy, 'uJ')}, {quantity(latency, 'ms')} per inference"


#: name -> stage, in the order in which a build runs them; report, the ninth, is the pipeline's own
STAGES: dict[str, Callable[[Work, Progress], str]] = {
    "import": import_model,
    "convert": convert,
    "calibrate": calibrate,
    "quantize": quantize,
    "map": map_to_cores,
    "evaluate": evaluate,
    "verify": verify,
    "estimate": estimate,
}
