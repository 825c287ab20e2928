"""The verbs of the command line as functions that return what the command prints; each forwards to its room."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .array import Array
    from .backends._base import Description
    from .builds.check import Check
    from .builds.pipeline import Build, Listener
    from .compare import Verification
    from .errors import Problem
    from .formats.sanafe.crosscheck import Crosscheck
    from .ir.trace import Trace
    from .sources.zoo import ZooEntry
    from .support import Verdict
    from .target import Target

__all__ = [
    "build", "check", "crosscheck", "doctor", "explain", "export", "models", "ops", "report", "run", "targets",
    "verify",
]  # fmt: skip


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
    from .builds import pipeline

    return pipeline.build(
        model, target, config_file=config_file, settings=settings, progress=progress, **flags
    )


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
    from . import config
    from .builds import check as room

    given = {"model": model, "target": target, "method": method or None, "timesteps": timesteps, **flags}
    return room.check(config.resolve(given, config_file, settings))


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
) -> tuple[Trace, tuple[Problem, ...]]:
    """As :func:`run`: the whole trace, and a warning (ND602) if values were clipped to their width."""
    from .builds import reuse

    return reuse.traced(folder, x, backend, record, granularity)


def verify(
    folder: str | Path,
    backends: Sequence[str] = (),
    samples: int = 100,
    data: str = "",
    granularity: str = "",
) -> Verification:
    """The artifact's integer graph by the interpreter against backends (default: those that verify a build).

    Test images come from ``data``, or else from the data of the build: UsageError ND935 if they are not found, ND936 if
    they have changed. A build without data is verified on the synthetic input that it was measured on. ``granularity``
    as for :func:`run`.
    """
    from .builds import reuse

    return reuse.verified(folder, backends, samples, data, granularity)


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
    from .inputs.recorded import Record

    return Record(artifact.load(folder), folder).label


def export(
    folder: str | Path, to: str, out: str | Path, x: Array | str | Path | None = None, samples: int = 1
) -> tuple[Path, ...]:
    """Write a built network in the format of another tool; returns the files, the main one first.

    ``x`` are raw inputs as those of :func:`run`, for formats that carry samples; without them so many ``samples`` of
    what the build was measured on are taken, as :func:`verify` takes them. Raises UsageError ND704 for an unknown
    format, BackendError ND705 for one that cannot be written here, GraphError ND230 with every node that the format
    cannot express.
    """
    from .builds import reuse

    return reuse.exported(folder, to, out, x, samples)


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
    from .builds import reuse

    return reuse.crosschecked(
        folder,
        samples,
        python,
        data,
        target,
        timing,
        layers=layers,
        memory_gb=memory_gb,
        time_limit_s=time_limit_s,
    )


def report(folder: str | Path) -> dict[str, Any]:
    """Re-render page and tables of a build folder from its ``report.json``; returns the data."""
    from . import report as room
    from .report import html

    data = room.read(Path(folder))
    room.write(data, Path(folder))
    html.write(data, Path(folder))
    return data


def targets() -> list[Target]:
    """Every target that can be found, loaded."""
    from . import target

    return [target.load(name) for name in target.names()]


def models() -> list[ZooEntry]:
    """The entries of the zoo."""
    from .sources import zoo

    return [zoo.entry(name) for name in zoo.names()]


def ops(target: str = "loihi-sim") -> list[Verdict]:
    """What a target can do with every node kind, neuron model and operator."""
    from . import support
    from .target import load

    return support.catalogue(load(target))


def explain(code: str) -> tuple[str, str]:
    """Title and long text of an error code; UsageError with the nearest codes for an unknown one."""
    from .codes import explained

    return explained(code)


def doctor() -> dict[str, Any]:
    """Versions, usable backends and exporters with the reason why not, file formats that are read, folders."""
    from .environment import usable

    return usable()
