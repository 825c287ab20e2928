"""The nine stages of a build: each reads what earlier ones put into the Work, adds its own, and names one fact."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from . import calibrate as calibration
from . import compare, cost, registry, samples
from .artifact import Artifact
from .config import BuildConfig
from .errors import Problem, UsageError, unknown_name
from .ir import interp
from .ir.graph import Graph
from .ir.nodes import Neuron, Node, Synapse
from .ir.trace import Events, Trace
from .ir.types import Interval
from .mapping.types import Mapping
from .program import Program
from .report.inputs import Accuracy, BitTrue, ModelInfo
from .target import Target

if TYPE_CHECKING:
    from .datasets import DataSet, Facts

SQNR_SAMPLES = 32  # signal and error are sums over many elements: few samples do
EVENT_SAMPLES = 32  # energy and latency are means over this many test samples
BATCH = 64

Progress = Callable[[float], None]


@dataclass
class Work:
    """What a build has learned so far; stages fill it from top to bottom."""

    config: BuildConfig
    target: Target
    source: Graph | None = None
    model: ModelInfo | None = None
    data: DataSet | None = None
    spiking: Graph | None = None
    preset: str = ""
    ranges: calibration.Ranges | None = None
    integer: Graph | None = None
    mapping: Mapping | None = None
    accuracy: Accuracy | None = None
    evaluation: dict[str, Any] = field(default_factory=dict)
    bit_true: BitTrue | None = None
    sqnr_db: dict[str, float] = field(default_factory=dict)
    saturations: dict[str, int] = field(default_factory=dict)
    trace: Trace | None = None
    events: Events | None = None
    assessment: cost.Assessment = field(default_factory=cost.Assessment)
    warnings: list[Problem] = field(default_factory=list)
    reasons: dict[str, str] = field(default_factory=dict)

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
    """The source graph, simplified, and the data it is measured on."""
    from . import datasets, sources

    data = datasets.load(work.config.data) if work.config.data else None
    found = sources.load(work.config, data.shape if data else None)
    work.config = sources.completed(work.config, found)
    if not work.config.data:
        raise UsageError(
            Problem(
                "ND932",
                "the model names no data to calibrate and test on",
                work.config.model,
                fixes=("give a data set or file with --data",),
            )
        )
    work.data = data or datasets.load(work.config.data)
    work.warnings += sources.raw_levels(work.config, found.model, work.data.levels)
    work.source = with_range(found.graph, work.data.levels)
    work.model = ModelInfo(
        name=found.model.name, system=found.model.system or found.model.kind, source=found.model.source,
        title=found.model.title, parameters=parameters(found.graph), dataset=work.data.name,
        dataset_sha256=work.data.hash,
    )  # fmt: skip
    check_data(found.graph, work.data)
    cached = ", cached" if found.cached else ""
    return f"{len(found.graph.nodes)} nodes, {work.model.parameters:,} parameters{cached}"


def with_range(graph: Graph, levels: int) -> Graph:
    """The graph told that raw inputs are 0 .. ``levels``: widths and thresholds depend on it."""
    name = graph.input.name
    return graph.with_values({name: replace(graph.values[name], interval=Interval(0, levels, True))})


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
    """ND933 if images have another shape than the network's input."""
    wanted = graph.shape(graph.input.name)
    if tuple(data.shape) == wanted:
        return []
    cause = "images of the data set do not fit the network's input"
    fixes = ("give other data with --data",)
    return [Problem("ND933", cause, data.source, str(tuple(data.shape)), str(wanted), fixes)]


# --- 2 convert ---------------------------------------------------------------------------------------------------


def convert(work: Work, progress: Progress) -> str:
    """The spiking graph by the chosen method."""
    from .errors import ConvertError
    from .ir import levels

    graph, config = need(work.source, "import"), work.config
    method = method_of(config.method)
    obstacles = [p for p in method.accept(graph) if p.severity == "error"]
    if obstacles:
        raise ConvertError(obstacles)
    options = {k: None if v == "null" else v for k, v in config.convert.items()}
    work.preset, options_of_method = method.configure(options)
    work.spiking = method.rewrite(graph, options_of_method, calibration_images(work), config.timesteps)
    levels.require(work.spiking, "spiking")
    work.warnings += [p for p in method.accept(graph) if p.severity != "error"]
    neurons = len(work.spiking.of(Neuron))
    return f"{config.method} ({work.preset}), T={config.timesteps}, {neurons} populations"


