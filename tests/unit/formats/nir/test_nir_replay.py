"""What a written NIR file answers in floats is compared with its integers: differences are counted, said, bounded."""

from __future__ import annotations

import json
from pathlib import Path

import nir
import numpy as np
import pytest

from neurodeploy import cli, verbs
from neurodeploy.errors import GraphError
from neurodeploy.formats.nir import WRITER
from neurodeploy.ir import codes, intervals
from neurodeploy.ir.graph import Builder, Graph, Header
from neurodeploy.ir.nodes import Delay, Input, Micro, Neuron, Output, Sum, Synapse
from neurodeploy.ir.types import Fixed, Interval, Shape, Value
from neurodeploy.program import Program

SAMPLES, TICKS, INPUTS, SIZE = 16, 6, 5, 4
MULTIPLIER, SHIFT, VTH = 5, 4, 3
RNG = np.random.default_rng(8)
LEFT, RIGHT = RNG.integers(-4, 7, (2, SIZE, INPUTS))
SMALL = RNG.integers(-1, 2, (SIZE, INPUTS))


def rounding() -> Graph:
    """Two sums, each brought into another unit by a rescale that rounds, one of them behind a Delay; then spikes."""
    b = Builder(Header("net", "integer", TICKS))
    vector = lambda role, n, scale, **more: Value(Shape((role,), (n,)), fixed=Fixed(24, True, scale), **more)
    factor = MULTIPLIER / (1 << SHIFT)
    b.add(Input(name="x", per_tick=True), vector("C", INPUTS, 1.0, interval=Interval(0, 3, True)))
    for name, weight in (("a", LEFT), ("b", RIGHT)):
        b.add(Synapse(name=name, inputs=("x",), weight=weight), vector("C", SIZE, factor))
        params = {"multiplier": MULTIPLIER, "shift": SHIFT, "bits": 24}
        b.add(Micro(name=f"{name}.r", inputs=(name,), op="rescale", timing="instant", params=params),
              vector("C", SIZE, 1.0))  # fmt: skip
    b.add(Delay(name="late", inputs=("b.r",), steps=1), vector("C", SIZE, 1.0))
    b.add(Sum(name="sum", inputs=("a.r", "late"), signs=(1, 1)), vector("C", SIZE, 1.0))
    b.add(Neuron(name="n", inputs=("sum",), model="threshold", params={"vth": VTH}), vector("C", SIZE, 1.0))
    b.add(Output(name="y", inputs=("n",)), vector("K", SIZE, 1.0))
    return intervals.propagate(codes.infer(b.build()))


def counted(x: np.ndarray) -> tuple[int, float]:
    """By numpy alone: spikes that differ with and without rounding, and the largest difference of their sums."""
    sums = [x @ weight.T for weight in (LEFT, RIGHT)]
    ours = sum((s * MULTIPLIER + (1 << SHIFT - 1)) >> SHIFT for s in sums) > VTH
    theirs = sum(s * MULTIPLIER / (1 << SHIFT) for s in sums) > VTH + 0.5
    apart = np.abs(ours.sum(axis=1) - theirs.sum(axis=1))
    return int(np.count_nonzero(ours != theirs)), float(apart.max())


def test_a_rescale_that_rounds_is_left_out_and_counted() -> None:
    x = RNG.integers(0, 4, (SAMPLES, TICKS, INPUTS))
    differ, apart = counted(x)
    found = WRITER.replay(Program(rounding()), x)
    (neuron,) = found.nodes  # which is what is read out
    assert (neuron.node, neuron.differ, neuron.values) == ("n", differ, SAMPLES * TICKS * SIZE)
    assert differ > 0 and found.farthest == apart > 0
    assert (found.samples, found.ticks) == (SAMPLES, TICKS) and found.first.startswith("n, tick ")
    found.require(found.share)
    with pytest.raises(GraphError, match="ND173"):
        found.require(0.99 * found.share)
    assert f"{differ} of {SAMPLES * TICKS * SIZE:,} values" in str(found)


