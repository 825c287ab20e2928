"""The way of messages over a board, against shortest paths on the graph of all its routers and ports."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise, product

import networkx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurodeploy.ir.trace import HOST, Link, Router
from neurodeploy.mapping.bundles import Bundles
from neurodeploy.mapping.placements._annealing import annealing, on_board
from neurodeploy.mapping.placements._base import PLACEMENTS, data_order, in_order, routers
from neurodeploy.mapping.routes import loads, route, tree
from neurodeploy.mapping.topology import Topology
from neurodeploy.mapping.traffic import Traffic
from neurodeploy.target import PORTS, Target, load
from neurodeploy.target_schema import Board

LOIHI2 = load("loihi2")
STEPS = {"east": (1, 0, 0), "west": (-1, 0, 0), "south": (0, 1, 0), "north": (0, -1, 0), "up": (0, 0, 1),
         "down": (0, 0, -1)}  # fmt: skip


@st.composite
def targets(draw: st.DrawFn) -> Target:
    """A small mesh in every chip, chips on a board of any kind, ports anywhere."""
    wide, high, each = draw(st.tuples(*[st.integers(1, 3)] * 3))
    chip = LOIHI2.chip.model_copy(
        update={
            "routers_x": wide,
            "routers_y": high,
            "cores_per_router": each,
            "cores_per_chip": wide * high * each,
        }
    )
    place = st.none() | st.tuples(st.integers(0, wide - 1), st.integers(0, high - 1))
    board = Board(chips_x=draw(st.integers(0, 3)), chips_y=draw(st.integers(0, 3)), source="drawn",
                  **{key: draw(place) for key in PORTS})  # fmt: skip
    return LOIHI2.model_copy(update={"chip": chip, "board": board, "chips": draw(st.integers(1, 12))})


def spot(number: int, board: Board) -> tuple[int, int, int]:
    """Where a chip lies, written down once more."""
    if not board.chips_y:
        return number % board.chips_x, number // board.chips_x, 0
    layer = board.chips_x * board.chips_y
    return number % board.chips_x, number % layer // board.chips_x, number // layer


def chips(target: Target) -> networkx.DiGraph:
    """Chips by where they lie, neighbours joined, with the routers at both ends of the link."""
    board, chip, graph = target.board, target.chip, networkx.DiGraph()
    if not board.chips_x:
        nodes = [(n, 0, 0) for n in range(CHIPS)]
        graph.add_edges_from(
            (a, b, {"ports": ((0, 0), (0, 0))}) for a, b in product(nodes, repeat=2) if a != b
        )
        return graph
    middle = (chip.routers_x - 1) // 2, (chip.routers_y - 1) // 2
    usual = {"east": (chip.routers_x - 1, middle[1]), "west": (0, middle[1]), "south": (middle[0], chip.routers_y - 1),
             "north": (middle[0], 0), "up": middle, "down": middle}  # fmt: skip
    port = {side: getattr(board, side) or usual[side] for side in PORTS}
    graph.add_nodes_from(spot(n, board) for n in range(CHIPS + board.chips_x * max(board.chips_y, 1)))
    for at, (side, step) in product(list(graph), STEPS.items()):
        to = tuple(np.add(at, step).tolist())
        if to in graph:
            other = next(name for name in PORTS if STEPS[name] == tuple(-s for s in step))
            graph.add_edge(at, to, ports=(port[side], port[other]))
    return graph


def way(graph: networkx.DiGraph, start: tuple[int, ...], end: tuple[int, ...]) -> list[tuple[int, ...]]:
    """The shortest path, of several the one along x, then y, then z: later axes are dear away from the start."""

    def weight(a: tuple[int, ...], b: tuple[int, ...], _: object) -> float:
        axis = next(i for i in range(len(a)) if a[i] != b[i])
        return 1 + sum(abs(p - q) for p, q in zip(a[axis + 1 :], start[axis + 1 :], strict=True)) / 1000

    found: list[tuple[int, ...]] = networkx.dijkstra_path(graph, start, end, weight)
    return found


def expected(a: Router | None, b: Router | None, target: Target, board: networkx.DiGraph) -> list[Link]:
    """The links from router to router: chip by chip on the shortest way, in each the shortest way between ports."""
    mesh = networkx.grid_2d_graph(target.chip.routers_x, target.chip.routers_y)
    ends = [
        None if r is None else (spot(r.chip, target.board) if target.board.chips_x else (r.chip, 0, 0))
        for r in (a, b)
    ]
    number: dict[tuple[int, ...], int] = {
        spot(n, target.board) if target.board.chips_x else (n, 0, 0): n for n in range(200)
    }
    if a is None or b is None:
        legs = [
            (r.chip, *(((0, 0), r[1:]) if a is None else (r[1:], (0, 0)))) for r in (a, b) if r is not None
        ]
    else:
        path = way(board, ends[0], ends[1])
        gates = [board.edges[edge]["ports"] for edge in pairwise(path)]
        starts, stops = [a[1:], *(gate[1] for gate in gates)], [*(gate[0] for gate in gates), b[1:]]
        legs = [(number[at], *leg) for at, *leg in zip(path, starts, stops, strict=True)]
    inside = [[Router(chip, *at) for at in way(mesh, start, end)] for chip, start, end in legs]
    visited = [router for leg in inside for router in leg]
    if a is None or b is None:
        visited = [HOST, *visited] if a is None else [*visited, HOST]
    return [Link(*pair) for pair in pairwise(visited)]


CHIPS = 12


@settings(max_examples=50, deadline=None)
@given(targets(), st.data())
def test_a_copied_packet_takes_a_tree_of_shortest_ways(target: Target, data: st.DataObject) -> None:
    """Grown on the graph of all routers: each new core is joined to what is there where its own way leaves it last."""
    chip, board = target.chip, chips(target)
    place = st.tuples(
        st.integers(0, CHIPS - 1), st.integers(0, chip.routers_x - 1), st.integers(0, chip.routers_y - 1)
    )
    router = st.none() | place.map(lambda at: Router(*at))
    start, ends = data.draw(router), data.draw(st.lists(router, max_size=6))
    ends = [end for end in ends if end is not None or start is not None]
    grown = networkx.DiGraph()
    for end in ends:
        path = expected(start, end, target, board)
        joined = next((n for n in range(len(path), 0, -1) if path[n - 1].end in grown), 0)
        grown.add_edges_from(path[joined:])
    found = tree(start, ends, Topology.of(target))
    assert len(found) == grown.number_of_edges() and {*map(tuple, found)} == {*grown.edges}
    root = HOST if start is None else start
    assert not len(grown) or (networkx.is_arborescence(grown) and grown.in_degree(root) == 0)
    reached = {root}
    for link in found:  # none before the one that leads to it
        assert link.start in reached and link.end not in reached
        reached.add(link.end)


@settings(max_examples=50, deadline=None)
@given(targets(), st.data())
def test_routes_are_shortest_ways_from_chip_to_chip_and_port_to_port(
    target: Target, data: st.DataObject
) -> None:
    board, chip, topology = chips(target), target.chip, Topology.of(target)
    ends = st.builds(Router, st.integers(0, CHIPS - 1), st.integers(0, chip.routers_x - 1),
                     st.integers(0, chip.routers_y - 1))  # fmt: skip
    a, b = data.draw(ends), data.draw(ends)
    for pair in ((a, b), (None, b), (a, None)):
        assert route(*pair, topology) == expected(*pair, target, board)
    assert Topology.read(topology.header) == topology


def flows(seed: int, cores: int) -> tuple[np.ndarray, np.ndarray]:
    """Whole numbers of messages between random cores and the host."""
    random = np.random.default_rng(seed)
    ends = random.integers(-1, cores, (2, 3 * cores))
    ends = np.unique(ends[:, ends[0] != ends[1]], axis=1)
    return ends, random.integers(1, 100, ends.shape[1]).astype(float)


def bundles(ends: np.ndarray, messages: np.ndarray, most: int) -> Bundles:
    """The receivers of each sender, up to so many in one bundle, with the messages of its first."""
    order = np.argsort(ends[0], kind="stable")
    ends, start = ends[:, order], np.searchsorted(ends[0, order], ends[0, order])
    part = (np.arange(len(order)) - start) // most
    first = np.flatnonzero((np.diff([ends[0], part], axis=1, prepend=-2) != 0).any(axis=0))
    return Bundles(
        ends, np.repeat(np.arange(len(first)), np.diff(first, append=len(order))), messages[order][first]
    )


@pytest.mark.parametrize("most", [1, 4], ids=["one receiver", "copied"])
@settings(max_examples=25, deadline=None)
@given(targets(), st.integers(0, 2**32 - 1))
def test_loads_of_links_are_those_of_shortest_ways(most: int, target: Target, seed: int) -> None:
    """Many flows at once, and what the annealing kept from swap to swap; a packet that is copied takes a link once."""
    random, chip, board = np.random.default_rng(seed), target.chip, chips(target)
    cores = int(random.integers(1, min(CHIPS * chip.cores_per_chip, 30) + 1))
    ends, messages = flows(seed, cores)
    order = random.permutation(np.repeat(random.permutation(CHIPS), chip.cores_per_chip)[:cores])
    sent = bundles(ends, messages, most)
    place, counted, units = annealing(order, sent, target)
    places = routers(order, place, chip)
    found, carried, kept = loads(places, sent, target), Counter[Link](), Counter[Link]()
    for bundle, (amount, unit) in enumerate(zip(sent.messages.tolist(), units.tolist(), strict=True)):
        pairs = sent.ends[:, sent.row == bundle].T.tolist()
        ways = ([None if end < 0 else places[end] for end in pair] for pair in pairs)
        for link in {link for a, b in ways for link in expected(a, b, target, board)}:
            carried[link] += amount
            kept[link] += unit
    mesh = {link: n for link, n in carried.items() if link.kind == "mesh"}
    assert by_link(found.mesh) == mesh
    assert sorted(found.between.tolist()) == sorted(n for link, n in carried.items() if link.kind == "chip")
    assert found.hops == sum(mesh.values()) and found.crossing_peak == max(found.between, default=0)
    assert by_link(np.moveaxis(counted, 1, 0)) == {link: n for link, n in kept.items() if link.kind == "mesh"}


def by_link(mesh: np.ndarray) -> dict[Link, float]:
    """What is not zero of loads (east, west, south, north; chips, y, x), by link."""
    return {
        Link(Router(chip, x, y), Router(chip, *np.add((x, y), STEPS[PORTS[side]][:2]).tolist())): mesh[
            side, chip, y, x
        ]
        for side, chip, y, x in np.argwhere(mesh).tolist()
    }


# --- places on a board --------------------------------------------------------------------------------------------


def chain(parts: int, each: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Parts in a hidden line, each sending to the next; their cores in order of the parts' numbers."""
    line = np.random.default_rng(seed).permutation(parts)
    part = np.repeat(np.arange(parts), each)
    ends = np.stack([line[:-1], line[1:]]) * each
    return part, ends, np.full(parts - 1, 10.0)