def method_of(name: str) -> Any:
    """The conversion method of that name; UsageError ND307 with the nearest known ones."""
    methods = registry.members("convert")
    if name not in methods:
        raise UsageError(unknown_name("ND307", "conversion method", name, methods, "--method"))
    return methods[name]


def calibration_images(work: Work) -> np.ndarray:
    """Training images only: seeded, stratified."""
    data = need(work.data, "import")
    return data.train.take(samples.stratified(data.train.labels, work.config.calib, work.config.seed))[0]


# --- 3 calibrate, 4 quantize -------------------------------------------------------------------------------------


def calibrate(work: Work, progress: Progress) -> str:
    """Ranges and activity of every edge on training samples."""
    images = calibration_images(work)
    work.ranges = calibration.measure(need(work.spiking, "convert"), images, work.config.seed)
    rates = [a.mean for a in work.ranges.activity.values()]
    activity = f", mean activity {100 * float(np.mean(rates)):.1f} %" if rates else ""
    return f"{len(images)} training samples{activity}"


def quantize(work: Work, progress: Progress) -> str:
    """The integer graph; per-layer rules choose weight bits."""
    config = work.config
    work.integer = integers(config, need(work.spiking, "convert"), need(work.ranges, "calibrate"))
    layers = len(work.integer.of(Synapse))
    return f"{layers} layers, {config.weight_bits}-bit weights" + (
        ", rules per layer" if config.layers else ""
    )


def integers(config: BuildConfig, graph: Graph, ranges: calibration.Ranges) -> Graph:
    """The integer graph with the weight bits that the config chooses; UsageError ND905 for a rule without a layer."""
    from .quantize import quantize as to_integers

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
    from .mapping.image_encode import encode
    from .mapping.mapper import map_graph
    from .mapping.relay import prepared

    graph = work.integer = prepared(need(work.integer, "quantize"), work.target)
    mapping = map_graph(graph, work.target, work.target.chips, work.config.optimise)
    work.mapping = encode(graph, mapping, work.target) if mapping.fits else mapping
    work.warnings += [p for p in mapping.problems if p.severity != "error"]
    if not mapping.fits:
        return f"does NOT fit: {sum(p.severity == 'error' for p in mapping.problems)} problems"
    return f"{len(mapping.cores)}/{mapping.cores_total} cores, depth {mapping.depth} steps"


# --- 6 evaluate --------------------------------------------------------------------------------------------------


def evaluate(work: Work, progress: Progress) -> str:
    """Accuracy as float source, as spiking network and as integers, after each tick; changes over all samples."""
    data, cpu = need(work.data, "import"), compare.usable("cpu")
    source, spiking, program = need(work.source, "import"), need(work.spiking, "convert"), work.program
    picked = samples.stratified(data.test.labels, work.config.eval or len(data.test), work.config.seed)
    images, labels = data.test.take(picked)
    saturations: dict[str, int] = {}
    runs: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "source": lambda x: predictions(interp.run(source, x).outputs),
        "spiking": lambda x: predictions(interp.run(spiking, x).outputs),
        "integer": lambda x: predictions(_counted(cpu.run(program, x)[0], saturations)),
    }
    if work.config.method == "native" and source.header.timesteps == spiking.header.timesteps:
        runs["source"] = runs["spiking"]  # the same network: its neurons and its number of ticks were kept
    answers: dict[str, np.ndarray] = {}
    for step, name in enumerate(("spiking", "integer", "source")):
        kept = runs["source"] is runs["spiking"] and name == "source"
        answers[name] = answers["spiking"] if kept else _in_batches(runs[name], images)
        progress((step + 1) / 4)
    correct = {name: (answer == labels).sum(axis=1) for name, answer in answers.items()}
    work.saturations = saturations
    work.evaluation = {"test": {"samples": len(labels), **{n: int(c[-1]) for n, c in correct.items()}}}
    if not work.config.eval:
        work.evaluation["train and test"] = _whole(data, runs, correct, len(labels))
    by_tick = tuple(float(c) / len(labels) for c in correct["integer"])
    fractions = {name: float(c[-1]) / len(labels) for name, c in correct.items()}
    work.accuracy = Accuracy(samples=len(labels), by_timestep=by_tick, **fractions)
    if sum(saturations.values()):
        work.warnings.append(_saturated(saturations))
    shown = " -> ".join(f"{n} {100 * fractions[n]:.1f} %" for n in ("source", "spiking", "integer"))
    return f"{shown} (n = {len(labels)})"


