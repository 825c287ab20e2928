"""The NIR exporter: integers come back exactly, other tools get the same network in floats, the rest is refused."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import nir
import numpy as np
import pytest

from neurodeploy.calibrate import measure
from neurodeploy.convert.native import MEMBER as NATIVE
from neurodeploy.errors import GraphError, ImportModelError
from neurodeploy.formats._hdf5 import read as _hdf5
from neurodeploy.formats.nir import MEMBER as NIR
from neurodeploy.formats.nir import READER, WRITER
from neurodeploy.formats.nir import read as reader
from neurodeploy.ir import codes, interp, intervals
from neurodeploy.ir.graph import Builder, Graph, Header
from neurodeploy.ir.nodes import Input, Neuron, Output, Reduce, Synapse
from neurodeploy.ir.types import Interval, Shape, Value
from neurodeploy.passes import simplify
from neurodeploy.program import Program
from neurodeploy.quantize import quantize

DATA = Path(__file__).parents[3] / "data" / "nir"
TICKS, DT = 10, 1e-4
#: recorded networks whose neurons reset to a value at once
EXPRESSIBLE = ("norse_conv", "norse_lif_iaf", "norse_lifbox_default_dt", "snntorch_conv_pool", "snntorch_leaky",
               "snntorch_rleaky", "snntorch_synaptic")  # fmt: skip


@pytest.fixture(autouse=True)
def _sound_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files written here are sound HDF5: no other process needs to try them first."""
    monkeypatch.setattr(reader, "read_tree", lambda path: _hdf5.read_tree(path, trial=False))


def load(path: Path, timesteps: int | None = TICKS, **options: Any) -> Graph:
    return READER.load(path, NIR.configure(options), timesteps)


def integers(path: Path, **options: Any) -> tuple[Graph, np.ndarray]:
    """The integer graph of a file, and raw input for it."""
    graph = NATIVE.rewrite(simplify(load(path, **options)), None, np.zeros(0), TICKS)
    shape = interp.input_shape(graph)
    x = np.random.default_rng(0).integers(0, options.get("input_max", 1) + 1, (12, *shape))
    return quantize(graph, measure(graph, x)), x


def exported(graph: Graph, path: Path) -> Path:
    assert WRITER.write(Program(graph), path) == (path,)
    return path


def check(graph: Graph, x: np.ndarray, path: Path, agree: float = 0.98, typed: bool = True) -> nir.NIRGraph:
    """Integers exactly, floats nearly, and a file that nir itself reads."""
    exported(graph, path)
    again = load(path, None)
    assert again.content_hash() == graph.content_hash()
    floats = load(path, integers="never", readout="last", input_max=255)
    found = interp.run(floats, x * np.asarray(graph.input.scale)).outputs
    unit = np.asarray(graph.values[graph.output.name].fixed.scale)
    wanted = interp.run(graph, x, record=(graph.output.inputs[0],)).values[graph.output.inputs[0]] * unit
    assert np.mean(np.abs(found - wanted) <= 0.02 * np.abs(wanted).max()) >= agree and wanted.any()
    # nir 1.0.8 takes every kernel for square and ungrouped when it checks shapes
    return nir.read(path, type_check=typed)


@pytest.mark.parametrize("name", EXPRESSIBLE)
def test_recorded_networks_come_back_exactly(tmp_path: Path, name: str) -> None:
    with np.load(DATA / f"{name}.npz", allow_pickle=False) as kept:
        options = json.loads(str(kept["options"]))
    graph, x = integers(DATA / f"{name}.nir", **options)
    check(graph, x, tmp_path / "out.nir")


def small(folder: Path, sizes: tuple[int, ...], *nodes: nir.NIRNode, edges: tuple = ()) -> Path:
    """A chain of nodes n0, n1, ... between an Input and an Output, with further edges."""
    names = [f"n{i}" for i in range(len(nodes))]
    table = {
        "input": nir.Input(np.array(sizes)),
        **dict(zip(names, nodes, strict=True)),
        "output": nir.Output(np.ones(1)),
    }
    ends = ["input", *names, "output"]
    wires = [*pairwise(ends), *edges]
    nir.write(folder / "in.nir", nir.NIRGraph(table, wires, type_check=False))
    return folder / "in.nir"


