"""Energy and time: linear in every coefficient, ordered ranges, parts that add up, phases of a pipeline."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from neurodeploy import cost
from neurodeploy.cost import latency
from neurodeploy.cost.types import PARTS, Estimate
from neurodeploy.errors import ReportError
from neurodeploy.ir.neuron_model import NEURONS
from neurodeploy.ir.nodes import Neuron
from neurodeploy.ir.trace import EVENT_KINDS, HOST, Events, Link, Router
from neurodeploy.price import LEVELS, PRICED, TERMS, Range, total
from neurodeploy.program import Program
from neurodeploy.target import Target, load
from tests import fake_build


@pytest.fixture(scope="module")
def target() -> Target:
    return load("loihi-sim")


def program(method: str = "ecmt") -> Program:
    inputs = fake_build.inputs(method)
    return Program(inputs.integer, inputs.mapping)


def events(method: str = "ecmt") -> Events:
    return fake_build.inputs(method).assessment.events


def estimated(target: Target, counted: Events | None = None, method: str = "ecmt") -> Estimate:
    return cost.estimate(program(method), counted or events(method), target)


def scaled(target: Target, table: str, key: str, factor: float) -> Target:
    """The target with one coefficient multiplied."""
    costs = target.costs
    entry = getattr(getattr(costs, table), key)
    changed = entry.model_copy(update={level: getattr(entry, level) * factor for level in LEVELS})
    tables = getattr(costs, table).model_copy(update={key: changed})
    return target.model_copy(update={"costs": costs.model_copy(update={table: tables})})


def close(a: Range, b: Range) -> None:
    assert [getattr(a, x) for x in LEVELS] == pytest.approx([getattr(b, x) for x in LEVELS])


@pytest.mark.parametrize(
    "key",
    sorted(
        {p.key for p in PRICED.values() if p.part} | {"barrier_per_core", "barrier_per_chip", "host_packet"}
    ),
)
def test_doubling_a_coefficient_adds_its_terms_once_more(target: Target, key: str) -> None:
    method = (
        "native" if key == "neuron_update" else "ecmt"
    )  # a converted network has no neurons of the chip's own
    plain, double = (estimated(t, method=method) for t in (target, scaled(target, "energy_pj", key, 2.0)))
    own = total(term.energy_pj for term in plain.terms if term.key == f"energy_pj.{key}")
    assert own.nominal > 0
    close(double.energy_pj, plain.energy_pj + own)


def test_doubling_static_power_doubles_the_static_part(target: Target) -> None:
    plain, double = estimated(target), estimated(scaled(target, "power_w", "static_per_chip", 2.0))
    close(double.parts_pj["static"], plain.parts_pj["static"] * 2.0)
    expected = target.costs.power_w.static_per_chip.nominal * plain.timing.latency_ns.nominal * 1000
    assert plain.parts_pj["static"].nominal == pytest.approx(expected)


def test_ranges_are_ordered(target: Target) -> None:
    found = estimated(target)
    ranges = [found.energy_pj, found.pipelined_pj, found.events_pj, found.shared_pj, found.timing.latency_ns,
              found.timing.period_ns, found.timing.throughput_per_s, *found.parts_pj.values(), *found.node_pj.values(),
              *found.core_pj.values()]  # fmt: skip
    for item in ranges:
        assert 0 <= item.low <= item.nominal <= item.high
    assert (np.diff(found.timing.step_ns, axis=0) >= 0).all()


def test_parts_terms_nodes_and_cores_add_up_to_the_whole(target: Target) -> None:
    found = estimated(target)
    assert tuple(found.parts_pj) == PARTS
    close(total(found.parts_pj.values()), found.energy_pj)
    close(total(term.energy_pj for term in found.terms), found.energy_pj)
    close(total(found.node_pj.values()) + found.shared_pj, found.energy_pj)
    close(total(found.core_pj.values()) + found.unplaced_pj, found.energy_pj)


def test_energy_is_linear_in_the_counts(target: Target) -> None:
    one = events()
    twice = replace(one, core_counts=one.core_counts * 2, node_counts={k: v * 2 for k, v in one.node_counts.items()},
                    links={k: v * 2 for k, v in one.links.items()})  # fmt: skip
    close(estimated(target, twice).events_pj, estimated(target).events_pj * 2.0)


def test_an_idle_network_takes_the_barrier_and_nothing_else(target: Target) -> None:
    one = events()
    idle = replace(one, core_counts=one.core_counts * 0, node_counts={}, links={}, link_bits={})
    found = estimated(target, idle)
    assert set(found.timing.bound) == {"barrier"}
    assert found.timing.latency_ns.nominal == pytest.approx(one.steps * target.costs.time_ns.barrier.nominal)
    assert found.events_pj.high == 0


def test_a_step_lasts_as_long_as_its_slowest_core(target: Target) -> None:
    """Low: the largest term; high: their sum; nominal: the fitted share between them."""
    one = events()
    counts = np.zeros_like(one.core_counts)
    work = {"synaptic_ops": 9000, "memory_reads": 2500, "program_ops": 100}
    for kind, amount in work.items():
        counts[:, 3, 5, EVENT_KINDS.index(kind)], counts[:, 4, 5, EVENT_KINDS.index(kind)] = (
            amount,
            amount // 3,
        )
    found = latency.timing(replace(one, core_counts=counts, links={}, link_bits={}), target, 4)
    times, share = target.costs.time_ns, target.costs.step.serial_share.nominal
    costs = times.synaptic_op, times.memory_read, times.microcode_op
    terms = {
        level: [
            getattr(times.barrier, level),
            *(n * getattr(c, level) for n, c in zip(work.values(), costs, strict=True)),
        ]
        for level in LEVELS
    }
    largest = max(terms["nominal"])
    wanted = max(terms["low"]), largest + share * (sum(terms["nominal"]) - largest), sum(terms["high"])
    assert found.step_ns[:, 5] == pytest.approx(wanted)
    assert found.busiest[5] == 3 and found.bound[5] == "memory"
    assert found.terms_ns[TERMS.index("synapses"), 5] == pytest.approx(terms["nominal"][1])


@pytest.mark.parametrize(
    ("kind", "bound"),
    [
        ("synaptic_ops", "compute"),
        ("program_ops", "compute"),
        ("memory_reads", "memory"),
        ("packets_in", "memory"),
    ],
)
def test_a_step_is_bound_by_what_most_of_it_waits_for(target: Target, kind: str, bound: str) -> None:
    counts = np.zeros_like(events().core_counts)
    counts[:, 0, 2, EVENT_KINDS.index(kind)] = 100_000
    found = latency.timing(replace(events(), core_counts=counts, links={}, link_bits={}), target, 4)
    assert found.bound[2] == bound and set(found.bound) == {bound, "barrier"}


def test_a_step_is_bound_by_the_bits_of_its_fullest_link(target: Target) -> None:
    one = events()
    ends = [Link(Router(0, 0, 0), Router(0, x, 0)) for x in (1, 2)]
    bits = {link: np.full(one.steps, amount) for link, amount in zip(ends, (1e6, 4e6), strict=True)}
    found = latency.timing(replace(one, core_counts=one.core_counts * 0, links={}, link_bits=bits), target, 4)
    assert set(found.bound) == {"traffic"}
    times = target.costs.time_ns
    wanted = 4e6 * times.mesh_bit.nominal + target.costs.step.serial_share.nominal * times.barrier.nominal
    assert found.step_ns[1] == pytest.approx(wanted)


def test_every_doubling_of_the_chips_in_use_lengthens_the_barrier(target: Target) -> None:
    one, made = events(), program()
    idle = replace(one, core_counts=one.core_counts * 0, node_counts={}, links={}, link_bits={})
    steps = []
    for chips in (1, 8):
        cores = tuple(replace(core, chip=core.index % chips) for core in made.mapping.cores)
        placed = Program(made.graph, replace(made.mapping, cores=cores))
        steps.append(cost.estimate(placed, idle, target.with_chips(64)).timing.step_ns[:, 0])
    doubling = target.costs.time_ns.barrier_doubling
    assert steps[1] - steps[0] == pytest.approx([3 * getattr(doubling, level) for level in LEVELS])


def test_latency_is_the_mean_over_samples_of_maxima_not_the_maximum_of_means(target: Target) -> None:
    one = events()
    counts = np.zeros((2, *one.core_counts.shape[1:]))
    column = EVENT_KINDS.index("stock_updates")
    counts[0, 0, 0, column] = counts[1, 1, 0, column] = 100
    found = latency.timing(replace(one, core_counts=counts, links={}, link_bits={}, samples=2), target, 4)
    share = target.costs.step.serial_share.nominal
    expected = target.costs.time_ns.barrier.nominal + share * 100 * target.costs.time_ns.neuron_update.nominal
    assert found.step_ns[1, 0] == pytest.approx(expected)


def test_throughput_is_one_result_per_t_steady_steps(target: Target) -> None:
    found = estimated(target)
    assert found.timing.steady_ns.shape == (3, 4)
    period = found.timing.steady_ns[1].sum()
    assert found.timing.throughput_per_s.nominal == pytest.approx(1e9 / period)
    assert found.timing.period_ns.nominal <= found.timing.latency_ns.nominal


@pytest.mark.parametrize(("steps", "period"), [(7, 3), (8, 4), (3, 5), (1, 1)])
def test_fold_adds_steps_of_the_same_phase(steps: int, period: int) -> None:
    x = np.arange(1.0, steps + 1)
    expected = [sum(v for s, v in enumerate(x) if s % period == p) for p in range(period)]
    assert latency.fold(x, period).tolist() == expected


def test_packets_between_chips_and_to_the_host_have_their_own_price(target: Target) -> None:
    one = events()
    routes = {
        Link(Router(0, 0, 0), Router(1, 0, 0)): 10,
        Link(HOST, Router(0, 0, 0)): 6,
        Link(Router(0, 0, 0), Router(0, 1, 0)): 3,
    }
    loads = {ends: np.full(one.steps, float(count)) for ends, count in routes.items()}
    assert [link.kind for link in loads] == ["chip", "host", "mesh"]
    found = {t.key: t for t in estimated(target, replace(one, links=loads)).terms}
    assert found["energy_pj.packet_chip_hop"].count == 10 * one.steps
    assert found["energy_pj.host_packet"].count == 6 * one.steps


def test_router_names_tell_chip_and_place() -> None:
    routers = [Router(3, 2, 1), Router(0, 10, 0), HOST]
    assert [str(router) for router in routers] == ["chip3 (2,1)", "chip0 (10,0)", "host"]
    assert [Router.parse(str(router)) for router in routers] == [*routers[:2], None]
    assert Router.parse("3:2,1") is None


def test_every_chip_in_use_leaks(target: Target) -> None:
    one = program()
    cores = tuple(replace(core, chip=core.index % 2) for core in one.mapping.cores)
    two = cost.estimate(Program(one.graph, replace(one.mapping, cores=cores)), events(), target)
    assert two.chips == 2
    power = target.costs.power_w.static_per_chip.nominal
    assert two.parts_pj["static"].nominal == pytest.approx(2 * power * two.timing.latency_ns.nominal * 1000)


def test_contradicting_counts_are_refused(target: Target) -> None:
    one = events()
    name = next(iter(one.node_counts))
    broken = replace(one, node_counts={**one.node_counts, name: one.node_counts[name] + 1000})
    with pytest.raises(ReportError) as error:
        estimated(target, broken)
    assert {p.code for p in error.value.problems} == {"ND801"}


def test_a_program_without_mapping_is_refused(target: Target) -> None:
    with pytest.raises(ReportError, match="ND802"):
        cost.estimate(Program(program().graph), events(), target)


def test_terms_without_a_price_are_listed_as_uncounted() -> None:
    found = estimated(load("cpu-sim"))
    assert found.energy_pj == Range()
    assert any("energy_pj.synaptic_op" in item for item in found.uncounted)


def test_an_update_costs_what_its_program_costs(target: Target) -> None:
    """A LIF of the chip pays by the update; any other neuron the operations of its integer step."""
    found = estimated(target, method="native")
    counted, costs = events("native"), target.costs.energy_pj
    models = {node.name: node for node in program("native").graph.of(Neuron)}
    assert {NEURONS[node.model].stock for node in models.values()} == {True, False}
    for name, node in models.items():
        updates = counted.node_counts[name][EVENT_KINDS.index("neuron_updates")]
        spikes = counted.node_counts[name][EVENT_KINDS.index("spikes")]
        model = NEURONS[node.model]
        one = (
            costs.neuron_update.nominal
            if model.stock
            else model.operations(node.params) * costs.microcode_op.nominal
        )
        resets = counted.node_counts[name][EVENT_KINDS.index("reset_words")]
        wanted = updates * one + spikes * costs.neuron_spike.nominal + resets * costs.state_access.nominal
        assert found.node_parts_pj[name]["neuron"].nominal == pytest.approx(wanted)