def predictions(outputs: np.ndarray) -> np.ndarray:
    """(T, B, *classes) read-outs to (T, B) classes; ties go to the lowest index."""
    return outputs.reshape(*outputs.shape[:2], -1).argmax(axis=-1)


def _in_batches(run: Callable[[np.ndarray], np.ndarray], images: np.ndarray) -> np.ndarray:
    return np.concatenate([run(batch) for batch in calibration.batches(images, BATCH)], axis=1)


def _counted(trace: Trace, saturations: dict[str, int]) -> np.ndarray:
    for name, count in trace.saturations.items():
        if count:
            saturations[name] = saturations.get(name, 0) + count
    return trace.outputs


def _whole(data: DataSet, runs: Any, correct: dict[str, np.ndarray], tested: int) -> dict[str, int]:
    """Correct answers over training and test images together: a change of accuracy with five times less noise."""
    images, labels = data.train.images, data.train.labels
    counts = {
        n: int(correct[n][-1] + (_in_batches(run, images)[-1] == labels).sum())
        for n, run in runs.items()
        if n != "spiking"
    }
    return {"samples": tested + len(labels), **counts}


def _saturated(saturations: dict[str, int]) -> Problem:
    worst = max(saturations, key=lambda name: saturations[name])
    return Problem(
        "ND602",
        "values were clipped to their width",
        worst,
        f"{sum(saturations.values())} values",
        "0",
        ("calibrate on more samples: --calib N",),
        "warning",
    )


# --- 7 verify ----------------------------------------------------------------------------------------------------


def verify(work: Work, progress: Progress) -> str:
    """Interpreter, cpu and (if mapped) loihi-sim give the same integers at every node and tick; SQNR per layer."""
    data, program = need(work.data, "import"), work.program
    if not work.config.verify:
        work.reasons["bit_true"] = "no samples were asked for (--verify 0)"
        return "skipped"
    picked = samples.stratified(data.test.labels, work.config.verify, work.config.seed)
    images, _ = data.test.take(picked)
    others = ("cpu", "loihi-sim") if work.mapping is not None and work.mapping.fits else ("cpu",)
    result = compare.verify(program, images, others)
    work.bit_true = BitTrue(
        equal=result.equal,
        samples=len(images),
        backends=result.backends,
        divergence=str(result.divergence or ""),
    )
    work.sqnr_db = compare.sqnr(need(work.spiking, "convert"), program, images[:SQNR_SAMPLES])
    return str(result)


# --- 8 estimate --------------------------------------------------------------------------------------------------


def estimate(work: Work, progress: Progress) -> str:
    """Events of the mapped run, counts of the network, and what they cost."""
    from .mapping.grades import grades as silicon_grades

    data, program, graph = need(work.data, "import"), work.program, need(work.integer, "quantize")
    picked = samples.stratified(data.test.labels, EVENT_SAMPLES, work.config.seed)
    images, _ = data.test.take(picked)
    populations = [node.name for node in graph.of(Neuron)]
    record = dict.fromkeys([*cost.names_to_record(graph), *populations])
    work.trace, _ = compare.usable("cpu").run(program, images, tuple(record))
    counts = cost.count(graph, work.trace)
    if work.mapping is not None and work.mapping.fits:
        _, work.events = compare.usable("loihi-sim").run(program, images)
    grades = silicon_grades(graph, work.target)
    work.assessment = cost.assess(program, work.target, work.source, work.events, counts, grades)
    work.reasons |= dict(work.assessment.reasons)
    return _cost_fact(work.assessment)


def _cost_fact(assessment: cost.Assessment) -> str:
    found = assessment.estimate
    if found is None:
        return "no estimate: the network did not run on mapped cores"
    return f"{found.energy_pj.nominal * 1e-6:.3g} uJ, {found.timing.latency_ns.nominal * 1e-6:.3g} ms per inference"


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
