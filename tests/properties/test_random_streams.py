"""Random networks go on where they were: two runs are one long run of the interpreter, on every backend that can."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurodeploy.backends._base import BACKENDS
from neurodeploy.image import encode
from neurodeploy.ir import interp
from neurodeploy.ir.graph import Graph
from neurodeploy.ir.lasting import hindrances
from neurodeploy.ir.neuron_model import state_names
from neurodeploy.passes.balance import balance
from neurodeploy.program import Program
from neurodeploy.target import load
from tests.fast import at_length
from tests.mappings import random_mapping
from tests.strategies import inputs, integer_graphs

TARGET = load("loihi-sim")
MOVES = ("running", "memory", "dense", "neuron", "residual", "view", "gate")


def check(graph: Graph, x: np.ndarray, seed: int) -> None:
    graph = balance(graph)
    if hindrances(graph):
        return
    ticks, states = graph.header.timesteps, tuple(state_names(graph))
    names = tuple(name for name in (*graph.nodes, *states) if name != graph.output.name)
    both = np.concatenate([x, x[:, ::-1]], axis=1) if graph.input.per_tick else x
    wanted = interp.run(graph, both, names, timesteps=2 * ticks)
    cut = random_mapping(graph, TARGET, seed, copies=bool(seed % 2))
    program = Program(graph, encode(graph, cut, TARGET))
    first, last = (both[:, :ticks], both[:, ticks:]) if graph.input.per_tick else (x, x)
    for member in (member for member in BACKENDS.values() if member.goes_on):
        before = member.run(program, first, names)[0]
        after = member.go_on(program, last, {name: before.values[name][-1] for name in states}, names)
        for name in names:
            both_runs = np.concatenate([before.values[name], after.values[name]])
            assert np.array_equal(both_runs, wanted.values[name]), (member.name, name)


@settings(max_examples=25)
@given(integer_graphs(moves=MOVES, max_moves=3), st.integers(0, 2**31), st.data())
def test_two_runs_are_one(graph: Graph, seed: int, data: st.DataObject) -> None:
    check(graph, data.draw(inputs(graph)), seed)


@pytest.mark.slow
@settings(max_examples=at_length(500))
@given(integer_graphs(max_moves=6), st.integers(0, 2**31), st.data())
def test_two_runs_are_one_at_length(graph: Graph, seed: int, data: st.DataObject) -> None:
    check(graph, data.draw(inputs(graph)), seed)
