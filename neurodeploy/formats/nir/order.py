"""Delays and loops of a NIR network: which connections wait, and an order in which all others can be evaluated.

A delay in front of weights becomes theirs. A loop is broken where a neuron feeds back: the connection that leaves it
waits one tick, as recurrent layers of snnTorch and Norse do, or as long as a delay that the file states.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components, dijkstra

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
    wires = _Wires(network)
    order, done, waiting = Order(), set[str](), sorted(network.items)
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


class _Wires:
    """What each item reads (``before``); its strongly connected ``group``; ``distance`` in edges from an Input."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.before = {key: network.sources(key) for key in network.items}
        number = {key: i for i, key in enumerate(network.items)}
        edges = np.array([(number[a], number[b]) for b in number for a in self.before[b]], int).reshape(-1, 2)
        after = csr_array((np.ones(len(edges)), tuple(edges.T)), shape=(len(number), len(number)))
        group = connected_components(after, connection="strong")[1]
        inputs = [number[key] for key in network.of("Input")]
        away = dijkstra(after, indices=inputs, unweighted=True, min_only=True)
        self.group = {key: int(group[i]) for key, i in number.items()}
        self.distance = {key: int(away[i]) for key, i in number.items() if np.isfinite(away[i])}

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
