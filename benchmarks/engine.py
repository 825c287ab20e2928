"""The cpu backend on natively spiking transformers, against torch, SpikingJelly, Lava and a float ViT of the same size.

    .venv/bin/python benchmarks/engine.py --size S|M --batch 1|64 [--rounds 5] [--threads 2] [--isa avx2] [--json FILE]
    .venv/bin/python benchmarks/engine.py --size S|M --batch 1|64 --streams

The workload is a membrane-shortcut Spikformer with random weights and 15 % spikes (``_spikformer.py``). Each engine has
a process of its own, rounds alternate, and the allocator keeps freed memory. A ratio is the median over rounds of our
throughput by the other's. ``torch_loop``: every layer over all ticks and samples, q, k and v in one, LIF in place.
``float_vit``: one pass of an ordinary transformer of the same size. ``lava_block``: time steps of the MLP of one block,
8 tokens of one sample, in Lava's simulator. ``roofline_share``: the time that the spikes of a sample take at the rates
at which rows of weights are summed and neurons updated in the nearest cache, as a share of ours. ``equal``: our
integers are the interpreter's. ``isa``: the form of every vector kernel; ``--isa avx2`` keeps all compilers from
AVX-512.

``--streams``: the MLP of one block instead, on streams of several kinds at 1 to 60 % of non-zero elements, against the
torch loop; spikes inside are as many, as far as thresholds go down (to zero: about half).
"""

from __future__ import annotations

import argparse
import atexit
import itertools
import json
import os
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from _bench import machine, write
from _spikformer import (
    BRANCH_BITS,
    CLASSES,
    DENSITY,
    PIXEL,
    SIZES,
    STREAMS,
    TICKS,
    Size,
    block,
    events,
    graph,
    inputs,
    tuned,
)
from cpu_speed import ALLOCATOR, THREADS

from neurodeploy.ir.graph import Graph

SECONDS, LEAST = 1.5, 5  # measured in each process, and calls at least
OURS = "engine"
DENSITIES = (0.01, 0.05, 0.15, 0.3, 0.6)
#: Lava holds a layer over several tokens as one matrix, with the weights anew for each
LAVA_TOKENS, LAVA_STEPS = 8, 20
LIMIT_S = 120  # of one process
#: what keeps numba, torch and MKL from wider vectors
AVX2 = {
    "NUMBA_CPU_NAME": "x86-64", "NUMBA_CPU_FEATURES": "+avx2,+avx,+fma,+bmi,+bmi2,+lzcnt,+popcnt,+sse4.2",
    "ATEN_CPU_CAPABILITY": "avx2", "MKL_ENABLE_INSTRUCTIONS": "AVX2",
}  # fmt: skip


def ours(size: Size, network: Graph, x: np.ndarray) -> Callable[[], Any]:
    """The engine of the cpu backend."""
    from neurodeploy.simulate import Engine

    engine = Engine(network)
    return lambda: engine.run(x)


def torch_loop(size: Size, network: Graph, x: np.ndarray) -> Callable[[], Any]:
    """The same network in float32: layers over all ticks at once, neurons in place tick by tick."""
    return _spiking(size, network, x, _in_place)


def spikingjelly(size: Size, network: Graph, x: np.ndarray) -> Callable[[], Any]:
    """The same network with SpikingJelly's multi-step LIF."""
    from spikingjelly.activation_based import functional, neuron

    cells: dict[str, Any] = {}

    def lif(name: str, x: Any, threshold: float) -> Any:
        if name not in cells:
            cells[name] = neuron.LIFNode(2.0, False, threshold, 0.0, step_mode="m", backend="torch").eval()
        functional.reset_net(cells[name])
        return cells[name](x)

    return _spiking(size, network, x, lif)


def _in_place(name: str, x: Any, threshold: float) -> Any:
    import torch

    out, v = torch.empty_like(x), torch.zeros_like(x[0])
    for now, spikes in zip(x, out, strict=True):
        v.mul_(0.5).add_(now)
        torch.gt(v, threshold, out=spikes)
        v.mul_(1 - spikes)
    return out


