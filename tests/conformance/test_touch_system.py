"""A new system of the zoo is one TOML file, with a module beside it where the network is new."""

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import neurodeploy as nd
from neurodeploy import artifact, cli, sources
from neurodeploy.config import resolve
from neurodeploy.sources import zoo
from tests.later import safetensors, torch

MODULE = '''
"""Two layers."""

import torch


class Small(torch.nn.Module):
    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.body = torch.nn.Linear(64, hidden)
        self.middle = torch.nn.Linear(hidden, hidden)
        self.head = torch.nn.Linear(hidden, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.relu(self.middle(torch.relu(self.body(x.flatten(1))))))
'''

ENTRY = """
name = "toy"
title = "two layers"
system = "mlp"
dataset = "digits"
kind = "ann"
method = "pmsm"
timesteps = 1
[model]
module = "small"
factory = "Small"
[model.arguments]
hidden = 12
[input]
shape = [1, 8, 8]
scale = 0.0625
offset = 0.0
[weights]
file = "weights/toy.safetensors"
sha256 = "{sha256}"
[train]
"""


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of the zoo with a further system."""
    folder = tmp_path / "models"
    shutil.copytree(zoo.models_folder(), folder, ignore=shutil.ignore_patterns("__pycache__", "checkpoints"))
    monkeypatch.setattr(zoo, "models_folder", lambda: folder)
    zoo.package.cache_clear()
    (folder / "small.py").write_text(MODULE)
    (folder / "toy.toml").write_text(ENTRY.format(sha256=""))
    torch.manual_seed(0)
    content = safetensors.save(zoo.build(zoo.entry("toy")).state_dict())
    (folder / "weights" / "toy.safetensors").write_bytes(content)
    (folder / "toy.toml").write_text(ENTRY.format(sha256=hashlib.sha256(content).hexdigest()))
    yield folder
    zoo.package.cache_clear()


def test_a_system_is_listed_checked_and_built(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert "toy" in [entry.name for entry in nd.models()]
    found = nd.check("toy")
    assert not found.blocked and found.method == "pmsm"
    command = ["build", "toy", "--out", str(tmp_path / "out"), "--to", "quantize", "--calib", "16", "-q"]
    assert cli.call(command) == 0, capsys.readouterr().err
    saved = artifact.load(tmp_path / "out")
    source = saved.source
    assert source is not None
    weight = np.asarray(zoo.load("toy").head.weight.detach())
    (head,) = (n for n in source if n.kind == "synapse" and n.name == "head")
    assert np.array_equal(head.weight.astype(np.float32), weight)
    # The key of the cache covers the module: an edit is seen.
    config = resolve({"model": "toy"})
    assert sources.load(config).cached
    (toy / "small.py").write_text(MODULE.replace("self.body(x", "self.body(2 * x"))
    zoo.package.cache_clear()
    assert not sources.load(config).cached
