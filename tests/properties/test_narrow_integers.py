"""Integers are kept narrow and change nothing: traces, mappings, images, counts and files are those of wide ones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurodeploy import cost
from neurodeploy.artifact import Artifact, save
from neurodeploy.backends._base import BACKENDS
from neurodeploy.cost import booked
from neurodeploy.image import encode, to_arrays, weights_of
from neurodeploy.ir import interp, intervals, nodes
from neurodeploy.ir.graph import Builder, Graph, Header
from neurodeploy.ir.neuron_model import state_names
from neurodeploy.ir.nodes import Const, Input, Output, Sum, Synapse
from neurodeploy.ir.types import DENSE, Fixed, Interval, Shape, Value
from neurodeploy.mapping.mapper import map_graph
from neurodeploy.mapping.types import Mapping
from neurodeploy.passes.balance import balance
from neurodeploy.program import Program
from neurodeploy.target import load
from tests.strategies import inputs, integer_graphs

TARGET = load("loihi-sim")


def wide(graph: Graph) -> Graph:
    """The graph with every integer array as int64; nodes must not be kept narrow while it is made."""
    widened = {
        name: replace(node, **{k: getattr(node, k).astype(np.int64) for k in ("weight", "delay", "value")
                               if isinstance(getattr(node, k, None), np.ndarray)})
        for name, node in graph.nodes.items()
    }  # fmt: skip
    return replace(graph, nodes=widened)


def everything(graph: Graph, x: np.ndarray) -> dict[str, Any]:
    """All that a network comes to: what it computes on every backend, its place, its images, its counts."""
    mapping = encode(graph, map_graph(graph, TARGET), TARGET)
    program, names = Program(graph, mapping), [*(node.name for node in graph), *state_names(graph)]
    runs = {name: BACKENDS[name].run(program, x, names) for name in ("cpu", "loihi-sim")}
    wanted = interp.run(graph, x, {*names, *cost.names_to_record(graph), *booked.names(graph)})
    events = [runs["loihi-sim"][1], booked.booked(graph, mapping, wanted, TARGET)]
    counts = cost.count(graph, wanted)
    return {
        "values": [{n: t.values[n].tolist() for n in names} for t in (wanted, *(run[0] for run in runs.values()))],
        "outputs": [t.outputs.tolist() for t in (wanted, *(run[0] for run in runs.values()))],
        "cores": [(c.chip, c.x, c.y, c.demand, c.used) for c in mapping.cores],
        "images": [{k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in to_arrays(image).items()}
                   for image in mapping.images],
        "events": [event.core_counts.tolist() for event in events], "operations": counts.nodes,
    }  # fmt: skip


@settings(max_examples=6)
@given(integer_graphs(), st.data())
def test_narrow_integers_change_nothing(graph: Graph, data: st.DataObject) -> None:
    graph = balance(graph)
    x = data.draw(inputs(graph))
    found = everything(graph, x)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(nodes, "narrow", lambda array: array)
        stretched = wide(graph)
        assert all(node.weight.itemsize == 8 for node in stretched.of(Synapse))
        wanted = everything(stretched, x)
    for what in wanted:
        assert found[what] == wanted[what], what


@settings(max_examples=10)
@given(integer_graphs())
def test_files_do_not_know_how_wide_integers_were(tmp_path_factory: Any, graph: Graph) -> None:
    folder: Path = tmp_path_factory.mktemp("wide")
    again = wide(graph)
    save(folder / "a.h5", Artifact(integer=graph)), save(folder / "b.h5", Artifact(integer=again))
    assert (folder / "a.h5").read_bytes() == (folder / "b.h5").read_bytes()
    assert graph.content_hash() == again.content_hash()


@pytest.mark.parametrize("low, high, size", [(-128, 127, 1), (-129, 127, 2), (0, 128, 2), (-(2**31), 5, 4)])
def test_integers_take_the_narrowest_type(low: int, high: int, size: int) -> None:
    node = Synapse(name="s", weight=np.array([[low, high]]), delay=np.array([[0, 62]]))
    assert (node.weight.dtype, node.delay.dtype) == (np.dtype(f"i{size}"), np.dtype("i1"))
    assert Const(name="c", value=np.array([low, high])).value.itemsize == size
    assert Synapse(name="f", weight=np.ones((2, 2))).weight.dtype == np.float64


def extreme(sign: int, op: str) -> Graph:
    """Eight inputs through weights of one extreme, less a constant of it."""
    builder, edge = Builder(Header("extreme", "integer", 2)), -128 if sign < 0 else 127
    shape = (8,) if op == "dense" else (8, 2, 2)
    roles = ("C",) if op == "dense" else ("C", "Y", "X")
    value = Value(
        Shape(roles, shape), code=DENSE, fixed=Fixed(24, True, 1.0), interval=Interval(-255, 255, True)
    )
    builder.add(Input(name="x"), value)
    weight = np.full((8, 8) if op == "dense" else (8, 8, 1, 1), edge)
    builder.add(Synapse(name="s", inputs=("x",), weight=weight, op=op), value)
    builder.add(Const(name="c", value=np.full(shape, edge)), value)
    builder.add(Sum(name="n", inputs=("s", "c"), signs=(1, -1)), value)
    builder.add(Output(name="out", inputs=("n",)), value)
    return intervals.propagate(builder.build())


@pytest.mark.parametrize("op", ["dense", "conv"])
@pytest.mark.parametrize("sign", [-1, 1])
def test_extremes_are_exact_everywhere(sign: int, op: str) -> None:
    """By hand: 8 inputs of 255 through -128 or 127, less a constant of it, at two ticks."""
    graph, edge = balance(extreme(sign, op)), -128 if sign < 0 else 127
    shape = graph.shape("x")
    x = np.stack([np.full(shape, 255), np.full(shape, -255)])
    each = np.array([255 * 8 * edge - edge, -255 * 8 * edge - edge])
    assert graph.nodes["s"].weight.itemsize == 1 and graph.nodes["c"].value.itemsize == 1
    found = everything(graph, x)
    for outputs in found["outputs"]:
        for tick, output in enumerate(np.array(outputs), 1):
            assert (output.reshape(2, -1) == tick * each[:, None]).all()
    mapping: Mapping = encode(graph, map_graph(graph, TARGET), TARGET)
    stored = [
        weights_of(image, n) for image in mapping.images for n in range(len(image.tables["connections"]))
    ]
    assert any((weights == edge).all() and weights.size for weights in stored)
