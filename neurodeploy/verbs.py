"""The verbs of the command line as functions that return what the command prints."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import config
from .builds.pipeline import Build, build
from .errors import BackendError, GraphError, Problem, QuantizeError, SimulateError, UsageError, unknown_name

if TYPE_CHECKING:
    from .array import Array
    from .artifact import Artifact
    from .backends._base import Description
    from .datasets import DataSet
    from .formats.sanafe.crosscheck import Crosscheck
    from .ir.graph import Graph
    from .ir.trace import Trace
    from .support import Verdict
    from .target import Target

__all__ = [
    "Build",
    "Check",
    "build",
    "check",
    "crosscheck",
    "doctor",
    "explain",
    "export",
    "models",
    "ops",
    "report",
    "run",
    "targets",
    "verify",
]


# --- check -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Check:
    """What stands between a network and a target: a verdict per node and every problem.

    ``cores`` (fewest needed, there are) come from a dry run on noise; a build, calibrated on data, says for sure.
    """

    model: str
    target: str
    method: str
    verdicts: tuple[Verdict, ...]
    problems: tuple[Problem, ...]
    cores: tuple[int, int] | None = None

    @property
    def blocked(self) -> bool:
        """True if anything but warnings was found."""
        return any(p.severity == "error" for p in self.problems)


def check(
    model: str | None = None,
    target: str | None = None,
    method: str | None = None,
    timesteps: int | None = None,
    *,
    config_file: str | Path | None = None,
    settings: Sequence[str] = (),
    **flags: Any,
) -> Check:
    """Whether method and target can take this network, node by node; arguments as those of :func:`build`.

    Of data nothing but shape and levels is read.
    """
    from . import convert, support
    from .builds import pipeline

    given = {"model": model, "target": target, "method": method or None, "timesteps": timesteps, **flags}
    asked = config.resolve(given, config_file, settings)
    place = pipeline.target_of(asked)
    chosen, graph, warnings = _source(asked)
    refused = list(warnings)
    if graph.header.level != "integer":
        refused += convert.named(chosen.method).accept(graph)
    if any(p.severity == "error" for p in refused):
        return Check(asked.model, place.name, chosen.method, (), tuple(refused))
    integer, mapping, problems = _dry_run(graph, chosen, place)
    cores = (len(mapping.cores), mapping.cores_total) if mapping is not None else None
    problems = [*refused, *problems]
    rows = support.verdicts(integer, place, problems) if integer is not None else []
    return Check(asked.model, place.name, chosen.method, tuple(rows), tuple(problems), cores)


def _source(asked: config.BuildConfig) -> tuple[config.BuildConfig, Graph, list[Problem]]:
    """(completed config, source graph told the range of its data, warnings), as a build's import makes them."""
    from . import datasets, sources
    from .builds import stages
    from .inputs import texts as tokens

    data = datasets.facts(asked.data) if asked.data else None
    found = sources.load(asked, data.shape if data else None)
    chosen = sources.completed(asked, found)
    remarks = sources.remarks(chosen, found.graph)
    if data is None and not chosen.data:
        return chosen, found.graph, remarks
    try:
        data = data or datasets.facts(chosen.data)
    except UsageError as error:
        # No image is needed here: the model's own data may lie elsewhere, or nowhere.
        if any(p.code != "ND920" for p in error.problems):
            raise
        return chosen, found.graph, [*remarks, _unseen(chosen.data, found.graph)]
    if data.texts:
        tokens.fitting(data.source, found.graph, found.model.tokenizer)
        return chosen, found.graph, remarks
    graph = stages.ranged(found.graph, data.levels, found.model.kind)
    misfits = stages.misfits(graph, data)
    if misfits:
        raise UsageError(misfits)
    return chosen, graph, [*remarks, *sources.raw_levels(chosen, found.model, data.levels)]


def _unseen(data: str, graph: Graph) -> Problem:
    """ND939: the data set that a model names is not here, and with it the levels of its pixels."""
    cause = "checked without the model's data: the range of the input is taken from its scale"
    shown, fixes = f"0 .. {_levels(graph)}", ("give the data with --data",)
    return Problem("ND939", cause, data, shown, fixes=fixes, severity="warning")


def _levels(graph: Graph) -> int:
    """Largest raw input of a network that sees 0 .. 1 behind its scale."""
    import numpy as np

    return min(255, max(1, round(1 / float(np.min(graph.input.scale)))))


