"""Traffic between tiles, packing, placement on the mesh, and routes."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurodeploy.ir.graph import Graph
from neurodeploy.ir.trace import HOST, Link, Router
from neurodeploy.mapping.bundles import Bundles
from neurodeploy.mapping.demand import Accounting
from neurodeploy.mapping.groups import populations
from neurodeploy.mapping.limits import breaches, pack
from neurodeploy.mapping.mapper import map_graph
from neurodeploy.mapping.routes import loads, route
from neurodeploy.mapping.tiling import Tiling, tile
from neurodeploy.mapping.topology import DIRECT, HOST_PORT
from neurodeploy.mapping.traffic import HOST_TILE, Flows, Traffic
from neurodeploy.mapping.types import Core, Demand
from neurodeploy.passes.balance import balance
from neurodeploy.target import Target, load
from tests.strategies import integer_graphs
from tests.unit.mapping.networks import ecmt_transformer, mlp, spiking_transformer

LOIHI2 = load("loihi2").model_copy(update={"board": load("cpu-sim").board})  # chips in no known arrangement


def core(chip: int, x: int, y: int) -> Core:
    return Core(0, chip, x, y, (), Demand(), {}, "")


def small(neurons: int) -> Target:
    limit = LOIHI2.limits.neurons_per_core.model_copy(update={"value": neurons})
    return LOIHI2.model_copy(update={"limits": LOIHI2.limits.model_copy(update={"neurons_per_core": limit})})


def random_flows(random: np.random.Generator, cores: int, flows: int) -> tuple[np.ndarray, np.ndarray]:
    """(2, flows) ends, -1 is the host, and messages; no end sends to itself."""
    ends = np.array([random.choice(cores + 1, 2, replace=False) for _ in range(flows)]).reshape(-1, 2).T - 1
    return ends, random.integers(1, 100, flows).astype(float)


def cut(graph: Graph, target: Target) -> tuple[dict[str, Tiling], Traffic]:
    groups = populations(graph)
    tilings = {g.name: tile(Accounting.of(graph, target, g)) for g in groups if not g.on_host}
    return tilings, Flows(graph, groups).traffic(tilings)


def brute_force(graph: Graph, tilings: dict[str, Tiling]) -> Counter:
    """(sender, receiver) -> axon words, element by element; the host is -1."""
    tiles = [(name, t) for name, tiling in tilings.items() for t in tiling.tiles]
    holder = {
        (node, int(i)): n for n, (_, t) in enumerate(tiles) for node in t.elements for i in t.elements[node]
    }
    found: Counter = Counter()
    for n, (name, part) in enumerate(tiles):
        for read in tilings[name].accounting.reads(part):
            words = set()
            for i in read.region.indices:
                at = np.unravel_index(i, read.region.shape) if read.region.shape else ()
                position = tuple(at[a] for a in (range(len(at)) if read.position is None else read.position))
                words.add((holder.get((read.source, int(i)), HOST_TILE), tuple(map(int, position))))
            found.update((sender, n) for sender, _ in words)
        out = graph.output.name
        if out in part.elements and len(part.elements[out]):
            found[n, HOST_TILE] += len(part.elements[out])
    return found


def assert_counts_every_element(graph: Graph, neurons: int) -> None:
    """As it is cut first, and after every second group has been cut finer."""
    tilings, _ = cut(graph, small(neurons))
    flows = Flows(graph, populations(graph))
    finer = {
        name: tile(tiling.accounting, least=len(tiling.tiles) + 1) for name, tiling in [*tilings.items()][::2]
    }
    for chosen in (tilings, {**tilings, **finer}):
        traffic = flows.traffic(chosen)
        found: Counter = Counter()
        for source, destination, words in zip(traffic.source, traffic.target, traffic.axons, strict=True):
            found[int(source), int(destination)] += int(words)
        assert found == brute_force(graph, chosen)


@pytest.mark.parametrize("neurons", [4095, 70, 20])
@pytest.mark.parametrize(
    "network", [mlp((12, 30, 10)), spiking_transformer(1, 4, 16), ecmt_transformer(1, 2, 16)]
)
def test_traffic_counts_every_element(network: Graph, neurons: int) -> None:
    assert_counts_every_element(balance(network), neurons)


@settings(max_examples=40, deadline=None)
@given(integer_graphs(), st.sampled_from([8, 30]))
def test_traffic_of_random_graphs_counts_every_element(graph: Graph, neurons: int) -> None:
    assert_counts_every_element(balance(graph), neurons)


# --- packing and placing ---------------------------------------------------------------------------------------------


def test_pack_keeps_all_limits_and_uses_every_tile_once() -> None:
    random = np.random.default_rng(0)
    demands = [
        Demand(neurons=int(n), synapse_words=int(w), neuron_groups=1, fan_in=9000)
        for n, w in zip(random.integers(1, 2000, 40), random.integers(1, 9000, 40), strict=True)
    ]
    cores = pack(demands, LOIHI2)
    assert sorted(t for c in cores for t in c) == list(range(40)) and len(cores) < 40
    assert all(not breaches(sum((demands[t] for t in c), Demand()), LOIHI2) for c in cores)


def test_what_fits_nowhere_stays_alone() -> None:
    assert pack([Demand(neurons=9999), Demand(neurons=1), Demand(neurons=1)], LOIHI2) == [[0], [1, 2]]


def test_messages_between_cores_are_those_of_their_tiles_each_pair_once() -> None:
    source, target = np.array([-1, 0, 1, 2, 0, 2, 3]), np.array([0, 2, 2, 3, 1, 3, -1])
    traffic = Traffic(source, target, np.ones(7, np.int64), np.array([5.0, 1, 2, 4, 9, 8, 3]), 4)
    sent = traffic.between([[0, 1], [2], [3]])
    assert sent.ends.T.tolist() == [[0, 1], [1, 2], [2, -1], [-1, 0]]  # what stays on a core does not travel
    assert sent.messages.tolist() == [3, 12, 3, 5]


def test_mapped_cores_sit_at_most_four_to_a_Router() -> None:
    mapping = map_graph(balance(spiking_transformer(2, 16, 32)), small(100), chips=2)
    assert max(Counter((c.chip, c.x, c.y) for c in mapping.cores).values()) <= 4
    assert [c.index for c in mapping.cores] == list(range(len(mapping.cores)))


# --- routes ----------------------------------------------------------------------------------------------------------


def test_routes_go_along_x_first() -> None:
    links = route(core(0, 1, 3), core(0, 3, 2), DIRECT)
    names = [Router(0, 1, 3), Router(0, 2, 3), Router(0, 3, 3), Router(0, 3, 2)]
    assert links == list(pairwise(names))
    assert route(core(0, 2, 2), core(0, 2, 2), DIRECT) == []


def test_routes_to_host_and_other_chips_leave_through_the_port() -> None:
    assert route(None, core(1, 1, 0), DIRECT) == [(HOST, Router(1, 0, 0)), (Router(1, 0, 0), Router(1, 1, 0))]
    assert route(core(0, 0, 1), None, DIRECT) == [(Router(0, 0, 1), Router(0, 0, 0)), (Router(0, 0, 0), HOST)]
    assert (Router(0, 0, 0), Router(2, 0, 0)) in route(core(0, 2, 2), core(2, 1, 1), DIRECT)


@given(*[st.tuples(st.integers(0, 1), st.integers(0, 7), st.integers(0, 3))] * 2)
def test_hops_are_the_links_of_the_route(a: tuple[int, int, int], b: tuple[int, int, int]) -> None:
    links = route(core(*a), core(*b), DIRECT)
    legs = [(a, b)] if a[0] == b[0] else [(a, (a[0], *HOST_PORT)), ((b[0], *HOST_PORT), b)]
    hops = sum(abs(p - q) for start, end in legs for p, q in zip(start[1:], end[1:], strict=True))
    assert len(links) == hops + (a[0] != b[0])
    assert all(first[1] == second[0] for first, second in pairwise(links))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_loads_of_many_flows_are_those_of_their_routes(seed: int) -> None:
    random = np.random.default_rng(seed)
    chip = LOIHI2.chip
    places = [Router(*map(int, random.integers(0, (3, chip.routers_x, chip.routers_y)))) for _ in range(12)]
    ends, messages = random_flows(random, 12, 30)
    expected: Counter = Counter()
    for (source, target), amount in zip(ends.T.tolist(), messages.tolist(), strict=True):
        a, b = (None if end < 0 else places[end] for end in (source, target))
        for link in route(a, b, DIRECT):
            expected[link] += amount
    found = loads(places, Bundles.apart(ends, messages), LOIHI2)
    assert by_link(found.mesh) == {link: n for link, n in expected.items() if link.kind == "mesh"}
    assert found.hops == sum(n for link, n in expected.items() if link.kind == "mesh")
    between = sorted(n for link, n in expected.items() if link.kind == "chip")
    assert sorted(found.between.tolist()) == between and found.crossings == sum(between)


def by_link(mesh: np.ndarray) -> dict[Link, float]:
    """What is not zero of loads (east, west, south, north; chips, y, x), by link."""
    steps = ((1, 0), (-1, 0), (0, 1), (0, -1))
    return {
        Link(Router(chip, x, y), Router(chip, x + steps[side][0], y + steps[side][1])): float(
            mesh[side, chip, y, x]
        )
        for side, chip, y, x in np.argwhere(mesh).tolist()
    }
