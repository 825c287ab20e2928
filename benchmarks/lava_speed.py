"""Our Lava networks against lava-dl's netx on the same .net files, and the cpu backend against Lava.

    .venv/bin/python benchmarks/lava_speed.py [--rounds 3] [--steps 100] [--program program.h5 ...]

Each engine has its own process and one thread; rounds alternate. Both Lava networks get the same stock source and sink.
*start* is what Lava needs until the first step is done (compilation, starting its processes), *step* the wall time of
one further step. For the cpu backend *start* is planning its engine, and a step is a tick of one sample. ``--program``
adds built networks, which netx cannot express.

Prints a table, writes ``benchmarks/results/lava_speed.json``.
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
from pathlib import Path
from typing import Any

import numpy as np
from _bench import machine, write

ROOT = Path(__file__).resolve().parent.parent
ENGINES = ("netx", "lava", "cpu")
#: input of each file, (X, Y, C) as netx wants it
SHAPES = {"mlp-784-128-64-10": (784,), "conv-16x16x2": (16, 16, 2)}
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")


def networks(folder: Path) -> list[Path]:
    """Two files as lava-dl writes them: the layers of its MNIST example, and a small convolutional network."""
    from tests.netx_files import FLATTEN, conv, dense, weights, write_net

    rng = np.random.default_rng(0)
    sizes = (784, 128, 64, 10)
    small = lambda *shape: weights(rng, *shape, low=-60, high=60)
    mlp = [dense(small(out, into)) for into, out in itertools.pairwise(sizes)]
    layers = [
        conv(small(8, 2, 3, 3), (8, 14, 14), inChannels=2),
        conv(small(16, 8, 3, 3), (16, 12, 12), inChannels=8),
        FLATTEN,
        dense(small(32, 2304)),
        dense(small(10, 32)),
    ]
    return [write_net(folder / "mlp-784-128-64-10.net", mlp), write_net(folder / "conv-16x16x2.net", layers)]


def loaded(path: Path, steps: int) -> Any:
    """The program of a .net file or of an artifact."""
    from neurodeploy import artifact
    from neurodeploy.formats.netx import MEMBER as NETX
    from neurodeploy.formats.netx import READER
    from neurodeploy.program import Program

    if path.suffix != ".net":
        return artifact.load(path).program
    options: Any = NETX.configure({"input_shape": list(SHAPES[path.stem])})
    return Program(READER.load(path, options, steps))


def stimulus(shape: tuple[int, ...], steps: int) -> np.ndarray:
    """Spikes (T, *shape), a fifth of them set."""
    return (np.random.default_rng(1).random((steps, *shape)) < 0.2).astype(np.int64)


def child(engine: str, path: Path, steps: int) -> dict[str, float]:
    """Seconds to the first step, and of each further one."""
    if engine == "cpu":
        return _cpu(path, steps)
    from lava.magma.core.run_conditions import RunSteps
    from lava.magma.core.run_configs import Loihi2SimCfg
    from lava.proc.io.sink import RingBuffer as Sink
    from lava.proc.io.source import RingBuffer as Source

    if engine == "netx":
        from lava.lib.dl.netx import hdf5

        network = hdf5.Network(net_config=str(path), input_shape=SHAPES[path.stem])
        inp, out = network.inp, network.out
    else:
        from neurodeploy import lava

        network = lava.network(loaded(path, steps))
        inp, out = network.s_in, network.s_out
    source = Source(data=np.moveaxis(stimulus(tuple(inp.shape), steps), 0, -1).astype(np.int32))
    sink = Sink(shape=tuple(out.shape), buffer=steps)
    source.s_out.connect(inp)
    out.connect(sink.a_in)
    start = time.perf_counter()
    network.run(condition=RunSteps(num_steps=1), run_cfg=Loihi2SimCfg(select_tag="fixed_pt"))
    first = time.perf_counter()
    network.run(condition=RunSteps(num_steps=steps - 1), run_cfg=Loihi2SimCfg(select_tag="fixed_pt"))
    end = time.perf_counter()
    network.stop()
    return {"start_s": first - start, "step_ms": (end - first) / (steps - 1) * 1e3}


def _cpu(path: Path, steps: int) -> dict[str, float]:
    from neurodeploy.backends.cpu import MEMBER

    program = loaded(path, steps)
    graph = program.graph
    shape, ticks = graph.shape(graph.input.name), graph.header.timesteps
    x = stimulus(shape, ticks)[None] if graph.input.per_tick else stimulus(shape, 1)
    start = time.perf_counter()
    MEMBER.run(program, x)
    first = time.perf_counter()
    times = []
    for _ in range(10):
        begin = time.perf_counter()
        MEMBER.run(program, x)
        times.append(time.perf_counter() - begin)
    return {"start_s": first - start, "step_ms": statistics.median(times) / ticks * 1e3}


def measure(engine: str, path: Path, steps: int) -> dict[str, float]:
    """One process of its own."""
    command = [sys.executable, __file__, "--child", engine, "--file", str(path), "--steps", str(steps)]
    environment = {**os.environ, **dict.fromkeys(THREADS, "1"), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    if done.returncode:
        raise RuntimeError(f"{engine} on {path.name}: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def compare(path: Path, rounds: int, steps: int) -> list[dict[str, Any]]:
    """Rows of network and engine: medians over rounds, ratios to our Lava network within a round."""
    engines = ENGINES if path.suffix == ".net" else ENGINES[1:]
    seen: dict[str, list[dict[str, float]]] = {engine: [] for engine in engines}
    for _ in range(rounds):
        for engine in engines:
            seen[engine].append(measure(engine, path, steps))
    rows = []
    for engine, found in seen.items():
        ratios = [a["step_ms"] / b["step_ms"] for a, b in zip(found, seen["lava"], strict=True)]
        name = path.stem if path.suffix == ".net" else path.parent.name
        rows.append({
            "network": name, "engine": engine, "rounds": rounds,
            "step_ms": statistics.median(f["step_ms"] for f in found),
            "fastest": min(f["step_ms"] for f in found), "slowest": max(f["step_ms"] for f in found),
            "step_to_lava": statistics.median(ratios), "start_s": statistics.median(f["start_s"] for f in found),
        })  # fmt: skip
    return rows


def shown(rows: list[dict[str, Any]]) -> str:
    """The rows as an aligned table."""
    head = f"{'network':<20} {'engine':<6} {'ms/step':>9} {'range':>17} {'to lava':>8} {'start s':>8}"
    lines = [
        f"{r['network']:<20} {r['engine']:<6} {r['step_ms']:>9.3f} {r['fastest']:>8.3f}-{r['slowest']:<8.3f}"
        f" {r['step_to_lava']:>8.3f} {r['start_s']:>8.2f}"
        for r in rows
    ]
    return "\n".join([head, *lines])


def main() -> None:
    """Write the files, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--program", type=Path, nargs="*", default=[], help="built networks to add")
    parser.add_argument("--child", choices=ENGINES, help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    if args.child:
        print(json.dumps(child(args.child, args.file, args.steps)))
        return
    before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        paths = [*networks(Path(folder)), *args.program]
        rows = [row for path in paths for row in compare(path, args.rounds, args.steps)]
    load = f"load average before {before:.1f}, after {os.getloadavg()[0]:.1f} (the benchmark itself included)"
    print(machine(), load, shown(rows), sep="\n")
    write("lava_speed", {"rows": rows, "load": load})


if __name__ == "__main__":
    main()
