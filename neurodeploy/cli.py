"""The command line: parses flags, shows progress and results, turns errors into text and exit codes. Only this prints.

Progress and stage lines go to stderr, results to stdout. Heavy imports happen inside the commands: ``--help`` is fast.
"""

from __future__ import annotations

import json
import math
import os
import signal
import sys
import textwrap
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import asdict, replace
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO, cast

import typer

from . import __version__, errors, interrupts, verbs
from .errors import NeurodeployError, Problem, UsageError, grouped, nearest
from .visible import visible

try:  # typer carries its own copy of click since 0.26
    from typer._click import exceptions as click_errors
except ImportError:  # pragma: no cover
    from click import exceptions as click_errors  # type: ignore[no-redef]

if TYPE_CHECKING:
    from . import evaluation
    from .backends._base import Description
    from .builds.pipeline import Event

EXIT_INTERRUPTED = 130
#: warnings of a build that say how far its numbers can be trusted: shown whole
TOLD = {"ND114", "ND680", "ND681", "ND682", "ND683"}
EXIT_CLOSED = 141  # what a shell reports of a tool whose reader has gone


class Format(str, Enum):
    """How results and problems are shown."""

    auto = "auto"
    rich = "rich"
    plain = "plain"
    json = "json"


class _Closed(BaseException):
    """Nobody reads what is printed any more."""


class _Pipe:
    """A stream of the process that tells a reader who left (:class:`_Closed`) from every other broken pipe."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # an encoding that lacks a letter stops no command

    def write(self, text: str) -> int:
        """As every text stream."""
        with _reader():
            return self._stream.write(text)

    def flush(self) -> None:
        """As every text stream."""
        with _reader():
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def _reader() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError as error:
        raise _Closed from error


class _Screen:
    """Where everything that is printed goes through; options of the command that runs set it up.

    Under ``--format json`` a result or a problem is kept, and :meth:`close` prints the one object there is.
    """

    def __init__(self) -> None:
        self.configure(Format.auto)
        self.kept: Mapping[str, Any] | None = None

    def configure(self, form: Format, quiet: bool = False, verbose: bool = False) -> None:
        """Take over the flags of a command."""
        self.format, self.quiet, self.verbose = form, quiet, verbose

    @property
    def rich(self) -> bool:
        """Whether to draw: asked for, or a terminal."""
        return self.format is Format.rich or (self.format is Format.auto and sys.stdout.isatty())

    @property
    def json(self) -> bool:
        """Whether stdout carries JSON and nothing else."""
        return self.format is Format.json

    def out(self, text: str) -> None:
        """A result."""
        print(visible(text.rstrip("\n")))

    def note(self, text: str) -> None:
        """Something by the way."""
        if not self.quiet:
            self.said(text)

    def said(self, text: str) -> None:
        """What is no result: to stderr."""
        print(visible(text), file=sys.stderr)

    def data(self, value: Mapping[str, Any]) -> None:
        """A result as JSON."""
        self.kept = value

    def close(self, code: int) -> None:
        """Print the JSON object of a command: its result or its problems, else its exit code alone."""
        if self.json:
            found = {"exit_code": code, "problems": []} if self.kept is None else self.kept
            # an escape may stand in a string only
            print(json.dumps(_plain(found), indent=1, allow_nan=False).replace("\x7f", "\\u007f"))

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """A result as a table: JSON objects, drawn, or plain columns."""
        cells = [[_cell(v) for v in row] for row in rows]
        if self.json:
            self.data({"rows": [dict(zip(columns, row, strict=True)) for row in cells]})
            return
        shown = [[visible(cell, "") for cell in row] for row in cells]
        if self.rich:
            from rich import box, console, table, text

            drawn = table.Table(*columns, box=box.SIMPLE_HEAD)
            for row in shown:
                drawn.add_row(*map(text.Text, row))
            console.Console().print(drawn)
        else:
            lines = [list(columns), *shown]
            widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
            for row in lines:
                print("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip())

    def problems(self, error: NeurodeployError) -> None:
        """Everything that is wrong, to stderr, or as JSON to stdout."""
        if self.json:
            self.data({"exit_code": error.exit_code, "problems": [asdict(p) for p in error.problems]})
        elif self.rich:
            self._panels(grouped(error.problems))
        else:
            self.complain(error.problems)

    def warnings(self, problems: Sequence[Problem]) -> None:
        """Those that stop nothing, to stderr; JSON results carry them anyway."""
        if not self.json:
            self.complain(p for p in problems if p.severity == "warning")

    def complain(self, problems: Iterable[Problem]) -> None:
        """Problems of one cause together, to stderr."""
        for problem in grouped(problems):
            self.said(f"{problem.severity}: {problem}\n  more: neurodeploy explain {problem.code}")

    def _panels(self, problems: Sequence[Problem]) -> None:
        from rich import console, panel, text

        shown = console.Console(stderr=True)
        for problem in problems:
            colour = "red" if problem.severity == "error" else "yellow"
            body = text.Text(visible("\n".join(str(problem).splitlines()[1:])) or "-")
            title = visible(f"{problem.severity} {problem.code}: {problem.cause}", "")
            head = text.Text(title, style=f"bold {colour}")
            drawn = panel.Panel(body, title=head, title_align="left", border_style=colour)
            drawn.subtitle, drawn.subtitle_align = f"neurodeploy explain {problem.code}", "right"
            shown.print(drawn)


screen = _Screen()


def _plain(value: Any) -> Any:
    """Only what JSON has: a number that it cannot write is null."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [_plain(item) for item in value]
    if hasattr(value, "item"):
        return _plain(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, (str, int)) or value is None else str(value)


