"""Hand-made and random mappings of small graphs, for tests of memory images and of what runs from them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from neurodeploy.ir.graph import Graph
from neurodeploy.mapping.cells import cells
from neurodeploy.mapping.groups import Population, populations
from neurodeploy.mapping.types import Core, Demand, Group, Mapping, Piece
from neurodeploy.passes.balance import lag, turns
from neurodeploy.target import Target

Place = tuple[int, int, int]


def pieces_of(graph: Graph, group: Population, label: np.ndarray | None = None) -> list[Piece]:
    """A group cut by a label per neuron's home element (None: one piece)."""
    table = cells(graph, group)
    sizes = table.sizes
    home = table.home if table.home is not None else np.arange(table.neurons)
    label = np.zeros(int(home.max()) + 1, dtype=int) if label is None else label
    found = []
    for part in np.unique(label[home]):
        of = {
            n: table.neuron[n] if table.neuron is not None else np.arange(size) for n, size in sizes.items()
        }
        elements = {name: np.flatnonzero(label[home[neuron]] == part) for name, neuron in of.items()}
        found.append(Piece(group.name, elements, Demand()))
    return found


def assemble(graph: Graph, target: Target, cores: Sequence[tuple[Place, Sequence[Piece]]]) -> Mapping:
    """A mapping from places (chip, x, y) and the pieces there."""
    groups = tuple(Group(g.name, g.names, g.depth, "test") for g in populations(graph))
    made = tuple(Core(i, *place, tuple(pieces), Demand(), {}, "") for i, (place, pieces) in enumerate(cores))
    return Mapping(target.name, 1, target.cores, groups, made, lag(graph))


def one_core_per_group(graph: Graph, target: Target) -> Mapping:
    """Groups along the first row of routers."""
    groups = [g for g in populations(graph) if not g.on_host]
    return assemble(graph, target, [((0, i % 8, i // 8), pieces_of(graph, g)) for i, g in enumerate(groups)])


def by_copy(graph: Graph, group: Population) -> list[Piece]:
    """A group cut into the copies that its tokens take turns on, or whole."""
    taken, table = turns(graph), cells(graph, group)
    home = table.home if table.home is not None else np.arange(table.neurons)
    label = np.zeros(int(home.max()) + 1, dtype=int)
    for name in table.sizes:
        if taken.turn(name) is not None and group.turns > 1:
            neuron = table.neuron[name] if table.neuron is not None else np.arange(table.sizes[name])
            label[home[neuron]] = taken.token[name] % taken.of(name)
    return pieces_of(graph, group, label)


def streamed_mapping(graph: Graph, target: Target, seed: int) -> Mapping:
    """Copies of every group thrown onto random cores."""
    rng = np.random.default_rng(seed)
    pieces = [p for group in populations(graph) if not group.on_host for p in by_copy(graph, group)]
    home = rng.integers(0, rng.integers(1, len(pieces) + 1), len(pieces)) if pieces else np.zeros(0, int)
    cores: dict[int, list[Piece]] = {}
    for core, piece in zip(home, pieces, strict=True):
        cores.setdefault(int(core), []).append(piece)
    places = [(int(rng.integers(0, 2)), int(rng.integers(0, 8)), int(rng.integers(0, 4))) for _ in cores]
    return assemble(graph, target, list(zip(places, cores.values(), strict=True)))


def random_mapping(graph: Graph, target: Target, seed: int, most: int = 3, copies: bool = False) -> Mapping:
    """Groups cut at random, pieces thrown onto random cores of two chips; ``copies``: some pieces lie on two cores."""
    rng = np.random.default_rng(seed)
    pieces: list[Piece] = []
    for group in populations(graph):
        if not group.on_host:
            table = cells(graph, group)
            size = (int(table.home.max()) if table.home is not None else table.neurons - 1) + 1
            pieces += pieces_of(graph, group, rng.integers(0, rng.integers(1, most + 1), size))
    home = rng.integers(0, rng.integers(1, len(pieces) + 1), len(pieces)) if pieces else np.zeros(0, int)
    cores: dict[int, list[Piece]] = {}
    for core, piece in zip(home, pieces, strict=True):
        cores.setdefault(int(core), []).append(piece)
        if copies and rng.integers(0, 3) == 0:
            cores.setdefault(len(pieces) + int(rng.integers(0, 3)), []).append(piece)
    places = [(int(rng.integers(0, 2)), int(rng.integers(0, 8)), int(rng.integers(0, 4))) for _ in cores]
    return assemble(graph, target, list(zip(places, cores.values(), strict=True)))
