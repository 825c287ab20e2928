"""A build: nine stages in order, timed, logged, reported, and written so that a folder is whole or untouched."""

from __future__ import annotations

import json
import os
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from .. import artifact, compare, config, encoders, files, handed, report
from ..config import BuildConfig
from ..convert import require as require_method
from ..counted import listening
from ..errors import MappingError, NeurodeployError, Problem, UsageError, VerifyError, unknown_name
from ..interrupts import beneath, heed
from ..mapping.objectives._base import OBJECTIVES
from ..mapping.placements._base import PLACEMENTS
from ..mapping.written import FILE, written
from ..publishing import FILES, publish
from ..registry import Room
from ..report import html
from ..sources import factories, zoo
from ..target import Target, load
from . import parts
from .build import Build
from .calibrated import Calibrated, calibrate
from .converted import Converted, convert
from .evaluated import Evaluated, evaluate
from .folder import scratch
from .imported import Imported, import_model
from .integer import Integer, quantize
from .kept import Keeper
from .log import STAGE_NAMES, Event, Listener, Log
from .mapped import Mapped, map_to_cores
from .paced import Budget
from .priced import Priced, estimate
from .provenance import provenance_of
from .reported import report_inputs
from .restart import RESTARTS, artifact_of, restored
from .result import Progress, Result, Results
from .verified import Verified, verify

__all__ = ["FILES", "STAGE_NAMES", "Build", "Event", "Listener", "build", "run", "stages", "target_of"]


def build(
    model: str | None = None,
    target: str | None = None,
    *,
    config_file: str | Path | None = None,
    settings: Sequence[str] = (),
    progress: Listener | None = None,
    **flags: object,
) -> Build:
    """Import, convert, quantize, map, evaluate, verify, price and report one network; returns the Build.

    ``flags`` are fields of :class:`neurodeploy.config.BuildConfig`. Raises MappingError or VerifyError *after* the
    report is written if the network does not fit or two executions disagree; any other typed error stops earlier.
    """
    chosen = config.resolve({"model": model, "target": target, **flags}, config_file, settings)
    result = run(chosen, progress)
    if result.errors:
        raise result.errors[0]
    return result


def run(
    chosen: BuildConfig, progress: Listener | None = None, start: str = "import", to: str = "report"
) -> Build:
    """As :func:`build` from a resolved config; what does not fit or agree is in ``errors`` instead of raised.

    ``start`` takes what earlier stages made from the artifact in the build folder; ``to`` is the last stage that runs.
    """
    for name, known, flag in ((start, RESTARTS, "--from"), (to, STAGE_NAMES, "--to")):
        if name not in known:
            raise UsageError(unknown_name("ND900", "stage", name, known, flag))
    require_members(chosen)
    keeper = Keeper(target := target_of(chosen))
    place = Path(os.path.realpath(chosen.folder))  # renames need the same file system, wherever a link leads
    with scratch(place) as made:
        log = Log(made / "build.log", progress)
        try:
            results, timed = _run_stages(chosen, target, log, start, to, keeper)
            result = _report(results, target, made, log, timed, complete=to == "report")
        except (NeurodeployError, KeyboardInterrupt):
            raise
        except Exception as error:
            if not isinstance(beneath(error), KeyboardInterrupt):
                # a bug: its traceback goes beside the folder, which stays as it was
                log.write(traceback.format_exc())
                log.rescue(place.with_name(f"{place.name}.error.log"), error)
            raise
        log.close()
        names = publish(made, place)
    keeper.forget()
    return replace(result, written=names)


#: keys of a config whose value names a member of a room
MEMBERS: Mapping[str, Room[Any]] = {"optimise": OBJECTIVES, "placement": PLACEMENTS}


def require_members(chosen: BuildConfig) -> None:
    """UsageError ND904 for a key whose value names no member of its room, ND930 for a broken one.

    ND307, ND302 and ND303 for the method and its options, where the config or the zoo names one, and ND111 for a
    factory that is not there: all of that is known before a network is made.
    """
    for key, room in MEMBERS.items():
        name = getattr(chosen, key)
        if name is not None:
            room.named(name, "ND904", room.interface.__name__.lower(), key)
    factories.require(chosen.model)
    method = chosen.method or (zoo.entry(chosen.model).method if chosen.model in zoo.names() else "")
    if method and method != config.INTEGER:
        require_method(method, chosen.convert)


def target_of(chosen: BuildConfig) -> Target:
    """The target with the chips that were asked for; UsageError ND900 for a config that names no model."""
    if not chosen.model:
        fixes = ("neurodeploy models lists the zoo",)
        raise UsageError(Problem("ND900", "no model was named", "MODEL", fixes=fixes))
    target = load(chosen.target)
    return target if chosen.chips is None else target.with_chips(chosen.chips)


def stages(
    asked: BuildConfig,
    target: Target,
    start: str,
    tell: Callable[[str], Progress],
    keeper: Keeper | None = None,
) -> Iterator[Result]:
    """The results of the first eight stages, each made when it is asked for, or kept from an earlier build.

    ``tell(name)`` is what hears how far a stage has come.
    """
    yield (imported := import_model(asked))
    if keeper is not None and start == STAGE_NAMES[0]:  # an artifact may hold what this code would not make
        keeper.begin(imported)
    kept, get = restored(imported, start), (keeper or Keeper(target)).get
    yield (converted := kept.converted or get(Converted, lambda: convert(imported)))
    spiking = converted.graph
    yield (
        calibrated := kept.calibrated
        or get(Calibrated, lambda: calibrate(imported, spiking, tell("calibrate")))
    )
    ranges = calibrated.ranges
    yield (integer := kept.integer or get(Integer, lambda: quantize(imported, spiking, ranges)))
    graph = integer.graph
    yield (mapped := kept.mapped or get(Mapped, lambda: map_to_cores(imported, graph, target, ranges)))
    program = mapped.program
    yield get(Evaluated, lambda: evaluate(imported, spiking, program, target, tell("evaluate")))
    budget = Budget.of(asked)
    yield get(Verified, lambda: verify(imported, spiking, program, target, budget, tell("verify")))
    yield estimate(imported, program, target, budget, tell("estimate"))