def _spiking(size: Size, network: Graph, x: np.ndarray, lif: Callable[..., Any]) -> Callable[[], Any]:
    import torch
    from torch.nn import functional

    nodes: Any = network.nodes
    limit = float(2 ** (BRANCH_BITS - 1) - 1)

    def weights(*names: str) -> tuple[Any, Any]:
        parts = ([getattr(nodes[name], part) for name in names] for part in ("weight", "bias"))
        return tuple(torch.from_numpy(np.concatenate(part)).float() for part in parts)

    def branch(name: str) -> tuple[Any, Any, Any]:
        params = nodes[f"{name}.rescale"].params
        return *weights(name), torch.from_numpy(params["multiplier"] / 2.0 ** params["shift"]).float()

    threshold = {
        name: float(node.params["vth"])
        for name, node in nodes.items()
        if "vth" in getattr(node, "params", ())
    }
    layers = {name: weights(name) for name in ["patch", "head", *(f"{i}.up" for i in range(size.depth))]}
    layers |= {i: weights(*(f"{i}.attention.{p}" for p in "qkv")) for i in map(str, range(size.depth))}
    scaled = {
        name: branch(name)
        for name in ["embed", *(f"{i}.{p}" for i in range(size.depth) for p in ("out", "down"))]
    }
    image = torch.from_numpy(x).float()

    def added(name: str, spikes: Any) -> Any:
        weight, bias, scale = scaled[name]
        return functional.linear(spikes, weight, bias).mul_(scale).clamp_(-limit, limit)

    def attention(i: int, spikes: Any) -> Any:
        lead = spikes.shape[:-1]
        qkv = functional.linear(spikes, *layers[str(i)]).unflatten(-1, (3, size.dim))
        fired = (lif(name, part.contiguous(), threshold[name]) for name, part in zip(
            (f"{i}.attention.{p}.lif" for p in "qkv"), qkv.unbind(-2), strict=True))  # fmt: skip
        q, k, v = (x.unflatten(-1, (size.heads, -1)).transpose(-2, -3) for x in fired)
        mixed = (q @ (k.transpose(-1, -2) @ v)).transpose(-2, -3).reshape(*lead, size.dim)
        return lif(f"{i}.attention.lif", mixed, threshold[f"{i}.attention.lif"])

    def run() -> Any:
        with torch.inference_mode():
            first = functional.linear(image, *layers["patch"]).expand(TICKS, -1, -1, -1)
            fire = lambda name, x: lif(name, x, threshold[name])
            stream = added("embed", fire("patch.lif", first))
            for i in range(size.depth):
                stream = stream + added(f"{i}.out", attention(i, fire(f"{i}.lif1", stream)))
                hidden = fire(f"{i}.hidden", functional.linear(fire(f"{i}.lif2", stream), *layers[f"{i}.up"]))
                stream = stream + added(f"{i}.down", hidden)
            return functional.linear(fire("lif", stream).sum(dim=2), *layers["head"]).sum(dim=0)

    return run


def torch_block(size: Size, network: Graph, x: np.ndarray) -> Callable[[], Any]:
    """The MLP of one block in float32, as :func:`torch_loop`."""
    import torch
    from torch.nn import functional

    nodes: Any = network.nodes
    up, down = (
        tuple(torch.from_numpy(p).float() for p in (nodes[n].weight, nodes[n].bias)) for n in ("up", "down")
    )
    scale = None
    if "up.rescale" in nodes:
        params = nodes["up.rescale"].params
        scale = torch.from_numpy(params["multiplier"] / 2.0 ** params["shift"]).float()
    limit = float(2 ** (BRANCH_BITS - 1) - 1)
    image = torch.from_numpy(x).float().transpose(0, 1).contiguous()

    def run() -> Any:
        with torch.inference_mode():
            sums = functional.linear(image, *up)
            sums = sums if scale is None else sums.mul_(scale).clamp_(-limit, limit)
            hidden = _in_place("hidden", sums, float(nodes["hidden"].params["vth"]))
            out = functional.linear(hidden, *down)
            return _in_place("lif", out, float(nodes["lif"].params["vth"])).sum(dim=0)

    return run


def lava_block(size: Size, network: Graph, x: np.ndarray) -> Callable[[], Any]:
    """Some time steps of the block; the first call starts Lava."""
    from lava.magma.core.run_conditions import RunSteps
    from lava.magma.core.run_configs import Loihi2SimCfg
    from lava.proc.io.sink import RingBuffer as Sink
    from lava.proc.io.source import RingBuffer as Source

    from neurodeploy import lava

    built = lava.network(network)
    source = Source(data=np.moveaxis(x[0], 0, -1).astype(np.int32))
    sink = Sink(shape=tuple(built.s_out.shape), buffer=TICKS)
    source.s_out.connect(built.s_in)
    built.s_out.connect(sink.a_in)
    atexit.register(built.stop)
    steps, tags = RunSteps(num_steps=LAVA_STEPS), Loihi2SimCfg(select_tag="fixed_pt")
    return lambda: built.run(condition=steps, run_cfg=tags)


