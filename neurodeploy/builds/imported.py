"""Stage 1, import: the source graph, and what it is measured on."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from .. import convert, datasets, encoders, sources
from ..config import BuildConfig
from ..datasets import DataSet, Facts
from ..errors import Problem, UsageError
from ..frontends.proof.types import ImportCheck
from ..inputs import fitting, masks, texts
from ..inputs.samples import Recorded, Stimulus, Synthetic, hidden, tokens
from ..ir import levels
from ..ir.graph import Graph
from ..ir.nodes import Synapse
from ..mapping.given import Given, read
from ..report.inputs import ModelInfo
from ..sources import Source
from .result import Result


@dataclass(frozen=True, eq=False, kw_only=True)
class Imported(Result):
    """The source graph, simplified and told the range of its input, with what it runs on.

    ``config`` is complete: method, ticks and data are the model's own where the user chose none. ``tokenizer`` is the
    one that made token ids of texts, ``data`` None where the network runs on synthetic input. ``whole`` is the graph
    before rows that nobody reads were left out of it. ``check`` is what was compared with the model itself; None, with
    the reason in ``reasons``, where nothing was. ``unchecked`` is what every number is then called, if there was
    something to compare with. ``given`` is what the user said about the mapping.
    """

    config: BuildConfig
    model: ModelInfo
    graph: Graph
    stimulus: Stimulus
    data: DataSet | None = None
    tokenizer: str = ""
    whole: Graph | None = None
    check: ImportCheck | None = None
    unchecked: str = ""
    given: Given = field(default_factory=Given)

    @property
    def holds_integers(self) -> bool:
        """Whether the model came as integers: then there is no float network to compare with."""
        return self.graph.header.level == "integer"

    @property
    def synthetic(self) -> bool:
        """Whether the network runs on synthetic input, for want of data."""
        return isinstance(self.stimulus, Synthetic)


def import_model(asked: BuildConfig) -> Imported:
    """The network of a config and its data, or synthetic input for files that need none.

    Raises what front ends and readers of data raise, UsageError ND932 for a model without data, ND933 for data that do
    not fit, ND521 to ND524 for a mapping file that is none, GraphError for a file whose integers break a rule.
    """
    given = read(asked.mapping)
    data = datasets.load(asked.data, asked.loader) if asked.data else None
    found = sources.load(asked, data)
    config = sources.completed(asked, found)
    if not config.data and found.model.needs_data and tokens(found.graph) is None:
        raise UsageError(_no_data(config.model))
    data = data or (datasets.load(config.data, config.loader) if config.data else None)
    found = encoded(found, config, data)
    graph = found.graph
    warnings = [*sources.remarks(config, graph), *untrained(found), *not_compared(found)]
    if data is not None:
        data, graph, more = _fitted(config, found, data)
        warnings += more
    if graph.header.level == "integer":
        levels.require(graph, "integer")
    if data is None and found.model.untrained:
        graph = fitting.with_range(graph, sources.assumed_levels(graph))
    graph, whole = _deepened(graph, stimulus(graph, data, config)), found.whole
    if whole is not None:
        whole = _deepened(whole, stimulus(graph, data, config))
    config, told, more = settled(config, graph, whole or graph, stimulus(graph, data, config))
    warnings += more
    model = described(found, data, config.encoder)
    cached = ", cached" if found.cached else ""
    return Imported(
        config=config, model=model, graph=graph, stimulus=stimulus(graph, data, config), data=data,
        tokenizer=found.model.tokenizer, whole=whole, warnings=tuple(warnings),
        check=found.check, unchecked=found.label, reasons=reasons(found), given=given,
        fact=f"{len(graph.nodes)} nodes, {model.parameters:,} parameters{cached}{told}",
    )  # fmt: skip


def settled(
    config: BuildConfig, graph: Graph, whole: Graph, drawn: Stimulus
) -> tuple[BuildConfig, str, list[Problem]]:
    """The config with a method that ``auto`` stands for, what was tried, and a warning (ND312) where none is enough."""
    if config.method != convert.AUTO:
        return config, "", []
    samples, classes = (
        drawn.calibration(2 * config.calib),
        isinstance(drawn, Recorded) and drawn.data.labelled,
    )
    chosen = convert.cheapest(graph, whole, samples, config.max_loss, config.timesteps, classes)
    trial = chosen.best.trial
    update = {"method": chosen.best.method, "timesteps": trial.ticks, "convert": {"preset": trial.preset}}
    warnings = []
    if not chosen.holds:
        cause, fix = (
            "no setting that was tried changes as few answers",
            "name a method, ticks and options yourself",
        )
        limit = f"{config.max_loss:g} % (--max-loss)"
        warnings.append(Problem("ND312", cause, config.model, str(chosen.best), limit, (fix,), "warning"))
    return config.model_copy(update=update), f"; {chosen}", warnings


def encoded(found: Source, config: BuildConfig, data: DataSet | Facts | None) -> Source:
    """The network behind the encoder of its input, if there is one; ConvertError ND310, UsageError ND309."""
    if config.encoder in ("", encoders.NONE):
        return found
    levels = data.levels if data else sources.assumed_levels(found.graph)
    ticks = config.timesteps or found.graph.header.timesteps

    def behind(graph: Graph) -> Graph:
        graph = fitting.ranged(graph, levels, found.model.kind)
        return encoders.encoded(graph, config.encoder, levels, ticks)

    return replace(found, graph=behind(found.graph), whole=found.whole and behind(found.whole))


def _deepened(graph: Graph, drawn: Stimulus) -> Graph:
    """The graph with hidden tokens deep enough for the texts that it will run on."""
    return masks.deepened(graph, drawn.calibration(masks.SAMPLES)) if hidden(graph) else graph


def untrained(found: Source) -> list[Problem]:
    """A warning (ND196) where weights are random."""
    if not found.model.untrained:
        return []
    cause, limit = "the weights are random", "sizes, cores and prices; no accuracy"
    name, fix = found.model.name, "give data with --data and weights of your own training"
    return [Problem("ND196", cause, name, "no training", limit, (fix,), "warning")]


def not_compared(found: Source) -> list[Problem]:
    """A warning (ND142) where the user did not want the import to be compared with the model."""
    if not found.label:
        return []
    cause = f"the import was not compared with the model: every number is marked '{found.label}'"
    return [
        Problem("ND142", cause, found.model.name, fixes=("leave out --no-import-check",), severity="warning")
    ]


def reasons(found: Source) -> dict[str, str]:
    """Why there is no import check, where there is none."""
    return {"import_check": found.unchecked} if found.unchecked else {}


def _fitted(config: BuildConfig, found: Source, data: DataSet) -> tuple[DataSet, Graph, list[Problem]]:
    """Data and graph told of each other, and warnings; UsageError ND933 if they do not fit."""
    warnings: list[Problem] = []
    if data.texts:
        data, warnings = texts.tokenised(data, found.graph, found.model.tokenizer)
    graph = fitting.ranged(found.graph, data.levels, found.model.kind)
    fitting.require_fit(graph, data)
    warnings += [*data.warnings, *sources.raw_levels(config, found.model, data.levels)]
    return data, graph, [*warnings, *sources.preparation(config, graph, data.shape)]


def described(found: Source, data: DataSet | None, encoder: str = "") -> ModelInfo:
    """The network and its data as the user named them."""
    model = found.model
    return ModelInfo(
        name=model.name, system=model.system or model.kind, source=model.source, title=model.title,
        parameters=parameters(found.graph), dataset=data.name if data else "", dataset_sha256=data.hash if data else "",
        reading=data.told if data else "", encoder=encoder or encoders.NONE,
    )  # fmt: skip


def _no_data(model: str) -> Problem:
    cause = "the model names no data to calibrate and test on"
    return Problem("ND932", cause, model, fixes=("give a data set or file with --data",))


def stimulus(graph: Graph, data: DataSet | None, config: BuildConfig) -> Stimulus:
    """What the network runs on; UsageError ND932 if there are no data and no range to draw from."""
    if data is not None:
        return Recorded(graph, data, config.seed)
    drawn = Synthetic(graph, config.seed, config.spike_rate)
    drawn.facts()  # asks for the range
    return drawn


def parameters(graph: Graph) -> int:
    """Weights and biases of a graph."""
    return sum(n.weight.size + (0 if n.bias is None else n.bias.size) for n in graph.of(Synapse))
