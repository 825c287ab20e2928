"""Counts of the simulated cores against closed forms from the interpreter's trace, and packets on known places."""

from __future__ import annotations

import numpy as np
import pytest

from neurodeploy.backends.loihi_sim import MEMBER
from neurodeploy.cost import booked
from neurodeploy.cost.counts import count, disagreements, names
from neurodeploy.image import encode
from neurodeploy.ir import interp
from neurodeploy.ir.graph import Graph
from neurodeploy.ir.neuron_model import NEURONS
from neurodeploy.ir.nodes import Neuron
from neurodeploy.ir.trace import HOST, Events, Link, Router, Trace
from neurodeploy.mapping.groups import populations
from neurodeploy.mapping.mapper import map_graph
from neurodeploy.mapping.routes import route
from neurodeploy.mapping.topology import Topology
from neurodeploy.mapping.types import Mapping
from neurodeploy.passes.balance import balance, depths
from neurodeploy.program import Program
from neurodeploy.target import Target, load
from tests.fast import fast
from tests.mappings import assemble, one_core_per_group, pieces_of, random_mapping
from tests.unit.backends.small import attention, ones
from tests.unit.image.test_encoder import NETWORKS, apart

TARGET = load("loihi-sim")
NODES = ("x", "q_fc", "q", "k_fc", "k", "qk", "scaled", "late", "columns", "rows", "total")


def run(mapping: Mapping | None = None, graph: Graph | None = None) -> tuple[Graph, Mapping, Trace, Events]:
    graph = balance(attention()) if graph is None else graph
    mapping = encode(graph, mapping or one_core_per_group(graph, TARGET), TARGET)
    wanted = interp.run(graph, ones(), [n.name for n in graph])
    return graph, mapping, wanted, MEMBER.run(Program(graph, mapping), ones())[1]


def node_count(events: Events, node: str, kind: str) -> float:
    return float(events.node_counts[node][events.kinds.index(kind)])


def samples_mean(array: np.ndarray) -> float:
    return float(array.sum()) / array.shape[1]


def test_synaptic_operations_are_active_inputs_times_stored_weights() -> None:
    graph, _, trace, events = run()
    for node in ("q_fc", "k_fc"):
        met = (trace.values["x"] != 0).astype(int) @ (graph.nodes[node].weight != 0).T.astype(int)
        assert node_count(events, node, "synaptic_ops") == samples_mean(met)


def test_product_operations_are_pairs_of_active_operands() -> None:
    _, _, trace, events = run()
    a, b = trace.values["q"], trace.values["k"]
    s_a, s_b = np.cumsum(a, axis=0) - a, np.cumsum(b, axis=0)
    pairs = np.einsum("tznd,tzmd->tznm", (a != 0) * 1, (s_b != 0) * 1)
    pairs += np.einsum("tznd,tzmd->tznm", (s_a != 0) * 1, (b != 0) * 1)
    assert node_count(events, "qk", "product_ops") == samples_mean(pairs)


def test_neurons_are_updated_once_per_tick_and_spikes_are_not_zero() -> None:
    graph, _, trace, events = run()
    for node in graph.of(Neuron):
        size = graph.values[node.name].shape.size
        updates, model = size * graph.header.timesteps, NEURONS[node.model]
        assert node_count(events, node.name, "neuron_updates") == updates
        assert node_count(events, node.name, "stock_updates") == model.stock * updates
        operations = 0 if model.stock else model.operations(node.params)
        assert node_count(events, node.name, "program_ops") == updates * operations
        assert node_count(events, node.name, "spikes") == samples_mean(trace.values[node.name] != 0)
    # Other populations speak where a value leaves their core.
    for name in ("scaled", "late", "total"):
        assert node_count(events, name, "spikes") == samples_mean(trace.values[name] != 0)


