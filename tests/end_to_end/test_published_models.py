"""Builds of small spiking transformers that are written as published code is: all of their ticks in one call."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from neurodeploy import artifact, cli, datasets
from neurodeploy.ir import interp
from neurodeploy.ir.graph import Graph
from tests.fast import fast

SCALE = 0.0625  # what makes 0 .. 1 of the levels of a digit
FEW = ["--calib", "64", "--eval", "16", "--verify", "4", "-q", "--format", "plain", "--set", f"scale={SCALE}"]
#: how alike integer and float logits are over samples: most neurons of these untrained models stand near a threshold
ALIKE = {
    "spikformer": 0.85,
    "spike_driven": 0.75,
    "metaformer": 0.85,
    "token_gate": 0.95,
    "dual_attention": 0.95,
    "binary_map": 0.9,
    "integer_trained": 0.8,
}


def logits(graph: Graph, x: np.ndarray) -> np.ndarray:
    spec = graph.values[graph.output.name].fixed
    out = interp.run(graph, x).outputs[-1] * (1.0 if spec is None else np.asarray(spec.scale))
    return out - out.mean(axis=0)


@pytest.mark.parametrize("name", fast(ALIKE, "spike_driven"))
def test_a_published_model_is_built_as_it_is(name: str, tmp_path: Path) -> None:
    model = f"py:tests.published:{name}"
    assert cli.call(["build", model, "--data", "digits", "--out", str(tmp_path), *FEW]) == 0
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["method"], report["timesteps"]) == ("native", 1 if name == "integer_trained" else 4)
    assert report["bit_true"]["equal"] and "loihi-sim" in report["bit_true"]["backends"]
    saved, x = artifact.load(tmp_path), datasets.load("digits").test_x[:64]
    a, b = logits(saved.spiking, x), logits(saved.integer, x)

    assert (a * b).sum() / (np.linalg.norm(a) * np.linalg.norm(b)) > ALIKE[name]


def test_the_ticks_of_a_model_are_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = ["build", "py:tests.published:token_gate", "--data", "digits", "--out", str(tmp_path), *FEW]
    assert cli.call([*model, "--timesteps", "8"]) != 0
    assert "ND904" in capsys.readouterr().err
