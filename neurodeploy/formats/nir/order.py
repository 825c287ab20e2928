"""Delays and loops of a NIR network: which connections wait, and an order in which all others can be evaluated.

A delay in front of weights becomes theirs. A loop is broken where a neuron feeds back: the connection that leaves it
waits one tick, as recurrent layers of snnTorch and Norse do, or as long as a delay that the file states.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from .file import Network
from .neurons import KINDS

MATRICES = ("Linear", "Affine")
WEIGHTS = (*MATRICES, "Conv1d", "Conv2d")


@dataclass
class Order:
    """Items in the order of evaluation, and the edges (neuron, reader) that wait for the tick before."""

    keys: list[str] = field(default_factory=list)
    feedback: set[tuple[str, str]] = field(default_factory=set)
    #: items in loops without a neuron, and items that nothing drives
    loops: list[str] = field(default_factory=list)
    idle: list[str] = field(default_factory=list)


def arrange(network: Network) -> Order:
    """An order for everything that the inputs reach."""
    wires = _Wires.of(network)
    order = Order()
    done: set[str] = set()
    waiting = sorted(network.items)
    while waiting:
        ready = [key for key in waiting if wires.ready(key, done, order.feedback)]
        order.keys += ready
        done |= set(ready)
        waiting = [key for key in waiting if key not in done]
        if not ready:
            edges = wires.break_loop(done, order.feedback)
            if not edges:
                break
            order.feedback |= edges
    order.idle = [key for key in waiting if key not in wires.distance]
    order.loops = [key for key in waiting if key in wires.distance]
    return order


@dataclass(frozen=True)
class _Wires:
    """What each item reads (``before``); its strongly connected ``group``; ``distance`` in edges from an Input."""

    network: Network
    before: dict[str, list[str]]
    group: dict[str, int]
    distance: dict[str, int]

    @classmethod
    def of(cls, network: Network) -> _Wires:
        """Of a network."""
        before = {key: network.sources(key) for key in network.items}
        after: dict[str, list[str]] = {key: [] for key in network.items}
        for key, sources in before.items():
            for source in sources:
                after[source].append(key)
        return cls(network, before, _components(after), _distances(network, after))

    def ready(self, key: str, done: set[str], feedback: set[tuple[str, str]]) -> bool:
        """Whether everything that an item reads is there, or waits."""
        sources = self.before[key]
        if not sources:
            return self.network.items[key].kind == "Input"
        return all(source in done or (source, key) in feedback for source in sources)

    def break_loop(self, done: set[str], feedback: set[tuple[str, str]]) -> set[tuple[str, str]]:
        """The edges that close the loop nearest to the input; none where no loop can wait.

        Of a loop, the first item that something outside reaches is evaluated first, so what feeds back into it waits.
        """
        entries = [key for key in self.network.items if key not in done and self._enters(key, done)]
        for key in sorted(entries, key=lambda k: (self.distance[k], k)):
            edges = self._feeding(done, key)
            if edges - feedback:
                return edges
        return set()

    def _enters(self, key: str, done: set[str]) -> bool:
        """Whether a loop that the input reaches can start with an item."""
        sources = self.before[key]
        within = any(s not in done and self.group[s] == self.group[key] for s in sources)
        return key in self.distance and (key in sources or (within and any(s in done for s in sources)))

    def _feeding(self, done: set[str], key: str) -> set[tuple[str, str]]:
        """The edges by which neurons of the same loop reach ``key``; none if a way around holds no neuron."""
        edges: set[tuple[str, str]] = set()
        seen, open_keys = {key}, [key]
        while open_keys:
            reader = open_keys.pop()
            for source in self.before[reader]:
                if source in done or self.group[source] != self.group[key]:
                    continue
                if self.network.items[source].kind in KINDS:
                    edges.add((source, reader))
                elif source in seen:
                    return set()
                else:
                    seen.add(source)
                    open_keys.append(source)
        return edges


def _distances(network: Network, after: dict[str, list[str]]) -> dict[str, int]:
    """Edges from the nearest Input to each item that one reaches."""
    found = dict.fromkeys(network.of("Input"), 0)
    level = list(found)
    away = 0
    while level:
        away += 1
        level = sorted({k for key in level for k in after[key] if k not in found})
        found |= dict.fromkeys(level, away)
    return found


def _components(after: dict[str, list[str]]) -> dict[str, int]:
    """Number of the strongly connected component of each item (Kosaraju, without recursion)."""
    before: dict[str, list[str]] = {key: [] for key in after}
    for key, readers in after.items():
        for reader in readers:
            before[reader].append(key)
    component: dict[str, int] = {}
    for root in reversed(list(_finished(after))):
        open_keys = [root] if root not in component else []
        while open_keys:
            key = open_keys.pop()
            if key not in component:
                component[key] = len(component) if key == root else component[root]
                open_keys += before[key]
    return component


def _finished(after: dict[str, list[str]]) -> Iterator[str]:
    """All items, each once everything that it reaches has been left (depth first)."""
    seen: set[str] = set()
    for root in after:
        work = [(root, iter(after[root]))] if root not in seen else []
        seen.add(root)
        while work:
            key, readers = work[-1]
            reader = next((r for r in readers if r not in seen), None)
            if reader is None:
                work.pop()
                yield key
            else:
                seen.add(reader)
                work.append((reader, iter(after[reader])))
