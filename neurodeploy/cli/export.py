"""The commands ``export`` and ``crosscheck``: a network in the tools of others."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from .. import errors, verbs
from .app import app
from .flags import (
    BuildData,
    Carried,
    Differ,
    Drawn,
    Folder,
    Layers,
    Memory,
    Option,
    Python,
    Samples,
    Shape,
    TimeLimit,
    Timing,
    Verbose,
)
from .screen import Format, Silent, screen


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
            raise Silent(errors.EXIT_VERIFY)
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
