"""Two accounts of what cores do, and a core alone: the same on any graph, however it is cut."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurodeploy import sampled
from neurodeploy.backends.loihi_sim import MEMBER
from neurodeploy.cost import booked
from neurodeploy.cost.links import packets
from neurodeploy.image import encode
from neurodeploy.ir import interp
from neurodeploy.ir.graph import Graph
from neurodeploy.mapping.mapper import map_graph
from neurodeploy.mapping.routes import route
from neurodeploy.mapping.topology import Topology
from neurodeploy.passes.balance import balance
from neurodeploy.program import Program
from neurodeploy.target import load
from neurodeploy.target_schema import Board
from tests.mappings import random_mapping
from tests.strategies import inputs, integer_graphs

TARGET = load("loihi-sim")


@settings(max_examples=6)
@given(integer_graphs(), st.integers(0, 2**31), st.integers(1, 3), st.integers(0, 2))
def test_both_books_follow_messages_over_a_board(graph: Graph, seed: int, chips_x: int, chips_y: int) -> None:
    """Cores on random chips: every link, every crossing and the hops between ports, to the unit."""
    graph, random = balance(graph), np.random.default_rng(seed)
    target = TARGET.model_copy(update={"board": Board(chips_x=chips_x, chips_y=chips_y, source="x")})
    mapping = map_graph(graph, target)
    cores = tuple(
        replace(core, chip=int(random.integers(9)), x=int(random.integers(8)), y=int(random.integers(4)))
        for core in mapping.cores
    )
    mapping = replace(mapping, cores=cores)
    x = random.integers(0, 2, (2, *interp.input_shape(graph)))
    _, events = MEMBER.run(Program(graph, encode(graph, mapping, target)), x)
    found = booked.booked(graph, mapping, interp.run(graph, x, booked.names(graph)), target)
    assert list(booked.disagreements(found, events)) == []
    crossings = packets(events, "chip").sum()
    apart = 0.0
    for ends, amount in zip(events.flows.ends.tolist(), events.flows.packets, strict=True):
        a, b = (cores[end] if end >= 0 else None for end in ends)
        apart += float(amount.sum()) * sum(link.kind == "chip" for link in route(a, b, Topology.of(target)))
    assert crossings == pytest.approx(apart)


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