def _dry_run(
    graph: Graph, chosen: config.BuildConfig, place: Target
) -> tuple[Graph | None, Any, list[Problem]]:
    """Integer graph, mapping and problems of a network whose numbers come from noise."""
    from .builds import stages
    from .mapping.mapper import map_graph, prepared

    if graph.header.level == "integer":
        integer = graph  # nothing is left to decide
    else:
        spiking, ranges = _sketch(graph, chosen)
        try:
            integer = stages.integers(chosen, spiking, ranges)
        except (QuantizeError, GraphError) as error:
            return None, None, list(error.problems)
    integer = prepared(integer, place)
    mapping = map_graph(integer, place, optimise="cores")
    return integer, mapping, list(mapping.problems)


def _sketch(graph: Graph, chosen: config.BuildConfig) -> tuple[Graph, Any]:
    """(spiking graph, ranges) from a few images of noise: structure and codes are final, numbers are not."""
    from . import calibrate, convert
    from .builds import stages
    from .inputs import samples as draws

    method = convert.named(chosen.method)
    _, options = method.configure({k: None if v == "null" else v for k, v in chosen.convert.items()})
    if draws.raw_range(graph) is None:
        graph = stages.with_range(graph, _levels(graph))
    noise = draws.Synthetic(graph, rate=0.5).calibration(4)
    spiking = method.rewrite(graph, options, noise, chosen.timesteps or 1)
    return spiking, calibrate.measure(spiking, noise)


# --- run, verify, report -----------------------------------------------------------------------------------------


def run(
    folder: str | Path,
    x: Array | str | Path,
    backend: str = "cpu",
    record: Sequence[str] = (),
    granularity: str = "",
) -> tuple[Array, dict[str, Array]]:
    """Accumulated read-outs (T, B, *output) of raw inputs ``x`` and recorded layers.

    ``x`` is an array or a ``.npy`` file: (B, *input), or (B, T, *input) for a network that takes a frame for each tick;
    one sample may come without B. A network of texts also takes ids (B, N), or a file of texts. Recorded layers are
    (T, B, *shape): their values at every tick. Raises UsageError for an unusable artifact (ND94x), file (ND92x, ND931),
    text (ND929, ND937, ND938) or layer name (ND905), SimulateError for inputs of the wrong shape (ND601), number of
    ticks (ND607), range (ND603) or type (ND606), BackendError if the backend cannot run here. ``granularity``: "layer"
    or "core", for a backend of processes.
    """
    found, _ = traced(folder, x, backend, record, granularity)
    return found.outputs, dict(found.values)


def traced(
    folder: str | Path,
    x: Array | str | Path,
    backend: str = "cpu",
    record: Sequence[str] = (),
    granularity: str = "",
) -> tuple[Trace, list[Problem]]:
    """As :func:`run`: the whole trace, and a warning (ND602) if values were clipped to their width."""
    from . import artifact, compare
    from .builds import stages
    from .datasets import texts

    saved = artifact.load(folder)
    program = saved.program
    if isinstance(x, (str, Path)):
        x = _texts(saved, folder, str(x)) if texts.accepts(str(x)) else read_array(Path(x))
    images = checked_input(program.graph, x)
    unknown = [name for name in record if name not in program.graph.nodes]
    if unknown:
        raise UsageError(
            [unknown_name("ND905", "layer", name, program.graph.nodes, "--record") for name in unknown]
        )
    chosen = compare.usable(backend, granularity)
    if chosen.mapped and (program.mapping is None or not program.mapping.images):
        raise UsageError(
            Problem(
                "ND949",
                f"the artifact holds no memory images for {backend}",
                str(folder),
                fixes=("build again on a target that the network fits", "use --backend cpu"),
            )
        )
    trace, _ = chosen.run(program, images, tuple(record))
    integers = saved.source is not None and saved.source.header.level == "integer"
    return trace, stages.saturated(trace.saturations, stages.remedies(bool(_drawn(saved)), integers))


def _texts(saved: Artifact, folder: str | Path, spec: str) -> Array:
    """Token ids of the texts of a file, by the tokenizer of the build."""
    from .datasets.texts import read
    from .inputs import texts

    rows = [(where, text) for where, text, _ in read(spec)]
    return texts.ids(rows, spec, saved.program.graph, _tokenizer(saved.provenance, folder))


