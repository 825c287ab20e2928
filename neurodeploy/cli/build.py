"""The command ``build``."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Annotated

from ..errors import NeurodeployError
from .app import app
from .bar import Bar
from .flags import (
    Asked,
    Calib,
    From,
    MaxCores,
    MaxLatency,
    Optimise,
    Option,
    Out,
    Quiet,
    Shape,
    Tested,
    TimeBudget,
    Verbose,
    Verified,
    Whole,
    of_network,
)
from .report import show_summary
from .screen import Format, Silent, screen

if TYPE_CHECKING:
    from ..builds.pipeline import Event

#: warnings of a build that say how far its numbers can be trusted: shown whole
TOLD = {"ND114", "ND680", "ND681", "ND682", "ND683"}


@app.command()
@of_network
def build(
    asked: Asked,
    calib: Calib = None,
    evaluate: Tested = None,
    verify_samples: Verified = None,
    time_budget: TimeBudget = None,
    optimise: Optimise = None,
    max_cores: MaxCores = None,
    max_latency: MaxLatency = None,
    out: Out = None,
    start: From = "import",
    to: Annotated[str, Option("--to", help="last stage to run")] = "report",
    jobs: Annotated[Whole, Option("--jobs", help="threads (default: all cores)")] = None,
    seed: Annotated[Whole, Option("--seed", help="of the calibration draw (default: 0)")] = None,
    strict: Annotated[bool, Option("--strict", help="warnings count as errors")] = False,
    form: Shape = Format.auto,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Run all stages, write a build folder and print the summary."""
    screen.configure(form, quiet, verbose)
    from ..config import resolve

    flags = {
        **asked.flags, "calib": calib, "eval": evaluate, "verify": verify_samples, "time_budget": time_budget,
        "optimise": optimise, "max_cores": max_cores, "max_latency_ms": max_latency, "out": out, "jobs": jobs,
        "seed": seed,
    }  # fmt: skip
    chosen = resolve(flags, asked.config, asked.settings)
    _limit_threads(chosen.jobs)
    from ..builds import pipeline

    with Bar() as bar:
        result = pipeline.run(chosen, partial(_show, bar), start, to)
    show_summary(dict(result.report), result.folder)
    screen.warnings([p for p in result.warnings if p.code in TOLD])  # the summary counts them all
    failed: list[NeurodeployError] = list(result.errors)
    if strict and result.warnings:
        failed.append(NeurodeployError([replace(p, severity="error") for p in result.warnings]))
    for error in failed[:1]:
        raise Silent(error.exit_code) if screen.json else error  # the JSON of the report says it already


def _limit_threads(jobs: int) -> None:
    """Tell the numeric libraries how many threads to use; they read it when they are first imported."""
    if jobs:
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
            os.environ[name] = str(jobs)


def _show(bar: Bar, event: Event) -> None:
    """One event of the pipeline: a bar for the stage that runs, one line kept for each that is done."""
    if event.kind in ("begin", "finish"):
        bar.line(str(event))
    if event.kind == "start":
        bar.begin(f"[{event.index}/{event.total}] {event.stage}")
    elif event.kind == "progress":
        bar.advance(event.done, event.of, event.unit)
    elif event.kind == "finish":
        bar.end()