def _cell(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


# --- flags that several commands share ---------------------------------------------------------------------------

Option, Argument = typer.Option, typer.Argument
Text = str | None
Texts = list[str] | None
Whole = int | None
NoCheck = Annotated[
    bool, Option("--no-import-check", help="do not compare the import with the model; all numbers say so")
]
Shape = Annotated[Format, Option("--format", help="rich, plain or json; auto: rich on a terminal")]
Quiet = Annotated[bool, Option("-q", "--quiet", help="no progress")]
Verbose = Annotated[bool, Option("-v", "--verbose", help="more detail, and tracebacks of internal errors")]
ModelName = Annotated[Text, Argument(help="zoo name, file (.pt2, .net, .nir), or py:package.module:factory")]
Place = Annotated[Text, Option("--target", help="target name or .toml file (default: loihi-sim)")]
MethodName = Annotated[Text, Option("--method", help="conversion method (default: the model's own)")]
Ticks = Annotated[Whole, Option("--timesteps", "-T", help="ticks per inference")]
WeightBits = Annotated[Whole, Option("--weight-bits", help="2..8 (default: 8)")]
DataSpec = Annotated[Text, Option("--data", help="data set name, file or folder")]
BuildData = Annotated[
    str, Option("--data", help="data set name, file or folder (default: that of the build)")
]
Samples = Annotated[int, Option("--samples", min=1, help="test samples")]
COMPARED = "test samples (default: as many as there is time for, at most 100)"
Compared = Annotated[int | None, Option("--samples", min=1, help=COMPARED)]
Chips = Annotated[Whole, Option("--chips", help="chips (default: the target's own)")]
Streams = Annotated[
    Whole,
    Option("--streams", help="copies of each layer that take the tokens in turn (default: where needed)"),
]
ConfigFile = Annotated[Path | None, Option("--config", help="TOML file; build.toml replays a build")]
Settings = Annotated[Texts, Option("--set", help="dotted.key=value, may repeat")]
TargetName = Annotated[str, Option("--target", help="target name or .toml file")]
Folder = Annotated[Path, Argument(help="a build folder, or its program.h5")]
Granularity = Annotated[
    str, Option("--granularity", help="one process per layer (default) or per mapped core")
]

#: of single commands, by what they choose
CALIB = "training samples for calibration (default: 256, 16 at the least for large networks; without data at most 32)"
Calib = Annotated[Whole, Option("--calib", help=CALIB)]
TESTED = "test samples for accuracy (default: all, without data at most 32)"
Tested = Annotated[Whole, Option("--eval", "--eval-samples", help=TESTED)]
VERIFIED = "samples for bit equality (default: 100, without data at most 16)"
Verified = Annotated[Whole, Option("--verify", help=VERIFIED)]
SECONDS = "seconds that verify and estimate may take each, unless samples are given (default: 300)"
TimeBudget = Annotated[float | None, Option("--time-budget", help=SECONDS)]
Optimise = Annotated[
    Text, Option("--optimise", help="energy, latency, edp, throughput or cores (default: energy)")
]
MaxCores = Annotated[Whole, Option("--max-cores", min=1, help="cores that may be used (default: all)")]
MaxLatency = Annotated[
    float | None, Option("--max-latency", help="milliseconds of an inference that are allowed, as expected")
]
LAID = "mapping file: layouts and cores of layers, such as mapping.toml of a build; the rest is found"
LaidOut = Annotated[Text, Option("--mapping", help=LAID)]
Out = Annotated[Text, Option("--out", help="output folder (default: build/MODEL-TARGET)")]
From = Annotated[str, Option("--from", help="first stage, from the artifact in the folder")]
RAW = (
    "raw integers as .npy: (samples, *input), or (samples, T, *input) with a frame for each tick; for a network of "
    "texts also ids (samples, tokens), or texts as .txt, .csv, .jsonl"
)
Raw = Annotated[Path, Option("--input", help=RAW)]
Outputs = Annotated[Path, Option("--output", help="accumulated read-outs (T, samples, *output) as .npy")]
RECORDED = (
    "a layer, or a state of its neurons (LAYER.v): values at every tick go into OUTPUT.LAYER.npy; may repeat"
)
Recorded = Annotated[Texts, Option("--record", help=RECORDED)]
Backends = Annotated[Texts, Option("--backend", help="may repeat (default: those that prove a build)")]
Carried = Annotated[
    Path | None, Option("--input", help="raw integers as .npy, for formats that carry samples or hold floats")
]
Drawn = Annotated[int | None, Option("--samples", min=1, help="without --input: samples of the build's data")]
DIFFER = "part of a layer's values in which written floats may differ from the integers (default: 0.05)"
Differ = Annotated[float | None, Option("--differ", min=0, max=1, help=DIFFER)]
PYTHON = "interpreter that has sanafe (default: $NEURODEPLOY_SANAFE_PYTHON, else this one)"
Python = Annotated[str, Option("--python", help=PYTHON)]
Layers = Annotated[Texts, Option("--layers", help="only populations of nodes that match, may repeat")]
Timing = Annotated[str, Option("--timing", help="SANA-FE's timing model: detailed, simple, cycle")]
Memory = Annotated[float | None, Option("--memory", min=0, help="GB that SANA-FE may take (default: 8)")]
TimeLimit = Annotated[
    float | None, Option("--time-limit", min=0, help="seconds that SANA-FE may take (default: 600)")
]

WHOLE = "samples, seeded and spread over the classes (default: the whole split)"
Spread = Annotated[int, Option("--samples", min=0, help=WHOLE)]
LEVEL = "network that answers: integer, or spiking and source in floats"
SCHEDULER = "address of a dask.distributed scheduler, whose workers run the batches"

app = typer.Typer(
    name="neurodeploy",
    help="Put spiking transformers onto neuromorphic cores, bit for bit, with every number traceable.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
target_app = typer.Typer(help="Limits and coefficients of targets, with sources.", no_args_is_help=True)
app.add_typer(target_app, name="targets")


def _show_version(value: bool) -> None:
    if value:
        print(f"neurodeploy {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, Option("--version", callback=_show_version, is_eager=True, help="version")
    ] = False,
) -> None:
    """Options of the program itself."""


# --- build, check ------------------------------------------------------------------------------------------------


@app.command()
def build(
    model: ModelName = None,
    target: Place = None,
    method: MethodName = None,
    timesteps: Ticks = None,
    weight_bits: WeightBits = None,
    data: DataSpec = None,
    calib: Calib = None,
    evaluate: Tested = None,
    verify_samples: Verified = None,
    time_budget: TimeBudget = None,
    chips: Chips = None,
    optimise: Optimise = None,
    max_cores: MaxCores = None,
    max_latency: MaxLatency = None,
    streams: Streams = None,
    mapping: LaidOut = None,
    config: ConfigFile = None,
    settings: Settings = None,
    out: Out = None,
    start: From = "import",
    to: Annotated[str, Option("--to", help="last stage to run")] = "report",
    jobs: Annotated[Whole, Option("--jobs", help="threads (default: all cores)")] = None,
    seed: Annotated[Whole, Option("--seed", help="of the calibration draw (default: 0)")] = None,
    no_import_check: NoCheck = False,
    strict: Annotated[bool, Option("--strict", help="warnings count as errors")] = False,
    form: Shape = Format.auto,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Run all stages, write a build folder and print the summary."""
    screen.configure(form, quiet, verbose)
    from .config import resolve

    flags = {
        "model": model, "target": target, "method": method, "timesteps": timesteps, "weight_bits": weight_bits,
        "data": data, "calib": calib, "eval": evaluate, "verify": verify_samples, "time_budget": time_budget,
        "chips": chips, "optimise": optimise, "max_cores": max_cores, "max_latency_ms": max_latency,
        "streams": streams, "mapping": mapping, "out": out, "jobs": jobs, "seed": seed,
        "import_check": _off(no_import_check),
    }  # fmt: skip
    chosen = resolve(flags, config, settings or ())
    _limit_threads(chosen.jobs)
    from .builds import pipeline

    with _Progress() as listener:
        result = pipeline.run(chosen, listener, start, to)
    _show_summary(dict(result.report), result.folder)
    screen.warnings([p for p in result.warnings if p.code in TOLD])  # the summary counts them all
    failed: list[NeurodeployError] = list(result.errors)
    if strict and result.warnings:
        failed.append(NeurodeployError([replace(p, severity="error") for p in result.warnings]))
    for error in failed[:1]:
        raise _Silent(error.exit_code) if screen.json else error  # the JSON of the report says it already


def _off(flag: bool) -> bool | None:
    """A flag that turns something off: not given, it leaves what a config file says."""
    return False if flag else None


def _limit_threads(jobs: int) -> None:
    """Tell the numeric libraries how many threads to use; they read it when they are first imported."""
    if jobs:
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
            os.environ[name] = str(jobs)


class _Progress:
    """A bar for the stage that runs, one line kept for each that is done; all of it on stderr."""

    def __init__(self) -> None:
        self.bar: Any = None
        self.task: Any = None

    def __enter__(self) -> Callable[[Event], None]:
        if sys.stderr.isatty() and not screen.quiet and screen.rich:
            from rich import console, progress

            shown, columns = (
                console.Console(stderr=True),
                (progress.BarColumn(), progress.TimeElapsedColumn()),
            )
            self.bar = progress.Progress("{task.description}", *columns, console=shown, transient=True)
            self.bar.start()
        return self.show

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.stop()

    def show(self, event: Event) -> None:
        """One event of the pipeline."""
        if event.kind in ("begin", "finish"):
            self._line(str(event))
        if self.bar is None:
            return
        if event.kind == "start":
            named = f"[{event.index}/{event.total}] {event.stage}".replace("[", "\\[")
            self.task = self.bar.add_task(named, total=None)
        elif event.kind == "progress":
            self.bar.update(self.task, total=1.0, completed=event.fraction)
        elif event.kind == "finish":
            self.bar.remove_task(self.task)

    def _line(self, text: str) -> None:
        if self.bar is not None:
            self.bar.console.print(visible(text), markup=False, highlight=False)
        else:
            screen.note(text)


def _show_summary(report: dict[str, Any], folder: Path) -> None:
    if screen.json:
        return screen.data(report or {"folder": str(folder)})
    if not report:
        return screen.out(str(folder))
    from .report import console

    page = str(folder / "report.html")
    if not screen.rich:
        return screen.out(console.text(report, page))
    from rich.console import Console

    Console().print(console.summary(report, page))


#: nodes that `check` lists one by one; -v lists all
MOST_NODES = 100


@app.command()
def check(
    model: ModelName = None,
    target: Place = None,
    method: MethodName = None,
    timesteps: Ticks = None,
    weight_bits: WeightBits = None,
    data: DataSpec = None,
    chips: Chips = None,
    streams: Streams = None,
    mapping: LaidOut = None,
    config: ConfigFile = None,
    settings: Settings = None,
    no_import_check: NoCheck = False,
    form: Shape = Format.auto,
    verbose: Verbose = False,
) -> None:
    """Say node by node whether a network can run on a target; nothing is trained, calibrated or written."""
    screen.configure(form, verbose=verbose)
    found = verbs.check(
        model, target, method, timesteps, config_file=config, settings=settings or (),
        weight_bits=weight_bits, data=data, chips=chips, streams=streams, mapping=mapping,
        import_check=_off(no_import_check),
    )  # fmt: skip
    if screen.json:
        named = {name: getattr(found, name) for name in ("model", "target", "method", "blocked")}
        problems = [asdict(p) for p in found.problems]
        named["import_check"] = found.import_check and found.import_check.as_dict()
        named["search"] = found.search
        screen.data({**named, "nodes": [vars(v) for v in found.verdicts], "problems": problems})
    else:
        shown = [v for v in found.verdicts if verbose or v.grade != "free"]
        rows = [(v.node, v.detail, "BLOCKED" if v.blocked else v.grade, v.reason) for v in shown]
        screen.table(("node", "what", "grade", "why"), rows if verbose else _alike(rows))
        screen.out(_verdict_line(found))
        if found.search:
            screen.out(_search_line(found.search))
        screen.warnings(found.problems)
    if found.blocked:
        wrong = [p for p in found.problems if p.severity == "error"]
        raise _Silent(errors.EXIT_UNSUPPORTED) if screen.json else errors.MappingError(wrong)


def _verdict_line(found: Any) -> str:
    count = Counter(v.grade for v in found.verdicts if v.grade != "free")
    grades = ", ".join(f"{n} {grade}" for grade, n in count.most_common())
    verdict = "BLOCKED" if found.blocked else "can run"
    if found.cores is not None:
        verdict += f", at least about {found.cores[0]} of {found.cores[1]} cores"
    return f"{found.model} by {found.method} on {found.target}: {verdict}  ({grades})"


def _alike(rows: Sequence[tuple[str, ...]]) -> Sequence[tuple[str, ...]]:
    """Rows of nodes: where there are more than :data:`MOST_NODES`, one for all of which the same is said."""
    if len(rows) <= MOST_NODES:
        return rows
    names: dict[tuple[str, ...], list[str]] = {}
    for name, *said in rows:
        names.setdefault(tuple(said), []).append(name)
    return [(first + f" and {len(rest)} more" * bool(rest), *said) for said, (first, *rest) in names.items()]


def _search_line(search: Mapping[str, Any]) -> str:
    from .report import words

    said = (*words.plans(search["objective"], search["plans"]), *words.longest(search["layers"]))
    return "   ".join(("on noise", *said))


class _Silent(Exception):
    """An exit code whose reason has been printed."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


# --- run, verify, report -----------------------------------------------------------------------------------------


@app.command()
def run(
    folder: Folder,
    input: Raw,
    output: Outputs,
    backend: Annotated[str, Option("--backend", help="cpu, loihi-sim, lava, ...")] = "cpu",
    granularity: Granularity = "",
    record: Recorded = None,
    kernels: Annotated[
        bool, Option("--kernels", help="show by which code each layer is computed, and why")
    ] = False,
    form: Shape = Format.auto,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Run a user's own input through a built network."""
    screen.configure(form, quiet, verbose)
    from .inputs.arrays import save_array

    found, warnings = verbs.traced(folder, input, backend, tuple(record or ()), granularity)
    outputs, values = found.outputs, found.values
    save_array(output, outputs)
    places = _places(output, values)
    for name, place in places.items():
        save_array(place, values[name])
    chosen = verbs.kernels(folder, backend) if kernels else ()
    ticks, samples = outputs.shape[:2]
    classes = outputs[-1].reshape(samples, -1).argmax(axis=1).tolist()
    if screen.json:
        recorded = {name: str(place) for name, place in places.items()}
        saturations = {name: count for name, count in found.saturations.items() if count}
        screen.data(
            {"output": str(output), "recorded": recorded, "classes": classes, "saturations": saturations}
            | ({"kernels": [asdict(one) for one in chosen]} if kernels else {})
        )
    else:
        shown = " ".join(map(str, classes[:20])) + (" ..." if samples > 20 else "")
        screen.out(f"{samples} samples, {ticks} ticks, largest read-out at {shown}\n{output}")
        for name, place in places.items():
            screen.out(f"{place}  {name}, {tuple(values[name].shape)}")
        screen.warnings(warnings)
        described = verbs.described(folder, backend, granularity)
        if described is not None:
            screen.out(_shares(described))
        if chosen:
            rows = [(" ".join(one.nodes), one.name, one.reason) for one in chosen]
            screen.table(("nodes", "kernel", "reason"), rows)


def _description(found: Description) -> dict[str, Any]:
    """What the layers become, as JSON."""
    whole = {name: getattr(found, name) for name in ("granularity", "processes", "share")}
    return {**whole, "layers": [asdict(row) for row in found.rows]}


def _shares(found: Description) -> str:
    """One line on what the layers become."""
    known = found.share is not None
    share = f"{found.share:.1%} of synaptic events on stock processes" if known else "no synaptic events"
    return f"{found.title}: {found.processes} processes, one per {found.granularity}; {share}"


def _places(output: Path, names: Iterable[str]) -> dict[str, Path]:
    """Where each recorded layer goes: beside the read-outs, under its name; names that differ keep files apart."""
    from .ir.graph import free_name

    places: dict[str, Path] = {}
    for name in names:
        stem = free_name(f"{output.stem}.{name.replace('/', '_')}", [path.stem for path in places.values()])
        places[name] = output.with_name(f"{stem}.npy")
    return places


@app.command()
def evaluate(
    folder: Folder,
    data: BuildData = "",
    split: Annotated[str, Option("--split", help="test or train")] = "test",
    samples: Spread = 0,
    level: Annotated[str, Option("--level", help=LEVEL)] = "integer",
    backend: Annotated[str, Option("--backend", help="of the integers: cpu, loihi-sim, ...")] = "cpu",
    jobs: Annotated[int, Option("--jobs", min=0, help="processes (default: threads of this one)")] = 0,
    scheduler: Annotated[str, Option("--scheduler", help=SCHEDULER)] = "",
    form: Shape = Format.auto,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Count how many samples of a data set a built network answers right, however large the set is."""
    screen.configure(form, quiet, verbose)
    from .builds.evaluated import saturated

    with _Counting() as heard:
        found = verbs.evaluate(
            folder, data, cast(Any, split), samples, level=level, backend=backend, jobs=jobs, scheduler=scheduler,
            heard=heard,
        )  # fmt: skip
    tally = found.found
    if screen.json:
        screen.data({
            "split": split, "level": level, "samples": tally.samples, "correct": tally.correct[-1],
            "accuracy": tally.accuracy, "by_timestep": tally.by_timestep, "saturations": tally.clipped,
            "seconds": found.seconds, "samples_per_s": found.samples_per_s,
        })  # fmt: skip
        return
    screen.out(f"{100 * tally.accuracy:.2f} % of {tally.samples} {split} samples right ({tally.correct[-1]})")
    if len(tally.by_timestep) > 1:
        screen.out("after each tick: " + ", ".join(f"{100 * share:.2f} %" for share in tally.by_timestep))
    screen.note(f"{found.seconds:.1f} s, {found.samples_per_s:.0f} samples/s")
    screen.warnings(saturated(tally.clipped, ()))


class _Counting:
    """A bar with samples per second and the time that is left; without a terminal a line now and then, on stderr."""

    EVERY_S = 10.0

    def __init__(self) -> None:
        self.bar: Any = None
        self.told = 0.0

    def __enter__(self) -> Callable[[evaluation.Progress], None]:
        if sys.stderr.isatty() and not screen.quiet and screen.rich:
            from rich import console, progress

            columns = (progress.BarColumn(), progress.TimeRemainingColumn())
            shown = console.Console(stderr=True)
            self.bar = progress.Progress("{task.description}", *columns, console=shown, transient=True)
            self.task = self.bar.add_task("", total=None)
            self.bar.start()
        return self.show

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.stop()

    def show(self, found: evaluation.Progress) -> None:
        """One more batch is done."""
        done = f"{found.found.samples} of {found.samples} samples, {found.samples_per_s:.0f}/s"
        if self.bar is not None:
            self.bar.update(self.task, description=done, total=found.samples, completed=found.found.samples)
        elif found.seconds - self.told >= self.EVERY_S:
            self.told = found.seconds
            screen.note(f"{done}, {found.left_s:.0f} s left")


@app.command()
def verify(
    folder: Folder,
    backend: Backends = None,
    samples: Compared = None,
    time_budget: TimeBudget = None,
    data: BuildData = "",
    granularity: Granularity = "",
    form: Shape = Format.auto,
    verbose: Verbose = False,
) -> None:
    """Compare every backend with the interpreter, integer by integer."""
    screen.configure(form, verbose=verbose)
    seconds = {} if time_budget is None else {"time_budget": time_budget}
    result = verbs.verify(folder, tuple(backend or ()), samples, data, granularity, **seconds)
    described = {
        name: found
        for name in result.backends[1:]  # behind the interpreter
        if (found := verbs.described(folder, name, granularity)) is not None
    }
    label = verbs.label(folder) if described else ""
    if screen.json:
        whole = {
            name: getattr(result, name)
            for name in ("equal", "samples", "backends", "nodes", "cut", "sampled")
        }
        whole["divergence"] = str(result.divergence or "")
        screen.data(whole | {n: {**_description(d), "measured_on": label} for n, d in described.items()})
        if not result.equal:
            raise _Silent(errors.EXIT_VERIFY)
    else:
        screen.out(str(result))
        for found in described.values():
            rows = [(r.layer, str(r), round(r.events), round(r.stock_events), r.reason) for r in found.rows]
            events = f"events per tick ({label})" if label else "events per tick"
            columns = ("layer", f"{found.title} processes", events, "on stock", "own because of")
            screen.table(columns, rows)
            screen.out(_shares(found))
        result.require()


@app.command()
def export(
    folder: Folder,
    to: Annotated[str, Option("--to", help="format: netx, nir, sanafe, ... (doctor lists them)")],
    out: Annotated[Path, Option("--out", help="file to write")],
    input: Carried = None,
    samples: Drawn = None,
    differ: Differ = None,
    form: Shape = Format.auto,
    verbose: Verbose = False,
) -> None:
    """Write a built network in the format of another tool: exactly, or with what differs counted, or not at all."""
    screen.configure(form, verbose=verbose)
    existed = out.exists()
    bound = {} if differ is None else {"differ": differ}
    written = verbs.export(folder, to, out, input, samples, **bound)
    files = [str(path) for path in written.files]
    if existed:
        screen.note(f"replaced {out}")
    if screen.json:
        replay = (
            None if written.replay is None else {**asdict(written.replay), "differ": written.replay.differ}
        )
        screen.data({"format": to, "files": files, "replay": replay})
    else:
        screen.out("\n".join(files))
        if written.replay is not None:
            screen.out(str(written.replay))


@app.command()
def crosscheck(
    folder: Folder,
    samples: Samples = 4,
    python: Python = "",
    layers: Layers = None,
    timing: Timing = "detailed",
    memory: Memory = None,
    time_limit: TimeLimit = None,
    data: BuildData = "",
    target: Annotated[str, Option("--target", help="prices of another target of the same mesh")] = "",
    form: Shape = Format.auto,
    verbose: Verbose = False,
) -> None:
    """Energy and time of the same spikes by SANA-FE, in a process of its own, beside ours."""
    screen.configure(form, verbose=verbose)
    found = verbs.crosscheck(
        folder, samples, python, layers=tuple(layers or ()), timing=timing, memory_gb=memory,
        time_limit_s=time_limit, data=data, target=target,
    )  # fmt: skip
    if screen.json:
        screen.data(found.as_dict())
        if found.problems:
            raise _Silent(errors.EXIT_VERIFY)
        return
    _show_crosscheck(found)
    found.require()


def _show_crosscheck(found: Any) -> None:
    label, drawn = (f" ({found.input})", f" of {found.input}") if found.input else ("", "")
    sides = f"{found.target}, {found.samples} samples{drawn}, SANA-FE {found.version} ({found.timing} timing)"
    screen.out(f"{sides}, {found.synapses} synapses{'' if found.whole else ', chosen layers'}")
    counts = [
        (c.kind, c.ours, c.sanafe, "yes" if c.agrees else "NO", f"{c.difference:+d} {c.why}" if c.why else "")
        for c in found.counts
    ]
    screen.table((f"events of all samples{label}", "ours", "SANA-FE", "agree", "why they differ"), counts)
    figures = []
    for f in (*found.energy, *found.time):
        values = ("-" if v is None else f"{v:.6g}" for v in (f.ours, f.sanafe, f.ratio))
        figures.append((f"{f.name} [{f.unit}]", *values, f.note))
    screen.table((f"per inference{label}", "ours", "SANA-FE", "SANA-FE / ours", "what it counts"), figures)
    if found.not_carried:
        screen.out(f"not carried to SANA-FE: {len(found.not_carried)} nodes (--format json lists them)")
    for note in found.notes:
        screen.out(f"- {note}")


@app.command()
def report(folder: Folder, form: Shape = Format.auto) -> None:
    """Render page, tables and summary of a build again from its data."""
    screen.configure(form)
    _show_summary(verbs.report(folder), folder)


# --- what there is -----------------------------------------------------------------------------------------------


@target_app.command("list")
def targets_list(form: Shape = Format.auto) -> None:
    """Every target that can be found."""
    screen.configure(form)
    rows = [(t.name, t.kind, t.cores, t.title) for t in verbs.targets()]
    screen.table(("name", "kind", "cores", "title"), rows)


@target_app.command("show")
def targets_show(
    name: Annotated[str, Argument(help="target name or .toml file")], form: Shape = Format.auto
) -> None:
    """Every limit, coefficient, feature and grade of a target with its source."""
    screen.configure(form)
    from . import target

    found = target.load(name)
    if not screen.json:
        screen.out(f"{found.name}: {found.title} ({found.kind})\n{found.file}")
    rows = [(r.section, r.key, _ranged(r), r.unit, r.source) for r in found.rows()]
    screen.table(("section", "key", "value", "unit", "source"), rows)


def _ranged(row: Any) -> str:
    return str(row.high) if row.nominal is None else f"{row.nominal:g} [{row.low:g} .. {row.high:g}]"


@target_app.command("validate")
def targets_validate(
    file: Annotated[str, Argument(help="target name or .toml file")], form: Shape = Format.auto
) -> None:
    """Read a target file and list everything that is wrong with it."""
    screen.configure(form)
    from . import target

    found = target.load(file)
    if screen.json:
        entries = {"cores": found.cores, "entries": len(found.rows())}
        return screen.data({"target": found.name, "file": str(found.file), **entries})
    screen.out(f"{found.file} is a valid target: {found.cores} cores, {len(found.rows())} entries")


@app.command()
def models(form: Shape = Format.auto) -> None:
    """The networks that come with the package."""
    screen.configure(form)
    rows = []
    for e in verbs.models():
        weights = e.weights
        rows.append((e.name, e.title, e.dataset, weights.result, weights.parameters, e.method, e.timesteps))
    screen.table(("name", "system", "data", "correct test images", "parameters", "method", "T"), rows)


@app.command()
def ops(target: TargetName = "loihi-sim", form: Shape = Format.auto) -> None:
    """What a target can do with every node kind, neuron model and operator."""
    screen.configure(form)
    rows = [
        (v.kind, v.node, f"NO: needs {', '.join(v.missing)}" if v.blocked else v.grade, v.reason)
        for v in verbs.ops(target)
    ]
    screen.table(("kind", "name", "grade", "source"), rows)


@app.command()
def explain(
    code: Annotated[str, Argument(help="an error code such as ND910")], form: Shape = Format.auto
) -> None:
    """The long text behind an error code."""
    screen.configure(form)
    title, text = verbs.explain(code)
    if screen.json:
        screen.data({"code": code.upper(), "title": title, "text": text})
    else:
        screen.out(f"{code.upper()}  {title}\n\n{textwrap.fill(text, 100)}")


@app.command()
def doctor(form: Shape = Format.auto) -> None:
    """Versions, usable backends and why others are not, folders."""
    screen.configure(form)
    found = verbs.doctor()
    if screen.json:
        screen.data(found)
        return
    backends, formats, exporters = (found.pop(key) for key in ("backends", "formats", "exporters"))
    networks, broken = found.pop("networks"), found.pop("broken")
    screen.table(("what", "value"), [(k, _joined(v)) for k, v in found.items()])
    screen.table(("backend", "usable"), [(name, _usable(why)) for name, why in backends.items()])
    screen.table(("MODEL", "library"), [(f"{n}:NAME", text) for n, text in networks.items()])
    screen.table(("file read", "whose"), [(suffix, title) for suffix, title in formats.items()])
    screen.table(("export --to", "usable"), [(name, _usable(why)) for name, why in exporters.items()])
    if broken:
        screen.table(("broken member", "why"), [(p["where"], f"{p['cause']}: {p['found']}") for p in broken])


def _usable(why: str) -> str:
    return f"no: {why}" if why else "yes"


def _joined(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{k} {v}" for k, v in value.items())
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


# --- the way in and every way out --------------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command; exits with 0 .. 6, or with 128 + a signal: Ctrl-C, SIGTERM, SIGHUP, or a reader who left."""
    _open_streams()
    with interrupts.terminable():
        code = call(sys.argv[1:] if arguments is None else list(arguments))
    for number in (signal.SIGINT, *interrupts.ENDING):
        signal.signal(number, signal.SIG_IGN)  # everything has been said
    sys.exit(code)


def _open_streams() -> None:
    """What was closed before we began leads nowhere: the next file must not become stdout."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, this one
            setattr(sys, name, open(os.devnull, "w" if number else "r"))  # noqa: SIM115 - as long as the process


def call(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code; every error has been shown, and every broken member that was met."""
    from .registry import problems

    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (cast(TextIO, _Pipe(stream)) for stream in before)
    screen.kept = None
    try:
        screen.configure(_early_format(arguments))
        try:
            code = _called(arguments)
        except KeyboardInterrupt as again:  # while the first one was answered
            code = _interrupted(again)
        with interrupts.uninterrupted():
            screen.complain(problems())
            code = _last(code)
    except KeyboardInterrupt:  # everything has been said
        code = interrupts.exit_code()
    except _Closed:
        code = _gone(before)
    finally:
        sys.stdout, sys.stderr = before
    return code


def _last(code: int) -> int:
    """Print what was kept until the end, and see it written; returns the exit code."""
    try:
        screen.close(code)
        sys.stdout.flush()
    except OSError as error:  # a full disk behind a redirection
        screen.configure(Format.plain)
        return _io(error)
    return code


def _gone(streams: Iterable[TextIO]) -> int:
    """What is left in the buffers goes nowhere, so that the interpreter stays quiet about it when it ends."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in streams:
            os.dup2(nowhere, stream.fileno())
    return EXIT_CLOSED


def _called(arguments: Sequence[str]) -> int:
    try:
        with _stdout_apart() if screen.json else nullcontext():
            result = app(args=list(arguments), prog_name="neurodeploy", standalone_mode=False)
        code = result if isinstance(result, int) else errors.EXIT_OK
    except _Closed:
        raise
    except typer.Exit as stop:
        code = stop.exit_code
    except BaseException as error:
        return next(answer(error) for kind, answer in ANSWERS if isinstance(error, kind))
    return _interrupted(None) if code == EXIT_INTERRUPTED else code


@contextmanager
def _stdout_apart() -> Iterator[None]:
    """Whatever a command, a library or the user's own code prints goes to stderr: stdout is for the JSON object."""
    before, kept = sys.stdout, None
    sys.stdout = sys.stderr
    with suppress(OSError, ValueError):  # a stream of a test has no number
        if before.fileno() == 1:
            before.flush()
            kept = os.dup(1)
            os.dup2(2, 1)
    try:
        yield
    finally:
        sys.stdout = before
        if kept is not None:
            os.dup2(kept, 1)
            os.close(kept)


def _interrupted(_: object) -> int:
    text, code = "nothing was left half-written", interrupts.exit_code()
    if screen.json:
        problem = Problem("ND961", "interrupted", found=text)
        screen.data({"exit_code": code, "problems": [asdict(problem)]})
    screen.said(f"interrupted: {text}")
    return code


def _left(error: SystemExit) -> int:
    """Somebody's code ended the process, a library's or that of the user's own model."""
    if isinstance(
        error.__context__, OSError
    ):  # how the parser answers any broken pipe, that of a child process too
        return _io(error.__context__)
    cause, found = "code that the command ran asked to end the program", f"SystemExit: {error.code}"
    return _shown(UsageError(Problem("ND962", cause, found=found)))


def _io(error: OSError) -> int:
    from .files import io_problem

    return _shown(io_problem(error))


def _early_format(arguments: Sequence[str]) -> Format:
    """The format, known before parsing, so that wrong flags are reported in it too."""
    found = Format.auto
    for before, text in zip(["", *arguments], [*arguments, ""], strict=True):
        given = text.removeprefix("--format=")
        if given in Format.__members__ and (given != text or before == "--format"):
            found = Format(given)
    return found


def _shown(error: NeurodeployError) -> int:
    screen.problems(error)
    return error.exit_code


def _usage(error: Any) -> UsageError:
    """What the parser complains about, with the nearest known names."""
    context = getattr(error, "ctx", None)
    given, known, kind = _named(error, context)
    fixes = tuple(f"use {kind} {name!r}" for name in nearest(given, known)[:1]) if given else ()
    place = context.command_path if context else "neurodeploy"
    return UsageError(Problem("ND900", _cause(error), place, given, "", fixes or (f"{place} --help",)))


def _cause(error: Any) -> str:
    """The parser's sentence without its own suggestions, which are among the fixes."""
    text = str(error.format_message())
    for tail in (" Did you mean", " (Possible options", " (Did you mean"):
        text = text.partition(tail)[0]
    return text.rstrip(".")


def _named(error: Any, context: Any) -> tuple[str, list[str], str]:
    """(mistyped name, known names, what it is) of a parser's complaint."""
    option = getattr(error, "option_name", None)
    if isinstance(error, click_errors.NoSuchOption) and context is not None:
        return str(option), [o for p in context.command.params for o in p.opts if o.startswith("--")], "flag"
    commands = getattr(getattr(context, "command", None), "commands", None)
    if commands and "No such command" in error.message:
        return error.message.split("'")[1], list(commands), "command"
    return "", [], ""


def _bug(error: BaseException) -> int:
    """An exception that nobody foresaw: short on the console, whole with -v."""
    log, text = "".join(getattr(error, "__notes__", ())[-1:]), f"{type(error).__name__}: {error}"
    if screen.json:
        problem = Problem("ND960", "a bug in neurodeploy", log, text, fixes=("-v shows the traceback",))
        screen.data({"exit_code": errors.EXIT_BUG, "problems": [asdict(problem)]})
    else:
        screen.said(f"internal error: {text}" + (f"\n  log: {log}" if log else ""))
        screen.said("  a bug in neurodeploy; -v shows the traceback")
    if screen.verbose:
        screen.said("".join(traceback.format_exception(error)))
    return errors.EXIT_BUG


#: what may end a command -> its exit code, once it has been shown; the first kind that fits
ANSWERS: tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], Callable[[Any], int]], ...] = (
    ((KeyboardInterrupt, typer.Abort), _interrupted),
    (click_errors.NoArgsIsHelpError, lambda error: errors.EXIT_USAGE),  # the help has been printed
    (click_errors.ClickException, lambda error: _shown(_usage(error))),
    (_Silent, lambda stop: stop.code),
    (NeurodeployError, _shown),
    (SystemExit, _left),
    (OSError, _io),
    (MemoryError, lambda error: _shown(UsageError(Problem("ND934", "the machine's memory is used up")))),
    (BaseException, _bug),  # a library may panic with what is no Exception
)
