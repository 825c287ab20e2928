"""Builds of networks that nobody tuned anything for: untrained, small, on an RGB archive with few rare classes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from neurodeploy import artifact, cli, datasets
from neurodeploy.ir import interp
from neurodeploy.ir.graph import Graph
from tests.fast import fast
from tests.later import unseen

FEW = ["--calib", "48", "--eval", "12", "--verify", "4", "-q", "--format", "plain"]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stripes whose period is the class, under noise; three quarters of the images are of class 0."""
    draw = np.random.default_rng(0)
    labels = np.where(draw.random(80) < 0.75, 0, draw.integers(0, unseen.CLASSES, 80))
    labels[: unseen.CLASSES] = labels[-unseen.CLASSES :] = range(unseen.CLASSES)
    wave = 0.5 + 0.5 * np.sin(2 * np.pi * (labels[:, None] + 1) * np.linspace(0, 1, unseen.SHAPE[2]))
    x = np.clip(180 * wave[:, None, None] + 75 * draw.random((80, *unseen.SHAPE)), 0, 255).astype(np.uint8)
    path = tmp_path_factory.mktemp("unseen") / "stripes.npz"
    np.savez(path, train_x=x[:56], train_y=labels[:56], test_x=x[56:], test_y=labels[56:])
    return path


def logits(graph: Graph, x: np.ndarray) -> np.ndarray:
    spec = graph.values[graph.output.name].fixed
    return interp.run(graph, x).outputs[-1] * (1.0 if spec is None else np.asarray(spec.scale))


def likeness(a: np.ndarray, b: np.ndarray) -> float:
    """Cosine of what changes from sample to sample: biases alone do not count."""
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    return float((a * b).sum() / (np.linalg.norm(a) * np.linalg.norm(b)))


#: model -> (method it must be given without asking, how alike integer and float logits are over samples)
MODELS = {
    "vit": ("ecmt", 0.9),
    "vit_relu_stem": ("ecmt", 0.7),
    "cnn": ("ecmt", 0.9),
    "spikes_added": ("native", 0.8),
    "spikes_gated": ("native", 0.65),
    "silent": ("ecmt", 0.9),
    "huge_weights": ("ecmt", 0.9),
    "tiny_weights": ("ecmt", None),
}


@pytest.mark.parametrize("model", fast(MODELS, "vit"))
def test_unseen_networks_are_built_and_followed(model: str, archive: Path, tmp_path: Path) -> None:
    method, alike = MODELS[model]
    out = tmp_path / "out"
    assert (
        cli.call(["build", f"py:tests.unseen:{model}", "--data", str(archive), "--out", str(out), *FEW]) == 0
    )
    report = json.loads((out / "report.json").read_text())
    assert report["method"] == method and report["timesteps"] == 4
    assert report["bit_true"]["equal"] and "loihi-sim" in report["bit_true"]["backends"]
    assert [w for w in report["warnings"] if w["code"] == "ND602"] == []
    saved, x = artifact.load(out), datasets.load(str(archive)).test_x
    assert inside_its_intervals(saved.integer, x)
    if alike is not None:
        assert likeness(logits(saved.spiking, x), logits(saved.integer, x)) > alike


def inside_its_intervals(graph: Graph, x: np.ndarray) -> bool:
    """Whether every value stays where its interval says."""
    seen = interp.run(graph, x, record=[n.name for n in graph if n.kind != "output"]).values
    return all(
        graph.values[n].interval.lo <= v.min() and v.max() <= graph.values[n].interval.hi
        for n, v in seen.items()
    )


def test_a_spiking_network_is_its_own_float_reference(archive: Path, tmp_path: Path) -> None:
    arguments = [
        "build",
        "py:tests.unseen:spikes_added",
        "--data",
        str(archive),
        *FEW,
        "--out",
        str(tmp_path),
    ]
    assert cli.call([*arguments, "-T", "2", "--to", "quantize"]) == 0
    saved = artifact.load(tmp_path)
    assert saved.source.header.timesteps == saved.spiking.header.timesteps == 2
