"""Two accounts of the same run agree: what simulated cores count, and what the graph and its values imply."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from neurodeploy import calibrate, cost, report
from neurodeploy.backends._base import BACKENDS
from neurodeploy.backends.loihi_sim.pipeline import pipelined
from neurodeploy.convert._base import METHODS
from neurodeploy.cost import booked
from neurodeploy.image import encode
from neurodeploy.ir.graph import Graph
from neurodeploy.ir.nodes import Neuron
from neurodeploy.ir.trace import HOST, Events
from neurodeploy.mapping.grades import grades
from neurodeploy.mapping.mapper import map_graph
from neurodeploy.passes.balance import balance, period
from neurodeploy.program import Program
from neurodeploy.quantize import quantize
from neurodeploy.report.inputs import ModelInfo, ReportInputs
from neurodeploy.target import load
from tests.networks import images, mini_snn, mini_vit

SOURCES: dict[str, Callable[..., Graph]] = {"ecmt": mini_vit, "native": mini_snn}


@pytest.fixture(scope="module", params=[("ecmt", 0), ("ecmt", 1), ("native", 0), ("native", 1)], ids=str)
def built(request: pytest.FixtureRequest) -> tuple:
    """A small network through every stage: (source, program, events, counts of the values, target, values)."""
    method, seed = request.param
    source, target = SOURCES[method](seed=seed), load("loihi-sim")
    x = images(source, 24, seed)
    member = METHODS[method]
    spiking = member.rewrite(source, member.configure({})[1], x, 4)
    graph = balance(quantize(spiking, calibrate.measure(spiking, x, 0)), target.limits.delay_steps.value)
    mapping = encode(graph, map_graph(graph, target), target)
    program = Program(graph, mapping)
    _, events = BACKENDS["loihi-sim"].run(program, x[:6])
    trace, _ = BACKENDS["cpu"].run(program, x[:6], {*cost.names_to_record(graph), *booked.names(graph)})
    return source, program, events, cost.count(graph, trace), target, trace


def test_cores_and_values_count_the_same_operations(built: tuple) -> None:
    _, program, events, counts, *_ = built
    assert not cost.disagreements(program.graph, counts, events)
    for kind in ("synaptic_ops", "product_ops", "neuron_updates", "stock_updates", "program_ops"):
        assert counts.total(kind) == pytest.approx(events.total(kind))
    neurons = {node.name for node in program.graph.of(Neuron)}
    given = sum(row.spikes if name in neurons else row.messages for name, row in counts.nodes.items())
    host = counts.nodes[program.graph.input.name].messages
    assert given - host == pytest.approx(events.total("spikes")) and host > 0


def test_cores_and_values_agree_on_what_is_read_and_sent(built: tuple) -> None:
    _, program, events, _, target, trace = built
    found = booked.booked(program.graph, program.mapping, trace, target)
    assert list(booked.disagreements(found, events)) == []
    assert found.total("memory_reads") != 0 and found.link_peak == events.link_peak

    def flows(of: Events) -> dict[tuple, tuple]:
        rows = zip(of.flows.ends.tolist(), of.flows.packets.tolist(), of.flows.spans.tolist(), strict=True)
        return {tuple(ends): (packets, spans) for ends, packets, spans in rows}

    assert flows(found) == flows(events)
    ours, theirs = (cost.estimate(program, book, target) for book in (found, events))
    for part in ("energy_pj", "pipelined_pj"):
        assert vars(getattr(ours, part)) == pytest.approx(vars(getattr(theirs, part)))
    assert vars(ours.timing.latency_ns) == pytest.approx(vars(theirs.timing.latency_ns))
    assert ours.contended.latency_ns == pytest.approx(theirs.contended.latency_ns)


def test_cores_and_values_agree_on_the_width_of_messages(built: tuple) -> None:
    _, program, events, _, target, _ = built
    (shown,) = program.graph.output.inputs
    width = target.chip.packet_header_bits + program.graph.values[shown].fixed.bits
    for link, packets in events.links.items():
        if link.end == HOST:  # the read-out alone goes there
            assert events.link_bits[link] == pytest.approx(packets * width)


def test_overlapped_inferences_equal_single_ones(built: tuple) -> None:
    source, program, *_ = built
    x, apart = images(source, 3, 1), period(program.graph)
    found = pipelined(program.mapping.images, x, apart)
    assert np.array_equal(found.outputs, BACKENDS["cpu"].run(program, x)[0].outputs)
    assert apart == program.graph.header.timesteps  # no connection is delayed


def test_every_packet_is_a_copy_of_a_message(built: tuple) -> None:
    _, _, events, counts, *_ = built
    for name, row in events.node_counts.items():
        found = counts.nodes.get(name)
        sent, packets = found.messages if found else 0.0, row[events.kinds.index("packets_out")]
        assert (packets > 0) == (sent > 0) and packets >= sent - 1e-9, name


def test_every_packet_that_is_sent_is_received(built: tuple) -> None:
    _, _, events, *_ = built
    host = [(link, load.sum()) for link, load in events.links.items() if HOST in link]
    into = sum(load for (start, _), load in host if start == HOST)
    out = sum(load for (_, end), load in host if end == HOST)
    assert events.total("packets_out") + into == pytest.approx(events.total("packets_in") + out)


def test_sums_of_a_report_of_a_real_run_add_up(built: tuple) -> None:
    source, program, events, counts, target, _ = built
    graph = program.graph
    found = cost.assess(program, target, source, events, counts, grades(graph, target))
    inputs = ReportInputs(model=ModelInfo(name="mini", system="mini"), target=target, method=graph.header.method,
                          timesteps=graph.header.timesteps, source=source, integer=graph, mapping=program.mapping,
                          assessment=found, grades=grades(graph, target))  # fmt: skip
    data = report.build(inputs)
    layers = sum(row["energy_nominal_uj"] for row in data["layers"]) + data["energy_shared_uj"]["nominal"]
    assert layers == pytest.approx(data["energy_uj"]["nominal"])
    assert sum(row["synaptic_ops"] for row in data["layers"]) == pytest.approx(data["counts"]["synaptic_ops"])
    assert len(data["steps"]) == events.steps == graph.header.timesteps + program.mapping.depth
    assert np.isfinite(data["latency_ms"]["nominal"])
