"""NIR files become float graphs: each node against plain numpy, networks of snnTorch and Norse, loops and delays."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest

from neurodeploy.formats._hdf5 import read as _hdf5
from neurodeploy.formats.nir import MEMBER as NIR
from neurodeploy.formats.nir import READER
from neurodeploy.formats.nir import read as reader
from neurodeploy.ir import interp, levels, shapes
from neurodeploy.ir.graph import Graph
from neurodeploy.ir.nodes import Input, Neuron, Output, Synapse
from neurodeploy.passes import simplify
from tests.later import torch

DATA = Path(__file__).parents[3] / "data" / "nir"
DT, TICKS, BATCH = 1e-4, 12, 3
RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def _sound_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files written here are sound HDF5: no other process needs to try them first."""
    monkeypatch.setattr(reader, "read_tree", lambda path: _hdf5.read_tree(path, trial=False))


def load(path: Path, timesteps: int | None = TICKS, **options: Any) -> Graph:
    """The graph of a file, legal and of consistent shapes, before and after simplification."""
    graph = READER.load(path, NIR.configure({"readout": "last", **options}), timesteps)
    assert not shapes.problems(graph) and not levels.verify(graph, "source")
    return graph


def outputs(graph: Graph, x: np.ndarray) -> np.ndarray:
    """(B, T, *out) of raw inputs (B, T, *in); simplification must not change them."""
    y = interp.run(graph, x).outputs
    np.testing.assert_allclose(interp.run(simplify(graph), x).outputs, y, rtol=1e-9, atol=1e-12)
    return np.moveaxis(y, 0, 1)


def chain(folder: Path, sizes: tuple[int, ...], out: tuple[int, ...], **nodes: nir.NIRNode) -> Path:
    """A file with an Input, the nodes one after the other, and an Output."""
    names = ["input", *nodes, "output"]
    table = {"input": nir.Input(np.array(sizes)), **nodes, "output": nir.Output(np.array(out))}
    graph = nir.NIRGraph(table, list(pairwise(names)), type_check=False)
    nir.write(folder / "net.nir", graph)
    return folder / "net.nir"


def stream(*sizes: int, high: int = 1) -> np.ndarray:
    return np.random.default_rng(1).integers(0, high + 1, (BATCH, TICKS, *sizes))


# --- neurons: the equations of NIR, one Euler step each ----------------------------------------------------------


def euler(x: np.ndarray, node: Any, options: dict[str, Any]) -> np.ndarray:
    """Plain numpy: (B, T, n) in, spikes or voltages out."""
    kind, dt = type(node).__name__, options.get("dt", DT)
    exact = options.get("decay") == "exponential"
    forgets = lambda tau: 1 - np.exp(-dt / tau) if exact else dt / tau
    i = v = np.zeros_like(x[:, 0], dtype=float)
    if options.get("start") == "rest":
        v = v + node.v_leak
    out = []
    for t in range(x.shape[1]):
        drive = x[:, t].astype(float)
        if kind.startswith("Cuba"):
            i = i + forgets(node.tau_syn) * (node.w_in * drive - i)
            drive = i
        if kind in ("IF", "I"):
            v = v + options.get("integrator_dt", 1.0) * node.r * drive
        else:
            tau = node.tau_mem if kind.startswith("Cuba") else node.tau
            v = v + forgets(tau) * (node.v_leak - v + node.r * drive)
        if kind in ("I", "LI", "CubaLI"):
            out.append(v)
            continue
        s = (v > node.v_threshold).astype(float)
        lower = v - node.v_threshold if options.get("reset") == "subtract" else node.v_reset
        v = np.where(s > 0, lower, v)
        out.append(s)
    return np.stack(out, axis=1)


def each(*values: float) -> np.ndarray:
    return np.array(values)


