"""Integer graph + target -> Mapping: cut every group into tiles, give each tile a core, say what does not fit."""

from __future__ import annotations

from ..errors import Problem
from ..ir.graph import Graph
from ..passes.balance import depths
from ..target import Target
from .cells import cells
from .demand import Accounting
from .groups import HOST, Population, populations
from .limits import fill, usage
from .tiling import Tiling, tile
from .types import Core, Group, Mapping, Piece


def map_graph(graph: Graph, target: Target, chips: int | None = None, optimise: str = "cores") -> Mapping:
    """Place a balanced integer graph on ``chips`` chips of the target (default: as many as the file says).

    Never raises for a network that does not fit: the Mapping then lists every reason in ``problems``, and its
    cores are what the network would need. Raises UsageError for an impossible number of chips.
    """
    target = target if chips is None else target.with_chips(chips)
    groups = populations(graph)
    tilings = {
        g.name: tile(Accounting(graph, target, g, cells(graph, g)), optimise) for g in groups if not g.on_host
    }
    pieces = [
        Piece(name, t.elements, d)
        for name, cut in tilings.items()
        for t, d in zip(cut.tiles, cut.demands, strict=True)
    ]
    cores = tuple(_core(i, piece, target) for i, piece in enumerate(pieces))
    problems: list[Problem] = []
    level = depths(graph)
    return Mapping(
        target=target.name,
        chips=target.chips,
        cores_total=target.cores,
        groups=tuple(_described(g, tilings.get(g.name)) for g in groups),
        cores=cores,
        depth=max(level.values(), default=0),
        problems=tuple(problems),
    )


def _described(group: Population, tiling: Tiling | None) -> Group:
    if tiling is None:
        return Group(group.name, group.names, group.depth, HOST)
    return Group(
        group.name, group.names, group.depth, tiling.cut.layout, tiling.alternatives, tiling.cut.limiting
    )


def _core(index: int, piece: Piece, target: Target) -> Core:
    chip, local = divmod(index, target.chip.cores_per_chip)
    x, y = target.chip.router(local)
    used = usage(piece.demand, target)
    return Core(index, chip, x, y, (piece,), piece.demand, used, fill(used)[1])