def test_microcode_and_state_follow_their_definitions() -> None:
    graph, _, trace, events = run()
    ticks, size = graph.header.timesteps, 9
    arrivals = samples_mean(trace.values["q"] != 0) + samples_mean(trace.values["k"] != 0)
    assert node_count(events, "scaled", "microcode_ops") == 5 * size * ticks
    assert node_count(events, "total", "microcode_ops") == size * ticks
    assert node_count(events, "columns", "microcode_ops") == samples_mean(trace.values["scaled"] != 0)
    assert node_count(events, "rows", "microcode_ops") == 3 * (4 - 1) * ticks
    assert node_count(events, "qk", "microcode_ops") == arrivals + 4 * size * ticks
    assert node_count(events, "qk", "state_accesses") == arrivals + size * ticks
    # Running sums of both operands, P and Y in one word; 12 neurons of two 24-bit states; a line is never emptied.
    assert [node_count(events, n, "reset_words") for n in ("qk", "q", "late")] == [2 * 12 + size, 12, 0]
    assert node_count(events, "late", "state_accesses") == 12 * ticks  # a line of one word per element


def test_packets_are_one_per_spike_and_destination() -> None:
    _, _, trace, events = run()
    spoken = {n: samples_mean(trace.values[n] != 0) for n in NODES}
    assert node_count(events, "q", "packets_out") == 2 * spoken["q"]  # to the product and to the delay
    assert node_count(events, "k", "packets_out") == spoken["k"]
    assert node_count(events, "total", "packets_out") == spoken["total"]  # to the host
    assert node_count(events, "qk", "packets_in") == spoken["q"] + spoken["k"]
    # Every packet is received once, but those to the host; the host's own are sent by no core.
    received, sent = events.total("packets_in"), events.total("packets_out")
    assert received - 2 * spoken["x"] == sent - spoken["total"]


def test_work_happens_at_the_step_of_its_tick() -> None:
    graph, mapping, trace, events = run()
    assert events.steps == graph.header.timesteps + mapping.depth
    core = next(c.index for c in mapping.cores if "qk" in c.pieces[0].elements)
    depth = depths(graph)["qk"]
    kind = events.kinds.index("product_ops")
    busy = np.flatnonzero(events.core_counts[0, core, :, kind]) + 1
    assert busy.min() >= depth + 1 and busy.max() <= depth + graph.header.timesteps
    sent = events.core_counts[:, core, :, events.kinds.index("packets_out")]
    shifted = np.stack([(trace.values["scaled"][t] != 0).sum(axis=(1, 2)) for t in range(4)], axis=1)
    assert np.array_equal(sent[:, depth : depth + 4], shifted)


PLACES = {"q_fc": (0, 0, 0), "k_fc": (0, 3, 1), "qk": (0, 5, 3), "late": (0, 0, 2), "total": (1, 2, 1)}


def placed() -> Mapping:
    """Groups at known routers, the last one on another chip."""
    graph = balance(attention())
    groups = [g for g in populations(graph) if not g.on_host]
    place = lambda g: next((PLACES[n] for n in PLACES if n in g.names), (0, 7, 3))
    return assemble(graph, TARGET, [(place(g), pieces_of(graph, g)) for g in groups])


def test_hops_follow_x_then_y() -> None:
    _, _, trace, events = run(placed())
    q, k = (samples_mean(trace.values[n] != 0) for n in "qk")
    assert node_count(events, "q", "hops_x") == q * (5 + 0)  # (0,0) -> (5,3) and (0,0) -> (0,2)
    assert node_count(events, "q", "hops_y") == q * (3 + 2)
    assert node_count(events, "k", "hops_x") == k * 2
    assert node_count(events, "k", "hops_y") == k * 2
    total = samples_mean(trace.values["total"] != 0)
    assert node_count(events, "total", "hops_x") == total * 2  # out of chip 1 through its router (0, 0)
    assert node_count(events, "total", "hops_y") == total * 1


def test_links_carry_what_passes_them() -> None:
    _, _, trace, events = run(placed())
    k = (trace.values["k"] != 0).sum(axis=(2, 3))
    between = events.links[
        Link(Router(0, 3, 1), Router(0, 4, 1))
    ]  # k's way; nothing else starts east of it in this row
    assert between.sum() == pytest.approx(k.sum() / k.shape[1])
    assert events.link_peak[Link(Router(0, 3, 1), Router(0, 4, 1))] == k.max()
    spikes = samples_mean(trace.values["columns"] != 0) + samples_mean(trace.values["late"] != 0)
    assert events.links[Link(Router(0, 7, 1), Router(1, 0, 1))].sum() == pytest.approx(spikes)
    out = trace.values["total"] != 0
    assert events.links[Link(Router(1, 0, 0), HOST)].sum() == pytest.approx(samples_mean(out))
    assert events.links[Link(HOST, Router(0, 0, 0))].sum() == pytest.approx(
        2 * samples_mean(trace.values["x"] != 0)
    )


