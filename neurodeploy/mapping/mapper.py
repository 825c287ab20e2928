"""Integer graph + target -> Mapping: cut every group into tiles, give each tile a core, say what does not fit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from collections.abc import Mapping as MappingABC
from dataclasses import dataclass, replace
from functools import cached_property, partial
from types import MappingProxyType
from typing import Any

from ..counted import counted
from ..errors import Problem
from ..ir.graph import Graph
from ..ir.nodes import Synapse
from ..ir.trace import Router
from ..passes.balance import balance, lag, turns
from ..target import Target
from .advice import advised, narrower
from .bundles import Bundles
from .checks import check, check_group
from .given import Decided, Given, decided, router
from .groups import HOST, Population, populations
from .layouts._base import LAYOUTS
from .limits import RESOURCES, breaches, fill, largest, pack, usage
from .objectives._base import OBJECTIVES, Objective
from .outcome import ON_HOST, outcome
from .placements._base import PLACEMENTS, data_order
from .plan import Plan
from .repeats import Cuts, Cutter
from .routes import loads
from .spread import FREE, Budget, cheapest, demands, pieces
from .tiling import Tiling
from .types import Core, Demand, Group, Mapping, Piece

#: the placement method without being asked
PLACEMENT = "metis-annealing"
#: the resources of which narrower weights need less
WEIGHED = ("synapse_words", "total_words")


def prepared(graph: Graph, target: Target, *copies: int, stores: int = 1) -> Graph:
    """The integer graph as the mapper takes it: rewritten as the layouts ask for, then balanced.

    ``copies`` of the layers that tokens pass through one after the other, by segment, the last for all further ones;
    none, or 0: each token has its own neurons. ``stores``: places for what is kept of their tokens.
    """
    copies = copies if any(copies) else ()
    graph = graph.with_header(copies=copies, stores=stores if copies else 1)
    for layout in LAYOUTS.values():
        graph = layout.rewrite(graph, target)
    return balance(graph, target.limits.delay_steps.value)


def map_graph(
    graph: Graph,
    target: Target,
    chips: int | None = None,
    optimise: str = "cores",
    placement: str = PLACEMENT,
    seen: MappingABC[str, int] | None = None,
    given: Given | None = None,
    most: Budget = FREE,
) -> Mapping:
    """Place a balanced integer graph on ``chips`` chips of the target (default: as many as the file says).

    ``optimise`` and ``placement`` are members of the rooms of objectives and placements; ``seen`` the largest synaptic
    sums that calibration met (:func:`.checks.calibrated`); ``given`` what the user decided, ``most`` what the user
    allows. Never raises for a
    network that does not fit: the Mapping then lists every reason in ``problems``, and its cores are what the network
    would need. Raises UsageError for an impossible number of chips (ND919), for unknown names (ND514, ND516) and for
    wishes that nothing could grant (ND522 to ND524).
    """
    target = target if chips is None else target.with_chips(chips)
    return placed(planned(graph, target, optimise, given, most), placement, seen)


@dataclass(frozen=True, eq=False)
class Planned:
    """A network that is cut: its plan, the tiles of every core, and what a user had a say in.

    ``coarsest``: cores of the coarsest cuts; ``kept``: routers of the cores that are given places; ``cuts``: all that
    were tried of groups in which no tokens take turns.
    """

    plan: Plan
    objective: Objective
    said: Decided
    most: Budget
    coarsest: int
    hosted: Sequence[Sequence[int]]
    kept: MappingABC[int, Router]
    cuts: Cuts

    @cached_property
    def parts(self) -> Sequence[Piece]:
        """The tiles with all their elements: as many numbers as the network has values."""
        return pieces(self.plan.tilings, self.plan.flows)

    @property
    def fits(self) -> bool:
        """Whether every tile has room on a core, and every core on the target within the budget."""
        cores = min(self.plan.target.cores, self.most.cores or self.plan.target.cores)
        return len(self.hosted) <= cores and all(t.cut.fits for t in self.plan.tilings.values())

    @cached_property
    def possible(self) -> bool:
        """Whether nothing but room may be missing."""
        return not any(p.severity == "error" for p in self.refused(self.plan.target))

    def refused(self, place: Target, seen: MappingABC[str, int] | None = None) -> list[Problem]:
        """What a target would refuse whatever room it had."""
        groups = (replace(t.accounting, target=place) for t in self.plan.tilings.values())
        return [
            *check(self.plan.graph, place, seen or {}),
            *(p for group in groups for p in check_group(group)),
        ]


def planned(
    graph: Graph,
    target: Target,
    optimise: str = "cores",
    given: Given | None = None,
    most: Budget = FREE,
    earlier: Cuts = MappingProxyType({}),
) -> Planned:
    """The cuts of a balanced integer graph that an objective prefers; raises as :func:`map_graph`.

    ``earlier``: the cuts of an earlier plan of the same network.
    """
    objective = OBJECTIVES.named(optimise, "ND514", "objective")
    groups = populations(graph)
    cutter = Cutter(graph, target, earlier)
    said = decided(given or Given(), groups, cutter)
    cut = counted([g for g in groups if not g.on_host], "groups cut")
    coarsest = {g.name: said.tilings.get(g.name) or cutter.cut(g) for g in cut}
    plan = cheapest(cutter, groups, coarsest, objective, said.tilings, most)
    places = said.places(pieces(plan.tilings, plan.flows)) if said.cores else {}
    shared = objective.compact and most.latency_ns is None
    hosted, kept = _hosted(plan, places, 0 if shared else most.cores or target.cores)
    fewest = sum(t.cut.cores for t in coarsest.values())
    return Planned(plan, objective, said, most, fewest, hosted, kept, cutter.still)


def placed(found: Planned, placement: str = PLACEMENT, seen: MappingABC[str, int] | None = None) -> Mapping:
    """The mapping of a plan; raises as :func:`map_graph`."""
    placing = PLACEMENTS.named(placement, "ND516", "placement")
    plan, said, most, parts, hosted = found.plan, found.said, found.most, found.parts, found.hosted
    graph, target = plan.graph, plan.target
    spots = placing.around(hosted, plan.flows, target, found.kept)
    tiled = counted([*enumerate(hosted)], "cores filled")
    cores = tuple(_core(i, [parts[p] for p in tiles], spots[i], target) for i, tiles in tiled)
    refused = partial(found.refused, seen=seen)
    problems = advised(refused(target), target, refused)
    problems += [*_overfull(plan.tilings, parts, said, target), *_shared(cores, target)]
    problems += _too_many(len(cores), target, found.coarsest, ON_HOST in plan.instead)
    problems += _beyond(len(cores), plan, most, target)
    described = tuple(_described(g, plan.tilings.get(g.name)) for g in plan.groups)
    notes: dict[str, Any] = {"optimise": found.objective.name, "pieces": len(parts), "placement": placement}
    notes |= {"search": outcome(plan, len(cores)), **_travelled(plan.flows.between(hosted), spots, target)}
    if graph.header.copies:
        notes["streams"] = [turns(graph).of_segment(i) for i in range(turns(graph).segments)]
        notes["stores"] = graph.header.stores
    if looked_up := [node.name for node in graph.of(Synapse) if node.hosted]:
        notes["hosted"] = looked_up
    system = target.name, target.chips, target.cores
    return Mapping(*system, described, cores, lag(graph), problems=tuple(problems), notes=notes)


def _hosted(
    plan: Plan, places: MappingABC[int, tuple[int, int]], most: int
) -> tuple[list[list[int]], dict[int, Router]]:
    """Tiles of every core, one unless it is given others or that takes more than ``most`` cores; and given places."""
    target = plan.target
    together: dict[tuple[int, int], list[int]] = {}
    for tile, place in sorted(places.items()):
        together.setdefault(place, []).append(tile)
    hosted = sorted([*together.values(), *([i] for i in range(plan.cores) if i not in places)])
    if len(hosted) > most:  # otherwise one tile a core, as Intel's compiler mostly does
        hosted = pack(demands(plan.tilings, plan.flows), target, list(together.values()))
    # A core that has been given holds one of its tiles, and whatever else was packed beside it.
    kept = {i: router(places[t], target) for i, tiles in enumerate(hosted) for t in tiles if t in places}
    return hosted, kept


def _travelled(sent: Bundles, spots: Sequence[Router], target: Target) -> dict[str, dict[str, float]]:
    """Expected messages per tick on the network: of the cores in data order, and as they are placed."""
    ways = {"data_order": data_order(len(spots), target.chip), "placed": spots}
    found = {name: loads(way, sent, target) for name, way in ways.items()}
    return {
        key: {name: getattr(load, key) for name, load in found.items()}
        for key in ("hops", "peak", "crossings", "crossing_peak")
    }


def _core(index: int, parts: list[Piece], place: Router, target: Target) -> Core:
    demand = sum((p.demand for p in parts), Demand())
    used = usage(demand, target)
    return Core(index, *place, tuple(parts), demand, used, fill(used)[1])


def _described(group: Population, tiling: Tiling | None) -> Group:
    if tiling is None:
        return Group(group.name, group.names, group.depth, HOST)
    chosen = tiling.cut.layout, tiling.alternatives, tiling.cut.limiting
    return Group(group.name, group.names, group.depth, *chosen, group.turns, group.copies)


def _overfull(
    tilings: MappingABC[str, Tiling], parts: Sequence[Piece], said: Decided, target: Target
) -> Iterator[Problem]:
    """Per group and resource, the most that any core would need beyond the limit."""
    left = iter(parts)
    for name, tiling in tilings.items():
        demands = [next(left).demand for _ in range(tiling.cut.cores)]
        worst = largest(b for demand in demands for b in breaches(demand, target))
        for key, breach in worst.items():
            cause = f"a layer does not fit a core: {RESOURCES[key].label}"
            free = ("leave its layout to the search",) if name in said.tilings else ()
            fixes = (*free, *_narrower(key, tiling, demands), *RESOURCES[key].fixes)
            where, limit = f"{name} cut as {tiling.cut.layout}", f"{breach.limit:.0f} ({breach.key})"
            yield Problem("ND501", cause, where, f"{breach.used:.0f}", limit, fixes)


def _shared(cores: Sequence[Core], target: Target) -> Iterator[Problem]:
    """Per core that the user gave to several tiles, and resource, what they need together beyond the limit."""
    for core in cores:
        if any(breaches(piece.demand, target) for piece in core.pieces) or len(core.pieces) < 2:
            continue  # said of the layer itself, or nothing is shared
        for breach in breaches(core.demand, target):
            cause = f"layers that share a core do not fit it: {RESOURCES[breach.resource].label}"
            names, limit = ", ".join(dict.fromkeys(core.layers)), f"{breach.limit:.0f} ({breach.key})"
            where, fixes = f"core {core.index} with {names}", ("give them cores of their own",)
            yield Problem("ND501", cause, where, f"{breach.used:.0f}", limit, fixes)


def _narrower(resource: str, tiling: Tiling, demands: Sequence[Demand]) -> tuple[str, ...]:
    """The most weight bits with which the tiles would fit, as a fix: none where another limit breaks as well."""
    needed, target = tiling.accounting.needed_bits, tiling.accounting.target
    if resource not in WEIGHED:
        return ()

    def fits(bits: int) -> bool:
        coarse = replace(tiling.accounting, needed_bits={n: min(b, bits) for n, b in needed.items()})
        words = (coarse.demand(t).synapse_words for t in tiling.tiles)
        shrunk = (replace(d, synapse_words=n) for d, n in zip(demands, words, strict=True))
        return not any(breaches(d, target) for d in shrunk)

    most = next((b for b in range(max(needed.values(), default=0) - 1, 0, -1) if fits(b)), 0)
    return narrower(tiling.accounting.graph, target.limits.weight_bits, most)


def _too_many(cores: int, target: Target, fewest: int, lookups: bool = False) -> Iterator[Problem]:
    """``lookups``: whether there would be enough if the host looked up tables of token ids."""
    if cores > target.cores:
        chips = -(-cores // target.chip.cores_per_chip)
        more = f"--chips {chips}" if target.limits.chips.allows(chips) else "use a larger system"
        fewer = ("--optimise cores",) if fewest <= target.cores else ()
        limit = f"{target.cores} cores ({target.chips} x chip.cores_per_chip)"
        hosted = ("--lookups host",) if lookups else ()
        cause, fixes = "more cores are needed than there are", (more, *fewer, *hosted, "use a smaller model")
        yield Problem("ND502", cause, target.name, f"{cores} cores", limit, fixes)


def _beyond(cores: int, plan: Plan, most: Budget, target: Target) -> Iterator[Problem]:
    """What breaks the budget of the user, as far as the target has the cores at all."""
    if most.cores is not None and most.cores < cores <= target.cores:
        cause, fix = "the network takes more cores than allowed", f"--max-cores {cores}"
        yield Problem("ND525", cause, target.name, f"{cores} cores", f"{most.cores} (max_cores)", (fix,))
    if most.latency_ns is not None and plan.latency_ns > most.latency_ns:
        found, limit = (f"{ns / 1e6:.4g} ms" for ns in (plan.latency_ns, most.latency_ns))
        more = "more cores or chips: --max-cores, --chips" if most.cores else "more chips: --chips"
        enough = f"--max-latency {plan.latency_ns * 1.001 / 1e6:.4g}"  # also when it is rounded
        cause = "no mapping that was found is as fast as asked for"
        limit = f"{limit} (max_latency_ms)"
        yield Problem("ND526", cause, target.name, f"{found} expected", limit, (enough, more))
