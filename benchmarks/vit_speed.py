"""How long a transformer of real size takes from torch module to integers, and how much memory: ViT-S/16, 224 pixels.

    .venv/bin/python benchmarks/vit_speed.py [--model timm:vit_small_patch16_224] [--calib 16] [--runs 3]

22 million random weights, converted by ECMT on images of noise, each run a process of its own with an empty cache of
source graphs. The default network is the zoo's transformer at that size, which needs no other library; that of timm
needs timm. ``to integers`` is the sum of import, conversion, calibration and quantization; mapping (on one chip, where
it does not fit: what ``check`` does) comes on top. ``peak mib`` is the largest resident set of the process so far.

Prints a table, writes ``benchmarks/results/vit_speed.json``. The goal: to integers under 60 s and 4 GB on two cores.
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
from pathlib import Path
from typing import Any

import numpy as np
from _bench import machine, write

ROOT = Path(__file__).parent.parent
MODEL = "py:vit_speed:vit_small"
STEPS = ("import", "convert", "calibrate", "quantize", "map")
INTEGERS = STEPS[:4]  # what the goal is about
TESTED = 2  # images of the test split: a data set has to have some


def vit_small() -> Any:
    """ViT-S/16 with random weights: 12 blocks of 384 channels and 6 heads, 197 tokens, 1000 classes."""
    import torch

    from models.vit import VisionTransformer

    torch.manual_seed(0)
    model = VisionTransformer(
        image_size=224, patch=16, channels=3, classes=1000, dim=384, depth=12, heads=6, fused=True
    ).eval()
    model.input_shape = (3, 224, 224)
    return model


def noise(path: Path, calib: int) -> None:
    """A data set of seeded noise for an image network of 224 pixels."""
    images = np.random.default_rng(0).integers(0, 256, (calib + TESTED, 3, 224, 224)).astype(np.uint8)
    labels = np.arange(calib + TESTED) % 2
    np.savez(
        path, train_x=images[TESTED:], train_y=labels[TESTED:], test_x=images[:TESTED], test_y=labels[:TESTED]
    )


def measured(model: str, data: str, calib: int, timesteps: int) -> dict[str, Any]:
    """Seconds of each stage, the peak in MiB after each, and the content of the integer network."""
    from neurodeploy import target
    from neurodeploy.builds.pipeline import stages
    from neurodeploy.calibrate import unheard
    from neurodeploy.config import BuildConfig

    reader = {"reader": {"pretrained": False}} if model.startswith("timm:") else {}
    config = BuildConfig(
        model=model, target="loihi2", data=data, method="ecmt", convert={"preset": "headline"}, calib=calib,
        timesteps=timesteps, scale=1 / 255, optimise="cores", **reader,
    )  # fmt: skip
    made = stages(config, target.load("loihi2"), "import", lambda name: unheard)
    found: dict[str, Any] = {}
    for step in STEPS:
        start = time.perf_counter()
        fact = next(made).fact
        found[step] = (time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        print(f"{step}: {found[step][0]:.1f} s, {fact}", file=sys.stderr)
    return found


def runs_of(args: argparse.Namespace) -> list[dict[str, Any]]:
    """``--runs`` processes, one after the other."""
    with tempfile.TemporaryDirectory() as folder:
        data, found = f"{folder}/noise.npz", []
        noise(Path(data), args.calib)
        paths = os.pathsep.join([str(ROOT), str(ROOT / "benchmarks")])
        for number in range(args.runs):
            caches = {"XDG_CACHE_HOME": f"{folder}/{number}"}
            command = [sys.executable, __file__, "--model", args.model, "--calib", str(args.calib)]
            command += ["--timesteps", str(args.timesteps), "--child", data]
            environment = {**os.environ, "PYTHONPATH": paths, **caches}
            child = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
            print(child.stderr, flush=True)
            found.append(json.loads(child.stdout))
    return found


def main() -> None:
    """Run everything and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default=MODEL)
    parser.add_argument(
        "--calib", type=int, default=16, help="images for calibration; 16: what a build takes"
    )
    parser.add_argument("--timesteps", type=int, default=4)
    parser.add_argument("--runs", type=int, default=3, help="counted runs")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        print(json.dumps(measured(args.model, args.child, args.calib, args.timesteps)))
        return
    before, found, rows = os.getloadavg()[0], runs_of(args), []
    whole = [{"to integers": (sum(r[s][0] for s in INTEGERS), r[INTEGERS[-1]][1]), **r} for r in found]
    for step in (*INTEGERS, "to integers", "map"):
        times = [run[step][0] for run in whole]
        rows.append(
            {
                "stage": step, "runs": len(times), "median_s": statistics.median(times), "min_s": min(times),
                "max_s": max(times), "peak_mib": max(run[step][1] for run in whole),
            }
        )  # fmt: skip
        print("| {stage} | {median_s:.1f} | {min_s:.1f} | {max_s:.1f} | {peak_mib:.0f} |".format(**rows[-1]))
    print(machine())
    name = "vit_speed" if args.model == MODEL else f"vit_speed-{args.model.replace(':', '-')}"
    samples = f"{args.calib} images, T = {args.timesteps}"
    load = f"{samples}, load average before {before:.1f}, after {os.getloadavg()[0]:.1f}"
    write(name, {"model": args.model, "load": load, "rows": rows})


if __name__ == "__main__":
    main()
