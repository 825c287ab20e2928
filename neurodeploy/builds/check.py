"""Whether method and target can take a network, node by node: the stages of a build on noise, up to the mapping."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from .. import datasets, handed, sources, support
from ..config import BuildConfig
from ..convert import named
from ..errors import GraphError, Problem, QuantizeError, UsageError
from ..freed import give_back
from ..frontends.proof.types import ImportCheck
from ..inputs import fitting, texts
from ..inputs.samples import Synthetic
from ..ir.graph import Graph, raw_range
from ..ir.nodes import Synapse
from ..mapping.given import Given, read
from ..support import Verdict
from ..target import Target
from .calibrated import calibrate
from .converted import convert
from .imported import Imported, described, encoded, not_compared, reasons, untrained
from .integer import quantize
from .mapped import Mapped, laid_out
from .pipeline import require_members, target_of

#: most samples that ranges come from, and their share of ones where they are binary
COUNT, RATE = 4, 0.5
#: what the dry run makes small
OBJECTIVE = "cores"


@dataclass(frozen=True, repr=False)
class Check:
    """What stands between a network and a target: a verdict per node and every problem.

    ``import_check`` is what was compared with the model itself, None where nothing was.
    ``cores`` (fewest needed, of tokens in space if these fit; there are) come from a dry run on noise; a build,
    calibrated on data, says for sure. So does ``search``, what that run is expected to cost and wait for
    (:mod:`neurodeploy.mapping.outcome`).
    """

    model: str
    target: str
    method: str
    verdicts: tuple[Verdict, ...]
    problems: tuple[Problem, ...]
    cores: tuple[int, int] | None = None
    import_check: ImportCheck | None = None
    search: Mapping[str, Any] = field(default_factory=dict)

    @property
    def blocked(self) -> bool:
        """True if anything but warnings was found."""
        return any(p.severity == "error" for p in self.problems)

    def __repr__(self) -> str:
        cores = f", {self.cores[0]} of {self.cores[1]} cores" if self.cores else ""
        verdict = "blocked" if self.blocked else "can run"
        codes = ", ".join(dict.fromkeys(p.code for p in self.problems))
        model = (
            self.model.removeprefix("handed:").rpartition("-")[0] if handed.named(self.model) else self.model
        )
        return f"<Check {model} on {self.target} by {self.method}: {verdict}{cores}{codes and '; ' + codes}>"


def check(asked: BuildConfig) -> Check:
    """A verdict for each node of the integer network, and what the method or the target refuses.

    Of data nothing but shape and levels is read. Raises what the import of a build raises.
    """
    require_members(asked)
    target = target_of(asked)
    found = _imported(asked)
    problems = list(found.warnings)
    if not found.holds_integers:
        problems += named(found.config.method).accept(found.graph)
    report = Check(
        asked.model, target.name, found.config.method, (), tuple(problems), import_check=found.check
    )
    if report.blocked:
        return report
    try:
        graph, given = _integers(found), found.given
    except (QuantizeError, GraphError) as error:
        return replace(report, problems=(*problems, *error.problems))
    del found  # its weights in floats, of which the mapping needs none
    give_back(sum(node.weight.size for node in graph.of(Synapse)))
    mapped = _mapped(asked, graph, target, given)
    problems += mapped.mapping.problems
    verdicts = tuple(support.verdicts(mapped.graph, target, problems))
    cores = len(mapped.mapping.cores), mapped.mapping.cores_total
    expected = mapped.mapping.notes["search"]
    search = {"objective": OBJECTIVE, **expected} if expected else {}
    return replace(report, verdicts=verdicts, problems=tuple(problems), cores=cores, search=search)


def _mapped(asked: BuildConfig, graph: Graph, target: Target, given: Given) -> Mapped:
    """Tokens in space where these fit and nobody says otherwise: what turns would gain is for a build to weigh."""
    # Where cores lie is not said.
    lay_out = partial(laid_out, graph, target, OBJECTIVE, "snake", given=given, lookups=asked.lookups)
    if asked.streams is None and given.streams is None and not given.rules:
        space = lay_out(streams=0)
        if space.mapping.fits:
            return space
    return lay_out(streams=asked.streams)


def _integers(found: Imported) -> Graph:
    """The integer graph of ranges from noise: structure and codes are final, numbers are not."""
    if found.holds_integers:
        return found.graph  # nothing is left to decide
    spiking = convert(found).graph
    return quantize(found, spiking, calibrate(found, spiking).ranges).graph


def _imported(asked: BuildConfig) -> Imported:
    """The source graph as a build imports it, told the range of its data, with noise to run on."""
    given = read(asked.mapping)
    data = datasets.facts(asked.data, asked.loader) if asked.data else None
    found = sources.load(asked, data)
    config, graph = sources.completed(asked, found), found.graph
    warnings = [*sources.remarks(config, graph), *untrained(found), *not_compared(found)]
    try:
        data = data or (datasets.facts(config.data, config.loader) if config.data else None)
    except UsageError as error:
        # No image is needed here: the model's own data may lie elsewhere, or nowhere.
        if any(p.code != "ND920" for p in error.problems):
            raise
        warnings.append(_unseen(config.data, graph))
    found = encoded(found, config, data)
    graph = found.graph
    if data is not None and data.texts:
        texts.fitting(data.source, graph, found.model.tokenizer)
    elif data is not None:
        graph = fitting.ranged(graph, data.levels, found.model.kind)
        misfits = fitting.misfits(graph, data)
        if misfits:
            raise UsageError(misfits)
        warnings += [*data.warnings, *sources.raw_levels(config, found.model, data.levels)]
        warnings += sources.preparation(config, graph, data.shape)
    if raw_range(graph) is None and graph.header.level != "integer":
        graph = fitting.with_range(graph, sources.assumed_levels(graph))
    return Imported(
        config=config.model_copy(update={"calib": min(COUNT, config.calib)}), model=described(found, None), graph=graph,
        stimulus=Synthetic(graph, rate=RATE), tokenizer=found.model.tokenizer, warnings=tuple(warnings),
        check=found.check, unchecked=found.label, reasons=reasons(found), given=given,
    )  # fmt: skip


def _unseen(data: str, graph: Graph) -> Problem:
    """ND939: the data set that a model names is not here, and with it the levels of its pixels."""
    cause = "checked without the model's data: the range of the input is taken from its scale"
    shown, fixes = f"0 .. {sources.assumed_levels(graph)}", ("give the data with --data",)
    return Problem("ND939", cause, data, shown, fixes=fixes, severity="warning")
