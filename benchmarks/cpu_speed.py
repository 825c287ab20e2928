"""The cpu backend against the float torch model that the network was imported from.

    .venv/bin/python benchmarks/cpu_speed.py [--model digits-a2os2a] [--program program.h5] [--rounds 5] [--threads 2]

A spiking model runs in multi-step form: all ticks of a batch in one call, every layer over T x B samples, as
SpikingJelly does it; an ANN runs once. Each engine has its own process (thread pools of different libraries slow each
other down), rounds alternate, and the allocator keeps freed memory (as its default costs torch up to a third). Times
are medians over calls after a warm-up. On a machine that is busy with other work give ``--threads 1``: a thread pool
that waits for a core it does not get measures that work.

Prints a table, writes ``benchmarks/results/cpu_speed-<model>-<threads>-threads.json``.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from _bench import machine, write

BATCHES = (64, 1)
SECONDS = 2.0  # measured in each process
ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": str(1 << 34), "MALLOC_TRIM_THRESHOLD_": str(1 << 34)}
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
ENGINES = ("torch float", "cpu backend")


def built(model: str, folder: Path) -> Path:
    """An artifact with the integer graph of a zoo model under its default settings."""
    from neurodeploy import artifact, target
    from neurodeploy.builds.pipeline import stages
    from neurodeploy.builds.restart import artifact_of
    from neurodeploy.builds.result import Results
    from neurodeploy.calibrate import unheard
    from neurodeploy.config import BuildConfig

    made = stages(
        BuildConfig(model=model, target="cpu-sim"), target.load("cpu-sim"), "import", lambda name: unheard
    )
    path = folder / "program.h5"
    artifact.save(path, artifact_of(Results(tuple(itertools.islice(made, 4)))))  # up to the integer graph
    return path


def batches(model: str) -> tuple[np.ndarray, np.ndarray]:
    """Training and test images together, raw, and the same as the float model sees them (float32)."""
    from neurodeploy import datasets
    from neurodeploy.sources import zoo

    entry = zoo.entry(model)
    data = datasets.load(entry.dataset)
    raw = np.concatenate([data.train.images, data.test.images])
    scale, offset = (
        np.asarray(v, dtype=np.float32).reshape(-1, 1, 1) for v in (entry.input.scale, entry.input.offset)
    )
    return raw, raw.astype(np.float32) * scale + offset


def torch_runner(model: str) -> Callable[[np.ndarray], Any]:
    """The zoo's network on a float batch."""
    import torch

    from neurodeploy.sources import zoo

    network, entry = zoo.load(model), zoo.entry(model)
    run = zoo.submodule("spiking").run if entry.kind == "snn" else None

    def call(x: np.ndarray) -> Any:
        with torch.inference_mode():
            tensor = torch.from_numpy(x)
            return network(tensor) if run is None else run(network, tensor, entry.timesteps)

    return call


def engine_runner(program: Path) -> Callable[[np.ndarray], Any]:
    """The cpu backend on a raw batch."""
    from neurodeploy import artifact
    from neurodeploy.backends.cpu import MEMBER

    loaded = artifact.load(program).program
    return lambda x: MEMBER.run(loaded, x)


def compile_all(model: str, program: Path) -> None:
    """Machine code of the network, kept on disk: every process then begins with it, as after a first long run."""
    from neurodeploy.simulate import fused, gradual

    fused.LOOKED_AT = fused.WORTH = gradual.WORTH = -1.0
    raw, run = batches(model)[0], engine_runner(program)
    for batch in BATCHES:
        run(raw[:batch])


