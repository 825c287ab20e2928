"""Every backend of memory images equals the interpreter, whatever the graph and however it is cut."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurodeploy.backends._base import BACKENDS, Backend
from neurodeploy.image import encode, from_arrays, to_arrays
from neurodeploy.ir import interp
from neurodeploy.ir.graph import Graph
from neurodeploy.ir.neuron_model import state_names
from neurodeploy.mapping.mapper import map_graph
from neurodeploy.mapping.types import Mapping
from neurodeploy.passes.balance import balance
from neurodeploy.program import Program
from neurodeploy.target import load
from tests.fast import at_length
from tests.mappings import one_core_per_group, random_mapping
from tests.strategies import inputs, integer_graphs

TARGET = load("loihi-sim")
MAPPED = [member for member in BACKENDS.values() if member.mapped and not member.available()]
each = pytest.mark.parametrize("backend", MAPPED, ids=lambda member: member.name)
MAPPERS = {
    "one core per group": lambda graph, seed: one_core_per_group(graph, TARGET),
    "random": lambda graph, seed: random_mapping(graph, TARGET, seed),
    "with copies": lambda graph, seed: random_mapping(graph, TARGET, seed, copies=True),
    "mapper": lambda graph, seed: map_graph(graph, TARGET),
}


def check(backend: Backend, graph: Graph, mapping: Mapping, x: np.ndarray) -> None:
    mapping = encode(graph, mapping, TARGET)
    names = [*(node.name for node in graph), *state_names(graph)]
    wanted = interp.run(graph, x, names)
    found, events = backend.run(Program(graph, mapping), x, names)
    wrong = [name for name in names if not np.array_equal(wanted.values[name], found.values[name])]
    assert wrong == []
    assert np.array_equal(wanted.outputs, found.outputs)
    assert {k: v for k, v in wanted.saturations.items() if v} == {
        k: v for k, v in found.saturations.items() if v
    }
    assert events is not None
    by_node = sum(events.node_counts.values(), np.zeros(len(events.kinds)))
    assert by_node == pytest.approx([events.total(kind) for kind in events.kinds])


@each
@pytest.mark.parametrize("name", MAPPERS)
@settings(max_examples=12)
@given(integer_graphs(), st.integers(0, 2**31), st.data())
def test_mapped_backend_equals_interp(
    backend: Backend, name: str, graph: Graph, seed: int, data: st.DataObject
) -> None:
    graph = balance(graph)
    check(backend, graph, MAPPERS[name](graph, seed), data.draw(inputs(graph)))


@each
@pytest.mark.slow
@settings(max_examples=at_length(400))
@given(integer_graphs(), st.integers(0, 2**31), st.booleans(), st.data())
def test_mapped_backend_equals_interp_at_length(
    backend: Backend, graph: Graph, seed: int, copies: bool, data: st.DataObject
) -> None:
    graph = balance(graph)
    check(backend, graph, random_mapping(graph, TARGET, seed, 4, copies), data.draw(inputs(graph)))


@each
@settings(max_examples=25)
@given(integer_graphs(), st.integers(0, 2**31), st.data())
def test_samples_never_meet(backend: Backend, graph: Graph, seed: int, data: st.DataObject) -> None:
    graph = balance(graph)
    program = Program(graph, encode(graph, random_mapping(graph, TARGET, seed), TARGET))
    x = data.draw(inputs(graph))
    forward, _ = backend.run(program, x)
    backward, _ = backend.run(program, x[::-1])
    assert np.array_equal(forward.outputs, backward.outputs[:, ::-1])


@settings(max_examples=25)
@given(integer_graphs(), st.integers(0, 2**31))
def test_images_survive_arrays(graph: Graph, seed: int) -> None:
    graph = balance(graph)
    for image in encode(graph, random_mapping(graph, TARGET, seed), TARGET).images:
        again = from_arrays(to_arrays(image))
        assert (again.units, again.place, again.ports_of) == (image.units, image.place, image.ports_of)
        assert all(np.array_equal(again.tables[name], table) for name, table in image.tables.items())