def float_vit(size: Size, network: Graph, x: np.ndarray) -> Callable[[], Any]:
    """Pre-norm blocks with softmax and GELU, float32, one pass."""
    import torch
    from torch import nn
    from torch.nn import functional

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm1, self.norm2 = nn.LayerNorm(size.dim), nn.LayerNorm(size.dim)
            self.qkv, self.out = nn.Linear(size.dim, 3 * size.dim), nn.Linear(size.dim, size.dim)
            self.up, self.down = nn.Linear(size.dim, 4 * size.dim), nn.Linear(4 * size.dim, size.dim)

        def forward(self, x: Any) -> Any:
            q, k, v = self.qkv(self.norm1(x)).unflatten(-1, (3, size.heads, -1)).permute(2, 0, 3, 1, 4)
            mixed = functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
            x = x + self.out(mixed)
            return x + self.down(functional.gelu(self.up(self.norm2(x))))

    torch.manual_seed(0)
    blocks = nn.Sequential(
        nn.Linear(size.patch, size.dim), *(Block() for _ in range(size.depth)), nn.LayerNorm(size.dim)
    ).eval()
    head, image = nn.Linear(size.dim, CLASSES), torch.from_numpy(x).float() / PIXEL

    def run() -> Any:
        with torch.inference_mode():
            return head(blocks(image).mean(dim=1))

    return run


#: of the whole network, and of the MLP of one block
ENGINES: dict[str, Callable[..., Callable[[], Any]]] = {
    OURS: ours, "torch_loop": torch_loop, "float_vit": float_vit, "spikingjelly": spikingjelly
}  # fmt: skip
BLOCK_ENGINES: dict[str, Callable[..., Callable[[], Any]]] = {
    OURS: ours, "torch_loop": torch_block, "lava_block": lava_block
}  # fmt: skip

CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


@dataclass(frozen=True)
class Work:
    """What is run: the whole network, or, of a stream, the MLP of one block."""

    size: str
    batch: int
    density: float = DENSITY
    stream: str = ""
    tokens: int = 0  # other than those of the size

    @property
    def sized(self) -> Size:
        """How large the network is."""
        size = SIZES[self.size]
        return replace(size, tokens=self.tokens or size.tokens)

    def make(self, thresholds: dict[str, int]) -> Graph:
        """The graph with these thresholds."""
        return block(self.sized, thresholds, self.stream) if self.stream else graph(self.sized, thresholds)

    def inputs(self, count: int, seed: int = 1) -> np.ndarray:
        """Raw inputs."""
        if self.stream:
            return events(self.sized, count, self.stream, self.density, seed)
        return inputs(self.sized, count, seed)

    def tuned(self) -> dict[str, int]:
        """The thresholds that give its density."""
        return tuned(self.make, self.inputs(2, seed=2), self.density)


