"""Files of other tools are read by their conventions, told from marks of the file; what no mark tells is a warning."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest

from neurodeploy import config, sources
from neurodeploy.errors import Problem
from neurodeploy.formats._hdf5 import read as _hdf5
from neurodeploy.formats.nir import MEMBER as NIR
from neurodeploy.formats.nir import READER
from neurodeploy.formats.nir import read as reader
from neurodeploy.formats.nir.tools import QUESTIONS, TOOLS
from neurodeploy.ir import interp
from neurodeploy.ir.graph import Graph

DATA = Path(__file__).parents[3] / "data" / "nir"
RECORDED = sorted(p.stem for p in DATA.glob("*.nir"))
#: recorded files whose tool ran with what its exporter and its neurons default to
AS_DEFAULTS = [n for n in RECORDED if not n.startswith("snntorch") or n.endswith(("_default", "_rsynaptic"))]
TICKS, SIZE, INPUTS = 16, 5, 8


@pytest.fixture(autouse=True)
def _sound_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files written here are sound HDF5: no other process needs to try them first."""
    monkeypatch.setattr(reader, "read_tree", lambda path: _hdf5.read_tree(path, trial=False))


def load(path: Path, **options: Any) -> tuple[Graph, list[Problem]]:
    """The graph of a file and its warnings."""
    graph = READER.load(path, NIR.configure({"readout": "last", **options}), TICKS)
    return graph, sources.remarks(config.resolve({"model": str(path), "target": "loihi-sim"}), graph)


def run(graph: Graph, x: np.ndarray) -> np.ndarray:
    """(B, T, *out) of raw inputs (B, T, *in)."""
    return np.moveaxis(interp.run(graph.with_header(timesteps=x.shape[1]), x).outputs, 0, 1)


def asked(warnings: list[Problem]) -> set[str]:
    """The options that warnings name in their fixes, but for the tool."""
    found = {fix.split("reader.")[1].split("=")[0] for p in warnings for fix in p.fixes if "reader." in fix}
    assert {p.code for p in warnings} <= {"ND166"} and {p.severity for p in warnings} <= {"warning"}
    return found - {"tool"}


# --- files that the tools wrote ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", RECORDED)
def test_a_recorded_file_is_read_as_its_tool_runs_it_or_the_difference_is_asked_for(name: str) -> None:
    with np.load(DATA / f"{name}.npz", allow_pickle=False) as kept:
        x, y, options = kept["x"], kept["y"], json.loads(str(kept["options"]))
    graph, warnings = load(DATA / f"{name}.nir")
    tool = next(t for t in TOOLS if t.name == name.split("_")[0])
    assert any(tool.title in p.cause for p in warnings)
    taken = graph.header.notes["nir"]
    guessed = {key for key, value in options.items() if key != "readout" and taken[key] != value}
    if name in AS_DEFAULTS:
        found = run(graph, x[None].astype(np.int64))[0]
        np.testing.assert_allclose(found.reshape(y.shape), y, atol=1e-5)
    else:
        assert guessed <= asked(warnings) and guessed <= set(tool.open)
    assert y.any()


@pytest.mark.parametrize("name", RECORDED)
def test_what_is_set_is_not_asked_for(name: str) -> None:
    with np.load(DATA / f"{name}.npz", allow_pickle=False) as kept:
        options = json.loads(str(kept["options"]))
    free = {q.option: options.get(q.option, getattr(NIR.configure({}), q.option)) for q in QUESTIONS}
    graph, warnings = load(DATA / f"{name}.nir", **free)
    assert not warnings and free.items() <= graph.header.notes["nir"].items()
    named = name.split("_")[0]
    _, warnings = load(DATA / f"{name}.nir", tool=named)
    assert not any("marks" in p.cause for p in warnings)


# --- files as exporters write them, against each tool's own step in numpy --------------------------------------------


