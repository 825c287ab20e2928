"""The cpu backend on natively spiking transformers, against torch, SpikingJelly and a float ViT of the same size.

    .venv/bin/python benchmarks/engine.py --size S|M --batch 1|64 [--rounds 5] [--threads 2] [--json FILE]

The workload is a membrane-shortcut Spikformer with random weights and 15 % spikes (``_spikformer.py``). Each engine has
a process of its own, rounds alternate, and the allocator keeps freed memory. A ratio is the median over rounds of our
throughput by the other's. ``torch_loop``: every layer over all ticks and samples, q, k and v in one, LIF in place.
``float_vit``: one pass of an ordinary transformer of the same size. ``equal``: our integers are the interpreter's.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
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
from _spikformer import BRANCH_BITS, CLASSES, PIXEL, SIZES, TICKS, Size, graph, inputs, tuned
from cpu_speed import ALLOCATOR, THREADS

from neurodeploy.ir.graph import Graph

SECONDS, LEAST = 1.5, 5  # measured in each process, and calls at least
OURS = "engine"


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


ENGINES: dict[str, Callable[..., Callable[[], Any]]] = {
    OURS: ours, "torch_loop": torch_loop, "float_vit": float_vit, "spikingjelly": spikingjelly
}  # fmt: skip


CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


def child(
    engine: str, size: Size, batch: int, thresholds: dict[str, int], clock: Callable[[], float]
) -> dict[str, float]:
    """Samples per second by the median call, seconds of the first one, and the largest resident set in MiB."""
    run = ENGINES[engine](size, graph(size, thresholds), inputs(size, batch))
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
    return {"samples_per_s": batch / statistics.median(times), "first_s": first, "peak_mib": peak}


def equal(size: Size, thresholds: dict[str, int]) -> bool:
    """Whether every spike, count and read-out is the interpreter's."""
    from neurodeploy.ir import interp
    from neurodeploy.ir.nodes import Neuron
    from neurodeploy.simulate import Engine

    network = graph(size, thresholds)
    names, x, engine = [n.name for n in network.of(Neuron)], inputs(size, 1, seed=3), Engine(network)
    truth, found = interp.run(network, x, names), engine.run(x, names)
    same = all(np.array_equal(truth.values[name], found.values[name]) for name in names)
    return same and all(
        np.array_equal(truth.outputs, run.outputs) and truth.saturations == run.saturations
        for run in (found, engine.run(x), engine.run(x))
    )


def measured(engine: str, args: argparse.Namespace, thresholds: Path) -> dict[str, float] | str:
    """One process of its own; the reason where it cannot run."""
    command = [sys.executable, __file__, "--child", engine, "--size", args.size, "--batch", str(args.batch),
               "--thresholds", str(thresholds), "--clock", args.clock]  # fmt: skip
    done = subprocess.run(command, env=os.environ | ALLOCATOR, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else done.stderr.splitlines()[-1]


def compared(args: argparse.Namespace, thresholds: Path) -> dict[str, Any]:
    """Medians of every engine, and the ratios of our throughput to theirs."""
    seen: dict[str, list[dict[str, float]]] = {name: [] for name in ENGINES}
    missing: dict[str, str] = {}
    for _ in range(args.rounds):
        for name in ENGINES:
            found = missing.get(name) or measured(name, args, thresholds)
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


def isa() -> dict[str, str]:
    """Which form of every vector kernel this machine takes."""
    from neurodeploy.simulate import vector

    return dict(vector.chosen())


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
        "--clock", choices=CLOCKS, default="wall", help="cpu: where others use the machine, one thread"
    )
    parser.add_argument("--json", type=Path, help="file [default: benchmarks/results/engine-SIZE-BATCH.json]")
    parser.add_argument("--thresholds", type=Path, help="file of thresholds, made where it does not exist")
    parser.add_argument("--child", choices=ENGINES, help=argparse.SUPPRESS)
    args = parser.parse_args()
    size = SIZES[args.size]
    if args.child:
        print(
            json.dumps(
                child(
                    args.child, size, args.batch, json.loads(args.thresholds.read_text()), CLOCKS[args.clock]
                )
            )
        )
        return
    os.environ.update(dict.fromkeys(THREADS, str(args.threads)))  # the engines' processes inherit it
    with tempfile.TemporaryDirectory() as folder:
        path = args.thresholds or Path(folder) / "thresholds.json"
        if not path.exists():
            path.write_text(json.dumps(tuned(size)))
        same, before = equal(size, json.loads(path.read_text())), os.getloadavg()[0]
        found = compared(args, path)
    load = f"{args.threads} threads, load average before {before:.1f}, after {os.getloadavg()[0]:.1f}"
    data = {
        "size": args.size,
        "batch": args.batch,
        "rounds": args.rounds,
        "equal": same,
        "isa": isa(),
        "load": load,
        **found,
    }
    print(machine(), load, f"equal to the interpreter: {same}", sep="\n")
    for name, row in found["engines"].items():
        ratio = found["ratio"].get(name)
        print(
            f"{name:<14} {row['samples_per_s']:>10.1f} samples/s {row['peak_mib']:>6.0f} MiB"
            + (f"   ratio {ratio:.2f}" if ratio else "")
        )
    for name, reason in found["missing"].items():
        print(f"{name:<14} not measured: {reason}")
    if args.json:
        args.json.write_text(json.dumps({"machine": machine(), **data}, indent=2) + "\n")
    else:
        write(f"engine-{args.size}-{args.batch}", data)


if __name__ == "__main__":
    main()
