"""On how many copies the tokens of each segment take turns: as a user says, or as an objective prefers.

A *segment* (:mod:`..passes._turns`) is what lies between mixtures of tokens; its copies are those of all of its layers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import inf
from operator import attrgetter
from typing import NamedTuple

import numpy as np

from ..array import Array
from ..errors import Problem, UsageError
from ..ir.graph import Graph
from ..ir.trace import EVENT_KINDS
from ..passes.balance import Turns, period, turns
from ..price import Range, barrier_ns, lasting, overhead, stages
from ..target import Target
from .crowding import LEVEL
from .demand import stored_words
from .given import SHOWN, Given, of_layers
from .groups import populations
from .mapper import Planned, planned, prepared
from .objectives._base import OBJECTIVES, Objective
from .outcome import SPACE, TURNS
from .plan import Cost
from .repeats import Cuts
from .spread import Budget

SMALL = 1 << 20  # elements of a network of which a plan takes a second at most
MARGIN = 0.98  # times what is expected in closed form: less is worth a plan
BEYOND = (1,)  # ranks of plans without room


def wanted(given: Given, graph: Graph) -> dict[int, int]:
    """Copies by segment as a mapping file says them, of a graph in which tokens take turns.

    Raises UsageError ND523 for layers of one segment that contradict each other, or that have no tokens.
    """
    said: dict[int, dict[int, str]] = {}
    problems: list[Problem] = []
    layers = {group.name: group for group in populations(graph) if not group.on_host}
    for name, rule in of_layers(given, layers).items():
        segment = layers[name].segment
        if rule.copies is None:
            continue
        where = given.where(name, "layout.copies")
        if segment is None:
            cause, limit = "copies of a layer without tokens that could take turns", "no copies"
            problems.append(Problem("ND523", cause, where, f"{rule.copies} copies", limit))
            continue
        said.setdefault(segment, {}).setdefault(rule.copies, name)
    for copies in (layers for layers in said.values() if len(layers) > 1):
        problems.append(_contradicting(given, copies))
    if problems:
        raise UsageError(problems)
    return {segment: next(iter(copies)) for segment, copies in said.items()}


def _contradicting(given: Given, copies: Mapping[int, str]) -> Problem:
    cause = "tokens pass from layer to layer in turn, so these have as many copies"
    found = ", ".join(f"{n} of {layer!r}" for n, layer in list(copies.items())[:SHOWN])
    first, *_ = copies
    where = given.where(list(copies.values())[-1], "layout.copies")
    return Problem("ND523", cause, where, found, "one number for a segment", (f"copies = {first}",))


def segmented(
    graph: Graph, target: Target, optimise: str, given: Given, most: Budget, streams: int | None = None
) -> Planned:
    """The plan of an integer graph with copies as said, or else as the objective prefers.

    ``streams``: copies of every segment of which a mapping file says nothing, 0: its tokens are in space. Where nobody
    says, tokens in space are weighed against 1, 2, 4, .. copies; layouts that are given are those of tokens in space,
    as long as these fit. Raises UsageError ND522 to ND524 for what is given and cannot be.
    """
    search = _Search(graph, target, optimise, given, most)
    others = given.streams if streams is None else streams
    said = wanted(given, prepared(graph, target, 1)) if any(r.copies for r in given.rules.values()) else {}
    if said:
        return search.around(said, others)
    if others is not None:
        return search.plan(others)
    space = search.plan()
    if not space.possible or (space.fits and any(rule.layout for rule in given.rules.values())):
        return space
    return search.told(search.best(space))


class Weighed(NamedTuple):
    """What a plan was: its rank among others, the best first, and what it costs."""

    rank: tuple[float, ...]
    cost: Cost


@dataclass
class _Search:
    """Plans of one network on different numbers of copies; what each costs is kept, but not the plan."""

    graph: Graph
    target: Target
    optimise: str
    given: Given
    most: Budget
    made: dict[tuple[int, ...], Weighed] = field(default_factory=dict)
    cuts: Cuts = field(default_factory=dict)

    def plan(self, *copies: int) -> Planned:
        """The plan with so many copies by segment, in a pipeline with two places for what is kept where that gains."""
        stores = self.given.stores or (2 if self._gains(copies) else 1)
        found = self._planned(copies, stores)
        tight = not found.fits or len(found.hosted) >= min(
            self.target.cores, self.most.cores or self.target.cores
        )
        if self.given.stores is None and stores > 1 and tight:
            found = min(self._planned(copies, 1), found, key=self._rank)
        self.made[copies] = Weighed(self._rank(found), found.plan.cost)
        return found

    def _planned(self, copies: tuple[int, ...], stores: int) -> Planned:
        turned = prepared(self.graph, self.target, *copies, stores=stores)
        found = planned(turned, self.target, self.optimise, self.given, self.most, self.cuts)
        self.cuts = found.cuts
        return found

    def _gains(self, copies: tuple[int, ...]) -> bool:
        """Whether samples of a pipeline follow each other sooner where what is kept has two places."""
        if not (any(copies) and OBJECTIVES.named(self.optimise, "ND514", "objective").pipelined):
            return False
        one, two = (period(self.graph.with_header(copies=copies, stores=n)) for n in (1, 2))
        return two < one

    def better(self, best: Planned, *copies: int) -> Planned | None:
        """The plan with so many copies by segment if that ranks before the best; each is tried once."""
        found = None if copies in self.made else self.plan(*copies)
        return found if found is not None and self._rank(found) < self._rank(best) else None

    def around(self, said: Mapping[int, int], others: int | None) -> Planned:
        """The plan with copies that are said of some segments."""
        one = turns(prepared(self.graph, self.target, 1))
        found = self.plan(*(said.get(i, others or one.tokens) for i in range(one.segments)))
        agreed = wanted(self.given, found.plan.graph)
        for segment, copies in agreed.items():  # of Delays too, whose names tell their steps
            if said.get(segment, copies) != copies:
                raise UsageError(_contradicting(self.given, {said[segment]: "", copies: ""}))
        return found

    def best(self, space: Planned) -> Planned:
        """The best of tokens in space and of uniform copies, with segments of more or fewer where that helps."""
        one = turns(self.graph.with_header(copies=(1,)))
        if one.problems or not one.any:
            return space
        outlook = Outlook.of(space, one, self.most)
        every = [(2**k,) * one.segments for k in range((one.tokens - 1).bit_length())]
        wins = self._rank(space) >= BEYOND  # what has no room is worse than whatever has
        best: Planned = space
        copies: tuple[int, ...] = ()
        for tried in sorted(every, key=outlook.cost):
            if not wins and outlook.cost(tried) >= outlook.in_space * MARGIN:
                break
            found = self.better(best, *tried)
            if found is None or not all(t.cut.fits for t in found.plan.tilings.values()):
                break  # a layer that does not fit a core does so on no number of copies
            best, copies, wins = found, tried, False
        return self._descended(copies, best, outlook) if copies else space

    def told(self, best: Planned) -> Planned:
        """The best plan, with what its tokens would cost in space if they take turns, or the other way."""
        turn = bool(best.plan.graph.header.copies)
        apart = [weighed for copies, weighed in self.made.items() if bool(copies) != turn]
        if not apart:
            return best
        instead = min(apart, key=attrgetter("rank")).cost
        label = SPACE if turn else TURNS
        return replace(best, plan=replace(best.plan, instead={label: instead}))

    def _descended(self, copies: tuple[int, ...], best: Planned, outlook: Outlook) -> Planned:
        """With twice or half as many copies of a segment, again and again, as long as the objective gains.

        Each step of it is planned where plans take next to no time, else the best that the outlook finds.
        """
        tokens = turns(best.plan.graph).tokens
        small = sum(value.shape.size for value in self.graph.values.values()) <= SMALL
        if not small:
            mixed = copies
            while (better := min(_beside(mixed, tokens), key=outlook.cost)) and (
                outlook.cost(better) < MARGIN * outlook.cost(mixed)
            ):
                mixed = better
            return self.better(best, *mixed) or best
        improved = True
        while improved:
            improved = False
            for changed in _beside(copies, tokens):
                if found := self.better(best, *changed):
                    copies, best, improved = changed, found, True
                    break
        return best

    def _rank(self, found: Planned) -> tuple[float, ...]:
        """Orders plans, the best first: what fits and keeps within the budget, then by the objective."""
        plan, compact = found.plan, found.objective.compact
        if not (found.fits and found.possible):
            return 2, len(found.hosted)
        if self.most.latency_ns is not None and plan.latency_ns > self.most.latency_ns:
            return 1, plan.latency_ns
        return 0, len(found.hosted) if compact else found.objective.cost(plan)


def _beside(copies: tuple[int, ...], tokens: int) -> Iterator[tuple[int, ...]]:
    """Twice or half as many copies of one segment."""
    for segment, now in enumerate(copies):
        for other in sorted({min(2 * now, tokens), max(now // 2, 1)} - {now}):
            yield (*copies[:segment], other, *copies[segment + 1 :])


@dataclass(frozen=True)
class Outlook:
    """What copies would cost if every segment could be shared out evenly, in closed form: nothing is cut for it.

    By segment: ``work_ns`` of a tick of all tokens on one core, that of what cannot be parted (``atom_ns``), steps from
    its first layer to its last (``depth``), and ``cores`` that one copy fills with its weights and with what it keeps.
    ``waiting``: those that wait for the last token of what is before them, the first included; others work beside it.
    ``least``: cores of tokens in space, ``most``: of the target or budget.
    """

    objective: Objective
    target: Target
    ticks: int
    tokens: int
    work_ns: Array
    atom_ns: Array
    depth: Array
    cores: Array
    waiting: Array
    least: int
    most: int
    events_pj: float

    @classmethod
    def of(cls, space: Planned, one: Turns, most: Budget) -> Outlook:
        """That of a network whose tokens are in space, given the segments that it would have."""
        plan, target = space.plan, space.plan.target
        work, atom, words = np.zeros((3, one.segments))
        levels: list[set[int]] = [set() for _ in range(one.segments)]
        waits = np.arange(one.segments) == 0
        for name, tiling in plan.tilings.items():
            accounting = tiling.accounting
            group = accounting.group
            segment = next((one.segment[n] for n in group.names if n in one.segment), None)
            if segment is not None:
                counts = stages(plan.counts[name], EVENT_KINDS, target, LEVEL)
                whole = float(lasting(list(counts), target, LEVEL))
                work[segment] += whole
                atom[segment] = max(atom[segment], whole / len(accounting.cells.homes[0]))
                words[segment] += sum(stored_words(accounting, one, n) for n in group.entries)
                levels[segment].add(group.depth)
                known = [node for node in group.entries if node.name in one.segment]
                late = (one.wait(node, i) for node in known for i in range(len(node.inputs)))
                waits[segment] |= any(steps >= one.ticks for steps in late)
        room = target.limits.total_words.value or words.sum() or 1
        limit = min(target.cores, most.cores or target.cores)
        depth = np.array([max(found, default=0) - min(found, default=0) for found in levels])
        return cls(space.objective, target, one.ticks, one.tokens, work, atom, depth, words / room,
                   np.flatnonzero(waits), plan.cores, limit, plan.events_pj)  # fmt: skip

    @cached_property
    def in_space(self) -> float:
        """Of no copies."""
        return self._cost(np.ones(len(self.work_ns)), self.least)

    def cost(self, copies: tuple[int, ...]) -> float:
        """Of so many copies by segment; infinite where they do not fit."""
        each = np.minimum(copies, self.tokens)
        return self._cost(-(-self.tokens // each), int(np.ceil((each * self.cores).sum())))

    def _cost(self, turns: Array, fewest: int) -> float:
        if fewest > self.most:
            return inf
        if self.objective.compact:
            return fewest
        sizes = np.unique(np.geomspace(max(fewest, 1), self.most, 24).astype(np.int64))
        return min(self._on(int(cores), turns) for cores in sizes)

    def _on(self, cores: int, turns: Array) -> float:
        chips = -(-cores // self.target.chip.cores_per_chip)
        barrier = barrier_ns(self.target.model_copy(update={"chips": chips}), LEVEL)
        # Each segment has its share of the cores, by its work: they hold its weights.
        each_ns = np.maximum(np.maximum(self.atom_ns, barrier), self.work_ns.sum() / (turns * cores))
        taking = self.ticks * turns
        running = np.maximum.reduceat(taking * each_ns, self.waiting).sum()
        steps = self.depth.sum() + np.maximum.reduceat(taking, self.waiting).sum()
        latency = float((self.depth * each_ns).sum() + running)
        flowing = overhead(cores, chips, int(steps), Range(latency, latency, latency), self.target).values()
        energy = self.events_pj + sum(each.nominal for _, each in flowing)
        period = float((self.ticks * turns * each_ns).max(initial=0))
        return self.objective.least(Cost(cores, chips, energy, latency, period))
