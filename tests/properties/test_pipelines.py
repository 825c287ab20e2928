"""Samples that overlap on the same cores, a period apart, are read out as if each ran alone, and add up their work."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from neurodeploy.backends.loihi_sim.machine import Machine
from neurodeploy.cost.counts import count, disagreements, names
from neurodeploy.image import encode
from neurodeploy.ir import interp
from neurodeploy.ir.graph import Graph
from neurodeploy.passes.balance import balance, period
from neurodeploy.target import load
from tests.mappings import one_core_per_group, random_mapping
from tests.strategies import inputs, integer_graphs

TARGET = load("loihi-sim")


@settings(max_examples=40)
@given(integer_graphs(), st.integers(0, 2**31), st.data())
def test_overlapped_samples_equal_samples_alone(graph: Graph, seed: int, data: st.DataObject) -> None:
    graph = balance(graph)
    machine = Machine(encode(graph, random_mapping(graph, TARGET, seed), TARGET).images)
    x = np.concatenate([data.draw(inputs(graph)), data.draw(inputs(graph))])
    every, apart = [node.name for node in graph], period(graph)
    wanted, alone = machine.run(x, every)
    found, events = machine.run(x, every, apart)
    assert np.array_equal(found.outputs, wanted.outputs)
    assert [n for n in every if not np.array_equal(found.values[n], wanted.values[n])] == []
    assert found.saturations == wanted.saturations
    (together,), shifted = events.core_counts, np.zeros_like(events.core_counts[0])
    for sample, counts in enumerate(alone.core_counts):
        shifted[:, sample * apart : sample * apart + alone.steps] += counts
    if graph.delayed:  # what arrives after the last step counts with that step, if the sample runs alone
        together, shifted = together.sum(axis=1), shifted.sum(axis=1)
    assert np.array_equal(together, shifted)


@settings(max_examples=30)
@given(integer_graphs(), st.data())
def test_both_books_count_the_same_events_of_any_network(graph: Graph, data: st.DataObject) -> None:
    graph = balance(graph)
    x = data.draw(inputs(graph))
    _, events = Machine(encode(graph, one_core_per_group(graph, TARGET), TARGET).images).run(x)
    counts = count(graph, interp.run(graph, x, names(graph)))
    assert disagreements(graph, counts, events) == []
    assert counts.total("reset_words") == events.total("reset_words")
