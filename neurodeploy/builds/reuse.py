"""What can be done with a finished build: run, evaluate, verify, write it in another format, cross-check it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from .. import artifact, compare, evaluation, live
from .. import target as targets
from ..array import Array
from ..backends import granular, proving
from ..backends._base import BACKENDS, Description, Kernel
from ..calibrate import batch_size, unheard
from ..config import TIME_BUDGET, validate
from ..errors import BackendError, Problem, UsageError, unknown_name
from ..formats._base import FORMATS, Replay
from ..inputs.recorded import Record
from ..inputs.samples import SPLITS, SplitName
from ..ir.neuron_model import state_names
from ..ir.trace import Trace
from .evaluated import remedies, saturated
from .paced import Budget
from .parts import opened
from .result import Progress
from .verified import joined, sample

#: samples of an export that names no number: carried in the file, or run to compare
CARRIED, REPLAYED = 1, 16
#: the part of a layer's values in which floats may differ from the integers they were written from
DIFFER = 0.05

if TYPE_CHECKING:
    from ..formats.sanafe.crosscheck import Crosscheck


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
    (T, B, *shape): their values at every tick; ``LAYER.VARIABLE`` is a state of its neurons, as the tick leaves it.
    Raises UsageError for an unusable artifact (ND94x, ND963, ND964), file (ND92x, ND931), text (ND929, ND937, ND938)
    or layer name (ND905), SimulateError for inputs of the wrong shape (ND601), number of ticks (ND607), range (ND603)
    or type (ND606), BackendError if the backend cannot run here or show a state (ND172). ``granularity``: "layer"
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
) -> tuple[Trace, tuple[Problem, ...]]:
    """As :func:`run`: the whole trace, and warnings: of values clipped to their width (ND602), of the backend."""
    saved = opened(folder)
    program, inputs = saved.program, Record(saved, folder)
    images = inputs.given(x)
    known = (*program.graph.nodes, *state_names(program.graph))
    unknown = [name for name in record if name not in known]
    if unknown:
        raise UsageError([unknown_name("ND905", "layer", name, known, "--record") for name in unknown])
    chosen = compare.usable(backend, granularity)
    if chosen.mapped and (program.mapping is None or not program.mapping.images):
        cause = f"the artifact holds no memory images for {backend}"
        fixes = (
            "use --backend cpu",
            "build again on a target that the network fits, or with a longer --time-budget",
        )
        raise UsageError(Problem("ND949", cause, str(folder), fixes=fixes))
    trace, _ = chosen.run(program, images, tuple(record))
    integers = "spiking" not in saved.provenance.get("graphs_sha256", {})
    clipped = saturated(trace.saturations, remedies(bool(inputs.synthetic), integers))
    return trace, (*clipped, *chosen.remarks())


def evaluate(
    folder: str | Path,
    data: object = "",
    split: SplitName = "test",
    samples: int = 0,
    *,
    level: str = "integer",
    backend: str = "cpu",
    jobs: int = 0,
    scheduler: str = "",
    heard: Callable[[evaluation.Progress], None] = lambda progress: None,
) -> evaluation.Progress:
    """How many samples of a split a built network answers right, read and run batch by batch in bounded memory.

    Of a network of images whose data hold a truth: how near to it the images are.

    ``data`` defaults to that of the build, ``samples`` (seeded, stratified) to the whole split. ``level`` is the
    network: "source" and "spiking" in floats by the interpreter, "integer" by a ``backend``. Batches go to this
    process, to ``jobs`` processes, or to the workers of a dask.distributed ``scheduler`` (its address): counts are the
    same. A script that asks for processes keeps its own work under ``if __name__ == "__main__"``. ``heard`` is told
    after every batch. Raises what :func:`verify` says of data and backends, UsageError ND900 for an unknown split or
    level, ND933 for data without labels, BackendError ND706 for a cluster that cannot be used and ND707 where workers
    are lost again and again.
    """
    for name, known, flag in ((split, SPLITS, "--split"), (level, evaluation.LEVELS, "--level")):
        if name not in known:
            raise UsageError(unknown_name("ND900", flag.strip("-"), name, known, flag))
    saved, file = opened(folder), artifact.place(folder)
    compare.usable(backend)
    recorded = Record(saved, folder).recorded(live.data_spec(data, saved.program.graph))
    graph, whole = saved.program.graph, recorded.truth(samples, split)
    labels = whole if evaluation.pictured(graph, recorded.data) else recorded.labels(samples, split)
    if labels is None:
        cause, fix = "data without labels say nothing of answers", "give labelled data with --data"
        raise UsageError(Problem("ND933", cause, recorded.data.source, fixes=(fix,)))
    size = batch_size(graph)

    def batches() -> Iterator[tuple[Array, Array]]:
        for slot, x in enumerate(recorded.batches(samples, size, split)):
            yield x, labels[slot * size : slot * size + len(x)]

    with evaluation.workers(evaluation.Work(file, level, backend), jobs, scheduler) as found:
        return evaluation.evaluate(found, batches(), len(labels), heard)


def verify(
    folder: str | Path,
    backends: Sequence[str] = (),
    samples: int | None = None,
    data: object = "",
    granularity: str = "",
    time_budget: float = TIME_BUDGET,
    heard: Progress = unheard,
) -> compare.Verification:
    """The artifact's integer graph by the interpreter against backends (default: those that verify a build).

    Test images come from ``data``, or else from the data of the build: UsageError ND935 if they are not found, ND936 if
    they have changed. A build without data is verified on the synthetic input that it was measured on. Without a number
    of ``samples`` there are as many as are expected to fit ``time_budget`` seconds, at most 100; UsageError ND904 for
    an impossible one. ``granularity`` as for :func:`run`; ``heard`` is told how many samples of all are done.
    """
    asked = validate({"time_budget": time_budget, **({} if samples is None else {"verify": samples})})
    saved = opened(folder)
    names = tuple(backends) or tuple(member.name for member in proving(saved.program))
    members = [compare.usable(name, granularity) for name in names]
    program, inputs = saved.program, Record(saved, folder)
    spec = live.data_spec(data, program.graph)
    budget, cores, spent = Budget.of(asked), None, 0.0

    def draw(count: int) -> Array:
        return inputs.measured_on(count, spec)

    if program.unimaged and program.mapping is not None and not backends:
        cores, spent = sample(program, targets.load(program.mapping.target), draw, budget)
    ran = budget.run(
        "verify", program.graph, draw, asked.verify, lambda x: compare.verify(program, x, members, heard=heard),
        compare.runs, spent,
    )  # fmt: skip
    return joined(ran.found, cores, ran.cut)


def described(folder: str | Path, backend: str, granularity: str = "") -> Description | None:
    """What each layer of an artifact becomes on a backend of processes; None for any other."""
    member = BACKENDS[backend]
    chosen = granular(member, granularity) if granularity else member
    return chosen.describe(opened(folder).program) if chosen.granularities else None


def kernels(folder: str | Path, backend: str) -> tuple[Kernel, ...]:
    """By which code a backend computes every part of an artifact's network, and why."""
    return compare.usable(backend, "").kernels(opened(folder).program)


