"""Random graphs in Lava equal the interpreter: every node, every tick, every saturation that its processes count."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from neurodeploy import compare
from neurodeploy.backends.lava import MEMBER
from neurodeploy.errors import BackendError
from neurodeploy.ir import interp
from neurodeploy.ir.graph import Graph
from neurodeploy.passes.balance import balance, hurried
from neurodeploy.program import Program
from neurodeploy.target import load
from tests.fast import at_length
from tests.mappings import random_mapping
from tests.strategies import inputs, integer_graphs

pytestmark = pytest.mark.needs("lava.magma")
NO_SHRINKING = (Phase.explicit, Phase.generate)  # a run takes seconds


def check(graph: Graph, x: np.ndarray) -> None:
    names = tuple(graph.nodes)
    expected = interp.run(graph, x, names)
    try:
        found, _ = MEMBER.run(Program(graph), x, names)
    except BackendError:
        return  # a loop that no pipeline can run in time
    assert compare.first_divergence(found, expected, (*names, graph.output.name)) is None
    for name, number in found.saturations.items():  # processes of Lava do not count
        assert number == expected.saturations.get(name, 0), name


@settings(max_examples=3, phases=NO_SHRINKING)
@given(integer_graphs(), st.data())
def test_random_graphs(graph: Graph, data: st.DataObject) -> None:
    check(graph, data.draw(inputs(graph)))


@settings(max_examples=2, phases=NO_SHRINKING)
@given(integer_graphs(), st.data(), st.integers(0, 9))
def test_random_graphs_on_cores(graph: Graph, data: st.DataObject, seed: int) -> None:
    """One process per core, pieces thrown onto random cores, some of them twice."""
    if hurried(graph):
        return
    x, graph = data.draw(inputs(graph)), balance(graph)
    mapping = random_mapping(graph, load("loihi-sim"), seed, copies=bool(seed % 2))
    names = tuple(graph.nodes)
    expected = interp.run(graph, x, names)
    found, _ = MEMBER.at("core").run(Program(graph, mapping), x, names)
    assert compare.first_divergence(found, expected, (*names, graph.output.name)) is None


@pytest.mark.slow
@pytest.mark.timeout(3600)
@settings(max_examples=at_length(200), phases=NO_SHRINKING)
@given(integer_graphs(max_moves=9), st.data())
def test_many_larger_random_graphs(graph: Graph, data: st.DataObject) -> None:
    check(graph, data.draw(inputs(graph)))
