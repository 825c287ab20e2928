"""Encoders of still images on the digits: accuracy, energy and latency of one network behind each of them.

    .venv/bin/python benchmarks/encoders.py [rate ...] [--target loihi-sim]

Each encoder twice: before ``digits-spikformer`` as it was trained, on levels, and before that network trained on for
6 epochs behind the encoder. The plan was set before any score. Accuracies are those of the whole test split, energy and
latency of one inference. Weights are not kept: ``encoder = "rate"`` in the table ``input`` of a model file and
``python models/train.py`` make them again. A row goes to ``benchmarks/results/encoders.json`` when it is done.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import tomlkit
from _bench import RESULTS, machine, write

import neurodeploy
from neurodeploy.encoders import ENCODERS, NONE
from neurodeploy.sources import zoo

MODEL = "digits-spikformer"
PLAN = {"start": MODEL, "epochs": 6, "learning_rate": 1e-3, "warmup_epochs": 1}


def trained(encoder: str, folder: Path) -> str:
    """The name of the network that was trained on behind an encoder."""
    train = zoo.submodule("train")
    name = f"{MODEL}-{encoder}"
    described = tomlkit.parse((folder / f"{MODEL}.toml").read_text(encoding="utf-8")).unwrap()
    described["name"], described["weights"] = name, {"file": f"weights/{name}.safetensors"}
    described["input"]["encoder"] = encoder
    described["train"] |= PLAN
    (folder / f"{name}.toml").write_text(tomlkit.dumps(described), encoding="utf-8")
    if train.main([name, "--threads", "1"]):
        raise SystemExit(f"{name} was not trained")
    return name


def row(model: str, encoder: str, target: str, out: Path) -> dict[str, Any]:
    """What a build says."""
    found = neurodeploy.build(model, target, encoder=encoder, out=str(out)).report
    accuracy, counts = found["accuracy"], found["counts"]
    return {
        "encoder": encoder, "trained": model != MODEL, "samples": accuracy["samples"],
        **{kind: accuracy[kind] for kind in ("float", "spiking", "integer")},
        "bit_true": found["bit_true"]["equal"], "synaptic_ops": counts["synaptic_ops"],
        "energy_uj": found["energy_uj"], "energy_events_uj": found["energy_events_uj"],
        "latency_ms": found["latency_ms"],
    }  # fmt: skip


def main() -> None:
    """Train, build, keep the rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("encoders", nargs="*", default=[NONE, *ENCODERS])
    parser.add_argument("--target", default="loihi-sim")
    chosen = parser.parse_args()
    path = RESULTS / "encoders.json"
    kept = json.loads(path.read_text())["rows"] if path.is_file() else []
    rows = {(old["encoder"], old["trained"]): old for old in kept}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "models"
        shutil.copytree(zoo.models_folder(), folder, ignore=shutil.ignore_patterns("checkpoints", "cifar*"))
        zoo.models_folder = lambda: folder
        for encoder in chosen.encoders:
            names = [MODEL] if encoder == NONE else [MODEL, trained(encoder, folder)]
            for name in names:
                found = row(name, encoder, chosen.target, Path(scratch) / "build")
                rows[encoder, found["trained"]] = found
                print(found, flush=True)
                write("encoders", {"model": MODEL, "target": chosen.target, "rows": list(rows.values())})
    print(machine(), file=sys.stderr)


if __name__ == "__main__":
    main()
