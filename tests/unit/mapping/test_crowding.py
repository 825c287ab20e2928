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
from tests.networks import images, mini_vit
from tests.unit.mapping.networks import mlp


def small(cores: int, chips: int) -> Target:
    target = load("hala-point")
    chip = target.chip.model_copy(update={"cores_per_chip": cores})
    return target.model_copy(update={"chip": chip, "chips": chips})


def test_loads_by_hand() -> None:
    graph = balance(mlp((8, 6, 4)))
    groups, target, ticks = populations(graph), small(2, 3), graph.header.timesteps
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
    bits = max(packet_bits(graph, node.name, target) for node in first.nodes)
    expected = np.zeros(steps)
    for step in range(steps):
        begins = lambda depth, step=step: depth <= step < depth + ticks
        chips, ports, host = 0.0, 0.0, 0.0
        if begins(first.depth):
            leaving, entering = port_shares(target.chip)
            chips, ports = 7.0 * bits, max(7.0 * leaving, 8.0 * entering) * bits
        if begins(first.depth - 1):
            host += 10.0
        if begins(second.depth):
            host += 2.0
        loads = chips * time.chip_bit.nominal, ports * time.mesh_bit.nominal, host * time.host_packet.nominal
        expected[step] = max(loads)
    assert np.allclose(found, expected) and found.max() > 0


def test_the_fullest_link_at_a_port_is_that_of_the_routes() -> None:
    chip = load("loihi2").chip
    mesh = list(product(range(chip.routers_x), range(chip.routers_y)))
    loads = Counter[Link]()
    for (x, y), (to_x, to_y) in product(mesh, mesh):
        loads.update(
            link for link in route(Router(0, x, y), Router(1, to_x, to_y), Topology()) if link.kind == "mesh"
        )
    for number, share in enumerate(port_shares(chip)):
        here = max(n for link, n in loads.items() if link.start.chip == number)
        assert here == pytest.approx(share * len(mesh) ** 2)


@pytest.mark.parametrize("chips", [1, 4])
def test_chips_and_host_are_expected_to_carry_about_what_they_do(chips: int) -> None:
    target = small(128 if chips == 1 else 12, chips)
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
