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
from neurodeploy.ir.graph import Builder, Graph, Header
from neurodeploy.ir.nodes import Input, Output, Reduce, Sum, Synapse, View
from neurodeploy.ir.trace import Events
from neurodeploy.ir.types import Interval
from neurodeploy.mapping.groups import populations
from neurodeploy.mapping.mapper import map_graph
from neurodeploy.mapping.routes import route
from neurodeploy.mapping.topology import Topology
from neurodeploy.mapping.types import Mapping
from neurodeploy.passes.balance import balance
from neurodeploy.program import Program
from neurodeploy.target import load
from neurodeploy.target_schema import Board
from tests.mappings import assemble, one_core_per_group, pieces_of, random_mapping
from tests.strategies import inputs, integer_graphs
from tests.unit.backends.small import value

TARGET = load("loihi-sim")


def both(graph: Graph, mapping: Mapping, x: np.ndarray) -> tuple[Events, Events]:
    """The book of mapping and values, and that of the simulated cores."""
    _, events = MEMBER.run(Program(graph, encode(graph, mapping, TARGET)), x)
    return booked.booked(graph, mapping, interp.run(graph, x, booked.names(graph)), TARGET), events


def amounts(events: Events, kind: str) -> list[int]:
    """Of each core in all steps of its first sample."""
    found: list[int] = events.core_counts[0, :, :, events.kinds.index(kind)].sum(axis=1).tolist()
    return found


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


@pytest.mark.parametrize("copies", [False, True])
@settings(max_examples=8)
@given(integer_graphs(), st.integers(0, 2**31), st.integers(0, 3))
def test_both_books_follow_packets_that_are_copied(
    copies: bool, graph: Graph, seed: int, chips_x: int
) -> None:
    """On random chips, with a board or without: every link, hop and flow to the unit; the same arrives over fewer."""
    graph, random = balance(graph), np.random.default_rng(seed)
    board = Board(chips_x=chips_x, chips_y=1, source="x") if chips_x else TARGET.board
    apart = TARGET.model_copy(update={"board": board})
    copied = apart.model_copy(update={"chip": apart.chip.model_copy(update={"multicast": True})})
    mapping = random_mapping(graph, TARGET, seed, copies=copies)
    x = random.integers(0, 2, (2, *interp.input_shape(graph)))
    trace = interp.run(graph, x, booked.names(graph))
    _, events = MEMBER.run(Program(graph, encode(graph, mapping, copied)), x)
    found, other = (booked.booked(graph, mapping, trace, target) for target in (copied, apart))
    assert [row for row in booked.disagreements(found, events) if row[0] != "memory_reads"] == []
    for kind in set(found.kinds) - {"packets_out", "message_bits", "hops_x", "hops_y"}:
        assert amounts(found, kind) == amounts(other, kind)
    for kind in ("packets_out", "hops_x", "hops_y"):
        assert np.all(np.array(amounts(found, kind)) <= amounts(other, kind))
    assert {*found.links} == {*other.links}
    assert all((packets <= other.links[link] + 1e-9).all() for link, packets in found.links.items())
    # What reaches each core is the same, whoever shares a packet on the way.
    assert sorted(map(tuple, np.unique(found.flows.ends, axis=0))) == sorted(map(tuple, other.flows.ends))


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
    found, events = both(graph, mapping, x)
    # The mapper's accounting of words is that of whole rows and channels, which cuts at random need not have.
    known = [
        row for row in booked.disagreements(found, events) if cut == "mapper" or row[0] != "memory_reads"
    ]
    assert known == []
    if cut == "mapper":
        alone = sampled.verify(Program(graph, mapping), TARGET, x, cores=range(len(mapping.cores)))
        assert alone.divergence is None


@pytest.mark.parametrize("channels", [1, 2])
def test_a_sum_on_scattered_elements_takes_in_what_they_add_up(channels: int) -> None:
    """A 1x1 convolution to (C, 2, 2) and a sum over C, one core with its (0, 1), (1, 0) and (1, 1), one with (0, 0)."""
    b = Builder(Header("scattered", "integer", 1))
    full = Interval(0, 1, True)
    b.add(Input(name="x"), replace(value("CYX", channels, 2, 2, bits=8), interval=full))
    weight = np.eye(channels, dtype=np.int64)[:, :, None, None]
    b.add(Synapse(name="conv", inputs=("x",), op="conv", weight=weight), value("CYX", channels, 2, 2))
    b.add(Reduce(name="sum", inputs=("conv",), op="sum", axes=(0,)), value("YX", 2, 2))
    b.add(Output(name="out", inputs=("sum",)), value("YX", 2, 2, bits=32))
    graph = balance(b.build())
    conv, summed = (group for group in populations(graph) if not group.on_host)
    pieces = *pieces_of(graph, conv), *pieces_of(graph, summed, np.array([0, 1, 1, 1]))
    mapping = assemble(graph, TARGET, [((0, i, 0), [piece]) for i, piece in enumerate(pieces)])
    found, events = both(graph, mapping, np.ones((1, channels, 2, 2), dtype=np.int64))
    assert list(booked.disagreements(found, events)) == []
    assert amounts(found, "packets_in") == [4 * channels, channels, 3 * channels]
    assert amounts(found, "packets_out") == [4 * channels, 1, 3]
    assert amounts(found, "memory_reads")[1:] == [channels, 3 * channels]


def test_a_value_that_a_view_repeats_is_one_spike_and_a_packet_each_time() -> None:
    b = Builder(Header("repeated", "integer", 1))
    b.add(Input(name="x"), value("C", 2, bits=8))
    b.add(Synapse(name="fc", inputs=("x",), weight=np.eye(2, dtype=np.int64)), value("C", 2))
    b.add(View(name="rows", inputs=("fc",), op="broadcast", args=(3, 2)), value("NC", 3, 2))
    b.add(Output(name="out", inputs=("rows",)), value("NC", 3, 2, bits=32))
    graph = balance(b.build())
    found, events = both(graph, one_core_per_group(graph, TARGET), np.ones((1, 2), dtype=np.int64))
    assert list(booked.disagreements(found, events)) == []
    assert amounts(found, "spikes") == [2]
    assert amounts(found, "packets_out") == [6]


def test_a_value_that_is_read_along_two_channel_axes_arrives_along_both() -> None:
    """A dense layer names its last axis in a message and a convolution its first: two axons of one core."""
    b = Builder(Header("axes", "integer", 1))
    one, shape = np.ones((1, 1), dtype=np.int64), value("CYX", 1, 2, 1)
    b.add(Input(name="x"), value("CYX", 1, 2, 1, bits=8))
    b.add(Synapse(name="v", inputs=("x",), op="conv", weight=one[..., None, None]), shape)
    b.add(Synapse(name="conv", inputs=("v",), op="conv", weight=one[..., None, None]), shape)
    b.add(Synapse(name="dense", inputs=("v",), weight=one), shape)
    b.add(Sum(name="sum", inputs=("conv", "dense"), signs=(1, 1)), shape)
    b.add(Output(name="out", inputs=("sum",)), value("CYX", 1, 2, 1, bits=32))
    graph = balance(b.build())
    found, events = both(graph, one_core_per_group(graph, TARGET), np.ones((1, 1, 2, 1), dtype=np.int64))
    assert list(booked.disagreements(found, events)) == []
    assert amounts(found, "packets_in") == [2, 4]
    assert amounts(found, "packets_out") == [4, 2]