def leaking() -> Graph:
    """Voltages that go down to small negative values, where integers truncate toward zero and floats do not."""
    b = Builder(Header("net", "integer", 64))
    vector = lambda role, n, **more: Value(Shape((role,), (n,)), fixed=Fixed(24, True, 1.0), **more)
    b.add(Input(name="x", per_tick=True), vector("C", INPUTS, interval=Interval(0, 1, True)))
    b.add(Synapse(name="w", inputs=("x",), weight=SMALL), vector("C", SIZE))
    params = {"du": 4095, "dv": 120, "bias": -7, "vth": 2}
    b.add(Neuron(name="n", inputs=("w",), model="cuba_lif", params=params), vector("C", SIZE))
    b.add(Output(name="y", inputs=("n",)), vector("K", SIZE))
    return intervals.propagate(codes.infer(b.build()))


def test_truncated_states_are_counted_as_a_reader_of_the_file_meets_them(tmp_path: Path) -> None:
    """Against the parameters in the file, run in numpy, and Lava's integers by hand."""
    x = RNG.integers(0, 2, (SAMPLES, 64, INPUTS))
    program = Program(leaking())
    found = WRITER.replay(program, x)
    WRITER.write(program, tmp_path / "net.nir")
    nodes = nir.read(tmp_path / "net.nir").nodes
    (cell,) = (node for node in nodes.values() if isinstance(node, nir.LIF))
    (layer,) = (node for node in nodes.values() if isinstance(node, (nir.Linear, nir.Affine)))
    v = state = np.zeros((SAMPLES, SIZE))
    differ = 0
    for frame in np.moveaxis(x, 1, 0):
        v = v + 1e-4 / cell.tau * (cell.v_leak - v + cell.r * (frame @ layer.weight.T))
        theirs = v > cell.v_threshold
        v = np.where(theirs, cell.v_reset, v)
        state = np.trunc(state * (4096 - 120) / 4096) + (frame @ SMALL.T) * 64 - 7
        ours = state > 2 * 64
        state = np.where(ours, 0, state)
        differ += np.count_nonzero(ours != theirs)
    assert found.nodes[0].differ == differ > 0


def test_an_export_says_what_differs_and_refuses_too_much(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    each = lambda value: np.full(SIZE, value)
    nodes = {
        "input": nir.Input(np.array([INPUTS])), "w": nir.Linear(LEFT / 3.0),
        "n": nir.LIF(each(3e-3), each(9.0), each(0.0), each(1.0)), "output": nir.Output(np.array([SIZE])),
    }  # fmt: skip
    edges = [("input", "w"), ("w", "n"), ("n", "output")]
    nir.write(tmp_path / "net.nir", nir.NIRGraph(nodes, edges, type_check=False))
    assert cli.call(["build", "net.nir", "--timesteps", "8", "--out", "out", "-q"]) == 0
    capsys.readouterr()
    command = ["export", "out", "--to", "nir", "--out", "again.nir"]
    assert cli.call(command) == 0
    assert (
        "replayed in the floats of NIR, 16 samples of synthetic input, 8 ticks: all"
        in capsys.readouterr().out
    )
    assert cli.call([*command, "--samples", "3", "--format", "json"]) == 0
    replay = json.loads(capsys.readouterr().out)["replay"]
    assert (replay["samples"], replay["ticks"], replay["differ"]) == (3, 8, 0)
    # a part of its own answers otherwise
    monkeypatch.setattr("neurodeploy.formats.nir.neurons.limits", lambda node, unit: 9.0 * unit)
    assert cli.call([*command[:-1], "other.nir"]) == 3
    said = capsys.readouterr()
    assert "ND173" in said.err and not Path("other.nir").exists()
    assert verbs.export("out", "nir", "other.nir", differ=1.0).replay.differ > 0
    assert Path("other.nir").exists()
