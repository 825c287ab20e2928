"""Integer graph + target -> Mapping: cut every group into tiles, give each tile a core, say what does not fit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import ceil

from ..errors import Problem, UsageError, unknown_name
from ..ir.graph import Graph
from ..passes.balance import depths
from ..target import Target
from .checks import check, check_group
from .groups import HOST, Population, populations
from .limits import Breach, breaches, fill, usage
from .place import Spot, pack, place
from .price import energy_pj
from .repeats import Cutter
from .tiling import OBJECTIVES, Tiling, tile
from .traffic import Traffic, traffic
from .types import Core, Demand, Group, Mapping, Piece

SPREADS = (1, 1.5, 2, 3, 4, 6, 8, 16, 32, 64, 128)  # times the fewest cores: budgets priced for "energy"
ROUNDS = 8  # of cutting finer where output axons, known only once everything is cut, do not fit

FIXES = {
    "neurons": ("use a smaller model",),
    "neuron_groups": ("use another target",),
    "synapse_words": ("prune or shrink the layer",),
    "axon_in": ("shrink the layer that feeds this one",),
    "axon_out": ("shrink the layers that read this one",),
    "table_words": ("use fewer table entries", "use another operator"),
    "total_words": ("use fewer tokens or channels", "use fewer timesteps"),
    "fan_in": ("shrink the layer that feeds this one",),
    "thresholds": ("use one threshold for all channels",),
}


def map_graph(graph: Graph, target: Target, chips: int | None = None, optimise: str = "cores") -> Mapping:
    """Place a balanced integer graph on ``chips`` chips of the target (default: as many as the file says).

    ``optimise`` is ``cores`` (fewest), ``latency`` (spread over all cores) or ``energy`` (spread as far as the energy
    expected by :mod:`.price` falls). Never raises for a network that does not
    fit: the Mapping then lists every reason in ``problems``, and its cores are what the network would need. Raises
    UsageError for an impossible number of chips (ND919) or an unknown objective (ND514).
    """
    if optimise not in OBJECTIVES:
        raise UsageError([unknown_name("ND514", "objective", optimise, OBJECTIVES)])
    target = target if chips is None else target.with_chips(chips)
    groups = populations(graph)
    cutter = Cutter(graph, target, optimise)
    tilings = {g.name: cutter.cut(g) for g in groups if not g.on_host}
    fewest = sum(len(t.tiles) for t in tilings.values())
    tilings, flows = _chosen(cutter, groups, tilings, optimise)
    pieces = _pieces(tilings, flows)
    hosted = [[i] for i in range(len(pieces))]
    if len(pieces) > target.cores:  # otherwise one tile a core, as Intel's compiler mostly does
        hosted = pack([p.demand for p in pieces], target)
    spots = place(hosted, flows, target)
    cores = tuple(_core(i, [pieces[p] for p in tiles], spots[i], target) for i, tiles in enumerate(hosted))
    problems = [
        *check(graph, target),
        *_overfull(tilings, pieces, target),
        *_too_many(len(cores), target, fewest),
    ]
    return Mapping(
        target=target.name,
        chips=target.chips,
        cores_total=target.cores,
        groups=tuple(_described(g, tilings.get(g.name)) for g in groups),
        cores=cores,
        depth=max(depths(graph).values(), default=0),
        problems=tuple(problems),
        notes={"optimise": optimise, "pieces": len(pieces)},
    )


def _chosen(
    cutter: Cutter, groups: list[Population], tilings: dict[str, Tiling], optimise: str
) -> tuple[dict[str, Tiling], Traffic]:
    """The cut as it is, spread over all cores, or spread as far as the expected energy falls."""
    if optimise == "cores":
        return settled(cutter, groups, tilings)
    total = cutter.target.cores
    if optimise == "latency":
        return settled(cutter, groups, spread(tilings, total))
    fewest = sum(len(t.tiles) for t in tilings.values())
    budgets = sorted(
        {min(round(fewest * factor), total) for factor in SPREADS if fewest * factor <= 2 * total}
    )
    options = [settled(cutter, groups, spread(tilings, budget)) for budget in budgets or [fewest]]
    return min(options, key=lambda o: energy_pj(cutter.graph, cutter.target, groups, *o))


def spread(tilings: dict[str, Tiling], budget: int) -> dict[str, Tiling]:
    """Cuts the group with the fullest core finer, again and again, while cores are left and it helps."""
    tilings = dict(tilings)
    while tilings:
        free = budget - sum(len(t.tiles) for t in tilings.values())
        slow = max(tilings, key=lambda name: tilings[name].cut.work)
        old = tilings[slow]
        if free < 1:
            break
        finer = tile(old.accounting, "latency", len(old.tiles) + 1, len(old.tiles) + free)
        useful = finer.cut.fits and finer.cut.work < old.cut.work
        if not useful or len(finer.tiles) - len(old.tiles) > free:
            break
        tilings[slow] = finer
    return tilings


def settled(
    cutter: Cutter, groups: list[Population], tilings: dict[str, Tiling]
) -> tuple[dict[str, Tiling], Traffic]:
    """Tilings whose output axons fit too, as far as cutting finer helps, and the traffic between their tiles."""
    flows = traffic(cutter.graph, groups, tilings)
    for _ in range(ROUNDS):
        changed = dict(tilings)
        pieces = iter(_pieces(tilings, flows))
        for name, tiling in tilings.items():
            demands = [next(pieces).demand for _ in tiling.tiles]
            over = max(fill(usage(d, cutter.target))[0] for d in demands)
            if tiling.cut.fits and over > 1:
                finer = cutter.finer(tiling, max(len(demands) + 1, ceil(len(demands) * min(over, 16))))
                changed[name] = finer if len(finer.tiles) > len(demands) else tiling
        if all(changed[name] is tilings[name] for name in tilings):
            break
        tilings = changed
        flows = traffic(cutter.graph, groups, tilings)
    return tilings, flows


def _pieces(tilings: dict[str, Tiling], flows: Traffic) -> list[Piece]:
    parts = [
        (name, t, d) for name, cut in tilings.items() for t, d in zip(cut.tiles, cut.demands, strict=True)
    ]
    return [
        Piece(name, t.elements, replace(d, axon_out=int(out)))
        for (name, t, d), out in zip(parts, flows.axon_out, strict=True)
    ]


def _core(index: int, pieces: list[Piece], spot: Spot, target: Target) -> Core:
    demand = sum((p.demand for p in pieces), Demand())
    used = usage(demand, target)
    return Core(index, spot.chip, spot.x, spot.y, tuple(pieces), demand, used, fill(used)[1])


def _described(group: Population, tiling: Tiling | None) -> Group:
    if tiling is None:
        return Group(group.name, group.names, group.depth, HOST)
    return Group(
        group.name, group.names, group.depth, tiling.cut.layout, tiling.alternatives, tiling.cut.limiting
    )


def _overfull(tilings: dict[str, Tiling], pieces: list[Piece], target: Target) -> Iterator[Problem]:
    """Per group and resource, the most that any core would need beyond the limit."""
    for name, tiling in tilings.items():
        yield from check_group(tiling.accounting)
        worst: dict[str, Breach] = {}
        weights: dict[str, int] = {}  # words of the piece that is worst
        for piece in pieces:
            if piece.group == name:
                for breach in breaches(piece.demand, target):
                    if breach.resource not in worst or breach.used > worst[breach.resource].used:
                        worst[breach.resource], weights[breach.resource] = breach, piece.demand.synapse_words
        for breach in worst.values():
            yield Problem(
                "ND501",
                f"a layer does not fit a core: {breach.resource.replace('_', ' ')}",
                f"{name} cut as {tiling.cut.layout}",
                f"{breach.used:.0f}",
                f"{breach.limit:.0f} ({breach.key})",
                (*_narrower(breach, weights[breach.resource], tiling), *FIXES[breach.resource]),
            )


def _narrower(breach: Breach, words: int, tiling: Tiling) -> tuple[str, ...]:
    """The most weight bits with which a piece would fit, as a fix, if any number of at least 2 bits does."""
    bits = max(tiling.accounting.weight_bits.values(), default=0)
    if breach.resource not in ("synapse_words", "total_words") or not words:
        return ()
    room = 0.95 * (breach.limit - (breach.used - words))  # headers of blocks do not shrink with the weights
    codes = tiling.accounting.target.limits.weight_bits.value
    enough = [b for b in codes if 2 <= b < bits and words * b <= room * bits]
    return (f"--weight-bits {max(enough)}",) if enough else ()


def _too_many(cores: int, target: Target, fewest: int) -> Iterator[Problem]:
    if cores > target.cores:
        chips = -(-cores // target.chip.cores_per_chip)
        more = f"--chips {chips}" if target.limits.chips.allows(chips) else "use a larger system"
        fewer = ("--optimise cores",) if fewest <= target.cores else ()
        yield Problem(
            "ND502",
            "more cores are needed than there are",
            target.name,
            f"{cores} cores",
            f"{target.cores} cores ({target.chips} x chip.cores_per_chip)",
            (more, *fewer, "use a smaller model"),
        )