def child(
    engine: str, work: Work, thresholds: dict[str, int], clock: Callable[[], float]
) -> dict[str, float]:
    """Samples per second by the median call, seconds of the first one, and the largest resident set in MiB."""
    engines = BLOCK_ENGINES if work.stream else ENGINES
    run = engines[engine](work.sized, work.make(thresholds), work.inputs(work.batch))
    start = time.perf_counter()
    run()
    first = time.perf_counter() - start
    run()
    times: list[float] = []
    begin = clock()
    while clock() - begin < SECONDS or len(times) < LEAST:
        start = clock()
        run()
        times.append(clock() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    samples = LAVA_STEPS / TICKS if engine == "lava_block" else work.batch
    return {"samples_per_s": samples / statistics.median(times), "first_s": first, "peak_mib": peak}


def equal(work: Work, thresholds: dict[str, int]) -> bool:
    """Whether every spike, count and read-out is the interpreter's."""
    from neurodeploy.ir import interp
    from neurodeploy.ir.nodes import Neuron
    from neurodeploy.simulate import Engine

    network = work.make(thresholds)
    names, x, engine = [n.name for n in network.of(Neuron)], work.inputs(1, seed=3), Engine(network)
    truth, found = interp.run(network, x, names), engine.run(x, names)
    same = all(np.array_equal(truth.values[name], found.values[name]) for name in names)
    return same and all(
        np.array_equal(truth.outputs, run.outputs) and truth.saturations == run.saturations
        for run in (found, engine.run(x), engine.run(x))
    )


def least_seconds(work: Work, thresholds: dict[str, int], clock: Callable[[], float]) -> float:
    """Seconds of one sample on one thread if nothing but sums of rows and updates took time, each in cache."""
    from numba import njit

    from neurodeploy.ir.nodes import Neuron, Product, Synapse
    from neurodeploy.simulate import Engine, kernels, vector

    network, x = work.make(thresholds), work.inputs(4)
    spikes = Engine(network).run(x, [n.name for n in network.of(Neuron)]).values
    count = {name: np.count_nonzero(found) / len(x) for name, found in spikes.items()}
    adds = sum(count[n.inputs[0]] * len(n.weight) for n in network.of(Synapse) if n.inputs[0] in count)
    width = SIZES[work.size].dim // SIZES[work.size].heads
    adds += sum(count[f"{n.name.rsplit('.', 1)[0]}.{'k' if n.name.endswith('kv') else 'q'}.lif"] * width
                for n in network.of(Product))  # fmt: skip
    updates = sum(found[:, 0].size for found in spikes.values())

    gather, lanes = getattr(vector, vector.chosen()["gather"]), vector.lanes
    step = kernels.scalar_step("lif", "open_step")

    @njit(error_model="numpy")
    def sums(index: Any, weights: Any, bias: Any, out: Any) -> None:
        for _ in range(1000):
            gather(index, index.size, weights, bias, out)

    @njit(error_model="numpy")
    def neurons(x: Any, u: Any, v: Any, out: Any) -> None:
        for _ in range(1000):
            lanes(step, (x, u, v, np.int32(4095), np.int32(2048), np.int32(1000)), (out, u, v))

    rng = np.random.default_rng(0)
    index = rng.integers(0, 64, 32).astype(np.uint16)
    weights = vector.packed(rng.integers(-128, 128, (64, 128)).astype(np.int8), 128).ravel()
    row = lambda kind: np.zeros(128, kind)
    sum_s = _fastest(lambda: sums(index, weights, row(np.int32), row(np.int32)), clock) / (1000 * 32 * 128)
    update_s = _fastest(lambda: neurons(*(row(np.int32) for _ in range(3)), row(np.int8)), clock) / (
        1000 * 128
    )
    return adds * sum_s + updates * update_s


def _fastest(work: Callable[[], Any], clock: Callable[[], float]) -> float:
    work()
    times = []
    for _ in range(50):
        start = clock()
        work()
        times.append(clock() - start)
    return min(times)


def measured(engine: str, work: Work, args: argparse.Namespace, thresholds: Path) -> dict[str, float] | str:
    """One process of its own; the reason where it cannot run."""
    command = [sys.executable, __file__, "--child", engine, "--work", json.dumps(asdict(work)),
               "--thresholds", str(thresholds), "--clock", args.clock]  # fmt: skip
    with subprocess.Popen(
        command,
        env=os.environ | ALLOCATOR,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as done:
        try:
            out, wrong = done.communicate(timeout=LIMIT_S)
        except subprocess.TimeoutExpired:
            os.killpg(done.pid, signal.SIGKILL)  # with the processes that Lava has started
            return f"more than {LIMIT_S} s"
    return json.loads(out.splitlines()[-1]) if done.returncode == 0 else str(wrong.splitlines()[-1])


def compared(
    engines: Sequence[str], work: Work, args: argparse.Namespace, thresholds: dict[str, int]
) -> dict[str, Any]:
    """Medians of every engine, and the ratios of our throughput to theirs."""
    seen: dict[str, list[dict[str, float]]] = {name: [] for name in engines}
    missing: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "thresholds.json"
        path.write_text(json.dumps(thresholds))
        for name in [name for _ in range(args.rounds) for name in engines]:
            found = missing.get(name) or measured(name, work, args, path)
            if isinstance(found, str):
                missing[name] = found
            else:
                seen[name].append(found)
    rows = {
        name: {key: statistics.median(one[key] for one in found) for key in found[0]}
        for name, found in seen.items()
        if found
    }
    mine = [one["samples_per_s"] for one in seen[OURS]]
    ratio = {
        name: statistics.median(a / b["samples_per_s"] for a, b in zip(mine, found, strict=True)) if found else None
        for name, found in seen.items() if name != OURS
    }  # fmt: skip
    return {"engines": rows, "ratio": ratio, "missing": missing}


def network(args: argparse.Namespace) -> dict[str, Any]:
    """The whole network against all others, and one block against Lava."""
    from neurodeploy.simulate import vector

    work, one = (
        Work(args.size, args.batch),
        Work(args.size, 1, stream="binary", tokens=LAVA_TOKENS),
    )
    thresholds = work.tuned()
    same = equal(work, thresholds)
    found = compared(list(ENGINES), work, args, thresholds)
    beside = compared([OURS, "lava_block"], one, args, one.tuned())
    found["ratio"] |= beside["ratio"]
    found["missing"] |= beside["missing"]
    least = least_seconds(work, thresholds, CLOCKS[args.clock]) / args.threads
    share = least * found["engines"][OURS]["samples_per_s"]
    for name, row in found["engines"].items():
        ratio = found["ratio"].get(name)
        print(
            f"{name:<14} {row['samples_per_s']:>10.1f} samples/s {row['peak_mib']:>6.0f} MiB"
            + (f"   ratio {ratio:.2f}" if ratio else "")
        )
    lava = found["ratio"]["lava_block"]
    print(
        f"{'lava_block':<14} ratio {lava:.0f}" if lava else "", f"share of the roofline {share:.2f}", sep="\n"
    )
    for name, reason in found["missing"].items():
        print(f"{name:<14} not measured: {reason}")
    rows = [
        {"engine": name, **row, "our_ratio": found["ratio"].get(name)}
        for name, row in found.pop("engines").items()
    ]
    return {"equal": same, "isa": dict(vector.chosen()), "roofline_share": share, **found, "rows": rows}


def streams(args: argparse.Namespace) -> dict[str, Any]:
    """One block on streams of every kind and density, against the torch loop."""
    rows = []
    for stream, density in itertools.product(STREAMS, DENSITIES):
        work = Work(args.size, args.batch, density, stream)
        thresholds = work.tuned()
        found = compared([OURS, "torch_loop"], work, args, thresholds)
        speed = {name: row["samples_per_s"] for name, row in found["engines"].items()}
        row = {"stream": stream, "density": density, "equal": equal(work, thresholds), **speed,
               "ratio": found["ratio"]["torch_loop"]}  # fmt: skip
        print(
            "  ".join(
                f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}"
                for key, value in row.items()
            ),
            flush=True,
        )
        rows.append(row)
    return {"rows": rows}


def main() -> None:
    """Tune thresholds, check, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", choices=SIZES, default="S")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of every engine")
    parser.add_argument(
        "--isa", choices=("native", "avx2"), default="native", help="instructions of every engine"
    )
    parser.add_argument("--streams", action="store_true", help="kinds and densities of streams")
    parser.add_argument(
        "--clock", choices=CLOCKS, default="wall", help="cpu: where others use the machine, one thread"
    )
    parser.add_argument("--json", type=Path, help="file [default: benchmarks/results/engine-SIZE-BATCH.json]")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--work", help=argparse.SUPPRESS)
    parser.add_argument("--thresholds", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        work, thresholds = Work(**json.loads(args.work)), json.loads(args.thresholds.read_text())
        clock = "wall" if args.child == "lava_block" else args.clock  # Lava works in processes of its own
        print(json.dumps(child(args.child, work, thresholds, CLOCKS[clock])), flush=True)
        return
    wanted = dict.fromkeys(THREADS, str(args.threads)) | (AVX2 if args.isa == "avx2" else {})
    if any(os.environ.get(key) != value for key, value in wanted.items()):
        # numba and BLAS read their environment once, so this process begins again
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | wanted)
    before = os.getloadavg()[0]
    print(machine())
    found = streams(args) if args.streams else network(args)
    load = f"{args.threads} threads, load average before {before:.1f}, after {os.getloadavg()[0]:.1f}"
    print(load)
    data = {"size": args.size, "batch": args.batch, "rounds": args.rounds, "load": load, **found}
    name = (
        f"engine-{args.size}-{args.batch}"
        + ("-streams" if args.streams else "")
        + ("-avx2" if args.isa == "avx2" else "")
    )
    if args.json:
        args.json.write_text(json.dumps({"machine": machine(), **data}, indent=2) + "\n")
    else:
        write(name, data)


if __name__ == "__main__":
    main()