FOUR = np.ones(4)
NEURONS = {
    "if": nir.IF(r=each(0.3, 0.7, 1.1, 0.3), v_threshold=FOUR, v_reset=0 * FOUR),
    "if_reset": nir.IF(r=each(0.3, 0.7, 1.1, 0.3), v_threshold=FOUR, v_reset=-0.5 * FOUR),
    "lif": nir.LIF(tau=1e-3 * FOUR, r=each(3.0, 6.0, 12.0, 9.0), v_leak=0 * FOUR, v_threshold=FOUR),
    "lif_each": nir.LIF(
        tau=each(1e-3, 2e-3, 5e-4, 1e-4), r=each(9.0, 16.0, 7.0, 1.1), v_leak=each(0.0, 0.2, -0.2, 0.4),
        v_threshold=each(1.0, 0.5, 1.0, 1.2), v_reset=each(0.0, 0.25, -1.0, 0.0),
    ),
    "cuba": nir.CubaLIF(tau_syn=4e-4 * FOUR, tau_mem=1e-3 * FOUR, r=each(6.0, 9.0, 12.0, 20.0), v_leak=0 * FOUR,
                        v_threshold=FOUR, w_in=1.5),
    "cuba_each": nir.CubaLIF(tau_syn=each(2e-4, 4e-4, 1e-3, 1e-4), tau_mem=1e-3 * FOUR, r=12 * FOUR,
                             v_leak=each(0.0, 0.3, 0.0, 0.1), v_threshold=FOUR, v_reset=-0.1 * FOUR),
    "i": nir.I(r=each(0.3, 0.7, 1.1, 2.0)),
    "li": nir.LI(tau=each(1e-3, 2e-3, 5e-4, 1e-4), r=FOUR, v_leak=each(0.0, 0.2, -0.2, 0.4)),
    "cuba_li": nir.CubaLI(tau_syn=4e-4 * FOUR, tau_mem=each(1e-3, 2e-3, 1e-3, 1e-3), r=2 * FOUR, v_leak=0.1 * FOUR),
}  # fmt: skip


@pytest.mark.parametrize("name", NEURONS)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"reset": "subtract"},
        {"decay": "exponential"},
        {"start": "rest"},
        {"dt": 5e-5, "integrator_dt": 0.5},
    ],
    ids=str,
)
def test_neurons_follow_their_equations(tmp_path: Path, name: str, options: dict[str, Any]) -> None:
    node = NEURONS[name]
    if options.get("start") == "rest" and name.startswith("i"):
        return  # no resting potential
    path = chain(tmp_path, (4,), (4,), neuron=node)
    x = stream(4)
    y = outputs(load(path, **options), x)
    expected = euler(x, node, options)
    np.testing.assert_allclose(y, expected, atol=1e-9)
    assert expected.any() and len(np.unique(expected)) > 1


def test_jumps_of_the_current_take_the_whole_input_weight(tmp_path: Path) -> None:
    """synapse=jump equals an input weight that is tau_syn / dt times larger."""
    node = NEURONS["cuba"]
    larger = nir.CubaLIF(node.tau_syn, node.tau_mem, node.r / 6, node.v_leak, node.v_threshold, w_in=1.5 * 4)
    smaller = nir.CubaLIF(node.tau_syn, node.tau_mem, node.r / 6, node.v_leak, node.v_threshold, w_in=1.5)
    x = stream(4)
    (tmp_path / "a").mkdir()
    y = outputs(load(chain(tmp_path / "a", (4,), (4,), n=smaller), synapse="jump"), x)
    np.testing.assert_array_equal(y, outputs(load(chain(tmp_path, (4,), (4,), n=larger)), x))
    assert y.any()


def test_plain_neurons_are_those_that_lava_has(tmp_path: Path) -> None:
    def model(node: nir.NIRNode, **options: Any) -> str:
        return load(chain(tmp_path, (4,), (4,), n=node), **options).of(Neuron)[0].model

    assert model(NEURONS["if"]) == model(NEURONS["lif"]) == model(NEURONS["cuba"]) == "cuba_lif"
    assert (
        model(NEURONS["lif"], reset_delay=True) == "cuba_lif"
    )  # late or early is the same without a current
    assert model(NEURONS["lif_each"]) == model(NEURONS["lif"], reset="subtract") == "general_lif"


def test_threshold(tmp_path: Path) -> None:
    path = chain(
        tmp_path,
        (4,),
        (4,),
        scale=nir.Scale(each(1.0, 2.0, -1.0, 0.5)),
        t=nir.Threshold(each(0.5, 2.0, -0.5, 0.5)),
    )
    x = stream(4, high=3)
    y = outputs(load(path, input_max=3), x)
    np.testing.assert_array_equal(y, x * each(1.0, 2.0, -1.0, 0.5) > each(0.5, 2.0, -0.5, 0.5))