def read_array(path: Path) -> Array:
    """An array from a ``.npy`` file, never unpickled; UsageError ND931 where that fails."""
    import numpy as np

    try:
        if not path.is_file() or path.stat().st_size == 0:
            raise _bad_input(path, "nothing" if not path.exists() else "0 bytes")
        loaded = np.load(path, allow_pickle=False)
    except (ValueError, EOFError, OSError, MemoryError) as error:
        raise _bad_input(path, str(error)[:200]) from error
    if not isinstance(loaded, np.ndarray):
        raise _bad_input(path, "an archive of several arrays")
    return loaded


def _bad_input(path: Path, found: str) -> UsageError:
    fix = "numpy.save('x.npy', x) with x (samples, *input) or, for a frame at each tick, (samples, T, *input)"
    return UsageError(
        Problem("ND931", "the input file cannot be used", str(path), found, "one plain array (.npy)", (fix,))
    )


def checked_input(graph: Graph, x: Array) -> Array:
    """Raw inputs (B, *input), or (B, T, *input); a single sample gets a batch axis. SimulateError ND601 .. ND607.

    A network that takes texts takes token ids (B, N) as well.
    """
    import numpy as np

    from .inputs.samples import one_hot, raw_range, tokens
    from .ir.interp import check_input, input_shape

    name, shape = graph.input.name, input_shape(graph)
    text = tokens(graph)
    if text is not None and x.ndim in (1, 2) and x.shape[-1] == text[0] and x.dtype.kind in "iu":
        return one_hot(graph, np.atleast_2d(x))
    x = x[None] if x.ndim == len(shape) else x
    if (
        graph.input.per_tick
        and x.ndim == len(shape) + 1
        and x.shape[2:] == shape[1:]
        and x.shape[1] != shape[0]
    ):
        fix = f"build again with --timesteps {x.shape[1]}"
        cause = "the input has another number of ticks than the network was built for"
        raise SimulateError(Problem("ND607", cause, name, f"{x.shape[1]} ticks", f"{shape[0]} ticks", (fix,)))
    check_input(graph, x)
    if not len(x):
        raise SimulateError(Problem("ND601", "the input holds no sample", name, str(x.shape), "1 sample"))
    if x.dtype.kind not in "iu":
        scaled = "x" if raw_range(graph) == (0, 1) or graph.input.per_tick else "x * levels"
        raise SimulateError(
            Problem(
                "ND606",
                "the input is not made of whole numbers",
                name,
                str(x.dtype),
                "integers",
                (f"numpy.rint({scaled}).astype(numpy.int32)",),
            )
        )
    known, found = raw_range(graph), (int(x.min()), int(x.max()))
    if known is not None and not known[0] <= found[0] <= found[1] <= known[1]:
        cause = "the input leaves the range that the network was built for"
        shown, limit = (f"{lo} .. {hi}" for lo, hi in (found, known))
        raise SimulateError(Problem("ND603", cause, name, shown, limit))
    return x.astype(np.int64)


def save_array(path: Path, array: Array) -> None:
    """Write a ``.npy`` file whole or not at all."""
    import numpy as np

    from .files import write_bytes

    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    write_bytes(path, buffer.getvalue())


def verify(
    folder: str | Path,
    backends: Sequence[str] = (),
    samples: int = 100,
    data: str = "",
    granularity: str = "",
) -> Any:
    """The artifact's integer graph by the interpreter against backends (default: those that verify a build).

    Test images come from ``data``, or else from the data of the build: UsageError ND935 if they are not found, ND936 if
    they have changed. A build without data is verified on the synthetic input that it was measured on. ``granularity``
    as for :func:`run`.
    """
    from . import artifact, compare
    from .backends import proving

    saved = artifact.load(folder)
    names = tuple(backends) or tuple(member.name for member in proving(saved.program))
    members = [compare.usable(name, granularity) for name in names]
    return compare.verify(saved.program, _measured_on(saved, folder, samples, data), members)


def described(folder: str | Path, backend: str, granularity: str = "") -> Description | None:
    """What each layer of an artifact becomes on a backend of processes; None for any other."""
    from . import artifact, registry
    from .backends import granular

    member = registry.BACKENDS[backend]
    chosen = granular(member, granularity) if granularity else member
    return chosen.describe(artifact.load(folder).program)


def label(folder: str | Path) -> str:
    """What numbers of a build that depend on activity are called: "synthetic input", or empty where it had data."""
    from . import artifact
    from .inputs.samples import SYNTHETIC

    return SYNTHETIC if _drawn(artifact.load(folder)) else ""


