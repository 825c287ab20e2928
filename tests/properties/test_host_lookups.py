"""Tables that the host looks up: every backend computes the same, and every account of what travels agrees."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from neurodeploy import sampled
from neurodeploy.backends.loihi_sim import MEMBER
from neurodeploy.cost import booked, counts, received
from neurodeploy.cost.links import packets
from neurodeploy.image import encode
from neurodeploy.ir import interp, levels
from neurodeploy.ir.graph import Graph
from neurodeploy.ir.nodes import Input, Sum, Synapse
from neurodeploy.ir.trace import EVENT_KINDS
from neurodeploy.ir.types import BINARY, Fixed, Interval
from neurodeploy.mapping import mapper
from neurodeploy.mapping.expected import per_tick
from neurodeploy.mapping.hosting import hosted, tables
from neurodeploy.mapping.plan import Plan
from neurodeploy.mapping.written import written
from neurodeploy.passes.balance import balance, host
from neurodeploy.program import Program
from neurodeploy.target import load
from tests.fast import at_length
from tests.mappings import random_mapping
from tests.properties import test_activity as activity
from tests.properties import test_mapped_backends as backends
from tests.properties import test_tokens_in_turn as turns
from tests.strategies import Sketch, integer_graphs, neuron
from tests.unit.mapping.test_given import content, said

TARGET = load("loihi-sim")


def looked_up(s: Sketch) -> str:
    """Rows of a table by one-hot ids, those of another or a neuron behind it, as a network of texts begins."""
    shape = (s.integers(1, 4), s.integers(1, 7))
    node = Input(name="input", per_tick=s.timed)
    facts = {"interval": Interval(0, 1, True), "fixed": Fixed(2, True, 1.0), "code": BINARY}
    x = s.put(node, shape, ("N", "K"), **facts)
    notes = {"tokens": {"length": shape[0], "vocabulary": shape[1]}}
    s.builder.header = replace(s.header, notes=notes)
    width = s.integers(1, 6)
    found = [table(s, x, width) for _ in range(s.integers(1, 2))]
    stream = found[0]
    if len(found) > 1:
        stream = s.put(Sum(name="both", inputs=tuple(found), signs=(1, 1)), (shape[0], width), ("N", "C"))
    return neuron(s, stream) if s.integers(0, 2) == 0 else stream


def table(s: Sketch, x: str, width: int) -> str:
    weight = s.array((width, s.shape(x)[-1]), -127, 127)
    bias = s.choice(None, s.array((width,), -(1 << 9), 1 << 9))
    node = Synapse(name="table", inputs=(x,), weight=weight, bias=bias)
    return s.put(node, (s.shape(x)[0], width), ("N", "C"))


@st.composite
def texts(draw: st.DrawFn, graph: Graph) -> np.ndarray:
    """Raw inputs of a few samples: an id for each token, or for some of them none."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = (draw(st.integers(1, 3)), *interp.input_shape(graph))
    ids = rng.integers(-1 if draw(st.booleans()) else 0, shape[-1], shape[:-1])
    return (ids[..., None] == np.arange(shape[-1])).astype(np.int64)


def rows_of(node: Synapse, x: np.ndarray, per_tick: bool, ticks: int) -> np.ndarray:
    """What is looked up, (T, B, tokens, channels), by nothing but indices."""
    none = np.zeros((1, len(node.weight)), dtype=np.int64)
    rows = np.concatenate([node.weight.T, none]) + (0 if node.bias is None else node.bias)
    ids = np.where(x.any(axis=-1), x.argmax(axis=-1), -1)
    return np.moveaxis(rows[ids], 1, 0) if per_tick else np.repeat(rows[ids][None], ticks, axis=0)


LOOKUPS = integer_graphs(first=looked_up, max_moves=3)


def on_host(graph: Graph) -> Graph:
    """With every table on the host; the interpreter sees no difference."""
    made = balance(hosted(graph, tables(graph)))
    assert levels.verify(made, "integer") == []
    assert {n.name for n in made.of(Synapse) if n.hosted} == {*tables(graph)} <= host(made)
    return made


