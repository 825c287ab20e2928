"""Delays in synapse memory, recurrence between cores, frames and resets: what the images say is what arrives when."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from neurodeploy import cost
from neurodeploy.backends.cpu import MEMBER as CPU
from neurodeploy.backends.loihi_sim import MEMBER
from neurodeploy.cost import booked
from neurodeploy.errors import MappingError
from neurodeploy.image import encode
from neurodeploy.ir import interp
from neurodeploy.ir.graph import Graph
from neurodeploy.ir.nodes import Neuron, Sum, Synapse
from neurodeploy.mapping.demand import delay_bits, dense_row, longest_wait
from neurodeploy.mapping.mapper import map_graph
from neurodeploy.passes.balance import balance
from neurodeploy.program import Program
from neurodeploy.target import load
from tests.mappings import one_core_per_group
from tests.tiny import chain
from tests.unit.backends.small import find, flip

TARGET = load("loihi-sim")
RNG = np.random.default_rng(3)
TICKS = 9


def network() -> Graph:
    """Frames -> dense with a delay for each connection + the population's own spikes -> LIF that forgets -> dense."""
    delays = RNG.integers(1, 8, (6, 5))
    late = Synapse(name="late", inputs=("x",), weight=RNG.integers(-90, 120, (6, 5)), delay=delays)
    own = Synapse(name="own", inputs=("n",), weight=RNG.integers(-60, 60, (6, 6)), delay=1)
    total = Sum(name="sum", inputs=("late", "own"))
    lif = {"du": 2047, "dv": 1024, "vth": 150}
    neuron = Neuron(name="n", inputs=("sum",), model="lif", params=lif, reset=(4, 2))
    last = Synapse(name="last", inputs=("n",), weight=RNG.integers(-90, 90, (3, 6)), delay=1)
    parts = ((late, (6,)), (own, (6,)), (total, (6,)), (neuron, (6,)), (last, (3,)))
    graph = chain((5,), *parts, ticks=TICKS, reach=(0, 3))
    return Graph({**graph.nodes, "x": replace(graph.input, per_tick=True)}, graph.values, graph.header)


def frames(samples: int = 4) -> np.ndarray:
    return RNG.integers(0, 4, (samples, TICKS, 5))


@pytest.mark.parametrize("kind", ["one core per group", "mapper"])
def test_every_value_at_every_tick_and_both_account_books_agree(kind: str) -> None:
    graph, x = balance(network()), frames()
    mapping = one_core_per_group(graph, TARGET) if kind != "mapper" else map_graph(graph, TARGET)
    program = Program(graph, encode(graph, mapping, TARGET))
    names = list(graph.nodes)
    wanted = interp.run(graph, x, names)
    found, events = MEMBER.run(program, x, names)
    fast, _ = CPU.run(program, x, names)
    for name in names:
        assert np.array_equal(found.values[name], wanted.values[name]), name
        assert np.array_equal(fast.values[name], wanted.values[name]), name
    assert wanted.values["n"].any()
    assert cost.disagreements(graph, cost.count(graph, wanted), events) == []
    assert list(booked.disagreements(booked.booked(graph, mapping, wanted, TARGET), events)) == []
    resets = events.node_counts["n"][events.kinds.index("reset_words")]
    assert resets == 6 * sum(t == 1 or graph.nodes["n"].resets(t) for t in range(1, TICKS + 1)) == 6 * 3
    assert mapping.depth == 0  # a delay of a tick hides the step that a connection takes


def test_delays_are_stored_with_their_weights_and_counted() -> None:
    graph = balance(network())
    mapping = encode(graph, one_core_per_group(graph, TARGET), TARGET)
    steps = longest_wait(graph, graph.nodes["late"])
    assert steps == graph.nodes["late"].delays[-1] - 1
    assert delay_bits(steps, TARGET) == 6
    image = mapping.images[find(mapping, "n")[0]]
    row = dense_row(6, 8 + 6, TARGET) * 5 + dense_row(6, 8, TARGET) * 6
    assert len(image.tables["synapses"]) == row
    (piece,) = [p for core in map_graph(graph, TARGET).cores for p in core.pieces if p.group == "late"]
    assert piece.demand.synapse_words == row
    assert piece.demand.neuron_words == 6 * -(-(48 + 24 * steps) // 64)


def test_a_flipped_delay_bit_shows() -> None:
    graph, x = balance(network()), frames()
    mapping = encode(graph, one_core_per_group(graph, TARGET), TARGET)
    number, item = find(mapping, "late")
    image = mapping.images[number]
    (link,) = np.flatnonzero(image.tables["connections"][:, 0] == item.ports[0])
    _, _, _, header, index_bits, _, first, _, _, bits = image.tables["connections"][link].tolist()
    assert bits == 6
    word = int(image.tables["rows"][first + 2, 0])
    faulty = flip(mapping, number, "synapses", word + (header + index_bits) // 64, (header + index_bits) % 64)
    late: Any = graph.nodes["late"]
    moved = late.delay.copy()
    moved[0, 2] = ((moved[0, 2] - 1) ^ 1) + 1
    other = replace(graph, nodes={**graph.nodes, "late": replace(late, delay=moved)})
    names = ["late", "n"]
    found, wanted = MEMBER.run(Program(graph, faulty), x, names)[0], interp.run(other, x, names)
    assert all(np.array_equal(found.values[n], wanted.values[n]) for n in names)
    assert not np.array_equal(found.values["late"], interp.run(graph, x, names).values["late"])


def test_a_loop_that_is_too_fast_is_refused_by_the_mapper_and_the_encoder() -> None:
    one = np.ones((1, 1), dtype=np.int64)
    back = Synapse(name="back", inputs=("n",), weight=one, delay=1)
    forth = Synapse(name="forth", inputs=("sum",), weight=one)
    neuron = Neuron(name="n", inputs=("forth",), model="lif", params={"du": 4095, "dv": 0, "vth": 1})
    total = Sum(name="sum", inputs=("x", "back"))
    graph = balance(chain((1,), (back, (1,)), (total, (1,)), (forth, (1,)), (neuron, (1,)), ticks=3))
    mapping = map_graph(graph, TARGET)
    assert [p.code for p in mapping.problems if p.severity == "error"] == ["ND515"]
    with pytest.raises(MappingError) as refused:
        encode(graph, one_core_per_group(graph, TARGET), TARGET)
    assert [p.code for p in refused.value.problems] == ["ND515"]


def test_a_delay_longer_than_the_target_allows_is_refused() -> None:
    far = Synapse(name="far", inputs=("x",), weight=np.ones((1, 1), dtype=np.int64), delay=64)
    mapping = map_graph(balance(chain((1,), (far, (1,)), ticks=2)), TARGET)
    assert [p.code for p in mapping.problems if p.severity == "error"] == ["ND508"]
