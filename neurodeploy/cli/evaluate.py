"""The command ``evaluate``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, cast

from .. import verbs
from .app import app
from .flags import LEVEL, SCHEDULER, BuildData, Folder, Option, Quiet, Shape, Spread, Verbose
from .screen import Format, screen

if TYPE_CHECKING:
    from .. import evaluation


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
