"""What can be done with a finished build: run it, verify it, write it in another format, cross-check it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import artifact, compare
from .. import target as targets
from ..array import Array
from ..backends import proving
from ..errors import BackendError, Problem, UsageError, unknown_name
from ..inputs.recorded import Record
from ..ir.trace import Trace
from ..registry import FORMATS
from .evaluated import remedies, saturated

if TYPE_CHECKING:
    from ..formats.sanafe.crosscheck import Crosscheck


def traced(
    folder: str | Path, x: Array | str | Path, backend: str, record: Sequence[str], granularity: str
) -> tuple[Trace, tuple[Problem, ...]]:
    """The trace of raw inputs ``x`` on a backend, and a warning (ND602) if values were clipped to their width.

    ``x``, ``record``, ``granularity`` and the errors are those of :func:`neurodeploy.run`.
    """
    saved = artifact.load(folder)
    program, inputs = saved.program, Record(saved, folder)
    images = inputs.given(x)
    unknown = [name for name in record if name not in program.graph.nodes]
    if unknown:
        known = program.graph.nodes
        raise UsageError([unknown_name("ND905", "layer", name, known, "--record") for name in unknown])
    chosen = compare.usable(backend, granularity)
    if chosen.mapped and (program.mapping is None or not program.mapping.images):
        cause = f"the artifact holds no memory images for {backend}"
        fixes = ("build again on a target that the network fits", "use --backend cpu")
        raise UsageError(Problem("ND949", cause, str(folder), fixes=fixes))
    trace, _ = chosen.run(program, images, tuple(record))
    integers = saved.source is not None and saved.source.header.level == "integer"
    return trace, saturated(trace.saturations, remedies(bool(inputs.synthetic), integers))


def verified(
    folder: str | Path, backends: Sequence[str], samples: int, data: str, granularity: str
) -> compare.Verification:
    """The interpreter against ``backends`` (default: those that prove a build); errors of :class:`Record` for data."""
    saved = artifact.load(folder)
    names = tuple(backends) or tuple(member.name for member in proving(saved.program))
    members = [compare.usable(name, granularity) for name in names]
    images = Record(saved, folder).measured_on(samples, data)
    return compare.verify(saved.program, images, members)


def exported(
    folder: str | Path, to: str, out: str | Path, x: Array | str | Path | None, samples: int
) -> tuple[Path, ...]:
    """The files written; arguments and errors are those of :func:`neurodeploy.export`."""
    writers = {name: member.writer for name, member in FORMATS.items() if member.writer is not None}
    FORMATS.named(to, "ND704", "export format", "--to", writers)
    writer = writers[to]
    reason = writer.available()
    if reason:
        raise BackendError(Problem("ND705", f"{to} files cannot be written here", to, reason))
    saved = artifact.load(folder)
    inputs, raw = Record(saved, folder), None
    if x is not None and not writer.takes_samples:
        cause = f"{to} files hold a network, and no samples"
        raise UsageError(Problem("ND900", cause, "--input", fixes=("leave out --input",)))
    if writer.takes_samples:
        raw = inputs.measured_on(samples) if x is None else inputs.given(x)
    return tuple(writer.write(saved.program, Path(out), raw))


def crosschecked(
    folder: str | Path, samples: int, python: str, data: str, target: str, timing: str, **options: Any
) -> Crosscheck:
    """Energy and time by SANA-FE and by us; arguments and errors are those of :func:`neurodeploy.verbs.crosscheck`."""
    from ..formats.sanafe import crosscheck

    if timing not in crosscheck.TIMINGS:
        raise UsageError(unknown_name("ND900", "timing model", timing, crosscheck.TIMINGS, "--timing"))
    saved = artifact.load(folder)
    inputs, mapping = Record(saved, folder), saved.program.mapping
    place = targets.load(target or (mapping.target if mapping is not None else "loihi-sim"))
    interpreter = crosscheck.interpreter_of(python)
    crosscheck.find(interpreter)  # before anything that takes time
    chosen = {key: value for key, value in options.items() if value is not None}
    found = crosscheck.crosscheck(
        saved.program, place, inputs.measured_on(samples, data), python=interpreter, timing=timing, **chosen
    )
    return replace(found, input=inputs.label) if not data and inputs.label else found