@pytest.mark.parametrize("seed", range(6))
def test_counts_do_not_depend_on_the_cut(seed: int) -> None:
    graph = balance(attention(seed))
    mapping = encode(graph, random_mapping(graph, TARGET, seed), TARGET)
    trace = interp.run(graph, ones(), {*names(graph), *booked.names(graph)})
    events = MEMBER.run(Program(graph, mapping), ones())[1]
    assert disagreements(graph, count(graph, trace), events) == []
    found = booked.booked(graph, mapping, trace, TARGET)
    assert list(booked.disagreements(found, events)) == [] and events.total("memory_reads") > 0


CHIPS = {"loihi-sim": load("loihi-sim"), "loihi1": load("loihi1"), "lists": apart("loihi1")}


@pytest.mark.parametrize("chip", CHIPS.values(), ids=CHIPS)
@pytest.mark.parametrize("name", fast(["convolutions", "spiking"], "spiking"))
def test_words_read_are_those_of_the_rows_that_messages_meet(name: str, chip: Target) -> None:
    graph = balance(NETWORKS[name]())
    mapping = encode(graph, map_graph(graph, chip), chip)
    x = np.random.default_rng(0).integers(0, 2, (2, *graph.shape(graph.input.name)))
    trace = interp.run(graph, x, booked.names(graph))
    events = MEMBER.run(Program(graph, mapping), x)[1]
    assert list(booked.disagreements(booked.booked(graph, mapping, trace, chip), events)) == []


def test_samples_are_counted_apart() -> None:
    graph, mapping, _, both = run()
    for sample in range(2):
        alone = MEMBER.run(Program(graph, mapping), ones()[sample : sample + 1])[1]
        assert np.array_equal(alone.core_counts[0], both.core_counts[sample])


def test_flows_are_the_packets_of_cores_and_links() -> None:
    """Whom a core sends to, step by step, is what it sends in all, and what the links on the way carry."""
    _, mapping, _, events = run(placed())
    flows, column = events.flows, events.kinds.index("packets_out")
    sent = np.zeros(events.core_counts.shape[1:3])
    links: dict[Link, np.ndarray] = {}
    for ends, packets in zip(flows.ends.tolist(), flows.packets, strict=True):
        if ends[0] >= 0:
            sent[ends[0]] += packets
        a, b = (mapping.cores[end] if end >= 0 else None for end in ends)
        for link in route(a, b, Topology.of(TARGET)):
            links[link] = links.get(link, 0) + packets
    assert np.array_equal(sent, events.core_counts.mean(axis=0)[..., column])
    assert set(links) == set(events.links)
    assert all(np.allclose(load, events.links[link]) for link, load in links.items())
    assert {tuple(ends) for ends in flows.ends.tolist()} & {(-1, 0), (0, -1)}


def test_spans_say_in_which_order_a_core_sends() -> None:
    """One core makes q, then k: the delay line wants q alone, the product both, three tokens of four channels each."""
    graph = balance(attention())
    pieces = {g.names[0]: pieces_of(graph, g) for g in populations(graph) if not g.on_host}
    (q,), (k,) = ([n for n, p in pieces.items() if name in p[0].elements] for name in "qk")
    both = {q: (*pieces[q], *pieces[k])} | {n: p for n, p in pieces.items() if n not in (q, k)}
    _, mapping, _, events = run(
        assemble(graph, TARGET, [((0, i, 0), p) for i, p in enumerate(both.values())])
    )
    holder = {n: i for i, core in enumerate(mapping.cores) for p in core.pieces for n in p.elements}
    flows = events.flows
    spans = {
        tuple(ends): tuple(span) for ends, span in zip(flows.ends.tolist(), flows.spans.tolist(), strict=True)
    }
    assert holder["q"] == holder["k"]
    assert spans[holder["q"], holder["late"]] == (0, 11)
    assert spans[holder["q"], holder["qk"]] == (0, 23)
