"""What holds for every integer graph: it is legal, its bounds bound, the engine equals the interpreter.

The slow variants draw many more and larger graphs.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurodeploy.ir import fixed, interp, intervals, levels
from neurodeploy.ir.graph import Graph
from neurodeploy.ir.neuron_model import state_names
from neurodeploy.ir.nodes import Product
from neurodeploy.ir.trace import Trace
from neurodeploy.simulate import Engine
from tests.fast import at_length
from tests.strategies import inputs, integer_graphs


def check_legal(graph: Graph) -> None:
    assert levels.verify(graph, "integer") == []
    assert intervals.propagate(graph).content_hash() == graph.content_hash()


def check_bounds(graph: Graph, x: np.ndarray) -> None:
    """Element by element, not only the overall interval."""
    trace, bounds = interp.run(graph, x, list(graph.nodes)), intervals.bounds(graph)
    for name, values in trace.values.items():
        assert (values >= bounds[name].lo).all() and (values <= bounds[name].hi).all(), name
        interval = graph.values[name].interval
        assert interval is not None and interval.lo <= values.min() and values.max() <= interval.hi, name


def check_engine(graph: Graph, x: np.ndarray) -> None:
    names, states, engine = list(graph.nodes), list(state_names(graph)), Engine(graph)
    expected, found = interp.run(graph, x, (*names, *states)), engine.run(x, names)
    for name in names:
        assert np.array_equal(found.values[name], expected.values[name]), name
    check_fused(engine, x, expected)
    kept = engine.run(x, states).values if states else {}
    for name in states:
        assert np.array_equal(kept[name], expected.values[name]), name
    assert np.array_equal(found.outputs, expected.outputs)
    assert found.saturations == expected.saturations


def check_fused(engine: Engine, x: np.ndarray, expected: Trace) -> None:
    """Recording a value keeps its node from being fused: nothing, then every other one; each anew and done again.

    What is done again gets the samples in another order: nothing of the first ones may be left.
    """
    for names in ([], list(expected.values)[::2]):
        for order in (-1, 1):
            found = engine.run(x[::order], names)
            assert np.array_equal(found.outputs, expected.outputs[:, ::order])
            assert found.saturations == expected.saturations
            for name in set(names) & set(engine.graph.nodes):
                assert np.array_equal(found.values[name], expected.values[name][:, ::order]), name


def check_telescoping(graph: Graph, x: np.ndarray) -> None:
    """What a compensated product sent sums to the rescaled product of all it received, if nothing saturated."""
    products = [n for n in graph.of(Product) if n.timing == "cumulative"]
    names = {name for node in products for name in (node.name, *node.inputs)}
    trace = interp.run(graph, x, names)
    for node in products:
        if trace.saturations[node.name]:
            continue
        a, b = (trace.values[name].sum(axis=0) for name in node.inputs)
        left, right, out = node.equation.replace("->", ",").split(",")
        pair, table = node.shown or ("", np.ones(()))
        whole = np.einsum(f"Z{left},Z{right},{pair}->Z{out}", a, b, table.astype(np.int64))
        if node.rescale is not None:
            multiplier, shift = node.rescale
            whole = fixed.rescale(whole, multiplier[-1], shift[-1])
        assert (trace.values[node.name].sum(axis=0) == whole).all(), node.name


@settings(max_examples=60)
@given(integer_graphs())
def test_random_graph_is_legal_and_its_bounds_are_settled(graph: Graph) -> None:
    check_legal(graph)


@settings(max_examples=50)
@given(integer_graphs(), st.data())
def test_intervals_bound_every_value(graph: Graph, data: st.DataObject) -> None:
    check_bounds(graph, data.draw(inputs(graph)))


@settings(max_examples=30)
@given(integer_graphs(), st.data())
def test_engine_equals_the_interpreter(graph: Graph, data: st.DataObject) -> None:
    check_engine(graph, data.draw(inputs(graph)))


@settings(max_examples=40)
@given(integer_graphs(moves=("attention", "gate", "micro", "neuron")), st.data())
def test_compensated_products_telescope(graph: Graph, data: st.DataObject) -> None:
    check_telescoping(graph, data.draw(inputs(graph)))


@pytest.mark.slow
@settings(max_examples=at_length(1500))
@given(integer_graphs(max_moves=9, timesteps=(1, 8)), st.data())
def test_everything_on_many_larger_graphs(graph: Graph, data: st.DataObject) -> None:
    x = data.draw(inputs(graph))
    check_legal(graph)
    check_bounds(graph, x)
    check_engine(graph, x)
    check_telescoping(graph, x)