def check(graph: Graph, cut: str, seed: int, x: np.ndarray) -> None:
    """loihi-sim equals the interpreter, which equals plain indices; all books agree."""
    names = tables(graph)
    before = interp.run(graph, x, names)
    graph = on_host(graph)
    mapping = (
        mapper.map_graph(graph, TARGET)
        if cut == "mapper"
        else random_mapping(graph, TARGET, seed, copies=cut != "random")
    )
    backends.check(MEMBER, graph, mapping, x)
    mapping = encode(graph, mapping, TARGET)
    wanted = [*names, *booked.names(graph), *counts.names(graph), *received.names(graph)]
    trace, (_, events) = interp.run(graph, x, wanted), MEMBER.run(Program(graph, mapping), x)
    assert np.array_equal(trace.outputs, before.outputs)
    for node in (n for n in graph.of(Synapse) if n.hosted):
        assert np.array_equal(
            trace.values[node.name], rows_of(node, x, graph.input.per_tick, len(trace.outputs))
        )
    rows = booked.disagreements(booked.booked(graph, mapping, trace, TARGET), events)
    assert [row for row in rows if cut == "mapper" or row[0] != "memory_reads"] == []
    counted = counts.count(graph, trace)
    assert cut == "with copies" or counts.disagreements(graph, counted, events) == []
    assert all(counted.nodes[name].synaptic_ops == 0 for name in names)
    if cut == "mapper":
        assert received.disagreements(received.received(graph, mapping, trace, TARGET), events) == []
        alone = Program(graph, replace(mapping, images=()))
        assert sampled.verify(alone, TARGET, x, cores=range(len(mapping.cores))).divergence is None


CUTS = st.sampled_from(["mapper", "random", "with copies"])


@settings(max_examples=10)
@given(LOOKUPS, CUTS, st.integers(0, 2**31), st.data())
def test_a_lookup_of_the_host_is_computed_and_counted_alike_by_all(
    graph: Graph, cut: str, seed: int, data: st.DataObject
) -> None:
    check(graph, cut, seed, data.draw(texts(graph)))


@pytest.mark.slow
@settings(max_examples=at_length(300))
@given(LOOKUPS, CUTS, st.integers(0, 2**31), st.data())
def test_a_lookup_of_the_host_is_computed_and_counted_alike_by_all_at_length(
    graph: Graph, cut: str, seed: int, data: st.DataObject
) -> None:
    check(graph, cut, seed, data.draw(texts(graph)))


@settings(max_examples=6)
@given(LOOKUPS, st.data())
def test_what_the_host_sends_is_expected_as_it_is_counted(graph: Graph, data: st.DataObject) -> None:
    """On the samples that calibration saw, tile by tile and at the port of the host."""
    graph, x = balance(hosted(graph, tables(graph))), data.draw(texts(graph))
    graph = activity.measured(graph, x)
    plans: list[Plan] = []
    with pytest.MonkeyPatch.context() as patch:
        choose = mapper.cheapest
        patch.setattr(mapper, "cheapest", lambda *args: plans.append(choose(*args)) or plans[0])
        mapping = mapper.map_graph(graph, TARGET, optimise="energy")
    (plan,) = plans
    assert plan.cores == len(
        mapping.cores
    )  # no two tiles share a core, where what they send each other is no packet
    _, events = MEMBER.run(Program(graph, encode(graph, mapping, TARGET)), x)
    every = [per_tick(t.accounting, tile) for t in plan.tilings.values() for tile in t.tiles]
    column = EVENT_KINDS.index("packets_in")
    ticks = graph.header.timesteps
    expected = ticks * float(np.sum(every, axis=0)[column])
    assert expected == pytest.approx(events.total("packets_in"), rel=1e-5, abs=1e-4)
    ends = (plan.flows.source < 0) | (plan.flows.target < 0)
    sent = ticks * float(plan.flows.messages[ends].sum())
    assert sent == pytest.approx(float(packets(events, "host").sum()), rel=1e-5, abs=1e-4)


@settings(max_examples=4)
@given(LOOKUPS, st.data())
def test_what_is_written_replays(
    tmp_path_factory: pytest.TempPathFactory, graph: Graph, data: st.DataObject
) -> None:
    graph = on_host(graph)
    first = mapper.map_graph(graph, TARGET, optimise="latency")
    given_ = said(tmp_path_factory.mktemp("again"), text := written(first, TARGET))
    assert all(given_.rules[name].layout == "host" for name in first.notes["hosted"])
    rules = {name: rule for name, rule in given_.rules.items() if rule.layout != "host"}
    again = mapper.map_graph(graph, TARGET, given=replace(given_, rules=rules))
    assert content(graph, again, TARGET) == content(graph, first, TARGET)
    assert written(again, TARGET) == text


@settings(max_examples=4, suppress_health_check=[HealthCheck.filter_too_much])
@given(turns.networks(), turns.COPIES, st.integers(0, 2**31), st.booleans(), st.data())
def test_the_host_looks_up_for_tokens_in_turn(
    graph: Graph, copies: list[int], seed: int, mapper: bool, data: st.DataObject
) -> None:
    if "embed" in graph.nodes:  # any dense layer behind the input is as good
        graph = hosted(graph, ("embed",))
    turns.check(turns.streamed(graph, copies), seed, data.draw(turns.inputs(graph)), mapper)
