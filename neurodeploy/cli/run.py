"""The command ``run``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from .. import verbs
from ..errors import Problem
from .app import app
from .flags import Folder, Granularity, Option, Outputs, Quiet, Raw, Recorded, Shape, Verbose
from .processes import shares
from .screen import Format, screen

STATE = "file that holds where streams are: they go on from there, if it exists, and it is written anew"


@app.command()
def run(
    folder: Folder,
    input: Raw,
    output: Outputs,
    backend: Annotated[str, Option("--backend", help="cpu, loihi-sim, lava, ...")] = "cpu",
    granularity: Granularity = "",
    record: Recorded = None,
    state: Annotated[Path | None, Option("--state", help=STATE)] = None,
    kernels: Annotated[
        bool, Option("--kernels", help="show by which code each layer is computed, and why")
    ] = False,
    form: Shape = Format.auto,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Run a user's own input through a built network."""
    screen.configure(form, quiet, verbose)
    from ..inputs.arrays import save_array

    saturations: dict[str, int] = {}
    warnings: tuple[Problem, ...] = ()
    if state is None:
        found, warnings = verbs.traced(folder, input, backend, tuple(record or ()), granularity)
        outputs, values, saturations = found.outputs, found.values, found.saturations
    else:
        session = verbs.Session(folder, backend, state if state.exists() else None)
        outputs, values = session.run(input, tuple(record or ()))
        session.save(state)
    save_array(output, outputs)
    places = _places(output, values)
    for name, place in places.items():
        save_array(place, values[name])
    chosen = verbs.kernels(folder, backend) if kernels else ()
    ticks, samples = outputs.shape[:2]
    classes = outputs[-1].reshape(samples, -1).argmax(axis=1).tolist()
    if screen.json:
        recorded = {name: str(place) for name, place in places.items()}
        clipped = {name: count for name, count in saturations.items() if count}
        screen.data(
            {"output": str(output), "recorded": recorded, "classes": classes, "saturations": clipped}
            | ({"kernels": [asdict(one) for one in chosen]} if kernels else {})
        )
    else:
        shown = " ".join(map(str, classes[:20])) + (" ..." if samples > 20 else "")
        counted = f"{samples} sample{'s' * (samples != 1)}, {ticks} tick{'s' * (ticks != 1)}"
        screen.out(f"{counted}, largest read-out at {shown}\n{output}")
        for name, place in places.items():
            screen.out(f"{place}  {name}, {tuple(values[name].shape)}")
        screen.warnings(warnings)
        described = verbs.described(folder, backend, granularity)
        if described is not None:
            screen.out(shares(described))
        if chosen:
            rows = [(" ".join(one.nodes), one.name, one.reason) for one in chosen]
            screen.table(("nodes", "kernel", "reason"), rows)


def _places(output: Path, names: Iterable[str]) -> dict[str, Path]:
    """Where each recorded layer goes: beside the read-outs, under its name; names that differ keep files apart."""
    from ..ir.graph import free_name

    places: dict[str, Path] = {}
    for name in names:
        stem = free_name(f"{output.stem}.{name.replace('/', '_')}", [path.stem for path in places.values()])
        places[name] = output.with_name(f"{stem}.npy")
    return places