def drive() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Spikes (B, T, inputs), weights and biases in quarters: sums are exact in any order, ties occur."""
    rng = np.random.default_rng(3)
    w = rng.integers(-3, 5, (SIZE, INPUTS)) / 4
    return rng.integers(0, 2, (3, TICKS, INPUTS)), w, rng.integers(0, 2, SIZE) / 4


def write(folder: Path, names: tuple[str, str, str], neuron: nir.NIRNode, kind: type = np.float32) -> Path:
    """Input, weights and one population, called as the exporter calls them."""
    _, w, b = drive()
    entry, weights, cells = names
    nodes = {entry: nir.Input(np.array([INPUTS])), weights: nir.Affine(w.astype(kind), b.astype(kind)),
             cells: neuron, "output": nir.Output(np.array([SIZE]))}  # fmt: skip
    graph = nir.NIRGraph(nodes, list(pairwise((entry, weights, cells, "output"))), type_check=False)
    nir.write(folder / "net.nir", graph)
    return folder / "net.nir"


def each(value: float, kind: type = np.float64) -> np.ndarray:
    return np.full(SIZE, value, kind)


def leaky_of_snntorch(x: np.ndarray, alpha: float, beta: float) -> np.ndarray:
    """Leaky (alpha 0) and Synaptic with reset_mechanism "subtract" and reset_delay: the reset follows a tick later."""
    syn = mem = np.zeros((len(x), SIZE))
    out = []
    for current in np.moveaxis(x, 1, 0):
        reset = mem - 1 > 0
        syn = alpha * syn + current
        mem = beta * mem + syn - reset
        out.append(mem - 1 > 0)
    return np.stack(out, axis=1)


def if_of_spikingjelly(x: np.ndarray, v_reset: float) -> np.ndarray:
    """IFNode: it starts at v_reset and fires where it reaches the threshold."""
    v, out = np.full((len(x), SIZE), v_reset), []
    for current in np.moveaxis(x, 1, 0):
        v = v + current
        s = v >= 1
        v = np.where(s, v_reset, v)
        out.append(s)
    return np.stack(out, axis=1)


def lif_of_spikingjelly(x: np.ndarray, tau: float, v_reset: float, decay_input: bool) -> np.ndarray:
    """LIFNode with a hard reset."""
    v, out = np.full((len(x), SIZE), v_reset), []
    for current in np.moveaxis(x, 1, 0):
        leak = (v - v_reset) / tau
        v = v - leak + (current / tau if decay_input else current)
        s = v >= 1
        v = np.where(s, v_reset, v)
        out.append(s)
    return np.stack(out, axis=1)


def lif_of_norse(x: np.ndarray, mem_inv: float, syn_inv: float | None) -> np.ndarray:
    """LIFBoxCell, and LIFCell, whose current takes its input whole; 1 ms steps; the first voltage is v_leak, 0.25."""
    i, v, out = np.zeros((len(x), SIZE)), np.full((len(x), SIZE), 0.25), []
    for current in np.moveaxis(x, 1, 0):
        i = current if syn_inv is None else i - 1e-3 * syn_inv * i + current
        v = v + 1e-3 * mem_inv * (0.25 - v + i)
        s = v > 1
        v = np.where(s, 0, v)
        out.append(s)
    return np.stack(out, axis=1)


def lif_of_sinabs(x: np.ndarray, tau: float) -> np.ndarray:
    """LIF with SingleSpike and norm_input, MembraneSubtract: a leak of exp(-1/tau)."""
    alpha, v, out = np.exp(-1 / tau), np.zeros((len(x), SIZE)), []
    for current in np.moveaxis(x, 1, 0):
        v = alpha * v + (1 - alpha) * current
        s = v - 1 >= 0
        v = v - s
        out.append(s)
    return np.stack(out, axis=1)


BEFORE, TRACED = ("input", "fc1", "lif1"), ("x", "fc1", "lif1")
FLOAT32 = np.float32


def snntorch(alpha: float, beta: float, kind: type) -> nir.NIRNode:
    """As Leaky and Synaptic are written: float32 of tensors, float64 of the recurrent ones."""
    tau = kind(1e-4) / (1 - each(beta, kind))
    membrane = {"r": tau / kind(1e-4), "v_leak": each(0, kind), "v_threshold": each(1, kind)}
    if not alpha:
        return nir.LIF(tau=tau, **membrane)
    syn = kind(1e-4) / (1 - each(alpha, kind))
    return nir.CubaLIF(tau_mem=tau, tau_syn=syn, w_in=syn / kind(1e-4), **membrane)


def norse(scaling: float, mem_inv: float, syn_inv: float | None) -> nir.NIRNode:
    """As both mappings of Norse write them; ``scaling`` is dt of the first, time_scaling_factor of the second."""
    shared = {"r": each(1, FLOAT32), "v_leak": each(0.25, FLOAT32), "v_threshold": each(1, FLOAT32)}
    tau = FLOAT32(scaling) / each(mem_inv, FLOAT32)
    if syn_inv is None:
        return nir.LIF(tau=tau, **shared)
    syn = FLOAT32(scaling) / each(syn_inv, FLOAT32)
    return nir.CubaLIF(tau_mem=tau, tau_syn=syn, w_in=each(1, FLOAT32), **shared)


def spikingjelly(tau: float, dt: float, v_reset: float, decay_input: bool) -> nir.NIRNode:
    return nir.LIF(tau=each(tau * dt), r=each(1.0 if decay_input else tau), v_leak=each(v_reset),
                   v_threshold=each(1), v_reset=each(v_reset))  # fmt: skip


FILES: dict[str, tuple[str, tuple[str, str, str], nir.NIRNode, Any]] = {
    "Leaky": ("snntorch", BEFORE, snntorch(0, 0.75, FLOAT32), lambda x: leaky_of_snntorch(x, 0, 0.75)),
    "Leaky, float64": ("snntorch", BEFORE, snntorch(0, 0.5, np.float64), lambda x: leaky_of_snntorch(x, 0, 0.5)),
    "Synaptic": ("snntorch", BEFORE, snntorch(0.5, 0.75, FLOAT32), lambda x: leaky_of_snntorch(x, 0.5, 0.75)),
    "IFNode": ("spikingjelly", TRACED, nir.IF(each(1e4), each(1), each(-0.5)), lambda x: if_of_spikingjelly(x, -0.5)),
    "IFNode, dt 1e-3": ("spikingjelly", ("input_1", "_0", "_1"), nir.IF(each(1e3), each(1), each(0)),
                        lambda x: if_of_spikingjelly(x, 0.0)),
    "LIFNode": ("spikingjelly", TRACED, spikingjelly(2.0, 1e-4, -0.25, True),
                lambda x: lif_of_spikingjelly(x, 2.0, -0.25, True)),
    "LIFNode, dt 1e-3": ("spikingjelly", TRACED, spikingjelly(4.0, 1e-3, 0.0, False),
                         lambda x: lif_of_spikingjelly(x, 4.0, 0.0, False)),
    "LIFBoxCell, 1.1": ("norse", BEFORE, norse(1e-3, 250.0, None), lambda x: lif_of_norse(x, 250.0, None)),
    "LIFBoxCell, later": ("norse", ("input_1", "_0", "_1"), norse(1.0, 250.0, None),
                          lambda x: lif_of_norse(x, 250.0, None)),
    "LIF": ("sinabs", BEFORE, nir.LIF(each(3, FLOAT32), each(1, FLOAT32), each(0, FLOAT32), each(1, FLOAT32)),
            lambda x: lif_of_sinabs(x, 3.0)),
    "LIFCell, later": ("norse", TRACED, norse(1.0, 125.0, 250.0), lambda x: lif_of_norse(x, 125.0, 250.0)),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_files_as_each_tool_writes_them_run_as_the_tool_runs_them(tmp_path: Path, name: str) -> None:
    tool, names, neuron, step = FILES[name]
    gain = 3.7 if tool in ("norse", "sinabs") else 1.0  # their steps are no dyadic numbers: no ties
    x, w, b = drive()
    path = write(tmp_path, names, neuron)
    graph, warnings = load(path, input_scale=gain)
    wanted = step(gain * x @ w.T + b)
    np.testing.assert_array_equal(run(graph, x), wanted)
    title = next(t.title for t in TOOLS if t.name == tool)
    assert any(title in p.cause for p in warnings) and wanted.any() and not wanted.all()
    step_of_tool = graph.header.notes["nir"]["dt"]
    plain, _ = load(path, tool="none", input_scale=gain, dt=step_of_tool / (2 if tool == "norse" else 1))
    assert not np.array_equal(run(plain, x), wanted)  # the conventions matter


# --- files of nobody that is known -----------------------------------------------------------------------------------

ODD = {"tau": each(3e-3), "r": each(7.0), "v_leak": each(0.1), "v_threshold": each(1)}
UNKNOWN: dict[str, tuple[nir.NIRNode, set[str]]] = {
    "IF": (nir.IF(each(0.5), each(1)), {"integrator_dt", "reset"}),
    "IF that says its reset": (nir.IF(each(0.5), each(1), each(-0.5)), {"integrator_dt", "start"}),
    "I": (nir.I(each(0.5)), {"integrator_dt"}),
    "LI": (nir.LI(each(3e-3), each(7), each(0)), {"dt", "decay"}),
    "LIF": (nir.LIF(**ODD), {"dt", "decay", "reset", "start"}),
    "LIF that says its reset": (nir.LIF(**ODD, v_reset=each(0.2)), {"dt", "decay", "start"}),
    "CubaLIF": (nir.CubaLIF(each(1e-3), each(3e-3), each(7), each(0), each(1)),
                {"dt", "decay", "synapse", "reset", "reset_delay"}),
    "Threshold": (nir.Threshold(each(0.5)), set()),
    "Delay": (nir.Delay(each(1e-4)), {"dt"}),
}  # fmt: skip


@pytest.mark.parametrize("name", UNKNOWN)
def test_an_unknown_file_is_asked_for_what_its_nodes_need_and_nothing_else(tmp_path: Path, name: str) -> None:
    node, wanted = UNKNOWN[name]
    path = write(tmp_path, BEFORE, node, np.float64)
    assert asked(load(path)[1]) == wanted
    assert asked(load(path, tool="none")[1]) == wanted
    assert len(load(path)[1]) == len(wanted)
    later = asked(load(path, reset="subtract")[1])
    spikes = name.startswith(("IF", "LIF", "Cuba"))
    assert later == (wanted - {"reset"}) | ({"reset_delay"} if spikes else set())