@pytest.mark.parametrize("board", [(4, 0), (4, 2), (1, 0), (1, 1)], ids=["mesh", "layers", "line", "stack"])
def test_parts_of_a_hidden_line_lie_beside_each_other(board: tuple[int, int]) -> None:
    target = LOIHI2.model_copy(
        update={"board": Board(chips_x=board[0], chips_y=board[1], source="x"), "chips": 32}
    )
    part, ends, messages = chain(16, 3, 5)
    sent = Bundles.apart(ends, messages)
    on = on_board(part, sent, target)
    assert len(np.unique(on)) == 16 and on.max() < 32
    assert all(len(np.unique(on[part == p])) == 1 for p in range(16))
    plain, ours = (loads([Router(n, 0, 0) for n in way.tolist()], sent, target) for way in (part, on))
    assert ours.crossings <= 0.6 * plain.crossings and ours.crossing_peak <= plain.crossing_peak
    assert ours.crossings >= 150.0


@pytest.mark.parametrize("most", [1, 4], ids=["one receiver", "copied"])
@settings(max_examples=10, deadline=None)
@given(targets(), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_a_placement_on_a_board_is_no_worse_than_data_order(
    most: int, target: Target, cores: int, seed: int
) -> None:
    ends, messages = flows(seed, cores)
    sent = bundles(ends, messages, most)
    source, reader = sent.ends
    traffic = Traffic(source, reader, np.ones(len(reader), np.int64), sent.copies, cores, sent)
    spots = PLACEMENTS["metis-annealing"].place([[i] for i in range(cores)], traffic, target)
    filled = Counter(spot.chip for spot in spots).values()
    assert max(filled, default=0) <= target.chip.cores_per_chip
    used, needed = len(filled), int(in_order(cores, target.chip).max()) + 1
    assert used == needed and max(spot.chip for spot in spots) < max(target.chips, needed)
    ours, plain = (loads(way, traffic.packets, target) for way in (spots, data_order(cores, target.chip)))
    for key in ("hops", "peak", "crossings"):
        assert getattr(ours, key) <= getattr(plain, key) * (1 + 1e-9)
