"""Everything that needs no torch, in a process that cannot import it: the same programs as where it is."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from neurodeploy import artifact, cli
from neurodeploy.simulate import kernels
from tests.fast import slowly
from tests.netx_files import CUBA, FLATTEN, conv, dense, weights, write_net

ROOT = Path(__file__).resolve().parents[2]
NIR = ROOT / "tests" / "data" / "nir" / "norse_conv.nir"

#: import hooks that act as where the packages are not installed, then one build and every verb on it
CHILD = """
import json, sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torch", "sklearn", "timm", "transformers", "torchvision", "lava"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
from neurodeploy import cli
for arguments in json.loads(sys.argv[1]):
    if code := cli.call(arguments):
        sys.exit(f"{arguments}: {code}")
print([name for name in ("torch", "sklearn") if name in sys.modules])
"""


@pytest.fixture
def net(tmp_path: Path) -> Path:
    rng = np.random.Generator(np.random.PCG64(4))
    layers = [
        {"type": "input", "shape": np.array([2, 9, 8]), "neuron": CUBA},
        conv(weights(rng, 4, 2, 3, 3, low=-90, high=126), (4, 7, 6)),
        FLATTEN,
        dense(weights(rng, 5, 168, low=-90, high=126), None),
    ]
    return write_net(tmp_path / "small.net", layers)


def absent(commands: list[list[str]], folder: Path) -> None:
    """Run commands where torch cannot be imported; the cache is empty, but for compiled kernels."""
    (folder / "cache" / "neurodeploy").mkdir(parents=True)
    kernels.cache_folder().mkdir(parents=True, exist_ok=True)
    (folder / "cache" / "neurodeploy" / "kernels").symlink_to(kernels.cache_folder())
    env = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "XDG_CACHE_HOME": str(folder / "cache")}
    ran = subprocess.run(
        [sys.executable, "-c", CHILD, json.dumps(commands)],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr + ran.stdout
    assert ran.stdout.splitlines()[-1] == "[]"


def sections(folder: str) -> dict[str, str]:
    """What the program says of its integers, its mapping and its memory images: the hash of each."""
    with h5py.File(Path(folder) / "program.h5") as file:
        said = json.loads(file["header"][()].tobytes())["sections"]
    return {name: said[name] for name in ("integer", "mapping", "images")}


SMALL = ["--eval", "8", "--verify", "2", "--calib", "16"]
CASES = [
    ("small.net", ["-T", "6", "--set", "reader.skip_layers=1"], "netx"),
    (str(NIR), ["-T", "6"], "nir"),
    slowly(("digits-a2os2a", [], "")),
    slowly(("digits-vit", ["--method", "ecmt", "-T", "2"], "")),
]


@pytest.mark.parametrize("model, options, exported", CASES)
@pytest.mark.usefixtures("net")
def test_all_verbs_without_torch(
    model: str, options: list[str], exported: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    asked = [model, *options]
    assert cli.call(["build", *asked, *SMALL, "-q", "--to", "map", "--out", "here"]) == 0
    graph = artifact.load("here", ("integer",)).integer
    frames = (graph.header.timesteps,) if graph.input.per_tick else ()
    np.save("x.npy", np.zeros((2, *frames, *graph.shape(graph.input.name)), np.int64))
    absent(
        [
            ["check", *asked],
            ["build", *asked, *SMALL, "--out", "out"],
            ["verify", "out", "--samples", "2"],
            ["run", "out", "--input", "x.npy", "--output", "y.npy"],
            ["report", "out"],
            *([["export", "out", "--to", exported, "--out", f"again.{exported}"]] if exported else []),
        ],
        tmp_path,
    )
    assert sections("out") == sections("here")
    assert np.load("y.npy").shape[1] == 2