def label(folder: str | Path) -> str:
    """What numbers of a build that depend on activity are called: "synthetic input", or empty where it had data."""
    return Record(opened(folder), folder).label


@dataclass(frozen=True)
class Exported:
    """Files that were written, the main one first, and how their floats differ from the integers, where they do."""

    files: tuple[Path, ...]
    replay: Replay | None = None


def export(
    folder: str | Path,
    to: str,
    out: str | Path,
    x: Array | str | Path | None = None,
    samples: int | None = None,
    differ: float = DIFFER,
) -> Exported:
    """Write a built network in the format of another tool.

    ``x`` are raw inputs as those of :func:`run`, for formats that carry samples or hold floats; without them so many
    ``samples`` of what the build was measured on are taken, as :func:`verify` takes them. Floats are run on them beside
    the integers: GraphError ND173 where more than the part ``differ`` of some layer's values is another. Raises
    UsageError ND704 for an unknown format, BackendError ND705 for one that cannot be written here, GraphError ND230
    with every node that the format cannot express.
    """
    writers = {name: member.writer for name, member in FORMATS.items() if member.writer is not None}
    FORMATS.named(to, "ND704", "export format", "--to", writers)
    writer = writers[to]
    reason = writer.available()
    if reason:
        raise BackendError(Problem("ND705", f"{to} files cannot be written here", to, reason))
    saved = opened(folder)
    inputs, raw = Record(saved, folder), None
    if x is not None and not (writer.takes_samples or writer.floats):
        cause = f"{to} files hold a network, and no samples"
        raise UsageError(Problem("ND900", cause, "--input", fixes=("leave out --input",)))
    if writer.takes_samples:
        raw = inputs.measured_on(samples or CARRIED) if x is None else inputs.given(x)
    replay = None
    if writer.floats:
        seen, label = inputs.measurable(samples or REPLAYED) if x is None else (inputs.given(x), "")
        replay = writer.replay(saved.program, seen)
    if replay is not None:
        replay = replace(replay, input=label)
        replay.require(differ)
    return Exported(tuple(writer.write(saved.program, Path(out), raw)), replay)


def crosscheck(
    folder: str | Path,
    samples: int = 4,
    python: str = "",
    *,
    layers: Sequence[str] = (),
    timing: str = "detailed",
    memory_gb: float | None = None,
    time_limit_s: float | None = None,
    data: object = "",
    target: str = "",
) -> Crosscheck:
    """Energy and time of the same samples by SANA-FE, run by another interpreter, and by us.

    ``timing`` is SANA-FE's model; ``target`` prices both sides: the mapping's own unless another one of the same mesh
    is named. Raises BackendError ND720 where SANA-FE is absent and ND721 where its run fails, SimulateError ND620 for
    a network that needs more than ``memory_gb``, GraphError ND230 with every node where nothing can be compared,
    UsageError ND900 for an unknown timing model and ND905 for layers without a node, and what :func:`verify` says of
    data.
    """
    from ..formats.sanafe import crosscheck as sanafe

    if timing not in sanafe.TIMINGS:
        raise UsageError(unknown_name("ND900", "timing model", timing, sanafe.TIMINGS, "--timing"))
    saved = opened(folder)
    inputs, mapping = Record(saved, folder), saved.program.mapping
    place = targets.load(target or (mapping.target if mapping is not None else "loihi-sim"))
    interpreter = sanafe.interpreter_of(python)
    sanafe.find(interpreter)  # before anything that takes time
    given = {"memory_gb": memory_gb, "time_limit_s": time_limit_s}
    chosen = {key: value for key, value in given.items() if value is not None}
    raw = inputs.measured_on(samples, live.data_spec(data, saved.program.graph))
    found = sanafe.crosscheck(
        saved.program, place, raw, python=interpreter, timing=timing, layers=layers, **chosen
    )
    return replace(found, input=inputs.label) if not data and inputs.label else found
