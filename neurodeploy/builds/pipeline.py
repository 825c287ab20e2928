"""A build: nine stages in order, timed, logged, reported, and written so that a folder is whole or untouched."""

from __future__ import annotations

import json
import os
import platform
import shutil
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from .. import __version__, artifact, config, files
from ..config import BuildConfig
from ..errors import MappingError, NeurodeployError, Problem, UsageError, VerifyError, unknown_name
from ..target import Target
from ..target import load as load_target

#: what a build folder holds
FILES = ("program.h5", "build.toml", "report.html", "report.json", "layers.csv", "cores.csv", "links.csv", "build.log",
         "repro.json")  # fmt: skip
STAGE_NAMES = (
    "import",
    "convert",
    "calibrate",
    "quantize",
    "map",
    "evaluate",
    "verify",
    "estimate",
    "report",
)


#: stages that a build can start from, given the artifact of an earlier one
RESTARTS = STAGE_NAMES[:6]


@dataclass(frozen=True)
class Event:
    """Something a user may want to see while a build runs.

    ``begin`` carries the facts to print first; a stage comes as ``start``, any number of ``progress`` (fraction 0 .. 1)
    and ``finish`` with its time and headline fact.
    """

    kind: Literal["begin", "start", "progress", "finish"]
    stage: str = ""
    index: int = 0
    total: int = len(STAGE_NAMES)
    fraction: float = 0.0
    seconds: float = 0.0
    fact: str = ""
    facts: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        if self.kind == "begin":
            return "\n".join(f"{label:<9} {text}" for label, text in self.facts)
        return f"[{self.index}/{self.total}] {self.stage:<10} {self.fact}  {self.seconds:.1f} s"


Listener = Callable[[Event], None]


@dataclass(frozen=True, eq=False)
class Build:
    """A finished build: its folder, the report's data, and what kept it from fitting or agreeing."""

    folder: Path
    report: Mapping[str, Any]
    errors: tuple[NeurodeployError, ...] = ()
    warnings: tuple[Problem, ...] = ()
    written: tuple[str, ...] = ()

    @property
    def fits(self) -> bool:
        """True if the network fits its target."""
        return not any(isinstance(e, MappingError) for e in self.errors)


