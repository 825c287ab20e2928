"""The command ``evaluate``."""

from __future__ import annotations

from typing import Annotated, Any, cast

from .. import verbs
from .app import app
from .bar import Bar
from .flags import LEVEL, SCHEDULER, BuildData, Folder, Option, Quiet, Shape, Spread, Verbose
from .screen import Format, screen


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
    from ..builds.evaluated import saturated

    with Bar(lines=True) as bar:
        found = verbs.evaluate(
            folder, data, cast(Any, split), samples, level=level, backend=backend, jobs=jobs, scheduler=scheduler,
            heard=lambda found: bar.advance(found.found.samples, found.samples),
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
