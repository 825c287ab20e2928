"""Links that many cores share: loads by hand, and against what simulated cores count."""

from __future__ import annotations

from collections import Counter
from itertools import product
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from neurodeploy import calibrate
from neurodeploy.backends.loihi_sim import MEMBER
from neurodeploy.convert._base import METHODS
from neurodeploy.cost.links import busiest, packets
from neurodeploy.image import encode
from neurodeploy.ir.trace import Link, Router
from neurodeploy.mapping import mapper
from neurodeploy.mapping.crowding import crowded_ns, port_shares
from neurodeploy.mapping.groups import populations
from neurodeploy.mapping.plan import Plan
from neurodeploy.mapping.routes import route
from neurodeploy.mapping.topology import Topology
from neurodeploy.mapping.traffic import HOST_TILE, Traffic, packet_bits
from neurodeploy.passes.balance import balance
from neurodeploy.program import Program
from neurodeploy.quantize import quantize
from neurodeploy.target import Target, load
from neurodeploy.target_schema import Board
from tests.networks import images, mini_vit
from tests.unit.mapping.networks import mlp


def small(cores: int, chips: int) -> Target:
    target = load("hala-point")
    chip = target.chip.model_copy(update={"cores_per_chip": cores})
    return target.model_copy(update={"chip": chip, "chips": chips})


def on_board(target: Target, chips_x: int) -> Target:
    return target.model_copy(update={"board": Board(chips_x=chips_x, source="x")})


@pytest.mark.parametrize("chips_x", [0, 3], ids=["direct", "line"])
def test_loads_by_hand(chips_x: int) -> None:
    graph = balance(mlp((8, 6, 4)))
    groups, target, ticks = populations(graph), on_board(small(2, 3), chips_x), graph.header.timesteps
    first, second = (g for g in groups if not g.on_host)
    # Tiles 0 to 3 are of the first layer, two on a chip; 4 and 5 of the second, on the third chip.
    tilings: Any = {
        g.name: SimpleNamespace(cut=SimpleNamespace(cores=n)) for g, n in ((first, 4), (second, 2))
    }
    rows = [(HOST_TILE, 0, 5.0), (HOST_TILE, 2, 5.0), (0, 4, 3.0), (1, 5, 4.0), (2, 4, 1.0), (0, 1, 9.0),
            (4, HOST_TILE, 2.0)]  # fmt: skip
    source, reader, messages = (np.array(column) for column in zip(*rows, strict=True))
    flows = Traffic(source, reader, np.ones(len(rows)), messages, 6)
    steps = ticks + max(g.depth for g in groups)
    found = crowded_ns(graph, groups, tilings, flows, target, steps)
    time = target.costs.time_ns
    sent, read, said = (
        max(packet_bits(graph, node.name, target) for node in group.nodes)
        for group in (first, second, groups[0])
    )
    leaving, entering = port_shares(target.chip, (0, 0))
    east, west = port_shares(target.chip, (7, 1))[0], port_shares(target.chip, (0, 1))[1]
    expected = np.zeros(steps)
    for step in range(steps):
        begins = lambda depth, step=step: depth <= step < depth + ticks
        layer, host, reads = begins(first.depth), begins(first.depth - 1), begins(second.depth)
        # Directly 3 + 4 from chip 0 to chip 2; on the line they pass chip 1, whose 1 goes the last way with them.
        chips = (8.0 if chips_x else 7.0) * layer * sent
        if chips_x:
            ports = max((7.0 + east) * sent * layer, 7.0 * sent * layer, 8.0 * west * sent * layer,
                        5.0 * entering * said * host, 2.0 * leaving * read * reads)  # fmt: skip
        else:
            ports = max(7.0 * leaving * sent * layer, 2.0 * leaving * read * reads,
                        8.0 * entering * sent * layer, 5.0 * entering * said * host)  # fmt: skip
        packets = 10.0 * host + 2.0 * reads
        terms = (
            chips * time.chip_bit.nominal,
            ports * time.mesh_bit.nominal,
            packets * time.host_packet.nominal,
        )
        expected[step] = max(terms)
    assert np.allclose(found, expected) and found.max() > 0


@pytest.mark.parametrize("chips_x", [0, 1, 2], ids=["direct", "line", "mesh"])
def test_the_fullest_link_at_a_port_is_that_of_the_routes(chips_x: int) -> None:
    target = on_board(load("loihi2"), chips_x)
    chip, topology = target.chip, Topology.of(target)
    mesh = list(product(range(chip.routers_x), range(chip.routers_y)))
    loads = Counter[Link]()
    for (x, y), (to_x, to_y) in product(mesh, mesh):
        way = route(Router(0, x, y), Router(1, to_x, to_y), topology)
        loads.update(link for link in way if link.kind == "mesh")
    side = int(topology.step(np.array([0]), np.array([1]))[0][0])
    for number, port in enumerate((topology.ports[side], topology.ports[side ^ 1])):
        here = max(n for link, n in loads.items() if link.start.chip == number)
        assert here == pytest.approx(port_shares(chip, port)[number] * len(mesh) ** 2)


def test_messages_of_the_host_pass_the_links_of_its_port() -> None:
    """With a fast interface of the host, its port is what a step waits for."""
    graph = balance(mlp((8, 6, 4)))
    target = small(2, 1)
    times = target.costs.time_ns.model_copy(
        update={"host_packet": target.costs.time_ns.host_packet.model_copy(update={"nominal": 0.0})}
    )
    target = target.model_copy(update={"costs": target.costs.model_copy(update={"time_ns": times})})
    groups = populations(graph)
    tilings: Any = {g.name: SimpleNamespace(cut=SimpleNamespace(cores=1)) for g in groups if not g.on_host}
    ends = np.array([[HOST_TILE, 0], [0, 1]])
    flows = Traffic(ends[0], ends[1], np.ones(2), np.array([100.0, 3.0]), 2)
    found = crowded_ns(graph, groups, tilings, flows, target, 8)
    bits = packet_bits(graph, graph.input.name, target)
    entering = port_shares(target.chip, (0, 0))[1]
    assert found.max() == pytest.approx(100 * entering * bits * times.mesh_bit.nominal)


@pytest.mark.parametrize("chips, multicast", [(1, False), (4, False), (4, True)])
def test_chips_and_host_are_expected_to_carry_about_what_they_do(chips: int, multicast: bool) -> None:
    target = small(128 if chips == 1 else 12, chips)
    target = target.model_copy(update={"chip": target.chip.model_copy(update={"multicast": multicast})})
    source = mini_vit(seed=0)
    x = images(source, 12, 0)
    spiking = METHODS["ecmt"].rewrite(source, METHODS["ecmt"].configure({})[1], x, 4)
    graph = balance(quantize(spiking, calibrate.measure(spiking, x, 0)), target.limits.delay_steps.value)
    plans: list[Plan] = []
    with pytest.MonkeyPatch.context() as patch:
        choose = mapper.cheapest
        patch.setattr(mapper, "cheapest", lambda *args: plans.append(choose(*args)) or plans[0])
        mapping = mapper.map_graph(graph, target, optimise="latency", placement="snake")
    used = len({core.chip for core in mapping.cores})
    assert mapping.fits and (used == 1 if chips == 1 else used > 1)
    events = MEMBER.run(Program(graph, encode(graph, mapping, target)), x)[1]
    time = target.costs.time_ns
    chip = busiest(events.link_bits, "chip", events.steps) * time.chip_bit.nominal
    counted = np.maximum(chip, packets(events, "host") * time.host_packet.nominal)
    assert 0.6 < plans[0].network_ns.sum() / counted.sum() < 1.6