def lif(*sizes: int, **facts: float) -> nir.LIF:
    whole = {"tau": 1e-3, "r": 8.0, "v_leak": 0.0, "v_threshold": 1.0, "v_reset": 0.0, **facts}
    return nir.LIF(**{k: np.full(sizes, v) for k, v in whole.items()})


def weights(*shape: int) -> np.ndarray:
    return np.random.default_rng(7).normal(0.1, 0.8, shape)


CHAINS: dict[str, tuple[tuple[int, ...], tuple[nir.NIRNode, ...]]] = {
    "leak and reset": ((6,), (nir.Affine(weights(5, 6), weights(5)), lif(5, v_leak=0.2, v_reset=-0.3))),
    "conv2d, pools": ((2, 9, 8), (
        nir.Conv2d((9, 8), weights(4, 2, 3, 3), 1, 1, 1, 1, weights(4)), lif(4, 9, 8),
        nir.AvgPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0])), lif(4, 4, 4, v_threshold=0.3),
        nir.SumPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0])), lif(4, 2, 2),
        nir.Flatten(np.array([4, 2, 2]), 0, -1), nir.Linear(weights(3, 16)), lif(3),
    )),
    "groups": ((2, 9, 8), (nir.Conv2d((9, 8), weights(4, 1, 3, 2), 1, 1, 1, 2, weights(4)), lif(4, 9, 9))),
    "conv1d": ((3, 12), (nir.Conv1d(12, weights(4, 3, 3), 2, 1, 1, 1, weights(4)), lif(4, 6))),
    "delays": ((6,), (
        nir.Delay(np.arange(6) % 3 * DT), nir.Linear(weights(5, 6)), lif(5), nir.Delay(np.full(5, 2 * DT)),
        nir.Linear(weights(4, 5)), lif(4),
    )),
    "current and read-out": ((6,), (
        nir.Linear(weights(5, 6)),
        nir.CubaLIF(*(np.full(5, v) for v in (4e-4, 1e-3, 12.0, 0.0, 1.0)), w_in=np.full(5, 2.0)),
        nir.Linear(weights(3, 5)), nir.CubaLI(np.full(3, 4e-4), np.full(3, 1e-3), np.full(3, 2.0), np.full(3, 0.1)),
    )),
    "integrators": ((6,), (
        nir.Linear(weights(5, 6)), nir.IF(np.full(5, 0.5), np.ones(5)), nir.Linear(weights(3, 5)),
        nir.I(np.full(3, 0.25)),
    )),
    "threshold, scale": ((6,), (
        nir.Linear(weights(5, 6)), nir.Threshold(np.full(5, 0.4)), nir.Scale(np.arange(1.0, 6.0)),
        nir.I(np.full(5, 0.5)),
    )),
}  # fmt: skip


@pytest.mark.parametrize("name", CHAINS)
def test_every_expressible_node_goes_out_and_comes_back(tmp_path: Path, name: str) -> None:
    sizes, nodes = CHAINS[name]
    graph, x = integers(small(tmp_path, sizes, *nodes))
    kinds = {
        type(n).__name__ for n in check(graph, x, tmp_path / "out.nir", 0.95, name != "groups").nodes.values()
    }
    assert {type(n).__name__ for n in nodes} - {"Scale", "Affine", "Linear"} <= kinds


def test_streams_that_add_up_are_edges(tmp_path: Path) -> None:
    nodes = (nir.Linear(weights(5, 6)), lif(5), nir.Linear(weights(5, 5)), lif(5))
    graph, x = integers(small(tmp_path, (6,), *nodes, edges=(("n0", "n3"), ("n3", "n2"))))
    made = check(graph, x, tmp_path / "out.nir")
    assert ("n0", "n3") in made.edges and ("n1", "n2") in made.edges and ("n3", "n2.feedback") in made.edges
    assert len(made.edges) == 8 and len(made.nodes) == 7