def _measured_on(saved: Artifact, folder: str | Path, samples: int, data: str = "") -> Array:
    """Raw inputs (B, *input) of ``data``, or else of what the build was measured on."""
    from . import datasets
    from .builds import stages
    from .inputs import samples as draws
    from .inputs import texts

    graph, ran_on = saved.program.graph, _drawn(saved)
    stimulus: draws.Stimulus
    if ran_on and not data:
        rate, seed = ran_on.get("spike_rate", draws.SPIKE_RATE), ran_on.get("seed", 0)
        rate = draws.SPIKE_RATE if rate is None else rate
        if not (isinstance(rate, (int, float)) and 0 <= rate <= 1 and isinstance(seed, int) and seed >= 0):
            cause, place = "a section holds something unexpected", f"{folder} /provenance: input"
            raise UsageError(Problem("ND947", cause, place, f"seed {seed!r}, rate {rate!r}"[:120], "numbers"))
        stimulus = draws.Synthetic(graph, seed, rate)
    else:
        found = datasets.load(data) if data else _recorded(saved.provenance, folder)
        if found.texts:
            found, _ = texts.tokenised(found, graph, _tokenizer(saved.provenance, folder))
        stages.check_data(graph, found)
        stimulus = draws.Recorded(graph, found)
    return stimulus.measurement(samples)[0]


def _tokenizer(provenance: Mapping[str, Any], folder: str | Path) -> str:
    """The tokenizer of the build."""
    place = provenance.get("tokenizer", "")
    if not isinstance(place, str):
        cause, where = "a section holds something unexpected", f"{folder} /provenance: tokenizer"
        raise UsageError(Problem("ND947", cause, where, repr(place)[:120], "a path"))
    return place


def _drawn(saved: Artifact) -> Mapping[str, Any]:
    """What a build says of its synthetic input; empty where it had data."""
    ran_on = saved.provenance.get("input")
    return ran_on if isinstance(ran_on, Mapping) and ran_on.get("kind") == "synthetic" else {}


def _recorded(provenance: Mapping[str, Any], folder: str | Path) -> DataSet:
    """The data of the build, found again as they were named then."""
    from . import datasets

    spec, recorded = (
        str(provenance.get("data_spec") or provenance.get("data") or ""),
        provenance.get("data_sha256"),
    )
    advice = (f"neurodeploy verify {folder} --data SPEC",)
    try:
        found = datasets.load(spec)
    except UsageError as error:
        cause = "the data that the network was built on cannot be found here"
        reason = f"{spec or 'no name'}: {error.problems[0].cause}"
        raise UsageError(Problem("ND935", cause, str(folder), reason, fixes=advice)) from error
    if recorded and found.hash != recorded:
        cause = f"{spec} is no longer the data that the network was built on"
        limit = f"sha256 {str(recorded)[:12]}"
        raise UsageError(Problem("ND936", cause, str(folder), f"sha256 {found.hash[:12]}", limit, advice))
    return found


def export(
    folder: str | Path, to: str, out: str | Path, x: Array | str | Path | None = None, samples: int = 1
) -> tuple[Path, ...]:
    """Write a built network in the format of another tool; returns the files, the main one first.

    ``x`` are raw inputs as those of :func:`run`, for formats that carry samples; without them so many ``samples`` of
    what the build was measured on are taken, as :func:`verify` takes them. Raises UsageError ND704 for an unknown
    format, BackendError ND705 for one that cannot be written here, GraphError ND230 with every node that the format
    cannot express.
    """
    from . import artifact, registry

    known = {name: member.writer for name, member in registry.FORMATS.items() if member.writer is not None}
    if to not in known:
        raise UsageError(unknown_name("ND704", "export format", to, known, "--to"))
    member = known[to]
    reason = member.available()
    if reason:
        raise BackendError(Problem("ND705", f"{to} files cannot be written here", to, reason))
    saved = artifact.load(folder)
    program, taken = saved.program, member.takes_samples
    if x is None:
        chosen = (_measured_on(saved, folder, samples),) if taken else ()
        return tuple(member.write(program, Path(out), *chosen))
    if not taken:
        cause = f"{to} files hold a network, and no samples"
        raise UsageError(Problem("ND900", cause, "--input", fixes=("leave out --input",)))
    given = read_array(Path(x)) if isinstance(x, (str, Path)) else x
    return tuple(member.write(program, Path(out), checked_input(program.graph, given)))


