"""Every trained model whose data ship with the project, built as a user builds it; those of other data with --data.

    .venv/bin/python benchmarks/zoo.py [NAME ...] [--target loihi-sim]
    .venv/bin/python benchmarks/zoo.py cifar10-a2os2a --data cifar10_jpeg.h5

Accuracies are those of the whole test split: in floats, of the spiking network, of the integers; of images PSNR beside
the truth and beside the float network's. Operations, energy and
latency are of one inference. Each row goes to ``benchmarks/results/zoo.json`` when its build is done, in place of an
older one of the same model; `make docs` makes the table of the zoo of it.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from _bench import RESULTS, machine, write

import neurodeploy
from neurodeploy import datasets
from neurodeploy.sources import zoo


def row(name: str, target: str, data: str | None, folder: Path) -> dict[str, Any]:
    """What a build of one model says of it."""
    start = time.perf_counter()
    found = neurodeploy.build(name, target, data=data, out=str(folder / name)).report
    accuracy, images, counts = found["accuracy"], found["images"], found["counts"]
    judged = {kind: accuracy[kind] for kind in ("float", "spiking", "integer")}
    if images["samples"]:
        judged = {key: images[key] for key in ("psnr_truth_db", "psnr_float_db", "peak")}
    work = found["purity"]["work"]
    return {
        "model": name, "samples": accuracy["samples"] or images["samples"], **judged,
        "bit_true": found["bit_true"]["equal"], "binary": work["binary"], "work": work,
        "synaptic_ops": counts["synaptic_ops"], "product_ops": counts["product_ops"],
        "energy_uj": found["energy_uj"], "energy_events_uj": found["energy_events_uj"],
        "latency_ms": found["latency_ms"], "paper_uj": found["energy_paper_uj"],
        "cores": found["mapping"]["cores_used"],
        "seconds": round(time.perf_counter() - start, 1),
    }  # fmt: skip


def main() -> None:
    """Build the models and keep their rows."""
    entries = [zoo.entry(name) for name in zoo.names()]
    trained = [e.name for e in entries if e.trained]
    shipped = [name for name in trained if zoo.entry(name).dataset in datasets.names()]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=shipped, help="models of the zoo (default: all of them)")
    parser.add_argument("--target", default="loihi-sim")
    parser.add_argument("--data", help="the data of the models that are named")
    chosen = parser.parse_args()
    path = RESULTS / "zoo.json"
    kept = json.loads(path.read_text())["rows"] if path.is_file() else []
    rows = {old["model"]: old for old in kept if old["model"] in trained}
    with tempfile.TemporaryDirectory() as folder:
        for name in chosen.names:
            rows[name] = row(name, chosen.target, chosen.data, Path(folder))
            print(rows[name], flush=True)
            write("zoo", {"target": chosen.target, "rows": [rows[key] for key in sorted(rows)]})
    print(machine())


if __name__ == "__main__":
    main()