def _run_stages(
    chosen: BuildConfig, target: Target, log: Log, start: str, to: str, keeper: Keeper
) -> tuple[Results, list[report.Stage]]:
    """The results of all stages up to ``to``, and the times of those that ran."""
    results, timed = Results(), []
    made = stages(chosen, target, start, lambda name: partial(log.advance, name), keeper)
    kept = STAGE_NAMES[1 : STAGE_NAMES.index(start)]
    for name in STAGE_NAMES[: min(STAGE_NAMES.index(to) + 1, len(STAGE_NAMES) - 1)]:
        if name in kept:
            results = results.with_(next(made))
            continue
        heed()
        log.start(name)
        began = time.perf_counter()
        with listening(partial(log.advance, name)):
            results = results.with_(result := next(made))
        timed.append(report.Stage(name=name, seconds=time.perf_counter() - began, fact=result.fact))
        if isinstance(result, Imported):
            log.begin(_facts(result, target))
        log.finish(name, timed[-1].seconds, f"{result.fact}, kept" if result.kept else result.fact)
    return _settled(results), timed


def _settled(results: Results) -> Results:
    """The same with the numbers of samples that ran in the config, which replays them."""
    found, verified, priced = results[Imported], results.get(Verified), results.get(Priced)
    wanted, ran = dict(found.config.wanted), {}
    if verified is not None and verified.bit_true is not None and verified.bit_true.samples < verified.wanted:
        wanted["verify"], ran["verify"] = verified.wanted, verified.bit_true.samples
    if priced is not None and priced.assessment.counts is not None:
        ran["estimate"] = priced.assessment.counts.samples
        if ran["estimate"] < priced.wanted:
            wanted["estimate"] = priced.wanted
    config = found.config.model_copy(update={**ran, "wanted": wanted})
    return results.instead(replace(found, config=config))


def _facts(found: Imported, target: Target) -> Iterator[tuple[str, str]]:
    model, data, chosen = found.model, found.data, found.config
    yield "model", f"{model.name} from {model.source}, {model.parameters:,} parameters"
    honest = {"simulated": "simulated estimate, not hardware", "software": "software, not hardware"}
    kind = honest.get(target.kind, target.kind)
    yield "target", f"{target.name} ({kind}), {target.cores} cores, {target.file}"
    if data:
        split = f"{len(data.train)} training, {len(data.test)} test"
        yield "data", f"{data.name} {data.hash[:12]} ({data.source}), {split}"
        if data.told:
            yield "", data.told
    else:
        facts = found.stimulus.facts()
        yield "data", f"none: {facts['label']}, {facts['text']}"
    bits = "weights of the model" if found.holds_integers else f"{chosen.weight_bits}-bit weights"
    encoder = f", encoder {model.encoder}" if model.encoder != encoders.NONE else ""
    yield "method", f"{chosen.method}, T = {chosen.timesteps}, {bits}{encoder}"
    yield "output", str(chosen.folder)


# --- 9 report ----------------------------------------------------------------------------------------------------


def _report(
    results: Results, target: Target, place: Path, log: Log, timed: Sequence[report.Stage], complete: bool
) -> Build:
    """Write every file of the build into the scratch folder."""
    began = time.perf_counter()
    log.start("report")
    chosen, saved = results[Imported].config, artifact_of(results)
    provenance = provenance_of(results, saved, target)
    saved = replace(saved, provenance=provenance)
    provenance = {**provenance, "program_sha256": artifact.save(place / artifact.FILE, saved)}
    files.write_text(place / parts.SETTINGS, config.dump(chosen))
    handed.give(place, (chosen.model, chosen.data))
    if (mapped := results.get(Mapped)) is not None:
        files.write_text(place / FILE, written(mapped.mapping, target))
    data: dict[str, Any] = {}
    if complete:
        data = report.build(report_inputs(results, target, timed, provenance))
        report.write(data, place)
        html.write(data, place)
    record = {**provenance, "files_sha256": parts.hashes(place)}
    files.write_text(place / parts.RECORD, json.dumps(record, indent=1, sort_keys=True) + "\n")
    count = len(list(place.iterdir()))
    log.finish("report", time.perf_counter() - began, f"{count} files in {chosen.folder}")
    return Build(chosen.folder, data, errors=tuple(_errors(results)), warnings=results.warnings)


def _errors(results: Results) -> Iterator[NeurodeployError]:
    mapped, verified, evaluated = results.get(Mapped), results.get(Verified), results.get(Evaluated)
    if mapped is not None and not mapped.mapping.fits:
        yield MappingError(mapped.mapping.problems)
    left = [p for p in evaluated.warnings if p.severity == "error"] if evaluated is not None else []
    if left:
        yield MappingError(left)
    if verified is not None and verified.bit_true is not None and not verified.bit_true.equal:
        fixes = (f"neurodeploy verify {results[Imported].config.folder}",)
        yield VerifyError(Problem("ND650", compare.DIFFER, verified.bit_true.divergence, fixes=fixes))