@pytest.mark.parametrize("name", ["snntorch_leaky", "snntorch_rleaky", "norse_conv"])
def test_thresholds_are_alike_within_a_population(tmp_path: Path, name: str) -> None:
    """snnTorch and SpikingJelly have one per layer: quantisation had made them differ by channel."""
    with np.load(DATA / f"{name}.npz", allow_pickle=False) as kept:
        options = json.loads(str(kept["options"]))
    graph, _ = integers(DATA / f"{name}.nir", **options)
    thresholds = [
        n.v_threshold
        for n in nir.read(exported(graph, tmp_path / "out.nir")).nodes.values()
        if isinstance(n, nir.LIF)
    ]
    assert thresholds and all(np.unique(t).size == 1 for t in thresholds)


def test_ticks_may_be_chosen_anew(tmp_path: Path) -> None:
    graph, _ = integers(DATA / "snntorch_leaky.nir", reset="value")
    found = load(exported(graph, tmp_path / "out.nir"), 30)
    assert found.header.timesteps == 30
    assert found.with_header(timesteps=TICKS).header == graph.header
    assert intervals.propagate(found).content_hash() == found.content_hash()


def test_a_network_that_another_tool_changed_is_noticed(tmp_path: Path) -> None:
    graph, _ = integers(DATA / "snntorch_leaky.nir", reset="value")
    path = exported(graph, tmp_path / "out.nir")
    nir.write(path, nir.read(path))
    assert load(path, None).content_hash() == graph.content_hash()  # passed through nir unchanged
    with h5py.File(path, "r+") as file:
        file["node/nodes/0/weight"][0, 0] += 1
    with pytest.raises(ImportModelError) as error:
        load(path)
    assert [p.code for p in error.value.problems] == ["ND126"] and "integers=never" in error.value.problems[
        0
    ].fixes[0]
    assert load(path, integers="never").header.level == "source"


def test_every_node_without_counterpart_is_listed(tmp_path: Path) -> None:
    b = Builder(Header("net", "integer", TICKS))
    wide = lambda roles, *sizes: Value(Shape(tuple(roles), sizes))
    b.add(Input(name="x"), Value(Shape(("C", "Y", "X"), (1, 4, 4)), interval=Interval(0, 1, True)))
    ternary = {"du": 4095, "dv": 0, "vth_hi": np.int64(3), "vth_lo": np.int64(-3)}
    b.add(Neuron(name="t", inputs=("x",), model="ternary_lif", params=ternary), wide("CYX", 1, 4, 4))
    b.add(Reduce(name="max", inputs=("t",), op="max", window=(2, 2)), wide("CYX", 1, 2, 2))
    b.add(Reduce(name="plane", inputs=("max",), op="sum", axes=(1, 2)), wide("C", 1))
    weight, delay = np.ones((2, 1), np.int64), np.array([[0], [1]])
    b.add(Synapse(name="w", inputs=("plane",), weight=weight, delay=delay), wide("C", 2))
    plain = {"du": 4095, "dv": 0, "vth": np.int64(3)}
    b.add(Neuron(name="r", inputs=("w",), model="lif", params=plain, reset=(4, 1)), wide("C", 2))
    b.add(Output(name="y", inputs=("r",)), wide("K", 2))
    graph = intervals.propagate(codes.infer(b.build()))
    with pytest.raises(GraphError) as error:
        exported(graph, tmp_path / "out.nir")
    assert {p.code for p in error.value.problems} == {"ND230"}
    assert {p.where for p in error.value.problems} == {"t", "max", "plane", "w", "r"}
    assert not (tmp_path / "out.nir").exists()


@pytest.mark.parametrize("name", ["snntorch_leaky_default", "snntorch_synaptic_late", "norse_lifbox_li"])
def test_resets_and_starts_that_nir_does_not_have_are_refused(tmp_path: Path, name: str) -> None:
    with np.load(DATA / f"{name}.npz", allow_pickle=False) as kept:
        options = json.loads(str(kept["options"]))
    graph, _ = integers(DATA / f"{name}.nir", **options)
    with pytest.raises(GraphError) as error:
        exported(graph, tmp_path / "out.nir")
    assert {p.code for p in error.value.problems} == {"ND230"}