def child(engine: str, model: str, program: Path, batch: int) -> dict[str, float]:
    """Median seconds of one call, of the first call, and of one pass over the whole data set in batches of 64."""
    raw, floats = batches(model)
    x, run = (floats, torch_runner(model)) if engine == "torch float" else (raw, engine_runner(program))
    start = time.perf_counter()
    run(x[:batch])
    first = time.perf_counter() - start
    run(x[:batch])
    times: list[float] = []
    begin = time.perf_counter()
    while time.perf_counter() - begin < SECONDS or len(times) < 5:
        at = (len(times) * batch) % (len(x) - batch)
        start = time.perf_counter()
        run(x[at : at + batch])
        times.append(time.perf_counter() - start)
    start = time.perf_counter()
    for at in range(0, len(x), 64):
        run(x[at : at + 64])
    return {"call_s": statistics.median(times), "first_s": first, "whole_s": time.perf_counter() - start}


def measure(engine: str, model: str, program: Path, batch: int) -> dict[str, float]:
    """One process of its own."""
    command = [sys.executable, __file__, "--child", engine, "--model", model, "--program", str(program),
               "--batch", str(batch)]  # fmt: skip
    done = subprocess.run(command, env=os.environ | ALLOCATOR, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def compare(model: str, program: Path, rounds: int) -> list[dict[str, Any]]:
    """Rows of engine, batch, medians over rounds, and the ratio of throughputs within a round."""
    rows = []
    compile_all(model, program)
    for batch in BATCHES:
        seen: dict[str, list[dict[str, float]]] = {engine: [] for engine in ENGINES}
        for _ in range(rounds):
            for engine in ENGINES:
                seen[engine].append(measure(engine, model, program, batch))
        rates = {engine: [batch / one["call_s"] for one in found] for engine, found in seen.items()}
        for engine, found in seen.items():
            # round by round: what else the machine does then slows both engines
            ratios = [ours / base for ours, base in zip(rates[engine], rates[ENGINES[0]], strict=True)]
            rows.append({
                "model": model, "engine": engine, "batch": batch, "rounds": rounds,
                "samples_per_s": statistics.median(rates[engine]),
                "slowest": min(rates[engine]), "fastest": max(rates[engine]),
                "ratio": statistics.median(ratios), "ratio_low": min(ratios), "ratio_high": max(ratios),
                "first_call_s": statistics.median(one["first_s"] for one in found),
                "whole_set_s": statistics.median(one["whole_s"] for one in found),
            })  # fmt: skip
    return rows


def shown(rows: list[dict[str, Any]]) -> str:
    """The rows as an aligned table."""
    names = ("engine", "batch", "samples/s", "range", "ratio", "range", "first s", "whole set s")
    head = "{:<12} {:>5} {:>10} {:>15} {:>6} {:>11} {:>8} {:>11}".format(*names)
    lines = [
        f"{r['engine']:<12} {r['batch']:>5} {r['samples_per_s']:>10.0f} {r['slowest']:>7.0f}-{r['fastest']:<7.0f}"
        f" {r['ratio']:>6.2f} {r['ratio_low']:>5.2f}-{r['ratio_high']:<5.2f}"
        f" {r['first_call_s']:>8.2f} {r['whole_set_s']:>11.2f}"
        for r in rows
    ]
    return "\n".join([head, *lines])


def main() -> None:
    """Build if need be, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="digits-a2os2a", help="a model of the zoo")
    parser.add_argument("--program", type=Path, help="artifact of that model [default: built now]")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of every engine")
    parser.add_argument("--child", choices=ENGINES, help=argparse.SUPPRESS)
    parser.add_argument("--batch", type=int, default=64, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        print(json.dumps(child(args.child, args.model, args.program, args.batch)))
        return
    os.environ.update(dict.fromkeys(THREADS, str(args.threads)))  # the engines' processes inherit it
    with tempfile.TemporaryDirectory() as folder:
        program = args.program or built(args.model, Path(folder))
        before = os.getloadavg()[0]
        rows = compare(args.model, program, args.rounds)
    loads = (
        f"load average before {before:.1f}, after {os.getloadavg()[0]:.1f} (the benchmark itself included)"
    )
    load = f"{args.threads} threads, {loads}"
    print(machine(), load, shown(rows), sep="\n")
    write(f"cpu_speed-{args.model}-{args.threads}-threads", {"rows": rows, "load": load})


if __name__ == "__main__":
    main()