# --- weights, pools, views ---------------------------------------------------------------------------------------


def test_linear_and_affine(tmp_path: Path) -> None:
    a, w, b = RNG.normal(size=(5, 6)), RNG.normal(size=(3, 5)), RNG.normal(size=3)
    x = stream(6, high=9)
    y = outputs(
        load(chain(tmp_path, (6,), (3,), a=nir.Linear(a), b=nir.Affine(w, b)), input_max=9, input_scale=0.5),
        x,
    )
    np.testing.assert_allclose(y, 0.5 * x @ a.T @ w.T + b, rtol=1e-9)


CONVS = [
    {"stride": 1, "padding": 0, "dilation": 1, "groups": 1},
    {"stride": (2, 1), "padding": (1, 2), "dilation": 1, "groups": 2},
    {"stride": 2, "padding": 2, "dilation": (2, 3), "groups": 1},
    {"stride": 1, "padding": "same", "dilation": 2, "groups": 1},
    {"stride": 1, "padding": "valid", "dilation": 1, "groups": 4},
]


@pytest.mark.parametrize("facts", CONVS, ids=str)
@pytest.mark.parametrize("kernel", [(3, 2), (2, 3)], ids=str)
def test_conv2d_equals_torch(tmp_path: Path, facts: dict[str, Any], kernel: tuple[int, int]) -> None:
    weight = RNG.normal(size=(8, 4 // facts["groups"], *kernel))
    bias = RNG.normal(size=8)
    x = stream(4, 9, 10)
    expected = torch.nn.functional.conv2d(
        torch.tensor(x, dtype=torch.float64).flatten(0, 1), torch.tensor(weight), torch.tensor(bias), **facts
    ).numpy()
    node = nir.Conv2d(input_shape=(9, 10), weight=weight, bias=bias, **facts)
    y = outputs(load(chain(tmp_path, (4, 9, 10), expected.shape[1:], conv=node)), x)
    np.testing.assert_allclose(y.reshape(expected.shape), expected, atol=1e-9)


@pytest.mark.parametrize("facts", [
    {"stride": 1, "padding": 0, "dilation": 1, "groups": 1}, {"stride": 3, "padding": 4, "dilation": 2, "groups": 2},
    {"stride": 1, "padding": "same", "dilation": 3, "groups": 1},
], ids=str)  # fmt: skip
def test_conv1d_equals_torch(tmp_path: Path, facts: dict[str, Any]) -> None:
    weight, bias, x = RNG.normal(size=(6, 4 // facts["groups"], 4)), RNG.normal(size=6), stream(4, 17)
    expected = torch.nn.functional.conv1d(
        torch.tensor(x, dtype=torch.float64).flatten(0, 1), torch.tensor(weight), torch.tensor(bias), **facts
    ).numpy()
    node = nir.Conv1d(input_shape=17, weight=weight, bias=bias, **facts)
    y = outputs(load(chain(tmp_path, (4, 17), expected.shape[1:], conv=node)), x)
    np.testing.assert_allclose(y.reshape(expected.shape), expected, atol=1e-9)


def test_pools_equal_torch(tmp_path: Path) -> None:
    x = stream(3, 8, 9)
    flat = torch.tensor(x, dtype=torch.float64).flatten(0, 1)
    for kind, kernel, stride, padding in ((nir.SumPool2d, 2, 2, 0), (nir.AvgPool2d, (3, 2), (2, 3), (1, 1))):
        mean = torch.nn.functional.avg_pool2d(flat, kernel, stride, padding).numpy()
        expected = mean * np.prod(np.broadcast_to(kernel, 2)) if kind is nir.SumPool2d else mean
        node = kind(
            kernel_size=np.atleast_1d(kernel), stride=np.atleast_1d(stride), padding=np.atleast_1d(padding)
        )
        y = outputs(load(chain(tmp_path, (3, 8, 9), expected.shape[1:], pool=node)), x)
        np.testing.assert_allclose(y.reshape(expected.shape), expected, atol=1e-9)


@pytest.mark.parametrize(
    "start, end, out", [(0, -1, (24,)), (1, -1, (2, 12)), (0, 1, (6, 4)), (-2, -1, (2, 12))]
)
def test_flatten(tmp_path: Path, start: int, end: int, out: tuple[int, ...]) -> None:
    x = stream(2, 3, 4, high=9)
    path = chain(tmp_path, (2, 3, 4), out, f=nir.Flatten(np.array([2, 3, 4]), start, end))
    np.testing.assert_array_equal(outputs(load(path, input_max=9), x), x.reshape(BATCH, TICKS, *out))


@pytest.mark.parametrize("shape", [(), (2, 1, 1), (2, 3, 4)], ids=["one", "channel", "element"])
def test_scale(tmp_path: Path, shape: tuple[int, ...]) -> None:
    scale = np.random.default_rng(5).normal(size=shape)
    x = stream(2, 3, 4, high=9)
    path = chain(tmp_path, (2, 3, 4), (2, 3, 4), s=nir.Scale(np.atleast_1d(scale)))
    np.testing.assert_allclose(outputs(load(path, input_max=9), x), x * scale)


# --- time --------------------------------------------------------------------------------------------------------


def delayed(x: np.ndarray, delay: np.ndarray) -> np.ndarray:
    y = np.zeros(x.shape)
    for index in np.ndindex(x.shape[2:]):
        d = int(np.broadcast_to(delay, x.shape[2:])[index])
        place: tuple[Any, ...] = (..., *index)
        y[:, d:][place] = x[:, : TICKS - d][place]
    return y


@pytest.mark.parametrize("delay", [np.array([3.0]), np.array([0.0, 1.0, 5.0, 2.0])], ids=["one", "each"])
def test_delays_stand_alone_or_join_the_weights_behind(tmp_path: Path, delay: np.ndarray) -> None:
    x, w = stream(4, high=9), RNG.normal(size=(3, 4))
    alone = load(chain(tmp_path, (4,), (4,), d=nir.Delay(delay * DT)), input_max=9)
    np.testing.assert_array_equal(outputs(alone, x), delayed(x, delay))
    joined = load(chain(tmp_path, (4,), (3,), d=nir.Delay(delay), w=nir.Linear(w)), delay_dt=1.0, input_max=9)
    assert len(joined.of(Synapse)) == 1
    np.testing.assert_allclose(outputs(joined, x), delayed(x, delay) @ w.T, atol=1e-12)


def recurrent(folder: Path, back: dict[str, nir.NIRNode], *edges: tuple[str, str]) -> Path:
    """input -> w -> lif -> output, and a way back from lif."""
    nodes = {
        "input": nir.Input(np.array([6])), "w": nir.Linear(np.random.default_rng(3).normal(size=(4, 6)) * 9),
        "lif": NEURONS["lif"], "output": nir.Output(np.array([4])), **back,
    }  # fmt: skip
    wires = [("input", "w"), ("w", "lif"), ("lif", "output"), *edges]
    nir.write(folder / "loop.nir", nir.NIRGraph(nodes, wires, type_check=False))
    return folder / "loop.nir"


def simulate_loop(x: np.ndarray, back: np.ndarray, delay: int) -> np.ndarray:
    """The same loop in plain numpy: what is fed back was sent ``delay`` ticks ago."""
    node, w = NEURONS["lif"], np.random.default_rng(3).normal(size=(4, 6)) * 9
    v, past = np.zeros((len(x), 4)), [np.zeros((len(x), 4))] * delay
    out = []
    for t in range(TICKS):
        v = v + DT / node.tau * (node.v_leak - v + node.r * (x[:, t] @ w.T + past[-delay] @ back.T))
        s = (v > node.v_threshold).astype(float)
        v = v * (1 - s)
        past.append(s)
        out.append(s)
    return np.stack(out, axis=1)


@pytest.mark.parametrize("delay", [0, 1, 3])
def test_a_neuron_that_feeds_back_waits_a_tick_or_what_its_delay_says(tmp_path: Path, delay: int) -> None:
    back, x = np.random.default_rng(4).normal(size=(4, 4)) * 30, stream(6)
    nodes: dict[str, nir.NIRNode] = {"rec": nir.Linear(back)}
    edges = [("lif", "rec"), ("rec", "lif")]
    if delay:
        nodes["d"] = nir.Delay(np.full(4, delay * DT))
        edges = [("lif", "d"), ("d", "rec"), ("rec", "lif")]
    graph = load(recurrent(tmp_path, nodes, *edges))
    assert [n.name for n in graph.feedback] == ["rec"] and graph.feedback[0].delay == max(delay, 1)
    expected = simulate_loop(x, back, max(delay, 1))
    np.testing.assert_array_equal(outputs(graph, x), expected)
    assert not np.array_equal(expected, simulate_loop(x, 0 * back, 1))


@pytest.mark.parametrize("delay", [1, 2])
def test_a_delay_alone_in_a_loop_is_all_that_it_waits(tmp_path: Path, delay: int) -> None:
    x = stream(6)
    graph = load(recurrent(tmp_path, {"d": nir.Delay(np.full(4, delay * DT))}, ("lif", "d"), ("d", "lif")))
    assert [(n.name, n.delays) for n in graph.feedback] == [("d", (delay,))]
    assert not any(n.delays[-1] for n in graph.of(Synapse) if n.name != "d")
    np.testing.assert_array_equal(outputs(graph, x), simulate_loop(x, np.eye(4), delay))


def test_feedback_without_weights_and_over_two_layers(tmp_path: Path) -> None:
    x = stream(6)
    direct = load(recurrent(tmp_path, {}, ("lif", "lif")))
    np.testing.assert_array_equal(outputs(direct, x), simulate_loop(x, np.eye(4), 1))
    second = nir.LIF(tau=1e-3 * FOUR, r=30 * FOUR, v_leak=0 * FOUR, v_threshold=FOUR)
    nodes = {"w2": nir.Linear(np.eye(4)), "lif2": second, "back": nir.Linear(-2 * np.eye(4))}
    edges = (("lif", "w2"), ("w2", "lif2"), ("lif2", "back"), ("back", "lif"))
    graph = load(recurrent(tmp_path, nodes, *edges))
    assert [n.name for n in graph.feedback] == ["back"]  # the way forward stays within the tick
    outputs(graph, x)


def test_streams_add_up_where_edges_meet_and_subgraphs_are_opened(tmp_path: Path) -> None:
    a, b, x = RNG.normal(size=(4, 6)), RNG.normal(size=(4, 4)), stream(6, high=5)
    inner = nir.NIRGraph(
        {"input": nir.Input(np.array([4])), "w": nir.Linear(b), "output": nir.Output(np.array([4]))},
        [("input", "w"), ("w", "output")],
    )
    nodes = {
        "input": nir.Input(np.array([6])),
        "a": nir.Linear(a),
        "sub": inner,
        "output": nir.Output(np.array([4])),
    }
    edges = [("input", "a"), ("a", "sub"), ("sub", "output"), ("a", "output")]
    nir.write(tmp_path / "n.nir", nir.NIRGraph(nodes, edges))
    y = outputs(load(tmp_path / "n.nir", input_max=5), x)
    np.testing.assert_allclose(y, x @ a.T @ b.T + x @ a.T, atol=1e-12)


# --- the graph around the nodes ----------------------------------------------------------------------------------


def test_input_and_readout_follow_the_options(tmp_path: Path) -> None:
    path = chain(tmp_path, (1, 4), (1, 4), n=NEURONS["lif"])  # a batch of one, as some exporters leave it
    graph = load(path, None, readout="auto", input_max=7, input_signed=True, input_scale=0.25, per_tick=False)
    node = graph.input
    assert isinstance(node, Input) and not node.per_tick and node.scale == 0.25
    assert graph.shape(node.name) == (4,) and graph.values[node.name].interval.lo == -7
    assert graph.header.timesteps == 16 and graph.output.readout == "sum"
    assert graph.header.notes["nir"]["dt"] == DT and graph.header.notes["nir"]["decay"] == "euler"
    voltages = load(chain(tmp_path, (4,), (4,), n=NEURONS["li"]), readout="auto")
    assert isinstance(voltages.output, Output) and voltages.output.readout == "last"


# --- files that the libraries wrote ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(p.stem for p in DATA.glob("*.nir")))
def test_networks_of_snntorch_and_norse_agree_in_float(name: str) -> None:
    """Same spikes at every tick, voltages within float32, against what the library itself computed."""
    with np.load(DATA / f"{name}.npz", allow_pickle=False) as kept:
        x, y, options = kept["x"], kept["y"], json.loads(str(kept["options"]))
    found = outputs(load(DATA / f"{name}.nir", len(x), **options), x[None].astype(np.int64))[0]
    np.testing.assert_allclose(found.reshape(y.shape), y, atol=1e-5)
    assert y.any()
