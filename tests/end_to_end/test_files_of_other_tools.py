"""Whole builds of .net and .nir files through the command line: no data, every backend equal, every number labelled.

What the files mean is proven elsewhere against the tools that wrote them; here is what a user gets from them.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neurodeploy import artifact, cli
from neurodeploy.builds import pipeline
from neurodeploy.inputs import samples
from neurodeploy.ir import interp
from tests.fast import fast
from tests.netx_files import CUBA, FLATTEN, RF, SDNN, conv, dense, weights, write_net

NIR = {file.stem: file for file in sorted((Path(__file__).parents[1] / "data" / "nir").glob("*.nir"))}
#: NIR describes no subtraction, no reset in the next tick and no start from rest; the reader takes them as options
REFUSED = (
    "norse_lifbox_li", "snntorch_leaky_default", "snntorch_leaky_subtract", "snntorch_rsynaptic",
    "snntorch_synaptic_default", "snntorch_synaptic_late",
)  # fmt: skip
QUICK = ["--calib", "4", "--eval", "4", "--verify", "3", "-q"]
Captured = pytest.CaptureFixture[str]


def spiking(rng: np.random.Generator) -> tuple[list[dict[str, Any]], list[str]]:
    """Convolution with bias, dense layer with delays, an affine readout; resets."""
    return [
        {"type": "input", "shape": np.array([2, 9, 8]), "neuron": CUBA},
        conv(weights(rng, 4, 2, 3, 3, low=-90, high=126), (4, 7, 6), bias=rng.integers(-20, 30, 4)),
        FLATTEN,
        dense(weights(rng, 9, 168, low=-90, high=126), delay=rng.integers(0, 5, (9, 168))),
        dense(weights(rng, 5, 9, low=-90, high=126), None),
    ], ["skip_layers=1", "reset_interval=8", "reset_offset=3"]


def recurrent(rng: np.random.Generator) -> tuple[list[dict[str, Any]], list[str]]:
    """A layer that feeds itself."""
    first = {**dense(weights(rng, 14, 10, low=-60, high=120), {**CUBA, "vThMant": 200}), "type": "dense_rec"}
    layers = [
        {**first, "weight_rec": weights(rng, 14, 14, low=-120, high=60), "bias": rng.integers(-9, 20, 14)}
    ]
    return [*layers, dense(weights(rng, 4, 14, low=-90, high=126))], []


def sigma_delta(rng: np.random.Generator) -> tuple[list[dict[str, Any]], list[str]]:
    """Differences between layers, sums at the end."""
    return [
        {"type": "input", "shape": np.array([2, 6, 6]), "neuron": SDNN},
        conv(weights(rng, 4, 2, 3, 3, low=-60, high=60), (4, 4, 4), SDNN, bias=rng.integers(-40, 40, 4)),
        FLATTEN,
        dense(weights(rng, 3, 64, low=-60, high=60), {**SDNN, "sigma_output": True}),
    ], ["skip_layers=1", "input_range=[-200, 200]"]


def resonating(rng: np.random.Generator) -> tuple[list[dict[str, Any]], list[str]]:
    """Resonate-and-fire neurons behind complex weights."""
    both = {"real": weights(rng, 12, 10, low=-90, high=120), "imag": weights(rng, 12, 10, low=-90, high=120)}
    first = {"type": "dense", "shape": np.array([12]), "weight": both, "neuron": RF}
    return [first, dense(weights(rng, 4, 12, low=-90, high=126))], []


NETWORKS = [spiking, recurrent, sigma_delta, resonating]
TRIED = fast(NETWORKS, spiking, resonating)
Make = Callable[[np.random.Generator], tuple[list[dict[str, Any]], list[str]]]


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def net(make: Make) -> list[str]:
    """The arguments that name a file and how it is read."""
    layers, options = make(np.random.default_rng(3))
    write_net(Path("own.net"), layers, {"Ts": 1, "tSample": 12})
    return ["own.net", *(word for option in options for word in ("--set", f"reader.{option}"))]


def checked(folder: Path, ticks: int) -> dict[str, Any]:
    """The report of a build on synthetic input, after the checks that all of them have in common."""
    assert {p.name for p in folder.iterdir()} == set(pipeline.FILES)
    report = json.loads((folder / "report.json").read_text())
    assert report["timesteps"] == ticks and report["mapping"]["fits"] and report["bit_true"]["equal"]
    assert set(report["bit_true"]["backends"]) == {"interp", "cpu", "loihi-sim"}
    assert report["input"]["label"] == "synthetic input" and report["accuracy"]["integer"] is None
    assert report["counts"]["synaptic_ops"] > 0 and report["energy_uj"]["nominal"] > 0
    return report


@pytest.mark.parametrize("make", TRIED)
def test_a_net_file_is_built_checked_and_run(make: Make, capsys: Captured) -> None:
    named = net(make)
    assert cli.call(["check", *named]) == 0
    assert "can run" in capsys.readouterr().out
    assert cli.call(["build", *named, "--out", "out", *QUICK, "--format", "plain"]) == 0
    assert capsys.readouterr().out.count("(synthetic input)") >= 10
    report = checked(Path("out"), 12)
    assert report["method"] == "integer file" and report["system"] == "netx"

    graph = artifact.load("out").program.graph
    reach = graph.values["input"].interval
    assert reach is not None
    x = np.random.default_rng(4).integers(reach.lo, reach.hi + 1, (2, 12, *graph.shape("input")))
    np.save("x.npy", x)
    layer = next(node.name for node in graph if node.kind == "neuron")
    expected = interp.run(graph, x, (layer,))
    for backend in ("cpu", "loihi-sim"):
        run = ["run", "out", "--input", "x.npy", "--output", "y.npy", "--record", layer, "--backend", backend]
        assert cli.call(run) == 0
        assert np.array_equal(np.load("y.npy"), expected.outputs)
        assert (
            np.array_equal(np.load(f"y.{layer}.npy"), expected.values[layer]) and expected.values[layer].any()
        )
    assert cli.call(["verify", "out", "--samples", "2"]) == 0


@pytest.mark.parametrize("make", TRIED)
def test_an_exported_net_file_is_the_same_network(make: Make) -> None:
    assert cli.call(["build", *net(make), "--out", "out", "-q", "--to", "map"]) == 0
    assert cli.call(["export", "out", "--to", "netx", "--out", "again.net"]) == 0
    assert cli.call(["build", "again.net", "-T", "12", "--out", "again", "-q", "--to", "map"]) == 0
    first, second = (artifact.load(folder).program.graph for folder in ("out", "again"))
    x = samples.Synthetic(first).measurement(3)[0]
    neurons = [[node.name for node in graph if node.kind == "neuron"] for graph in (first, second)]
    one, two = (interp.run(graph, x, names) for graph, names in zip((first, second), neurons, strict=True))
    assert np.array_equal(one.outputs, two.outputs)
    for mine, theirs in zip(*neurons, strict=True):
        assert np.array_equal(one.values[mine], two.values[theirs]) and one.values[mine].any()


@pytest.mark.parametrize("name", fast(
    NIR, "snntorch_leaky_default", "spikingjelly_conv"
))  # fmt: skip
def test_a_nir_file_is_built(name: str, capsys: Captured) -> None:
    file = NIR[name]
    with np.load(file.with_suffix(".npz"), allow_pickle=False) as kept:
        options = json.loads(str(kept["options"]))
    named = [
        str(file),
        *(word for key, value in options.items() for word in ("--set", f"reader.{key}={value}")),
    ]
    assert cli.call(["build", *named, "-T", "10", "--out", "out", *QUICK]) == 0
    report = checked(Path("out"), 10)
    assert report["method"] == "native" and report["system"] == "nir"
    assert any(row["sqnr_db"] is not None for row in report["layers"])

    code = cli.call(["export", "out", "--to", "nir", "--out", "again.nir"])
    if name in REFUSED:
        assert code == 3 and "ND230" in capsys.readouterr().err and not Path("again.nir").exists()
        return
    assert code == 0
    assert cli.call(["build", "again.nir", "-T", "10", "--out", "again", *QUICK]) == 0
    assert checked(Path("again"), 10)["method"] == "integer file", (
        "an exported file brings its integers along"
    )
    first, second = (artifact.load(folder).program.graph for folder in ("out", "again"))
    x = samples.Synthetic(first).measurement(3)[0]
    assert np.array_equal(interp.run(first, x).outputs, interp.run(second, x).outputs)


@pytest.mark.parametrize("suffix", [".net", ".nir"])
def test_check_of_a_file_loads_no_framework(suffix: str) -> None:
    named = net(spiking) if suffix == ".net" else [str(NIR["norse_conv"])]
    script = (
        f"import sys; from neurodeploy import cli; cli.call(['check', *{named!r}]);"
        "print([m for m in ('torch', 'sklearn', 'numba', 'lava', 'nir', 'nirtorch') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "can run" in result.stdout and result.stdout.splitlines()[-1] == "[]"