def build(
    model: str | None = None,
    target: str | None = None,
    *,
    config_file: str | Path | None = None,
    settings: Sequence[str] = (),
    progress: Listener | None = None,
    **flags: Any,
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
    target = target_of(chosen)
    with _scratch(chosen.folder) as scratch:
        log = _Log(scratch / "build.log", progress)
        try:
            result = _run_stages(chosen, target, scratch, log, (start, to))
        except (NeurodeployError, KeyboardInterrupt):
            raise
        except Exception as error:  # a bug: its traceback goes beside the folder, which stays as it was
            log.write(traceback.format_exc())
            log.rescue(chosen.folder.with_name(f"{chosen.folder.name}.error.log"), error)
            raise
        log.close()
        written = _publish(scratch, chosen.folder)
    return replace(result, written=written)


def target_of(chosen: BuildConfig) -> Target:
    """The target with the chips that were asked for; UsageError ND900 for a config that names no model."""
    if not chosen.model:
        raise UsageError(
            Problem("ND900", "no model was named", "MODEL", fixes=("neurodeploy models lists the zoo",))
        )
    target = load_target(chosen.target)
    return target if chosen.chips is None else target.with_chips(chosen.chips)


def _run_stages(
    chosen: BuildConfig, target: Target, scratch: Path, log: _Log, span: tuple[str, str]
) -> Build:
    from . import stages

    work = stages.Work(chosen, target)
    done: list[tuple[str, float, str]] = []
    first, last = (STAGE_NAMES.index(name) for name in span)
    for name in STAGE_NAMES[: min(last, 7) + 1]:
        if 0 < STAGE_NAMES.index(name) < first:
            continue
        log.start(name)
        began = time.perf_counter()
        fact = stages.STAGES[name](work, lambda fraction, name=name: log.advance(name, fraction))  # type: ignore[misc]
        done.append((name, time.perf_counter() - began, fact))
        if name == "import":
            log.begin(work)
            restore(work, first)
        log.finish(*done[-1])
    return _report(work, scratch, log, done, complete=span[1] == "report")


def restore(work: Any, first: int) -> None:
    """Fill a Work with what the stages before number ``first`` left in the artifact of the build folder.

    Raises UsageError ND949 if the artifact ends too early, belongs to another config, or its source differs.
    """
    if first < 2:
        return
    saved = artifact.load(work.config.folder)
    source = saved.source.content_hash() if saved.source is not None else ""
    same = saved.provenance.get("network_sha256") == work.config.network_digest()
    kept = {"spiking": 2, "ranges": 3, "integer": 4, "mapping": 5}
    if work.holds_integers:
        del kept["spiking"]  # there is none
    missing = [name for name, stage in kept.items() if stage <= first and getattr(saved, name) is None]
    if missing or not same or source != work.source.content_hash():
        reason = f"it holds no {missing[0]}" if missing else "it was built from another model or config"
        raise UsageError(
            Problem(
                "ND949",
                "the artifact cannot be continued",
                str(work.config.folder),
                reason,
                fixes=("build again without --from",),
            )
        )
    for name, stage in kept.items():
        if stage <= first:
            setattr(work, name, getattr(saved, name))
    work.preset = str(saved.provenance.get("preset", ""))


# --- 9 report ----------------------------------------------------------------------------------------------------


def _report(work: Any, scratch: Path, log: _Log, done: list[tuple[str, float, str]], complete: bool) -> Build:
    """Write every file of the build into the scratch folder."""
    began = time.perf_counter()
    log.start("report")
    provenance = provenance_of(work)
    saved = replace(work.artifact(), provenance=provenance)
    provenance = {**provenance, "program_sha256": artifact.save(scratch / artifact.FILE, saved)}
    files.write_text(scratch / "build.toml", config.dump(work.config))
    files.write_text(scratch / "repro.json", json.dumps(provenance, indent=1, sort_keys=True) + "\n")
    data: dict[str, Any] = {}
    if complete:
        data = _write_report(work, scratch, done, provenance)
    log.finish(
        "report",
        time.perf_counter() - began,
        f"{len(FILES) if complete else 4} files in {work.config.folder}",
    )
    return Build(work.config.folder, data, errors=tuple(_errors(work)), warnings=tuple(work.warnings))


def _write_report(
    work: Any, scratch: Path, done: list[tuple[str, float, str]], provenance: dict
) -> dict[str, Any]:
    from .. import report
    from ..report import html

    data = report.build(report_inputs(work, done, provenance))
    report.write(data, scratch)
    html.write(data, scratch)
    return data


def report_inputs(work: Any, done: Sequence[tuple[str, float, str]], provenance: Mapping[str, Any]) -> Any:
    """What the report reads, from what the stages learned."""
    from .. import report
    from ..mapping.grades import grades

    sample = report.raster(work.integer, work.trace) if work.trace is not None else ()
    return report.ReportInputs(
        model=work.model, target=work.target, method=work.config.method, timesteps=work.config.timesteps,
        config=work.config.decisive(), source=work.source, spiking=work.spiking, integer=work.integer,
        mapping=work.mapping, assessment=work.assessment, accuracy=work.accuracy,
        agreement=work.agreement, bit_true=work.bit_true,
        sqnr_db=work.sqnr_db, saturations=work.saturations if work.evaluation else None,
        grades=grades(work.integer, work.target),
        raster=sample, raster_sample=_raster_sample(work) if sample else "", stimulus=stimulus_of(work),
        lava=lava_of(work),
        warnings=tuple(work.warnings), stages=tuple(report.Stage(name=n, seconds=s, fact=f) for n, s, f in done),
        provenance=provenance, reasons=work.reasons,
    )  # fmt: skip


def stimulus_of(work: Any) -> dict[str, Any]:
    """What the network ran on."""
    return dict(work.stimulus.facts()) if work.stimulus is not None else {}


def lava_of(work: Any) -> dict[str, Any]:
    """What every layer becomes in Lava, and how much of the synaptic work Lava's own processes do; needs no Lava."""
    from ..backends import described

    found = described(work.program).get("lava") if work.integer is not None else None
    if found is None:
        return {}
    if isinstance(found, Problem):
        work.reasons["lava"] = work.reasons["layers.lava"] = found.cause
        return {}
    rows = [
        {
            "layer": r.layer,
            "processes": str(r),
            "events": r.events,
            "stock_events": r.stock_events,
            "own": r.reason,
        }
        for r in found.rows
    ]
    return {"processes": found.processes, "share": found.share, "layers": rows, "nodes": dict(found.nodes)}


def _raster_sample(work: Any) -> str:
    return f"first {'synthetic' if work.synthetic else 'test'} sample of the estimate"


def _errors(work: Any) -> Iterator[NeurodeployError]:
    if work.mapping is not None and not work.mapping.fits:
        yield MappingError(work.mapping.problems)
    if work.bit_true is not None and not work.bit_true.equal:
        yield VerifyError(
            Problem(
                "ND650",
                "two executions that should agree differ",
                work.bit_true.divergence,
                fixes=(f"neurodeploy verify {work.config.folder}",),
            )
        )


def provenance_of(work: Any) -> dict[str, Any]:
    """Versions, seeds and hashes: what somebody needs to get the same numbers; neither time nor place."""
    graphs = {name: getattr(work, name) for name in ("source", "spiking", "integer")}
    return {
        "neurodeploy": __version__,
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "versions": versions(),
        "seed": work.config.seed,
        "config_sha256": work.config.digest(),
        "network_sha256": work.config.network_digest(),
        "target": work.target.name,
        "target_sha256": work.target.sha256,
        "data": work.data.name if work.data else None,
        "data_spec": work.config.data,
        "data_sha256": work.data.hash if work.data else None,
        "tokenizer": work.tokenizer,
        "input": stimulus_of(work),
        "model": work.config.model,
        "preset": work.preset,
        "graphs_sha256": {name: g.content_hash() for name, g in graphs.items() if g is not None},
        "evaluation": work.evaluation,
        "command": "neurodeploy build --config build.toml",
    }


def versions() -> dict[str, str]:
    """Installed versions of the libraries that can change a number."""
    from importlib.metadata import PackageNotFoundError, version

    from ..registry import distributions

    found = {}
    for name in distributions():
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


# --- folders -----------------------------------------------------------------------------------------------------


@contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    """A folder beside the build folder, removed on every way out."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(
            Problem("ND902", "the output folder is a file", str(folder), fixes=("choose another --out",))
        )
    scratch = folder.parent / f".{folder.name}.partial-{os.getpid()}"
    made = [parent for parent in folder.parents if not parent.exists()]  # deepest first
    with files.typed(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(folder)
        scratch.mkdir()
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        for parent in made:  # what is empty again goes as well
            with suppress(OSError):
                parent.rmdir()


def _remove_abandoned(folder: Path) -> None:
    """Scratch folders of builds that were killed."""
    for left in folder.parent.glob(f".{folder.name}.partial-*"):
        pid = left.name.rpartition("-")[2]
        if pid.isdigit() and not _alive(int(pid)):
            shutil.rmtree(left, ignore_errors=True)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _publish(scratch: Path, folder: Path) -> tuple[str, ...]:
    """Move finished files into place: one rename for a new folder, else file by file with interrupts held back."""
    names = tuple(sorted(p.name for p in scratch.iterdir()))
    with files.typed(folder), _uninterrupted():
        if not folder.exists():
            os.rename(scratch, folder)
            return names
        for name in names:
            os.replace(scratch / name, folder / name)
        for stale in set(FILES) - set(
            names
        ):  # of an earlier, fuller build: it would contradict the new files
            (folder / stale).unlink(missing_ok=True)
    return names


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Ctrl-C waits until the block is done (only the main thread gets signals)."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    waiting: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: waiting.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if waiting:
        raise KeyboardInterrupt


@dataclass
class _Log:
    """Passes events on and keeps a line of each in ``build.log``."""

    path: Path
    listener: Listener | None
    lines: list[str] = field(default_factory=list)

    def begin(self, work: Any) -> None:
        """The facts that come first."""
        self._emit(Event("begin", facts=tuple(_facts(work))))

    def start(self, name: str) -> None:
        """A stage begins."""
        self._pass_on(Event("start", name, STAGE_NAMES.index(name) + 1))

    def advance(self, name: str, fraction: float) -> None:
        """A stage has come this far."""
        self._pass_on(Event("progress", name, STAGE_NAMES.index(name) + 1, fraction=fraction))

    def finish(self, name: str, seconds: float, fact: str) -> None:
        """A stage is done."""
        self._emit(
            Event("finish", name, STAGE_NAMES.index(name) + 1, fraction=1.0, seconds=seconds, fact=fact)
        )

    def write(self, text: str) -> None:
        """More text for the log alone."""
        self.lines.append(text.rstrip())

    def rescue(self, path: Path, error: Exception) -> None:
        """Keep the log of a build that failed by a bug, if the disk allows, and note the place on the error."""
        try:
            files.write_text(path, "\n".join(self.lines) + "\n")
            error.__notes__ = [str(path)]  # type: ignore[attr-defined]
        except NeurodeployError:
            return

    def close(self) -> None:
        """Put the log beside the other files."""
        files.write_text(self.path, "\n".join(self.lines) + "\n")

    def _emit(self, event: Event) -> None:
        self.lines.append(str(event))
        self._pass_on(event)

    def _pass_on(self, event: Event) -> None:
        if self.listener is not None:
            self.listener(event)


def _facts(work: Any) -> Iterator[tuple[str, str]]:
    model, target, data, chosen = work.model, work.target, work.data, work.config
    yield "model", f"{model.name} from {model.source}, {model.parameters:,} parameters"
    honest = {"simulated": "simulated estimate, not hardware", "software": "software, not hardware"}
    yield (
        "target",
        f"{target.name} ({honest.get(target.kind, target.kind)}), {target.cores} cores, {target.file}",
    )
    if data:
        found = f"{data.name} {data.hash[:12]} ({data.source})"
        yield "data", f"{found}, {len(data.train)} training, {len(data.test)} test"
    else:
        facts = stimulus_of(work)
        yield "data", f"none: {facts['label']}, {facts['text']}"
    bits = "weights of the file" if work.holds_integers else f"{chosen.weight_bits}-bit weights"
    yield "method", f"{chosen.method}, T = {chosen.timesteps}, {bits}"
    yield "output", str(chosen.folder)
