"""Two accounts of what cores do, and a core alone: the same on any graph, however it is cut."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurodeploy import sampled
from neurodeploy.backends.loihi_sim import MEMBER
from neurodeploy.cost import booked
from neurodeploy.image import encode
from neurodeploy.ir import interp
from neurodeploy.ir.graph import Graph
from neurodeploy.mapping.mapper import map_graph
from neurodeploy.passes.balance import balance
from neurodeploy.program import Program
from neurodeploy.target import load
from tests.mappings import random_mapping
from tests.strategies import inputs, integer_graphs

TARGET = load("loihi-sim")


@pytest.mark.parametrize("cut", ["mapper", "random", "with copies"])
@settings(max_examples=6)
@given(integer_graphs(), st.integers(0, 2**31), st.data())
def test_mapping_and_values_say_what_cores_count(
    cut: str, graph: Graph, seed: int, data: st.DataObject
) -> None:
    graph = balance(graph)
    mapping = (
        map_graph(graph, TARGET)
        if cut == "mapper"
        else random_mapping(graph, TARGET, seed, copies=cut != "random")
    )
    x = data.draw(inputs(graph))
    _, events = MEMBER.run(Program(graph, encode(graph, mapping, TARGET)), x)
    found = booked.booked(graph, mapping, interp.run(graph, x, booked.names(graph)), TARGET)
    # The mapper's accounting of words is that of whole rows and channels, which cuts at random need not have.
    known = [
        row for row in booked.disagreements(found, events) if cut == "mapper" or row[0] != "memory_reads"
    ]
    assert known == []
    if cut == "mapper":
        alone = sampled.verify(Program(graph, mapping), TARGET, x, cores=range(len(mapping.cores)))
        assert alone.divergence is None
