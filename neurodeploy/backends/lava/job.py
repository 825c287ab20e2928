"""A run as files: what the watched process is given, and what it leaves. Nothing is pickled.

The folder of a job holds ``program.h5`` (graph and mapping), ``x.npy``, ``job.json``, then ``values-N.npy`` (one for
the read-out and each watched value), ``progress`` (steps done), ``counts-PID.jsonl`` (saturations by node so far),
``error.json`` and ``log``.
"""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from ...array import Array
from ...errors import NeurodeployError, Problem, SimulateError
from ...ir import store
from ...ir.graph import Graph, Header
from ...ir.nodes import KINDS
from ...ir.types import Activity, Code, Fixed, Interval, Origin, Shape, Value
from ...mapping.types import Core, Demand, Group, Mapping, Piece
from ...program import Program
from .plan import Plan, Tap, plan

CLASSES: dict[str, type] = {
    cls.__name__: cls
    for cls in (
        *KINDS.values(), Graph, Header, Value, Shape, Code, Fixed, Interval, Activity, Origin, Mapping, Group, Core,
        Piece, Demand, Problem,
    )
}  # fmt: skip


def put(folder: Path, program: Program, found: Plan, x: Array, prefix: str) -> None:
    """Write a job; ``prefix`` begins the names of its shared memory."""
    sections: dict[str, Any] = {"graph": program.graph}
    if found.granularity == "core" and program.mapping is not None:
        sections["mapping"] = replace(program.mapping, images=())
    store.write(folder / "program.h5", sections)
    np.save(folder / "x.npy", np.ascontiguousarray(x), allow_pickle=False)
    record = [tap.value for tap in found.taps]
    request = {"record": record, "granularity": found.granularity, "prefix": prefix}
    (folder / "job.json").write_text(json.dumps(request))


def get(folder: Path) -> tuple[Plan, Array]:
    """Read a job."""
    sections = store.read(folder / "program.h5", CLASSES).sections
    given = json.loads((folder / "job.json").read_text())
    x = np.load(folder / "x.npy", allow_pickle=False)
    return plan(sections["graph"], given["record"], given["granularity"], sections.get("mapping"), len(x)), x


def watched(found: Plan) -> list[Tap]:
    """What is recorded, in the order of the files: the read-out, then every watched value inside the network."""
    return [found.output, *(tap for tap in found.taps if tap.live)]


def steps(found: Plan, samples: int) -> tuple[int, int]:
    """(runs, steps of each): all samples in one run where they can follow each other."""
    last = max(tap.depth for tap in watched(found))
    if found.clock.period is None:
        return samples, found.clock.ticks + last
    return 1, samples * found.clock.period + last


def arrays(folder: Path, found: Plan, samples: int, mode: Any) -> list[Array]:
    """The arrays of all watched values, (runs, steps, *shape), mapped into memory."""
    runs, each = steps(found, samples)
    mapped: Any = np.lib.format.open_memmap  # which reads a file with the shape that it has
    shapes = [(runs, each, *(tap.shape or (1,))) for tap in watched(found)]
    return [mapped(folder / f"values-{n}.npy", mode, np.int64, shape) for n, shape in enumerate(shapes)]


def values(found: Plan, tap: Tap, array: Array, samples: int) -> Array:
    """(T, B, *shape) of a watched value from its steps."""
    ticks, start = found.clock.ticks, tap.depth
    if found.clock.period is None:
        part = array[:, start : start + ticks]
    else:
        part = array[0, start : start + samples * found.clock.period]
        part = part.reshape(samples, found.clock.period, *part.shape[1:])[:, :ticks]
    part = np.array(part.swapaxes(0, 1)).reshape(ticks, samples, *tap.shape)
    return part if tap.bias is None else part + tap.bias


def save_error(folder: Path, where: str, error: BaseException, text: str) -> None:
    """Leave word of what went wrong; the first word stays."""
    problems = [asdict(p) for p in error.problems] if isinstance(error, NeurodeployError) else []
    note = {"where": where, "type": type(error).__name__, "message": str(error)[:500], "problems": problems}
    draft = folder / f"error-{id(error)}.tmp"
    draft.write_text(json.dumps({**note, "traceback": text[-4000:]}))
    target = folder / "error.json"
    if not target.exists():
        draft.rename(target)


def load_error(folder: Path) -> SimulateError | None:
    """What went wrong, typed: the problems that a process raised itself, or ND740."""
    try:
        found = json.loads((folder / "error.json").read_text())
    except (OSError, ValueError):
        return None
    if found["problems"]:
        return SimulateError([Problem(**{**p, "fixes": tuple(p["fixes"])}) for p in found["problems"]])
    what = f"{found['type']}: {found['message']}"
    return SimulateError(Problem("ND740", "a Lava process failed; the run was ended", found["where"], what))
