"""Export to .net: import -> export -> import gives the same graph, netx runs the file, and the rest is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neurodeploy.errors import GraphError
from neurodeploy.formats.netx import MEMBER as NETX
from neurodeploy.formats.netx import READER, WRITER
from neurodeploy.ir.graph import Graph
from neurodeploy.ir.nodes import Neuron, Output, Sum, Synapse
from neurodeploy.passes.balance import balance
from neurodeploy.program import Program
from tests.netx_files import CUBA, FLATTEN, RF, SDNN, conv, dense, spikes, weights, write_net


def imported(path: Path, **options: Any) -> Graph:
    return READER.load(path, NETX.configure(options), None)


def exported(graph: Graph, folder: Path) -> Path:
    folder.mkdir()
    (path,) = WRITER.write(Program(balance(graph)), folder / "a.net")
    return path


def recurrent(rng: np.random.Generator, **more: Any) -> dict[str, Any]:
    rec = dense(weights(rng, 8, 8, low=-30, high=28), {**CUBA, "vThMant": 900})
    return {**rec, "type": "dense_rec", "weight_rec": weights(rng, 8, 8, low=-30, high=28), **more}


def cases() -> dict[str, tuple[list[dict[str, Any]], dict[str, Any]]]:
    """Networks of every kind that a .net file holds, and the options to import them with."""
    rng = np.random.default_rng(11)
    each = {**CUBA, "iDecay": rng.integers(0, 4097, 9), "vDecay": rng.integers(0, 4097, 9)}
    both = {"real": weights(rng, 6, 7), "imag": weights(rng, 6, 7)}
    geometry = {
        "stride": np.array([2, 1]),
        "padding": np.array([0, 1]),
        "dilation": np.array([1, 2]),
        "groups": 2,
    }
    first = conv(weights(rng, 4, 1, 3, 2), (4, 4, 8), bias=rng.integers(-20, 30, 4), **geometry)
    second = conv(weights(rng, 6, 4, 2, 3), (6, 3, 6), bias=rng.integers(-20, 30, (6, 3, 6)))
    stage = [first, second, FLATTEN, dense(weights(rng, 5, 108), None)]
    image = {"type": "input", "shape": np.array([2, 9, 8])}
    sdnn = [
        conv(weights(rng, 3, 2, 3, 3), (3, 7, 6), SDNN, bias=np.array([1, -2, 3])),
        FLATTEN,
        dense(weights(rng, 4, 126), SDNN),
        dense(weights(rng, 2, 4), {**SDNN, "sigma_output": True}),
    ]
    rf = {"type": "dense", "shape": np.array([6]), "weight": both, "neuron": RF}
    return {
        "dense": (
            [dense(weights(rng, 9, 7), each, bias=rng.integers(-60, 60, 9)), dense(weights(rng, 3, 9))],
            {},
        ),
        "unsigned": (
            [dense(np.abs(weights(rng, 9, 7)) // 2), dense(-np.abs(weights(rng, 3, 9, low=-254)))],
            {},
        ),
        "resets": (
            [dense(weights(rng, 9, 7)), dense(weights(rng, 3, 9))],
            {"reset_interval": 5, "reset_offset": 2},
        ),
        "delays": (
            [dense(weights(rng, 9, 7), delay=rng.integers(0, 63, (9, 7))), dense(weights(rng, 3, 9))],
            {},
        ),
        "equal delays": ([dense(weights(rng, 9, 7), delay=4)], {}),
        "recurrent": ([recurrent(rng), dense(weights(rng, 2, 8))], {}),
        "recurrent, delayed": ([recurrent(rng, delay=rng.integers(0, 9, (8, 8)))], {}),
        "convolutions": ([image, *stage], {}),
        "convolutions without input layer": (stage, {"input_shape": (8, 9, 2)}),
        "input neurons": ([{**image, "neuron": CUBA}, *stage], {"reset_interval": 7}),
        "a declared input": ([{**image, "neuron": CUBA}, *stage], {"input_range": (-30, 90)}),
        "skipped": ([{**image, "neuron": CUBA}, *stage], {"skip_layers": 1, "readout": "spikes"}),
        "sigma-delta": ([{**image, "neuron": SDNN}, *sdnn], {"spike_exp": 3}),
        "sigma-delta without its input": ([{**image, "neuron": SDNN}, *sdnn], {"skip_layers": 1}),
        "resonate and fire": ([rf, dense(weights(rng, 3, 6))], {}),
    }


CASES = cases()


@pytest.mark.parametrize("name", CASES)
def test_round_trip_gives_the_same_graph(tmp_path: Path, name: str) -> None:
    layers, options = CASES[name]
    graph = imported(write_net(tmp_path / "a.net", layers, {"Ts": 1, "tSample": 11}), **options)
    again = imported(exported(graph, tmp_path / "out"))
    assert list(again.nodes) == list(graph.nodes)
    assert replace(again.header, notes={}) == replace(graph.header, notes={})
    assert graph.with_header(notes={}).content_hash() == again.with_header(notes={}).content_hash()


@pytest.mark.needs("lava.lib.dl.netx.hdf5")
def test_netx_runs_an_exported_file_with_equal_output(tmp_path: Path) -> None:
    from tests.unit.formats.netx.test_netx_equals_lava import agree

    layers, _ = CASES["convolutions"]
    graph = imported(write_net(tmp_path / "a.net", layers))
    path = exported(graph, tmp_path / "out")
    agree(path, spikes(np.random.default_rng(1), 12, 2, 9, 8))


def test_what_the_format_cannot_hold_is_refused_all_at_once(tmp_path: Path) -> None:
    layers, _ = CASES["dense"]
    graph = imported(write_net(tmp_path / "a.net", layers))
    nodes: dict[str, Any] = dict(graph.nodes)
    nodes["layer0.synapse"] = replace(nodes["layer0.synapse"], delay=0)
    nodes["layer0"] = replace(nodes["layer0"], params={**nodes["layer0"].params, "bias": 3})
    nodes["layer1.synapse"] = replace(
        nodes["layer1.synapse"], weight=-np.eye(3, 9, dtype=np.int64), bias=np.ones(3, np.int64)
    )
    nodes["layer1"] = replace(nodes["layer1"], model="lif")
    nodes["output"] = replace(nodes["output"], readout="mean")
    with pytest.raises(GraphError) as caught:
        WRITER.write(Program(Graph(nodes, graph.values, graph.header)), tmp_path / "b.net")
    assert {p.code for p in caught.value.problems} == {"ND230"}
    wrong = {"layer0.synapse", "layer0", "layer1.synapse", "layer1", "output"}
    assert {p.where for p in caught.value.problems} == wrong
    assert not (tmp_path / "b.net").exists()


def test_a_network_that_is_no_chain_is_refused(tmp_path: Path) -> None:
    graph = imported(write_net(tmp_path / "a.net", CASES["recurrent"][0]))
    nodes: dict[str, Any] = dict(graph.nodes)
    cross = Synapse(name="cross", inputs=("layer0",), weight=np.eye(2, 8, dtype=np.int64), delay=1)
    total = Sum(name="total", inputs=("layer1.synapse", "cross"))
    names = [*(n for n in nodes if n not in ("layer1", "output")), "cross", "total", "layer1", "output"]
    nodes |= {"cross": cross, "total": total, "layer1": replace(nodes["layer1"], inputs=("total",))}
    values = {
        **graph.values,
        "cross": graph.values["layer1.synapse"],
        "total": graph.values["layer1.synapse"],
    }
    with pytest.raises(GraphError) as caught:
        WRITER.write(Program(Graph({n: nodes[n] for n in names}, values, graph.header)), tmp_path / "b.net")
    assert {"layer1", "cross", "total"} <= {p.where for p in caught.value.problems}


def test_a_network_of_one_frame_is_refused(tmp_path: Path) -> None:
    graph = imported(write_net(tmp_path / "a.net", CASES["dense"][0]))
    frame = Graph({**graph.nodes, "input": replace(graph.input, per_tick=False)}, graph.values, graph.header)
    with pytest.raises(GraphError, match="frame"):
        WRITER.write(Program(frame), tmp_path / "b.net")
    assert isinstance(graph.output, Output) and graph.of(Neuron)
