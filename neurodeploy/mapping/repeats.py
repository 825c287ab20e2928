"""Groups that differ in names, weights and activity only: the layers of a deep network are cut once."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import replace
from math import ceil
from types import MappingProxyType

from ..ir.graph import Graph
from ..target import Target
from .activity import activity
from .alike import Alike
from .demand import Accounting, needed_bits
from .groups import Population
from .layouts._base import Partition, Wanted
from .tiling import Cut, Tiling, by_work, fixed, named, slowest_ns, tile

GROWTH = 1.2  # times as many tiles, of which the fastest cut is taken when a group is cut finer


Cuts = Mapping[Hashable, Tiling]


class Cutter:
    """Cuts the groups of one graph; groups with the same signature share their cut and its demands.

    ``earlier``: cuts of the same network with other tokens in turn, which hold where nothing takes turns.
    """

    def __init__(self, graph: Graph, target: Target, earlier: Cuts = MappingProxyType({})) -> None:
        self.graph, self.target, self.earlier = graph, target, earlier
        self.alike = Alike(graph, target)
        self.known: dict[Hashable, Tiling] = {}
        self.still: dict[Hashable, Tiling] = {}  # those that hold however tokens take turns
        self.renamed: dict[tuple[Cut, str], Tiling] = {}
        self.accountings: dict[str, Accounting] = {}
        self.asked: dict[Hashable, tuple[Accounting, Partition | None]] = {}

    def cut(self, group: Population, least: int = 1) -> Tiling:
        """The best tiling of a group into at least so many cores."""
        bits = needed_bits(group)
        key = self.alike.kind(group, bits), least
        found = self._found(group, key, lambda: tile(self._own(group), least=least))
        return self._renamed(found, group, bits)

    def finer(self, tiling: Tiling) -> Tiling:
        """The fastest of the cuts into somewhat more tiles than this one, or as many more as it takes to be faster.

        The same where no cut that fits is faster.
        """
        group, bits, least = tiling.accounting.group, tiling.accounting.needed_bits, tiling.cut.cores + 1
        key = self.alike.kind(group, bits), -least
        return self._renamed(self._found(group, key, lambda: self._finer(tiling, least)), group, bits)

    def _found(self, group: Population, key: Hashable, find: Callable[[], Tiling]) -> Tiling:
        """The tiling under a key, found at most once, and never again where an earlier one holds."""
        if key not in self.known:
            still = self.alike.still(group)
            found = self.earlier.get(key) if still else None
            self.known[key] = find() if found is None else found
            if still:
                self.still[key] = self.known[key]
        return self.known[key]

    def _finer(self, tiling: Tiling, least: int) -> Tiling:
        finest = min(len(tiling.accounting.cells.homes[0]), self.target.cores)
        while least <= finest:
            found = tile(tiling.accounting, by_work, least, ceil(GROWTH * least))
            if found.cut.fits and found.cut.work < tiling.cut.work:
                return found
            least = max(found.cut.cores, ceil(GROWTH * least)) + 1
        return tiling

    def partition(self, group: Population, wanted: Wanted) -> Partition | None:
        """The partition of a group that a user asks for, not yet cut; None if no layout has it."""
        key = self.alike.kind(group, needed_bits(group)), wanted
        if key not in self.asked:
            accounting = self._own(group)
            self.asked[key] = accounting, named(accounting, wanted)
        return self.asked[key][1]

    def given(self, group: Population, wanted: Wanted, partition: Partition) -> Tiling:
        """The tiling by the partition that :meth:`partition` has found."""
        bits = needed_bits(group)
        key = self.alike.kind(group, bits), wanted
        if key not in self.known:
            self.known[key] = fixed(self.asked[key][0], partition)
        return self._renamed(self.known[key], group, bits)

    def kind(self, group: Population) -> Hashable:
        """What groups that are cut alike have in common."""
        return self.alike.kind(group, needed_bits(group))

    def _own(self, group: Population) -> Accounting:
        if group.name not in self.accountings:
            self.accountings[group.name] = Accounting.of(self.graph, self.target, group)
        return self.accountings[group.name]

    def _renamed(self, tiling: Tiling, group: Population, bits: Mapping[str, int]) -> Tiling:
        if tiling.accounting is self.accountings.get(group.name):
            return tiling
        key = tiling.cut, group.name
        if key not in self.renamed:
            renamed = replace(tiling, accounting=self._accounting(tiling.accounting, group, bits))
            if self._differ(tiling, renamed):
                times = slowest_ns(renamed.accounting, tiling.cut.partition)
                renamed = replace(renamed, cut=replace(tiling.cut, tick_ns=times))
            self.renamed[key] = renamed
        return self.renamed[key]

    def _accounting(self, old: Accounting, group: Population, bits: Mapping[str, int]) -> Accounting:
        """That of a group which equals one that has been accounted for."""
        if group.name not in self.accountings:
            name = dict(zip(old.group.names, group.names, strict=True))
            self.accountings[group.name] = Accounting(
                self.graph, self.target, group, old.cells.renamed(name), bits
            )
        return self.accountings[group.name]

    def _differ(self, first: Tiling, second: Tiling) -> bool:
        """Whether two alike groups see other activity, on which their work depends."""
        pairs = zip(first.accounting.group.nodes, second.accounting.group.nodes, strict=True)
        values = (p for nodes in pairs for p in zip(*((n.name, *n.inputs) for n in nodes), strict=True))
        return any(not activity(self.graph, one).like(activity(self.graph, other)) for one, other in values)
