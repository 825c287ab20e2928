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
    """Count how many samples of a data set a built network answers right, however large the set is.

    Of a network of images: how near they are to the true ones.
    """
    screen.configure(form, quiet, verbose)
    from ..builds.evaluated import saturated
    from ..report import units

    with Bar(lines=True) as bar:
        found = verbs.evaluate(
            folder, data, cast(Any, split), samples, level=level, backend=backend, jobs=jobs, scheduler=scheduler,
            heard=lambda found: bar.advance(found.found.samples, found.samples),
        )  # fmt: skip
    tally = found.found
    if screen.json:
        answers = {"correct": tally.correct[-1], "accuracy": tally.accuracy} if tally.correct else {}
        ticks = (
            {"by_timestep": tally.by_timestep} if tally.correct else {"psnr_db_by_timestep": tally.psnr_db}
        )
        screen.data({
            "split": split, "level": level, "samples": tally.samples, **answers, **ticks,
            "saturations": tally.clipped, "seconds": found.seconds, "samples_per_s": found.samples_per_s,
        })  # fmt: skip
        return
    if tally.correct:
        ticks_shown = [f"{100 * share:.2f} %" for share in tally.by_timestep]
        screen.out(
            f"{100 * tally.accuracy:.2f} % of {tally.samples} {split} samples right ({tally.correct[-1]})"
        )
    else:
        ticks_shown = [units.decibels(level_db) for level_db in tally.psnr_db]
        screen.out(f"PSNR {ticks_shown[-1]} of {tally.samples} {split} images beside the true ones")
    if len(ticks_shown) > 1:
        screen.out("after each tick: " + ", ".join(ticks_shown))
    screen.note(f"{found.seconds:.1f} s, {found.samples_per_s:.0f} samples/s")
    screen.warnings(saturated(tally.clipped, ()))