def crosscheck(
    folder: str | Path,
    samples: int = 4,
    python: str = "",
    *,
    layers: Sequence[str] = (),
    timing: str = "detailed",
    memory_gb: float | None = None,
    time_limit_s: float | None = None,
    data: str = "",
    target: str = "",
) -> Crosscheck:
    """Energy and time of the same samples by SANA-FE, run by another interpreter, and by us.

    ``timing`` is SANA-FE's model; ``target`` prices both sides: the mapping's own unless another one of the same mesh
    is named. Raises BackendError ND720 where SANA-FE is absent and ND721 where its run fails, SimulateError ND620 for
    a network that needs more than ``memory_gb``, GraphError ND230 with every node where nothing can be compared,
    UsageError ND900 for an unknown timing model and ND905 for layers without a node, and what :func:`verify` says of
    data.
    """
    from . import artifact
    from . import target as targets
    from .formats.sanafe import crosscheck as room
    from .inputs.samples import SYNTHETIC

    if timing not in room.TIMINGS:
        raise UsageError(unknown_name("ND900", "timing model", timing, room.TIMINGS, "--timing"))
    saved = artifact.load(folder)
    mapping = saved.program.mapping
    place = targets.load(target or (mapping.target if mapping is not None else "loihi-sim"))
    interpreter = room.interpreter_of(python)
    room.find(interpreter)  # before anything that takes time
    found = room.crosscheck(
        saved.program,
        place,
        _measured_on(saved, folder, samples, data),
        python=interpreter,
        layers=layers,
        timing=timing,
        memory_gb=room.MEMORY_GB if memory_gb is None else memory_gb,
        time_limit_s=room.TIME_LIMIT_S if time_limit_s is None else time_limit_s,
    )
    return replace(found, input=SYNTHETIC) if not data and _drawn(saved) else found


def report(folder: str | Path) -> dict[str, Any]:
    """Re-render page and tables of a build folder from its ``report.json``; returns the data."""
    from . import report as room
    from .report import html

    data = room.read(Path(folder))
    room.write(data, Path(folder))
    html.write(data, Path(folder))
    return data


# --- what there is -----------------------------------------------------------------------------------------------


def targets() -> list[Target]:
    """Every target that can be found, loaded."""
    from . import target

    return [target.load(name) for name in target.names()]


def models() -> list[Any]:
    """The entries of the zoo."""
    from .sources import zoo

    return [zoo.entry(name) for name in zoo.names()]


def ops(target: str = "loihi-sim") -> list[Verdict]:
    """What a target can do with every node kind, neuron model and operator."""
    from . import support
    from .target import load as load_target

    return support.catalogue(load_target(target))


def explain(code: str) -> tuple[str, str]:
    """Title and long text of an error code; UsageError with the nearest codes for an unknown one."""
    from .codes import CODES

    if code.upper() not in CODES:
        raise UsageError(unknown_name("ND900", "error code", code, CODES, "explain"))
    return CODES[code.upper()]


def doctor() -> dict[str, Any]:
    """Versions, usable backends and exporters with the reason why not, file formats, broken members, folders."""
    import os
    import platform

    from . import __version__, registry, sources, target
    from .builds import pipeline

    backends = {name: member.available() for name, member in registry.BACKENDS.items()}
    exporters = {n: m.writer.available() for n, m in registry.FORMATS.items() if m.writer is not None}
    formats = {m.suffix: m.title for m in registry.FORMATS.values() if m.reader is not None}
    return {
        "neurodeploy": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cores": os.cpu_count(),
        "libraries": pipeline.versions(),
        "networks": {name: library.installed() for name, library in registry.LIBRARIES.items()},
        "lava": _lava(),
        "backends": backends,
        "formats": formats,
        "exporters": exporters,
        "broken": [asdict(problem) for problem in registry.problems(everywhere=True)],
        "targets": target.names(),
        "cache": str(sources.cache_folder()),
    }


def _lava() -> str:
    """Whether Lava is here, without importing it; whether its backend can be used stands among the backends."""
    from importlib.metadata import PackageNotFoundError, version
    from importlib.util import find_spec

    try:
        return f"{version('lava-nc')} is installed"
    except PackageNotFoundError:
        return "is installed" if find_spec("lava") else "not installed"
